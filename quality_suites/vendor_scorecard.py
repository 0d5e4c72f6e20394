"""Gate of `vendor_scorecard`: figures that can be true."""

from __future__ import annotations

from typing import Any

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import among, between, not_empty, suite_of


def suite(spec: ProjectSpec) -> Any:
    known = {vendor.name for vendor in spec.sources.vendors} | {vendor.name for vendor in spec.labeling.vendors}
    return suite_of(
        "vendor_scorecard",
        not_empty("A scorecard", "vendor"),
        among("role", ("images", "labels"), "role_known", "A vendor delivers images or labels"),
        among("vendor", known, "vendor_known", "Every vendor must be one of the project's"),
        between("yield_share", "yield_is_share", "A yield must lie between 0 and 1", low=0, high=1, nullable=True),
    )
