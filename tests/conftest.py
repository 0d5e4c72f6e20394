"""Fixtures for all tests: a home of one's own, and small project specs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dataops_assets.home import ENV_HOME, Home
from dataops_assets.projects import load_project
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

os.environ["GX_ANALYTICS_ENABLED"] = "false"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

REPO = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("DATAOPS_SHARED", REPO.parent / "shared")) / "data"


# files that take longest, longest first: one that is begun last keeps everybody waiting for it
LONG_FILES = ("test_faults.py", "test_programme.py", "test_hostile_drop.py", "test_large.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture
def shared() -> Path:
    """The folder of real test data; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    return SHARED


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Home.at(tmp_path / "home"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A prepared home of one's own, Dagster's instance included."""
    from dataops_assets import runs

    place = Home.at(tmp_path / "home")
    monkeypatch.setenv(ENV_HOME, str(place.root))
    monkeypatch.setenv("DAGSTER_HOME", str(place.dagster))
    runs.prepare(place)
    return place


@pytest.fixture
def dresses() -> ProjectSpec:
    return load_project(REPO / "dataops_assets/defs/dresses/defs.yaml")


@pytest.fixture
def garments() -> ProjectSpec:
    return load_project(REPO / "dataops_assets/defs/garments/defs.yaml")


def changed(spec: ProjectSpec, **sections: Any) -> ProjectSpec:
    """A spec with other values in some sections: `changed(spec, gates={"min_keep_share": 0.9})`."""
    document = spec.model_dump(mode="json")
    for name, values in sections.items():
        document[name] = {**document[name], **values} if isinstance(values, dict) else values
    return ProjectSpec.model_validate(document)


@pytest.fixture(scope="session")
def faces_folder() -> Path:
    """The folder of labelled photos with people in them."""
    folder = SHARED / "pii" / "faces"
    if not folder.is_dir():
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    return folder
