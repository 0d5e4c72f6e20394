"""Pictures for our own people's reports: large enough to judge, with what is personal covered and outlined."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from dataops_assets.apart import Apart
from dataops_assets.blobs import BlobMissing
from dataops_assets.imaging.decode import MAX_PIXELS, Pixels, decode, shrink
from dataops_assets.imaging.thumbnails import MEMORY_BYTES, QUALITY, SECONDS
from dataops_assets.imaging.workers import ITEMS_PER_MESSAGE, map_blobs

SIDE_PX = 200
OUTLINE = (214, 40, 40)

Regions = Sequence[Sequence[Any]]  # kind, x, y, w, h, ... in px of the cleaned picture


def portraits(wanted: Sequence[tuple[str, Regions]], apart: Apart, max_side_px: int, max_pixels: int = MAX_PIXELS) -> list[bytes]:
    """A JPEG for each picture, drawn in bounded child processes; empty where there is none to be drawn."""
    task = partial(portrait, max_side_px=max_side_px, max_pixels=max_pixels)
    made = map_blobs(
        task, wanted, apart, workers=1, memory_bytes=MEMORY_BYTES, seconds=SECONDS, items_per_message=ITEMS_PER_MESSAGE
    )  # fmt: skip
    return [result if isinstance(result, bytes) else b"" for _, result in made]


def portrait(apart: Apart, wanted: tuple[str, Regions], max_side_px: int, max_pixels: int = MAX_PIXELS) -> bytes:
    """A delivered picture as it is cleaned, with every region covered and outlined, at most 200 px a side."""
    import simplejpeg

    sha256, regions = wanted
    try:
        pixels = decode(apart.read(sha256), max_pixels).pixels
    except BlobMissing:
        return b""
    if pixels is None:
        return b""
    small = shrink(_marked(shrink(pixels, max_side_px), regions), SIDE_PX)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(small), quality=QUALITY, colorspace="RGB", colorsubsampling="420"))


def _marked(pixels: Pixels, regions: Regions) -> Pixels:
    if not regions:
        return pixels
    import cv2

    from dataops_assets.imaging.personal_data.redact import redact
    from dataops_assets.imaging.personal_data.regions import Region

    marked: Pixels = redact(pixels, [Region(*region[:6]) for region in regions], "blur").copy()
    width = max(2, round(max(pixels.shape[:2]) / SIDE_PX * 1.5))
    for _, x, y, w, h, *_rest in regions:
        cv2.rectangle(marked, (round(x), round(y)), (round(x + w), round(y + h)), OUTLINE, width)
    return marked
