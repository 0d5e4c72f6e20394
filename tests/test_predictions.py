"""What comes back from the model is read inside its own folder, and never more of it than can be held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataops_assets import waiting
from dataops_assets.flow import delivery
from dataops_assets.manifest import Manifest
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.stages.test_model_feedback import export

GIVEN = "image_id,attribute,predicted\na,category,hat\n"


@pytest.fixture
def folder(store: Store) -> Path:
    folder = store.home.predictions("garments") / "r1"
    folder.mkdir(parents=True)
    (folder / "model.csv").write_text(GIVEN)
    return folder


def feedback(store: Store, spec: ProjectSpec) -> Manifest:
    return delivery.model_feedback(store, spec, Manifest("training_export", spec.name, "r1", export(a="hat"), {}))


@pytest.mark.parametrize("replaced", ["model.csv", ""])
def test_what_is_swapped_for_a_link_after_it_was_listed_is_not_followed(
    store: Store, garments: ProjectSpec, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: str
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "model.csv").write_text(GIVEN.replace("hat", "secret"))
    real = delivery.plain_files

    def listed(place: Path, **how: Any) -> list[Path]:
        files = real(place, **how)
        if not (folder / replaced).is_symlink():
            (folder / replaced).rename(tmp_path / "aside")
            (folder / replaced).symlink_to(secret / replaced)
        return files

    monkeypatch.setattr(delivery, "plain_files", listed)
    with pytest.raises(OSError):
        feedback(store, garments)
    assert not list(Path(store.home.root).rglob("blobs/*/*/*"))
    assert store.pins("predictions", "garments") == {}


def test_a_folder_that_is_a_link_is_said(store: Store, garments: ProjectSpec, folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    found = waiting.predictions(store, garments, {}, 0, is_settled=True)
    assert (found.ready, found.held) == ([], {"r1": "is a link, and links are not followed: make it a folder"})


def test_one_that_is_too_large_is_a_row_and_is_never_held_in_memory(
    store: Store, garments: ProjectSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(folder / "enormous.csv", "wb") as file:
        file.truncate(8 << 30)  # sparse
    monkeypatch.setattr(delivery, "MOST_BYTES", 1 << 20)
    for name in ("n.csv", "o.csv"):
        (folder / name).write_bytes(GIVEN.encode() + b"\n" * (600 << 10))  # each of them alone would do
    made = feedback(store, garments)
    held = {name for name, sha256 in made.inputs["predictions"].items() if sha256 == "TOO_LARGE"}
    assert held == {"enormous.csv", "o.csv"}
    assert list(made.frame["status"]).count("accepted") == 2
    assert list(made.frame["reason"].dropna()) == ["TOO_LARGE"] * 2
