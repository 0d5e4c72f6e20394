"""The delivery as COCO: one JSON a split beside one folder of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec

NOTE = (
    "Pictures lie in ../images. Every value of every attribute is a category, its attribute the supercategory. A box attribute "
    "gives one annotation a box. Any other attribute holds for the whole picture: it gives one annotation a value, whose "
    "bbox is the picture and whose is_image_level is true; the same labels are in the image's `labels`. A picture "
    "that lacks the labels of a box attribute (a variant) is not listed, because it would count as empty."
)


def write(root: Path, frame: pd.DataFrame, spec: ProjectSpec, release: str) -> None:
    """`root/coco/instances_<split>.json` for every split that has pictures, or for train alone when there are none.

    Ids count from 1 in the order of image_id within a split; categories in the order of the ontology.

    Args:
        root: The release folder.
        frame: Rows of `training_export`.
        spec: Its ontology gives the categories.
        release: Name of the release.
    """
    target = root / "coco"
    target.mkdir()
    for split in splits(frame):
        document = build(frame[frame["split"] == split], spec, f"{spec.name} {release} {split}")
        text = json.dumps(document, ensure_ascii=False, indent=None, separators=(",", ":"), sort_keys=True)
        (target / f"instances_{split}.json").write_text(text + "\n", encoding="utf-8")


def build(frame: pd.DataFrame, spec: ProjectSpec, description: str) -> dict[str, Any]:
    """One COCO document; its `info.note` says how labels of a whole picture are put."""
    kinds = {attribute.name: attribute.kind for attribute in spec.ontology.attributes}
    pairs = [(attribute.name, value) for attribute in spec.ontology.attributes for value in attribute.values]
    number = {pair: index for index, pair in enumerate(pairs, start=1)}
    boxes = {name for name, kind in kinds.items() if kind == "box"}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row in frame.sort_values("image_id").to_dict("records"):
        labels = json.loads(row["labels"])
        if not boxes <= labels.keys():
            continue
        width, height, image = int(row["width_px"]), int(row["height_px"]), len(images) + 1
        images.append({
            "id": image, "file_name": Path(row["file"]).name, "width": width, "height": height, "image_id": row["image_id"],
            "source_image_id": row["source_image_id"], "labels": {name: value for name, value in labels.items() if name not in boxes},
        })  # fmt: skip
        for name, value in labels.items():
            for item in value if isinstance(value, list) else [value]:
                label, box = (item["label"], [item[side] for side in "xywh"]) if isinstance(item, dict) else (item, [0, 0, width, height])
                annotations.append({
                    "id": len(annotations) + 1, "image_id": image, "category_id": number[(name, label)], "bbox": box,
                    "area": box[2] * box[3], "iscrowd": 0, "segmentation": [], "is_image_level": not isinstance(item, dict),
                })  # fmt: skip
    categories = [{"id": index, "name": value, "supercategory": name} for (name, value), index in number.items()]
    info = {"description": description, "version": spec.ontology.version, "note": NOTE}
    return {"info": info, "images": images, "annotations": annotations, "categories": categories}


def splits(frame: pd.DataFrame) -> list[str]:
    """Splits that have pictures, in the usual order; train when there are none."""
    held = set(frame["split"])
    return [split for split in ("train", "val", "test") if split in held] or ["train"]
