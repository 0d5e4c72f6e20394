"""Room on the disks: asked of every file system that a delivery is written to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from dataops_assets.home import Home
from dataops_assets.room import SPARE_BYTES, Disk, Room
from dataops_assets.store import Store


class Usage(NamedTuple):
    free: int


def test_a_delivery_needs_room_where_it_is_kept_and_where_it_is_copied_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks = {tmp_path: Disk(tmp_path, SPARE_BYTES + 300, 1), tmp_path / "disk": Disk(tmp_path / "disk", SPARE_BYTES + 1000, 2)}
    monkeypatch.setattr(Disk, "of", lambda place: disks[place])
    room = Room(Store(Home(tmp_path, str(tmp_path / "disk"))))
    assert room.lack(500) == ""
    assert room.lack(501) == f"NO_SPACE: 256 MiB must be free at {tmp_path}/disk; it goes on by itself when they are"
    assert room.lack(300, at_home=300) == ""
    assert room.lack(301, at_home=301) == f"NO_SPACE: 256 MiB must be free at {tmp_path}; it goes on by itself when they are"
    room.take(200)
    assert room.lack(300) == ""
    assert "disk;" in room.lack(301)


def test_on_one_disk_both_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES + 1000))
    room = Room(Store(Home.at(tmp_path / "not" / "made" / "yet")))
    assert room.lack(333, at_home=333) == ""
    assert room.lack(334, at_home=334).startswith("NO_SPACE: 256 MiB must be free at ")


def test_an_object_store_has_no_end_but_the_home_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES - 1))
    store = Store(Home(tmp_path, "memory://bucket"))
    assert str(tmp_path) in Room(store).lack(0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES))
    assert Room(store).lack(10**15) == ""
