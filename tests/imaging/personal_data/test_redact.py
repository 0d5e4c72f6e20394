"""Redaction: what is covered can't be brought back, what lies beside it stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets.imaging.decode import decode, encode
from dataops_assets.imaging.personal_data.redact import BOX_COLOUR, CELLS, MARGIN, redact
from dataops_assets.imaging.personal_data.regions import Region
from dataops_assets.imaging.personal_data.text import read_text
from tests.imaging.personal_data.made import written

HEIGHT, WIDTH = 120, 160


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def region(x: int, y: int, w: int, h: int) -> Region:
    return Region("face", x, y, w, h, 1.0)


PLACES = st.builds(region, st.integers(-40, WIDTH + 20), st.integers(-40, HEIGHT + 20), st.integers(1, 90), st.integers(1, 90))


def around(one: Region) -> tuple[slice, slice]:
    """Rows and columns that may change: the region and its margin."""
    margin = max(2, round(MARGIN * min(one.w, one.h)))
    return (
        slice(max(0, one.y - margin), max(0, one.y + one.h + margin)),
        slice(max(0, one.x - margin), max(0, one.x + one.w + margin)),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(PLACES, max_size=3), st.sampled_from(["blur", "box"]))
def test_nothing_outside_changes_and_the_picture_given_stays(regions: list[Region], how: str) -> None:
    given_, before = noise(0), noise(0)
    out = redact(given_, regions, how)
    assert (given_ == before).all()
    assert out.shape == before.shape and out.dtype == np.uint8
    outside = np.ones((HEIGHT, WIDTH), dtype=bool)
    for one in regions:
        outside[around(one)] = False
    assert (out[outside] == before[outside]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(8, 90), st.integers(8, 50))
def test_a_blur_keeps_a_few_mean_colours_and_nothing_else(x: int, y: int, w: int, h: int) -> None:
    """Two pictures whose coarse means agree are the same once covered, whatever their details are."""
    rows, columns = around(region(x, y, w, h))
    height, width = noise(0)[rows, columns].shape[:2]
    assert max(height, width) / CELLS > 1
    flat, busy = np.full((HEIGHT, WIDTH, 3), 128, np.uint8), np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    detail = np.where(np.indices((height, width)).sum(0) % 2, 30, -30)[..., None]
    busy[rows, columns] = 128 + detail
    covered = redact(busy, [region(x, y, w, h)], "blur")[rows, columns].astype(int)
    assert (
        np.abs(covered - redact(flat, [region(x, y, w, h)], "blur")[rows, columns]).max() <= 16
    )  # half a checker's field in a cell's edge
    assert np.abs(np.diff(covered, axis=1)).max(initial=0) < 20  # no edge is left


def test_a_box_leaves_nothing() -> None:
    out = redact(noise(1), [region(30, 20, 40, 30)], "box")
    assert (out[20:50, 30:70] == BOX_COLOUR).all()


@pytest.mark.parametrize("how", ["blur", "box"])
def test_covering_twice_or_in_overlap_is_covering(how: str) -> None:
    one, two = region(30, 20, 40, 30), region(50, 30, 40, 30)
    first = redact(noise(1), [one, two], how)
    assert (first == redact(noise(1), [one, two], how)).all()
    assert first[20:60, 30:90].std() < noise(1)[20:60, 30:90].std() / 2


@pytest.mark.parametrize("how", ["blur", "box"])
def test_a_covered_line_can_not_be_read_any_more(how: str) -> None:
    pixels, (x, y, w, h) = written("anna.nowak@example.org", letter_px=18)
    assert any("example" in line.text for line in read_text(pixels))
    covered = redact(pixels, [Region("e_mail", x, y, w, h, 1.0)], how)
    stored = decode(encode(covered)).pixels
    assert stored is not None and read_text(stored) == []
    sharpened = np.clip(stored.astype(int) * 4 - 384, 0, 255).astype(np.uint8)
    assert read_text(sharpened) == []


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="blur or box, not 'pixels'"):
        redact(noise(0), [], "pixels")  # type: ignore[arg-type]
