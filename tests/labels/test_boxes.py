from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataops_assets.labels import boxes


def test_iou_of_shifted_and_apart():
    first = np.array([[0.0, 0, 10, 10]])
    second = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5]])
    np.testing.assert_allclose(boxes.iou(first, second), [[1.0, 1 / 3, 0.0]])


def test_matching_takes_the_best_sum_not_the_first_pair():
    first = np.array([[0.0, 0, 10, 10], [2.0, 0, 10, 10]])
    second = np.array([[2.0, 0, 10, 10], [4.0, 0, 10, 10]])
    assert boxes.match(first, second) == [(0, 0), (1, 1)]


def test_workers_boxes_become_objects_with_the_median_box():
    drawn = [np.array([[0.0, 0, 10, 10], [50, 50, 10, 10]]), np.array([[51.0, 50, 10, 10], [1, 0, 10, 10]]), np.array([[2.0, 0, 10, 10]])]
    objects = boxes.cluster(drawn)
    assert objects == [[(0, 0), (1, 1), (2, 0)], [(0, 1), (1, 0)]]
    np.testing.assert_allclose(boxes.median(drawn, objects[0]), [1, 0, 10, 10])


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
    for _, task in frame.groupby("task"):
        drawn = [rows[["x0", "y0", "w", "h"]].to_numpy() for _, rows in task.groupby("worker")]
        objects = boxes.cluster(drawn)
        assert sorted(member for members in objects for member in members) == [
            (w, b) for w, made in enumerate(drawn) for b in range(len(made))
        ]
        for worker, box in (members[0] for members in objects if len(members) == 1):
            others = [made for place, made in enumerate(drawn) if place != worker]
            overlap = max((boxes.iou(drawn[worker][[box]], made).max() for made in others), default=0.0)
            assert overlap < boxes.MIN_IOU or len(drawn[worker]) > 1  # a worker may box one cat twice: one of them is left
