"""The steps of expectation-maximization over votes, in blocks of tasks, so that memory beyond the posteriors stays bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from dataops_assets.labels.inference.answers import Answers

Floats = npt.NDArray[np.float64]


def tally(index: npt.NDArray[np.integer], weights: Floats, size: int) -> Floats:
    """Sums of `weights` by `index`, for 0 to `size` - 1."""
    return np.asarray(np.bincount(index, weights=weights, minlength=size), dtype=np.float64)


def shares_of_votes(votes: Answers) -> Floats:
    """Each label's share of each task's votes, tasks x labels: where every method starts. Gold tasks have their gold label."""
    n_tasks, n_labels = votes.shape
    cells = votes.task * np.int64(n_labels) + votes.label
    counts = tally(cells, votes.weight, n_tasks * n_labels).reshape(n_tasks, n_labels)
    totals = counts.sum(axis=1, keepdims=True)
    counts[totals[:, 0] == 0] = 1  # held-out votes may leave a task without any
    shares: Floats = counts / counts.sum(axis=1, keepdims=True)
    gold = np.flatnonzero(votes.known >= 0)
    shares[gold] = 0
    shares[gold, votes.known[gold]] = 1
    return shares


def by_confusion(votes: Answers, log_given: Floats, log_prior: Floats, posteriors: Floats) -> tuple[float, Floats, Floats]:
    """Posteriors from what each pair says about each true label.

    Args:
        votes: The votes.
        log_given: pairs x true labels, log of the probability of the pair's label.
        log_prior: Of the true labels.
        posteriors: Where they are written, tasks x labels.

    Returns:
        The log likelihood of the votes; expected tasks of each true label; expected votes: pairs x true labels.
    """
    evidence, classes, counts = 0.0, np.zeros(votes.shape[1]), np.zeros_like(log_given)
    for tasks, rows in votes.blocks(len(log_given)):
        matrix = _matrix(votes, tasks, rows)
        block, sums, log_total = _normalize(matrix @ log_given, log_prior, votes.known[tasks])
        posteriors[tasks] = block
        evidence, classes = evidence + log_total, classes + sums
        counts += matrix.T @ block
    return evidence, classes, counts


def by_odds(votes: Answers, odds: Floats, log_prior: Floats, posteriors: Floats) -> tuple[float, Floats, Floats]:
    """Posteriors where a vote tells its label from the others, but not the others from each other.

    Args:
        votes: The votes.
        odds: Of each vote, the log odds that its label, against any one other, would get it.
        log_prior: Of the true labels.
        posteriors: Where they are written, tasks x labels.

    Returns:
        The log likelihood, up to what the votes have whatever is true; expected tasks of each true label; each vote's probability
        of being right.
    """
    n_labels = votes.shape[1]
    evidence, classes, right = 0.0, np.zeros(n_labels), np.empty(len(votes.task))
    for tasks, rows in votes.blocks():
        cells = (votes.task[rows] - tasks.start) * np.int64(n_labels) + votes.pair_label[votes.pair[rows]]
        n_cells = (tasks.stop - tasks.start) * n_labels
        scores = tally(cells, odds[rows] * votes.weight[rows], n_cells).reshape(-1, n_labels)
        block, sums, log_total = _normalize(scores, log_prior, votes.known[tasks])
        posteriors[tasks] = block
        evidence, classes = evidence + log_total, classes + sums
        right[rows] = block.ravel()[cells]
    return evidence, classes, right


def confusion_counts(votes: Answers, posteriors: Floats) -> Floats:
    """Expected votes of each pair for each true label: pairs x labels."""
    counts = np.zeros((len(votes.pair_worker), votes.shape[1]))
    for tasks, rows in votes.blocks(len(counts)):
        counts += _matrix(votes, tasks, rows).T @ posteriors[tasks]
    return counts


def _matrix(votes: Answers, tasks: slice, rows: slice) -> csr_array:
    """Tasks x pairs: the weight of each vote."""
    starts = votes.starts[tasks.start : tasks.stop + 1] - rows.start
    shape = tasks.stop - tasks.start, len(votes.pair_worker)
    return csr_array((votes.weight[rows], votes.pair[rows], starts.astype(np.int32)), shape=shape)


def _normalize(scores: Floats, log_prior: Floats, known: npt.NDArray[np.int64]) -> tuple[Floats, Floats, float]:
    """Posteriors from log likelihoods, their sum for each label, and the log of what the likelihoods add up to."""
    across = np.ascontiguousarray(scores.T)  # numpy is slow along rows of a few labels
    across += log_prior[:, None]
    gold = np.flatnonzero(known >= 0)
    of_gold = across[known[gold], gold].sum()
    top = across.max(axis=0)
    across -= top
    np.exp(across, out=across)
    total = across.sum(axis=0)
    across /= total
    across[:, gold] = 0
    across[known[gold], gold] = 1
    log_total = top + np.log(total)
    evidence = log_total.sum() - log_total[gold].sum() + of_gold
    return np.ascontiguousarray(across.T), across.sum(axis=1), float(evidence)
