"""A model's predictions, row by row: right or wrong on a release, an answer to start labelling from, or not usable with the reason."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import records
from dataops_assets.spec import ProjectSpec

ACCEPTED, UNLABELLED, REJECTED = "accepted", "unlabelled", "rejected"
COLUMNS = ("image_id", "attribute", "predicted", "confidence", "model")


def accept(files: Sequence[tuple[str, bytes | None]], export: pd.DataFrame, spec: ProjectSpec, stock: Collection[str] = ()) -> pd.DataFrame:
    """Read predictions: CSV with `image_id, attribute, predicted` and optionally `confidence, model`.

    `attribute` may be missing in a project of one attribute. Every row comes out: accepted, that is compared with the released label;
    `unlabelled`, where a picture of ours has none to compare with (labelling can start from it); or rejected with a reason code. A
    file that can't be read at all, or has too many bytes to be, comes out as one rejected row. Predictions of boxes are not compared:
    `SCHEMA`.

    Args:
        files: Names and bytes; None for a file that is too large to be read.
        export: `training_export` rows of the release.
        spec: The project.
        stock: image_ids of the pictures in use, released or not.
    """
    ours = frozenset(stock)
    known = {row["image_id"]: row for row in records(export)}
    rows = [row for name, data in files for row in (_rows(data) if data is not None else _unread(name))]
    single = spec.ontology.attributes[0].name if len(spec.ontology.attributes) == 1 else None
    release = str(export["release"].iloc[0]) if len(export) else "-"
    made = {
        row["row_id"]: {"release": release, **_judged(row, known, ours, spec, single)} for row in rows
    }  # the same file twice adds nothing
    return pd.DataFrame(list(made.values()), columns=list(CONTRACTS["model_feedback"].columns))


def _unread(name: str) -> list[dict[str, Any]]:
    return [{"row_id": f"{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:12]}:0", "reason": "TOO_LARGE"}]


def _rows(data: bytes) -> list[dict[str, Any]]:
    digest = hashlib.sha256(data).hexdigest()[:12]
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        rows: list[dict[str, Any]] = list(reader)
    except UnicodeDecodeError:
        return [{"row_id": f"{digest}:0", "reason": "ENCODING"}]
    except csv.Error:
        return [{"row_id": f"{digest}:0", "reason": "SCHEMA"}]
    if not {"image_id", "predicted"} <= set(reader.fieldnames or ()):
        return [{"row_id": f"{digest}:0", "reason": "SCHEMA"}]
    if not rows:
        return [{"row_id": f"{digest}:0", "reason": "NO_ROWS"}]
    return [{**{name: row.get(name) for name in COLUMNS}, "row_id": f"{digest}:{number}"} for number, row in enumerate(rows, start=1)]


def _judged(row: dict[str, Any], known: dict[str, Any], ours: frozenset[str], spec: ProjectSpec, single: str | None) -> dict[str, Any]:
    image = row.get("image_id") or ""
    exported = known.get(image)
    attribute = spec.ontology.attribute(row.get("attribute") or single or "")
    confidence = _number(row.get("confidence"))
    reason = row.get("reason")
    if not reason and ((exported is None and image not in ours) or attribute is None):
        reason = "UNKNOWN_ITEM"
    label = json.loads(exported["labels"]).get(attribute.name) if exported and attribute else None
    if not reason and attribute and attribute.kind == "box":
        reason = "SCHEMA"
    has_label = isinstance(label, (str, list))
    if not reason and not has_label and image not in ours:
        reason = "UNKNOWN_ITEM"
    if not reason and attribute and not set((row["predicted"] or "").split("|")) <= attribute.values.keys():
        reason = "UNKNOWN_LABEL"
    if not reason and confidence is not None and not 0 <= confidence <= 1:
        reason = "NOT_FINITE" if not math.isfinite(confidence) else "OUT_OF_BOUNDS"
    base = {
        "row_id": row["row_id"],
        "image_id": row.get("image_id"),
        "attribute": attribute.name if attribute else row.get("attribute"),
        "predicted": row.get("predicted"),
        "model": row.get("model") or None,
    }
    if reason:
        return {**base, "status": REJECTED, "reason": reason}
    if exported is None or not has_label:
        return {**base, "confidence": confidence, "status": UNLABELLED}
    text = "|".join(sorted(label)) if isinstance(label, list) else label
    is_correct = "|".join(sorted(row["predicted"].split("|"))) == text
    return {
        **base, "split": exported["split"], "label": text, "confidence": confidence, "is_correct": is_correct, "status": ACCEPTED,
    }  # fmt: skip


def _number(value: Any) -> float | None:
    if value in (None, ""):
        return None
    try:
        return float(value)
    except ValueError:
        return math.nan
