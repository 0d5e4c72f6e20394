"""Deliveries read under watch: nothing may appear anywhere, and nothing may take long."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.intake import made


def listing(root: Path) -> list[tuple[str, int]]:
    return sorted((os.path.relpath(path, root), path.lstat().st_size) for path in root.rglob("*"))


@pytest.fixture
def take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> made.Take:
    """Read an archive given as bytes, or a folder given as a path, and check that the disk is as it was."""
    for name in ("cwd", "temporary", "landing"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def read(delivery: bytes | Path, **limits: int) -> made.Taken:
        path = delivery if isinstance(delivery, Path) else tmp_path / "landing" / "drop"
        if isinstance(delivery, bytes):
            path.write_bytes(delivery)
        before = listing(tmp_path)
        taken = made.take(path, **limits)
        assert listing(tmp_path) == before
        return taken

    return read
