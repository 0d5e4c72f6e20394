"""Label Studio: the tasks and labelling page it works from, and the JSON it exports.

Format: https://labelstud.io/guide/task_format.html (boxes are percent of the picture's sides).
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import pandas as pd

from dataops_assets.labels.formats.answers import Row, Sizes, boxes, item_of
from dataops_assets.labels.questions import NO_OBJECT
from dataops_assets.labels.tables import COLUMNS, FIELDS, IMPLIED, SIDES, Refused
from dataops_assets.spec import Attribute

LOCAL_FILES = "/data/local-files/?d="  # how Label Studio addresses pictures below its local document root


def config(attributes: Sequence[Attribute], questions: dict[str, str], is_whole: bool = False) -> str:
    """The labelling page (XML): choices for questions, rectangles for boxes; definitions show as hints.

    A question that depends on another one (`when`) is hidden until that is answered so. One that can always be answered, because it is
    required and `cant_tell` is an answer, can't be left blank.

    Args:
        attributes: What the batch asks.
        questions: attribute -> the question in words.
        is_whole: Whether every picture is asked everything: then no answer with one value can be left out.
    """
    lines = [
        "<View>",
        '  <Header value="Answer only: $attributes" size="5"/>',
        '  <View style="display: flex; gap: 1em">',  # the questions beside the picture: nobody scrolls
        '    <View style="flex: 3 1 0"><Image name="image" value="$image" zoom="true" zoomControl="true" maxWidth="100%"/></View>',
        '    <View style="flex: 2 1 0">',
    ]
    for attribute in attributes:
        conditions = [(name, values) for name, values in attribute.when.items() if not any("," in value for value in values)]
        lines += [
            f'      <View visibleWhen="choice-selected" whenTagName={quoteattr(name)} whenChoiceValue={quoteattr(",".join(values))}>'
            for name, values in conditions
        ]
        lines.append(f"      <Header value={quoteattr(questions[attribute.name])}/>")
        tag, item = ("RectangleLabels", "Label") if attribute.kind == "box" else ("Choices", "Choice")
        choice = "" if attribute.kind == "box" else f' choice="{"multiple" if attribute.kind == "multi" else "single"}" showInline="true"'
        # one that depends on another may be hidden, and then nothing could be sent
        is_always = is_whole and attribute.kind == "single" and attribute.required and not attribute.when
        choice += ' required="true"' if is_always or (attribute.required and attribute.cant_tell) else ""
        lines.append(f'      <{tag} name={quoteattr(attribute.name)} toName="image"{choice}>')
        lines += [f"        <{item} value={quoteattr(value)} hint={quoteattr(hint)}/>" for value, hint in attribute.definitions.items()]
        lines.append(f"      </{tag}>")
        lines += ["      </View>"] * len(conditions)
    lines += ["    </View>", "  </View>"]
    return "\n".join([*lines, "</View>"]) + "\n"


def tasks(rows: Sequence[tuple[str, str, str]]) -> str:
    """Tasks to import (JSON) from (item_id, file, attributes joined by |)."""
    documents = [
        {"data": {"attributes": attributes.replace("|", ", "), "image": LOCAL_FILES + file, "item_id": item_id}}
        for item_id, file, attributes in rows
    ]
    return json.dumps(documents, indent=1, ensure_ascii=True) + "\n"


def choices(labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Results (attribute -> label, several joined by |) as a prediction or an annotation holds them."""
    return [
        {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": label.split("|")}} for name, label in labels.items()
    ]


def read(document: Any, sizes: dict[str, tuple[int, int]], boxes: Sequence[str]) -> pd.DataFrame:
    """Rows of an export: `row` is the task's place in the file, `part` counts its results.

    A cancelled or empty annotation is a row with fault NO_ROWS; one without rectangles for a box question says that
    there is nothing to box. Predictions are not answers and not read.

    Args:
        document: The parsed export: a list of tasks.
        sizes: item_id -> (width, height) in pixels of the picture sent out; percents refer to it.
        boxes: Attributes that are answered with boxes.

    Raises:
        Refused: SCHEMA when it is no Label Studio export, NO_ROWS when it holds no annotation.
    """
    if not isinstance(document, list) or not all(isinstance(task, dict) for task in document):
        raise Refused("SCHEMA", "a Label Studio export is a list of tasks")
    if document and not any("annotations" in task or "completions" in task for task in document):
        raise Refused("SCHEMA", "no task has `annotations`: export as JSON, not JSON_MIN")
    empty = dict.fromkeys((*FIELDS, "fault"), "")
    found: list[dict[str, Any]] = []
    for number, task in enumerate(document, start=1):
        found += [empty | {"row": number, "part": part} | row for part, row in enumerate(_task(task, sizes, boxes), start=1)]
    if not found:
        raise Refused("NO_ROWS", "no annotation in it")
    return pd.DataFrame(found, columns=list(COLUMNS), dtype="object")


def write(rows: pd.DataFrame, sizes: Sizes, asked: Sequence[Attribute]) -> dict[str, bytes]:
    """An export of these answers, as `read` takes it: one annotation for what a person said of a picture at one time."""
    drawn = set(boxes(asked))
    documents: list[Row] = []
    for number, (item, its) in enumerate(rows.groupby("item_id", sort=True), start=1):
        annotations: list[Row] = []
        for (who, when, seconds), mine in its.groupby(["annotator", "submitted_at", "seconds"], sort=True):
            results = [_written(row, sizes[str(item)], drawn) for row in mine.to_dict("records") if row["attribute"]]
            annotations.append({
                "id": len(annotations) + 1, "completed_by": who, "created_at": when, "lead_time": seconds or None,
                "was_cancelled": not results, "result": [result for result in results if result],
            })  # fmt: skip
        documents.append({"id": number, "data": {"item_id": item}, "annotations": annotations})
    return {"label_studio.json": (json.dumps(documents, ensure_ascii=False) + "\n").encode("utf-8")}


def _written(row: Mapping[Hashable, Any], size: tuple[int, int], drawn: set[str]) -> Row:
    """One result; nothing for "nothing to box", which the annotation says by having no rectangle."""
    head = {"from_name": row["attribute"], "to_name": "image"}
    if row["attribute"] not in drawn:
        return head | {"type": "choices", "value": {"choices": row["label"].split("|")}}
    if row["x"] == "":
        return {}
    limits = (size[0], size[1], size[0], size[1])
    shares = [float(row[side]) * 100 / limit for side, limit in zip(SIDES, limits, strict=True)]
    value = dict(zip(("x", "y", "width", "height"), shares, strict=True)) | {"rotation": 0, "rectanglelabels": [row["label"]]}
    return head | {"type": "rectanglelabels", "original_width": size[0], "original_height": size[1], "value": value}


def _task(task: dict[str, Any], sizes: dict[str, tuple[int, int]], boxes: Sequence[str]) -> Iterator[dict[str, Any]]:
    item = _item_id(task)
    annotations = task.get("annotations", task.get("completions"))
    if not isinstance(annotations, list):
        yield {"answer": 0, "item_id": item, "fault": "SCHEMA"}
        return
    for answer, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            yield {"answer": answer, "item_id": item, "fault": "SCHEMA"}
            continue
        head = {
            "answer": answer,
            "item_id": item,
            "annotator": _annotator(annotation.get("completed_by")),
            "submitted_at": _text(annotation.get("updated_at")) or _text(annotation.get("created_at")),  # an edit counts from its own time
            "seconds": _number(annotation.get("lead_time")),
        }
        results = annotation.get("result")
        if annotation.get("was_cancelled") or (results == [] and not boxes):
            yield head | {"fault": "NO_ROWS"}
        elif not isinstance(results, list):
            yield head | {"fault": "SCHEMA"}
        else:
            for result in results:
                yield from (head | row for row in _result(result, sizes.get(item)))
            answered = {_text(result.get("from_name")) for result in results if isinstance(result, dict)}
            yield from (head | {"attribute": name, "label": NO_OBJECT, "fault": IMPLIED} for name in boxes if name not in answered)


def _result(result: Any, size: tuple[int, int] | None) -> Iterator[dict[str, Any]]:
    if not isinstance(result, dict) or not isinstance(result.get("value"), dict):
        yield {"fault": "SCHEMA"}
        return
    row: dict[str, Any] = {"attribute": _text(result.get("from_name"))}
    kind, value = result.get("type"), result["value"]
    labels = value.get(kind) if isinstance(kind, str) else None
    if kind not in ("choices", "rectanglelabels") or not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        yield row | {"fault": "SCHEMA"}
    elif kind == "choices":
        yield row | {"label": "|".join(labels)}
    elif len(labels) != 1 or value.get("rotation") not in (None, 0) or result.get("image_rotation") not in (None, 0):
        yield row | {"label": "|".join(labels), "fault": "SCHEMA"}  # a rotated rectangle is no box
    else:
        width, height = size or (_number(result.get("original_width")), _number(result.get("original_height")))
        sides = {"x": width, "y": height, "w": width, "h": height}
        percents = {"x": value.get("x"), "y": value.get("y"), "w": value.get("width"), "h": value.get("height")}
        yield row | {"label": labels[0]} | {name: _pixels(percent, sides[name]) for name, percent in percents.items()}


def _pixels(percent: Any, side: Any) -> float | str:
    number = _number(percent)
    if not isinstance(number, float) or not isinstance(side, int | float):
        return ""
    pixels = number * side / 100
    return pixels if math.isfinite(pixels) else str(pixels)


def _item_id(task: dict[str, Any]) -> str:
    """`data.item_id`, else the picture's file name without suffix and the prefix that an upload gets."""
    data = task.get("data")
    if not isinstance(data, dict):
        return ""
    if "item_id" in data:
        return _text(data["item_id"])
    name = _text(data.get("image")) or _text(task.get("file_upload"))
    return item_of(name)


def _annotator(given: Any) -> str:
    if isinstance(given, dict):
        given = next((given[name] for name in ("id", "email", "username") if given.get(name) not in (None, "")), "")
    return _text(given)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _number(value: Any) -> float | str:
    """A float; text and other things as text, for the verdict to refuse."""
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return "inf"
    return value if isinstance(value, str) else "?"
