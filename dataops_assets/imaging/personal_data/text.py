"""Finding lines of text in a picture, and reading them.

It is dear; `text_hint` says which pictures, and which part of them, may have a line. Models are RapidOCR's (PP-OCR, Apache-2.0), which
come in its package; their paths are given, so nothing is looked for elsewhere or downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dataops_assets.imaging.decode import Pixels
from dataops_assets.imaging.personal_data.regions import clipped

READING_SIDE_PX = 960
FINDER_STEP_PX = 32  # the network's; a picture of other sides would be pulled out of shape
LINE_ASPECT = 1.5
MIN_LINE_SCORE = 0.5
MIN_LINE_PX = 4
EDGE_PX = 4  # a box so near to the edge of a part may go on beyond it
NEXT_WORD = 1.0  # heights of a line, to its next word
MAX_ASPECT = 40  # 80 letters
MIN_COST = 7  # counted for shorter lines
MAX_COST = 1600  # of all lines of a picture, in their heights: two full pages of a letter; keeps the worst picture under ten seconds
ENGINE = {
    "Global.log_level": "critical",
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "Det.limit_type": "max",
    "Det.limit_side_len": READING_SIDE_PX,
    "Rec.rec_img_shape": [3, 48, 96],  # a short line isn't padded to 320 px: read as well, in a third of the time
}
MODELS = {"Det": "PP-OCRv6_det_small.onnx", "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}


Part = tuple[int, int, int, int]  # left, top, right, bottom in px


@dataclass(frozen=True)
class Line:
    """A line as it was read; x, y, w, h in px of the picture, upright around a slanted line; score 0 to 1."""

    text: str
    x: int
    y: int
    w: int
    h: int
    score: float


def read_text(pixels: Pixels, part: Part | None = None) -> list[Line]:
    """Lines of text of at least two or three letters, top to bottom, left to right.

    Args:
        pixels: RGB of shape (height, width, 3), uint8. Lines are found at `READING_SIDE_PX` and read from the pixels as given.
        part: Of `text_hint.text_part`; None: the whole picture. Where a line reaches over its edge, more of the picture is looked at.
    """
    return search(pixels, part)[0]


def search(pixels: Pixels, part: Part | None = None) -> tuple[list[Line], bool]:
    """`read_text`, and whether the search was cut: there is more to read than `MAX_COST`, and the first lines were read."""
    import cv2
    from rapidocr.utils.process_img import get_rotate_crop_image

    height, width = pixels.shape[:2]
    picture = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), dtype=np.uint8)
    lines: list[Line] = []
    cost = 0.0
    for box in _boxes(picture, part or (0, 0, width, height)):
        cost += min(MAX_ASPECT, max(MIN_COST, aspect(box)))
        if cost > MAX_COST:
            return lines, True
        crop = np.ascontiguousarray(get_rotate_crop_image(picture, box))
        if min(crop.shape[:2]) < MIN_LINE_PX:
            continue
        if crop.shape[1] > MAX_ASPECT * crop.shape[0]:
            crop = cv2.resize(crop, (MAX_ASPECT * crop.shape[0], crop.shape[0]), interpolation=cv2.INTER_AREA)
        read = _reader()(crop)
        if not read.txts or not read.txts[0].strip() or read.scores[0] < MIN_LINE_SCORE:
            continue
        (x, y), (right, bottom) = box.min(axis=0).tolist(), box.max(axis=0).tolist()
        place = clipped("text", x, y, right - x, bottom - y, read.scores[0], width, height)
        lines.append(Line(read.txts[0].strip(), place.x, place.y, place.w, place.h, place.score))
    return lines, False


def _boxes(picture: Pixels, part: Part) -> list[Any]:
    """Corners of boxes that are long enough for a line, arrays of shape (4, 2), clockwise from the upper left, in px of the picture."""
    height, width = picture.shape[:2]
    left, top, right, bottom = part
    scale = min(1.0, READING_SIDE_PX / max(height, width))  # no closer than the whole picture: it would cost as much
    boxes = [box + np.array([left, top], dtype=np.float32) for box in find_lines(picture[top:bottom, left:right], scale)]
    wider = _grown(part, boxes, width, height)
    if wider != part:
        return _boxes(picture, wider)
    return [box for box in boxes if aspect(box) >= LINE_ASPECT]


def _grown(part: Part, boxes: list[Any], width: int, height: int) -> Part:
    """The part with more room on sides where a line may go on: as much again as it is wide or high.

    That is where a box reaches over the edge, and where a line ends so near to it that its next word may lie beyond.
    """
    edges = np.array(part)
    is_short = np.zeros((2, 2), dtype=bool)
    for box in boxes:
        start, end = box.min(axis=0), box.max(axis=0)
        room = np.where(end - start == (end - start).max(), max(EDGE_PX, NEXT_WORD * (end - start).min()), EDGE_PX)
        is_short |= np.array([start < edges[:2] + room, end > edges[2:] - room])
    sides = edges[2:] - edges[:2]
    grown = edges + np.concatenate([-sides, sides]) * is_short.ravel()
    left, top, right, bottom = np.clip(grown, 0, (width, height, width, height)).tolist()
    return left, top, right, bottom


def find_lines(picture: Pixels, scale: float = 1.0) -> list[Any]:
    """Corners of what looks like lines, arrays of shape (4, 2), clockwise from the upper left, in px of the picture.

    Args:
        picture: Of shape (height, width, 3), uint8.
        scale: At which it is looked at, 1 or less; it is less anyway where a side is longer than `READING_SIDE_PX`.
    """
    import cv2

    height, width = picture.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shown = picture if scale == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    below, beside = (-side % FINDER_STEP_PX for side in shown.shape[:2])
    found = _finder()(cv2.copyMakeBorder(shown, 0, below, 0, beside, cv2.BORDER_REPLICATE)).boxes
    back, ends = np.array([[width / size[0], height / size[1]], [width, height]], dtype=np.float32)
    return [np.minimum(np.asarray(box, dtype=np.float32) * back, ends) for box in ([] if found is None else found)]


def aspect(corners: Any) -> float:
    """Longer over shorter side of a box."""
    along, across = float(np.linalg.norm(corners[0] - corners[1])), float(np.linalg.norm(corners[0] - corners[3]))
    return max(along, across) / max(1.0, min(along, across))


@lru_cache(maxsize=1)
def _finder() -> Any:
    """The engine that finds lines. One of two: what a call asks of an engine would stick to it."""
    return _engine({"Global.use_cls": False, "Global.use_rec": False})


@lru_cache(maxsize=1)
def _reader() -> Any:
    """The engine that reads a line, upside down too."""
    return _engine({"Global.use_det": False})


def _engine(uses: dict[str, bool]) -> Any:
    import logging

    import rapidocr
    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
    models = Path(rapidocr.__file__).parent / "models"
    return RapidOCR(params=ENGINE | uses | {f"{part}.model_path": str(models / name) for part, name in MODELS.items()})
