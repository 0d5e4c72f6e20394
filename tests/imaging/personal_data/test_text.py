"""Text: a cheap test that lets hardly any line pass unread, and reading it where it stands."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dataops_assets.imaging.decode import decode, encode
from dataops_assets.imaging.personal_data import text
from dataops_assets.imaging.personal_data.text import read_text
from dataops_assets.imaging.personal_data.text_hint import TEXT_HINT, has_text_hint, text_part
from tests.imaging.personal_data.made import scene, written

WORDS = "anna.nowak@example.org"


@pytest.fixture(scope="module")
def page() -> tuple[np.ndarray, tuple[int, int, int, int]]:
    return written(WORDS, letter_px=12)


def squeezed(read: list[text.Line]) -> str:
    return "".join(line.text for line in read).replace(" ", "")


def test_a_line_is_read_where_it_stands(page: tuple[np.ndarray, tuple[int, int, int, int]]) -> None:
    pixels, (x, y, w, h) = page
    (line,) = read_text(pixels)
    assert line.text.replace(" ", "") == WORDS and line.score > 0.8
    assert abs(line.x + line.w / 2 - x - w / 2) < 12 and abs(line.y + line.h / 2 - y - h / 2) < 6
    assert w - 30 < line.w < w + 10 and h / 3 < line.h < h + 10


def test_reading_the_likely_part_finds_the_same(page: tuple[np.ndarray, tuple[int, int, int, int]]) -> None:
    pixels, (x, y, w, h) = page
    part = text_part(pixels)
    assert part is not None
    left, top, right, bottom = part
    assert left <= x + 12 and top <= y + 12 and right >= x + w - 12 and bottom >= y + h - 12
    assert (right - left) * (bottom - top) < pixels.shape[0] * pixels.shape[1]
    assert squeezed(read_text(pixels, part)) == WORDS


def test_a_part_that_cuts_a_line_is_not_trusted(page: tuple[np.ndarray, tuple[int, int, int, int]]) -> None:
    pixels, (x, _, w, _) = page
    assert squeezed(read_text(pixels, (0, 0, x + w // 2, pixels.shape[0]))) == WORDS


@pytest.mark.parametrize("turn", [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180])
def test_upright_lines_and_those_on_their_head_are_read(turn: int, page: tuple[np.ndarray, tuple[int, int, int, int]]) -> None:
    turned = np.asarray(cv2.rotate(page[0], turn))
    part = text_part(turned)
    assert part is not None
    assert "example" in squeezed(read_text(turned, part))


@pytest.mark.parametrize("letter_px", [8, 12, 20, 32, 56])
@pytest.mark.parametrize("scale", [1, 3])
def test_the_cheap_test_sees_letters_of_all_sizes_in_pictures_of_all_sizes(letter_px: int, scale: int) -> None:
    words = "+49 151 2345" if letter_px > 20 else "Tel. +49 151 23456789"
    pixels, _ = written(words, letter_px=letter_px, at=(20, 80), size=(640, 800))
    if scale > 1:
        pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
    assert has_text_hint(np.asarray(decode(encode(pixels)).pixels)) >= TEXT_HINT


def test_where_nothing_is_written_nothing_is_read() -> None:
    plain = np.full((300, 200, 3), 180, np.uint8)
    assert has_text_hint(plain) == 0 and text_part(plain) is None
    assert read_text(scene(2)) == []


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (8, 900), (900, 8), (20, 20)])
def test_pictures_of_any_shape_can_be_looked_at(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert 0 <= has_text_hint(pixels) <= 1
    part = text_part(pixels)
    assert part is None or (0 <= part[0] < part[2] <= size[0] and 0 <= part[1] < part[3] <= size[1])
    read_text(pixels)


def fringed(pixels: np.ndarray, x: int, y: int) -> np.ndarray:
    """With a fringe on a plain cloth: strokes between quiet bands, as a line of text has."""
    hung = pixels.copy()
    hung[y - 50 : y + 100, x : x + 260] = 180
    for at in range(x, x + 260, 4):
        hung[y : y + 16, at : at + 2] = 150
    return hung


def test_a_likely_place_without_letters_is_not_read() -> None:
    pixels = fringed(scene(2), 40, 200)
    assert has_text_hint(pixels) >= TEXT_HINT
    assert text_part(pixels) is None


def test_small_letters_in_a_large_picture_are_sent_on_and_read() -> None:
    pixels, _ = written(WORDS, letter_px=14, at=(900, 700), size=(1600, 1200))
    part = text_part(pixels)
    assert part is not None
    assert (part[2] - part[0]) * (part[3] - part[1]) < pixels[..., 0].size / 4
    assert squeezed(read_text(pixels, part)) == WORDS


def test_a_part_that_ends_between_two_words_grows() -> None:
    pixels, (x, y, _, h) = written("+49 151    23456789", letter_px=12)
    cut = x + 90  # between the words, touching none
    assert "23456789" in squeezed(read_text(pixels, (max(0, x - 20), max(0, y - 10), cut, y + h + 10)))
