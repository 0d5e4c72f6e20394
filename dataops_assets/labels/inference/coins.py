"""Methods where a worker is right with one probability, whatever is true, and otherwise gives a label without looking."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import digamma

from dataops_assets.labels.inference import held_out
from dataops_assets.labels.inference.answers import Answers, Floats, Result, read, report
from dataops_assets.labels.inference.steps import by_odds, shares_of_votes, tally

ClassPrior = Literal["uniform", "learnt"]

_LEAST = 1e-10
_SPAM, _KNOWS = 0.5, 0.5  # Beta prior of a worker's competence (Hovy et al. 2013)
_STRATEGY = 1.0  # Dirichlet prior of what a worker answers when it doesn't know: any habit is as likely as any other


def one_coin(answers: pd.DataFrame, gold: pd.Series | None = None, *, n_iter: int = 100, tol: float = 1e-5) -> Result:
    """Dawid-Skene with one number a worker: right with that probability, otherwise any other label alike.

    Zhang et al. 2014, "Spectral methods meet EM", section 4 (crowd-kit's OneCoinDawidSkene).

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label, where it is known.
        n_iter: At most so many rounds.
        tol: See `dawid_skene`.

    Raises:
        ValueError: when a column is missing or has nulls.
    """
    votes = read(answers, gold)
    posteriors = shares_of_votes(votes)
    if votes.is_settled:
        return report(votes, posteriors, "one-coin")
    n_tasks, n_labels = votes.shape
    worker, n_votes, bound = votes.worker, votes.weight.sum(), -np.inf
    per_task = tally(votes.task, votes.weight, n_tasks)
    per_worker = tally(worker, votes.weight, votes.n_workers)
    prior, right = posteriors.mean(axis=0), posteriors[votes.task, votes.label]
    is_right, is_wrong = _coin(worker, right * votes.weight, per_worker, n_labels)
    for _ in range(n_iter):
        odds, log_prior = (is_right - is_wrong)[worker], np.log(np.maximum(prior, _LEAST))
        evidence, classes, right = by_odds(votes, odds, log_prior, posteriors)
        prior = classes / n_tasks
        entropy = evidence - (right * votes.weight * odds).sum() - n_tasks * (prior * log_prior).sum()
        is_right, is_wrong = _coin(worker, right * votes.weight, per_worker, n_labels)
        hits = tally(worker, right * votes.weight, votes.n_workers)
        expected = (hits * is_right + (per_worker - hits) * is_wrong).sum()
        expected += (per_task @ posteriors @ np.log(np.maximum(prior, _LEAST))).sum()
        before, bound = bound, (expected + entropy) / n_votes
        if bound - before < tol:
            break
    return report(votes, posteriors, "one-coin")


def mace(answers: pd.DataFrame, gold: pd.Series | None = None, *, class_prior: ClassPrior | None = None, n_iter: int = 50) -> Result:
    """Multi-annotator competence estimation: a worker knows, or answers by a habit of its own whatever is true.

    Hovy et al. 2013, "Learning whom to trust with MACE", NAACL, by variational Bayes. It starts from workers that are all
    alike, so there is nothing random to restart. `workers.competence` is the share of answers that a worker gives knowing.

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label, where it is known.
        class_prior: True labels are thought to be equally frequent (`uniform`, the paper's), or their shares are `learnt`. None
            learns them where that foretells held-out votes clearly better: skewed classes are lost otherwise.
        n_iter: Rounds.

    Raises:
        ValueError: when a column is missing or has nulls.
    """
    votes = read(answers, gold)
    if votes.is_settled:
        return report(votes, shares_of_votes(votes), "MACE")
    if class_prior is None:
        sample = held_out.sample(votes)
        learnt = held_out.log_likelihood(sample, lambda some: [_mace(some, True, n_iter)[:2]])
        uniform = held_out.log_likelihood(sample, lambda some: [_mace(some, False, n_iter)[:2]])
        class_prior = "learnt" if held_out.gain(learnt, uniform) > held_out.CLEARLY else "uniform"
    posteriors, given, competence = _mace(votes, class_prior == "learnt", n_iter)
    return report(votes, posteriors, f"MACE, {class_prior} class shares", given, competence=competence)


def _mace(votes: Answers, is_learnt: bool, n_iter: int) -> tuple[Floats, Floats, Floats]:
    """Posteriors, the probability of each pair's label for each true label, competences."""
    n_tasks, n_labels = votes.shape
    pair_worker, n_workers = votes.pair_worker, votes.n_workers
    n_votes = tally(votes.pair, votes.weight, len(pair_worker))
    posteriors = np.empty((n_tasks, n_labels))
    spam, knows = np.full(n_workers, 0.5), np.full(n_workers, 0.5)
    habit = np.full(len(pair_worker), 1 / n_labels)
    log_prior = np.full(n_labels, -np.log(n_labels))
    for _ in range(n_iter + 1):
        guessed = spam[pair_worker] * habit
        informed = guessed + knows[pair_worker]
        _, classes, right = by_odds(votes, (np.log(informed) - np.log(guessed))[votes.pair], log_prior, posteriors)
        if is_learnt:
            log_prior = np.log((classes + 1) / (n_tasks + n_labels))
        hits = tally(votes.pair, right * votes.weight, len(pair_worker))
        known = hits * knows[pair_worker] / informed
        by_habit = n_votes - known
        n_known = tally(pair_worker, known, n_workers) + _KNOWS
        n_spam = tally(pair_worker, by_habit, n_workers)
        n_habit = (n_spam + _STRATEGY * n_labels)[pair_worker]
        n_spam += _SPAM
        spam, knows = np.exp(digamma([n_spam, n_known]) - digamma(n_spam + n_known))
        habit = np.exp(digamma(by_habit + _STRATEGY) - digamma(n_habit))
    competence = n_known / (n_known + n_spam)
    given = ((1 - competence)[pair_worker] * (by_habit + _STRATEGY) / n_habit)[:, None]
    is_label = votes.pair_label[:, None] == np.arange(n_labels)
    return posteriors, given + competence[pair_worker][:, None] * is_label, competence


def _coin(worker: np.ndarray, right: Floats, per_worker: Floats, n_labels: int) -> tuple[Floats, Floats]:
    """Logs of each worker's probability of the true label, and of each other one."""
    hits = tally(worker, right, len(per_worker)) / np.maximum(per_worker, _LEAST)
    skill = np.clip(hits, _LEAST, 1 - _LEAST)
    return np.log(skill), np.log(np.maximum((1 - skill) / (n_labels - 1), _LEAST))
