"""What a person's commands do beside running assets: see for room, and say why nothing was taken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from dataops_assets import drops, waiting
from dataops_assets.intake import identity, landing
from dataops_assets.operations import Operations, Refused
from dataops_assets.room import SPARE_BYTES
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store


class Usage(NamedTuple):
    free: int


@pytest.fixture
def work(store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch) -> Operations:
    """Operations that run nothing: here it is about what comes before."""
    monkeypatch.setattr(Operations, "_setup", lambda *_: None)
    return Operations(store, [dresses], None)


def lot(folder: Path, size: int = 100) -> Path:
    (folder / "lot").mkdir()
    (folder / "lot" / "a.jpg").write_bytes(b"a" * size)
    return folder / "lot"


def test_what_has_no_room_is_not_copied(work: Operations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"bytes": SPARE_BYTES + 299}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free["bytes"]))
    with pytest.raises(Refused, match=r"lot can't be taken in: NO_SPACE: 256 MiB must be free at"):
        work.ingest("dresses", "atelier", lot(tmp_path))
    assert not (work.store.home.root / "landing").exists()


def test_a_drop_without_room_is_said_and_the_next_is_tried(
    work: Operations, dresses: ProjectSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(Operations, "_run", lambda self, spec, job, item: ran.append(item.name) or waiting)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES + 199))
    landing.place(lot(tmp_path), work.store.home.root / "landing", "dresses", "atelier")
    done = work.run("dresses")
    assert (done.is_success, ran) == (False, [])
    assert "NO_SPACE: 256 MiB must be free" in done.lines()[1]


def test_ingest_says_why_nothing_was_taken(work: Operations, dresses: ProjectSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = lot(tmp_path)
    landing.place(source, work.store.home.root / "landing", "dresses", "atelier")
    item = waiting.drops(work.store, dresses, {}, 0).ready[0]
    drops.park(work.store, dresses, [{**item.facts, "reason": "5 runs failed: no room"}])
    done = work.ingest("dresses", "atelier", source)
    assert not done.is_success
    assert done.steps[0]["error"].startswith("parked, it isn't tried any more: 5 runs failed: no room; mend what is wrong, then: dataops")
    monkeypatch.setattr(identity, "drop_id_of", lambda vendor, name: item.partition)
    other = source.rename(source.with_name("other"))
    assert "rename it" in work.ingest("dresses", "atelier", other).steps[0]["error"]


@pytest.mark.parametrize("name", [".hidden", "lot.part", "_COMPLETE"])
def test_what_landing_would_pass_over_is_not_taken_for_done(work: Operations, tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="left alone in landing; rename it"):
        work.ingest("dresses", "atelier", lot(tmp_path).rename(tmp_path / name))


def test_the_folder_above_has_a_name_too(work: Operations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = lot(tmp_path)
    (source / "inside").mkdir()
    monkeypatch.chdir(source / "inside")
    assert (
        landing.place(Path(".."), tmp_path / "landing", "dresses", "atelier").path == tmp_path / "landing" / "dresses" / "atelier" / "lot"
    )
