"""Gate of `vendor_feedback`: it names no person and gives no gold away."""

from __future__ import annotations

from typing import Any

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, between, filled, matching, not_empty, suite_of


def suite(spec: ProjectSpec) -> Any:
    least = spec.gates.min_worker_gold_accuracy
    return suite_of(
        "vendor_feedback",
        not_empty("Feedback", "worker"),
        matching("worker_id", "^w-[0-9a-f]{16}$", "workers_pseudonymous", "Workers must be pseudonyms"),
        between("n_labels", "answers_counted", "Feedback must rest on at least one answer", low=1),
        filled("advice", "advice_given", "Everyone must hear something"),
        between(
            "gold_accuracy", "workers_accurate", f"Some workers are below {least:.0%} on gold: retrain or replace them", low=least,
            where="gold_accuracy.notnull()", severity=WARNING,
        ),
    )  # fmt: skip
