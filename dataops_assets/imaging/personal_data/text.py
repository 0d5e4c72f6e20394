"""Text in a picture: a cheap test whether there may be a line of it, and reading it.

Reading costs about a hundred times the test, and most garment photos have nothing to read. Both look for lines: a word or two on
a chest can't hold an address or a number. Models are RapidOCR's (PP-OCR, Apache-2.0), which come in its package; their paths are
given, so nothing is looked for elsewhere or downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dataops_assets.imaging.decode import Pixels, shrink
from dataops_assets.imaging.personal_data.regions import clipped

HINT_SIDE_PX = 960
HINT_HEIGHTS_PX = (9, 14)  # of a line, at each of `HINT_OCTAVES` scales, each half as large as the one before
HINT_OCTAVES = 3  # capitals up to a twelfth of the longer side; with two, every eighth poster passed unread
HINT_LENGTH = 5  # times its height: shorter ones hold no address or number
HINT_AWAY = 1.2  # times its height: where the quiet above and below a line is measured
HINT_QUIET = 1.3  # how much more than there the strokes must count
HINT_AROUND = (9, 3)  # width and height, in heights, of what a likely place makes worth reading
TEXT_HINT = 0.14

READING_SIDE_PX = 960
LINE_ASPECT = 1.5
MIN_LINE_SCORE = 0.5
MIN_LINE_PX = 4
EDGE_PX = 4  # a box so near to the edge of a part may go on beyond it
MAX_ASPECT = 40  # 80 letters
MIN_COST = 7  # shorter lines take as long to read as one of so many heights
MAX_COST = 1600  # of all lines of a picture, in their heights: two full pages of a letter; keeps the worst picture under ten seconds
ENGINE = {
    "Global.log_level": "critical",
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "Det.limit_type": "max",
    "Det.limit_side_len": READING_SIDE_PX,
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


def has_text_hint(pixels: Pixels) -> float:
    """How much the likeliest place looks like a line of text, 0 to 1; under `TEXT_HINT` reading isn't worth its time."""
    strongest = max((float(likeness.max()) for _, likeness, _, _ in _likenesses(pixels)), default=0.0)
    return round(min(1.0, max(0.0, strongest)), 3)


def text_part(pixels: Pixels, min_hint: float = TEXT_HINT) -> Part | None:
    """The part of the picture that holds all places which look like a line of text; None where none does."""
    boxes = []
    for line_px, likeness, scale, is_upright in _likenesses(pixels):
        rows, columns = np.nonzero(likeness >= min_hint)
        if not len(rows):
            continue
        away, along, across = round(HINT_AWAY * line_px), HINT_AROUND[0] * line_px / 2, HINT_AROUND[1] * line_px / 2
        left, top = int(columns.min()) - along, int(rows.min()) + away - across
        right, bottom = int(columns.max()) + along, int(rows.max()) + away + across
        edges = (top, left, bottom, right) if is_upright else (left, top, right, bottom)
        boxes.append([edge / scale for edge in edges])
    if not boxes:
        return None
    height, width = pixels.shape[:2]
    (left, top), (right, bottom) = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    return max(0, int(left)), max(0, int(top)), min(width, int(right) + 1), min(height, int(bottom) + 1)


def _likenesses(pixels: Pixels) -> Iterator[tuple[int, Any, float, bool]]:
    """How much each place looks like part of a line: (height of the line, array, px of it per px of the picture, whether it is upright).

    A line is a band of strokes across it, without a gap for `HINT_LENGTH` heights, and with fewer strokes above and below. The array
    leaves out `HINT_AWAY` heights at its top and bottom. Upright lines are looked for in the transposed picture.
    """
    import cv2

    gray = cv2.cvtColor(shrink(pixels, HINT_SIDE_PX), cv2.COLOR_RGB2GRAY)
    for _ in range(HINT_OCTAVES):
        if min(gray.shape) < min(HINT_HEIGHTS_PX):
            return
        scale = max(gray.shape) / max(pixels.shape[:2])
        for is_upright in (False, True):
            strokes = cv2.convertScaleAbs(cv2.Sobel(cv2.transpose(gray) if is_upright else gray, cv2.CV_16S, 1, 0, ksize=3))
            for line_px in HINT_HEIGHTS_PX:
                away, length_px = round(HINT_AWAY * line_px), HINT_LENGTH * line_px
                if strokes.shape[0] <= 2 * away:
                    continue
                inside = cv2.erode(cv2.blur(strokes, (line_px, line_px)), np.ones((1, length_px), np.uint8))[away:-away]
                around = cv2.blur(strokes, (length_px, line_px // 2))
                beside = cv2.max(around[: -2 * away], around[2 * away :])
                yield line_px, cv2.addWeighted(inside, 0.01, beside, -0.01 * HINT_QUIET, 0, dtype=cv2.CV_32F), scale, is_upright
        gray = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def read_text(pixels: Pixels, part: Part | None = None) -> list[Line]:
    """Lines of text of at least two or three letters, top to bottom, left to right.

    Args:
        pixels: RGB of shape (height, width, 3), uint8. Lines are found at `READING_SIDE_PX` and read from the pixels as given.
        part: Of `text_part`; None: the whole picture. Where a line reaches over its edge, the whole picture is read after all.
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
        cost += min(MAX_ASPECT, max(MIN_COST, _aspect(box)))
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
    found = _finder()(np.ascontiguousarray(picture[top:bottom, left:right])).boxes
    boxes = [np.asarray(box, dtype=np.float32) + np.array([left, top], dtype=np.float32) for box in ([] if found is None else found)]
    edges = ((0, 0, left, 1), (1, 0, top, 1), (0, width, right, -1), (1, height, bottom, -1))
    for axis, end, edge, inwards in edges:
        if edge != end and any(((box[:, axis] - edge) * inwards < EDGE_PX).any() for box in boxes):
            return _boxes(picture, (0, 0, width, height))
    return [box for box in boxes if _aspect(box) >= LINE_ASPECT]


def _aspect(corners: Any) -> float:
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
