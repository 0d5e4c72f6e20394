"""What to do with a question once answers are there: believe them, buy one more, or have our own people settle it.

Three steps, each a function of arrays with a value a question:

- `discounted`: people who answer the same question err alike, so several answers tell less than as many independent ones. `likeness`
  learns from gold how much less.
- `accepted`: the largest set of surest answers that reaches the accuracy target with the confidence wanted.
- `next_label`: for the others, what one more label is expected to save of the price of settling the question, against its own price.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LIKENESS = 0.3  # the median of eight crowd sets at 2 to 20 answers a question, .0 to 1.2: benchmarks/crowd_calibration.py
LEAST = 1e-9  # no posterior is surer than this
_GRID = np.concatenate([np.linspace(0, 0.5, 26), np.linspace(0.55, 1.5, 20), np.linspace(1.6, 3, 15)])
_EXACT = 400  # questions up to which the distribution of errors is computed exactly


def discounted(posteriors: Floats, n: npt.ArrayLike, likeness: float) -> Floats:
    """Posteriors of answers whose errors are alike.

    The log odds of n answers are divided by the design effect 1 + (n - 1) likeness (Kish 1965, "Survey Sampling", section 5.4): that many
    of them are worth one independent answer. At 0 nothing changes; at 1 a second answer that agrees adds nothing.

    Args:
        posteriors: (questions, labels), rows adding up to 1.
        n: Answers behind each row.
        likeness: Intraclass correlation of errors.
    """
    effect = 1 + (np.maximum(np.asarray(n, dtype=np.float64), 1) - 1) * likeness
    across = np.log(np.maximum(posteriors.T, LEAST))  # numpy is slow along rows of a few labels
    across /= effect
    across -= across.max(axis=0)
    np.exp(across, out=across)
    across /= across.sum(axis=0)
    return np.ascontiguousarray(across.T)


def likeness(posteriors: Floats, n: npt.ArrayLike, truth: npt.NDArray[np.int64], believed: float = LIKENESS) -> float:
    """How alike errors are, from questions whose answer is known: the one under which `discounted` posteriors foretell it best.

    Maximum a posteriori on a grid from 0 to 3. The prior is log-normal round `believed` (spread 1, as between the eight sets).

    Args:
        posteriors: (questions, labels) as they were before the truth was seen.
        n: Answers behind each row.
        truth: Number of the right label; -1 where nobody gave it: told by nothing, left out.
        believed: Where the prior lies.
    """
    known = truth >= 0
    posteriors, n, truth = posteriors[known], np.asarray(n)[known], truth[known]
    prior = 0.5 * np.log((_GRID + 0.05) / (believed + 0.05)) ** 2
    rows = np.arange(len(truth))
    loss = [-np.log(np.maximum(discounted(posteriors, n, at)[rows, truth], LEAST)).sum() for at in _GRID] if len(truth) else 0.0
    return float(_GRID[int(np.argmin(prior + loss))])


def tail(errors: Floats, most: int) -> float:
    """Chance of more than `most` errors, each with its own probability (the Poisson-binomial distribution).

    Exact up to 400 of them, by multiplying out their generating function; beyond, Volkova's refined normal approximation, which is
    within .001 there (Hong 2013, Computational Statistics and Data Analysis 59:41-51, equation 8).
    """
    if most >= len(errors):
        return 0.0
    if len(errors) <= _EXACT:
        return float(max(0.0, 1 - _distribution(errors, most).sum()))
    from scipy.stats import norm

    spread = float(np.sqrt((errors * (1 - errors)).sum()))
    if spread == 0:
        return float(errors.sum() > most)
    skew = float((errors * (1 - errors) * (1 - 2 * errors)).sum()) / spread**3
    x = (most + 0.5 - float(errors.sum())) / spread
    return float(np.clip(1 - (norm.cdf(x) + skew * (1 - x * x) * norm.pdf(x) / 6), 0.0, 1.0))


def accepted(posteriors: Floats, target: float, confidence: float, least: float, before: Floats | None = None) -> tuple[Bools, float]:
    """Which answers to believe: the largest set, surest first, whose share of right ones reaches the target with the confidence.

    That is: on average over the posteriors, and with that chance no more labels are wrong than the target allows (rounded up).

    Args:
        posteriors: Of the winning answers.
        target: Share that must be right.
        confidence: Chance with which it must be, as the posteriors have it.
        least: No answer below it is believed, however sure the others are.
        before: Posteriors of answers accepted earlier that count in the same share, e.g. those that weren't asked again.

    Returns:
        Which are accepted, and the posterior that was needed: that of the least sure one accepted; where none is, the target.
    """
    held = 1 - (np.asarray(before, dtype=np.float64) if before is not None else np.empty(0))
    order = np.argsort(-posteriors, kind="stable")
    order = order[posteriors[order] >= least]
    errors = 1 - posteriors[order]

    best = _largest(held, errors, target, confidence)
    if best:  # equal posteriors are accepted together, or not at all
        cut = float(posteriors[order[best - 1]])
        if best < len(order) and posteriors[order[best]] >= cut - 1e-12:
            best = int((posteriors[order] > cut + 1e-12).sum())
    if not best:
        return np.zeros(len(posteriors), dtype=bool), max(target, least)
    needed = float(posteriors[order[best - 1]])
    return posteriors >= needed - 1e-12, needed


def _largest(held: Floats, errors: Floats, target: float, confidence: float) -> int:
    """How many of `errors` (smallest first) may join `held`: as many as are right often enough on average, and with the confidence.

    Errors allowed are rounded up to whole ones: that nothing at all is wrong can't be asked of a few labels. Small sets are tried one by
    one, for this makes sets that do come and go; large ones are halved.
    """
    n = len(held) + len(errors)
    counts = len(held) + np.arange(1, len(errors) + 1)
    most = np.ceil((1 - target) * counts - 1e-9).astype(np.int64)
    on_average = np.flatnonzero(held.sum() + np.cumsum(errors) <= (1 - target) * counts + 1e-9)
    highest = int(on_average[-1]) + 1 if len(on_average) else 0
    if n > _EXACT:
        low, high = 0, highest
        while low < high:
            middle = (low + high + 1) // 2
            chance = tail(np.concatenate([held, errors[:middle]]), int(most[middle - 1]))
            low, high = (middle, high) if chance <= 1 - confidence + 1e-12 else (low, middle - 1)
        return low
    chances, best = _distribution(held, n), 0
    for k, error in enumerate(errors[:highest], start=1):
        chances[1:] = chances[1:] * (1 - error) + chances[:-1] * error
        chances[0] *= 1 - error
        if 1 - chances[: most[k - 1] + 1].sum() <= 1 - confidence + 1e-12:
            best = k
    return best


def _distribution(errors: Floats, most: int) -> Floats:
    """Chances of 0 to `most` errors, by multiplying out their generating function."""
    chances = np.zeros(most + 1)
    chances[0] = 1.0
    for error in errors:
        chances[1:] = chances[1:] * (1 - error) + chances[:-1] * error
        chances[0] *= 1 - error
    return chances


def next_label(
    posteriors: Floats, n: npt.ArrayLike, needed: float, *, skill: float, likeness: float, price: float, settle: float, most: npt.ArrayLike
) -> Floats:
    """What one more label is expected to save, before its own price: buy it where it saves more than it costs.

    A question that isn't sure enough costs `settle`: our own people answer it. A label may make it sure enough, at once or with those
    that may follow. So the value of a state is the least of settling it now and of buying a label and going on, and nothing once the
    posterior needed is reached: dynamic programming over the labels left (Wald 1945, Annals of Mathematical Statistics 16:117-186, is
    the same with an open end). The winner and the rest are treated as two labels, and the chance that the next answer agrees is the one
    under which the posterior is right on average.

    Args:
        posteriors: Of the winning answers, discounted.
        n: Answers so far.
        needed: Posterior that accepts.
        skill: How often an answer is right.
        likeness: See `discounted`.
        price: Of one label.
        settle: Price of having our own people answer.
        most: Labels that may still be bought, of each question.

    Returns:
        `settle` minus what is expected to be paid after the label; 0 where no label may be bought.
    """
    n, most = np.asarray(n, dtype=np.float64), np.asarray(most, dtype=np.int64)
    step = float(np.log(skill / (1 - skill))) if 0.5 < skill < 1 else (0.0 if skill <= 0.5 else 20.0)
    start = _logit(posteriors) * (1 + (np.maximum(n, 1) - 1) * likeness)
    gain = np.zeros(len(posteriors))
    for horizon in np.unique(most[most > 0]):
        mine = most == horizon
        gain[mine] = _saved(start[mine], n[mine], int(horizon), needed, step, likeness, price, settle)
    return gain


def _saved(start: Floats, n: Floats, horizon: int, needed: float, step: float, alike: float, price: float, settle: float) -> Floats:
    def sure(labels: int) -> Floats:
        """Posteriors after so many labels, by how many more agree than not: -labels, -labels + 2, ... labels."""
        odds = start[:, None] + step * np.arange(-labels, labels + 1, 2)[None, :]
        return 1 / (1 + np.exp(-np.abs(odds) / (1 + (np.maximum(n + labels, 1) - 1) * alike)[:, None]))

    def signed(labels: int) -> Floats:
        """The same as the chance that the present winner is right."""
        odds = start[:, None] + step * np.arange(-labels, labels + 1, 2)[None, :]
        return 1 / (1 + np.exp(-odds / (1 + (np.maximum(n + labels, 1) - 1) * alike)[:, None]))

    after = np.where(sure(horizon) >= needed, 0.0, settle)
    for labels in range(horizon - 1, -1, -1):
        now, then = signed(labels), signed(labels + 1)
        low, high = then[:, :-1], then[:, 1:]
        agrees = np.clip(np.divide(now - low, high - low, out=np.full_like(now, 0.5), where=high > low), 0, 1)
        paid = (1 - agrees) * after[:, :-1] + agrees * after[:, 1:]
        if labels == 0:
            saved: Floats = settle - paid[:, 0]
            return saved
        after = np.where(sure(labels) >= needed, 0.0, np.minimum(settle, price + paid))
    return np.zeros(len(start))


def _logit(share: Floats) -> Floats:
    bound = np.clip(share, LEAST, 1 - LEAST)
    odds: Floats = np.log(bound / (1 - bound))
    return odds
