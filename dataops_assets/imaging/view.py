"""A picture as it is measured: gray at about 256 px and at half of that, and a few of its pixels in colour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dataops_assets.imaging.decode import BLOCK_PX, Decoded, Pixels, shrunk

WORKING_SIDE_PX = 256
NEAR_ENOUGH_PX = 320  # a longer side of up to so much is left as it is: bringing it to 256 would cost more than measuring
SAMPLES_PX = 48
ROW_STEP = 2  # every second line tells of blocks as much


@dataclass(frozen=True, eq=False)
class View:
    """A picture as it is measured. What is computed when it is first asked for is kept.

    Attributes:
        gray: Longer side 256 to 320 px, or the picture's own where that is smaller.
        samples: 48 x 48 pixels of the picture in colour.
        sides_px: Width and height as delivered, upright.
        decoded: Gray at the size at which it was decoded; often `gray` itself.
        block_px: Side in `decoded` of what was a block of 8 px in the file.
        mean_step: Of the file's luma quantisation table; None where it is no JPEG.
    """

    gray: Pixels
    samples: Pixels
    sides_px: tuple[int, int]
    decoded: Pixels
    block_px: int = BLOCK_PX
    mean_step: float | None = None

    @classmethod
    def of(cls, decoded: Decoded) -> View:
        """The view of a picture decoded at any scale that leaves 256 px of its longer side, where it has them.

        Pictures larger than that by less than half are brought to size by linear interpolation: it is ten times faster than
        averaging uneven areas, and at such a ratio skips no pixel.
        """
        import cv2

        pixels = decoded.pixels
        assert pixels is not None
        full = calc_gray(pixels)
        height, width = full.shape
        gray = full
        if max(height, width) > NEAR_ENOUGH_PX:
            is_slight = max(height, width) <= 2 * WORKING_SIDE_PX
            method = cv2.INTER_LINEAR if is_slight else cv2.INTER_AREA
            gray = np.asarray(cv2.resize(full, shrunk(width, height, WORKING_SIDE_PX), interpolation=method), dtype=np.uint8)
        samples = np.asarray(cv2.resize(pixels, (SAMPLES_PX, SAMPLES_PX), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
        return cls(gray, samples, decoded.sides_px, full, decoded.block_px, decoded.mean_step)

    @cached_property
    def half(self) -> Pixels:
        """`gray` at half its size."""
        return halved(self.gray)

    @cached_property
    def steps_right(self) -> Pixels:
        """Absolute differences of neighbours in a row of `gray`: one column fewer, none where rows have one pixel."""
        return _steps_right(self.gray)

    @cached_property
    def steps_down(self) -> Pixels:
        """Absolute differences of neighbours in a column of `gray`."""
        import cv2

        gray = self.gray
        return np.asarray(cv2.absdiff(gray[1:], gray[:-1]), dtype=np.uint8) if gray.shape[0] > 1 else gray[:0]

    @property
    def block_steps(self) -> tuple[float, float] | None:
        """Mean steps over the upright edges of JPEG blocks, and elsewhere; None where blocks can't be seen."""
        import cv2

        if self.block_px < 2 or min(self.decoded.shape) < 4 * self.block_px:
            return None
        steps = self.steps_right[::ROW_STEP] if self.decoded is self.gray else _steps_right(self.decoded[::ROW_STEP])
        sums = cv2.reduce(steps, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0].tolist()
        over, rows = sums[self.block_px - 1 :: self.block_px], len(steps)
        edges, total = sum(over), sum(sums)
        return edges / (len(over) * rows), (total - edges) / ((len(sums) - len(over)) * rows)


def calc_gray(pixels: Pixels) -> Pixels:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def halved(pixels: Pixels) -> Pixels:
    """Gray or colour at half the size, by averaging; an odd last line is left out."""
    import cv2

    height, width = max(1, pixels.shape[0] // 2), max(1, pixels.shape[1] // 2)
    return np.asarray(cv2.resize(pixels[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _steps_right(gray: Pixels) -> Pixels:
    import cv2

    return np.asarray(cv2.absdiff(gray[:, 1:], gray[:, :-1]), dtype=np.uint8) if gray.shape[1] > 1 else gray[:, :0]
