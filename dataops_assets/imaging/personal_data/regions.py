"""A part of a picture that shows something personal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["face", "e_mail", "phone", "iban", "card", "plate", "text"]


@dataclass(frozen=True)
class Region:
    """An upright rectangle.

    Attributes:
        kind: `text` is readable text that isn't personal as far as we know.
        x: Left edge in px of the picture that was given; `y` is its upper edge, `w` and `h` its size.
        score: How sure the detector is, 0 to 1, rounded to 3 digits.
    """

    kind: Kind
    x: int
    y: int
    w: int
    h: int
    score: float


def clipped(kind: Kind, x: float, y: float, w: float, h: float, score: float, width_px: int, height_px: int) -> Region:
    """A region rounded to pixels and kept inside a picture of `width_px` x `height_px`; at least one pixel large."""
    left, top = min(max(0, round(x)), width_px - 1), min(max(0, round(y)), height_px - 1)
    right, bottom = max(left + 1, min(width_px, round(x + w))), max(top + 1, min(height_px, round(y + h)))
    return Region(kind, left, top, right - left, bottom - top, round(float(score), 3))


def in_reading_order(regions: Iterable[Region]) -> list[Region]:
    """Top to bottom, then left to right."""
    return sorted(regions, key=lambda region: (region.y, region.x, region.kind, region.w, region.h))
