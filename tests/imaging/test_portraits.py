"""What is shown of a picture: nobody can be recognised in it, and what it is of can be seen."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from dataops_assets.apart import Apart
from dataops_assets.blobs import Blobs
from dataops_assets.imaging.decode import decode, encode, shrink
from dataops_assets.imaging.personal_data.faces import faces
from dataops_assets.imaging.portraits import OUTLINE, Wanted, portrait, portraits
from dataops_assets.imaging.thumbnails import thumbnail, thumbnails
from tests.conftest import SHARED
from tests.imaging.personal_data.made import Box, scene, with_face

SIDE_PX = 1600


@pytest.fixture
def apart(tmp_path: Path) -> Apart:
    return Apart(Blobs(str(tmp_path / "store")), "dresses")


@pytest.fixture(scope="module")
def person() -> tuple[np.ndarray, Box]:
    folder = SHARED / "pii" / "faces"
    if not folder.is_dir():
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    return with_face(folder, 150, (120, 160))


def pixels_of(jpeg: bytes) -> np.ndarray:
    found = decode(jpeg).pixels
    assert found is not None
    return found


def test_where_nobody_has_looked_faces_are_covered_all_the_same(apart: Apart, person: tuple[np.ndarray, Box]) -> None:
    pixels, _ = person
    assert faces(shrink(pixels, 96)) != []  # as it is, it would be recognised
    sha256 = apart.put(encode(pixels))
    for small in (thumbnail(apart, sha256), portrait(apart, Wanted((sha256,), None), SIDE_PX)):
        assert max(pixels_of(small).shape[:2]) == 96
        assert faces(pixels_of(small)) == []


def test_what_was_found_is_covered_and_outlined_and_the_rest_is_as_it_was(apart: Apart, person: tuple[np.ndarray, Box]) -> None:
    pixels, (x, y, w, h) = person
    sha256 = apart.put(encode(pixels))
    apart.set_apart([sha256])
    drawn = pixels_of(portrait(apart, Wanted((sha256,), (("face", x, y, w, h, 0.9, False),)), SIDE_PX))
    assert max(drawn.shape[:2]) == 200
    assert faces(drawn) == []
    scale = 200 / max(pixels.shape[:2])
    edge = drawn[round(y * scale), round((x + w / 4) * scale) : round((x + w * 3 / 4) * scale)].astype(int)
    assert np.abs(edge - OUTLINE).mean() < 60
    bare = pixels_of(portrait(apart, Wanted((sha256,), ()), SIDE_PX)).astype(int)
    below = slice(round((y + 1.6 * h) * scale), None)
    assert np.abs(drawn[below].astype(int) - bare[below]).mean() < 2


def test_regions_are_pixels_of_the_cleaned_picture(apart: Apart, person: tuple[np.ndarray, Box]) -> None:
    pixels, (x, y, w, h) = person
    scale = 266 / max(pixels.shape[:2])  # cleaned at half the size
    regions = (("face", *(round(side * scale) for side in (x, y, w, h)), 0.9, True),)
    assert faces(pixels_of(portrait(apart, Wanted((apart.put(encode(pixels)),), regions), 266))) == []


def test_the_first_blob_that_is_there_is_drawn(apart: Apart) -> None:
    gone, there = apart.put(encode(scene(1))), apart.put(encode(scene(2)))
    apart.set_apart([gone])
    apart.purge(time.time() + 60)
    assert portrait(apart, Wanted((gone, there), ()), SIDE_PX) == portrait(apart, Wanted((there,), ()), SIDE_PX) != b""
    assert portrait(apart, Wanted((gone,), ()), SIDE_PX) == b""


def test_what_is_no_picture_or_too_large_or_missing_is_left_empty(apart: Apart) -> None:
    shas = [apart.put(b"no picture"), apart.put(encode(scene(1))), "0" * 64]
    made = portraits([Wanted((sha256,), ()) for sha256 in shas], apart, SIDE_PX)
    assert [bool(jpeg) for jpeg in made] == [False, True, False]
    assert list(thumbnails(shas, apart)) == [shas[1]]
    assert portrait(apart, Wanted((shas[1],), ()), SIDE_PX, max_pixels=100) == b""
