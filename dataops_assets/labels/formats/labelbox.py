"""Labelbox: newline-delimited JSON, a picture a line, with the labels that each person gave it.

Format: https://docs.labelbox.com/reference/export-image-annotations. Questions about the picture are classifications, boxes are
objects. A label that wasn't skipped looked at the whole picture: where it has no box there is nothing to box.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from dataops_assets.labels.formats import answers
from dataops_assets.labels.formats.answers import Row, Sizes
from dataops_assets.labels.tables import SIDES, Refused, strict_json
from dataops_assets.spec import Attribute

KEY = b'"data_row"'


def is_it(data: bytes) -> bool:
    """Whether a JSON file's first line is one of Labelbox's pictures."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and KEY in data.lstrip().split(b"\n", 1)[0]


def read(data: bytes, sizes: Sizes, asked: Sequence[Attribute]) -> pd.DataFrame:
    """Rows of an export: `row` is the line, `part` counts its answers. A line that can't be used is a row with its fault.

    Args:
        data: The file.
        sizes: Pixels of the pictures sent out; boxes on one of another size are refused.
        asked: The batch's questions.

    Raises:
        Refused: NO_ROWS when no line holds a label.
    """
    rows: list[Row] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            found = list(_picture(strict_json(line), sizes, asked))
        except Refused as refused:
            found = [{"fault": refused.code}]
        rows += answers.numbered(found, number)
    return answers.frame(rows)


def _picture(document: Any, sizes: Sizes, asked: Sequence[Attribute]) -> Iterator[Row]:
    row, projects = (document.get(name) if isinstance(document, dict) else None for name in ("data_row", "projects"))
    if not isinstance(row, dict) or not isinstance(projects, dict):
        raise Refused("SCHEMA", "a line without `data_row` and `projects`")
    item = _item(row, sizes)
    stated = document.get("media_attributes")
    wrong = answers.other_size(stated.get("width"), stated.get("height"), sizes.get(item)) if isinstance(stated, dict) else {}
    labels: list[Any] = []
    for project in projects.values():
        its = project.get("labels") if isinstance(project, dict) else None
        labels += its if isinstance(its, list) else [None]
    for number, label in enumerate(labels):
        for answer in _label(label, wrong, asked):
            yield {"item_id": item, "answer": number} | answer


def _item(row: dict[str, Any], sizes: Sizes) -> str:
    names = [answers.item_of(answers.text(row.get(key))) for key in ("global_key", "external_id", "row_data")]
    return next((name for name in names if name in sizes), next(filter(None, names), ""))


def _label(label: Any, wrong: Row, asked: Sequence[Attribute]) -> list[Row]:
    """The answers of one person to one picture."""
    if not isinstance(label, dict):
        return [{"fault": "SCHEMA"}]
    details, work, given = (_dict(label.get(name)) for name in ("label_details", "performance_details", "annotations"))
    head = {
        "annotator": answers.text(details.get("created_by")),
        "submitted_at": answers.text(details.get("updated_at")) or answers.text(details.get("created_at")),
        "seconds": answers.number(work.get("seconds_to_create")),
    }
    objects, classes = given.get("objects", []), given.get("classifications", [])
    if work.get("skipped") is True:
        return [head | {"fault": "NO_ROWS"}]
    if not isinstance(label.get("annotations"), dict) or not isinstance(objects, list) or not isinstance(classes, list):
        return [head | {"fault": "SCHEMA"}]
    rows = [row for one in objects for row in _object(one, wrong, asked)] + [row for one in classes for row in _classification(one, asked)]
    rows = answers.together(rows, asked)
    rows += answers.nothing(rows, asked)
    return [head | row for row in rows or [{"fault": "NO_ROWS"}]]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _object(given: Any, wrong: Row, asked: Sequence[Attribute]) -> list[Row]:
    label = answers.text(_dict(given).get("name")) or answers.text(_dict(given).get("value"))
    box = _dict(given).get("bounding_box")
    if not isinstance(box, dict):
        return [{"label": label, "fault": "SCHEMA"}]
    sides = dict(zip(SIDES, (answers.number(box.get(side)) for side in ("left", "top", "width", "height")), strict=True))
    nested = given.get("classifications", [])
    said = [row for one in nested for row in _classification(one, asked)] if isinstance(nested, list) else [{"fault": "SCHEMA"}]
    return [*answers.of_shape(label, {}, asked, sides | wrong), *said]


def _classification(given: Any, asked: Sequence[Attribute]) -> list[Row]:
    names = {attribute.name: attribute for attribute in asked}
    called = [answers.text(_dict(given).get(key)) for key in ("name", "value")]
    question = next((name for name in called if name in names), called[0])
    radio, several = _dict(given).get("radio_answer"), _dict(given).get("checklist_answers")
    picked = [radio] if isinstance(radio, dict) else several
    if not isinstance(picked, list) or not all(isinstance(one, dict) for one in picked):
        return [{"attribute": question, "fault": "SCHEMA"}]
    values = names[question].values if question in names else {}
    words = [[answers.text(one.get(key)) for key in ("name", "value")] for one in picked]
    rows: list[Row] = [{"attribute": question, "label": "|".join(next((w for w in pair if w in values), pair[0]) for pair in words)}]
    for one in picked:
        nested = one.get("classifications", [])
        rows += [row for part in nested for row in _classification(part, asked)] if isinstance(nested, list) else [{"fault": "SCHEMA"}]
    return rows


def write(rows: pd.DataFrame, sizes: Sizes, asked: Sequence[Attribute]) -> dict[str, bytes]:
    """One file, a line a picture."""
    lines = []
    for item, its in rows.groupby("item_id", sort=True):
        labels = [_written(mine, asked) for _, mine in its.groupby(["annotator", "submitted_at", "seconds"], sort=True)]
        width, height = sizes[str(item)]
        lines.append({
            "data_row": {"id": item, "global_key": item, "external_id": f"{item}.jpg"},
            "media_attributes": {"width": width, "height": height},
            "projects": {"project": {"labels": labels}},
        })  # fmt: skip
    return {"labelbox.ndjson": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode("utf-8")}


def _written(rows: pd.DataFrame, asked: Sequence[Attribute]) -> dict[str, Any]:
    objects, classes = [], []
    multis = {attribute.name for attribute in asked if attribute.kind == "multi"}
    for row in rows[rows["attribute"] != ""].to_dict("records"):
        if row["x"] != "":
            box = {name: float(row[side]) for name, side in zip(("left", "top", "width", "height"), SIDES, strict=True)}
            objects.append({"name": answers.named(row["attribute"], row["label"]), "bounding_box": box, "classifications": []})
        elif row["attribute"] not in answers.boxes(asked):
            picked = [{"name": value, "value": value} for value in row["label"].split("|")]
            answer = {"checklist_answers": picked} if row["attribute"] in multis else {"radio_answer": picked[0]}
            classes.append({"name": row["attribute"], "value": row["attribute"], **answer})
    first = rows.iloc[0]
    return {
        "label_details": {"created_by": first["annotator"], "created_at": first["submitted_at"]},
        "performance_details": {"seconds_to_create": first["seconds"], "skipped": bool((rows["attribute"] == "").all())},
        "annotations": {"objects": objects, "classifications": classes, "relationships": []},
    }
