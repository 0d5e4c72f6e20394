"""Accepting a batch on a sample of it: how many to look at, how many may be wrong, and when to look harder.

The plan is exact for the batch at hand (hypergeometric), with a stated consumer's risk at a limiting quality, as in ISO 2859-2. How hard
to look follows the switching rules of ISO 2859-1, section 9, by what became of the vendor's batches before.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Severity = Literal["normal", "tightened", "reduced"]

# the limiting quality as a multiple of the errors that the target allows: three times, as ISO 2859-2 advises; nearer to the target,
# a sample of a size that anybody pays for refuses batches that reach it
LIMITS: dict[Severity, float] = {"normal": 3.0, "tightened": 2.0, "reduced": 5.0}
_MOST_WRONG, _PRODUCERS_RISK = 20, 0.05
FLOOR = 100  # labels of a sample: enough up to a target of 95 %, under normal inspection
_TIGHTEN, _WITHIN = 2, 5  # refused batches among so many in a row
_RELAX, REDUCE = 5, 10  # accepted ones in a row
STOP = 5  # refused under tightened inspection


@dataclass(frozen=True)
class Plan:
    """Look at `n` of `size`; accept with at most `most_wrong` wrong.

    Attributes:
        limit: Share of errors that must not pass.
        consumers_risk: Chance that a batch with that share passes all the same.
        producers_risk: Chance that a batch with the share expected is refused.
    """

    size: int
    n: int
    most_wrong: int
    limit: float
    consumers_risk: float
    producers_risk: float
    severity: Severity = "normal"

    @property
    def sentence(self) -> str:
        if not self.size:
            return "nothing was accepted by itself, so there is nothing to sample"
        if not self.n:
            return f"of so few labels ({self.size:,}) the draw took none"
        return (
            f"{self.severity} inspection: our own people answer {self.n} of {self.size:,}, at most {self.most_wrong} may be wrong; "
            f"a batch with {self.limit:.1%} errors or more passes with a chance of at most {self.consumers_risk:.1%}, "
            f"one as good as expected is refused with {self.producers_risk:.1%}"
        )


def plan(size: int, limit: float, risk: float, expected: float, severity: Severity = "normal", most: int | None = None) -> Plan:
    """The smallest plan with the consumer's risk wanted that also lets work as good as expected pass nineteen times out of twenty.

    Args:
        size: Labels in the batch.
        limit: Share of wrong ones that must be found out.
        risk: Consumer's risk: chance to accept a batch that has this share.
        expected: Share of wrong ones that is expected.
        severity: What it is called.
        most: No sample is larger, but the smallest one that has the risk wanted; None: the batch is the limit. Work that is expected to
            be too bad gets the smallest one too.
    """
    bad = int(np.ceil(limit * size - 1e-9))
    if size == 0:
        return Plan(0, 0, 0, limit, 0.0, 0.0, severity)
    best: Plan | None = None
    for most_wrong in range(min(_MOST_WRONG, bad) + 1):
        n = _smallest(size, bad, most_wrong, risk)
        if best is not None and n > (size if most is None else most):
            break
        chances = passes(size, n, most_wrong, [bad, round(expected * size)])
        here = Plan(size, n, most_wrong, limit, float(chances[0]), 1 - float(chances[1]), severity)
        if best is None or here.producers_risk < best.producers_risk:
            best = here
        if best.producers_risk <= _PRODUCERS_RISK or expected >= limit:
            break
    assert best is not None
    return best


def fair(size: int, target: float, confidence: float, severity: Severity = "normal") -> Plan:
    """The plan that a batch needs which just reaches its target, to pass nineteen times out of twenty.

    Args:
        size: Labels in the batch.
        target: Share of them that must be right.
        confidence: One minus the consumer's risk.
        severity: How hard to look: the nearer to the target a bad batch is to be found out, the more it takes.
    """
    return plan(size, LIMITS[severity] * (1 - target), 1 - confidence, 1 - target, severity)


def floor(size: int, target: float, confidence: float, wanted: int | None, severity: Severity = "normal") -> int:
    """Labels that the sample of a batch of a size may always have: as many as are `wanted`, else what `fair` needs and at least 100."""
    return wanted if wanted is not None else max(FLOOR, fair(size, target, confidence, severity).n)


def allowance(size: int, n: int, expected: float) -> int:
    """How many of a sample of a given size may be wrong: as many as work as good as expected shows nineteen times out of twenty.

    For batches too small to find out a bad one with a stated risk, of which a share is drawn all the same. More than that is no chance.

    Args:
        size: Labels in the batch.
        n: How many of them were drawn.
        expected: Share of wrong ones that is expected, rounded up to whole labels.
    """
    from scipy.stats import hypergeom

    return int(hypergeom.ppf(1 - _PRODUCERS_RISK, size, int(np.ceil(expected * size - 1e-9)), n)) if n else 0


def passes(size: int, n: int, most_wrong: int, wrong: npt.ArrayLike) -> Floats:
    """Chance that a batch with so many wrong labels passes (hypergeometric, exact): the operating characteristic."""
    from scipy.stats import hypergeom

    return np.asarray(hypergeom.cdf(most_wrong, size, np.asarray(wrong), n), dtype=np.float64)


def characteristic(made: Plan, points: int = 101, most: float | None = None) -> tuple[Floats, Floats]:
    """Shares of wrong labels from 0 on, and the chance that a batch with each passes."""
    end = min(1.0, most if most is not None else 2.5 * made.limit)
    wrong = np.unique(np.round(np.linspace(0, end * made.size, points)).astype(np.int64))
    return wrong / max(made.size, 1), passes(made.size, made.n, made.most_wrong, wrong)


def _smallest(size: int, bad: int, most_wrong: int, risk: float) -> int:
    """The smallest sample that accepts a batch with `bad` wrong labels with a chance of at most `risk`; all where none does."""
    low, high = 1, size
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(size, middle, most_wrong, bad) <= risk else (middle + 1, high)
    return low


@dataclass(frozen=True)
class Switch:
    """How hard to look at the next batch, and why."""

    severity: Severity
    sentence: str
    is_stopped: bool = False


def switch(history: Sequence[bool]) -> Switch:
    """The switching rules of ISO 2859-1 over a vendor's batches, oldest first: was each accepted?

    - normal to tightened: two of five in a row, or fewer, were refused.
    - tightened to normal: five in a row were accepted.
    - normal to reduced: ten in a row were accepted. Reduced to normal: one was refused.
    - Five batches refused under tightened inspection: nothing is to be bought until the vendor has mended its work. One accepted after
      them shows that it has, until the next is refused.
    """
    severity: Severity = "normal"
    since: list[bool] = []
    why = "no batch of this vendor was judged before" if not history else f"{sum(history)} of {len(history)} batches were accepted"
    for is_good in history:
        since.append(is_good)
        if severity == "normal" and since[-_WITHIN:].count(False) >= _TIGHTEN:
            severity, why, since = "tightened", f"{_TIGHTEN} of the last {min(len(since), _WITHIN)} batches were refused", []
        elif severity == "normal" and len(since) >= REDUCE and all(since[-REDUCE:]):
            severity, why, since = "reduced", f"{REDUCE} batches in a row were accepted", []
        elif severity == "reduced" and not is_good:
            severity, why, since = "normal", "a batch was refused under reduced inspection", [False]
        elif severity == "tightened" and len(since) >= _RELAX and all(since[-_RELAX:]):
            severity, why, since = "normal", f"{_RELAX} batches in a row were accepted", []
    is_stopped = severity == "tightened" and since.count(False) >= STOP and not since[-1]
    if is_stopped:
        why = f"{STOP} batches were refused under tightened inspection: buy nothing from this vendor until it has mended its work"
    return Switch(severity, why, is_stopped)


def drawn(names: Iterable[str], key: bytes) -> Floats:
    """A number in [0, 1) a name that nobody without the key can tell beforehand (HMAC-SHA256); equal names have equal numbers."""
    return np.array([int.from_bytes(hmac.digest(key, name.encode(), hashlib.sha256)[:8], "big") / 2**64 for name in names])


@dataclass(frozen=True)
class Estimate:
    """Share of wrong labels among those that were accepted by themselves, with its exact interval."""

    wrong: int
    n: int
    share: float | None
    lower: float
    upper: float

    @property
    def sentence(self) -> str:
        if self.share is None:
            return "nothing was audited yet"
        return f"{self.wrong} of {self.n} audited labels are wrong: {self.share:.1%} ({self.lower:.1%} to {self.upper:.1%})"


def estimate(audits: pd.DataFrame, confidence: float = 0.95) -> Estimate:
    """The share of wrong labels from samples of one or several batches.

    Each batch counts by its size, whatever share of it was looked at. The interval is Clopper and Pearson's (1934, Biometrika 26:404),
    for several batches on the effective sample (Korn and Graubard 1998, Survey Methodology 24:193-201).

    Args:
        audits: A row a batch: `size` (labels that could have been drawn), `n` (audited), `wrong`.
        confidence: Of the interval, two-sided.
    """
    from scipy.stats import beta

    rows = audits[audits["n"] > 0]
    wrong, n = int(rows["wrong"].sum()), int(rows["n"].sum())
    if not n:
        return Estimate(0, 0, None, 0.0, 1.0)
    weight = rows["size"].to_numpy(dtype=np.float64) / rows["size"].sum()
    looked = rows["n"].to_numpy(dtype=np.float64)
    share = float((weight * rows["wrong"].to_numpy(dtype=np.float64) / looked).sum())
    effective = min(float(n), float(1 / (weight**2 / looked).sum()))
    k, alpha = share * effective, (1 - confidence) / 2
    lower = float(beta.ppf(alpha, k, effective - k + 1)) if k > 0 else 0.0
    upper = float(beta.ppf(1 - alpha, k + 1, effective - k)) if k < effective else 1.0
    return Estimate(wrong, n, share, lower, upper)
