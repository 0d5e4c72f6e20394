"""Model results: each row accepted or rejected with its reason; causes by plain rules."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.investigation import investigate
from dataops_assets.stages.model_feedback import accept


def export(n: int = 4, split: str = "test") -> pd.DataFrame:
    labels = json.dumps({"colour": "red", "style": "work"})
    return pd.DataFrame({"release": "r001", "image_id": [f"i{k}" for k in range(n)], "split": split, "labels": labels})


def read(text: str, spec: ProjectSpec) -> list[tuple[str, object]]:
    frame = accept([("p.csv", text.encode())], export(), spec)
    return [(row["status"], row["reason"] if row["status"] == "rejected" else row["is_correct"]) for row in frame.to_dict("records")]


HEAD = "image_id,attribute,predicted,confidence\n"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (HEAD + "i0,colour,red,0.9\n", ("accepted", True)),
        (HEAD + "i0,colour,blue,\n", ("accepted", False)),
        (HEAD + "nobody,colour,red,0.9\n", ("rejected", "UNKNOWN_ITEM")),
        (HEAD + "i0,smell,red,0.9\n", ("rejected", "UNKNOWN_ITEM")),
        (HEAD + "i0,colour,ultraviolet,0.9\n", ("rejected", "UNKNOWN_LABEL")),
        (HEAD + "i0,colour,red,1.5\n", ("rejected", "OUT_OF_BOUNDS")),
        (HEAD + "i0,colour,red,nan\n", ("rejected", "NOT_FINITE")),
        (HEAD, ("rejected", "NO_ROWS")),
        ("a,b\n1,2\n", ("rejected", "SCHEMA")),
    ],
)
def test_each_row_has_its_verdict(dresses: ProjectSpec, text: str, verdict: tuple[str, object]) -> None:
    assert read(text, dresses) == [verdict]


def test_the_same_file_twice_adds_nothing(dresses: ProjectSpec) -> None:
    data = (HEAD + "i0,colour,red,0.9\n").encode()
    assert len(accept([("a.csv", data), ("b.csv", data)], export(), dresses)) == 1
    assert accept([("a.csv", b"\xff\xfe")], export(), dresses)["reason"].tolist() == ["ENCODING"]


def feedback(wrong: int, right: int, predicted: str = "blue") -> pd.DataFrame:
    made = pd.DataFrame({"predicted": [predicted] * wrong + ["red"] * right})
    return made.assign(
        release="r001", attribute="colour", label="red", status="accepted", split="test", is_correct=made["predicted"] == "red"
    )


def approved(posterior: float) -> pd.DataFrame:
    return pd.DataFrame({"attribute": ["colour"], "label": ["red"], "posterior": [posterior]})


@pytest.mark.parametrize(
    ("wrong", "n_train", "posterior", "predicted", "cause"),
    [
        (0, 100, 1.0, "blue", "none"),
        (5, 3, 1.0, "blue", "too_few_examples"),
        (5, 100, 0.7, "blue", "doubtful_labels"),
        (5, 100, 1.0, "blue", "confused"),
    ],
)
def test_the_likely_cause_follows_from_what_is_known(wrong: int, n_train: int, posterior: float, predicted: str, cause: str) -> None:
    found = investigate(feedback(wrong, 10), export(n_train, "train"), approved(posterior))
    row = found.iloc[0]
    assert (row["cause"], row["n_wrong"], row["n_predictions"], row["n_train"]) == (cause, wrong, wrong + 10, n_train)
    assert row["evidence"]
