"""Methods that learn a whole confusion matrix of each worker: which label it gives when another is true."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import digamma

from dataops_assets.labels.inference.answers import Answers, Floats, Result, read, report, totals_by_worker
from dataops_assets.labels.inference.steps import by_confusion, confusion_counts, shares_of_votes

_LEAST = 1e-10  # a probability that was never seen, as crowd-kit has it


def dawid_skene(answers: pd.DataFrame, gold: pd.Series | None = None, *, n_iter: int = 100, tol: float = 1e-5) -> Result:
    """Maximum likelihood of class shares and workers' confusion matrices.

    Dawid and Skene 1979, "Maximum likelihood estimation of observer error-rates using the EM algorithm", Applied Statistics 28.
    It needs many answers a worker: with few it believes its own first guess.

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label, where it is known.
        n_iter: At most so many rounds.
        tol: Stops when a round adds less than this to the bound of the log likelihood a vote. The bound counts the class
            shares once a vote, as crowd-kit does, so that both stop after the same round.

    Raises:
        ValueError: when a column is missing or has nulls.
    """
    votes = read(answers, gold)
    posteriors = shares_of_votes(votes)
    if votes.is_settled:
        return report(votes, posteriors, "Dawid-Skene")
    n_votes, bound = votes.weight.sum(), -np.inf
    prior, counts = posteriors.mean(axis=0), confusion_counts(votes, posteriors)
    for _ in range(n_iter):
        given, log_prior = np.log(_shares(votes, counts)), np.log(np.maximum(prior, _LEAST))
        evidence, classes, counts = by_confusion(votes, given, log_prior, posteriors)
        prior = classes / votes.shape[0]
        # entropy of the posteriors = log likelihood - what was expected of it
        entropy = evidence - (counts * given).sum() - votes.shape[0] * (prior * log_prior).sum()
        expected = (counts * np.log(_shares(votes, counts))).sum()
        expected += (counts.sum(axis=0) * np.log(np.maximum(prior, _LEAST))).sum()
        before, bound = bound, (expected + entropy) / n_votes
        if bound - before < tol:
            break
    return report(votes, posteriors, "Dawid-Skene", _shares(votes, counts))


def ibcc(answers: pd.DataFrame, gold: pd.Series | None = None, *, right: float = 4.0, wrong: float = 1.0, n_iter: int = 500) -> Result:
    """Independent Bayesian classifier combination: Dawid-Skene with a prior of each row of each confusion matrix.

    Kim and Ghahramani 2012, "Bayesian classifier combination", AISTATS, by variational Bayes.

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label, where it is known.
        right: Votes for the true label that a worker is thought to have given before.
        wrong: The same for each other label.
        n_iter: At most so many rounds.

    Raises:
        ValueError: when a column is missing or has nulls.
    """
    votes = read(answers, gold)
    posteriors = shares_of_votes(votes)
    if votes.is_settled:
        return report(votes, posteriors, "iBCC")
    n_labels = votes.shape[1]
    before = np.where(votes.pair_label[:, None] == np.arange(n_labels), right, wrong)
    total = right + wrong * (n_labels - 1)
    classes, counts = posteriors.sum(axis=0), confusion_counts(votes, posteriors)
    for _ in range(n_iter):
        given = digamma(counts + before) - digamma(totals_by_worker(votes, counts) + total)[votes.pair_worker]
        last = posteriors.copy()
        _, classes, counts = by_confusion(votes, given, digamma(classes + 1), posteriors)
        if np.abs(last - posteriors).max() < 1e-4:
            break
    shares = (counts + before) / (totals_by_worker(votes, counts) + total)[votes.pair_worker]
    return report(votes, posteriors, "iBCC", shares)


def _shares(votes: Answers, counts: Floats) -> Floats:
    counts = np.maximum(counts, _LEAST)
    return counts / totals_by_worker(votes, counts)[votes.pair_worker]
