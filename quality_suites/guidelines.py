"""Gate of `guidelines`: every value an annotator may choose is defined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.labels.changes import unexplained
from dataops_assets.ontology import Change, Ontology
from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, expect, filled, gxe, matching, not_empty, suite_of

EXPLAINED = "explained"


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `changes`: `explained`, or in sentences what differs from the guidelines in use and isn't stated in ontology.changes."""
    if "in_use" not in inputs or frame.empty:
        return frame.assign(changes=EXPLAINED)
    stated = tuple(Change.model_validate_json(text) for text in inputs["stated"]["change"])
    now = Ontology.model_construct(version=str(frame["ontology_version"].iloc[0]), attributes=(), changes=stated)
    return frame.assign(changes="; ".join(unexplained(inputs["in_use"], frame, now)) or EXPLAINED)


def suite(spec: ProjectSpec) -> Any:
    return suite_of(
        "guidelines",
        not_empty("guidelines", "value"),
        expect(
            gxe.ExpectTableRowCountToEqual(value=sum(len(attribute.values) for attribute in spec.ontology.attributes)),
            "every_value_listed", "Every value of the ontology must have its row",
        ),
        matching("definition", r"\S", "values_defined", "Every value needs a definition an annotator can work from"),
        among("changes", [EXPLAINED], "changes_explained", "What differs from the guidelines in use must be stated in ontology.changes"),
        filled("document_sha256", "document_written", "The handbook itself must be there"),
        matching("question", r"\?\s*$", "questions_asked", "Every attribute should ask a question", severity=WARNING),
    )  # fmt: skip
