"""Is a picture what the project asked for? Judged by its embedding, against references and against its own drop.

Three answers, each a score in [0, 1] where 1 is good: how much a picture is like the reference pictures (`score`), whether it is
at home in its drop (`outliers`), and whether its vendor's category is that of its neighbours (`disagrees`). The same rows
in the same order give the same scores.

Embeddings are arrays (n, d) of rows of length 1, so a dot product is a cosine. They may be float16, which is how they are stored:
100,000 of 1280 numbers are 256 MB. Products are made in float32, block by block: numpy has no fast product of float16. Beside
its input nothing here takes more than about 250 MB, whatever the drop's size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[tuple[int, ...], np.dtype[np.floating[Any]]]
Matrix = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Values = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Positions = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Names = np.ndarray[tuple[int, ...], np.dtype[np.object_]]

# Scores below are an issue.
THRESHOLDS: dict[str, float] = {
    "irrelevant": 0.05,  # flags about 1 in 40 wanted pictures, 1 in 20 with counter-examples
    "outlier": 0.05,  # likewise of a drop that is all of a kind
    "mislabelled": 0.5,  # another category leads by half of the neighbours' votes
}
NEAREST_REFERENCES = 3
MOST_REFERENCES = 200  # a class; more cost time and change nothing
FEWEST_REFERENCES = 3  # in all: a spread needs two, a sensible one three
LEAST_SPREAD = 0.01  # of a cosine: references that are all the same picture don't make every other one foreign

NEIGHBOURS = 20  # 10 of them say how lonely a picture is, all vote on its category
LONELY_NEIGHBOURS = 10
POOL_ROWS = 5_000  # neighbours are sought among so many of the drop: the cost of a picture stays the same above
SMALLEST_DROP = 8  # below there is no distribution to be an outlier of
SMALLEST_CATEGORY = 5  # below, a category isn't judged: it could never win a vote
VOTE_DECAY = 0.1  # of a cosine: a neighbour so much farther than the nearest has a vote of 1/e
BLOCK_ROWS = 1024


class ReferencesError(ValueError):
    """References from which relevance can't be judged, in a sentence."""


@dataclass(frozen=True, eq=False)
class References:
    """Reference pictures by class, and how alike they are among themselves. Made by `refer`.

    Attributes:
        classes: Class names, sorted.
        embeddings: Float32, (n, d), the classes one after another.
        starts: Row at which each class starts, and the number of rows.
        is_wanted: For each class whether the project asks for it.
        centres: Mean direction of each class, (classes, d).
        likeness: For each wanted reference its similarity to the most similar wanted class, itself left out.
        lead: The same minus that to the most similar unwanted class; empty where there is none.
    """

    classes: tuple[str, ...]
    embeddings: Matrix
    starts: tuple[int, ...]
    is_wanted: tuple[bool, ...]
    centres: Matrix
    likeness: Values
    lead: Values


