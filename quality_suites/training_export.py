"""Gate of `training_export`: no leak between splits, every row labelled, every class there, nothing that today's policy forbids."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from quality_suites.expectations import WARNING, among, between, filled, matching, not_empty, suite_of, true


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds columns.

    - `in_one_split`: the row's group lies in one split;
    - `has_train`: the release has rows to train on;
    - `rarest`: source images of the row's rarest value;
    - `trained`: every `attribute=value` of the training rows, each between two `|`; the same in all rows;
    - `is_searched`: the screening of the row's drop kept its source, and has searched it for all that today's policy looks for;
    - `is_allowed`: it is kept, and nothing was found in it that today's policy doesn't let pass;
    - `is_cleaned`: the row's file is the one that was made of the source: cleaned, or a variant of the cleaned one;
    - `in_sight`: the file lies in common sight.
    """
    policy, sources = inputs["policy"], _keys(frame, "drop_id", "source_image_id")
    searched, allowed = (_keys(policy[policy[name].astype(bool)], "drop_id", "image_id") for name in ("is_searched", "is_allowed"))
    splits = frame.groupby("split_group", dropna=False)["split"].transform("nunique")
    values = [sorted(_values(text)) for text in frame["labels"]]
    tally = Counter(value for row, kind in zip(values, frame["kind"], strict=True) if kind == "source" for value in row)
    trained = sorted({value for row, split in zip(values, frame["split"], strict=True) if split == "train" for value in row})
    return frame.assign(
        in_one_split=splits == 1,
        has_train=bool((frame["split"] == "train").any()),
        rarest=[min((tally[value] for value in row), default=0) for row in values],
        trained=f"|{'|'.join(trained)}|",
        is_searched=sources.isin(searched),
        is_allowed=sources.isin(allowed),
        is_cleaned=_is_cleaned(frame, inputs["augmented_set"], inputs["cleaned_set"]),
        in_sight=frame["sha256"].isin(inputs["sight"]["sha256"]),
    )


def _is_cleaned(frame: pd.DataFrame, augmented: pd.DataFrame, cleaned: pd.DataFrame) -> Any:
    """Which rows' files were made of the cleaned file that screening kept of their source, or are that file."""
    kept = cleaned[(cleaned["status"] == "kept") & cleaned["clean_sha256"].notna()]
    sources = augmented[augmented["kind"] == "source"]
    sources = sources[_keys(sources, "drop_id", "image_id", "sha256").isin(_keys(kept, "drop_id", "image_id", "clean_sha256"))]
    made = augmented[_keys(augmented, "drop_id", "source_image_id").isin(_keys(sources, "drop_id", "image_id"))]
    names = ("drop_id", "image_id", "source_image_id", "sha256")
    return _keys(frame, *names).isin(_keys(made, *names))


def _keys(rows: pd.DataFrame, *columns: str) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[list(columns)].astype("object"))


def _values(labels: str | None) -> set[str]:
    """`attribute=value` of one row: single choices, several choices and boxes alike."""
    held = json.loads(labels or "{}").items()
    given = [(name, one) for name, value in held for one in (value if isinstance(value, list) else [value])]
    return {f"{name}={one['label'] if isinstance(one, dict) else one}" for name, one in given}


def suite(spec: ProjectSpec) -> Any:
    least = spec.gates.min_images_per_value
    wanted = [(name, value) for name, counts in spec.brief.volume.items() for value, count in counts.items() if count]
    covered = [
        matching(
            "trained", re.escape(f"|{name}={value}|"), f"{name}_{value}_in_train",
            f"The brief asks for {name} {value}: it should be among the training pictures", severity=WARNING,
        )
        for name, value in wanted
    ]  # fmt: skip
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
        true("is_searched", "searched", "Every picture must have been screened for all personal data that the policy looks for today"),
        true("is_allowed", "personal_data_allowed", "No picture may show personal data that the policy doesn't let pass today"),
        true("is_cleaned", "cleaned", "Every picture must be the cleaned file that screening kept, or a variant of it: never an original"),
        true("in_sight", "in_common_sight", "No picture may be one that lies apart from all others"),
        between("rarest", "classes_large_enough", f"Every value should have at least {least} source pictures", low=least, severity=WARNING),
        *covered,
    )
