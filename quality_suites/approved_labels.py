"""Gate of `approved_labels`: every label was decided by a rule or a person, and somebody answers for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import among, as_many_rows, between, filled, matching, not_empty, suite_of, true


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `was_accepted`: the batch's quality accepted this label, and not as gold."""
    quality = inputs["label_quality"]
    free = quality[(quality["decision"] == "accept") & ~quality["is_gold"].fillna(False).astype(bool)]
    accepted = set(zip(free["image_id"], free["attribute"], free["object_id"], strict=True))
    return frame.assign(
        was_accepted=[key in accepted for key in zip(frame["image_id"], frame["attribute"], frame["object_id"], strict=True)]
    )


def parameters(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    quality = inputs["label_quality"]
    return {"input_rows": int(((quality["decision"] == "accept") & ~quality["is_gold"].fillna(False).astype(bool)).sum())}


def suite(spec: ProjectSpec) -> Any:
    rules = [
        not_empty("An approval", "label"),
        as_many_rows("Every accepted label must be approved, and nothing else"),
        true("was_accepted", "only_accepted", "Only labels that were accepted may be approved"),
        matching("approved_by", r"\S", "approved_by_someone", "Somebody must answer for the labels"),
        among("decided_by", ("majority_vote", "adjudication"), "decided", "Every label must be decided by majority vote or adjudication"),
        filled("label", "labels_given", "Every approved question must have a label", where='object_id == ""'),
        between("posterior", "posterior", "Every label must have enough answers behind it", low=spec.gates.min_posterior),
    ]
    for attribute in spec.ontology.attributes:
        where = f'attribute == "{attribute.name}"'
        sentence = f"Labels of {attribute.name} must be values of the ontology"
        if attribute.kind == "multi":
            words = "|".join(re.escape(value) for value in attribute.values)
            rules.append(matching("label", rf"^(?:{words})(?:\|(?:{words}))*$", f"{attribute.name}_in_ontology", sentence, where=where))
        else:
            rules.append(among("label", attribute.values, f"{attribute.name}_in_ontology", sentence, where=where))
    return suite_of("approved_labels", *rules)
