"""Gate of `investigation`: every finding has numbers and a cause in words."""

from __future__ import annotations

from typing import Any

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import between, filled, not_empty, suite_of


def suite(spec: ProjectSpec) -> Any:
    return suite_of(
        "investigation",
        not_empty("An investigation", "label"),
        between("error_rate", "rate_is_share", "An error rate must lie between 0 and 1", low=0, high=1),
        between("n_predictions", "rests_on_predictions", "A finding must rest on predictions", low=1),
        filled("cause", "cause_named", "Every finding must name a cause"),
        filled("evidence", "evidence_given", "Every finding must give its evidence"),
    )
