"""How many to look at: exact sizes and bounds for shares, from the binomial distribution. No normal approximation, no guess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

POWER = 0.8  # the usual chance that work which is good enough also passes (Cohen 1988, "Statistical power analysis")
MOST = 200_000  # a sample beyond this is no sample any more


@dataclass(frozen=True)
class Sample:
    """A test of a share.

    Attributes:
        n: How many to look at.
        at_least: How many of them must be right to pass.
        power: Chance that work of the expected accuracy passes.
    """

    n: int
    at_least: int
    power: float


def exact_lower(correct: npt.ArrayLike, n: npt.ArrayLike, confidence: float = 0.95) -> npt.NDArray[np.float64]:
    """One-sided lower bound of a share (Clopper and Pearson 1934, Biometrika 26:404-413); NaN where n is 0.

    With the chance `confidence` it lies below the true share, whatever that is.
    """
    from scipy.stats import beta

    k, size = np.asarray(correct, dtype=np.float64), np.asarray(n, dtype=np.float64)
    bound = np.where(k > 0, beta.ppf(1 - confidence, np.maximum(k, 1), size - k + 1), 0.0)
    return np.where(size > 0, bound, np.nan)


def test_of(n: int, target: float, expected: float, confidence: float = 0.95) -> Sample:
    """What a sample of n can show: how many must be right so that the lower bound reaches the target, and how likely that is."""
    least, power = _tests(np.array([n]), target, expected, confidence)
    return Sample(n, int(least[0]), float(power[0]))


def smallest(target: float, expected: float, confidence: float = 0.95, power: float = POWER) -> Sample | None:
    """The smallest sample whose exact lower bound reaches the target with the given power; None where none does.

    Args:
        target: Share that must be certified.
        expected: What the share is believed to be. No more than the target: no sample can certify it.
        confidence: Of the lower bound, one-sided.
        power: Chance to pass when the expected share is the true one.
    """
    if expected <= target:
        return None
    for low in range(1, MOST, 2000):
        n = np.arange(low, low + 2000)
        least, chance = _tests(n, target, expected, confidence)
        fits = np.flatnonzero(chance >= power)
        if fits.size:
            return Sample(int(n[fits[0]]), int(least[fits[0]]), float(chance[fits[0]]))
    return None


def _tests(
    n: npt.NDArray[np.int64], target: float, expected: float, confidence: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Least right answers to pass, n + 1 where all of them would not do, and the chance of as many."""
    from scipy.stats import binom

    least = np.asarray(binom.isf(1 - confidence, n, target)).astype(np.int64) + 1
    least = np.where(binom.sf(least - 2, n, target) <= 1 - confidence, least - 1, least)  # isf rounds up at an exact hit
    return least, np.where(least <= n, binom.sf(least - 1, n, expected), 0.0)


def majority_accuracy(accuracy: float, overlap: int) -> float:
    """Share of questions on which more than half of the answers are right, were people's mistakes independent (Condorcet 1785).

    Wrong answers count as one: mistakes that differ among themselves leave more to the right one, so this errs on the low side.
    A tie counts as not right: it goes to rework.
    """
    from scipy.stats import binom

    return float(binom.sf(overlap // 2, overlap, accuracy))


def overlap_for(target: float, accuracy: float, most: int = 25) -> int | None:
    """The smallest odd number of answers whose majority reaches the target; None where none up to `most` does."""
    return next((n for n in range(1, most + 1, 2) if majority_accuracy(accuracy, n) >= target), None)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that two who answered the same items are equally good (McNemar 1947, Psychometrika 12:153-157).

    Args:
        only_first: Items that only the first one got right.
        only_second: Items that only the second one got right.
    """
    from scipy.stats import binomtest

    n = only_first + only_second
    return float(binomtest(only_first, n, 0.5).pvalue) if n else 1.0
