"""Methods that weigh votes without a model of which labels a worker confuses."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dataops_assets.labels.inference.answers import Floats, Result, read, report
from dataops_assets.labels.inference.steps import shares_of_votes, tally


def majority_vote(answers: pd.DataFrame, gold: pd.Series | None = None) -> Result:
    """Each vote counts the same; a label's posterior is its share of the task's votes.

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label, where it is known.

    Raises:
        ValueError: when a column is missing or has nulls.
    """
    votes = read(answers, gold)
    return report(votes, shares_of_votes(votes), "majority vote")


def bwa(answers: pd.DataFrame, gold: pd.Series | None = None, *, strength: float = 15.0, n_iter: int = 500) -> Result:
    """Bayesian weighted average: each label by itself is a number in [0, 1] that workers report with a variance of their own.

    Li, Rubinstein and Cohn 2019, "Truth inference at scale: a Bayesian model for adjudicating highly redundant crowd
    annotations", WWW. Without local optima, and strong where workers gave few answers each.

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label, where it is known.
        strength: Votes that the prior of a worker's variance is worth.
        n_iter: At most so many rounds a label.

    Raises:
        ValueError: when a column is missing or has nulls.
    """
    votes = read(answers, gold)
    posteriors = shares_of_votes(votes)
    if votes.is_settled:
        return report(votes, posteriors, "bwa")
    n_tasks, n_labels = votes.shape
    worker, label, weight = votes.worker, votes.label, votes.weight
    n_votes = tally(worker, weight, votes.n_workers)
    per_task = tally(votes.task, weight, n_tasks)
    is_gold = votes.known >= 0
    for number in range(n_labels):
        said = (label == number) * 1.0
        share: Floats = posteriors[:, number].copy()
        spread = strength * (per_task * share * (1 - share)).sum() / weight.sum() * 4 * (1 - 1 / n_labels)
        for _ in range(n_iter):
            error = tally(worker, weight * (share[votes.task] - said) ** 2, votes.n_workers)
            precision = ((strength + n_votes) / np.maximum(spread + error, 1e-12))[worker] * weight
            before, total = share, 1 + tally(votes.task, precision, n_tasks)
            share = (share.mean() + tally(votes.task, precision * said, n_tasks)) / total
            share[is_gold] = votes.known[is_gold] == number
            if np.allclose(before, share, rtol=1e-3):
                break
        posteriors[:, number] = share
    return report(votes, posteriors / posteriors.sum(axis=1, keepdims=True), "bwa")
