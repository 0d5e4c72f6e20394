import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataops_assets.projects import load_project
from dataops_assets.simulate import vendors

SPEC = load_project(Path(__file__).parents[2] / "dataops_assets/defs/dresses/defs.yaml")


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("landing") / "d1"
    return folder, vendors.deliver(SPEC, folder, "atelier", 40, 1)


def test_the_manifest_lists_every_file_truly(drop: tuple[Path, pd.DataFrame]) -> None:
    folder, _ = drop
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["schema_version"], manifest["vendor"], manifest["drop_id"]) == (1, "atelier", "d1")
    assert {path.name for path in folder.iterdir()} == {entry["path"] for entry in manifest["files"]} | {"manifest.json", "_COMPLETE"}
    for entry in manifest["files"]:
        data = (folder / entry["path"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_truth_is_complete_and_stays_out_of_the_delivery(drop: tuple[Path, pd.DataFrame]) -> None:
    folder, truth = drop
    assert len(truth) == 40
    assert truth["spoil"].value_counts().to_dict() == {
        "blurred": 2, "dark": 2, "near_duplicate": 2, "truncated": 1, "exact_duplicate": 1, "wrong_license": 1,
    }  # fmt: skip
    for attribute in SPEC.ontology.attributes:
        assert set(truth[attribute.name]) <= set(attribute.values)
    for row in truth.to_dict("records"):
        assert hashlib.sha256((folder / row["path"]).read_bytes()).hexdigest() == row["image_id"]
        for attribute in SPEC.ontology.attributes:
            assert row[attribute.name] not in row["path"]


def test_spoilt_pictures_are_what_they_are_called(drop: tuple[Path, pd.DataFrame]) -> None:
    folder, truth = drop
    by_path = truth.set_index("path")
    for path, row in by_path.iterrows():
        data = (folder / str(path)).read_bytes()
        if row["spoil"] == "truncated":
            with pytest.raises(OSError, match="truncated"):
                Image.open(io.BytesIO(data)).load()
        elif row["spoil"] == "dark":
            assert np.asarray(Image.open(io.BytesIO(data)).convert("L")).mean() < 25
        elif row["spoil"] == "exact_duplicate":
            assert row["image_id"] == by_path.at[row["copy_of"], "image_id"]
        elif row["spoil"] == "near_duplicate":
            assert row["image_id"] != by_path.at[row["copy_of"], "image_id"]
            assert row["colour"] == by_path.at[row["copy_of"], "colour"]
        elif row["spoil"] == "wrong_license":
            assert row["license"] not in SPEC.sources.licenses


def test_an_archive_holds_the_same_and_bytes_repeat(tmp_path: Path) -> None:
    truth = vendors.deliver(SPEC, tmp_path / "folder" / "d1", "atelier", 12, 1)
    again = vendors.deliver(SPEC, tmp_path / "zip" / "d1.zip", "atelier", 12, 1)
    assert again.equals(truth)
    with zipfile.ZipFile(tmp_path / "zip" / "d1.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.name: path.read_bytes() for path in (tmp_path / "folder" / "d1").iterdir() if path.name != "_COMPLETE"
        }
    assert [path.name for path in (tmp_path / "zip").iterdir()] == ["d1.zip"]


def test_a_bad_drop_is_mostly_unusable(tmp_path: Path) -> None:
    truth = vendors.bad_drop(SPEC, tmp_path / "bad", "bazaar", 20, 4)
    assert truth["spoil"].isin(["blurred", "dark"]).mean() > 0.5


def test_mistakes_of_the_caller_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no image vendor 'nobody'; it has atelier, bazaar"):
        vendors.deliver(SPEC, tmp_path / "d", "nobody", 3, 1)
    (tmp_path / "d").mkdir()
    with pytest.raises(FileExistsError):
        vendors.deliver(SPEC, tmp_path / "d", "atelier", 3, 1)
