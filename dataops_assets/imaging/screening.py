"""What workers do with delivered pictures: `measure` looks at each once, as small as the measures allow; `prepare` makes the cleaned
file of those that are still in, and finds what is personal in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dataops_assets.blobs import Blobs
from dataops_assets.imaging.decode import MAX_PIXELS, clean, decode, shrink
from dataops_assets.imaging.duplicates import calc_colour_grid, calc_phash
from dataops_assets.imaging.measures import MEASURE_SIDE_PX, calc_gray, calc_scores

VERSION = 1  # of what is measured and prepared; another number makes checkpoints of killed runs worthless


@dataclass(frozen=True)
class Measured:
    """What is known of one picture by itself, without looking at its details.

    Attributes:
        reason: Code for which it can't be decoded; everything after it is empty then.
        sides_px: Width and height as delivered, upright.
        phash: 64-bit perceptual hash, 16 hex digits.
        colour_grid: Colours of 4 x 4 cells, 64 hex digits.
        scores: Issue -> score in [0, 1], without odd_size.
    """

    reason: str | None = None
    sides_px: tuple[int, int] = (0, 0)
    phash: str = ""
    colour_grid: str = ""
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """The cleaned file of one picture.

    Attributes:
        reason: Code for which there is none.
        clean_sha256: The cleaned picture's blob.
    """

    reason: str | None = None
    clean_sha256: str = ""


@dataclass(frozen=True)
class Preparation:
    """How `prepare` makes cleaned files."""

    max_side_px: int
    max_pixels: int = MAX_PIXELS


def measure(blobs: Blobs, sha256: str, max_pixels: int = MAX_PIXELS) -> Measured:
    """Decode a blob as small as will do and take all measures of it.

    Raises:
        BlobMissing: when the store lacks the blob.
    """
    decoded = decode(blobs.read(sha256), max_pixels)
    if decoded.pixels is None:
        return Measured(reason=decoded.reason)
    height, width = decoded.pixels.shape[:2]
    small = shrink(decoded.pixels, MEASURE_SIDE_PX)
    return Measured(
        sides_px=(width, height),
        phash=f"{calc_phash(calc_gray(small)):016x}",
        colour_grid=calc_colour_grid(small).hex(),
        scores=calc_scores(small),
    )


def prepare(blobs: Blobs, sha256: str, how: Preparation) -> Prepared:
    """Make and keep the cleaned file of a blob.

    Raises:
        BlobMissing: when the store lacks the blob.
    """
    cleaned = clean(blobs.read(sha256), how.max_side_px, how.max_pixels)
    if cleaned.pixels is None:
        return Prepared(reason=cleaned.reason)
    return Prepared(None, blobs.put(cleaned.encoded))
