"""What a delivery holds, as a stream of members: a folder's files, or an archive's, never extracted by name.

An archive's names are data; its bytes go to the blob store. What makes a whole delivery unacceptable raises `Refused`; what is
wrong with one member is said in its `fault`. Members come in a fixed order, so that a reader can go on where it stopped.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from dataops_assets.intake import tars, zips
from dataops_assets.intake.bounds import CHUNK_BYTES, Budget, Member, Refused, TooLarge, readable
from dataops_assets.intake.landing import Delivery, open_handle, walk
from dataops_assets.spec import IntakeLimits

__all__ = ["Member", "Refused", "TooLarge", "members", "readable"]


def members(delivery: Delivery, limits: IntakeLimits) -> Iterator[Member]:
    """The files of a delivery, in order of path for folders and in their own order for archives.

    Raises:
        Refused: when the delivery as a whole can't be taken.
        OSError: when the disk doesn't give its bytes.
    """
    budget = Budget(limits)
    yield from _archive(delivery.path, budget) if delivery.is_archive else _folder(delivery.path, budget)


def _folder(root: Path, budget: Budget) -> Iterator[Member]:
    entries = walk(root)
    waiting: list[os.DirEntry[str]] = []
    budget.rest = lambda: (_name(entry, root) for entry in chain(waiting, entries))
    for entry in entries:
        waiting = [entry]
        name = _name(entry, root)
        listed = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(listed.st_mode):
            raise budget.refused("LINK_MEMBER", repr(name[:80]))
        if not stat.S_ISREG(listed.st_mode):
            raise budget.refused("SPECIAL_MEMBER", repr(name[:80]))
        budget.enter()
        waiting = []
        yield budget.member(name, _pieces(entry.path, listed, budget), listed.st_size, _stamp(listed))


def _name(entry: os.DirEntry[str], root: Path) -> str:
    return entry.path[len(os.fspath(root)) + 1 :]


def _facts(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_size}:{found.st_mtime_ns}"


def _pieces(path: str, listed: os.stat_result, budget: Budget) -> Iterator[bytes]:
    try:
        handle = _open(path, budget)
    except FileNotFoundError as error:
        raise budget.refused("INCOMPLETE", f"{os.path.basename(path)!r} went away while the delivery was read") from error
    try:
        asked = min(CHUNK_BYTES, listed.st_size + 1)  # a small file ends with the first read
        while piece := os.read(handle, asked):
            yield piece
            if len(piece) < asked:
                break
        found = os.fstat(handle)
    finally:
        os.close(handle)
    if not os.path.samestat(found, listed) or _facts(found) != _facts(listed):
        raise budget.refused("INCOMPLETE", f"{os.path.basename(path)!r} changed while the delivery was read")


def _open(path: str | Path, budget: Budget) -> int:
    """The descriptor of a regular file; what has become something else since it was listed is refused."""
    try:
        return open_handle(path)
    except OSError as error:
        code = {errno.ELOOP: "LINK_MEMBER", errno.ENXIO: "SPECIAL_MEMBER"}.get(error.errno or 0)
        if code is None:
            raise
        raise budget.refused(code, repr(os.path.basename(path)[:80])) from error


def _archive(path: Path, budget: Budget) -> Iterator[Member]:
    with os.fdopen(_open(path, budget), "rb", buffering=0) as file:
        budget.packed = os.fstat(file.fileno()).st_size
        if budget.packed == 0:
            raise budget.refused("ARCHIVE_CORRUPT", "an empty file")
        is_zip = file.read(4) in zips.MAGIC
        yield from zips.members(file, budget) if is_zip else tars.members(file, budget)
