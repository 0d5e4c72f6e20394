"""Pictures that explain an answer to people outside: small, faces covered, with the boxes that are asked for drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from dataops_assets.blobs import BlobMissing, Blobs
from dataops_assets.imaging.decode import MAX_PIXELS, decode_within, shrink
from dataops_assets.imaging.thumbnails import MEMORY_BYTES, SEARCHED_SIDE_PX, SECONDS, as_jpeg
from dataops_assets.imaging.workers import map_blobs

SIDE_PX = 192
RIGHT, WRONG = (27, 138, 74), (200, 40, 40)


@dataclass(frozen=True)
class Wanted:
    """A picture to be drawn; `boxes` are x, y, w, h in px of the picture itself."""

    sha256: str
    boxes: tuple[tuple[float, ...], ...] = ()
    is_right: bool = True


def illustrations(wanted: Sequence[Wanted], blobs: Blobs, max_pixels: int = MAX_PIXELS) -> dict[Wanted, bytes]:
    """A JPEG of those that are there and can be decoded, drawn in a bounded child process."""
    unique = list(dict.fromkeys(wanted))
    if not unique:
        return {}
    task = partial(illustration, max_pixels=max_pixels)
    made = map_blobs(task, unique, blobs, workers=1, memory_bytes=MEMORY_BYTES, seconds=SECONDS)
    return {unique[index]: result for index, result in made if isinstance(result, bytes) and result}


def illustration(blobs: Blobs, wanted: Wanted, max_pixels: int = MAX_PIXELS) -> bytes:
    """A JPEG of at most 192 px a side without metadata; empty where the blob is missing or is no picture."""
    import cv2
    import numpy as np

    from dataops_assets.imaging.personal_data.faces import faces
    from dataops_assets.imaging.personal_data.redact import redact

    try:
        decoded = decode_within(blobs.read(wanted.sha256), SEARCHED_SIDE_PX, max_pixels)
    except BlobMissing:
        return b""
    small = decoded.pixels
    if small is None:
        return b""
    drawn = np.ascontiguousarray(shrink(redact(small, faces(small), "blur"), SIDE_PX))
    width, height = decoded.sides_px
    scale = drawn.shape[1] / width, drawn.shape[0] / height
    for x, y, w, h in wanted.boxes:
        start, end = (x * scale[0], y * scale[1]), ((x + w) * scale[0] - 1, (y + h) * scale[1] - 1)
        corners = [(round(across), round(down)) for across, down in (start, end)]
        cv2.rectangle(drawn, corners[0], corners[1], RIGHT if wanted.is_right else WRONG, 2)
    return as_jpeg(drawn)
