"""Gate of `label_tasks`: a batch asks what its plan says, of a vendor of the project, with hidden gold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.manifest import is_true
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.qualification import matter
from quality_suites.expectations import (
    CRITICAL,
    WARNING,
    among,
    as_many_rows,
    between,
    expect,
    gxe,
    matching,
    not_empty,
    suite_of,
    unique,
)  # fmt: skip

KINDS = ("screening", "pilot", "qualification", "production", "rework", "adjudication", "preservation")


PASSED, OPEN = "passed", "open"


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds four columns.

    - `gold_share` of the batch;
    - `amount`: what the plan says a task costs;
    - `qualification`: `passed`, or in a sentence what the vendor still has to show;
    - `buying`: `open`, or in a sentence why nothing is bought from the vendor until it has mended its work.
    """
    known = inputs["qualified"].set_index("vendor") if "qualified" in inputs else pd.DataFrame(columns=["is_passed", "sentence", "stop"])
    told = known["sentence"].mask(known["is_passed"].eq(True), PASSED)
    qualification = frame["vendor"].map(told).fillna("nothing is known of the vendor's qualification")
    buying = frame["vendor"].map(known["stop"].replace("", OPEN)).fillna(OPEN)
    amounts = inputs["batch_plans"].drop_duplicates("image_id").set_index("image_id")["amount"]
    share = float(is_true(frame["is_gold"]).mean()) if len(frame) else 0.0
    return frame.assign(
        gold_share=share, amount=frame["image_id"].map(amounts).astype("float64"), qualification=qualification, buying=buying
    )


def parameters(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """`input_rows`: planned pictures that may still be shown."""
    planned = inputs["batch_plans"]
    return {"input_rows": int(planned["image_id"].isin(inputs["shown"]["image_id"]).sum()) if "shown" in inputs else len(planned)}


def suite(spec: ProjectSpec) -> Any:
    vendors = [vendor.name for vendor in spec.labeling.vendors]
    internal = [vendor.name for vendor in spec.labeling.vendors if vendor.internal]
    trusted = [vendor.name for vendor in spec.labeling.vendors if vendor.internal or vendor.may_see_personal_data]
    must = ", ".join(matter(spec))
    names = "|".join(["screening", *(attribute.name for attribute in spec.ontology.attributes)])
    return suite_of(
        "label_tasks",
        not_empty("A batch", "task"),
        as_many_rows("Every planned picture that may still be shown must be one task"),
        unique("image_id", "pictures_unique", "A picture must stand once in a batch: gold that came twice would be told by it"),
        among("kind", KINDS, "kind_known", "A batch must be of a known kind"),
        among("vendor", vendors, "vendor_known", f"The vendor must be one of the project's: {', '.join(vendors)}"),
        among(
            "vendor", internal, "own_people", "Pilots and adjudication must stay with our own people",
            where='kind in ["pilot", "adjudication", "preservation"]',
        ),
        among(
            "vendor", trusted, "trusted_people", "Pictures to screen may go only to people who may see personal data",
            where='kind == "screening" or attributes == "screening"',
        ),
        among(
            "qualification", [PASSED], "vendor_qualified",
            f"Production is for vendors that have shown an accuracy of {spec.labeling.qualification_accuracy:.0%} on {must}",
            where='kind == "production"', severity=CRITICAL if spec.labeling.qualification == "required" else WARNING,
        ),
        among(
            "buying", [OPEN], "vendor_not_stopped",
            "Nothing more is bought from a vendor whose batches were refused too often, until it has passed another qualification",
            where='kind == "production"',
        ),
        between("overlap", "answers_wanted", "Every task must want at least one answer", low=1, high=25),
        matching("attributes", rf"^(?:{names})(?:\|(?:{names}))*$", "questions_known", "Every question must be in the ontology"),
        matching("sha256", "^[0-9a-f]{64}$", "picture_stored", "Every task must name its picture"),
        among("ontology_version", [spec.ontology.version], "ontology_current", "Tasks must be asked under the current ontology"),
        expect(
            gxe.ExpectColumnSumToBeBetween(column="amount", max_value=spec.brief.budget),
            "within_budget", f"A batch may not cost more than the budget of {spec.brief.budget:,.2f} {spec.brief.currency}",
        ),
        between(
            "gold_share", "gold_share", f"A production batch should hold about {spec.labeling.gold_share:.0%} gold",
            low=spec.labeling.gold_share / 2, where='kind == "production"', severity=WARNING,
        ),
    )  # fmt: skip
