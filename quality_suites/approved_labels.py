"""Gate of `approved_labels`: every label was decided by a rule or a person, and somebody answers for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.labels import changes
from dataops_assets.labels.questions import SCREENING
from dataops_assets.manifest import is_true
from dataops_assets.ontology import NOT_APPLICABLE
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import batch_verdict
from quality_suites.expectations import (
    CRITICAL,
    WARNING,
    among,
    as_many_rows,
    between,
    filled,
    in_ontology,
    matching,
    not_empty,
    suite_of,
    true,
)

DECIDED_BY = ("posterior", "majority_vote", "adjudication")
ANSWER = ["image_id", "attribute", "object_id", "label"]


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `was_accepted`: the batch's quality accepted this very label, and not as gold; and what its sampling plan says.

    `sample_passed` is whether no more audited labels are wrong than may be, `sample_answered` whether our own people have answered enough
    of them to say so; both are true where nothing was drawn. Nobody answers for pictures that were withdrawn since.
    """
    quality = inputs["label_quality"]
    free = quality[(quality["decision"] == "accept") & ~is_true(quality["is_gold"])]
    accepted = set(free[ANSWER].itertuples(index=False, name=None))
    answers = inputs.get("audits", quality.head(0))
    gone = set(inputs["withdrawn"]["image_id"]) if "withdrawn" in inputs else set()
    found = batch_verdict.audited(quality, answers, gone) if "is_audit" in quality else None
    rows = batch_verdict.audits(quality, found).to_dict("records") if found is not None else []
    planned = [batch_verdict.was_accepted(row) for row in rows if pd.notna(row["most_wrong"]) and row["drawn"]]
    return frame.assign(
        was_accepted=[answer in accepted for answer in frame[ANSWER].itertuples(index=False, name=None)],
        sample_passed=False not in planned,
        sample_answered=None not in planned,
    )


def parameters(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    quality = inputs["label_quality"]
    return {"input_rows": int(((quality["decision"] == "accept") & ~is_true(quality["is_gold"])).sum())}


def suite(spec: ProjectSpec) -> Any:
    rules = [
        not_empty("An approval", "label"),
        as_many_rows("Every accepted label must be approved, and nothing else"),
        true("was_accepted", "only_accepted", "Only labels that were accepted may be approved"),
        matching("approved_by", r"\S", "approved_by_someone", "Somebody must answer for the labels"),
        among("decided_by", DECIDED_BY, "decided", "Every label must be decided by its posterior, by our own people, or by adjudication"),
        true("sample_passed", "sample_passed", "No more audited labels may be wrong than the sampling plan allows"),
        true(
            "sample_answered",
            "sample_answered",
            "Our own people must have answered the labels drawn for the audit",
            severity=CRITICAL if spec.quality.audit == "required" else WARNING,
        ),
        filled("label", "labels_given", "Every approved question must have a label"),
        between("posterior", "posterior", "Every label must have enough answers behind it", low=spec.gates.min_posterior),
        *(
            in_ontology(attribute, former={NOT_APPLICABLE, *changes.former(spec.ontology, attribute.name)})
            for attribute in (SCREENING, *spec.ontology.attributes)
        ),
    ]
    return suite_of("approved_labels", *rules)
