"""How sure a share is, and how far answers agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataops_assets.labels.decisions import LIKENESS

Floats = npt.NDArray[np.float64]
Level = Literal["nominal", "ordinal", "sets"]

_ERRORS = 10.0  # what is believed of likeness counts for so many errors
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


def clustered(
    correct: npt.ArrayLike, n: npt.ArrayLike, group: npt.ArrayLike | None = None, n_groups: int = 1, believed: float = LIKENESS
) -> tuple[Floats, Floats]:
    """Wilson bounds (95 %) of shares where several answers are to one question: they err alike, and tell less than independent ones.

    Answers count for n / deff of them, with the design effect deff = 1 + (m - 1) likeness (Kish 1965, "Survey Sampling", section 5.4),
    where m is the mean number of answers a question, by answers; bounds on the effective sample as in Dean and Pagano 2015, Journal of
    Survey Statistics and Methodology 3:484-503. The likeness, the intraclass correlation of being
    right, is the estimate of Fleiss and Cuzick 1979
    (Applied Psychological Measurement 3:537-542), which few errors show badly: `believed` counts for ten errors beside those seen.

    Args:
        correct: Of each question, answers that are right.
        n: Of each question, answers.
        group: Of each question, the number of its group; None: all in one.
        n_groups: Number of groups.
        believed: Likeness until the answers show it.

    Returns:
        Bounds by group; NaN where it has no answers.
    """
    k, size = np.asarray(correct, dtype=np.float64), np.asarray(n, dtype=np.float64)
    of = np.zeros(len(size), dtype=np.int64) if group is None else np.asarray(group, dtype=np.int64)
    k, size, of = k[size > 0], size[size > 0], of[size > 0]

    def total(values: Floats) -> Floats:
        return np.bincount(of, weights=values, minlength=n_groups).astype(np.float64)

    questions, answers, right = np.bincount(of, minlength=n_groups), total(size), total(k)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (answers - questions) * right / answers * (1 - right / answers)
        found = 1 - total(k * (size - k) / size) / spread
        errors = np.where(np.isfinite(found), np.minimum(right, answers - right), 0.0)
        likeness = (errors * np.clip(np.nan_to_num(found), 0, 1) + _ERRORS * believed) / (errors + _ERRORS)
        effect = 1 + (total(size**2) / answers - 1) * likeness
        return wilson(right / effect, answers / effect)


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


class Alpha(NamedTuple):
    """Krippendorff's alpha: 1 is full agreement, 0 what chance would give, negative less than that.

    NaN where it isn't defined: no task has two answers, or all answers are the same.
    """

    alpha: float
    lower: float
    upper: float
    n_tasks: int
    n_answers: int


def krippendorff(
    answers: pd.DataFrame,
    level: Level = "nominal",
    order: Sequence[Any] | None = None,
    *,
    task: str = "task_id",
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Alpha:
    """Agreement beyond chance of any number of workers, any of whom may have left tasks out.

    Krippendorff 2011, "Computing Krippendorff's alpha-reliability". Tasks with one answer say nothing and are left out. The
    interval is that of a seeded bootstrap over tasks.

    Args:
        answers: Columns of `task` and `label`, one row an answer.
        level: `nominal`: labels are the same or not. `ordinal`: they have an order, and differ by how many answers lie between
            them. `sets`: a label is several values, `a|b`, and differs by MASI (Passonneau 2006, LREC): by shared values, and
            less where one holds the other.
        order: All labels in their order; needed where `level` is ordinal.
        task: Column that says what was asked.
        resamples: Of the bootstrap; 0 for no interval.
        confidence: Of the interval.

    Raises:
        ValueError: when an ordinal attribute has no order, or one that lacks a label.
    """
    unit, units = pd.factorize(answers[task], sort=True)
    label, labels = pd.factorize(answers["label"], sort=True)
    if (label < 0).any():
        raise ValueError(f"{int((label < 0).sum())} answers have no label")
    if level == "ordinal":
        order = list(order or [])
        label, labels = _places(labels, order)[label], pd.Index(order)
    given = np.bincount(unit, minlength=len(units))
    counted = given[unit] > 1
    n_tasks, n_answers = int((given > 1).sum()), int(counted.sum())
    if not n_tasks:
        return Alpha(np.nan, np.nan, np.nan, 0, 0)
    patterns, times = _patterns(unit[counted], label[counted], len(labels))
    distance = None if level == "ordinal" else _masi(labels) if level == "sets" else 1 - np.eye(len(labels))
    alpha = float(_alphas(times[None, :], patterns, distance)[0])
    if not resamples or np.isnan(alpha):
        return Alpha(alpha, np.nan, np.nan, n_tasks, n_answers)
    rng = np.random.default_rng(0)
    step = max(1, 4_000_000 // max(len(times), len(labels) ** 2))
    drawn = [
        _alphas(rng.multinomial(n_tasks, times / n_tasks, size=min(step, resamples - done)), patterns, distance)
        for done in range(0, resamples, step)
    ]
    found = np.concatenate(drawn)
    found = found[~np.isnan(found)]  # a resample of one label only has no alpha
    bounds = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(found) else (np.nan, np.nan)
    return Alpha(alpha, float(bounds[0]), float(bounds[1]), n_tasks, n_answers)


def alpha_per_attribute(
    answers: pd.DataFrame,
    levels: Mapping[str, Level] | None = None,
    orders: Mapping[str, Sequence[Any]] | None = None,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Krippendorff's alpha of each attribute: a row each with the fields of `Alpha`.

    Args:
        answers: Columns `task_id`, `attribute`, `label`.
        levels: Of attributes that aren't nominal.
        orders: Of the labels of ordinal attributes.
        resamples: See `krippendorff`.
    """
    levels, orders = levels or {}, orders or {}
    parts = answers.groupby("attribute", sort=True)
    rows = {name: krippendorff(part, levels.get(str(name), "nominal"), orders.get(str(name)), resamples=resamples) for name, part in parts}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(Alpha._fields)).rename_axis("attribute")


