"""Licence plates, by a cascade that OpenCV brings along: a hint, not a detector.

It was trained on Russian plates seen from the front. Of drawn European plates in garment photos it finds a third to a half, and it
sees one in about 8 % of garment photos that have none; slanted and small ones it misses. Enough to send a picture to a person, not to
promise that no plate is left.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dataops_assets.imaging.decode import Pixels, shrink
from dataops_assets.imaging.personal_data.regions import Region, clipped, in_reading_order

CASCADE = "haarcascade_russian_plate_number.xml"
WORKING_SIDE_PX = 533  # 25 ms; plates from 60 px
STEP = 1.1
NEIGHBOURS = 1  # more would halve what is found
PLATE_SCORE = 0.5  # a cascade says yes or no


def plates(pixels: Pixels) -> list[Region]:
    """Where a licence plate may be, in reading order.

    Args:
        pixels: RGB of shape (height, width, 3), uint8.
    """
    import cv2

    height, width = pixels.shape[:2]
    gray = cv2.cvtColor(shrink(pixels, WORKING_SIDE_PX), cv2.COLOR_RGB2GRAY)
    scale = max(height, width) / max(gray.shape)
    found = np.reshape(_cascade().detectMultiScale(gray, STEP, NEIGHBOURS), (-1, 4)) * scale
    return in_reading_order(clipped("plate", x, y, w, h, PLATE_SCORE, width, height) for x, y, w, h in found.tolist())


@lru_cache(maxsize=1)
def _cascade() -> Any:
    import cv2

    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / CASCADE))
    if cascade.empty():
        raise FileNotFoundError(f"OpenCV came without {CASCADE}: a version from 4.10 and below 5 carries it")
    return cascade