@dataclass(frozen=True, eq=False)
class Relevance:
    """What `score` says of n pictures.

    Attributes:
        score: In [0, 1]; 1: as much like the wanted classes as the middle one of the references, or more.
        similarity: To the most similar wanted class; a cosine.
        nearest: Name of the most similar class, wanted or not.
        margin: By how much it is more similar than the next class; NaN where there is one class only.
    """

    score: Values
    similarity: Values
    nearest: Names
    margin: Values


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar other pictures of each of n, best first.

    Attributes:
        positions: Rows of the drop, then those of the references, (n, k).
        similarities: Their cosines, (n, k), rounded to 5 digits.
    """

    positions: Positions
    similarities: Matrix


@dataclass(frozen=True, eq=False)
class Disagreement:
    """What `disagrees` says of n pictures.

    Attributes:
        score: 1 minus the share of votes by which another category leads; 1 where none does. Below 0.5 it leads clearly.
        suggested: That category, or None.
    """

    score: Values
    suggested: Names


def refer(embeddings: Floats, classes: Sequence[str], wanted: Collection[str] | None = None) -> References:
    """References from pictures that people chose, or that were released before.

    Ten pictures a class of different products, people and places serve well; five will do. The same picture twice counts
    once. The order doesn't matter. Classes that aren't wanted are counter-examples: with pictures of trousers and shirts
    at hand, a project that asks for dresses tells them apart better than by dresses alone.

    Args:
        embeddings: (n, d), rows of length 1.
        classes: Name of each row's class.
        wanted: Classes that the project asks for; None: all.

    Raises:
        ReferencesError: when a wanted class has no picture, or all of them have fewer than three different ones.
    """
    names = tuple(sorted(set(classes)))
    missing = sorted(set(wanted or ()) - set(names))
    if missing:
        raise ReferencesError(f"there is no reference picture of {', '.join(missing)}")
    wishes = tuple(wanted is None or name in wanted for name in names)
    labels = np.array([names.index(name) for name in classes], dtype=np.int64)
    groups = [_spread(np.unique(np.asarray(embeddings, dtype=np.float32)[labels == number], axis=0)) for number in range(len(names))]
    if sum(len(group) for group, wish in zip(groups, wishes, strict=True) if wish) < FEWEST_REFERENCES:
        raise ReferencesError(f"relevance needs at least {FEWEST_REFERENCES} different reference pictures of the wanted classes")
    rows = np.concatenate(groups)
    starts = tuple(int(start) for start in np.cumsum([0, *(len(group) for group in groups)]))
    sums = np.stack([group.sum(axis=0) for group in groups])
    draft = References(names, rows, starts, wishes, _unit(sums), np.empty(0), np.empty(0))
    alike = _left_out(draft, sums)[np.repeat(wishes, np.diff(starts))]
    likeness, lead = _likeness_and_lead(alike, wishes)
    return References(names, rows, starts, wishes, draft.centres, likeness, lead)


def score(embeddings: Floats, references: References) -> Relevance:
    """How much pictures are like what was asked for.

    Similarity to a class is the mean of the cosine to its centre and that to its three nearest references: the centre finds a
    class by few references, the nearest ones keep a broad class (all clothes) from being judged by a middle that is like none.

    The score is twice the probability that a picture of the wanted classes is so unlike the references or more, at most 1. It comes
    from the references' own similarities, each to the others, taken as normal (a prediction interval: Student's t with one
    degree of freedom fewer than references). Where there are counter-examples, the lead over them is judged likewise and
    the smaller probability counts. So a threshold of 0.05 sends about 2.5 % of good pictures to review, with counter-examples
    at most 5 %, if the references are like them.
    """
    parts = [_class_similarities(_block(embeddings, block), references) for block in _blocks(len(embeddings))]
    alike = np.concatenate([np.empty((0, len(references.classes))), *parts])
    likeness, lead = _likeness_and_lead(alike, references.is_wanted)
    chance = _tail(likeness, references.likeness)
    if len(references.lead):
        chance = np.minimum(chance, _tail(lead, references.lead))
    best = np.sort(alike, axis=1)
    margin = best[:, -1] - best[:, -2] if len(references.classes) > 1 else np.full(len(best), np.nan)
    nearest = np.array(references.classes, dtype=object)[alike.argmax(axis=1)]
    return Relevance(np.minimum(1, 2 * chance).round(6), likeness.round(6), nearest, margin.round(6))


def neighbours(embeddings: Floats, references: Floats | None = None, count: int = NEIGHBOURS) -> Neighbours:
    """The most similar pictures of the drop and the references, for each of the drop.

    In a drop of more than 5,000, they are sought among 5,000 of them, evenly spaced: give rows in an order that says
    nothing, as that of image ids.

    Args:
        embeddings: Of the drop, (n, d).
        references: More pictures that may be neighbours, (m, d).
        count: How many; fewer where there aren't so many others, and a quarter of a small pool.
    """
    rows = len(embeddings)
    drop = np.unique(np.linspace(0, rows - 1, min(rows, POOL_ROWS)).round().astype(np.int64)) if rows else np.empty(0, np.int64)
    others = np.empty((0, embeddings.shape[1]), np.float32) if references is None else references
    pool = np.concatenate([np.asarray(embeddings[drop], np.float32), np.asarray(others, np.float32)])
    positions = np.concatenate([drop, rows + np.arange(len(others))])
    count = max(0, min(count, max(5, len(pool) // 4), len(pool) - 1))
    found, alike = np.empty((rows, count), np.int64), np.empty((rows, count), np.float32)
    for block in _blocks(rows):
        cosines = _block(embeddings, block) @ pool.T
        own = np.flatnonzero((drop >= block.start) & (drop < block.stop))
        cosines[drop[own] - block.start, own] = -2
        best = np.sort(np.argpartition(cosines, len(pool) - count, axis=1)[:, len(pool) - count :], axis=1) if count else found[block]
        values = np.take_along_axis(cosines, best, axis=1).round(5)
        order = np.argsort(-values, axis=1, kind="stable")
        found[block] = positions[np.take_along_axis(best, order, axis=1)]
        alike[block] = np.take_along_axis(values, order, axis=1)
    return Neighbours(found, alike)


def outliers(near: Neighbours) -> Values:
    """How much each picture is at home in its drop: twice the probability of being so far from its neighbours or farther, at most 1.

    Distance is 1 minus the mean cosine to the ten nearest, judged against the drop's own distances by median and median
    absolute deviation (Iglewicz and Hoaglin, 1993) as if normal. Foreign pictures that are many and like each other have near
    neighbours and aren't found: those `score` finds. A drop of fewer than 8 pictures has no outliers.
    """
    from scipy.special import ndtr

    rows, count = near.similarities.shape
    if rows < SMALLEST_DROP or not count:
        return np.ones(rows)
    distances = 1 - near.similarities[:, : min(LONELY_NEIGHBOURS, max(1, rows // 4))].mean(axis=1, dtype=np.float64)
    from_middle = distances - np.median(distances)
    deviation = max(float(np.median(np.abs(from_middle))) / 0.6745, LEAST_SPREAD)
    return np.asarray(np.minimum(1, 2 * ndtr(-from_middle / deviation)).round(6), dtype=np.float64)


def disagrees(near: Neighbours, categories: Sequence[str | None]) -> Disagreement:
    """Pictures whose category isn't that of their neighbours.

    Neighbours vote: the nearer, the more, and those of a category less by the square root of how many it has, or a rare one would always
    be outvoted. Another category has to win, and by at least the share of votes its own pictures have for it on average,
    as in confident learning (Northcutt et al., JAIR 2021). No picture is judged without a category or with one of fewer than five.

    Args:
        near: As `neighbours` gives it.
        categories: Of the drop's rows, then of the references that `neighbours` was given; None where there is none.
    """
    rows = len(near.positions)
    names = sorted({name for name in categories if name is not None})
    codes = np.array([-1 if name is None else names.index(name) for name in categories], dtype=np.int64)
    suggested: Names = np.full(rows, None, dtype=object)
    if len(names) < 2 or not near.positions.size:
        return Disagreement(np.ones(rows), suggested)
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    votes = _votes(near, codes, sizes)
    given = codes[:rows]
    own = np.where(given >= 0, votes[np.arange(rows), given], 0)
    # What a category's own pictures have for it; one that only references have needs the majority.
    expected = np.array([own[given == code].mean() if (given == code).any() else 0.5 for code in range(len(names))])
    eligible = np.where(votes >= expected, votes, -1)
    winner = eligible.argmax(axis=1)
    lead = votes[np.arange(rows), winner] - own
    judged = (given >= 0) & (sizes[given] >= SMALLEST_CATEGORY)
    flagged = judged & (eligible.max(axis=1) > 0) & (winner != given) & (lead > 0)
    suggested[flagged] = np.array(names, dtype=object)[winner[flagged]]
    return Disagreement(np.where(flagged, 1 - lead, 1.0).round(6), suggested)


def _votes(near: Neighbours, codes: Positions, sizes: Positions) -> Values:
    """Share of each category in the votes of a picture's neighbours, (n, categories); zeros where none has a category."""
    weights = np.exp((near.similarities - near.similarities[:, :1]).astype(np.float64) / VOTE_DECAY)
    votes = np.zeros((len(weights), len(sizes)))
    for place in range(weights.shape[1]):
        voters = codes[near.positions[:, place]]
        rows = np.flatnonzero(voters >= 0)
        votes[rows, voters[rows]] += weights[rows, place] / np.sqrt(sizes[voters[rows]])
    cast = votes.sum(axis=1, keepdims=True)
    return np.asarray((votes / np.where(cast > 0, cast, 1)).round(6), dtype=np.float64)


