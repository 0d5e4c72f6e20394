"""Answers to three questions, and each format with what writes it."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from dataops_assets.labels import label_studio, returned, tables
from dataops_assets.labels.formats import coco, cvat, labelbox, voc, yolo
from dataops_assets.labels.formats.answers import Sizes
from dataops_assets.labels.tables import FIELDS
from dataops_assets.spec import Attribute
from tests.labels.world import COLOUR, MARKS, PARTS

HOLES = {"name": "holes", "kind": "box", "values": {"tear": "A tear.", "burn": "A burn.", "Löcher, groß": "Many."}}
ASKED = [Attribute.model_validate(given) for given in (COLOUR, MARKS, PARTS, HOLES)]
SIZES = {"t1": (40, 30), "t2": (400, 300), "0001": (33, 77)}
WHEN = "2026-01-02T03:04:05Z"

WRITERS: dict[str, Callable[[pd.DataFrame, Sizes, list[Attribute]], dict[str, bytes]]] = {
    "CSV": lambda rows, sizes, asked: {"labels.csv": tables.write_csv(rows)},
    "Label Studio JSON": label_studio.write,
    "CVAT for images 1.1": cvat.write,
    "COCO": coco.write,
    "YOLO": yolo.write,
    "Pascal VOC": voc.write,
    "Labelbox NDJSON": labelbox.write,
}


def answer(item: str = "t1", attribute: str = "colour", label: str = "red", *box: float, **more: object) -> dict:
    sides = dict(zip("xywh", box, strict=True)) if box else dict.fromkeys("xywh", "")
    return (
        {"item_id": item, "attribute": attribute, "label": label, "annotator": "ann", "submitted_at": WHEN, "seconds": 2.5} | sides | more
    )


def table(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(FIELDS), dtype="object")


def files_of(name: str, *rows: dict) -> dict[str, bytes]:
    return WRITERS[name](table(*rows), SIZES, ASKED)


def read(files: dict[str, bytes], asked: list[Attribute] | None = None) -> pd.DataFrame:
    parts = [returned.read(document, SIZES, ASKED if asked is None else asked) for document in returned.documents(files.items())]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(tables.COLUMNS))


def there_and_back(name: str, *rows: dict) -> list[dict]:
    """Rows written in a format and read again, in a settled order, numbers as numbers."""
    back = read(files_of(name, *rows))
    return settled(back.to_dict("records"))


def settled(rows: list[dict]) -> list[dict]:
    shown = [
        {field: _settle(field, row[field]) for field in FIELDS} | {"fault": row.get("fault", "").replace(tables.IMPLIED, "")}
        for row in rows
    ]
    return sorted(shown, key=str)


def _settle(field: str, value: object) -> object:
    return round(float(value), 6) if field in tables.NUMBERS and value != "" else value  # type: ignore[arg-type]
