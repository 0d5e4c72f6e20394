"""Gate of `lineage_audit`: every delivered row goes back to a vendor's file, through a gate at each step."""

from __future__ import annotations

from typing import Any

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import filled, not_empty, suite_of, true


def suite(spec: ProjectSpec) -> Any:
    return suite_of(
        "lineage_audit",
        not_empty("An audit", "delivered row"),
        true("is_complete", "chain_complete", "Every delivered row must trace back to a vendor's file, gate by gate"),
        filled("path", "file_known", "Every delivered row must name the vendor's file"),
        filled("drop_id", "drop_known", "Every delivered row must name the drop"),
    )