def _class_similarities(block: Matrix, references: References) -> Values:
    """Similarity of each row to each class, (rows, classes)."""
    cosines, centre = block @ references.embeddings.T, block @ references.centres.T
    nearest = np.stack([_mean_of_best(cosines[:, part]) for part in _parts(references)], axis=1)
    return np.asarray(((nearest + centre) / 2).round(6), dtype=np.float64)


def _left_out(references: References, sums: Matrix) -> Values:
    """As `_class_similarities` of the references themselves, each left out of its class; -1 for the class of one that is alone."""
    rows = references.embeddings
    alike = np.concatenate([_class_similarities(rows[block], references) for block in _blocks(len(rows))])
    for number, part in enumerate(_parts(references)):
        members = rows[part]
        if len(members) == 1:
            alike[part, number] = -1
            continue
        cosines = members @ members.T
        np.fill_diagonal(cosines, -2)
        nearest = _mean_of_best(cosines, most=len(members) - 1)
        centre = (_unit(sums[number] - members) * members).sum(axis=1)
        alike[part, number] = ((nearest + centre) / 2).round(6)
    return alike


def _likeness_and_lead(alike: Values, is_wanted: Sequence[bool]) -> tuple[Values, Values]:
    """Similarity to the nearest wanted class, and by how much it is more than that to the nearest unwanted one (if there are any)."""
    mask = np.array(is_wanted, dtype=bool)
    likeness = alike[:, mask].max(axis=1)
    return likeness, likeness - alike[:, ~mask].max(axis=1) if not mask.all() else np.empty(0)


