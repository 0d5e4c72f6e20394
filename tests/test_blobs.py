"""What is on its way into the store: bounded memory elsewhere, and temporary files of which the owner is known."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from dataops_assets import atomic
from dataops_assets.blobs import SPOOL_BYTES, Blobs

PIECE = b"0123456789abcdef" * (1 << 16)  # 1 MiB


@pytest.fixture
def elsewhere(tmp_path: Path) -> Blobs:
    """A store that isn't local, as far as anybody can tell."""
    blobs = Blobs("memory://store")
    blobs.fs, blobs.root = DirFileSystem(path=str(tmp_path / "elsewhere"), fs=LocalFileSystem(auto_mkdir=True)), "store"
    return blobs


@pytest.mark.parametrize("pieces", [0, 1, 64])
@pytest.mark.parametrize("is_batched", [False, True])
def test_a_member_passes_to_another_store_in_bounded_memory(elsewhere: Blobs, pieces: int, is_batched: bool) -> None:
    assert not elsewhere.is_local
    tracemalloc.start()
    try:
        if is_batched:
            with elsewhere.batch() as batch:
                sha256, size = batch.put_stream(PIECE for _ in range(pieces))
        else:
            sha256, size = elsewhere.put_stream(PIECE for _ in range(pieces))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (sha256, size) == (hashlib.sha256(PIECE * pieces).hexdigest(), len(PIECE) * pieces)
    assert elsewhere.read(sha256) == PIECE * pieces
    assert peak < 3 * SPOOL_BYTES


def test_a_member_that_breaks_off_leaves_nothing_elsewhere(elsewhere: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def broken() -> Iterator[bytes]:
        yield from [PIECE] * 20
        assert list((tmp_path / "temporary").iterdir())
        raise OSError("cut off")

    with pytest.raises(OSError, match="cut off"):
        elsewhere.put_stream(broken())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class TestSweep:
    def left_by(self, folder: Path, owner: str, days: float = 0.0) -> Path:
        folder.mkdir(exist_ok=True)
        path = folder / f"{owner}.0"
        path.write_bytes(b"half")
        os.utime(path, (1, time.time() - days * 86400))
        return path

    def test_a_process_of_this_kernel_is_known_to_be_gone_or_at_work(self, tmp_path: Path) -> None:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            theirs = self.left_by(tmp_path / "tmp", atomic.owner(child.pid), days=30)
            mine = self.left_by(tmp_path / "tmp", atomic.owner(os.getpid()), days=30)
            earlier = self.left_by(tmp_path / "tmp", atomic.owner(os.getpid()) + "0")  # one that had my number before me
            assert atomic.sweep(tmp_path / "tmp") == 1
            assert theirs.exists() and mine.exists() and not earlier.exists()
        finally:
            child.communicate(b"\n")
        assert atomic.sweep(tmp_path / "tmp") == 1
        assert mine.exists() and not theirs.exists()

    def test_one_of_another_container_or_host_of_the_same_name_is_left_to_finish(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = atomic._kernel()
        assert len(here) == 16
        monkeypatch.setattr(atomic, "_kernel", lambda: "0123456789abcdef")
        number = atomic.owner(os.getpid()).partition("~")[2]
        monkeypatch.undo()
        at_work = self.left_by(tmp_path / "tmp", f"0123456789abcdef~{number}0")  # that number is nobody's here
        abandoned = self.left_by(tmp_path / "tmp", f"0123456789abcdef~{number}1", days=8)
        foreign = self.left_by(tmp_path / "tmp", "somebody-else-s", days=800)
        assert atomic.sweep(tmp_path / "tmp") == 1
        assert at_work.exists() and foreign.exists() and not abandoned.exists()
