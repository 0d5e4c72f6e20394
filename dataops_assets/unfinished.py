"""What is entered into a ledger and not shown yet: a note of it lies in `unfinished/` from before it is entered until it is shown.

A process that dies in between, or has no room to write what it should, leaves the note, and another one finishes by it. The note of a
process that lives is locked, so nobody else takes it up.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataops_assets import atomic, locks
from dataops_assets.home import Home

What = Mapping[str, Any]


@dataclass
class Note:
    """Set `stays` where not all could be shown: another process then tries again."""

    stays: bool = False


@contextmanager
def noted(home: Home, project: str, what: What) -> Iterator[Note]:
    """Keep a note, which JSON can carry, while the block runs; after one that raised it stays."""
    temporary = atomic.temporary_in(home.tmp)
    path = home.unfinished(project) / f"{time.time_ns():020d}-{Path(temporary).name}.json"
    descriptor, note = atomic.create(temporary), Note(stays=True)
    try:
        locks.lock(descriptor)
        atomic.write_all(descriptor, json.dumps(what, sort_keys=True).encode(), temporary)
        os.fsync(descriptor)
        atomic.rename(temporary, os.fspath(path))
        note.stays = False
        try:
            yield note
        except BaseException:
            note.stays = True
            raise
    finally:
        atomic.unlink(temporary)
        if not note.stays:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def left(home: Home, project: str) -> list[str]:
    """Notes that nobody works on, the oldest first."""
    folder = home.unfinished(project)
    names = sorted(path.name for path in folder.glob("*.json"))
    return [name for name in names if not locks.is_held(folder / name)]


def finish(home: Home, project: str, show: Callable[[What], bool]) -> list[str]:
    """Do what notes of dead processes say; returns a sentence for each.

    Args:
        home: Where they lie.
        project: Whose.
        show: Shows what a note says, or returns false where it couldn't all be shown: the note stays then.
    """
    told = []
    for name in left(home, project):
        path = home.unfinished(project) / name
        descriptor = locks.take(path, waits=False)
        if descriptor is None:
            continue
        is_shown = True
        try:
            what = json.loads(path.read_bytes() or b"null")
            if what is not None:  # else somebody else finished it a moment ago
                is_shown = show(what)
                which = " ".join(str(what[key]) for key in ("kind", "asset", "partition") if key in what)
                told.append(
                    f"{project}: {which} was left half-way, and is " + ("finished now." if is_shown else "still not whole; see the log.")
                )
        except Exception as error:  # one must not keep the others
            is_shown = False
            logging.getLogger(__name__).exception("%s can't be finished", path)
            told.append(f"{project}: {path.name} was left half-way and can't be finished: {error}")
        finally:
            if is_shown:
                locks.let_go(path, descriptor)
            else:
                os.close(descriptor)
    return told
