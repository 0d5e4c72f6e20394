"""Regions made unrecognisable, for good: what is laid over them holds next to nothing of what was there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from dataops_assets.imaging.decode import Pixels
from dataops_assets.imaging.personal_data.regions import Region

MARGIN = 0.35  # of the shorter side, on each side: hair and ears; the ends of a line
MIN_MARGIN_PX = 2
CELLS = 4  # mean colours along the longer side that a blur keeps: no eyes, and five letters in one
BOX_COLOUR = 0


def redact(pixels: Pixels, regions: Iterable[Region], how: Literal["blur", "box"]) -> Pixels:
    """A copy of the picture with each region and a margin around it blurred or boxed. The same input gives the same pixels.

    A blur replaces the place by at most `CELLS` mean colours along its longer side, faded into each other; sharpening it brings back
    those, not a face or a number. A box is black.

    Args:
        pixels: RGB of shape (height, width, 3), uint8.
        regions: In px of this picture; what lies outside it is left out.
        how: `blur` keeps a picture's look, `box` shows plainly that something is gone.

    Raises:
        ValueError: for another `how`.
    """
    if how not in ("blur", "box"):
        raise ValueError(f"how must be blur or box, not {how!r}")
    out = pixels.copy()
    places = [_grown(region, *pixels.shape[:2]) for region in regions]
    for left, top, right, bottom in places:
        if left < right and top < bottom:
            out[top:bottom, left:right] = BOX_COLOUR if how == "box" else _blurred(out[top:bottom, left:right])
    return out


def _grown(region: Region, height_px: int, width_px: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom with the margin, inside the picture."""
    margin = max(MIN_MARGIN_PX, round(MARGIN * min(region.w, region.h)))
    left, top = max(0, region.x - margin), max(0, region.y - margin)
    return left, top, min(width_px, region.x + region.w + margin), min(height_px, region.y + region.h + margin)


def _blurred(place: Pixels) -> Pixels:
    import cv2

    height, width = place.shape[:2]
    cell = max(height, width) / CELLS
    size = max(1, round(width / cell)), max(1, round(height / cell))
    means = cv2.resize(place, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(means, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
