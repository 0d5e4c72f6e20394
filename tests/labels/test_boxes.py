from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dataops_assets.labels import boxes


def test_iou_of_shifted_and_apart():
    first = np.array([[0.0, 0, 10, 10]])
    second = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5]])
    np.testing.assert_allclose(boxes.iou(first, second), [[1.0, 1 / 3, 0.0]])


def test_matching_takes_the_best_sum_not_the_first_pair():
    first = np.array([[0.0, 0, 10, 10], [2.0, 0, 10, 10]])
    second = np.array([[2.0, 0, 10, 10], [4.0, 0, 10, 10]])
    assert boxes.match(first, second) == [(0, 0), (1, 1)]


def drawings(rows: list[tuple]) -> boxes.Drawings:
    """Picture, worker, label and box of each row."""
    return boxes.read(pd.DataFrame(rows, columns=["image_id", "worker_id", "label", "x", "y", "w", "h"]))


def test_workers_boxes_become_objects_with_the_median_box():
    drawn = drawings([
        ("p", "ann", "bag", 0, 0, 10, 10), ("p", "ann", "bag", 50, 50, 10, 10), ("p", "bob", "bag", 51, 50, 10, 10),
        ("q", "ann", "bag", 0, 0, 10, 10), ("p", "bob", "bag", 1, 0, 10, 10), ("p", "cid", "hat", 2, 0, 10, 10),
        ("p", "dee", "none", None, None, None, None),
    ])  # fmt: skip
    objects, pictures, medians = boxes.cluster(drawn)
    assert objects.tolist() == [0, 1, 0, 1, 0, 2] and pictures.tolist() == [0, 0, 1]  # another picture's box at that place is another's
    np.testing.assert_allclose(medians, [[1, 0, 10, 10], [50.5, 50, 10, 10], [0, 0, 10, 10]])
    assert list(drawn.worker) == ["ann", "bob", "cid", "dee", "ann"] and drawn.n_boxes.tolist() == [2, 2, 1, 0, 1]


def crowded(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(np.column_stack([rng.random((n, 2)) * 12, 8 + rng.random((n, 2)) * 6]) for n in (9, 11))


@given(st.integers(0, 2**32 - 1))
def test_pictures_together_are_matched_as_well_as_each_by_itself(seed: int) -> None:
    """Against scipy's assignment over the whole table of a crowded picture."""
    pictures = [crowded(seed), crowded(seed + 1)]
    of = [np.repeat([0, 1], [len(picture[side]) for picture in pictures]) for side in (0, 1)]
    first, second = (np.concatenate([picture[side] for picture in pictures]) for side in (0, 1))
    i, j = boxes.matched(first, second, *of)
    assert len(set(i)) == len(i) and len(set(j)) == len(j) and (of[0][i] == of[1][j]).all()
    for number, (one, other) in enumerate(pictures):
        overlap = boxes.iou(one, other)
        gain = np.where(overlap >= boxes.MIN_IOU, overlap, 0)
        mine = of[0][i] == number
        found = boxes.iou(first[i[mine]], second[j[mine]]).diagonal()
        assert (found >= boxes.MIN_IOU).all() and found.sum() == pytest.approx(gain[linear_sum_assignment(-gain)].sum())


def test_objects_of_two_labels_at_one_place_are_told_apart_by_their_labels():
    """A dress and its wearer may have the same box: overlap alone could pair them crosswise."""
    place = np.array([[0.0, 0, 10, 10], [0.0, 0, 10, 10]])
    assert boxes.is_same((place, ("bag", "hat")), (place, ("hat", "bag"))) and boxes.is_same(
        (place, ("bag", "hat")), (place, ("bag", "hat"))
    )
    nearer = np.array([[0.0, 0, 10, 10], [0.0, 1, 10, 10]])
    assert boxes.is_same((nearer, ("bag", "hat")), (nearer, ("hat", "bag")))


def test_agreement_of_a_picture_is_the_share_of_pairs_that_are_the_same():
    drawn = drawings([
        ("p", "ann", "bag", 0, 0, 10, 10), ("p", "bob", "bag", 1, 0, 10, 10), ("p", "cid", "hat", 0, 0, 10, 10),
        ("q", "ann", "bag", 0, 0, 10, 10), ("r", "ann", "none", None, None, None, None), ("r", "bob", "none", None, None, None, None),
    ])  # fmt: skip
    assert boxes.agreement(drawn).to_dict() == {"p": pytest.approx(1 / 3), "r": 1.0}


def test_the_same_objects_in_any_order():
    one = (np.array([[0.0, 0, 10, 10], [50, 50, 10, 10]]), ("bag", "hat"))
    other = (one[0][::-1], ("hat", "bag"))
    assert boxes.is_same(one, other)
    assert not boxes.is_same(one, (one[0], ("bag", "bag")))
    assert not boxes.is_same(one, (one[0][:1], ("bag",)))
    assert boxes.is_same((one[0][:0], ()), (one[0][:0], ()))


def test_real_volunteers_boxes_stay_alone_only_where_nobody_else_drew_the_same():
    path = Path(os.environ.get("DATAOPS_SHARED") or Path(__file__).parents[3] / "shared") / "data" / "crowd" / "zoo_cat_boxes" / "boxes.csv"
    if not path.is_file():
        pytest.skip(f"volunteers' boxes are not at {path}")
    frame = pd.read_csv(path)
    frame["w"], frame["h"] = frame["x1"] - frame["x0"], frame["y1"] - frame["y0"]
    frame = frame.rename(columns={"x0": "x", "y0": "y"}).assign(label="cat")
    drawn = boxes.read(frame, "task", "worker")
    assert len(drawn.sides) == len(frame) and set(drawn.pictures) == set(frame["task"])
    objects, pictures, _ = boxes.cluster(drawn)
    answer = drawn.answer
    assert (drawn.picture[answer] == pictures[objects]).all()  # every box is of an object of its picture
    assert len(np.unique(np.column_stack([objects, answer]), axis=0)) == len(objects)  # at most one box a worker
    for box in np.flatnonzero(np.bincount(objects)[objects] == 1):
        others = (drawn.picture[answer] == drawn.picture[answer[box]]) & (answer != answer[box])
        overlap = boxes.iou(drawn.sides[[box]], drawn.sides[others]).max(initial=0.0)
        assert overlap < boxes.MIN_IOU or drawn.n_boxes[answer[box]] > 1  # a worker may box one cat twice: one of them is left
