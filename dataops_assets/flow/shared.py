"""What several parts of the flow need: locks, files that lie ready, rows of a project."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from dataops_assets import locks
from dataops_assets.store import Store

Progress = Callable[[int, int], None]


Steps = Callable[[str, int, int], None]  # what is being done, how much of it is, of how much


def quiet(done: int, total: int) -> None: ...


def quiet_steps(what: str, done: int, total: int) -> None: ...


@contextmanager
def exclusive(store: Store, name: str) -> Iterator[None]:
    """Hold a lock of this installation while the block runs; the kernel frees it when a process dies."""
    with locks.hold(store.home, name):
        yield


def rows_of(frame: pd.DataFrame, project: str) -> pd.DataFrame:
    return frame[frame["project"] == project]


def verdicts(store: Store, project: str, asset: str) -> pd.DataFrame:
    """What gates said of an asset, oldest first; those that couldn't run said nothing."""
    gates = rows_of(store.gates.rows(), project)
    return gates[(gates["asset"] == asset) & (gates["outcome"] != "error")]


def digest_of(names: Sequence[str]) -> str:
    """16 hex digits of a list of names."""
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]


def plain_files(folder: Path, *, levels: int = 1) -> list[Path]:
    """Files in a folder, sorted, without markers, hidden and unfinished ones; links are not followed.

    Args:
        folder: Where; nothing when it isn't there.
        levels: 1: directly in it; more: in so many levels of folders, each folder's own files first.
    """
    unfinished = (".part", ".tmp", ".crdownload")
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [p for p in found if not p.is_symlink() and not p.name.startswith((".", "_"))]
    files = [p for p in found if p.is_file() and p.suffix not in unfinished]
    return files + [file for p in found if levels > 1 and p.is_dir() for file in plain_files(p, levels=levels - 1)]


def listing(files: Sequence[Path], root: Path | None = None) -> str:
    """16 hex digits that tell files by folder, name, size and time.

    Args:
        files: Which.
        root: Where they all lie below, when by more than one folder: the folder is then told by its path from there.
    """
    facts = []
    for file in files:
        stat = file.stat()
        folder = file.parent.relative_to(root).as_posix() if root else file.parent.name
        facts.append([folder, file.name, stat.st_size, stat.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
