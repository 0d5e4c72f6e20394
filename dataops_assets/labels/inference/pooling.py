"""Confusion matrices with partial pooling: what a worker's few answers don't tell is filled in from what all workers do.

Dawid-Skene learns every worker's matrix from its own answers and needs many; one coin assumes that all errors are alike. Here a
worker's matrix has a prior of its own kind, a mixture of three behaviours whose shares are learnt for each worker: it knows the
label; it errs as all workers err where this label is true (one matrix for all, so neighbouring grades are confused more often
by everybody); or it answers by a habit of its own whatever is true (MACE). `strength` is how many votes that prior is worth: a
small one gives Dawid-Skene, a large one the mixture alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from dataops_assets.labels.inference import held_out
from dataops_assets.labels.inference.answers import Answers, Floats, Result, read, report, totals_by_worker
from dataops_assets.labels.inference.steps import by_confusion, confusion_counts, shares_of_votes, tally

UNIFORM, LEARNT = "uniform", "learnt"  # class shares
STRENGTHS = (2.0, 8.0, 32.0, 128.0)
AS_GOOD = 1.0  # standard errors: strengths that are no worse than this are averaged

_BEHAVIOURS = np.array([2.0, 1.0, 1.0])  # Dirichlet prior of a worker's shares: knows, errs as all do, answers by habit
_ALIKE = 20.0  # votes that the behaviour of all workers counts for in one worker's
_HABIT = 10.0  # votes that all workers' label shares count for in a worker's habit
_SHARED = 1.0  # the same in the shared errors of a true label
_LEAST = 1e-6
_CONFIRMED = 0.75  # of the votes for the majority's labels; seen: above 0.9 for right fits, about 0.7 for swapped ones
_N_ITER, _TOL, _WARM_UP = 100, 1e-3, 10


def pooled(
    answers: pd.DataFrame, gold: pd.Series | None = None, *, ordered: Sequence[Any] | None = None, strengths: Sequence[float] = STRENGTHS
) -> Result:
    """Dawid-Skene with partial pooling; strength and class shares are settled by how well held-out votes are foretold.

    True labels are thought to be equally frequent unless learning their shares foretells clearly better (2 standard errors).
    Posteriors are averaged over the strengths that foretell as well as the best one (within 1 standard error).

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label, where it is known.
        ordered: All labels in their order, where they have one: neighbours are thought to be confused more.
        strengths: Candidates.

    Returns:
        With `evidence`, a row a candidate: `class_shares`, `strength`, `log_likelihood` (mean of a held-out vote), `behind`
        (standard errors to the best of its kind), `is_used`.

    Raises:
        ValueError: when a column is missing or has nulls, or `ordered` lacks a label.
    """
    votes = read(answers, gold)
    near = nearness(votes, ordered)
    return settled(votes, near, None if votes.is_settled else settle(foretell(votes, near, strengths)))


def settled(votes: Answers, near: Floats, evidence: pd.DataFrame | None) -> Result:
    """The pooled model as `evidence` (of `settle`) says; majority vote where there is none, or nothing foretells."""
    majority = report(votes, shares_of_votes(votes), "majority vote: nothing else foretells")
    if votes.is_settled or evidence is None:
        return majority
    used = evidence.loc[evidence["is_used"], "strength"].tolist()
    shares = evidence.loc[evidence["is_used"], "class_shares"].iloc[0]
    n_fits, posteriors, given = 0, np.zeros(votes.shape), np.zeros((len(votes.pair_worker), votes.shape[1]))
    for strength in used:
        for part in fit(votes, strength, shares == LEARNT, near):
            n_fits, posteriors, given = n_fits + 1, posteriors + part[0], given + part[1]
    if not n_fits:
        return replace(majority, evidence=evidence)
    posteriors, given = posteriors / n_fits, given / n_fits
    result = report(votes, posteriors, f"pooled, {shares} class shares, strength {' and '.join(f'{k:g}' for k in used)}", given)
    return replace(result, evidence=evidence)


def foretell(votes: Answers, near: Floats, strengths: Sequence[float] = STRENGTHS) -> dict[tuple[str, float], Floats]:
    """Log likelihood of each held-out vote by class shares and strength; of a sample where there are many votes."""
    some = held_out.sample(votes)
    return {
        (shares, strength): held_out.log_likelihood(some, partial(fit, strength=strength, is_learnt=shares == LEARNT, near=near))
        for shares in (UNIFORM, LEARNT)
        for strength in strengths
    }


def settle(found: dict[tuple[str, float], Floats], clearly: float = held_out.CLEARLY, as_good: float = AS_GOOD) -> pd.DataFrame:
    """The evidence of `pooled`.

    Args:
        found: From `foretell`.
        clearly: Standard errors by which learnt class shares must foretell better.
        as_good: Standard errors by which a strength that is used may be behind the best.
    """
    best = {shares: max((key for key in found if key[0] == shares), key=lambda key: found[key].sum()) for shares in (UNIFORM, LEARNT)}
    chosen = LEARNT if held_out.gain(found[best[LEARNT]], found[best[UNIFORM]]) > clearly else UNIFORM
    rows = [(*key, values.mean(), held_out.gain(found[best[key[0]]], values)) for key, values in found.items()]
    evidence = pd.DataFrame(rows, columns=["class_shares", "strength", "log_likelihood", "behind"])
    return evidence.assign(is_used=(evidence["class_shares"] == chosen) & (evidence["behind"] <= as_good))


def fit(votes: Answers, strength: float, is_learnt: bool, near: Floats) -> list[tuple[Floats, Floats]]:
    """Posteriors (tasks x labels), and the probability of each pair's label (pairs x true labels), of two fits.

    One takes each worker's behaviours by themselves, one takes workers for alike until they show otherwise. The first finds who is
    special, the second doesn't mistake chance for it; few answers don't show which is right.

    Labels can be swapped throughout, with workers that are thought to swap them back: such a fit foretells no worse. It is left
    out, told by its labels being those of far fewer votes than the majority's.

    Args:
        votes: The votes.
        strength: Votes that a worker's prior counts for.
        is_learnt: Class shares are learnt; otherwise uniform.
        near: true x given labels, rows adding up to 1: the prior of the errors that all workers share.
    """
    fits = [_fit(votes, strength, is_learnt, near, alike) for alike in (0.0, _ALIKE)]
    least = _CONFIRMED * _agreement(votes, shares_of_votes(votes))
    return [part for part in fits if _agreement(votes, part[0]) >= least]


def _agreement(votes: Answers, posteriors: Floats) -> float:
    """Votes that are for the likeliest label."""
    return float(votes.weight[posteriors.argmax(axis=1)[votes.task] == votes.label].sum())


def _fit(votes: Answers, strength: float, is_learnt: bool, near: Floats, alike: float) -> tuple[Floats, Floats]:
    """One fit; `alike` is how many votes the mean behaviour of all workers counts for, 0 for `_BEHAVIOURS` instead."""
    n_tasks, n_labels = votes.shape
    of, label, n_pairs = votes.pair_worker, votes.pair_label, len(votes.pair_worker)
    by_label = csr_array((np.ones(n_pairs), (label, np.arange(n_pairs))), shape=(n_labels, n_pairs))
    is_label = label[:, None] == np.arange(n_labels)
    frequency = tally(votes.label, votes.weight, n_labels) / max(votes.weight.sum(), 1)
    posteriors = shares_of_votes(votes)
    classes, counts = posteriors.sum(axis=0), confusion_counts(votes, posteriors)
    shares = np.tile(_BEHAVIOURS / _BEHAVIOURS.sum(), (votes.n_workers, 1))
    shared, habit = near, frequency[label]
    for round_ in range(_N_ITER):
        for _ in range(3 if round_ < 5 else 1):
            prior = _mixture(shares[of], is_label, shared.T[label], habit)
            per_vote = counts / (sum(prior) + 1e-12)
            knows, errs, by_habit = (part * per_vote for part in prior)
            parts = np.stack([knows.sum(axis=1), errs.sum(axis=1), by_habit.sum(axis=1)], axis=1)
            everybody = parts.sum(axis=0) + _BEHAVIOURS
            shares = totals_by_worker(votes, parts) + (alike * everybody / everybody.sum() if alike else _BEHAVIOURS)
            shares /= shares.sum(axis=1, keepdims=True)
            shared = (by_label @ errs).T + _SHARED * near
            shared /= np.maximum(shared.sum(axis=1, keepdims=True), 1e-12)
            habit = parts[:, 2] + _HABIT * frequency[label]
            habit /= (totals_by_worker(votes, parts[:, 2]) + _HABIT)[of]
        prior_votes = strength * np.maximum(sum(_mixture(shares[of], is_label, shared.T[label], habit)), _LEAST)
        given = (counts + prior_votes) / (totals_by_worker(votes, counts) + strength)[of]
        log_prior = np.log((classes + 1) / (n_tasks + n_labels)) if is_learnt else np.zeros(n_labels)
        before = posteriors.copy()
        _, classes, counts = by_confusion(votes, np.log(given), log_prior, posteriors)
        if round_ > _WARM_UP and np.abs(before - posteriors).max() < _TOL:
            break
    return posteriors, given


def _mixture(shares: Floats, is_label: np.ndarray, shared: Floats, habit: Floats) -> tuple[Floats, Floats, Floats]:
    """Probability of each pair's label with each behaviour, pairs x true labels."""
    habits = np.broadcast_to((shares[:, 2] * habit)[:, None], shared.shape)
    return shares[:, :1] * is_label, shares[:, 1:2] * shared, habits


def nearness(votes: Answers, ordered: Sequence[Any] | None = None) -> Floats:
    """Which wrong label is given for a true one, before anything is learnt: by frequency, and by nearness where there is an order."""
    n_labels = votes.shape[1]
    near = np.tile(tally(votes.label, votes.weight, n_labels) / max(votes.weight.sum(), 1) + 1e-3, (n_labels, 1))
    if ordered is not None:
        missing = [label for label in votes.labels if label not in ordered]
        if missing:
            raise ValueError(f"the order of labels lacks {missing[0]!r}; name all of {list(votes.labels)}")
        place = np.array([list(ordered).index(label) for label in votes.labels])
        near = near * 0.5 ** np.abs(place[:, None] - place)
    np.fill_diagonal(near, 0)
    rows: Floats = near / np.maximum(near.sum(axis=1, keepdims=True), 1e-12)
    return rows
