"""Where a model is wrong, and the likely cause by plain rules on what the platform knows about the labels."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict

import pandas as pd

from dataops_assets.contracts import CONTRACTS

FEW_TRAIN = 20  # fewer training pictures than this explain an error by themselves
DOUBTFUL = 0.85  # mean share of answers behind the labels below which the labels are the suspect
OFTEN = 0.1  # error rate from which a label needs a cause
CONFUSED = 0.5  # share of a label's errors that go to one other label


def investigate(feedback: pd.DataFrame, export: pd.DataFrame, approved: pd.DataFrame) -> pd.DataFrame:
    """One row per attribute and label: how often the model is wrong on validation and test pictures, and why, probably.

    Training pictures tell what a model remembers, so they count only where there are no others.
    """
    used = feedback[feedback["status"] == "accepted"]
    held_out = used[used["split"] != "train"]
    judged = held_out if len(held_out) else used
    train: Counter[tuple[str, str]] = Counter()
    for labels in export.loc[export["split"] == "train", "labels"]:
        for attribute, value in json.loads(labels).items():
            if isinstance(value, str) or all(isinstance(one, str) for one in value):  # several choices count as one answer; boxes don't
                train[attribute, value if isinstance(value, str) else "|".join(sorted(value))] += 1
    doubt = defaultdict(lambda: float("nan"), approved.groupby(["attribute", "label"])["posterior"].mean().to_dict())
    rows = []
    for key, group in judged.groupby(["attribute", "label"], sort=True):
        attribute, label = map(str, key)
        wrong = group[~group["is_correct"].astype(bool)]
        others = Counter(wrong["predicted"]).most_common(1)
        most, times = others[0] if others else (None, 0)
        n_train, posterior = train[attribute, label], doubt[attribute, label]
        rate = len(wrong) / len(group)
        cause, evidence = _cause(rate, len(wrong), n_train, posterior, str(most), times)
        rows.append(
            {
                "release": str(group["release"].iloc[0]), "attribute": attribute, "label": label, "n_predictions": len(group),
                "n_wrong": len(wrong), "error_rate": rate, "most_predicted": most, "n_train": n_train, "mean_posterior": posterior,
                "cause": cause, "evidence": evidence,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(CONTRACTS["investigation"].columns))


def _cause(rate: float, wrong: int, n_train: int, posterior: float, most: str, times: int) -> tuple[str, str]:
    if rate < OFTEN:
        return "none", f"{rate:.0%} wrong: nothing to look for."
    if n_train < FEW_TRAIN:
        return "too_few_examples", f"Only {n_train} training pictures; source more of this class."
    if posterior < DOUBTFUL:
        return "doubtful_labels", f"Annotators agreed to {posterior:.0%} only: clarify the guideline and label again."
    if wrong and times / wrong >= CONFUSED:
        return "confused", f"{times} of {wrong} errors say {most!r}: show both in the guidelines, source pictures that tell them apart."
    agreed = "unknown" if math.isnan(posterior) else f"{posterior:.0%}"
    return "unknown", f"{wrong} errors, spread over labels; {n_train} training pictures, agreement {agreed}: look at the pictures."
