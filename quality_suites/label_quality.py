"""Gate of `label_quality`: the batch is accurate enough on gold, and every question has a decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, between, filled, not_empty, suite_of, true

BOUGHT = 'kind in ["production", "rework", "qualification"]'


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `all_decided`: whether every question of the batch's tasks has a row."""
    tasks = inputs["label_tasks"]
    asked = tasks.assign(attribute=tasks["attributes"].str.split("|")).explode("attribute")[["task_id", "attribute"]]
    decided = pd.MultiIndex.from_frame(frame[["task_id", "attribute"]])
    is_whole = bool(pd.MultiIndex.from_frame(asked).isin(decided).all())
    return frame.assign(all_decided=is_whole)


def suite(spec: ProjectSpec) -> Any:
    gold, share = spec.gates.min_gold_accuracy, spec.gates.min_accept_share
    return suite_of(
        "label_quality",
        not_empty("A judged batch", "question"),
        true("all_decided", "every_input_accounted_for", "Every question that was asked must have a decision"),
        among("decision", ("accept", "rework", "adjudicate"), "decision_known", "A label is accepted, reworked or adjudicated"),
        filled(
            "label", "accepted_labelled", "Every accepted question must have a label",
            where='decision == "accept" and object_id == "" and is_gold == False',
        ),
        between("posterior", "posterior_is_share", "The winner's share must lie between 0 and 1", low=0, high=1, nullable=True),
        between(
            "gold_lower", "gold_accuracy", f"On hidden gold, accuracy of each attribute must be at least {gold:.0%} (lower bound, 95 %)",
            low=gold, where=f"{BOUGHT} and gold_lower.notnull()",
        ),
        among(
            "decision", ("accept",), "accept_share", f"At least {share:.0%} of the answers must be accepted, gold not counted",
            mostly=share, where='kind == "production" and is_gold == False',
        ),
        filled("gold_lower", "gold_measured", "A production batch should hold gold", where='kind == "production"', severity=WARNING),
        filled("reason", "others_explained", "What isn't accepted must say why", where='decision != "accept"'),
    )  # fmt: skip
