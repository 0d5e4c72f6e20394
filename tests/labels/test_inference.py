from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from dataops_assets.labels.inference import majority_vote

ROOT = Path(__file__).parents[2]
CROWD = Path(os.environ.get("DATAOPS_SHARED") or ROOT.parent / "shared") / "data" / "crowd"
MEASURED = {
    "dog": 0.822,
    "face_sentiment": 0.637,
    "product": 0.897,
    "d_sentiment": 0.934,
    "rte": 0.897,
    "web": 0.731,
    "cf_weather": 0.882,
    "music_ms": 0.704,
}


def answers(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["task", "worker", "label"])


def test_most_answers_win_and_the_posterior_is_their_share():
    result = majority_vote(answers(("t1", "a", "x"), ("t1", "b", "x"), ("t1", "c", "y"), ("t2", "a", "y")))
    assert result.labels.to_dict() == {"t1": "x", "t2": "y"}
    assert result.posteriors.loc["t1"].to_dict() == {"x": 2 / 3, "y": 1 / 3}
    assert result.workers.loc["a"].to_dict() == {"n_labels": 2.0, "skill": (2 / 3 + 1) / 2}
    assert not result.is_tie.any()


def test_a_tie_goes_to_the_label_most_frequent_elsewhere_and_is_flagged():
    result = majority_vote(answers(("t1", "a", "x"), ("t1", "b", "y"), ("t2", "a", "y")))
    assert result.labels["t1"] == "y"
    assert result.is_tie.to_dict() == {"t1": True, "t2": False}


def test_a_tie_without_more_to_go_by_goes_to_the_first_in_order():
    assert majority_vote(answers(("t", "a", "y"), ("t", "b", "x"))).labels["t"] == "x"


def test_the_order_of_the_answers_does_not_matter():
    frame = answers(("t1", "a", "x"), ("t1", "b", "y"), ("t2", "c", "z"), ("t2", "a", "x"), ("t3", "a", "z"))
    first, second = majority_vote(frame), majority_vote(frame.iloc[::-1])
    pd.testing.assert_series_equal(first.labels, second.labels)
    pd.testing.assert_frame_equal(first.posteriors, second.posteriors)


def test_no_answers_give_no_labels():
    result = majority_vote(answers())
    assert len(result.labels) == 0 and result.posteriors.shape == (0, 0)


@pytest.mark.parametrize("frame", [pd.DataFrame({"task": ["t"]}), answers(("t", "a", None))])  # type: ignore[arg-type]
def test_missing_columns_and_values_are_refused(frame):
    with pytest.raises(ValueError, match=r"no column|have no"):
        majority_vote(frame)


@pytest.mark.parametrize("name", MEASURED)
def test_accuracy_on_real_crowd_labels(name):
    if not CROWD.is_dir():
        pytest.skip(f"crowd labels are not at {CROWD}")
    labels = pd.read_csv(CROWD / name / "labels.csv", dtype=str, keep_default_na=False)
    truth = pd.read_csv(CROWD / name / "truth.csv", dtype=str, keep_default_na=False).set_index("task")["truth"]
    posteriors = majority_vote(labels).posteriors
    best = posteriors.eq(posteriors.max(axis=1), axis=0)
    right = [
        best.loc[task, label] / best.loc[task].sum() if label in best.columns else 0.0
        for task, label in truth.items()
        if task in best.index
    ]
    assert sum(right) / len(right) == pytest.approx(MEASURED[name], abs=0.003)
