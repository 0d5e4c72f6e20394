"""Faces: real ones are found in photos of every size and place, garments and drawn things have none."""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataops_assets.imaging.decode import decode, encode, shrink
from dataops_assets.imaging.personal_data.faces import faces
from dataops_assets.imaging.personal_data.redact import redact
from tests.conftest import SHARED
from tests.imaging.personal_data.made import is_hit, people, scene, with_face


def test_every_labelled_face_is_found(faces_folder: Path) -> None:
    for pixels, boxes in people(faces_folder):
        found = faces(pixels)
        assert [box for box in boxes if not is_hit(found, box)] == []
        assert found == faces(pixels)  # the same input, the same answer
        for face in found:
            assert face.kind == "face" and 0 < face.score <= 1
            assert 0 <= face.x < face.x + face.w <= pixels.shape[1] and 0 <= face.y < face.y + face.h <= pixels.shape[0]


@pytest.mark.parametrize("face_px", [32, 64, 128])
@pytest.mark.parametrize("at", [(60, 60), (130, 250)])
def test_a_face_of_any_size_set_into_a_room_is_found_where_it_is(faces_folder: Path, face_px: int, at: tuple[int, int]) -> None:
    pixels, box = with_face(faces_folder, face_px, at)
    (found,) = faces(pixels)
    assert is_hit([found], box)
    assert 0.5 < found.w / box[2] < 2


def test_it_is_found_in_large_pictures_mirrored_and_in_grey(faces_folder: Path) -> None:
    pixels, box = with_face(faces_folder, 64, (130, 250))
    large = np.asarray(cv2.resize(pixels, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))
    assert is_hit(faces(large), (4 * box[0], 4 * box[1], 4 * box[2], 4 * box[3]))
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    assert is_hit(faces(mirrored), (pixels.shape[1] - box[0] - box[2], *box[1:]))
    grey = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    assert is_hit(faces(grey), box)


@pytest.mark.parametrize("how", ["blur", "box"])
def test_no_face_is_found_once_all_are_covered(faces_folder: Path, how: str) -> None:
    for pixels, _ in people(faces_folder):
        covered = decode(encode(redact(pixels, faces(pixels), how))).pixels
        assert covered is not None and faces(covered) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (31, 33), (400, 533)])
def test_pictures_of_any_shape_without_people_have_none(size: tuple[int, int]) -> None:
    assert faces(np.ascontiguousarray(scene(1, 400, 533)[: size[1], : size[0]])) == []
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert faces(noise) == []


def test_hardly_any_garment_has_a_face() -> None:
    files = sorted((SHARED / "clothing").glob("*/*.jpg"))
    if not files:
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    random.Random(1).shuffle(files)
    wrong = [path.name for path in files[:60] if faces(shrink(np.asarray(decode(path.read_bytes()).pixels), 400))]
    assert len(wrong) <= 2
