import json
from pathlib import Path

from dataops_assets.stages.training_export import Assembly


def read(folder: Path) -> dict[str, dict[str, object]]:
    return {path.stem.removeprefix("instances_"): json.loads(path.read_text()) for path in (folder / "coco").glob("*.json")}


def test_read_again_it_says_what_the_table_says(delivered: Path, assembly: Assembly) -> None:
    again = {}
    for split, document in read(delivered).items():
        category = {entry["id"]: (entry["supercategory"], entry["name"]) for entry in document["categories"]}
        for image in document["images"]:
            assert (delivered / "images" / image["file_name"]).is_file()
            held: dict[str, object] = {"dress": []}
            for mark in (mark for mark in document["annotations"] if mark["image_id"] == image["id"]):
                name, value = category[mark["category_id"]]
                if name == "dress":
                    held["dress"].append(dict(zip("xywh", mark["bbox"], strict=True)) | {"label": value})
                    assert mark["area"] == mark["bbox"][2] * mark["bbox"][3]
                else:
                    assert mark["is_image_level"]
                    assert mark["bbox"] == [0, 0, image["width"], image["height"]]
                    held.setdefault(name, []).append(value)
            held["style"] = held["style"][0]
            again[image["image_id"]] = (split, held)
    sources = assembly.frame[assembly.frame["kind"] == "source"]
    assert again == {row.image_id: (row.split, json.loads(row.labels)) for row in sources.itertuples()}


def test_a_picture_without_box_labels_is_not_listed_as_empty(delivered: Path, assembly: Assembly) -> None:
    listed = {image["image_id"] for document in read(delivered).values() for image in document["images"]}
    assert not listed & set(assembly.frame.loc[assembly.frame["kind"] == "variant", "image_id"])


def test_ids_count_from_one_and_repeat_nowhere(delivered: Path) -> None:
    for document in read(delivered).values():
        for part in ("images", "annotations", "categories"):
            assert [entry["id"] for entry in document[part]] == list(range(1, len(document[part]) + 1))
