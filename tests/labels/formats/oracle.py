"""Runs in an environment of its own: what supervision and datumaro make of label files, and files that they write.

python oracle.py read FOLDER      FOLDER/<format>/... as `test_oracles.py` lays it out -> JSON on stdout: reader -> [picture, label, box]
python oracle.py write FOLDER     each format as datumaro and supervision write the boxes in FOLDER/boxes.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

Found = list[list[object]]  # item, label, x, y, w, h


def with_supervision(folder: Path) -> dict[str, Found]:
    """Boxes by supervision's three readers."""
    import supervision as sv

    coco, yolo, voc = folder / "coco", folder / "yolo", folder / "voc"
    sets = {
        "supervision coco": sv.DetectionDataset.from_coco(str(coco / "images"), str(coco / "annotations/instances_default.json")),
        "supervision yolo": sv.DetectionDataset.from_yolo(str(yolo / "images"), str(yolo / "labels"), str(yolo / "data.yaml")),
        "supervision voc": sv.DetectionDataset.from_pascal_voc(str(voc / "JPEGImages"), str(voc / "Annotations")),
    }
    found: dict[str, Found] = {}
    for name, dataset in sets.items():
        rows: Found = []
        for path, _, boxes in dataset:
            for (left, top, right, bottom), number in zip(boxes.xyxy.tolist(), boxes.class_id.tolist(), strict=True):
                rows.append([Path(path).stem, dataset.classes[number], left, top, right - left, bottom - top])
        found[name] = rows
    return found


def with_datumaro(folder: Path) -> dict[str, Found]:
    """Boxes and tags by datumaro's four readers; a tag has no sides."""
    import datumaro as dm

    found: dict[str, Found] = {}
    for format_, place in (("coco", "coco"), ("yolo", "darknet"), ("voc", "voc"), ("cvat", "cvat")):
        dataset = dm.Dataset.import_from(str(folder / place), format_)
        labels = dataset.categories()[dm.AnnotationType.label]
        rows: Found = []
        for item in dataset:
            for annotation in item.annotations:
                if annotation.type == dm.AnnotationType.bbox:
                    rows.append([item.id, labels[annotation.label].name, *annotation.get_bbox()])
                elif annotation.type == dm.AnnotationType.label:
                    rows.append([item.id, labels[annotation.label].name])
        found[f"datumaro {format_}"] = rows
    return found


def write(folder: Path) -> None:
    """What boxes.json says, `{item: {"size": [w, h], "boxes": [[label, x, y, w, h]], "tags": [label]}}`, in every format they write."""
    import datumaro as dm
    import supervision as sv
    from datumaro.components.media import Image

    given = json.loads((folder / "boxes.json").read_text())
    labels = sorted({box[0] for one in given.values() for box in one["boxes"]} | {tag for one in given.values() for tag in one["tags"]})
    items, pictures, annotations = [], {}, {}
    for item, one in given.items():
        picture = np.zeros((one["size"][1], one["size"][0], 3), np.uint8)
        drawn = [dm.Bbox(*box[1:], label=labels.index(box[0]), id=number, group=number) for number, box in enumerate(one["boxes"], start=1)]
        items.append(
            dm.DatasetItem(
                id=item,
                subset="train",
                media=Image.from_numpy(data=picture),
                annotations=drawn + [dm.Label(labels.index(tag)) for tag in one["tags"]],
            )
        )
        path = f"{item}.jpg"
        pictures[path] = picture
        edges = np.array([[x, y, x + w, y + h] for _, x, y, w, h in one["boxes"]], dtype=float).reshape(-1, 4)
        annotations[path] = sv.Detections(edges, class_id=np.array([labels.index(box[0]) for box in one["boxes"]], dtype=int))
    dataset = dm.Dataset.from_iterable(items, categories=labels)
    for format_ in ("coco", "yolo", "voc", "cvat"):
        dataset.export(str(folder / f"datumaro {format_}"), format_, save_media=True)
    other = sv.DetectionDataset(classes=labels, images=pictures, annotations=annotations)
    other.as_coco(annotations_path=str(folder / "supervision coco/instances.json"))
    other.as_yolo(
        annotations_directory_path=str(folder / "supervision yolo/labels"), data_yaml_path=str(folder / "supervision yolo/data.yaml")
    )
    other.as_pascal_voc(annotations_directory_path=str(folder / "supervision voc/Annotations"))


if __name__ == "__main__":
    place = Path(sys.argv[2])
    if sys.argv[1] == "read":
        print(json.dumps(with_supervision(place) | with_datumaro(place)))
    else:
        write(place)
