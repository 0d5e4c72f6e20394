"""The cheap test for text: whether there may be a line of it in a picture, and where.

Reading costs many times as much, and most garment photos have nothing to read. Two looks, each at what the one before lets through:
statistics of strokes over the whole picture, at several sizes of letters; then the network that finds lines, on a sheet of the likely
places alone, cut out and brought to one size of letters. A picture without a likely place costs the first look only; small letters in
a large picture are looked at as they are. Both look for lines: a word or two on a chest can't hold an address or a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataops_assets.imaging.decode import Pixels, shrunk
from dataops_assets.imaging.personal_data.text import READING_SIDE_PX, Part, aspect, find_lines

HINT_SIDE_PX = READING_SIDE_PX
CELL_PX = 3  # strokes are counted a cell; with smaller ones nothing more is found, at three times the cost
HINT_HEIGHTS = (3, 5)  # of a line in cells, at each of `HINT_OCTAVES` scales, each half as large as the one before
HINT_OCTAVES = 3  # capitals up to a twelfth of the longer side; with two, every eighth poster passed unread
HINT_LENGTH = 5  # times its height: shorter ones hold no address or number
HINT_AWAY = 1.2  # times its height: where the quiet above and below a line is measured
HINT_QUIET = 1.3  # how much more than there the strokes must count
TEXT_HINT = 0.15

WINDOW_APART = (4, 2)  # heights along and across the line: places so near are looked at together
WINDOW_AROUND = (4.5, 1.5)  # heights on each side of a likely place that are looked at with it
WINDOW_ALIKE = 2.2  # times as high: a place in the window of a likelier one of nearly its height is seen there
WINDOW_INSIDE = 0.8  # of such a place's area
SHEET_LINE_PX = 9  # larger lines are brought to this height: the network finds as many of them as at 12, at two thirds of the cost
SHEET_GAP_PX = 4
SHEET_STEP_PX = 32  # the network's; a sheet of other sides would be scaled
SHEET_ASPECT = 2.25  # of the shortest line there that is worth reading; 3 would save a quarter of the reading and lose 3 % of lines
PART_MORE_PX = 32  # on each side of what is worth reading, at the size at which it is read: lines are found as well as in the whole picture

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class _Window:
    """A place that looks like a line, in px of the picture."""

    likeness: float
    line_px: float
    is_upright: bool
    place: Box
    around: Box


def has_text_hint(pixels: Pixels) -> float:
    """How much the likeliest place looks like a line of text, 0 to 1; under `TEXT_HINT` there is no second look."""
    strongest = max((float(likeness.max()) for _, likeness, _, _ in _likenesses(pixels)), default=0.0)
    return round(min(1.0, max(0.0, strongest)), 3)


def text_part(pixels: Pixels, min_hint: float = TEXT_HINT) -> Part | None:
    """The part of the picture that holds all places worth reading; None where there is none.

    Args:
        pixels: RGB of shape (height, width, 3), uint8.
        min_hint: Likeness from which a place is looked at by the network.
    """
    windows = _windows(pixels, min_hint)
    if not windows:
        return None
    height, width = pixels.shape[:2]
    sheet, corners = _sheet(pixels, windows)
    if sheet.shape[0] <= READING_SIDE_PX and sheet[..., 0].size < np.prod(shrunk(width, height, READING_SIDE_PX)):
        middles = [box.mean(axis=0) for box in find_lines(sheet) if aspect(box) >= SHEET_ASPECT]
        windows = [
            window
            for window, (left, top, right, bottom) in zip(windows, corners, strict=True)
            if any(left <= x < right and top <= y < bottom for x, y in middles)
        ]
    if not windows:
        return None
    edges, more = np.array([window.around for window in windows]), PART_MORE_PX * max(1.0, max(height, width) / READING_SIDE_PX)
    (left, top), (right, bottom) = edges.min(axis=0)[:2] - more, edges.max(axis=0)[2:] + more
    return max(0, int(left)), max(0, int(top)), min(width, int(right) + 1), min(height, int(bottom) + 1)


def _likenesses(pixels: Pixels) -> Iterator[tuple[int, Any, float, bool]]:
    """How much each place looks like part of a line: (height of the line, array, cells of it per px of the picture, whether it is upright).

    A line is a band of strokes across it, without a gap for `HINT_LENGTH` heights, and with fewer strokes above and below. The array
    leaves out `HINT_AWAY` heights at its top and bottom. Upright lines are looked for in the transposed picture.
    """
    import cv2

    height, width = pixels.shape[:2]
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if max(height, width) > HINT_SIDE_PX:
        gray = cv2.resize(gray, shrunk(width, height, HINT_SIDE_PX), interpolation=cv2.INTER_AREA)
    for _ in range(HINT_OCTAVES):
        rows, columns = gray.shape[0] // CELL_PX, gray.shape[1] // CELL_PX
        if min(rows, columns) < min(HINT_HEIGHTS):
            return
        scale = max(gray.shape) / max(height, width) / CELL_PX
        for is_upright in (False, True):
            steps = cv2.convertScaleAbs(cv2.Sobel(gray, cv2.CV_16S, int(not is_upright), int(is_upright), ksize=3))
            strokes = cv2.resize(steps[: rows * CELL_PX, : columns * CELL_PX], (columns, rows), interpolation=cv2.INTER_AREA)
            if is_upright:
                strokes = cv2.transpose(strokes)
            for line in HINT_HEIGHTS:
                away, length = round(HINT_AWAY * line), HINT_LENGTH * line
                if strokes.shape[0] <= 2 * away:
                    continue
                inside = cv2.erode(cv2.blur(strokes, (line, line)), np.ones((1, length), np.uint8))[away:-away]
                around = cv2.blur(strokes, (length, line // 2))
                beside = cv2.max(around[: -2 * away], around[2 * away :])
                yield line, cv2.addWeighted(inside, 0.01, beside, -0.01 * HINT_QUIET, 0, dtype=cv2.CV_32F), scale, is_upright
        gray = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _windows(pixels: Pixels, min_hint: float) -> list[_Window]:
    """Likely places, each once, the likeliest first."""
    kept: list[_Window] = []
    found = [window for one in _likenesses(pixels) for window in _windows_at(*one, min_hint)]
    for window in sorted(found, key=lambda window: (-window.likeness, window.around)):
        if not any(_is_seen_in(window, other) for other in kept):
            kept.append(window)
    return kept


def _windows_at(line: int, likeness: Any, scale: float, is_upright: bool, min_hint: float) -> Iterator[_Window]:
    """Likely places of one height and direction: what is near to each other is one."""
    import cv2

    likely = (likeness >= min_hint).astype(np.uint8)
    if not likely.any():
        return
    near = np.ones((WINDOW_APART[1] * line + 1, WINDOW_APART[0] * line + 1), np.uint8)
    count, numbers = cv2.connectedComponents(cv2.dilate(likely, near))
    numbers *= likely
    away, along, across = round(HINT_AWAY * line), WINDOW_AROUND[0] * line, WINDOW_AROUND[1] * line
    for number in range(1, count):
        rows, columns = np.nonzero(numbers == number)
        left, top, right, bottom = columns.min(), rows.min() + away, columns.max() + 1, rows.max() + away + 1
        around = (left - along, top - across, right + along, bottom + across)
        yield _Window(
            float(likeness[rows, columns].max()),
            line / scale,
            is_upright,
            *(_upright(box, is_upright, scale) for box in ((left, top, right, bottom), around)),
        )


def _upright(box: Box, is_transposed: bool, scale: float) -> Box:
    left, top, right, bottom = (float(edge / scale) for edge in box)
    return (top, left, bottom, right) if is_transposed else (left, top, right, bottom)


def _is_seen_in(window: _Window, other: _Window) -> bool:
    """Whether the network sees the place in a likelier one's window, at nearly the same size of letters."""
    if not 1 / WINDOW_ALIKE < window.line_px / other.line_px < WINDOW_ALIKE:
        return False
    (left, top, right, bottom), (from_x, from_y, to_x, to_y) = window.place, other.around
    shared = max(0.0, min(right, to_x) - max(left, from_x)) * max(0.0, min(bottom, to_y) - max(top, from_y))
    return shared >= WINDOW_INSIDE * (right - left) * (bottom - top)


