"""Reference pictures: read once, known again by their content, and refused in words when they can't be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataops_assets.imaging.decode import encode
from dataops_assets.imaging.likeness import Model, compare_with, embed, rows_of
from dataops_assets.imaging.relevance import ReferencesError
from tests.imaging.personal_data.made import scene


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The built-in model, built once."""
    return Model(str(tmp_path_factory.mktemp("models")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, seeds in (("room", (0, 1, 2)), ("hall", (3, 4, 5))):
        (tmp_path / "references" / name).mkdir(parents=True)
        for seed in seeds:
            (tmp_path / "references" / name / f"{seed}.jpg").write_bytes(encode(scene(seed, 120, 160)))
    return tmp_path / "references"


def test_an_embedding_survives_as_text(model: Model) -> None:
    one, again, other = (embed(scene(seed, 120, 160), model) for seed in (0, 0, 9))
    assert one == again != other
    rows = rows_of([one, other])
    assert rows.shape[0] == 2 and rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-2)
    assert embed(scene(0, 120, 160), model) == one


def test_large_and_small_versions_of_a_picture_are_alike(model: Model) -> None:
    rows = rows_of([embed(scene(0, *size), model) for size in ((300, 400), (600, 800))] + [embed(scene(5, 300, 400), model)])
    assert rows[0] @ rows[1] > rows[0] @ rows[2]


def test_references_are_embedded_once_and_known_by_their_content(folder: Path, model: Model) -> None:
    first = compare_with(folder, ("room",), model)
    assert list(first.references.classes) == ["hall", "room"] and len(first.references.embeddings) == 6
    kept = {path: path.stat().st_mtime_ns for path in Path(model.cache).glob("references-*.npy")}
    again = compare_with(folder, ("room",), model)
    assert again.digest == first.digest and (again.references.embeddings == first.references.embeddings).all()
    assert {path: path.stat().st_mtime_ns for path in Path(model.cache).glob("references-*.npy")} == kept

    (folder / "room" / "0.jpg").write_bytes(encode(scene(8, 120, 160)))
    other = compare_with(folder, ("room",), model)
    assert other.digest != first.digest
    (folder / "hall" / "3.jpg").rename(folder / "room" / "3.jpg")  # the same pictures, another class
    assert compare_with(folder, ("room",), model).digest not in (first.digest, other.digest)


def test_what_is_no_picture_is_passed_over_by_its_name_and_refused_by_its_content(folder: Path, model: Model) -> None:
    (folder / "room" / "notes.txt").write_text("not a picture")
    compare_with(folder, (), model)
    (folder / "room" / "broken.jpg").write_bytes(b"not a picture")
    with pytest.raises(ReferencesError, match=r"room/broken\.jpg is no picture that can be read; take it out"):
        compare_with(folder, (), model)


def test_a_folder_without_pictures_is_refused_with_what_to_do(tmp_path: Path, model: Model) -> None:
    with pytest.raises(ReferencesError, match=r"holds no reference pictures: put some into a folder a class, <class>/\*\.jpg"):
        compare_with(tmp_path / "nowhere", (), model)


def test_a_wanted_class_that_is_not_there_is_refused(folder: Path, model: Model) -> None:
    with pytest.raises(ReferencesError, match="dress"):
        compare_with(folder, ("dress",), model)
