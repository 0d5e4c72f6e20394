"""Pictures for our own people's reports: large enough to judge, with what is personal covered and outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dataops_assets.apart import Apart
from dataops_assets.blobs import BlobMissing
from dataops_assets.imaging.decode import MAX_PIXELS, Pixels, decode_within, shrink
from dataops_assets.imaging.thumbnails import MEMORY_BYTES, SECONDS, as_jpeg, reduced
from dataops_assets.imaging.workers import ITEMS_PER_MESSAGE, map_blobs

SIDE_PX = 200
OUTLINE = (214, 40, 40)


@dataclass(frozen=True)
class Wanted:
    """A picture to be drawn.

    Attributes:
        shas: Blobs that show it, the best first; the first that is there is drawn.
        regions: What is personal in it: tuples of kind, x, y, w, h, ... in px of the cleaned picture. None: nobody has looked.
        side_px: Longer side of the cleaned picture; None: as large as one may be today.
        is_searched: Whether faces were looked for; else it is shown as a thumbnail.
    """

    shas: tuple[str, ...]
    regions: tuple[tuple[Any, ...], ...] | None
    side_px: int | None = None
    is_searched: bool = True


def portraits(wanted: Sequence[Wanted], apart: Apart, max_side_px: int, max_pixels: int = MAX_PIXELS) -> list[bytes]:
    """A JPEG for each picture, drawn in a bounded child process; empty where there is none to be drawn."""
    task = partial(portrait, max_side_px=max_side_px, max_pixels=max_pixels)
    made = map_blobs(
        task, wanted, apart, workers=1, memory_bytes=MEMORY_BYTES, seconds=SECONDS, items_per_message=ITEMS_PER_MESSAGE
    )  # fmt: skip
    return [result if isinstance(result, bytes) else b"" for _, result in made]


def portrait(apart: Apart, wanted: Wanted, max_side_px: int, max_pixels: int = MAX_PIXELS) -> bytes:
    """The picture as it is cleaned, at most 200 px a side, with every region covered and outlined.

    One in which nobody has looked for faces is a thumbnail of 96 px.
    """
    pixels = _first(apart, wanted.shas, wanted.side_px or max_side_px, max_pixels)
    if pixels is None:
        return b""
    if wanted.regions is None:
        return reduced(pixels)
    marked = _marked(pixels, wanted.regions)
    return as_jpeg(shrink(marked, SIDE_PX)) if wanted.is_searched else reduced(marked)


def _first(apart: Apart, shas: Sequence[str], side_px: int, max_pixels: int) -> Pixels | None:
    for sha256 in shas:
        try:
            return decode_within(apart.read(sha256), side_px, max_pixels).pixels
        except BlobMissing:
            continue
    return None


def _marked(pixels: Pixels, regions: Sequence[Sequence[Any]]) -> Pixels:
    import cv2

    from dataops_assets.imaging.personal_data.redact import redact
    from dataops_assets.imaging.personal_data.regions import Region

    marked: Pixels = redact(pixels, [Region(*region[:6]) for region in regions], "blur").copy()
    width = max(2, round(max(pixels.shape[:2]) / SIDE_PX * 1.5))
    for _, x, y, w, h, *_rest in regions:
        cv2.rectangle(marked, (round(x), round(y)), (round(x + w), round(y + h)), OUTLINE, width)
    return marked