def alpha_per_class(answers: pd.DataFrame, levels: Mapping[str, Level] | None = None, resamples: int = 1000) -> pd.DataFrame:
    """Krippendorff's alpha of each label against all others of its attribute: which class workers can't tell.

    Args:
        answers: Columns `task_id`, `attribute`, `label`.
        levels: Where an attribute is `sets`, each value of its labels is a class.
        resamples: See `krippendorff`.

    Returns:
        By `attribute` and `label`, the fields of `Alpha`.
    """
    rows = {}
    for name, part in answers.groupby("attribute", sort=True):
        is_sets = (levels or {}).get(str(name)) == "sets"
        held = part["label"].map(lambda label: frozenset(str(label).split("|"))) if is_sets else part["label"].map(lambda label: {label})
        for value in sorted(set().union(*held)):
            binary = part.assign(label=[value in values for values in held])
            rows[name, value] = krippendorff(binary, resamples=resamples)
    index = pd.MultiIndex.from_tuples(list(rows), names=["attribute", "label"]) if rows else pd.MultiIndex.from_arrays([[], []])
    return pd.DataFrame(list(rows.values()), index=index.set_names(["attribute", "label"]), columns=list(Alpha._fields))


class _Patterns(NamedTuple):
    """Tasks that got the same answers are one pattern. A cell is a label in a pattern, a pair two labels in it."""

    counts: Any  # sparse, patterns x labels
    pairs: Any  # sparse, patterns x pairs: ordered pairs of answers, over answers less one
    first: npt.NDArray[np.int64]  # label of each pair
    second: npt.NDArray[np.int64]


