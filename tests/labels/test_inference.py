from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets.labels import inference
from dataops_assets.labels.inference import auto, bwa, dawid_skene, glad, ibcc, mace, majority_vote, one_coin, pooled

ALL = [majority_vote, dawid_skene, one_coin, mace, glad, bwa, ibcc, pooled, auto]
METHODS = pytest.mark.parametrize("method", ALL, ids=lambda method: method.__name__)


def answers(*rows: tuple[object, object, object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["task", "worker", "label"])


def crowd(seed: int = 0, n_tasks: int = 30, n_workers: int = 6, n_labels: int = 3, per_task: int = 4) -> tuple[pd.DataFrame, pd.Series]:
    """Answers of workers that are right with 50 to 95 %, and the truth."""
    rng = np.random.default_rng(seed)
    truth, skill = rng.integers(0, n_labels, n_tasks), rng.uniform(0.5, 0.95, n_workers)
    task = np.repeat(np.arange(n_tasks), per_task)
    worker = np.argsort(rng.random((n_tasks, n_workers)), axis=1)[:, :per_task].ravel()
    wrong = (truth[task] + rng.integers(1, n_labels, len(task))) % n_labels
    label = np.where(rng.random(len(task)) < skill[worker], truth[task], wrong)
    names = np.array(["red", "green", "blue", "pink"])[:n_labels]
    return pd.DataFrame({"task": task, "worker": worker, "label": names[label]}), pd.Series(names[truth])


def assert_same(first: inference.Result, second: inference.Result) -> None:
    pd.testing.assert_series_equal(first.labels, second.labels)
    pd.testing.assert_frame_equal(first.posteriors, second.posteriors, check_exact=True)
    pd.testing.assert_frame_equal(first.workers, second.workers, check_exact=True)
    pd.testing.assert_frame_equal(first.confusions, second.confusions, check_exact=True)
    pd.testing.assert_series_equal(first.is_tie, second.is_tie)


def test_most_answers_win_and_the_posterior_is_their_share():
    result = majority_vote(answers(("t1", "a", "x"), ("t1", "b", "x"), ("t1", "c", "y"), ("t2", "a", "y")))
    assert result.labels.to_dict() == {"t1": "x", "t2": "y"}
    assert result.posteriors.loc["t1"].to_dict() == {"x": 2 / 3, "y": 1 / 3}
    assert result.workers.loc["a"].to_dict() == {"n_labels": 2.0, "skill": (2 / 3 + 1) / 2}
    assert not result.is_tie.any()


def test_a_tie_goes_to_the_voters_that_agree_more_elsewhere_and_is_flagged_and_said():
    result = majority_vote(
        answers(("t1", "a", "x"), ("t1", "b", "y"), ("t2", "b", "y"), ("t2", "c", "y"), ("t3", "a", "x"), ("t3", "c", "y"))
    )
    assert result.labels["t1"] == "y"
    assert result.is_tie.to_dict() == {"t1": True, "t2": False, "t3": True}
    assert "2 of 3 tasks have no single best label" in result.notes[-1]


def test_a_tie_of_equally_good_voters_goes_to_the_label_that_is_rarer_by_chance():
    result = majority_vote(answers(("t1", "a", "x"), ("t1", "b", "y"), ("t2", "a", "y"), ("t2", "b", "y"), ("t2", "c", "y")))
    assert result.labels["t1"] == "x"


def test_a_tie_without_more_to_go_by_goes_to_the_first_in_order():
    assert majority_vote(answers(("t", "a", "y"), ("t", "b", "x"))).labels["t"] == "x"


@METHODS
def test_the_order_of_the_answers_does_not_matter(method):
    frame, _ = crowd()
    assert_same(method(frame), method(frame.sample(frac=1, random_state=1)))


@METHODS
def test_names_of_labels_do_not_matter(method):
    frame, _ = crowd(n_labels=3)
    names = {"red": "zinc", "green": "amber", "blue": "mauve"}
    plain, renamed = method(frame), method(frame.assign(label=frame["label"].map(names)))
    sure = ~plain.is_tie
    assert plain.labels[sure].map(names).equals(renamed.labels[sure])
    expected = plain.posteriors.rename(columns=names)[list(renamed.posteriors.columns)]
    np.testing.assert_allclose(expected, renamed.posteriors, atol=1e-6)


@METHODS
@pytest.mark.parametrize("kind", ["object", "string", "category", "int64", "bool"])
def test_labels_keep_their_type(method, kind):
    frame, _ = crowd(n_labels=2, n_tasks=20)
    values = frame["label"] if kind in ("object", "string", "category") else frame["label"] == "red"
    result = method(frame.assign(label=values.astype(kind)))
    assert set(result.labels) <= set(values.astype(kind)) and len(result.labels) == 20


@METHODS
def test_posteriors_add_up_to_one_and_the_label_has_the_highest(method):
    frame, _ = crowd(seed=2)
    result = method(frame)
    np.testing.assert_allclose(result.posteriors.sum(axis=1), 1)
    assert (result.posteriors.to_numpy() >= 0).all()
    best = result.posteriors.max(axis=1)
    won = pd.Series([result.posteriors.at[task, label] for task, label in result.labels.items()], index=result.labels.index)
    np.testing.assert_allclose(won, best, atol=1e-9)
    assert result.workers["skill"].between(0, 1).all()
    assert result.chosen


@METHODS
def test_no_answers_give_no_labels(method):
    result = method(answers())
    assert len(result.labels) == 0 and result.posteriors.shape == (0, 0) and len(result.workers) == 0


@METHODS
@pytest.mark.parametrize(
    "rows",
    [
        [("t", "a", "x")],
        [("t", "a", "x"), ("t", "b", "x"), ("u", "a", "x")],
        [("t", "a", "x"), ("t", "b", "y")],
        [("t", "a", "x"), ("u", "b", "y"), ("v", "c", "z")],
        [("t", "a", "x")] * 5 + [("u", "a", "y")],
    ],
    ids=["one answer", "one label", "one tie", "a worker a task", "one worker"],
)
def test_next_to_nothing_is_answered_like_the_majority(method, rows):
    frame = answers(*rows)
    result, majority = method(frame), majority_vote(frame)
    np.testing.assert_allclose(result.posteriors.sum(axis=1), 1)
    sure = ~majority.is_tie & ~result.is_tie
    assert result.labels[sure].equals(majority.labels[sure])
    assert np.isfinite(result.workers.to_numpy(dtype=float)).all()


@METHODS
def test_the_same_answer_again_counts_once_and_is_said(method):
    frame, _ = crowd(n_tasks=30)
    again = pd.concat([frame, frame.iloc[:5], frame.iloc[:1]])
    once, twice = method(frame), method(again)
    pd.testing.assert_frame_equal(once.posteriors, twice.posteriors)
    assert twice.notes[0] == "6 answers repeat a task for the same worker: they share its one vote"


def test_different_answers_of_one_worker_share_its_vote():
    frame = answers(("t", "a", "x"), ("t", "a", "y"), ("t", "b", "y"), ("t", "c", "x"), ("t", "c", "x"), ("t", "c", "y"))
    result = majority_vote(frame)
    np.testing.assert_allclose(result.posteriors.loc["t", "x"], (1 / 2 + 0 + 2 / 3) / 3)
    assert result.workers["n_labels"].tolist() == [1, 1, 1]


def test_unknown_workers_are_each_somebody_else():
    frame = answers(("t", None, "x"), ("t", None, "x"), ("t", "a", "y"), ("u", "a", "y"), ("u", None, "y"))
    result = majority_vote(frame)
    assert result.posteriors.loc["t", "x"] == 2 / 3
    assert list(result.workers.index) == ["a"] and set(result.confusions.index.get_level_values("worker")) == {"a"}
    assert "3 answers have no worker" in " ".join(result.notes)


def test_single_answers_are_said():
    assert "1 of 2 tasks have a single answer" in majority_vote(answers(("t", "a", "x"), ("t", "b", "x"), ("u", "a", "x"))).notes[0]


@pytest.mark.parametrize("frame", [pd.DataFrame({"task": ["t"]}), answers(("t", "a", None)), answers((None, "a", "x"))])
def test_missing_columns_and_values_are_refused(frame):
    with pytest.raises(ValueError, match=r"no column|have no"):
        majority_vote(frame)


@METHODS
def test_gold_tasks_keep_their_label_and_gold_is_checked(method):
    frame, _ = crowd(n_tasks=30)
    gold = pd.Series({0: "violet", 1: "red", 999: "red"})
    result = method(frame, gold)
    assert result.labels[0] == "violet" and result.labels[1] == "red" and 999 not in result.labels.index
    assert result.posteriors.loc[0, "violet"] == 1
    with pytest.raises(ValueError, match="two labels for task 1"):
        method(frame, pd.Series(["red", "blue"], index=[1, 1]))


def test_gold_teaches_whom_to_trust():
    rows = [(task, worker, "x" if worker == "expert" else "y") for task in range(20) for worker in ("expert", "b", "c")]
    rows += [(task, worker, "y") for task in range(20, 40) for worker in ("expert", "b", "c")]
    gold = pd.Series("x", index=range(10))
    assert set(dawid_skene(answers(*rows)).labels[10:20]) == {"y"}
    assert set(dawid_skene(answers(*rows), gold).labels[10:20]) == {"x"}


def plain_dawid_skene(frame: pd.DataFrame, n_iter: int) -> pd.DataFrame:
    """Expectation-maximization as the paper writes it, in loops."""
    tasks, workers, labels = (sorted(frame[name].unique()) for name in ("task", "worker", "label"))
    said = {(row.task, row.worker): row.label for row in frame.itertuples()}
    posterior = {t: dict.fromkeys(labels, 0.0) for t in tasks}
    for (t, _), given_label in said.items():
        posterior[t][given_label] += 1
    for t in tasks:
        total = sum(posterior[t].values())
        posterior[t] = {k: value / total for k, value in posterior[t].items()}
    for _ in range(n_iter):
        prior = {k: sum(posterior[t][k] for t in tasks) / len(tasks) for k in labels}
        error = {}
        for w in workers:
            for k in labels:
                mine = {j: max(sum(posterior[t][k] for t in tasks if said.get((t, w)) == j), 1e-10) for j in labels}
                error[w, k] = {j: value / sum(mine.values()) for j, value in mine.items()}
        for t in tasks:
            like = {k: prior[k] * np.prod([error[w, k][said[t, w]] for w in workers if (t, w) in said]) for k in labels}
            posterior[t] = {k: value / sum(like.values()) for k, value in like.items()}
    return pd.DataFrame(posterior).T


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_dawid_skene_is_what_the_paper_says(seed, rounds):
    frame, _ = crowd(seed, n_tasks=12, n_workers=5)
    found = dawid_skene(frame, n_iter=rounds, tol=-np.inf).posteriors
    np.testing.assert_allclose(found, plain_dawid_skene(frame, rounds)[list(found.columns)], atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.sampled_from("xyz")), min_size=1, max_size=40), st.randoms())
