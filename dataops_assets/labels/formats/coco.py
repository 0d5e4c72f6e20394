"""COCO: boxes as annotations, answers about the whole picture as annotations without a box or marked `is_image_level`.

Format: https://cocodataset.org/#format-data. A category says `attribute=value`, or names the attribute as its supercategory (as our own
delivery does). `attributes` of an annotation, as CVAT and datumaro write them, answer the questions they are named like. A
picture that is listed in a file of boxes was looked at whole: where it has no box there is nothing to box. Files that only hold
answers about whole pictures, as datumaro splits them off, say nothing of boxes. Nobody is named, and there is no time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd

from dataops_assets.labels.formats import answers
from dataops_assets.labels.formats.answers import Row, Sizes
from dataops_assets.labels.tables import SIDES, UNNAMED, Refused
from dataops_assets.spec import Attribute


def read(document: dict[str, Any], sizes: Sizes, asked: Sequence[Attribute]) -> pd.DataFrame:
    """Rows of a file: `row` is the picture's place in `images`, `part` counts its answers.

    Annotations of no listed picture come last, as rows of an unknown item. Crowds, and rotated boxes, are rows with fault SCHEMA.

    Args:
        document: The parsed file.
        sizes: Pixels of the pictures sent out; boxes on one of another size are refused.
        asked: The batch's questions.

    Raises:
        Refused: SCHEMA when it is no COCO file, NO_ROWS when it answers nothing or knows no category.
    """
    images, annotations, categories = (_dicts(document, name) for name in ("images", "annotations", "categories"))
    if not categories:
        raise Refused("NO_ROWS", "no category in it: a list of pictures")
    places = _by_id(images, "images")
    labels = _by_id(categories, "categories")
    found: list[list[Row]] = [[] for _ in images]
    lost: list[Row] = []
    for annotation in annotations:
        place = places.get(annotation.get("image_id")) if _is_id(annotation.get("image_id")) else None
        category = labels.get(annotation.get("category_id")) if _is_id(annotation.get("category_id")) else None
        image = images[place] if place is not None else {}
        rows = _annotation(annotation, None if category is None else categories[category], image, sizes, asked)
        (lost if place is None else found[place]).extend(rows)
    questions = answers.boxes(asked)
    is_drawn = not annotations or any("x" in row and row["attribute"] in questions for its in found for row in its)
    rows = []
    for number, (image, its) in enumerate(zip(images, found, strict=True), start=1):
        its = answers.together(its, asked)
        its += answers.nothing(its, asked) if is_drawn else []
        rows += answers.numbered(its or [{"fault": "NO_ROWS"}], number, item_id=_item(image), annotator=UNNAMED)
    rows += answers.numbered(lost, len(images) + 1, annotator=UNNAMED)
    return answers.frame(rows)


def _dicts(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = document.get(name)
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        raise Refused("SCHEMA", f"no COCO file: `{name}` is no list of objects")
    return found


def _by_id(parts: list[dict[str, Any]], name: str) -> dict[Any, int]:
    ids = [part.get("id") for part in parts]
    if not all(_is_id(one) for one in ids) or len(set(ids)) < len(ids):
        raise Refused("SCHEMA", f"ids of `{name}` are missing or repeat")
    return {one: place for place, one in enumerate(ids)}


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _item(image: dict[str, Any]) -> str:
    return answers.item_of(answers.text(image.get("file_name")))


def _annotation(
    annotation: dict[str, Any], category: dict[str, Any] | None, image: dict[str, Any], sizes: Sizes, asked: Sequence[Attribute]
) -> list[Row]:
    label = answers.text(category.get("name")) if category else ""
    said = annotation.get("attributes", {})
    if category is None or not isinstance(said, dict) or annotation.get("iscrowd") not in (None, 0):
        return [{"label": label, "fault": "SCHEMA"}]
    bbox = annotation.get("bbox")
    box = None
    if bbox not in (None, []) and annotation.get("is_image_level") is not True:
        if not isinstance(bbox, list) or len(bbox) != 4:
            return [{"label": label, "fault": "SCHEMA"}]
        box = dict(zip(SIDES, map(answers.number, bbox), strict=True))
        box |= answers.other_size(image.get("width"), image.get("height"), sizes.get(_item(image)))
        if answers.number(said.get("rotation", 0)) != 0:
            box["fault"] = "SCHEMA"
    return answers.of_shape(label, said, asked, box, answers.text(category.get("supercategory")))


def write(rows: pd.DataFrame, sizes: Sizes, asked: Sequence[Attribute]) -> dict[str, bytes]:
    """One file a person, in a folder that names the person."""
    files = {}
    for who, mine in rows[rows["attribute"] != ""].groupby("annotator", sort=True):
        pairs = sorted({(row["attribute"], value) for row in mine.to_dict("records") for value in row["label"].split("|")})
        numbers = {pair: number for number, pair in enumerate(pairs, start=1)}
        places = {item: number for number, item in enumerate(sorted(mine["item_id"].unique()), start=1)}
        images = [
            {"id": number, "file_name": f"{item}.jpg", "width": sizes[item][0], "height": sizes[item][1]} for item, number in places.items()
        ]
        annotations: list[dict[str, Any]] = []
        is_mixed = not mine["attribute"].isin(answers.boxes(asked)).all()  # then "nothing to box" has to be said
        for row in mine.to_dict("records"):
            is_whole = row["x"] == ""
            if row["attribute"] in answers.boxes(asked) and is_whole and not is_mixed:
                continue
            box = [0, 0, *sizes[row["item_id"]]] if is_whole else [float(row[side]) for side in SIDES]
            annotations += [
                {
                    "id": len(annotations) + number, "image_id": places[row["item_id"]], "category_id": numbers[row["attribute"], value],
                    "bbox": box, "area": box[2] * box[3], "iscrowd": 0, "segmentation": [],
                    **({"is_image_level": True} if is_whole else {}),
                }
                for number, value in enumerate(row["label"].split("|"), start=1)
            ]  # fmt: skip
        categories = [{"id": number, "name": value, "supercategory": name} for (name, value), number in numbers.items()]
        document = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
        text = json.dumps(document, ensure_ascii=False)
        files[f"annotator={quote(str(who), safe='')}/annotations/instances_default.json"] = text.encode("utf-8")
    return files