def _patterns(unit: npt.NDArray[np.int64], label: npt.NDArray[np.int64], n_labels: int) -> tuple[_Patterns, npt.NDArray[np.int64]]:
    """The patterns, and how many tasks have each."""
    from scipy.sparse import csr_array

    keys = np.random.default_rng(0).integers(0, 2**64, n_labels, dtype=np.uint64)
    _, unit = np.unique(unit, return_inverse=True)
    names = np.zeros(unit.max() + 1, dtype=np.uint64)
    np.add.at(names, unit, keys[label])  # the sum of random keys names the multiset of labels
    _, example, pattern, times = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
    shown = np.isin(unit, example)
    counts = csr_array((np.ones(int(shown.sum())), (pattern[unit[shown]], label[shown])), shape=(len(times), n_labels))
    counts.sum_duplicates()
    # each label of a pattern beside each of the same pattern
    sizes = np.diff(counts.indptr)
    row = np.repeat(np.arange(len(times)), sizes)
    left = np.repeat(np.arange(len(row)), sizes[row])
    right = np.arange(len(left)) - np.repeat(np.cumsum(sizes[row]) - sizes[row], sizes[row]) + counts.indptr[row[left]]
    number = counts.data[left] * counts.data[right] - np.where(left == right, counts.data[left], 0)
    number /= counts.sum(axis=1)[row[left]] - 1
    code, pair = np.unique(counts.indices[left] * np.int64(n_labels) + counts.indices[right], return_inverse=True)
    pairs = csr_array((number, (row[left], pair)), shape=(len(times), len(code)))
    return _Patterns(counts, pairs, code // n_labels, code % n_labels), times


def _alphas(times: npt.NDArray[np.int64], patterns: _Patterns, distance: Floats | None) -> Floats:
    """Alpha for each row of how often each pattern is there; `distance` (labels x labels) is ordinal where None."""
    per_label = (patterns.counts.T @ times.T).T
    per_pair = (patterns.pairs.T @ times.T).T
    total = per_label.sum(axis=1)
    if distance is None:
        below = per_label.cumsum(axis=1) - per_label / 2  # answers up to the middle of each label
        distances = (below[:, :, None] - below[:, None, :]) ** 2
        observed = (per_pair * distances[:, patterns.first, patterns.second]).sum(axis=1)
        expected = np.einsum("bi,bij,bj->b", per_label, distances, per_label)
    else:
        observed = per_pair @ distance[patterns.first, patterns.second]
        expected = ((per_label @ distance) * per_label).sum(axis=1)
    ratio = np.divide(observed * (total - 1), expected, out=np.full(len(times), np.nan), where=expected > 0)
    return np.asarray(1 - ratio, dtype=np.float64)


def _masi(labels: pd.Index) -> Floats:
    """Distance of each two sets: 1 - Jaccard x (1 same, 2/3 one in the other, 1/3 some shared, 0 none)."""
    values = [frozenset(str(label).split("|")) for label in labels]
    names = {value: place for place, value in enumerate(sorted(frozenset().union(*values)))}
    holds = np.zeros((len(values), len(names)))
    for place, held in enumerate(values):
        holds[place, [names[value] for value in held]] = 1
    sizes, shared = holds.sum(axis=1), holds @ holds.T
    smaller, larger = np.minimum(sizes[:, None], sizes), np.maximum(sizes[:, None], sizes)
    united = sizes[:, None] + sizes - shared
    monotony = np.select([(shared == larger), shared == smaller, shared > 0], [1, 2 / 3, 1 / 3], 0.0)
    return np.asarray(1 - shared / united * monotony, dtype=np.float64)


def _places(labels: pd.Index, order: list[Any]) -> npt.NDArray[np.int64]:
    if not order:
        raise ValueError("an ordinal attribute needs the order of its labels")
    place = pd.Index(order).get_indexer(labels)
    if (place < 0).any():
        raise ValueError(f"the order of labels lacks {labels[place < 0][0]!r}; name all of {list(labels)}")
    return np.asarray(place, dtype=np.int64)
