"""One box in each format, with its numbers as text, and what becomes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

import pandas as pd

from dataops_assets.stages.labeled_batches import accept
from tests.labels.world import COLOUR, KEY, MARKS, PARTS, make_spec, make_tasks

SPEC = make_spec(COLOUR, MARKS, PARTS)
TASKS = make_tasks(SPEC)
ITEM, OTHER = TASKS["task_id"]  # pictures of 40x30 pixels
WHEN = "2026-01-02T00:00:00Z"
CLASSES = ("data.yaml", b"names: [parts=bag, cat]")


def judged(*files: tuple[str, bytes], before: datetime | None = None) -> pd.DataFrame:
    seen = {("acme", hashlib.sha256(data).hexdigest()): before for _, data in files} if before else None
    return accept([("acme", name, data) for name, data in files], TASKS, SPEC, KEY, seen)


def reasons(*files: tuple[str, bytes], before: datetime | None = None) -> list[str]:
    return sorted(judged(*files, before=before)["reason"])


# one box in each format: item, label, and the edges or sides as the format's text


def cvat(
    item: str = ITEM, label: str = "bag", edges: str = "1 2 11 10", more: str = "", when: str = WHEN, inside: str = ""
) -> tuple[str, bytes]:
    box = "".join(f' {name}="{edge}"' for name, edge in zip(("xtl", "ytl", "xbr", "ybr"), edges.split(), strict=False))
    image = f'<image id="0" name="{item}.jpg" width="40" height="30"><box label="{label}"{box}{more}>{inside}</box></image>'
    meta = f"<meta><task><updated>{when}</updated><assignee><username>ann</username></assignee></task></meta>"
    return "a.xml", f"<annotations><version>1.1</version>{meta}{image}</annotations>".encode()


def voc(item: str = ITEM, label: str = "bag", edges: str = "1 2 11 10", size: str = "40 30", more: str = "") -> tuple[str, bytes]:
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{name}>{edge}</{name}>" for name, edge in zip(names, edges.split(), strict=False))
    width, height = size.split()
    head = f"<filename>{item}.jpg</filename><size><width>{width}</width><height>{height}</height></size>"
    return "a.xml", f"<annotation>{head}<object><name>{label}</name><bndbox>{box}</bndbox>{more}</object></annotation>".encode()


def yolo(item: str = ITEM, label: str = "0", sides: str = "0.5 0.5 0.2 0.2") -> tuple[str, bytes]:
    return f"{item}.txt", f"{label} {sides}\n".encode()


def coco(item: str = ITEM, label: str = "bag", sides: str = "1, 2, 10, 8", more: str = "", size: str = "40 30") -> tuple[str, bytes]:
    width, height = size.split()
    image = f'{{"id": 1, "file_name": "{item}.jpg", "width": {width}, "height": {height}}}'
    box = f'{{"id": 1, "image_id": 1, "category_id": 1, "bbox": [{sides}]{more}}}'
    return "a.json", f'{{"images": [{image}], "annotations": [{box}], "categories": [{{"id": 1, "name": "{label}"}}]}}'.encode()


def labelbox(item: str = ITEM, label: str = "bag", sides: str = "1, 2, 10, 8", when: str = WHEN, work: str = "") -> tuple[str, bytes]:
    box = ", ".join(f'"{name}": {side}' for name, side in zip(("left", "top", "width", "height"), sides.split(", "), strict=False))
    given = f'{{"objects": [{{"name": "{label}", "bounding_box": {{{box}}}}}], "classifications": []}}'
    details = f'{{"created_by": "ann", "created_at": "{when}"}}'
    label_ = f'{{"label_details": {details}, "performance_details": {{{work}}}, "annotations": {given}}}'
    return "a.ndjson", f'{{"data_row": {{"global_key": "{item}"}}, "projects": {{"p": {{"labels": [{label_}]}}}}}}\n'.encode()


GOOD: dict[str, Callable[..., tuple[str, bytes]]] = {"CVAT": cvat, "VOC": voc, "YOLO": yolo, "COCO": coco, "Labelbox": labelbox}
