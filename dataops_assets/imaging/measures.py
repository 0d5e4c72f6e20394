"""Measures of a picture: pure functions from pixels to a score in [0, 1], where 1 is good.

The issues and the formulae for brightness, entropy and shape follow CleanVision's definitions
(https://github.com/cleanlab/cleanvision). A picture is first scaled so that its longer side is at most
`MEASURE_SIDE_PX`: a score then says how it looks on a screen, whatever the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dataops_assets.imaging.decode import Pixels, shrink

MEASURE_SIDE_PX = 512

# Scores below are an issue. On 300 phone photos of clothes they flag one.
THRESHOLDS: dict[str, float] = {
    "dark": 0.32,  # CleanVision: the brightest hundredth is darker than a third of white
    "light": 0.05,  # CleanVision: 95 % of the picture is within 5 % of white
    "blurry": 0.26,  # no edge is steeper than after a Gaussian blur of 3 px at 512 px: finds 98 % of such, flags 1 of 300 photos
    "low_information": 0.30,  # CleanVision: under 2.4 of 8 bits an average pixel
    "odd_size": 0.20,  # five times smaller or larger than the drop's median
    "odd_aspect_ratio": 0.35,  # CleanVision: longer than about 3 : 1
    "grayscale": 0.10,  # 99 % of pixels have channels within 6 of 255 of each other
}


def calc_scores(pixels: Pixels) -> dict[str, float]:
    """Every score that one picture has by itself, keyed by issue; `odd_size` needs its set (`calc_odd_size`)."""
    small = shrink(pixels, MEASURE_SIDE_PX)
    brightness = calc_brightness(small)
    gray = calc_gray(small)
    height, width = pixels.shape[:2]
    return {
        "dark": calc_dark(brightness),
        "light": calc_light(brightness),
        "blurry": calc_blurry(gray),
        "low_information": calc_low_information(gray),
        "odd_aspect_ratio": calc_odd_aspect_ratio(width, height),
        "grayscale": calc_grayscale(small),
    }


def calc_brightness(pixels: Pixels) -> Pixels:
    """Perceived brightness of each pixel, 0 to 255: sqrt(.241 R^2 + .691 G^2 + .068 B^2), HSP of D. R. Finley, 2006."""
    squared = np.square(pixels, dtype=np.float32) @ np.array([0.241, 0.691, 0.068], dtype=np.float32)
    return np.asarray(np.minimum(np.rint(np.sqrt(squared)), 255), dtype=np.uint8)


def calc_gray(pixels: Pixels) -> Pixels:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def calc_dark(brightness: Pixels) -> float:
    """Brightness that 99 % of the pixels stay below: a night shot with one lamp is fine, an underexposed one isn't."""
    return _percentile(brightness, 99) / 255


def calc_light(brightness: Pixels) -> float:
    """How far the darkest twentieth is from white."""
    return 1 - _percentile(brightness, 5) / 255


def calc_blurry(gray: Pixels) -> float:
    """Steepness of the sharpest edges against the picture's contrast.

    The 99.5th percentile of the absolute Laplacian over the spread of gray (1st to 99th percentile), full at a quarter,
    which most photos nearly reach. Looking at the sharpest edges only, not at their variance over the frame, keeps a
    sharp garment on a plain wall sharp.
    """
    import cv2

    if min(gray.shape) < 3:
        return 1.0
    edges = np.abs(np.asarray(cv2.Laplacian(cv2.GaussianBlur(gray, (3, 3), 0), cv2.CV_16S), dtype=np.int16))
    contrast = _percentile(gray, 99) - _percentile(gray, 1)
    return min(1.0, 4 * _percentile(edges, 99.5) / max(contrast, 8))


def calc_low_information(gray: Pixels) -> float:
    """Entropy of the gray histogram as a share of its 8 bits."""
    counts = np.bincount(gray.ravel(), minlength=256)
    shares = counts[counts > 0] / gray.size
    return float(max(0.0, -(shares * np.log2(shares)).sum() / 8))


def calc_odd_aspect_ratio(width_px: int, height_px: int) -> float:
    """Shorter over longer side."""
    return min(width_px, height_px) / max(width_px, height_px)


def calc_grayscale(pixels: Pixels) -> float:
    """Colourfulness by content: the 99th percentile of a pixel's channel spread, full at 64 of 255.

    Looks at pixels, not at the file's mode: a gray photo saved as RGB is gray, JPEG's chroma noise (4 or less) isn't colour.
    """
    import cv2

    red, green, blue = cv2.split(np.ascontiguousarray(pixels))
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return min(1.0, _percentile(spread, 99) / 64)


def calc_odd_size(sizes_px: Sequence[tuple[int, int]]) -> list[float]:
    """For each (width, height) how near its side, sqrt(w h), is to the median of the set: 1 the same, 0.5 half or double."""
    sides = np.sqrt(np.array([width * height for width, height in sizes_px], dtype=np.float64))
    if not len(sides):
        return []
    median = float(np.median(sides))
    return [float(min(side / median, median / side)) for side in sides]


def _percentile(values: np.ndarray[Any, Any], percent: float) -> int:
    """Smallest value that `percent` of small whole numbers don't exceed; counting is ten times faster than sorting."""
    below = np.cumsum(np.bincount(values.ravel()))
    return int(np.searchsorted(below, percent / 100 * values.size))
