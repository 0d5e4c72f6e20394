"""What was withdrawn or deleted is on no page any more, and the pages say what they said."""

from __future__ import annotations

import base64
import os
import re
import shutil
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.home import Home
from dataops_assets.imaging.decode import decode
from dataops_assets.manifest import Manifest
from dataops_assets.operations import Operations
from dataops_assets.projects import load_project
from dataops_assets.reports import pages, screening, shown
from dataops_assets.reports.panels import Table
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.conftest import REPO, changed
from tests.reports.test_delivery import Desk, photo, terms

PICTURED = ("raw_images", "cleaned_set", "augmented_set", "label_tasks", "label_quality", "approved_labels", "training_export")
RED, GREEN = 0, 1
DAY = 86_400


def tinted(seed: int, channel: int, side: int = 128) -> bytes:
    """Like `photo`, all in red or green: it is told from the others on any contact sheet."""
    pixels = np.asarray(Image.open(BytesIO(photo(seed, side)))) // 8
    pixels[..., channel] = 120 + 4 * pixels[..., channel]
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def is_green(pixels: np.ndarray) -> bool:
    red, tint, blue = (pixels[..., channel].astype(int) for channel in range(3))
    return bool(((tint > red + 60) & (tint > blue + 60)).mean() > 0.03)


class Shop:
    """Two drops with a green picture and others, labelled and exported, each artifact with its page."""

    def __init__(self, store: Store, spec: ProjectSpec) -> None:
        self.desk, self.store, self.spec = Desk(store, spec), store, spec
        self.first = self.drop("d1", {"green.png": tinted(1, GREEN), "a.png": tinted(2, RED)})
        self.second = self.drop("d2", {"copy.png": tinted(1, GREEN, 96), "b.png": tinted(3, RED)})
        kept = self.store.load("cleaned_set", spec.name, self.first).frame
        self.rows = kept.set_index("path")
        for asset in PICTURED[3:]:
            partition = "r001" if asset == "training_export" else "production-001"
            self.put(Manifest(asset, spec.name, partition, self.labelled(asset, kept)))
        self.work = Operations(store, [spec], None)

    def put(self, made: Manifest) -> None:
        self.desk.release(made)
        pages.write(self.store, self.spec, made, {"what the gate says": "Released."}, Table([{"expectation": "seen by the gate"}]))

    def drop(self, name: str, files: dict[str, bytes]) -> str:
        drop_id = self.desk.take(self.desk.put(files, name=name))
        self.desk.use(drop_id)
        for asset in PICTURED[:3]:
            self.put(self.store.load(asset, self.spec.name, drop_id))
        screening.write(self.store, self.spec, self.store.load("cleaned_set", self.spec.name, drop_id))
        return drop_id

    def labelled(self, asset: str, kept: pd.DataFrame) -> pd.DataFrame:
        common = {
            "batch_id": "production-001",
            "release": "r001",
            "kind": "source",
            "vendor": "studio",
            "attribute": "category",
            "label": "x",
        }
        more = {
            "attributes": "category",
            "decision": "rework",
            "object_id": "-",
            "file": "a.jpg",
            "split": "train",
            "labels": "{}",
            "overlap": 1,
            "round": 0,
            "is_gold": False,
        }
        frame = kept[["image_id", "drop_id"]].assign(
            source_image_id=kept["image_id"], sha256=kept["clean_sha256"], task_id=kept["image_id"].str[:8], **common, **more
        )
        contract = CONTRACTS[asset]
        return manifest.conform(frame.reindex(columns=list(contract.columns)), contract)

    @property
    def reports(self) -> Path:
        return self.store.home.reports(self.spec.name)

    def pages(self) -> dict[str, str]:
        return {str(path.relative_to(self.reports)): path.read_text() for path in sorted(self.reports.rglob("*.html"))}

    def green(self) -> set[str]:
        """Folders and names of the pages that show the green picture."""
        return {name for name, text in self.pages().items() if any(map(is_green, embedded(text)))}


def embedded(text: str) -> list[np.ndarray]:
    found = [decode(base64.b64decode(data)).pixels for data in re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text)]
    return [pixels for pixels in found if pixels is not None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    spec = terms(load_project(REPO / "dataops_assets/defs/garments/defs.yaml"))
    recipe = {"name": "flip", "transforms": [{"HorizontalFlip": {"p": 1.0}}]}
    sections: dict[str, Any] = {"cleaning": {"reject": [], "review": []}, "augmentation": {"recipes": [recipe]}}
    return Shop(Store(Home.at(tmp_path_factory.mktemp("built") / "home")), changed(spec, **sections))


@pytest.fixture
def shop(built: Shop, tmp_path: Path) -> Shop:
    """One to spoil."""
    shutil.copytree(built.store.home.root, tmp_path / "home")
    mine = copy(built)
    mine.store = Store(Home.at(tmp_path / "home"))
    mine.desk, mine.work = Desk(mine.store, mine.spec), Operations(mine.store, [mine.spec], None)
    return mine


def test_a_withdrawn_picture_is_on_no_page_and_the_pages_stay(shop: Shop) -> None:
    before = shop.pages()
    assert {name.split("/")[0] for name in shop.green()} == {*PICTURED, "screening", "deliveries"}
    assert "kept in an earlier drop" in before[f"screening/{shop.second}.html"]  # it is what a copy there is a copy of
    told = shop.work.withdraw("garments", None, shop.rows.loc["green.png", "image_id"], "consent revoked", "ann").notes
    assert not any("still show" in note for note in told)
    assert {name for name in shop.green() if shop.second not in name} == set()
    after = shop.pages()
    assert after[f"screening/{shop.second}.html"].count("no picture") == 1 + before[f"screening/{shop.second}.html"].count("no picture")
    assert after.keys() == before.keys()
    for asset in PICTURED:
        page = next(text for name, text in after.items() if name.startswith(asset) and shop.second not in name)
        assert "seen by the gate" in page and "Released." in page
        assert embedded(page), asset  # the others are still there


def test_so_it_is_with_a_drop(shop: Shop) -> None:
    shop.work.withdraw("garments", shop.first, None, "mistake", "ann")
    assert {name for name in shop.green() if shop.second not in name} == set()
    assert embedded(shop.pages()["label_tasks/production-001.html"]) == []
    assert embedded(shop.pages()[f"augmented_set/{shop.second}.html"]) != []
    assert "Taken out" in shop.pages()["label_tasks/production-001.html"]


def test_what_was_deleted_goes_too(shop: Shop) -> None:
    gone = list(shop.rows.loc["green.png", ["image_id", "clean_sha256"]])
    apart = shop.store.apart("garments")
    apart.set_apart(gone)
    for sha256 in gone:
        os.utime(apart.apart(sha256), (DAY, DAY))
    notes = shop.work.purge("garments").notes
    assert notes[0].startswith("garments: 2 pictures that lay apart") and not any("still show" in note for note in notes)
    assert {name for name in shop.green() if not name.startswith("augmented_set") and shop.second not in name} == set()


def test_a_page_that_cannot_be_drawn_loses_its_pictures(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "parts", lambda *given: 1 / 0)
    shop.work.withdraw("garments", None, shop.rows.loc["green.png", "image_id"], "consent revoked", "ann")
    page = shop.pages()["label_tasks/production-001.html"]
    assert embedded(page) == [] and "Taken out: pictures in it were withdrawn or deleted." in page and "Released." in page
    assert {name for name in shop.green() if shop.second not in name} == set()
