"""What lies apart: seen by few, deleted in time."""

import os
import time
from pathlib import Path

import pytest

from dataops_assets.apart import Apart, BlobPurged
from dataops_assets.blobs import BlobMissing, Blobs


def stores(tmp_path: Path, where: str) -> tuple[Blobs, Apart]:
    blobs = Blobs(str(tmp_path / "store") if where == "local" else f"memory://{tmp_path.name}")
    return blobs, Apart(blobs, "dresses")


@pytest.mark.parametrize("where", ["local", "memory"])
def test_set_apart_nobody_else_sees_it(tmp_path: Path, where: str) -> None:
    blobs, apart = stores(tmp_path, where)
    face, dress = blobs.put(b"face"), blobs.put(b"dress")
    assert apart.set_apart([face, face]) == 1
    assert apart.set_apart([face]) == 0
    with pytest.raises(BlobMissing):
        blobs.read(face)
    assert not blobs.has(face) and apart.has(face)
    assert (apart.read(face), apart.read(dress), blobs.read(dress)) == (b"face", b"dress", b"dress")


def test_a_picture_delivered_again_does_not_come_back_into_sight(tmp_path: Path) -> None:
    blobs, apart = stores(tmp_path, "local")
    face = apart.put(b"face")
    apart.set_apart([face])
    assert apart.put(b"face") == face
    with apart.batch() as batch:
        assert batch.put_stream([b"face"]) == (face, 4)
    assert not blobs.has(face)


def test_another_project_reads_what_was_set_apart_under_its_feet(tmp_path: Path) -> None:
    blobs, apart = stores(tmp_path, "local")
    face = blobs.put(b"face")
    apart.set_apart([face])
    assert Apart(blobs, "garments").read(face) == b"face"
    assert Apart(blobs, "garments").purge(time.time() + 60) == []


def test_only_what_has_lain_long_enough_is_deleted(tmp_path: Path) -> None:
    blobs, apart = stores(tmp_path, "local")
    old, new = blobs.put(b"old"), blobs.put(b"new")
    os.utime(blobs.path(new), (0, 0))  # the age of the file doesn't count, the day it was set apart does
    apart.set_apart([old, new])
    os.utime(apart.apart(old), (0, 1_000_000))
    assert apart.purge(2_000_000) == [old]
    assert apart.purge(2_000_000) == []
    assert apart.read(new) == b"new"
    with pytest.raises(BlobPurged, match="retention period"):
        apart.read(old)
    assert apart.put(b"old") == old  # delivered anew, it is there again
    assert apart.read(old) == b"old"


@pytest.mark.parametrize("where", ["local", "memory"])
def test_what_is_kept_apart_is_read_by_nobody_else_and_counts_as_purged_only_while_it_is_gone(tmp_path: Path, where: str) -> None:
    blobs, apart = stores(tmp_path, where)
    doubtful = apart.put_apart(b"doubtful")
    assert apart.put_apart(b"doubtful") == doubtful
    assert apart.read(doubtful) == b"doubtful" and not blobs.has(doubtful)
    if where == "local":
        assert os.stat(apart.apart(doubtful)).st_mode & 0o777 == 0o400
    assert apart.purged() == set()
    assert apart.purge(time.time() + 60) == [doubtful]
    assert apart.purged() == {doubtful}
    assert apart.put_apart(b"doubtful") == doubtful  # found once more
    assert apart.purged() == set()
    assert apart.purge(time.time() + 60) == [doubtful] and apart.purged() == {doubtful}


def test_what_one_project_purged_another_hears_of(tmp_path: Path) -> None:
    blobs, apart = stores(tmp_path, "local")
    face = blobs.put(b"face")
    apart.set_apart([face])
    apart.purge(time.time() + 60)
    other = Apart(blobs, "garments")
    assert other.purged() == {face}
    with pytest.raises(BlobPurged):
        other.read(face)
    with pytest.raises(BlobMissing) as caught:
        other.read("0" * 64)
    assert not isinstance(caught.value, BlobPurged)