def test_any_answers_are_answered_alike_in_any_order(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    for method in (majority_vote, dawid_skene, one_coin, mace, glad, bwa, ibcc):
        result = method(answers(*rows))
        assert_same(result, method(answers(*shuffled)))
        assert np.isfinite(result.posteriors.to_numpy()).all() and set(result.labels.index) == {task for task, *_ in rows}


@pytest.mark.parametrize("method", [dawid_skene, one_coin, mace, glad, bwa, ibcc, pooled], ids=lambda method: method.__name__)
def test_workers_are_told_apart(method):
    """Two good workers against three that answer at random: the majority is often wrong, who learns isn't."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 300)
    rows = {"a": np.where(rng.random(300) < 0.95, truth, (truth + 1) % 3), "b": np.where(rng.random(300) < 0.9, truth, (truth + 2) % 3)}
    rows |= {name: rng.integers(0, 3, 300) for name in "cde"}
    frame = pd.DataFrame(
        [(task, worker, labels[task]) for worker, labels in rows.items() for task in range(300)], columns=["task", "worker", "label"]
    )
    result = method(frame)
    assert (result.labels == truth).mean() > (majority_vote(frame).labels == truth).mean() + 0.03
    assert result.workers.loc[["a", "b"], "skill"].min() > result.workers.loc[list("cde"), "skill"].max() + 0.2
    assert result.confusions.loc[("a", 1), 1] > 0.7


def test_blocks_of_tasks_give_what_one_block_gives(monkeypatch):
    frame, _ = crowd(n_tasks=200)
    whole = {method: method(frame) for method in (dawid_skene, one_coin, glad)}
    monkeypatch.setattr("dataops_assets.labels.inference.answers._BLOCK", 7)
    for method, result in whole.items():
        np.testing.assert_allclose(method(frame).posteriors, result.posteriors, atol=1e-9)
