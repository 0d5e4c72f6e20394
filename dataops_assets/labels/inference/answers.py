"""Answers as arrays, and what a method found as frames.

Alike for every method:

- A worker has one vote a task. The same answer given again counts once; different answers of one worker to one task share the
  vote by how often each was given (no order of time is assumed, so the order of the rows doesn't matter).
- A worker that isn't known (null) is taken for another person at each answer, and isn't in `workers`.
- A tie (best posteriors within 1e-9) is flagged and goes to the tied label with the better votes: those of workers that agree
  more with the posteriors elsewhere, and of labels that are given less often by chance (the odds of a vote are
  skill / (1 - skill) / frequency of its label); if those are equal too, to the first in sorted order.
- A task of gold keeps its gold label, and teaches the methods that learn.
- What was met of these is said in `notes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataops_assets.labels.inference.steps import confusion_counts, tally

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TIE = 1e-9
_BLOCK = 1 << 14  # tasks whose scores are in memory, and in the processor's cache, at a time


@dataclass(frozen=True)
class Result:
    """What the answers say.

    Attributes:
        labels: task -> winning label, sorted by task.
        posteriors: task x label, each row adding up to 1; columns sorted.
        workers: By worker: `n_labels` (tasks answered) and `skill`, the worker's estimated share of right answers; more where a
            method knows more.
        is_tie: task -> whether the winner had an equal.
        confusions: (worker, label) x true label: the share of that label in the worker's answers where the other is true, as
            crowd-kit's `errors_`. Labels that the worker never gave have no row.
        chosen: The method, with what it settled on.
        notes: What was met in the answers that somebody should know of: a sentence each.
        evidence: What `auto` decided by, a row a candidate; None elsewhere.
        blind: Posteriors of the gold tasks as the chosen method had them before it saw the gold; None where `auto` had no gold.
    """

    labels: pd.Series
    posteriors: pd.DataFrame
    workers: pd.DataFrame
    is_tie: pd.Series
    confusions: pd.DataFrame
    chosen: str = ""
    notes: tuple[str, ...] = ()
    evidence: pd.DataFrame | None = None
    blind: pd.DataFrame | None = None


@dataclass(frozen=True)
class Answers:
    """Votes as arrays, sorted by task, worker and label. A pair is a worker with a label that it gave.

    Attributes:
        tasks: Names of the tasks, sorted; workers and labels alike. Unknown workers have numbers above those of `workers`.
        task: Of each vote, a number of `tasks`; not decreasing.
        pair: Of each vote, a number of `pair_worker` and `pair_label`.
        weight: Of each vote; the votes of one worker on one task add up to 1.
        pair_worker: Of each pair; not decreasing.
        pair_label: Of each pair; increasing within a worker.
        starts: Place of each task's first vote, and one past the last.
        known: Of each task, the number of its gold label, or -1.
        notes: See `Result`.
    """

    tasks: pd.Index
    workers: pd.Index
    labels: pd.Index
    task: npt.NDArray[np.int32]
    pair: npt.NDArray[np.int32]
    weight: Floats
    pair_worker: Ints
    pair_label: Ints
    starts: Ints
    known: Ints
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Tasks and labels."""
        return len(self.tasks), len(self.labels)

    @property
    def n_workers(self) -> int:
        """Known and unknown ones."""
        return int(self.pair_worker[-1]) + 1 if len(self.pair_worker) else 0

    @property
    def label(self) -> Ints:
        """Of each vote."""
        return self.pair_label[self.pair]

    @property
    def worker(self) -> Ints:
        """Of each vote."""
        return self.pair_worker[self.pair]

    @property
    def is_settled(self) -> bool:
        """Nothing to learn: no answers, or one label only."""
        return len(self.task) == 0 or len(self.labels) < 2

    @cached_property
    def first_pairs(self) -> Ints:
        """Place of each worker's first pair."""
        return np.flatnonzero(np.diff(self.pair_worker, prepend=-1))

    def blocks(self, n_tasks: int = 0) -> Iterator[tuple[slice, slice]]:
        """Tasks and their votes, some at a time."""
        step = max(_BLOCK, n_tasks)
        for start in range(0, len(self.tasks), step):
            stop = min(start + step, len(self.tasks))
            yield slice(start, stop), slice(int(self.starts[start]), int(self.starts[stop]))

    def some(self, keep: npt.NDArray[np.bool_]) -> Answers:
        """The votes where `keep`; tasks, workers, labels and pairs keep their numbers."""
        task = self.task[keep]
        starts = np.searchsorted(task, np.arange(len(self.tasks) + 1))
        return replace(self, task=task, pair=self.pair[keep], weight=self.weight[keep], starts=starts)

    def of_tasks(self, keep: npt.NDArray[np.bool_]) -> Answers:
        """The tasks where `keep` with their votes; workers, labels and pairs keep their numbers."""
        votes = self.some(keep[self.task])
        task = (np.cumsum(keep) - 1)[votes.task].astype(np.int32)
        starts = np.searchsorted(task, np.arange(int(keep.sum()) + 1))
        return replace(votes, tasks=self.tasks[keep], known=self.known[keep], task=task, starts=starts)


