"""Gate of `brief`: what was agreed must fit budget and date."""

from __future__ import annotations

from typing import Any

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.brief import CRITICAL, unmet
from quality_suites.expectations import WARNING, not_empty, suite_of, true


def suite(spec: ProjectSpec) -> Any:
    wrong = " ".join(unmet(spec)) or "What was agreed must fit the budget and the date"
    listed = "[" + ", ".join(f"'{name}'" for name in sorted(CRITICAL)) + "]"
    return suite_of(
        "brief",
        not_empty("brief", "check"),
        true("is_met", "fits_budget_and_date", wrong, where=f"check in {listed}"),
        true("is_met", "advice", "The plan could be sounder", where=f"check not in {listed}", severity=WARNING, nullable=True),
    )
