from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dataops_assets.labels import inference
from dataops_assets.labels.inference import auto, dawid_skene, majority_vote, pooled
from tests.conftest import REPO

# the table that the benchmark prints: what crowd-kit and the code of BWA's and iBCC's authors got, and for auto the best of all
crowd = SimpleNamespace(**runpy.run_path(str(REPO / "benchmarks" / "crowd_accuracy.py")))
MEASURED = {name: (*theirs[:7], max(theirs)) for name, theirs in crowd.THEIRS.items()}
CASES = [(method, name, MEASURED[name][place]) for place, method in enumerate(crowd.NAMES) for name in MEASURED]


@pytest.mark.parametrize(("method", "name", "measured"), CASES)
def test_accuracy_on_real_crowd_labels(shared: Path, method: str, name: str, measured: float) -> None:
    answers, truth = crowd.load(shared / "crowd" / name)
    assert crowd.accuracy(getattr(inference, method)(answers), truth) >= measured - 0.0031  # the measured ones are rounded


def confused(rng: np.random.Generator, n_tasks: int, classes: list[float]) -> tuple[pd.DataFrame, pd.Series]:
    """Twelve workers, each of whom gives its own wrong label for a class of its own."""
    n = len(classes)
    truth = rng.choice(n, n_tasks, p=classes)
    rows = []
    for worker in range(12):
        blind, mistaken = worker % n, (worker % n + 1 + worker % (n - 1)) % n
        for task in np.flatnonzero(rng.random(n_tasks) < 0.4):
            says = mistaken if truth[task] == blind and rng.random() < 0.9 else truth[task] if rng.random() < 0.9 else rng.integers(n)
            rows.append((task, worker, says))
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    return frame, pd.Series(truth)[sorted(frame["task"].unique())]


def test_auto_is_near_whoever_knows_where_workers_confuse_labels() -> None:
    frame, truth = confused(np.random.default_rng(0), 300, [1 / 3] * 3)
    result = auto(frame)
    assert crowd.accuracy(result, truth) > crowd.accuracy(majority_vote(frame), truth) + 0.05
    assert crowd.accuracy(result, truth) > crowd.accuracy(dawid_skene(frame), truth) - 0.01
    assert result.chosen.startswith("pooled, uniform class shares, strength")
    assert result.evidence is not None and len(result.evidence) == 8 and (result.evidence["log_likelihood"] < 0).all()
    used = result.evidence[result.evidence["is_used"]]
    assert set(used["class_shares"]) == {"uniform"} and (used["behind"] <= 1).all()


def test_skewed_classes_are_learnt_where_the_answers_show_them() -> None:
    frame, truth = confused(np.random.default_rng(1), 400, [0.9, 0.05, 0.05])
    result = pooled(frame)
    assert "learnt class shares" in result.chosen
    assert crowd.accuracy(result, truth) > crowd.accuracy(majority_vote(frame), truth)


def test_where_no_task_has_two_workers_auto_takes_the_answers_as_they_are_and_says_so() -> None:
    frame = pd.DataFrame([(task, task % 3, "xy"[task % 2]) for task in range(10)], columns=["task", "worker", "label"])
    result = auto(frame)
    assert result.chosen == "majority vote" and "no task has two workers" in result.notes[-1]
    assert result.labels.tolist() == frame["label"].tolist()


def test_few_answers_are_answered_by_majority_and_that_is_said() -> None:
    frame = pd.DataFrame([(task, worker, "xy"[task % 2]) for task in range(10) for worker in range(3)], columns=["task", "worker", "label"])
    result = auto(frame)
    assert result.chosen == "majority vote" and "30 answers are too few" in result.notes[-1]


def colluding() -> tuple[pd.DataFrame, pd.Series]:
    """Three workers who give the same wrong answers, and two honest ones: only gold can tell who is who."""
    rng = np.random.default_rng(0)
    truth, agreed = (pd.Series(rng.choice(list("xyz"), 120)) for _ in range(2))
    rows = [(task, worker, agreed[task] if worker < 3 else truth[task]) for task in truth.index for worker in range(5)]
    return pd.DataFrame(rows, columns=["task", "worker", "label"]), truth


def test_gold_tells_whom_to_trust() -> None:
    frame, truth = colluding()
    gold = truth.sample(40, random_state=0)
    rest = truth.drop(gold.index)
    result = auto(frame, gold)
    assert crowd.accuracy(auto(frame), rest) < 0.5 < 0.95 < crowd.accuracy(result, rest)
    assert result.labels[gold.index].equals(gold)


def test_another_method_is_taken_only_where_gold_clearly_speaks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, truth = colluding()
    honest = {"Dawid-Skene": lambda frame, gold=None: majority_vote(frame[frame["worker"] > 2], gold)}
    monkeypatch.setattr("dataops_assets.labels.inference.choice.OTHERS", honest)
    few, many = truth.sample(4, random_state=0), truth.sample(30, random_state=0)
    assert auto(frame, few).chosen.startswith("pooled")
    result = auto(frame, many)
    assert result.chosen == "majority vote" and result.evidence is not None
    row = result.evidence.loc["Dawid-Skene"]
    assert row["is_used"] and row["right"] == row["n_gold"] == 30 and row["worse"] == 0 and row["chance"] < 0.001


def test_in_an_order_what_lies_between_two_answers_is_likelier() -> None:
    """Few answers don't show what is confused: whether a 1 and a 3 mean a 2 is told by the order alone."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 20)
    near = {task: np.clip(truth[task] + rng.choice([-1, 0, 0, 1], 3), 0, 4) for task in range(20)}
    rows = [(task, who, str(label)) for task in range(20) for who, label in zip(rng.choice(20, 3, False), near[task], strict=True)]
    rows += [(99, 20, "1"), (99, 21, "3")]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    order = list("01234")
    plain, ordered = (pooled(frame, ordered=given, strengths=(32.0,)).posteriors.loc[99] for given in (None, order))
    assert ordered["2"] > 1.2 * plain["2"] and ordered[["0", "4"]].max() < ordered["2"]
    shuffled = pooled(frame, ordered=list("20413"), strengths=(32.0,)).posteriors.loc[99]
    assert shuffled["2"] < ordered["2"]


def test_an_order_of_labels_must_name_all_of_them() -> None:
    frame = pd.DataFrame([(1, "a", "low"), (1, "b", "high"), (2, "a", "mid"), (2, "b", "mid")], columns=["task", "worker", "label"])
    assert set(pooled(frame, ordered=["low", "mid", "high"]).labels.index) == {1, 2}
    with pytest.raises(ValueError, match="lacks 'high'"):
        pooled(frame, ordered=["low", "mid"])