def read(answers: pd.DataFrame, gold: pd.Series | None = None) -> Answers:
    """Number and sort what `answers` hold.

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label; tasks without answers are left out.

    Raises:
        ValueError: when a column is missing, a task or label is null, or a task of gold is there twice.
    """
    task, tasks = _codes(answers, "task")
    label, labels = _codes(answers, "label")
    worker, workers = _codes(answers, "worker", may_miss=True)
    known, labels_with_gold = _known(gold, tasks, labels)
    if len(labels_with_gold) > len(labels):
        label, labels = labels_with_gold.get_indexer(labels)[label], labels_with_gold
    unknown = np.flatnonzero(worker < 0)
    unknown = unknown[np.lexsort((label[unknown], task[unknown]))]
    worker[unknown] = len(workers) + np.arange(len(unknown))
    n_workers, n_labels = len(workers) + len(unknown), max(len(labels), 1)
    # one number a vote, so that sorting it sorts all three
    key = (task * n_workers + worker) * n_labels + label
    key.sort()
    both, label = np.divmod(key, n_labels)
    weight = np.ones(len(key))
    repeated = int((both[1:] == both[:-1]).sum())
    if repeated:
        key, times = np.unique(key, return_counts=True)
        both, label = np.divmod(key, n_labels)
        _, voter = np.unique(both, return_inverse=True)
        weight = times / np.bincount(voter, weights=times)[voter]
    task, worker = np.divmod(both, max(n_workers, 1))
    pair, pairs = pd.factorize(worker * n_labels + label, sort=True)
    starts = np.searchsorted(task, np.arange(len(tasks) + 1))
    return Answers(
        tasks,
        workers,
        labels,
        task.astype(np.int32),
        pair.astype(np.int32),
        weight,
        np.asarray(pairs // n_labels),
        np.asarray(pairs % n_labels),
        starts,
        known,
        _notes(repeated, len(unknown), np.diff(starts), gold, known),
    )


def report(
    votes: Answers,
    posteriors: Floats,
    chosen: str,
    given: Floats | None = None,
    **columns: npt.ArrayLike,
) -> Result:
    """What a method found, as frames.

    Args:
        votes: What it looked at.
        posteriors: tasks x labels.
        chosen: See `Result`.
        given: pairs x true labels, the probability of the pair's label; as the posteriors have it when None.
        columns: More columns of `workers`, an array over all workers each.
    """
    n_tasks = len(votes.tasks)
    tasks, labels = votes.tasks.rename("task"), votes.labels.rename("label")
    right = posteriors[votes.task, votes.label] * votes.weight
    n_answered = tally(votes.worker, votes.weight, votes.n_workers)
    skill = tally(votes.worker, right, votes.n_workers) / np.maximum(n_answered, 1)
    winner, is_tie = _winners(votes, posteriors, skill)
    workers = pd.DataFrame({"n_labels": np.rint(n_answered).astype(np.int64), "skill": skill, **columns})
    workers = workers.iloc[: len(votes.workers)].set_axis(votes.workers.rename("worker"))
    shares = confusion_shares(votes, confusion_counts(votes, posteriors)) if given is None else given
    listed = votes.pair_worker < len(votes.workers)
    pairs = [votes.workers.take(votes.pair_worker[listed]), votes.labels.take(votes.pair_label[listed])]
    index = pd.MultiIndex.from_arrays(pairs, names=["worker", "label"])
    n_ties = int(is_tie.sum())
    ties = (f"{n_ties} of {n_tasks} tasks have no single best label: the one with the better votes was taken",) if n_ties else ()
    return Result(
        labels=pd.Series(votes.labels.take(winner), index=tasks, name="label", dtype=votes.labels.dtype),
        posteriors=pd.DataFrame(posteriors, index=tasks, columns=labels),
        workers=workers,
        is_tie=pd.Series(is_tie, index=tasks, name="is_tie"),
        confusions=pd.DataFrame(shares[listed], index=index, columns=votes.labels.rename("true_label")),
        chosen=chosen,
        notes=votes.notes + ties,
    )


def confusion_shares(votes: Answers, counts: Floats) -> Floats:
    """Counts of pairs x true labels as shares of what each worker answered to that true label; 0 where it never met one."""
    totals = totals_by_worker(votes, counts)[votes.pair_worker]
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)


