"""Vendors compared by what they delivered and what a good one cost; projects by how far they are."""

from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.program_report import report
from dataops_assets.stages.vendor_scorecard import score


def test_yield_and_price_per_good_one(dresses: ProjectSpec) -> None:
    raw = pd.DataFrame({"vendor": "atelier", "status": ["accepted"] * 8 + ["quarantined"] * 2 + ["ignored"]})
    cleaned = pd.DataFrame({"vendor": "atelier", "status": ["kept"] * 5 + ["rejected"] * 3})
    labeled = pd.DataFrame({"vendor": "labelworks", "status": ["accepted"] * 30 + ["rejected"] * 2})
    quality = pd.DataFrame({
        "vendor": "labelworks", "is_gold": [True, False, False, False], "decision": ["accept", "accept", "accept", "rework"],
        "n_labels": 3, "gold_correct": [2, None, None, None],
    })  # fmt: skip
    costs = pd.DataFrame(
        {"kind": ["images", "labels", "labels_settled"], "vendor": ["atelier", "labelworks", "labelworks"], "amount": [1.0, 2.0, -0.5]}
    )
    rows = score(raw, cleaned, labeled, quality, costs, dresses).set_index(["role", "vendor"])
    images, labels = rows.loc[("images", "atelier")], rows.loc[("labels", "labelworks")]
    assert (images["delivered"], images["accepted"], images["yield_share"], images["amount_per_accepted"]) == (10, 5, 0.5, 0.2)
    assert (labels["delivered"], labels["accepted"]) == (30, 2)
    assert labels["rework_share"] == pytest.approx(1 / 3)
    assert labels["gold_accuracy"] == pytest.approx(2 / 3)
    assert labels["gold_lower"] < labels["gold_accuracy"]
    assert labels["amount_per_accepted"] == pytest.approx(0.75)


def test_the_program_report_counts_the_newest_gate_of_each_partition() -> None:
    gates = pd.DataFrame({
        "project": "p", "asset": "cleaned_set", "partition": ["a", "a", "b"], "outcome": ["fail", "pass", "fail"],
    })  # fmt: skip
    row = report(["p"], gates, {("p", "cleaned_set", "a"): 7}).iloc[0]
    assert (row["partitions"], row["released"], row["rows"], row["failed_gates"]) == (2, 1, 7, 1)
