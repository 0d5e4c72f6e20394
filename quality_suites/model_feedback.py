"""Gate of `model_feedback`: predictions are of our pictures, and enough of them can be used."""

from __future__ import annotations

from typing import Any

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import among, between, filled, not_empty, suite_of

ACCEPTED = 'status == "accepted"'


def suite(spec: ProjectSpec) -> Any:
    share = spec.gates.min_accepted_row_share
    return suite_of(
        "model_feedback",
        not_empty("Model results", "prediction"),
        among("status", ("accepted", "unlabelled", "rejected"), "status_known", "A prediction is compared, kept or rejected"),
        among(
            "status", ("accepted", "unlabelled"), "accepted_share", f"At least {share:.0%} of the predictions must be usable", mostly=share
        ),
        filled("reason", "rejections_explained", "Every rejected prediction must say why", where='status == "rejected"'),
        filled("is_correct", "accepted_judged", "Every accepted prediction must be right or wrong", where=ACCEPTED),
        filled("label", "accepted_compared", "Every accepted prediction must be compared with a label", where=ACCEPTED),
        between("confidence", "confidence_is_share", "Confidence must lie between 0 and 1", low=0, high=1, nullable=True),
    )
