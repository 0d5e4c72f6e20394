"""Measures of a picture: pure functions from pixels to a score in [0, 1], where 1 is good.

The issues and the formulae for brightness, entropy and shape follow CleanVision's definitions
(https://github.com/cleanlab/cleanvision). All are taken of one view of the picture, about `WORKING_SIDE_PX` large: a score then says
how it looks on a screen, whatever the camera. What tells of composition (frames, seams, screens, lettering) is in `composition`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, log2
from typing import Any

import numpy as np

from dataops_assets.imaging import composition, watermark
from dataops_assets.imaging.decode import Pixels
from dataops_assets.imaging.view import View, halved

SMALLEST_BLUR_PX = 8  # of the quarter
BEND_STEP = 4  # every fourth line holds enough edges to tell
FAINT = 10  # of 255: bends of so little in the coarse picture are what JPEG leaves of none
HSP = np.array([[0.241, 0.691, 0.068]], dtype=np.float32)

# Scores below are an issue.
THRESHOLDS: dict[str, float] = {
    "dark": 0.32,  # CleanVision: the brightest hundredth is darker than a third of white
    "light": 0.05,  # CleanVision: 95 % of the picture is within 5 % of white
    "blurry": 0.30,  # finds 97 % of photos blurred by a Gaussian of 2 px at 533 px, and of those shaken by 9 px
    "low_information": 0.30,  # CleanVision: under 2.4 of 8 bits an average pixel
    "odd_size": 0.20,  # five times smaller or larger than the drop's median
    "odd_aspect_ratio": 0.35,  # CleanVision: longer than about 3 : 1
    "grayscale": 0.10,  # 99 % of pixels have channels within 6 of 255 of each other
    **composition.THRESHOLDS,
    **watermark.THRESHOLDS,
}


def calc_scores(view: View) -> dict[str, float]:
    """Every score that one picture has by itself, keyed by issue; `odd_size` (`calc_odd_size`) and `watermark` need its drop."""
    return calc_scores_of([view])[0]


def calc_scores_of(views: Sequence[View]) -> list[dict[str, float]]:
    """The scores of several pictures: each measure of all of them, then the next one.

    The code of all measures, decoding included, is larger than a core's cache; in this order a picture takes half the time. Samples
    are of one size, so they are looked at together.
    """
    if not views:
        return []
    samples = np.concatenate([view.samples for view in views])
    brightness = in_order(calc_brightness(samples), len(views))
    quarters = [halved(view.half) for view in views]
    columns = {
        "dark": calc_dark(brightness),
        "light": calc_light(brightness),
        "blurry": [calc_blurry(view.gray, quarter) for view, quarter in zip(views, quarters, strict=True)],
        "low_information": calc_low_information(brightness),
        "odd_aspect_ratio": [calc_odd_aspect_ratio(*view.sides_px) for view in views],
        "grayscale": calc_grayscale(samples, len(views)),
        **composition.calc_scores_of(views),
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def in_order(values: Any, pictures: int = 1) -> Pixels:
    """Bytes of any shape, sorted, a picture a row: OpenCV sorts them as fast as it counts them, and a percentile is one of them then."""
    import cv2

    return np.asarray(cv2.sort(values.reshape(pictures, -1), cv2.SORT_EVERY_ROW), dtype=np.uint8)


def percentile(ordered: Pixels, percent: float) -> list[int]:
    """Smallest value that `percent` of them don't exceed, for each row."""
    values: list[int] = ordered[:, max(0, ceil(percent / 100 * ordered.shape[1]) - 1)].tolist()
    return values


def calc_brightness(pixels: Pixels) -> Pixels:
    """Perceived brightness of each pixel, 0 to 255: sqrt(.241 R^2 + .691 G^2 + .068 B^2), HSP of D. R. Finley, 2006."""
    import cv2

    squared = cv2.transform(cv2.multiply(pixels, pixels, dtype=cv2.CV_32F), HSP)
    return np.asarray(cv2.convertScaleAbs(cv2.sqrt(squared)), dtype=np.uint8)


def calc_dark(brightness: Pixels) -> list[float]:
    """Brightness that 99 % of the pixels stay below: a night shot with one lamp is fine, an underexposed one isn't."""
    return [value / 255 for value in percentile(brightness, 99)]


def calc_light(brightness: Pixels) -> list[float]:
    """How far the darkest twentieth is from white."""
    return [1 - value / 255 for value in percentile(brightness, 5)]


def calc_blurry(gray: Pixels, quarter: Pixels) -> float:
    """How sharp the sharpest edges are, in the direction in which they are less so: out of focus, or shaken.

    The 99.5th percentile of the second difference, against the same at a quarter of the size, which blur leaves alone; so the
    score depends on neither contrast nor how busy a picture is. Looking at the sharpest edges only keeps a sharp garment
    on a plain wall sharp.
    """
    if min(quarter.shape) < SMALLEST_BLUR_PX:
        return 1.0
    fine, coarse = ([percentile(in_order(bends), 99.5)[0] for bends in _bends(*which)] for which in ((gray, BEND_STEP), (quarter, 1)))
    return min(1.0, *(sharp / max(FAINT, broad) for sharp, broad in zip(fine, coarse, strict=True)))


def _bends(gray: Pixels, step: int) -> tuple[Any, Any]:
    """Half the absolute second difference, across in every so-manieth row and down in every so-manieth column."""
    import cv2

    rows, columns = gray[::step], np.ascontiguousarray(gray[:, ::step])
    across = cv2.absdiff(rows[:, 1:-1], cv2.addWeighted(rows[:, :-2], 0.5, rows[:, 2:], 0.5, 0))
    return across, cv2.absdiff(columns[1:-1], cv2.addWeighted(columns[:-2], 0.5, columns[2:], 0.5, 0))


def calc_low_information(brightness: Pixels) -> list[float]:
    """Entropy of the histogram of brightness as a share of its 8 bits."""
    pictures, pixels = brightness.shape
    places = brightness + 256 * np.arange(pictures)[:, None]
    counts = np.bincount(places.ravel(), minlength=256 * pictures).reshape(pictures, 256)
    return [max(0.0, (log2(pixels) - held / pixels) / 8) for held in _weights(pixels)[counts].sum(axis=1).tolist()]


@lru_cache(maxsize=4)
def _weights(most: int) -> Any:
    """n log2(n) for 0 to `most`."""
    numbers = np.arange(most + 1, dtype=np.float64)
    return numbers * np.log2(np.maximum(numbers, 1))


def calc_odd_aspect_ratio(width_px: int, height_px: int) -> float:
    """Shorter over longer side."""
    return min(width_px, height_px) / max(width_px, height_px)


def calc_grayscale(pixels: Pixels, pictures: int = 1) -> list[float]:
    """Colourfulness by content: the 99th percentile of a pixel's spread of channels, full at 64 of 255.

    Looks at pixels, not at the file's mode: a gray photo saved as RGB is gray, JPEG's chroma noise (4 or less) isn't colour.
    """
    import cv2

    red, green, blue = cv2.split(pixels)
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return [min(1.0, value / 64) for value in percentile(in_order(spread, pictures), 99)]


def calc_odd_size(sizes_px: Sequence[tuple[int, int]]) -> list[float]:
    """For each (width, height) how near its side, sqrt(w h), is to the median of the set: 1 the same, 0.5 half or double."""
    sides = np.sqrt(np.array([width * height for width, height in sizes_px], dtype=np.float64))
    if not len(sides):
        return []
    median = float(np.median(sides))
    return [float(min(side / median, median / side)) for side in sides]
