"""What a worker does with one delivered picture: decode, clean, measure, hash, and keep the cleaned file."""

from __future__ import annotations

from dataclasses import dataclass, field

from dataops_assets.blobs import Blobs
from dataops_assets.imaging.decode import MAX_PIXELS, clean, shrink
from dataops_assets.imaging.duplicates import calc_colour_grid, calc_phash
from dataops_assets.imaging.measures import MEASURE_SIDE_PX, calc_gray, calc_scores


@dataclass(frozen=True)
class Examined:
    """What is known of one picture by itself.

    Attributes:
        reason: Code for which it can't be decoded; everything after it is empty then.
        sides_px: Width and height as delivered, upright.
        width_px: Of the cleaned picture.
        height_px: As above.
        clean_sha256: The cleaned picture's blob.
        phash: 64-bit perceptual hash.
        colour_grid: Colours of 4 x 4 cells.
        scores: Issue -> score in [0, 1], without odd_size.
    """

    reason: str | None = None
    sides_px: tuple[int, int] = (0, 0)
    width_px: int = 0
    height_px: int = 0
    clean_sha256: str = ""
    phash: int = 0
    colour_grid: bytes = b""
    scores: dict[str, float] = field(default_factory=dict)


def examine(blobs: Blobs, sha256: str, max_side_px: int, max_pixels: int = MAX_PIXELS) -> Examined:
    """Decode a blob once and take all measures of it.

    Raises:
        BlobMissing: when the store lacks the blob.
    """
    cleaned = clean(blobs.read(sha256), max_side_px, max_pixels)
    if cleaned.pixels is None:
        return Examined(reason=cleaned.reason)
    height, width = cleaned.pixels.shape[:2]
    small = shrink(cleaned.pixels, MEASURE_SIDE_PX)
    return Examined(
        sides_px=(cleaned.width_px, cleaned.height_px),
        width_px=width,
        height_px=height,
        clean_sha256=blobs.put(cleaned.encoded),
        phash=calc_phash(calc_gray(small)),
        colour_grid=calc_colour_grid(small),
        scores=calc_scores(small),
    )
