"""How well a model foretells votes that it hasn't seen: what tells models apart where nobody knows the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dataops_assets.labels.inference.answers import Answers, Floats

CLEARLY = 2.0  # standard errors
_FOLDS = 5
MOST = 30_000  # votes that are enough to compare models by
_LOOKED_AT = 2  # folds of that many votes that are foretold; of fewer, all are

Fit = Callable[[Answers], Sequence[tuple[Floats, Floats]]]


def log_likelihood(votes: Answers, fit: Fit) -> Floats:
    """Of each vote, by the model of the other folds' votes; of two fifths of them where there are many.

    Args:
        votes: All votes.
        fit: From votes to posteriors (tasks x labels) and the probability of each pair's label (pairs x true labels); several of
            them foretell what they do on average, none foretells nothing.
    """
    fold = np.random.default_rng(0).permutation(len(votes.task)) % _FOLDS  # votes are sorted, so the folds don't depend on the rows' order
    found = np.empty(len(votes.task))
    looked_at = _FOLDS if len(votes.task) < 0.9 * MOST else _LOOKED_AT  # a sample has about as many as it takes
    for number in range(looked_at):
        left_out = fold == number
        task, pair = votes.task[left_out], votes.pair[left_out]
        expected = [(posteriors[task] * given[pair]).sum(axis=1) for posteriors, given in fit(votes.some(~left_out))]
        found[left_out] = np.log(np.maximum(np.mean(expected, axis=0), 1e-12)) if expected else np.log(1e-12)
    return found[fold < looked_at]


def gain(first: Floats, second: Floats) -> float:
    """By how many standard errors the first log likelihoods are higher, paired by vote."""
    difference = first - second
    spread = difference.std() * np.sqrt(len(difference))
    return float(difference.sum() / spread) if spread > 0 else 0.0


def sample(votes: Answers) -> Answers:
    """Some of the tasks with all their votes, where there are more votes than it takes."""
    if len(votes.task) <= MOST:
        return votes
    share = MOST / len(votes.task)
    return votes.of_tasks(np.random.default_rng(0).random(len(votes.tasks)) < share)
