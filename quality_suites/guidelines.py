"""Gate of `guidelines`: every answer an annotator may choose is defined, changes are stated, and nothing hidden is given away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.labels.changes import unexplained
from dataops_assets.labels.examples import loaded
from dataops_assets.ontology import Change, Ontology
from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, between, expect, filled, gxe, matching, not_empty, suite_of

EXPLAINED = "explained"


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds two columns.

    - `stated`: `explained`, or in sentences what differs from the guidelines in use and isn't said in ontology.changes.
    - `gives_away`: pictures of the row that are still hidden as gold, a number.
    """
    hidden = set(inputs["hidden"]["image_id"]) if "hidden" in inputs else set()
    shown = [sum(one.image_id in hidden for one in loaded([text])) for text in frame["examples"]]
    frame = frame.assign(gives_away=pd.Series(shown, index=frame.index, dtype="int64"))
    if "in_use" not in inputs or frame.empty:
        return frame.assign(stated=EXPLAINED)
    stated = tuple(Change.model_validate_json(text) for text in inputs["stated"]["change"])
    now = Ontology.model_construct(version=str(frame["ontology_version"].iloc[0]), attributes=(), changes=stated)
    return frame.assign(stated="; ".join(unexplained(inputs["in_use"], frame, now)) or EXPLAINED)


def suite(spec: ProjectSpec) -> Any:
    return suite_of(
        "guidelines",
        not_empty("guidelines", "value"),
        expect(
            gxe.ExpectTableRowCountToEqual(value=sum(len(attribute.answers) for attribute in spec.ontology.attributes)),
            "every_value_listed", "Every answer of the ontology must have its row",
        ),
        matching("definition", r"\S", "values_defined", "Every value needs a definition an annotator can work from"),
        among("stated", [EXPLAINED], "changes_explained", "What differs from the guidelines in use must be stated in ontology.changes"),
        between("gives_away", "hidden_gold_kept", "No picture may be shown with its answers while it is hidden as gold", high=0),
        filled("document_sha256", "document_written", "The handbook itself must be there"),
        matching("question", r"\?\s*$", "questions_asked", "Every attribute should ask a question", severity=WARNING),
    )  # fmt: skip
