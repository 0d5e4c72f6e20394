"""A picture so small that it shows what it is of, and no face or text in it can be read."""

from __future__ import annotations

from functools import partial

from dataops_assets.blobs import BlobMissing, Blobs
from dataops_assets.imaging.decode import MAX_PIXELS, decode, shrink
from dataops_assets.imaging.workers import map_blobs

SIDE_PX = 96
QUALITY = 75
MEMORY_BYTES = 2**30
SECONDS = 10.0


def thumbnails(shas: list[str], blobs: Blobs, max_pixels: int = MAX_PIXELS) -> dict[str, bytes]:
    """sha256 -> thumbnail of those that can be decoded, each in a bounded child process: the bytes may be anybody's."""
    task = partial(thumbnail, max_pixels=max_pixels)
    made = map_blobs(task, shas, blobs, workers=1, memory_bytes=MEMORY_BYTES, seconds=SECONDS)
    return {shas[index]: result for index, result in made if isinstance(result, bytes) and result}


def thumbnail(blobs: Blobs, sha256: str, max_pixels: int = MAX_PIXELS) -> bytes:
    """A JPEG of at most 96 px a side without metadata; empty where the blob is missing or is no picture."""
    import simplejpeg

    try:
        pixels = decode(blobs.read(sha256), max_pixels).pixels
    except BlobMissing:
        return b""
    if pixels is None:
        return b""
    return bytes(simplejpeg.encode_jpeg(shrink(pixels, SIDE_PX).copy(), quality=QUALITY, colorspace="RGB", colorsubsampling="420"))
