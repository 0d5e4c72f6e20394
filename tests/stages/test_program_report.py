"""All projects side by side, from the gates' last word on each partition."""

from __future__ import annotations

import pandas as pd

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform
from dataops_assets.stages.program_report import report

GATES = pd.DataFrame(
    [
        ("shoes", "raw_images", "d1", "pass"),
        ("dresses", "raw_images", "d1", "fail"),
        ("dresses", "raw_images", "d1", "pass"),
        ("dresses", "raw_images", "d2", "waived"),
        ("dresses", "raw_images", "d3", "error"),
        ("dresses", "brief", "-", "pass"),
    ],
    columns=["project", "asset", "partition", "outcome"],
)
ROWS = {
    ("dresses", "raw_images", "d1"): 10,
    ("dresses", "raw_images", "d2"): 5,
    ("dresses", "brief", "-"): 9,
    ("shoes", "raw_images", "d1"): 1,
}


def test_the_last_word_of_a_gate_counts() -> None:
    made = conform(report(["dresses"], GATES, ROWS), CONTRACTS["program_report"]).set_index("stage")
    raw = made.loc["raw_images"]
    assert (raw["partitions"], raw["released"], raw["rows"], raw["failed_gates"]) == (3, 2, 15, 1)
    assert made.loc["brief", "rows"] == 9


def test_projects_do_not_mix() -> None:
    made = report(["dresses", "shoes", "hats"], GATES, ROWS)
    assert made.groupby("name")["rows"].sum().to_dict() == {"dresses": 24, "shoes": 1}


def test_a_version_released_earlier_still_counts_while_the_new_one_is_held_back() -> None:
    again = pd.concat([GATES, pd.DataFrame([("shoes", "raw_images", "d1", "fail")], columns=GATES.columns)], ignore_index=True)
    row = report(["shoes"], again, ROWS).iloc[0]
    assert (row["released"], row["rows"], row["failed_gates"]) == (1, 1, 1)


def test_nothing_gated_is_an_empty_report() -> None:
    assert conform(report(["dresses"], GATES.iloc[:0], {}), CONTRACTS["program_report"]).empty
