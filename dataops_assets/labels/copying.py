"""Pairs of workers that agree more than the skill of both explains.

Independent workers agree in so far as both are right: beyond chance, agreement of i and j is s_i x s_j, so the matrix of agreements
has rank one off its diagonal, whatever the labels (Dalvi et al. 2013, "Aggregating crowdsourced binary ratings", WWW). The skills are
fitted to all pairs but the one in question, so the pair can't make its own excuse, nor can it by outvoting an honest third one: no
consensus is used. Shared mistakes are what tells copying from care (Dong et al. 2009, "Integrating conflicting data", VLDB).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_EXCESS = 0.05  # agreement beyond what is expected that is worth a look
_PRIOR = 10.0  # shared questions with an average worker that everybody's skill is drawn to it by
_ROUNDS = 30
_OUTLIER = 3.0
COLUMNS = ["first", "second", "n", "k", "expected", "p_value", "is_large"]


def pairs(answers: pd.DataFrame, least: int = 20) -> pd.DataFrame:
    """Each pair that shares at least `least` questions.

    Args:
        answers: worker_id, task_id, attribute, label; a row an answer.
        least: Fewer shared questions say nothing.

    Returns:
        Columns of COLUMNS: `k` equal answers of `n`, the share `expected`, and a one-sided p-value. Its variance is that of the binomial
        distribution and of the fitted skills, widened where pairs as a whole scatter more: hard pictures make honest people agree.
    """
    from scipy.stats import binom, norm

    worker, names = pd.factorize(answers["worker_id"], sort=True)
    parts = [_expected(*part) for part in _by_attribute(answers, worker, len(names))]
    parts = [part for part in parts if part is not None]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat(parts).groupby(["first", "second"], sort=True)[["n", "k", "mean", "variance"]].sum()
    rows = rows[rows["n"] >= least].reset_index()
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    z = (rows["k"] - rows["mean"]) / np.sqrt(rows["variance"])
    # the empirical null: how pairs scatter here (Efron 2004, JASA 99:96-104)
    shift, scale = (z.median(), (z.quantile(0.75) - z.quantile(0.25)) / 1.349) if len(z) >= 10 else (0.0, 1.0)
    z = (z - max(shift, 0.0) - 0.5 / np.sqrt(rows["variance"])) / max(scale, 1.0)
    expected = rows["mean"] / rows["n"]
    exact = binom.sf(rows["k"] - 1, rows["n"], expected)
    rows = rows.assign(
        first=names[rows["first"]],
        second=names[rows["second"]],
        expected=expected,
        p_value=np.maximum(norm.sf(z), exact),
        is_large=rows["k"] / rows["n"] - expected >= LEAST_EXCESS,
    )
    return rows[COLUMNS]


def shared_errors(answers: pd.DataFrame, first: str, second: str) -> tuple[int, int, list[str]]:
    """Questions that both answered otherwise than was settled, how many of them alike, and the tasks of these."""
    both = answers[answers["is_judged"].astype(bool) & answers["worker_id"].isin([first, second])]
    wide = both.drop_duplicates(["task_id", "attribute", "worker_id"])
    wide = wide.pivot(index=["task_id", "attribute"], columns="worker_id", values=["label", "is_right"]).dropna()
    if wide.empty or wide["label"].shape[1] < 2:
        return 0, 0, []
    wrong = wide[~wide["is_right"].to_numpy(dtype=bool).any(axis=1)]
    same = wrong[wrong["label"][first] == wrong["label"][second]]
    return len(wrong), len(same), sorted(set(same.index.get_level_values("task_id")))


def _by_attribute(answers: pd.DataFrame, worker: Ints, n_workers: int) -> Iterator[tuple[Any, Any, float]]:
    """Of each question: shared answers and equal ones of each pair of workers (sparse, upper half), and agreement by chance."""
    from scipy.sparse import csr_array, triu

    for places in answers.groupby("attribute", sort=True).indices.values():
        task, tasks = pd.factorize(answers["task_id"].to_numpy()[places])
        label, labels = pd.factorize(answers["label"].to_numpy()[places])
        who = worker[places]
        shape = (n_workers, len(tasks))
        answered = csr_array((np.ones(len(places)), (who, task)), shape=shape)
        answered.data[:] = 1.0  # an answer given twice
        same = csr_array((n_workers, n_workers))
        for value in range(len(labels)):
            mine = label == value
            gave = csr_array((np.ones(int(mine.sum())), (who[mine], task[mine])), shape=shape)
            gave.data[:] = 1.0
            same = same + gave @ gave.T
        share = np.bincount(label, minlength=len(labels)) / max(len(label), 1)
        yield triu(answered @ answered.T, k=1).tocoo(), same, float((share**2).sum())


def _expected(shared: Any, same: Any, chance: float) -> pd.DataFrame | None:
    """For each pair its shared and equal answers, and mean and variance of the latter were the two independent."""
    first, second, n = shared.row.astype(np.int64), shared.col.astype(np.int64), shared.data.astype(np.float64)
    if not len(n) or chance > 0.99:
        return None
    k = np.minimum(np.asarray(same[first, second], dtype=np.float64).ravel(), n)
    beyond = (k / n - chance) / (1 - chance)
    i, j = np.concatenate([first, second]), np.concatenate([second, first])
    of, weight = np.concatenate([beyond, beyond]), np.concatenate([n, n])
    size = int(max(i.max(), 0)) + 1
    trust = np.ones(len(n))
    for _ in range(3):  # each time without the pairs that stand out
        skill, over, under = _fit(i, j, of, weight * np.concatenate([trust, trust]), size)
        w = n * trust
        mine = _left_out(over, under, first, w * beyond * skill[second], w * skill[second] ** 2)
        other = _left_out(over, under, second, w * beyond * skill[first], w * skill[first] ** 2)
        mean_share = np.clip(chance + (1 - chance) * mine * other, 0.01, 0.999)
        own = n * mean_share * (1 - mean_share)
        unit = mean_share * (1 - mean_share)  # variance of beyond, times n, times (1 - chance) squared
        left = np.maximum(under[first] - w * skill[second] ** 2, 1e-9), np.maximum(under[second] - w * skill[first] ** 2, 1e-9)
        fitted = n**2 * unit * (other**2 / left[0] + mine**2 / left[1])
        z = (k - n * mean_share) / np.sqrt(own + fitted)
        trust = (z < _OUTLIER).astype(np.float64)
    return pd.DataFrame({"first": first, "second": second, "n": n.astype(np.int64), "k": k.astype(np.int64), "mean": n * mean_share,
                         "variance": own + fitted})  # fmt: skip


def _fit(i: Ints, j: Ints, beyond: Floats, weight: Floats, size: int) -> tuple[Floats, Floats, Floats]:
    """Skills by alternating least squares, with the sums they are the ratio of."""
    average = float(np.sqrt(max(np.average(beyond, weights=weight), 1e-4))) if weight.sum() else 0.5
    skill = np.full(size, average)
    for _ in range(_ROUNDS):
        over = np.bincount(i, weights=weight * beyond * skill[j], minlength=size) + _PRIOR * average**3
        under = np.bincount(i, weights=weight * skill[j] ** 2, minlength=size) + _PRIOR * average**2
        new = np.clip(over / under, 0.0, 1.0)
        is_done = np.abs(new - skill).max() < 1e-6
        skill = (new + skill) / 2  # plain alternation swings
        if is_done:
            break
    over = np.bincount(i, weights=weight * beyond * skill[j], minlength=size) + _PRIOR * average**3
    under = np.bincount(i, weights=weight * skill[j] ** 2, minlength=size) + _PRIOR * average**2
    return np.asarray(skill, dtype=np.float64), np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64)


def _left_out(over: Floats, under: Floats, of: Ints, less_over: Floats, less_under: Floats) -> Floats:
    """Skills of one side of each pair as the other pairs show them."""
    return np.clip((over[of] - less_over) / np.maximum(under[of] - less_under, 1e-9), 0.0, 1.0)
