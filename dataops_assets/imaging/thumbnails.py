"""A picture so small that it shows what it is of: of a face or a text only what fills it could be told, and faces are covered."""

from __future__ import annotations

from functools import partial

import numpy as np

from dataops_assets.blobs import BlobMissing, Blobs
from dataops_assets.imaging.decode import MAX_PIXELS, Pixels, decode_within, shrink
from dataops_assets.imaging.workers import map_blobs

SIDE_PX = 96
SEARCHED_SIDE_PX = 400  # a face that can't be found in it has four pixels in the thumbnail
QUALITY = 75
MEMORY_BYTES = 2**30
SECONDS = 10.0


def thumbnails(shas: list[str], blobs: Blobs, max_pixels: int = MAX_PIXELS, side_px: int = SIDE_PX) -> dict[str, bytes]:
    """sha256 -> thumbnail of those that can be decoded, each in a bounded child process: the bytes may be anybody's."""
    task = partial(thumbnail, max_pixels=max_pixels, side_px=side_px)
    made = map_blobs(task, shas, blobs, workers=1, memory_bytes=MEMORY_BYTES, seconds=SECONDS)
    return {shas[index]: result for index, result in made if isinstance(result, bytes) and result}


def thumbnail(blobs: Blobs, sha256: str, max_pixels: int = MAX_PIXELS, side_px: int = SIDE_PX) -> bytes:
    """A JPEG of at most `side_px` a side without metadata, faces covered; empty where the blob is missing or is no picture."""
    try:
        pixels = decode_within(blobs.read(sha256), SEARCHED_SIDE_PX, max_pixels).pixels
    except BlobMissing:
        return b""
    return reduced(pixels, side_px) if pixels is not None else b""


def reduced(pixels: Pixels, side_px: int = SIDE_PX) -> bytes:
    """The thumbnail of a picture in which nobody has looked for faces."""
    from dataops_assets.imaging.personal_data.faces import faces
    from dataops_assets.imaging.personal_data.redact import redact

    small = shrink(pixels, SEARCHED_SIDE_PX)
    return as_jpeg(shrink(redact(small, faces(small), "blur"), side_px))


def as_jpeg(pixels: Pixels) -> bytes:
    """For looking at: half the colours' resolution, quality 75."""
    import simplejpeg

    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY, colorspace="RGB", colorsubsampling="420"))
