"""From several workers' answers to one label a task.

Every method takes a frame `task, worker, label` (one row an answer) and returns a `Result`, so one can stand in for
another. The terms are crowd-kit's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Result:
    """What the answers say.

    Attributes:
        labels: task -> winning label, sorted by task.
        posteriors: task x label, each row adding up to 1; columns sorted.
        workers: By worker: `n_labels`, and `skill`, the worker's estimated share of right answers.
        is_tie: task -> whether the winner had an equal.
    """

    labels: pd.Series
    posteriors: pd.DataFrame
    workers: pd.DataFrame
    is_tie: pd.Series


def majority_vote(answers: pd.DataFrame) -> Result:
    """Each answer counts the same; a label's posterior is its share of the task's answers.

    A tie goes to the tied label that is most frequent in all answers together (the best guess without the task), then
    to the first in sorted order, and is flagged. A worker's skill is the mean posterior of the labels it gave.

    Args:
        answers: Columns `task`, `worker`, `label`, none null; a row an answer.

    Raises:
        ValueError: when a column is missing or has nulls.
    """
    tasks, workers, labels = (_codes(answers, name) for name in ("task", "worker", "label"))
    shape = len(tasks[1]), len(labels[1])
    counts = np.zeros(shape, dtype=np.int64)
    np.add.at(counts, (tasks[0], labels[0]), 1)
    posteriors = counts / counts.sum(axis=1, keepdims=True)
    by_frequency = np.argsort(-counts.sum(axis=0), kind="stable")  # columns are sorted, so equals stay alphabetical
    winner = by_frequency[np.argmax(counts[:, by_frequency], axis=1)] if len(answers) else np.empty(0, dtype=np.int64)
    best = counts.max(axis=1, keepdims=True) if shape[1] else counts
    given = posteriors[tasks[0], labels[0]]
    n_labels = np.bincount(workers[0], minlength=len(workers[1]))
    skill = np.bincount(workers[0], weights=given, minlength=len(workers[1])) / np.maximum(n_labels, 1)
    index = pd.Index(tasks[1], name="task")
    return Result(
        labels=pd.Series(labels[1].take(winner), index=index, name="label", dtype=labels[1].dtype),
        posteriors=pd.DataFrame(posteriors, index=index, columns=pd.Index(labels[1], name="label")),
        workers=pd.DataFrame({"n_labels": n_labels, "skill": skill}, index=pd.Index(workers[1], name="worker")),
        is_tie=pd.Series((counts == best).sum(axis=1) > 1, index=index, name="is_tie"),
    )


def _codes(answers: pd.DataFrame, name: str) -> tuple[np.ndarray, pd.Index]:
    if name not in answers.columns:
        raise ValueError(f"answers have no column {name!r}; expected task, worker, label")
    codes, uniques = pd.factorize(answers[name], sort=True)
    if (codes < 0).any():
        raise ValueError(f"{int((codes < 0).sum())} answers have no {name}")
    return codes, pd.Index(uniques)
