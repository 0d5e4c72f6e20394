"""Gate of `guidelines`: every answer an annotator may choose is defined, and what changed since the last release is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.labels import changes
from dataops_assets.ontology import Change, Ontology
from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, expect, filled, gxe, matching, not_empty, suite_of, true


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `reason`: on each of the first rows one thing that differs from the last release and isn't said, and `is_explained`."""
    before = inputs.get("released_before")
    if before is None or frame.empty:
        return frame.assign(reason=None, is_explained=True)
    stated = tuple(Change.model_validate(given) for given in json.loads(frame["changes"].iloc[0] or "[]"))
    now = Ontology.model_construct(version=str(frame["ontology_version"].iloc[0]), attributes=(), changes=stated)
    said = changes.unexplained(before, frame, now)
    lines = [*said[: len(frame) - 1], "; ".join(said[len(frame) - 1 :]) or None]
    reasons = pd.Series([*lines, *[None] * (len(frame) - len(lines))][: len(frame)], index=frame.index, dtype="object")
    reasons = reasons.where(reasons.notna(), None)
    return frame.assign(reason=reasons, is_explained=reasons.isna())


def suite(spec: ProjectSpec) -> Any:
    return suite_of(
        "guidelines",
        not_empty("guidelines", "value"),
        expect(
            gxe.ExpectTableRowCountToEqual(value=sum(len(attribute.answers) for attribute in spec.ontology.attributes)),
            "every_value_listed", "Every answer of the ontology must have its row",
        ),
        matching("definition", r"\S", "values_defined", "Every value needs a definition an annotator can work from"),
        filled("document_sha256", "document_written", "The handbook itself must be there"),
        true(
            "is_explained", "changes_explained",
            "What differs from the guidelines released last must be under another version and stated in ontology.changes",
        ),
        matching("question", r"\?\s*$", "questions_asked", "Every attribute should ask a question", severity=WARNING),
    )  # fmt: skip
