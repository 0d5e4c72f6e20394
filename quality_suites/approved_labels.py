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
from dataops_assets.stages import auditing
from dataops_assets.stages.label_quality import auto_accepted
from quality_suites.expectations import (
    CRITICAL,
    WARNING,
    among,
    as_many_rows,
    between,
    expect,
    filled,
    gxe,
    in_ontology,
    matching,
    suite_of,
    true,
)

DECIDED_BY = ("posterior", "majority_vote", "adjudication")
ANSWER = ["image_id", "attribute", "object_id", "label"]


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `was_accepted`: the batch's quality accepted this very label, and not as gold; and what is known of the batch as a whole.

    - `sample_passed`: no more audited labels are wrong than may be;
    - `sample_answered`: our own people have answered enough of them to say so; both are true where nothing was drawn;
    - `is_measured`: hidden gold or an audited label tells how good the batch is; asked of production alone, whose gold measures, and where
      there is a label that could be audited.
    """
    quality = inputs["label_quality"]
    is_gold = is_true(quality["is_gold"])
    free = quality[(quality["decision"] == "accept") & ~is_gold]
    accepted = set(free[ANSWER].itertuples(index=False, name=None))
    answers = inputs.get("audits", quality.head(0))
    found = auditing.audited(quality, answers) if "is_audit" in quality else None
    rows = auditing.audits(quality, found).to_dict("records") if found is not None else []
    planned = [auditing.was_accepted(row) for row in rows if pd.notna(row["most_wrong"]) and row["drawn"]]
    has_gold = "gold_correct" in quality and bool((is_gold & quality["gold_correct"].notna() & quality["n_labels"].gt(0)).any())
    needs_measure = auto_accepted(quality) & quality["kind"].eq("production")
    return frame.assign(
        was_accepted=[answer in accepted for answer in frame[ANSWER].itertuples(index=False, name=None)],
        sample_passed=False not in planned,
        sample_answered=None not in planned,
        is_measured=has_gold or any(row["n"] for row in rows) or not needs_measure.any(),
    )


def parameters(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """`input_rows`: labels that were accepted; `least_rows`: 0 where none was and later batches have settled every question."""
    quality = inputs["label_quality"]
    is_work = ~is_true(quality["is_gold"])
    count, open_ = (int((is_work & is_).sum()) for is_ in (quality["decision"] == "accept", quality["decision"] != "accept"))
    is_settled = False
    if open_ and not count and "settled" in inputs:
        gone = set(inputs["gone"]["image_id"]) if "gone" in inputs else set()
        is_settled = bool(auditing.left_open(quality, inputs["settled"], gone)["found"].notna().all())
    return {"input_rows": count, "least_rows": 0 if is_settled else 1}


def suite(spec: ProjectSpec) -> Any:
    rules = [
        expect(
            gxe.ExpectTableRowCountToBeBetween(min_value={"$PARAMETER": "least_rows"}),
            "not_empty",
            "An approval must hold at least one label, or later batches must have settled every question of its batch: plan and label the "
            "rework and adjudication that wait",
        ),
        as_many_rows("Every accepted label must be approved, and nothing else"),
        true("was_accepted", "only_accepted", "Only labels that were accepted may be approved"),
        matching("approved_by", r"\S", "approved_by_someone", "Somebody must answer for the labels"),
        among("decided_by", DECIDED_BY, "decided", "Every label must be decided by its posterior, by our own people, or by adjudication"),
        true("sample_passed", "sample_passed", "No more audited labels may be wrong than the sampling plan allows"),
        true(
            "sample_answered",
            "sample_answered",
            "Our own people must have answered the labels drawn for the audit: until then nobody knows how many of those that were "
            "accepted by themselves are wrong",
            severity=CRITICAL if spec.quality.audit == "required" else WARNING,
        ),
        true(
            "is_measured",
            "measured",
            "Hidden gold or the audit must have measured a production batch, else nobody has looked at any of it",
            severity=WARNING if spec.quality.audit == "off" else CRITICAL,
        ),
        filled("label", "labels_given", "Every approved question must have a label"),
        between("posterior", "posterior", "Every label must have enough answers behind it", low=spec.gates.min_posterior),
        *(
            in_ontology(attribute, former={NOT_APPLICABLE, *changes.former(spec.ontology, attribute.name)})
            for attribute in (SCREENING, *spec.ontology.attributes)
        ),
    ]
    return suite_of("approved_labels", *rules)