def totals_by_worker(votes: Answers, counts: Floats) -> Floats:
    """Sums of rows of pairs: workers x the columns of `counts`."""
    if not len(counts):
        return np.zeros((0, *counts.shape[1:]))
    return np.add.reduceat(counts, votes.first_pairs, axis=0)


def _winners(votes: Answers, posteriors: Floats, skill: Floats) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Number of each task's label, and whether others are as likely."""
    n_tasks, n_labels = votes.shape
    winner, is_tie = np.zeros(n_tasks, dtype=np.int64), np.zeros(n_tasks, dtype=bool)
    if not n_labels:
        return winner, is_tie
    for rows, _ in votes.blocks():
        across = np.ascontiguousarray(posteriors[rows].T)
        winner[rows] = posteriors[rows].argmax(axis=1)
        is_tie[rows] = (across >= across.max(axis=0) - TIE).sum(axis=0) > 1
    tied = np.flatnonzero(is_tie)
    if len(tied):
        some = votes.of_tasks(is_tie)
        frequency = tally(votes.label, votes.weight, n_labels) / votes.weight.sum()
        sure = np.clip(skill, 0.01, 0.99)
        odds = np.log(sure / (1 - sure))[some.worker] - np.log(frequency[some.label])
        cells = some.task * np.int64(n_labels) + some.label
        behind = tally(cells, odds * some.weight, len(tied) * n_labels).reshape(-1, n_labels).round(9)
        best = posteriors[tied] >= posteriors[tied].max(axis=1, keepdims=True) - TIE
        winner[tied] = np.argmax(np.where(best, behind, -np.inf), axis=1)
    return winner, is_tie


def _codes(answers: pd.DataFrame, name: str, may_miss: bool = False) -> tuple[Ints, pd.Index]:
    if name not in answers.columns:
        raise ValueError(f"answers have no column {name!r}; expected task, worker, label")
    values = answers[name]
    if isinstance(values.dtype, np.dtype) and values.dtype.kind == "i" and len(values):
        lowest, span = int(values.min()), int(values.max()) - int(values.min()) + 1
        if span <= 4 * len(values):  # a table of all numbers is several times faster than hashing and sorting them
            offset = values.to_numpy() - lowest
            is_there = np.zeros(span, dtype=bool)
            is_there[offset] = True
            return (np.cumsum(is_there) - 1)[offset], pd.Index((np.flatnonzero(is_there) + lowest).astype(values.dtype))
    codes, uniques = pd.factorize(values, sort=True)
    if not may_miss and (codes < 0).any():
        raise ValueError(f"{int((codes < 0).sum())} answers have no {name}")
    return codes.astype(np.int64, copy=False), pd.Index(uniques)


def _known(gold: pd.Series | None, tasks: pd.Index, labels: pd.Index) -> tuple[Ints, pd.Index]:
    known = np.full(len(tasks), -1)
    if gold is None or gold.empty:
        return known, labels
    if not gold.index.is_unique:
        raise ValueError(f"gold has two labels for task {gold.index[gold.index.duplicated()][0]}")
    gold = gold[gold.index.isin(tasks)].dropna()
    new = pd.Index(gold.unique()).difference(labels)
    labels = labels.append(new).sort_values() if len(new) else labels
    known[tasks.get_indexer(gold.index)] = labels.get_indexer(pd.Index(gold))
    return known, labels


def _notes(repeated: int, unknown: int, votes_per_task: Ints, gold: pd.Series | None, known: Ints) -> tuple[str, ...]:
    single, n_gold = int((votes_per_task == 1).sum()), int((known >= 0).sum())
    notes = [
        (repeated, f"{repeated} answers repeat a task for the same worker: they share its one vote"),
        (unknown, f"{unknown} answers have no worker: each counts as another person's"),
        (single, f"{single} of {len(votes_per_task)} tasks have a single answer: nobody else confirms it"),
        (gold is not None and len(gold) > n_gold, f"{0 if gold is None else len(gold) - n_gold} gold tasks have no answers"),
    ]
    return tuple(note for met, note in notes if met)
