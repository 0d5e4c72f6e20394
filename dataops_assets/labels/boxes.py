"""Boxes that several workers drew round the same objects -> one box an object.

All pictures of a batch are gone through together: overlaps are taken between flat arrays, and only boxes with more than one possible
partner are matched picture by picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

MIN_IOU = 0.5  # the PASCAL VOC criterion (Everingham et al. 2010)
STRICT_IOU = 0.75  # the stricter overlap at which boxes are judged too (COCO)
SIDES = ("x", "y", "w", "h")
Boxes = npt.NDArray[np.float64]  # (n, 4): x, y, w, h in pixels
Ints = npt.NDArray[np.int64]
Answer = tuple[Boxes, tuple[str, ...]]  # what one worker drew on one picture: boxes and their labels
_PAIRS = 1 << 21  # pairs of boxes whose overlap is in memory at a time


@dataclass(frozen=True)
class Drawings:
    """What people drew, flat. An answer is all that one of them drew on one picture, which may be nothing.

    Attributes:
        pictures: Their names, sorted.
        picture: Of each answer, a number of `pictures`; not decreasing.
        worker: Of each answer, who gave it; sorted within a picture.
        starts: Place of each answer's first box, and one past the last.
        sides: (boxes, 4), `x, y, w, h` in pixels; sorted within an answer.
        label: Of each box.
    """

    pictures: pd.Index
    picture: Ints
    worker: npt.NDArray[np.object_]
    starts: Ints
    sides: Boxes
    label: npt.NDArray[np.object_]

    @property
    def n_boxes(self) -> Ints:
        """Of each answer."""
        return np.diff(self.starts)

    @property
    def answer(self) -> Ints:
        """Of each box, the number of its answer."""
        return np.repeat(np.arange(len(self.picture)), self.n_boxes)

    @property
    def first(self) -> Ints:
        """Of each picture, the place of its first answer, and one past the last."""
        return np.searchsorted(self.picture, np.arange(len(self.pictures) + 1))

    def of(self, answer: int) -> Answer:
        """One answer by itself."""
        rows = slice(int(self.starts[answer]), int(self.starts[answer + 1]))
        return self.sides[rows], tuple(self.label[rows])

    def boxes_of(self, answers: Ints) -> tuple[Ints, Ints]:
        """Places of the boxes of some answers, and to which place in `answers` each belongs."""
        return ranges(self.starts[answers], self.n_boxes[answers])


def ranges(start: Ints, n: Ints) -> tuple[Ints, Ints]:
    """Of each range `start, start + 1, ...` of n numbers these, and of each the number of its range."""
    of = np.repeat(np.arange(len(n)), n)
    return np.arange(len(of)) - (np.cumsum(n) - n)[of] + start[of], of


def read(rows: pd.DataFrame, picture: str = "image_id", worker: str = "worker_id") -> Drawings:
    """What accepted `labeled_batches` rows of a box attribute, or rows of gold, hold; rows without coordinates say that nothing is there.

    Args:
        rows: Columns of `picture` and `worker`, label, x, y, w, h.
        picture: Column that says what was drawn on.
        worker: Column that says who drew.
    """
    on, pictures = pd.factorize(rows[picture], sort=True)
    who, workers = pd.factorize(rows[worker], sort=True)
    sides, label = rows[list(SIDES)].to_numpy(dtype=np.float64), rows["label"].to_numpy(dtype=object)
    key = on * np.int64(len(workers) + 1) + who
    order = np.lexsort((pd.factorize(label, sort=True)[0], *sides.T[::-1], key))
    answers, answer = np.unique(key[order], return_inverse=True)
    is_box = ~np.isnan(sides[order, 0])
    starts = np.concatenate([[0], np.cumsum(np.bincount(answer[is_box], minlength=len(answers)))])
    boxes = order[is_box]
    picture_of, worker_of = np.divmod(answers, len(workers) + 1)
    return Drawings(
        pd.Index(pictures), picture_of, np.asarray(workers, dtype=object)[worker_of], starts.astype(np.int64), sides[boxes], label[boxes]
    )


def stack(answers: Sequence[Answer]) -> Drawings:
    """Answers by themselves, each on a picture of its own."""
    n = len(answers)
    starts = np.concatenate([[0], np.cumsum([len(answer[1]) for answer in answers])]).astype(np.int64)
    sides = np.concatenate([np.empty((0, 4)), *(answer[0] for answer in answers)])
    label = np.array([label for answer in answers for label in answer[1]], dtype=object)
    return Drawings(pd.RangeIndex(n), np.arange(n), np.full(n, "", dtype=object), starts, sides, label)


def answer(rows: pd.DataFrame) -> Answer:
    """Boxes and their labels; rows without coordinates are no box."""
    drawn = rows[rows["x"].notna()]
    return drawn[list(SIDES)].to_numpy(dtype=np.float64), tuple(drawn["label"])


def iou(first: Boxes, second: Boxes) -> Boxes:
    """Intersection over union of boxes `x, y, w, h` -> (n, m) of every pair of (n, 4) and (m, 4)."""
    return _overlap(first[:, None, :], second[None, :, :])


def _overlap(first: Boxes, second: Boxes) -> Boxes:
    start = np.maximum(first[..., :2], second[..., :2])
    end = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    sides = np.clip(end - start, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    total = first[..., 2] * first[..., 3] + second[..., 2] * second[..., 3] - shared
    overlap: Boxes = np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
    return overlap


def match(first: Boxes, second: Boxes, min_iou: float = MIN_IOU) -> list[tuple[int, int]]:
    """Pairs that overlap by at least `min_iou`, each box once, with the greatest sum of overlaps (Hungarian method)."""
    one = matched(first, second, np.zeros(len(first), dtype=np.int64), np.zeros(len(second), dtype=np.int64), min_iou)
    return list(zip(*(places.tolist() for places in one), strict=True))


def matched(
    first: Boxes, second: Boxes, first_of: Ints, second_of: Ints, min_iou: float = MIN_IOU,
    labels: tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]] | None = None,
) -> tuple[Ints, Ints]:  # fmt: skip
    """Pairs of boxes of the same picture that overlap by at least `min_iou`, each box once, with the greatest sum of overlaps.

    The Hungarian method, for all pictures together: a pair neither of whose boxes has another possible partner is in every best matching.

    Args:
        first: (n, 4)
        second: (m, 4)
        first_of: Of each box of `first` its picture.
        second_of: The same of `second`.
        min_iou: Above 0.
        labels: Of the boxes of `first` and `second`: a pair of the same label goes before any overlap. Boxes of two labels may lie at the
            same place, and overlap alone would pair them crosswise.

    Returns:
        Places in `first`, not decreasing, and in `second`.
    """
    from scipy.optimize import linear_sum_assignment

    i, j, gain = _near(first, second, first_of, second_of, min_iou)
    if labels is not None:
        gain = gain + (labels[0][i] == labels[1][j])
    taken = (np.bincount(i, minlength=len(first))[i] == 1) & (np.bincount(j, minlength=len(second))[j] == 1)
    open_ = np.flatnonzero(~taken)
    open_ = open_[np.argsort(first_of[i[open_]], kind="stable")]
    for places in np.split(open_, np.flatnonzero(np.diff(first_of[i[open_]])) + 1) if len(open_) else ():
        rows, row = np.unique(i[places], return_inverse=True)
        columns, column = np.unique(j[places], return_inverse=True)
        table, place = np.zeros((len(rows), len(columns))), np.full((len(rows), len(columns)), -1)
        table[row, column], place[row, column] = gain[places], places
        chosen = place[linear_sum_assignment(-table)]
        taken[chosen[chosen >= 0]] = True
    return i[taken], j[taken]


def _near(first: Boxes, second: Boxes, first_of: Ints, second_of: Ints, min_iou: float) -> tuple[Ints, Ints, Boxes]:
    """Pairs that may be matched, by their place in `first`, and their overlap."""
    order = np.argsort(second_of, kind="stable")
    start, stop = (np.searchsorted(second_of[order], first_of, side) for side in ("left", "right"))
    found = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))]
    for rows in _blocks(stop - start):
        place, row = ranges(start[rows], (stop - start)[rows])
        i, j = rows.start + row, order[place]
        overlap = _overlap(first[i], second[j])
        is_near = (overlap >= min_iou) & (overlap > 0)
        found.append((i[is_near], j[is_near], overlap[is_near]))
    i, j, overlap = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return i, j, overlap


def _blocks(sizes: Ints) -> Iterator[slice]:
    """Slices of rows that have about `_PAIRS` pairs together."""
    block = (np.cumsum(sizes) - sizes) // _PAIRS
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1), len(sizes)]
    yield from (slice(int(start), int(stop)) for start, stop in pairwise(edges) if stop > start)


def cluster(drawn: Drawings, min_iou: float = MIN_IOU) -> tuple[Ints, Ints, Boxes]:
    """The objects that boxes are of, at most one box a worker.

    Workers of a picture are taken in turn; each one's boxes are matched with the median boxes of the objects so far.

    Returns:
        Of each box, the number of its object; of each object its picture, not decreasing and within it in order of first sight; and its
        median box (the median of each edge, as `x, y, w, h`).
    """
    answer = drawn.answer
    picture, turn = drawn.picture[answer], (np.arange(len(drawn.picture)) - drawn.first[drawn.picture])[answer]
    edges = np.concatenate([drawn.sides[:, :2], drawn.sides[:, :2] + drawn.sides[:, 2:]], axis=1)
    object_of = np.full(len(answer), -1)
    owner, medians = np.empty(0, dtype=np.int64), np.empty((0, 4))
    by_turn = np.argsort(turn, kind="stable")
    for mine in np.split(by_turn, np.flatnonzero(np.diff(turn[by_turn])) + 1) if len(answer) else ():
        known, box = matched(medians, drawn.sides[mine], owner, picture[mine], min_iou)
        object_of[mine[box]] = known
        new = mine[object_of[mine] < 0]
        object_of[new] = len(owner) + np.arange(len(new))
        owner, medians = np.concatenate([owner, picture[new]]), np.concatenate([medians, np.empty((len(new), 4))])
        changed = np.unique(object_of[mine])
        medians[changed] = _medians(edges, object_of, changed)
    order = np.argsort(owner, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[object_of], owner[order], medians[order]


def _medians(edges: Boxes, object_of: Ints, objects: Ints) -> Boxes:
    """Median boxes of some objects (sorted), over the boxes that are theirs so far."""
    members = np.flatnonzero(np.isin(object_of, objects))
    of = np.searchsorted(objects, object_of[members])
    n = np.bincount(of, minlength=len(objects))
    start = np.cumsum(n) - n
    sides = []
    for values in edges[members].T:
        values = values[np.lexsort((values, of))]
        sides.append((values[start + (n - 1) // 2] + values[start + n // 2]) / 2)
    x, y, right, bottom = sides
    return np.stack([x, y, right - x, bottom - y], axis=1)


def hits(given: Drawings, answers: Ints, known: Drawings, references: Ints, min_iou: float = MIN_IOU) -> Ints:
    """How many boxes of each of some answers are an object, with its label, of the answer beside it in `references`."""
    (i, of), (j, beside) = given.boxes_of(answers), known.boxes_of(references)
    labels = given.label[i], known.label[j]
    left, right = matched(given.sides[i], known.sides[j], of, beside, min_iou, labels)
    return np.bincount(of[left[labels[0][left] == labels[1][right]]], minlength=len(answers))


def same(given: Drawings, answers: Ints, known: Drawings, references: Ints, min_iou: float = MIN_IOU) -> npt.NDArray[np.bool_]:
    """Whether answers hold the same objects as those beside them: every box has its partner of the same label, and none is left over."""
    found = hits(given, answers, known, references, min_iou)
    is_same: npt.NDArray[np.bool_] = (found == given.n_boxes[answers]) & (found == known.n_boxes[references])
    return is_same


def is_same(first: Answer, second: Answer, min_iou: float = MIN_IOU) -> bool:
    """`same`, of two answers."""
    one = np.zeros(1, dtype=np.int64)
    return bool(same(stack([first]), one, stack([second]), one, min_iou)[0])


def agreement(drawn: Drawings) -> pd.Series:
    """Share of pairs of a picture's answers that are the same, by picture; only where there are two."""
    n = np.diff(drawn.first)
    after = drawn.first[1:][drawn.picture] - np.arange(len(drawn.picture)) - 1  # answers that come after each on the same picture
    other, one = ranges(np.arange(len(drawn.picture)) + 1, after)
    alike = np.bincount(drawn.picture[one[same(drawn, one, drawn, other)]], minlength=len(n))
    some = n > 1
    return pd.Series(alike[some] / (n * (n - 1) / 2)[some], index=drawn.pictures[some], dtype="float64")