def _sheet(pixels: Pixels, windows: Sequence[_Window]) -> tuple[Pixels, list[tuple[int, int, int, int]]]:
    """The windows side by side in rows, level, with letters of about one size, and their corners there."""
    cuts = [_cut(pixels, window) for window in windows]
    order = sorted(range(len(cuts)), key=lambda number: (-cuts[number].shape[0], number))
    most = max(8 * SHEET_STEP_PX, *(cut.shape[1] for cut in cuts))
    x = y = row = 0
    corners = [(0, 0, 0, 0)] * len(cuts)
    for number in order:
        height, width = cuts[number].shape[:2]
        if x and x + width > most:
            x, y, row = 0, y + row + SHEET_GAP_PX, 0
        corners[number] = (x, y, x + width, y + height)
        x, row = x + width + SHEET_GAP_PX, max(row, height)
    right, bottom = np.max(corners, axis=0)[2:]
    sheet = np.full((*(-(-int(edge) // SHEET_STEP_PX) * SHEET_STEP_PX for edge in (bottom, right)), 3), 128, np.uint8)
    for cut, (left, top, to_x, to_y) in zip(cuts, corners, strict=True):
        sheet[top:to_y, left:to_x] = cut
    return sheet, corners


def _cut(pixels: Pixels, window: _Window) -> Pixels:
    import cv2

    left, top, right, bottom = (max(0, round(edge)) for edge in window.around)
    cut = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    if window.is_upright:
        cut = np.rot90(cut)
    height, width = cut.shape[:2]
    scale = min(1.0, SHEET_LINE_PX / window.line_px)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(np.ascontiguousarray(cut), size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
