"""Gate of `brief`: what was agreed must fit budget, date and gold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.brief import CRITICAL, unmet
from quality_suites.expectations import WARNING, not_empty, suite_of, true

GOLD = frozenset({"gold_available"})  # existing pilots count in it: its sentence is its own


def suite(spec: ProjectSpec) -> Any:
    wrong = " ".join(unmet(spec, CRITICAL - GOLD)) or "What was agreed must fit the budget and the date"
    short = " ".join(unmet(spec, GOLD)) or "Pilots must give as much gold as production hides"
    return suite_of(
        "brief",
        not_empty("brief", "check"),
        true("is_met", "fits_budget_and_date", wrong, where=f"check in {_listed(CRITICAL - GOLD)}"),
        true("is_met", "enough_gold", short, where=f"check in {_listed(GOLD)}"),
        true("is_met", "advice", "The plan could be sounder", where=f"check not in {_listed(CRITICAL)}", severity=WARNING, nullable=True),
    )


def _listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in sorted(names)) + "]"
