"""Boxes that several workers drew round the same objects -> one box an object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

MIN_IOU = 0.5  # the PASCAL VOC criterion (Everingham et al. 2010)
Boxes = npt.NDArray[np.float64]  # (n, 4): x, y, w, h in pixels
Answer = tuple[Boxes, tuple[str, ...]]  # what one worker drew on one picture: boxes and their labels


def iou(first: Boxes, second: Boxes) -> Boxes:
    """Intersection over union of every pair: (n, 4) and (m, 4) boxes `x, y, w, h` -> (n, m)."""
    start = np.maximum(first[:, None, :2], second[None, :, :2])
    end = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    shared = np.clip(end - start, 0, None).prod(axis=2)
    total = first[:, 2:].prod(axis=1)[:, None] + second[:, 2:].prod(axis=1)[None, :] - shared
    overlap: Boxes = np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
    return overlap


def match(first: Boxes, second: Boxes, min_iou: float = MIN_IOU) -> list[tuple[int, int]]:
    """Pairs that overlap by at least `min_iou`, each box once, with the greatest sum of overlaps (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    if not len(first) or not len(second):
        return []
    overlap = iou(first, second)
    gain = np.where(overlap >= min_iou, overlap, 0.0)
    return [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(-gain), strict=True) if gain[i, j] > 0]


def cluster(drawn: list[Boxes], min_iou: float = MIN_IOU) -> list[list[tuple[int, int]]]:
    """Objects as lists of (worker, box), at most one box a worker, in order of first sight.

    Workers are taken in turn; each one's boxes are matched with the median boxes of the objects so far.
    """
    objects: list[list[tuple[int, int]]] = []
    for worker, boxes in enumerate(drawn):
        found = np.array([median(drawn, members) for members in objects]).reshape(-1, 4)
        matched = {j: i for i, j in match(found, boxes, min_iou)}
        for j in range(len(boxes)):
            if j in matched:
                objects[matched[j]].append((worker, j))
            else:
                objects.append([(worker, j)])
    return objects


def median(drawn: list[Boxes], members: list[tuple[int, int]]) -> Boxes:
    """The median edges of an object's boxes, as `x, y, w, h`."""
    boxes = np.array([drawn[worker][box] for worker, box in members])
    start, end = np.median(boxes[:, :2], axis=0), np.median(boxes[:, :2] + boxes[:, 2:], axis=0)
    return np.concatenate([start, end - start])


def answers(rows: pd.DataFrame) -> dict[tuple[str, str], dict[str, Answer]]:
    """(task_id, attribute) -> worker_id -> what the worker drew there; empty where it said that there is nothing.

    Args:
        rows: Accepted `labeled_batches` rows of box attributes.
    """
    found: dict[tuple[str, str], dict[str, Answer]] = {}
    rows = rows.sort_values(["task_id", "attribute", "worker_id", "x", "y", "w", "h", "label"])
    for (task, attribute, worker), group in rows.groupby(["task_id", "attribute", "worker_id"], sort=True):
        found.setdefault((str(task), str(attribute)), {})[str(worker)] = answer(group)
    return found


def answer(rows: pd.DataFrame) -> Answer:
    """Boxes and their labels; rows without coordinates are no box."""
    drawn = rows[rows["x"].notna()]
    return drawn[["x", "y", "w", "h"]].to_numpy(dtype=np.float64), tuple(drawn["label"])


def is_same(first: Answer, second: Answer, min_iou: float = MIN_IOU) -> bool:
    """Whether both hold the same objects: every box has its partner of the same label, and none is left over."""
    pairs = match(first[0], second[0], min_iou)
    return len(pairs) == len(first[0]) == len(second[0]) and all(first[1][i] == second[1][j] for i, j in pairs)
