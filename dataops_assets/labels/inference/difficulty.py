"""GLAD: workers differ in ability, tasks in difficulty."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dataops_assets.labels.inference.answers import Floats, Ints, Result, read, report
from dataops_assets.labels.inference.steps import by_odds, shares_of_votes, tally

_PRIOR_MEAN = 1.0  # of abilities and of log easiness, with unit variance


def glad(
    answers: pd.DataFrame,
    gold: pd.Series | None = None,
    *,
    n_iter: int = 100,
    tol: float = 1e-5,
    m_step_iter: int = 25,
    m_step_tol: float = 1e-2,
) -> Result:
    """Generative model of labels, abilities and difficulties: right with probability sigmoid(ability x easiness).

    Whitehill et al. 2009, "Whose vote should count more", NeurIPS; labels are thought to be equally frequent. `workers.ability`
    is negative for who is worse than chance.

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label, where it is known.
        n_iter: At most so many rounds.
        tol: Stops when a round adds less than this to the expected log likelihood, over votes times labels.
        m_step_iter: At most so many steps of conjugate gradients a round.
        m_step_tol: Stops those when the gradient is below.

    Raises:
        ValueError: when a column is missing or has nulls.
    """
    votes = read(answers, gold)
    posteriors = shares_of_votes(votes)
    if votes.is_settled:
        return report(votes, posteriors, "GLAD")
    from scipy.optimize import minimize

    n_tasks, n_labels = votes.shape
    worker, task, n_workers = votes.worker, votes.task.astype(np.int64), votes.n_workers
    point = np.full(n_workers + n_tasks, _PRIOR_MEAN)
    log_prior, value = np.full(n_labels, -np.log(n_labels)), -np.inf
    for _ in range(n_iter):
        product = point[worker] * np.exp(point[n_workers:])[task]
        _, _, right = by_odds(votes, product + np.log(n_labels - 1), log_prior, posteriors)
        arguments = worker, task, votes.weight, right, n_workers
        found = minimize(_cost, point, args=arguments, method="CG", jac=True, tol=m_step_tol, options={"maxiter": m_step_iter})
        point = found.x
        before, value = value, -float(found.fun) / (len(task) * n_labels)
        if value - before < tol:
            break
    return report(votes, posteriors, "GLAD", ability=point[:n_workers])


def _cost(point: Floats, worker: Ints, task: Ints, weight: Floats, right: Floats, n_workers: int) -> tuple[float, Floats]:
    """Minus the expected log likelihood with the priors' (up to constants), and its gradient.

    Args:
        point: Abilities of workers, then log easiness of tasks.
        worker: Of each vote; task, weight and `right`, its probability of being right, too.
        task: See `worker`.
        weight: See `worker`.
        right: See `worker`.
        n_workers: Where in `point` the tasks start.
    """
    ability, ease = point[worker], np.exp(point[n_workers:])[task]
    product = ability * ease
    small = np.exp(-np.abs(product))
    # log sigmoid is min(product, 0) - log1p(small), and log(1 - sigmoid) is that less product
    value = (weight * (np.minimum(product, 0) - np.log1p(small) - (1 - right) * product)).sum()
    chance = np.where(product >= 0, 1.0, small) / (1 + small)
    slope = weight * (right - chance) * ease
    gradient = _PRIOR_MEAN - point
    gradient[:n_workers] += tally(worker, slope, n_workers)
    gradient[n_workers:] += tally(task, slope * ability, len(point) - n_workers)
    return ((point - _PRIOR_MEAN) ** 2).sum() / 2 - float(value), -gradient