def _tail(values: Values, sample: Values) -> Values:
    """Probability that another value of the normal population behind a sample is as low as each value, or lower."""
    from scipy.special import stdtr

    count = len(sample)
    spread = max(float(sample.std(ddof=1)), LEAST_SPREAD) * np.sqrt(1 + 1 / count)
    return np.asarray(stdtr(count - 1, (values - sample.mean()) / spread), dtype=np.float64)


def _mean_of_best(cosines: Matrix, most: int = NEAREST_REFERENCES) -> Matrix:
    """Mean of a row's three largest, or fewer."""
    count = min(NEAREST_REFERENCES, most, cosines.shape[1])
    return np.asarray(np.partition(cosines, -count, axis=1)[:, -count:].mean(axis=1), dtype=np.float32)


def _parts(references: References) -> list[slice]:
    return [slice(start, stop) for start, stop in zip(references.starts, references.starts[1:], strict=False)]


def _spread(rows: Matrix) -> Matrix:
    """At most 200 of them, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_REFERENCES)).round().astype(np.int64))]


def _unit(rows: Matrix) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK_ROWS, rows)) for start in range(0, rows, BLOCK_ROWS))


def _block(embeddings: Floats, block: slice) -> Matrix:
    return np.asarray(embeddings[block], dtype=np.float32)
