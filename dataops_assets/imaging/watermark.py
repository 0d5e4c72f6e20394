"""A mark that lies half-transparent over the pictures of a drop: a vendor's logo, a line or a tiling of letters.

In one picture it can't be told from what the picture shows. It is the same in all of them though, so the fine detail that pictures share
stays when they are averaged, and their own goes. What they share without being marked (a studio's backdrop, a mannequin, a frame) they
share where they look the same. So only those places count around which pictures differ, and a detail has to be there in the darkest, the
middle and the brightest third of them: a mark lies over whatever a picture shows.

Pictures are compared with those of their own shape, which `trace` brings to one size. `benchmarks/composition.py` prints what is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from dataops_assets.imaging.decode import Pixels
from dataops_assets.imaging.view import WORKING_SIDE_PX, View

THRESHOLDS: dict[str, float] = {"watermark": 0.5}  # half as much of the mark as marked pictures have on average

SAMPLE = 128  # pictures of a drop from which a mark is learned
FEWEST = 12  # pictures of one shape; of fewer, details agree by chance
SHAPE_STEP_PX = 16  # shorter sides are rounded to it: shapes so near are one

DETAIL_PX = 7  # what is brighter or darker than its surroundings of so many px
DETAIL_MOST = 3  # of 255: stronger detail counts no more, so that a few pictures can't speak for all
CELL_PX = 4  # brightness is looked at in cells
CELLS_AROUND = 3  # a place counts where pictures differ in all cells so near to it: the outline of what they share is no mark
ALIKE_SPAN = 20  # of 255: pictures differ where no half of them is within so much
LAMPS = 2.0  # a drop's pictures are taken in light that differs by no more
RIM_PX = 3
THIRDS = 3

SURE = 3.0  # times what chance leaves of an average;
PLACES = 60  # so many px make a mark: in 1 of 680 draws from photos without one so many were 2.7 times as strong
ROUNDS = 4  # in which it settles which of the pictures are marked

Shape = tuple[int, int]  # height and width of a trace, px


@dataclass(frozen=True, eq=False)
class Mark:
    """What pictures of one shape share.

    Attributes:
        places: Flat indices into a trace.
        signs: 1 where the mark is brighter than its surroundings, -1 where darker.
        strength: Detail that marked pictures have there on average.
    """

    places: np.ndarray[Any, np.dtype[np.int64]]
    signs: np.ndarray[Any, np.dtype[np.int8]]
    strength: float

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.places.tobytes() + self.signs.tobytes() + repr(self.strength).encode()).hexdigest()[:16]


def shape_of(width_px: int, height_px: int) -> Shape:
    """Of the traces of pictures with such sides: the longer one `WORKING_SIDE_PX`, the other a multiple of 16 px."""
    steps = WORKING_SIDE_PX / max(width_px, height_px) / SHAPE_STEP_PX
    return max(1, round(height_px * steps)) * SHAPE_STEP_PX, max(1, round(width_px * steps)) * SHAPE_STEP_PX


def trace(view: View) -> Pixels:
    """Gray, brought to the size of its shape, so that pictures of one shape lie on each other."""
    import cv2

    height, width = shape_of(*view.sides_px)
    return np.asarray(cv2.resize(view.gray, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def learn(traces: Sequence[Pixels]) -> dict[Shape, Mark | None]:
    """The mark that pictures of a shape share, None where they share none; shapes of which there are too few to tell are left out.

    Args:
        traces: Of pictures that aren't copies of each other: copies share everything.
    """
    shapes: dict[Shape, list[Pixels]] = {}
    for one in traces:
        shapes.setdefault((one.shape[0], one.shape[1]), []).append(one)
    return {shape: _learn(np.stack(held)) for shape, held in sorted(shapes.items()) if len(held) >= FEWEST}


def calc_watermark(one: Pixels, mark: Mark) -> float:
    """How little of the mark there is in a trace of its shape, 0 to 1."""
    found = float((_detail(one).ravel()[mark.places] * mark.signs).mean())
    return min(1.0, max(0.0, 1.0 - found / mark.strength))


def _detail(one: Pixels) -> np.ndarray[Any, np.dtype[np.int8]]:
    """How much brighter each pixel is than its surroundings."""
    import cv2

    away = cv2.subtract(one, cv2.blur(one, (DETAIL_PX, DETAIL_PX)), dtype=cv2.CV_8S)
    return np.asarray(np.clip(away, -DETAIL_MOST, DETAIL_MOST), dtype=np.int8)


def _learn(traces: Pixels) -> Mark | None:
    import cv2

    number, height, width = traces.shape
    details = np.empty((number, height * width), dtype=np.int8)
    for one, detail in zip(traces, details, strict=True):
        detail[:] = _detail(one).ravel()
    mean = details.sum(axis=0, dtype=np.int16) / np.float32(number)
    least = SURE * sqrt(cv2.norm(details, cv2.NORM_L2SQR) / details.size / number)
    likely = np.abs(mean) >= least  # where all of them together have less, so has one of the thirds
    if not least or np.count_nonzero(likely) < PLACES:
        return None
    cells = _cells(traces)
    places = np.flatnonzero(likely & _where_different(cells, (height, width)))
    if len(places) < PLACES:
        return None
    order = np.argsort(cells[:, places // width // CELL_PX, places % width // CELL_PX], axis=0, kind="stable")
    signs = np.sign(mean[places]).astype(np.int8)
    thirds = [part.mean(axis=0) * signs for part in np.array_split(np.take_along_axis(details[:, places], order, axis=0), THIRDS)]
    is_sure = np.min(thirds, axis=0) >= least
    if np.count_nonzero(is_sure) < PLACES:
        return None
    places, signs = places[is_sure], signs[is_sure]
    found = (details[:, places] * signs).mean(axis=1)
    strength = float(found.mean())
    for _ in range(ROUNDS):
        strength = float(found[found >= THRESHOLDS["watermark"] * strength].mean())
    return Mark(places, signs, strength)


def _cells(traces: Pixels) -> Pixels:
    """Brightness of each cell, as if all pictures had been taken in the same light."""
    import cv2

    number, height, width = traces.shape
    whole = cv2.resize(traces.reshape(number * height, width), (width // CELL_PX, number * height // CELL_PX), interpolation=cv2.INTER_AREA)
    cells = np.asarray(whole, dtype=np.uint8).reshape(number, height // CELL_PX, width // CELL_PX)
    some = cells[:, ::2, ::2].reshape(number, -1) + np.float32(8)  # black is no light at all
    gains = np.median(some / np.median(some, axis=0), axis=1).clip(1 / LAMPS, LAMPS)
    return np.stack([cv2.convertScaleAbs(one, alpha=1 / gain) for one, gain in zip(cells, gains.tolist(), strict=True)])


def _where_different(cells: Pixels, shape: Shape) -> Any:
    """Which pixels of a trace lie where pictures show different things; flat."""
    import cv2

    number, rows, columns = cells.shape
    ordered = np.asarray(cv2.sort(np.ascontiguousarray(cells.reshape(number, -1).T), cv2.SORT_EVERY_ROW), dtype=np.uint8)
    half = -(-number // 2)
    differ = ((ordered[:, half:] - ordered[:, :-half]).min(axis=1) >= ALIKE_SPAN).astype(np.uint8).reshape(rows, columns)
    inside = cv2.erode(differ, np.ones((2 * CELLS_AROUND + 1,) * 2, np.uint8), borderValue=1)
    mask = np.asarray(cv2.resize(inside, shape[::-1], interpolation=cv2.INTER_NEAREST), dtype=bool)
    mask[:RIM_PX] = mask[-RIM_PX:] = mask[:, :RIM_PX] = mask[:, -RIM_PX:] = False
    return mask.ravel()
