"""Gate of `lineage_audit`: every delivered row goes back to a vendor's file, through a gate at each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, as_many_rows, between, filled, not_empty, suite_of, true


def parameters(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    return {"input_rows": len(inputs["training_export"])}


def suite(spec: ProjectSpec) -> Any:
    return suite_of(
        "lineage_audit",
        not_empty("An audit", "delivered row"),
        as_many_rows("Every delivered row must be in the audit"),
        true("is_complete", "chain_complete", "Every delivered row must trace back to a vendor's file, gate by gate"),
        filled("path", "file_known", "Every delivered row must name the vendor's file"),
        filled("drop_id", "drop_known", "Every delivered row must name the drop"),
        between("waivers", "nothing_waived", "Some rows were let through on a person's word", high=0, severity=WARNING),
    )
