"""Gate of `training_export`: no leak between splits, every row labelled, every class there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, between, filled, matching, not_empty, suite_of, true


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `in_one_split` (the row's group lies in one split), `has_train`, and `rarest`: source images of the row's rarest value."""
    splits = frame.groupby("split_group")["split"].transform("nunique")
    values = [[(name, value) for name, value in json.loads(text or "{}").items() if isinstance(value, str)] for text in frame["labels"]]
    tally = Counter(pair for pairs, kind in zip(values, frame["kind"], strict=True) if kind == "source" for pair in pairs)
    rarest = [min((tally[pair] for pair in pairs), default=0) for pairs in values]
    return frame.assign(in_one_split=splits == 1, has_train=bool((frame["split"] == "train").any()), rarest=rarest)


def suite(spec: ProjectSpec) -> Any:
    least = spec.gates.min_images_per_value
    return suite_of(
        "training_export",
        not_empty("A release", "picture"),
        among("split", ("train", "val", "test"), "split_known", "A picture is for training, validation or testing"),
        true("in_one_split", "groups_together", "A source, its variants and its near duplicates must lie in one split"),
        among("split", ("train",), "variants_in_train", "Variants must be for training only", where='kind == "variant"'),
        true("has_train", "train_not_empty", "There must be something to train on"),
        filled("labels", "labelled", "Every picture must have its labels"),
        matching("labels", r"^\{.*:.*\}$", "labels_not_empty", "No picture may be without a label"),
        matching("sha256", "^[0-9a-f]{64}$", "picture_stored", "Every picture must be named by its sha256"),
        filled("batch_ids", "batches_known", "Every picture must name the batches its labels come from"),
        filled("drop_id", "drop_known", "Every picture must name the drop it came with"),
        between("rarest", "classes_large_enough", f"Every value should have at least {least} source pictures", low=least, severity=WARNING),
    )
