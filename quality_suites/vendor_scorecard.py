"""Gate of `vendor_scorecard`: figures that can be true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, between, not_empty, suite_of, true

CENT = 0.01
SHARES = {
    "yield_share": "yield_is_share", "rework_share": "rework_is_share", "escape_share": "escape_is_share",
    "gold_accuracy": "gold_is_share", "on_time_share": "on_time_is_share", "mix_gap": "mix_gap_is_share",
}  # fmt: skip


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `adds_up`: the invoice of a labelling vendor is the sum of work, rework and gold; `is_bounded`: gold is within its bounds."""
    parts = frame[["amount_work", "amount_rework", "amount_gold"]].fillna(0).sum(axis=1)
    is_labels = frame["role"] == "labels"
    seen, slip = frame["gold_accuracy"], 1e-9
    bounded = seen.isna() | ((frame["gold_lower"] <= seen + slip) & (seen <= frame["gold_upper"] + slip))
    return frame.assign(adds_up=~is_labels | ((parts - frame["amount"].fillna(0)).abs() <= CENT), is_bounded=bounded)


def suite(spec: ProjectSpec) -> Any:
    known = {vendor.name for vendor in spec.sources.vendors} | {vendor.name for vendor in spec.labeling.vendors}
    least = spec.gates.min_gold_accuracy
    return suite_of(
        "vendor_scorecard",
        not_empty("A scorecard", "vendor"),
        among("role", ("images", "labels"), "role_known", "A vendor delivers images or labels"),
        among("vendor", known, "vendor_known", "Every vendor must be one of the project's"),
        *(
            between(column, name, f"{column} must lie between 0 and 1", low=0, high=1, nullable=True)
            for column, name in SHARES.items()
        ),
        true("is_bounded", "gold_bounded", "What was seen on gold must lie within its bounds"),
        true("adds_up", "invoice_adds_up", "A vendor's invoice should be the sum of work, rework and gold", severity=WARNING),
        between(
            "gold_lower", "vendors_accurate", f"Some vendors are not surely at {least:.0%} on gold", low=least,
            where="accepted > 0 and gold_lower.notnull()", severity=WARNING,
        ),
    )  # fmt: skip
