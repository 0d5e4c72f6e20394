"""From a tool's words to answers: which question a label answers, for which picture, and where its box lies.

The tools know labels, not questions, so a label says both as `attribute=value` (or `attribute: value`); a value of just one of the
questions may stand alone. Attributes of a tag or a box that are named like a question answer it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dataops_assets.labels.questions import NO_OBJECT
from dataops_assets.labels.tables import COLUMNS, FIELDS, IMPLIED, SIDES, Refused
from dataops_assets.spec import Attribute

Sizes = Mapping[str, tuple[int, int]]  # item_id -> width and height in pixels of the picture sent out
Row = dict[str, Any]

# what drawing tools say of a shape beside its label; none of it is an answer
DRAWING = frozenset({"occluded", "truncated", "difficult", "rotation", "track_id", "keyframe", "outside", "score", "source", "z_order"})
VALUE = frozenset({"value", "label"})  # an attribute of a tag that is named like a question: the answer
_ASKS = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:=|:\s)\s*(.*)", re.DOTALL)


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table.

    Raises:
        Refused: NO_ROWS when there is none.
    """
    empty = dict.fromkeys((*FIELDS, "fault"), "") | {"row": 0, "part": 0, "answer": 0}
    found = [empty | row for row in rows]
    if not found:
        raise Refused("NO_ROWS", "no answer in it")
    return pd.DataFrame(found, columns=list(COLUMNS), dtype="object")


def item_of(name: str) -> str:
    """The item behind a picture's file name or address: without folders, suffix and the prefix that Label Studio gives an upload."""
    return re.sub(r"^[0-9a-f]{8}-", "", re.split(r"[/\\=]", name)[-1]).rsplit(".", 1)[0]


def boxes(asked: Sequence[Attribute]) -> list[str]:
    """The questions that are answered with boxes."""
    return [attribute.name for attribute in asked if attribute.kind == "box"]


def named(attribute: str, value: str) -> str:
    """The label that says question and answer."""
    return f"{attribute}={value}"


def resolve(label: str, asked: Sequence[Attribute], is_box: bool) -> tuple[str, str]:
    """Question and answer that a label means; the question is "" when it can't be told."""
    fitting = [attribute for attribute in asked if (attribute.kind == "box") == is_box]
    holding = [attribute.name for attribute in fitting if label in attribute.values]
    if len(holding) == 1:
        return holding[0], label
    both = _ASKS.fullmatch(label)
    if both and both[1] in {attribute.name for attribute in asked}:
        return both[1], both[2]
    return (fitting[0].name if len(fitting) == 1 else ""), label


def of_shape(
    label: str, attributes: Mapping[str, Any], asked: Sequence[Attribute], box: Row | None = None, question: str = ""
) -> list[Row]:
    """The answers that one tag, or one box, gives.

    Args:
        label: Its label.
        attributes: What else is said of it.
        asked: The batch's questions.
        box: `x, y, w, h` and perhaps `fault`; None for a tag.
        question: The question when the format names it apart from the label.
    """
    names = {attribute.name: attribute for attribute in asked}
    given = {name: value for name, value in attributes.items() if name not in DRAWING}
    own = (question, label) if question in names else resolve(label, asked, box is not None)
    if label in names and not VALUE.isdisjoint(given):
        own = label, _said(given.pop(next(name for name in given if name in VALUE)))
    rows: list[Row] = [{"attribute": name, "label": _said(value)} for name, value in given.items()]
    is_answer = own[0] in names and (own[1] in names[own[0]].values or names[own[0]].kind == "box")
    if is_answer or not rows:  # a tag that only carries attributes is no answer itself
        rows.insert(0, {"attribute": own[0], "label": own[1]} | (box or {}))
    return rows


def _said(value: Any) -> str:
    return "|".join(text(part) for part in value) if isinstance(value, list) else text(value)


def together(rows: Sequence[Row], asked: Sequence[Attribute]) -> list[Row]:
    """One picture's answers by one person, the values of a question with several answers joined into one row."""
    multis = {attribute.name for attribute in asked if attribute.kind == "multi"}
    found: list[Row] = []
    first: dict[str, Row] = {}
    for row in rows:
        name = row.get("attribute", "")
        if name not in multis or row.get("fault"):
            found.append(row)
        elif name in first:
            first[name]["label"] += "|" + row["label"]
        else:
            first[name] = dict(row)
            found.append(first[name])
    return found


def nothing(rows: Sequence[Row], asked: Sequence[Attribute]) -> list[Row]:
    """What a picture that was looked at whole says by having no box: for each box question without one, that there is none.

    Where a row can't be used, or its question can't be told, nothing follows: it may be the box.
    """
    held = {row.get("attribute") for row in rows if not row.get("fault")}
    if "" in held or any(row.get("fault") for row in rows):
        return []
    return [{"attribute": name, "label": NO_OBJECT, "fault": IMPLIED} for name in boxes(asked) if name not in held]


def numbered(rows: Iterable[Row], row: int, **head: Any) -> list[Row]:
    """Rows with their place: `row` as given, `part` from 1."""
    return [head | {"row": row, "part": part} | answer for part, answer in enumerate(rows, start=1)]


def corners(left: Any, top: Any, right: Any, bottom: Any) -> Row:
    """A box from its edges; what is no number stays as it was given, for the verdict to refuse."""
    edges = [number(edge) for edge in (left, top, right, bottom)]
    if all(isinstance(edge, float) for edge in edges):
        edges = [edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]]
    return dict(zip(SIDES, edges, strict=True))


def other_size(width: Any, height: Any, size: tuple[int, int] | None) -> Row:
    """The fault of a box that was drawn on a picture of another size than the one sent out, by the size that the file states."""
    stated = number(width), number(height)
    if size is None or 0.0 in stated or not all(isinstance(side, float) for side in stated) or stated == size:
        return {}
    return {"fault": "SCHEMA"}


def number(value: Any) -> Any:
    """A finite float; anything else as text ("" for none) that the verdict refuses for what it is."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return "?"
    try:
        found = float(value) if "_" not in str(value) else None
    except OverflowError:
        return "inf"
    except ValueError:
        found = None
    if found is None:
        return str(value).strip()
    return found if math.isfinite(found) else str(found)


def text(value: Any) -> str:
    """Text or a whole number as text; else ""."""
    if isinstance(value, bool) or value is None:
        return ""
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def plain(value: float) -> str:
    """A number as short as it can be written without loss."""
    return repr(int(value)) if float(value).is_integer() else repr(float(value))
