"""What a picture is made of besides a photo: JPEG blocks, frames, seams between several photos, a screen's flat areas, lettering.

Pure functions from one gray view of about 256 px to scores in [0, 1], where 1 is good. `benchmarks/composition.py` prints how much of each
they find in spoiled photos, and how often they err on good ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataops_assets.imaging.decode import Pixels
from dataops_assets.imaging.view import View

THRESHOLDS: dict[str, float] = {
    "blocky": 0.6,  # saved at a JPEG quality of about 15 or less, or blocks of such a quality can be seen
    "bordered": 0.96,  # bars of 3 % above and below
    "collage": 0.25,
    "screenshot": 0.8,
    "overlaid_text": 0.5,
}
SMALLEST_PX = 32  # of the half view; below, there is no telling

ROW_STEP = 2  # every second line tells of upright seams as much
FAIR_STEP = 115.0  # mean quantisation step of a luma table of quality 25, at which photos begin to look blocky

UNSEEN_STEP = 2.0  # of 255: steps of so little aren't seen

FLAT_SPAN = 12  # of 255: a line of a frame varies by less, JPEG's ringing included
FRAME_STEP = 16  # where a frame ends, most of the pixels differ from it by more
FRAME_SHARE = 0.75
LARGEST_FRAME = 0.45  # of a side

SEAM_STEP = 6
SEAM_LIKELY = 0.65  # share of a line's pixels; with fewer steps it is no seam, whatever is beside them
SEAM_AWAY_PX = 2  # a step of a seam is larger than those so near to it,
SEAM_LESS = 0.2  # or counts so much less: the two edges of a gutter are as near to each other
SEAM_RIM = 0.12  # of a side, at each end: straight edges there are those of a floor or a wall

RULE_STEP = 20
RULE_SHARE = 0.12  # of a line's pixels
COMMON = 0.15  # share of the pixels; every gray with the next on both sides. Where less is in common it is no screen
RULES = 4  # so many straight rules make a screen of a flat picture; in both directions, as stripes run one way

LETTER_CELLS = 7  # lettering is two or three cells of 4 px high, and at least so many long
LETTER_AWAY = 2  # cells: where the quiet above and below is measured
LETTER_SURE = 104
# Strokes are counted as roots, so that faint lettering on a plain ground counts as much as a strong one on a lively ground.
ALONG = np.ones((1, LETTER_CELLS), dtype=np.uint8)
ROOTS = np.rint(np.sqrt(np.arange(256)) * 16).clip(0, 255).astype(np.uint8)


def calc_scores(view: View) -> dict[str, float]:
    """Scores of one picture, keyed by issue."""
    return {issue: values[0] for issue, values in calc_scores_of([view]).items()}


def calc_scores_of(views: Sequence[View]) -> dict[str, list[float]]:
    """Scores of several pictures, a list for each issue. A frame is left out of what comes after it."""
    photos = [_Photo.of(view) for view in views]
    return {
        "blocky": [calc_blocky(view.block_steps, view.mean_step) for view in views],
        "bordered": [photo.half.size / view.half.size for photo, view in zip(photos, views, strict=True)],
        "collage": [calc_collage(photo.steps_right, photo.steps_down) for photo in photos],
        "screenshot": [calc_screenshot(photo.half, photo.steps_right, photo.steps_down) for photo in photos],
        "overlaid_text": [calc_overlaid_text(photo.half) for photo in photos],
    }


@dataclass(frozen=True, eq=False)
class _Photo:
    """What is inside of a picture's frame."""

    half: Pixels
    steps_right: Pixels
    steps_down: Pixels

    @staticmethod
    def of(view: View) -> _Photo:
        frame = frame_of(view.half)
        if not any(frame):
            return _Photo(view.half, view.steps_right, view.steps_down)
        twice = [2 * px for px in frame]
        return _Photo(_inside(view.half, frame), _inside(view.steps_right, twice), _inside(view.steps_down, twice))


def _inside(gray: Pixels, frame: Sequence[int]) -> Pixels:
    top, bottom, left, right = frame
    return gray[top : gray.shape[0] - bottom, left : gray.shape[1] - right]


def calc_blocky(steps: tuple[float, float] | None, mean_step: float | None) -> float:
    """How little of JPEG's blocks there is.

    By the file's quantisation table, which says how coarsely this file was saved, and by the steps inside of blocks against those over
    their edges, which show that an earlier one was: the lower of both. 1 where nothing tells.
    """
    by_table = FAIR_STEP / max(FAIR_STEP, mean_step) if mean_step is not None else 1.0
    by_sight = min(1.0, (steps[1] + UNSEEN_STEP) / (steps[0] + UNSEEN_STEP)) if steps is not None else 1.0
    return min(by_table, by_sight)


def frame_of(gray: Pixels) -> tuple[int, int, int, int]:
    """Lines of frame at the top, bottom, left and right: bars of one gray that end along a straight line, on opposite sides.

    A plain backdrop is none, it ends where the garment is; nor is a floor, which has no counterpart.
    """
    if min(gray.shape) < SMALLEST_PX:
        return 0, 0, 0, 0
    return *_pair(gray), *_pair(gray.T)


def _pair(gray: Pixels) -> tuple[int, int]:
    first = _frame(gray)
    last = _frame(gray[::-1]) if first else 0
    return (first, last) if last else (0, 0)


