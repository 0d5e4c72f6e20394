"""How sure a share is, and how far answers agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Z_95 = 1.959963984540054  # two-sided 95 % of the normal distribution


def wilson(correct: npt.ArrayLike, n: npt.ArrayLike, z: float = Z_95) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lower and upper bound of a share (Wilson 1927, "Probable inference", JASA 22:209-212).

    Args:
        correct: Successes, a number or an array.
        n: Trials, of the same shape; where 0, both bounds are NaN.
        z: Quantile of the normal distribution.
    """
    k, size = np.asarray(correct, dtype=np.float64), np.asarray(n, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = k / size
        centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
        half = z / (1 + z**2 / size) * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def pairwise(answers: pd.DataFrame, by: list[str]) -> pd.Series:
    """Share of agreeing pairs of answers for each group; NaN where there is no pair.

    Args:
        answers: Columns of `by` and `label`, one row an answer.
        by: What a pair must share, e.g. `["task_id", "attribute"]`.
    """
    counts = answers.groupby([*by, "label"], sort=True).size()
    n = counts.groupby(level=by, sort=True).sum()
    same = (counts * (counts - 1)).groupby(level=by, sort=True).sum()
    pairs = (n * (n - 1)).where(n > 1)
    return (same / pairs).astype("float64").rename("agreement")


def per_attribute(answers: pd.DataFrame) -> pd.Series:
    """Mean pairwise agreement of the tasks of each attribute (observed agreement, Fleiss 1971).

    Args:
        answers: Columns `task_id`, `attribute`, `label`.
    """
    return pairwise(answers, ["task_id", "attribute"]).groupby(level="attribute").mean()
