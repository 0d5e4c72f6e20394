"""Gate of `guidelines`: every value an annotator may choose is defined."""

from __future__ import annotations

from typing import Any

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, expect, filled, gxe, matching, not_empty, suite_of


def suite(spec: ProjectSpec) -> Any:
    return suite_of(
        "guidelines",
        not_empty("guidelines", "value"),
        expect(
            gxe.ExpectTableRowCountToEqual(value=sum(len(attribute.values) for attribute in spec.ontology.attributes)),
            "every_value_listed", "Every value of the ontology must have its row",
        ),
        matching("definition", r"\S", "values_defined", "Every value needs a definition an annotator can work from"),
        filled("document_sha256", "document_written", "The handbook itself must be there"),
        matching("question", r"\?\s*$", "questions_asked", "Every attribute should ask a question", severity=WARNING),
    )  # fmt: skip