def _frame(gray: Pixels) -> int:
    first = gray[0].tobytes()
    middle = first[len(first) // 2]
    if abs(middle - first[0]) > FLAT_SPAN or max(first) - min(first) > FLAT_SPAN:  # the quick look ends most
        return 0
    most = int(LARGEST_FRAME * len(gray))
    away = np.abs(gray[: most + 2].astype(np.int16) - middle)
    is_flat = away.max(axis=1) <= FLAT_SPAN
    lines = int(np.argmin(is_flat))
    if is_flat.all() or lines > most:
        return 0
    beyond = away[min(lines + 1, len(away) - 1)]  # the line between is often a mixture
    return lines if np.count_nonzero(beyond > FRAME_STEP) >= FRAME_SHARE * len(beyond) else 0


def calc_collage(steps_right: Any, steps_down: Any) -> float:
    """How far the picture is from having an edge that runs straight through all of it: 1 minus the share of the fullest one."""
    if min(steps_down.shape) < 2 * SMALLEST_PX:
        return 1.0
    return 1 - max(_fullest_seam(steps_right[::ROW_STEP], 0), _fullest_seam(steps_down, 1))


def _fullest_seam(steps: Any, axis: int) -> float:
    """Largest share of a line's pixels over which there is a step, one that is larger than those beside it.

    Beside them it is looked only where enough of a line's pixels have a step at all.
    """
    import cv2

    count = steps.shape[1 - axis]
    rim = SEAM_AWAY_PX + int(SEAM_RIM * (count - 2 * SEAM_AWAY_PX))
    steep = cv2.threshold(_lines(steps, axis, rim, count - rim), SEAM_STEP, 255, cv2.THRESH_BINARY)[1]
    marked = _marked(steep, axis)
    length = 255 * steep.shape[axis]
    fullest = cv2.minMaxLoc(marked)[1] / length
    if fullest <= SEAM_LIKELY:
        return float(max(0.0, fullest - SEAM_LESS))
    likely = np.flatnonzero(marked > SEAM_LIKELY * length)
    start, end = int(likely[0]), int(likely[-1]) + 1
    middle, one, other = (_lines(steps, axis, rim + start + away, rim + end + away) for away in (0, -SEAM_AWAY_PX, SEAM_AWAY_PX))
    alone = cv2.bitwise_and(_lines(steep, axis, start, end), cv2.compare(middle, cv2.max(one, other), cv2.CMP_GT))
    return float(max(fullest - SEAM_LESS, cv2.minMaxLoc(_marked(alone, axis))[1] / length))


def _lines(steps: Any, axis: int, start: int, end: int) -> Any:
    """Some of the lines along an axis."""
    return steps[:, start:end] if axis == 0 else steps[start:end]


def calc_screenshot(half: Pixels, steps_right: Any, steps_down: Any) -> float:
    """How far from a screen, a drawing or a page: much in one tone, and straight rules through it.

    1 minus the share of the commonest gray, where there are four rules or more, upright and level ones; fewer count less.
    Rules aren't looked for where no gray is common.
    """
    import cv2

    if min(half.shape) < SMALLEST_PX:
        return 1.0
    counts = cv2.calcHist([half], [0], None, [256], [0, 256])
    if 3 * cv2.minMaxLoc(counts)[1] < COMMON * half.size:
        return 1.0
    commonest = float((counts[:-2] + counts[1:-1] + counts[2:]).max()) / half.size
    if commonest < COMMON:
        return 1.0
    upright, level = _rules(steps_right, 0), _rules(steps_down, 1)
    return 1 - commonest * min(1.0, (upright + level) / RULES) if upright and level else 1.0


def _rules(steps: Any, axis: int) -> int:
    """Lines with many more steps over them than their neighbours have."""
    import cv2

    shares = _marked(cv2.threshold(steps, RULE_STEP, 255, cv2.THRESH_BINARY)[1], axis).ravel() / (255 * steps.shape[axis])
    return int(np.count_nonzero(shares[1:-1] - np.maximum(shares[:-2], shares[2:]) > RULE_SHARE))


def calc_overlaid_text(half: Pixels) -> float:
    """How little the likeliest place looks like a line of lettering: a band of dense strokes between quieter ones."""
    import cv2

    height, width = half.shape[0] // 2, (half.shape[1] - 1) // 2
    if height <= 2 * LETTER_AWAY or width < LETTER_CELLS:
        return 1.0
    steps = cv2.absdiff(half[: 2 * height, 1 : 2 * width + 1], half[: 2 * height, : 2 * width])
    strokes = cv2.LUT(cv2.resize(steps, (width, height), interpolation=cv2.INTER_AREA), ROOTS)
    inside = cv2.erode(strokes, ALONG)[LETTER_AWAY:-LETTER_AWAY]
    around = cv2.blur(strokes, (LETTER_CELLS, 1))
    best = cv2.minMaxLoc(cv2.subtract(inside, cv2.max(around[: -2 * LETTER_AWAY], around[2 * LETTER_AWAY :])))[1]
    return max(0.0, 1 - best / LETTER_SURE)


def _marked(marks: Any, axis: int) -> Any:
    """255 times the number of marked pixels (255) of each line along an axis."""
    import cv2

    return cv2.reduce(marks, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
