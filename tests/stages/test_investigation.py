"""Where a model errs is counted on pictures it hasn't seen, and the cause follows from plain rules."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform
from dataops_assets.stages.investigation import DOUBTFUL, FEW_TRAIN, investigate


def feedback(label: str, predicted: Sequence[str], split: str = "test") -> pd.DataFrame:
    rows = [
        {"release": "r1", "attribute": "colour", "label": label, "predicted": word, "split": split, "is_correct": word == label}
        for word in predicted
    ]
    return pd.DataFrame(rows).assign(status="accepted")


def export(n: int, value: object = "red") -> pd.DataFrame:
    return pd.DataFrame({"split": ["train"] * n, "labels": [json.dumps({"colour": value})] * n})


def approved(posterior: float, label: str = "red") -> pd.DataFrame:
    return pd.DataFrame({"attribute": ["colour"], "label": [label], "posterior": [posterior]})


def found(given: pd.DataFrame, train: pd.DataFrame, labels: pd.DataFrame) -> pd.Series:
    made = conform(investigate(given, train, labels), CONTRACTS["investigation"])
    assert len(made) == 1
    return made.iloc[0]


HALF_BLUE = ["red"] * 5 + ["blue"] * 5
SPREAD = ["red"] * 7 + ["blue", "green", "black"]


@pytest.mark.parametrize(
    ("predicted", "n_train", "posterior", "cause", "word"),
    [
        (["red"] * 10, FEW_TRAIN, 1.0, "none", "nothing to look for"),
        (HALF_BLUE, FEW_TRAIN - 1, 1.0, "too_few_examples", f"Only {FEW_TRAIN - 1} training pictures"),
        (HALF_BLUE, FEW_TRAIN, DOUBTFUL - 0.05, "doubtful_labels", "agreed to 80%"),
        (HALF_BLUE, FEW_TRAIN, 1.0, "confused", "5 of 5 errors say 'blue'"),
        (SPREAD, FEW_TRAIN, 1.0, "unknown", "3 errors, spread over labels"),
    ],
)
def test_the_cause_comes_with_its_evidence(predicted: list[str], n_train: int, posterior: float, cause: str, word: str) -> None:
    row = found(feedback("red", predicted), export(n_train), approved(posterior))
    assert row["cause"] == cause
    assert word in row["evidence"]
    assert (row["n_predictions"], row["n_wrong"], row["n_train"]) == (10, 10 - predicted.count("red"), n_train)


def test_training_pictures_count_only_where_there_are_no_others() -> None:
    seen, unseen = feedback("red", ["red"] * 50, "train"), feedback("red", ["blue"] * 2)
    both = pd.concat([seen, unseen], ignore_index=True)
    assert found(both, export(30), approved(1.0))["error_rate"] == 1.0
    assert found(seen, export(30), approved(1.0))["n_predictions"] == 50


def test_refused_predictions_do_not_count() -> None:
    given = feedback("red", ["red", "blue"])
    given.loc[1, "status"] = "rejected"
    assert found(given, export(30), approved(1.0))["n_wrong"] == 0


def test_several_choices_are_counted_in_training_as_one_answer() -> None:
    row = found(feedback("blue|red", ["red"] * 4), export(25, ["red", "blue"]), approved(1.0, "blue|red"))
    assert (row["n_train"], row["cause"], row["most_predicted"]) == (25, "confused", "red")


def test_an_unknown_agreement_is_called_so() -> None:
    row = found(feedback("red", SPREAD), export(30), approved(1.0, label="blue"))
    assert pd.isna(row["mean_posterior"])
    assert "agreement unknown" in row["evidence"]


def test_no_predictions_find_nothing() -> None:
    nothing = feedback("red", ["red"]).iloc[:0]
    assert conform(investigate(nothing, export(1), approved(1.0)), CONTRACTS["investigation"]).empty
