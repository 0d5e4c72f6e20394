"""What a delivery holds, as a stream of members: a folder's files, or an archive's, never extracted by name.

An archive's names are data; its bytes go to the blob store. What makes a whole delivery unacceptable raises `Refused`; what is
wrong with one member is said in its `fault`. Members come in a fixed order, so that a reader can go on where it stopped.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from dataops_assets.intake import tars, zips
from dataops_assets.intake.bounds import Budget, Member, Refused, TooLarge, Unreadable, readable
from dataops_assets.intake.inside import CHANGED, CHUNK_BYTES, UNREADABLE, Entry, open_file
from dataops_assets.intake.landing import Delivery, walk
from dataops_assets.spec import IntakeLimits

__all__ = ["Member", "Refused", "TooLarge", "Unreadable", "members", "readable"]
JUNK = re.compile(r"(^|/)(\.DS_Store|Thumbs\.db|desktop\.ini|\._[^/]*|\.[^/]+|__MACOSX/.*)$", re.IGNORECASE)
IS_NO_FILE = {errno.ELOOP: "LINK_MEMBER", errno.ENXIO: "SPECIAL_MEMBER"}


def members(delivery: Delivery, limits: IntakeLimits, budget: Budget | None = None) -> Iterator[Member]:
    """The files of a delivery, in order of path for folders and in their own order for archives.

    Args:
        delivery: A folder or an archive.
        limits: What it may cost.
        budget: Counts what it does; a new one by default.

    Raises:
        Refused: when the delivery as a whole can't be taken.
        OSError: when the disk doesn't give its bytes.
    """
    budget = budget or Budget(limits)
    yield from _archive(delivery.path, budget) if delivery.is_archive else _folder(delivery.path, budget)


def _folder(root: Path, budget: Budget) -> Iterator[Member]:
    entries = walk(root)
    waiting: list[Entry] = []
    budget.rest = lambda: _names(chain(waiting, entries))
    try:
        for entry in entries:
            waiting = [entry]
            listed = entry.stat()
            is_file = stat.S_ISREG(listed.st_mode)
            if not is_file and not JUNK.search(entry.path):
                raise budget.refused("LINK_MEMBER" if stat.S_ISLNK(listed.st_mode) else "SPECIAL_MEMBER", repr(entry.path[:80]))
            budget.enter()
            waiting = []
            budget.files += 1
            content = _pieces(entry, listed, budget) if is_file else _no_file()
            yield budget.member(entry.path, content, listed.st_size, _stamp(listed))
    except OSError as error:
        if error.errno not in CHANGED:
            raise
        raise budget.refused("INCOMPLETE", f"{error.filename!r} went away or was replaced while the delivery was read") from error


def _no_file() -> Iterator[bytes]:
    """The bytes of a link or a pipe that is passed over by its name, such as an editor's lock."""
    yield from ()
    raise Unreadable("no file")


def _names(entries: Iterator[Entry]) -> Iterator[str]:
    """As far as they can be listed."""
    with suppress(OSError):
        for entry in entries:
            yield entry.path


def _facts(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_size}:{found.st_mtime_ns}"


def _pieces(entry: Entry, listed: os.stat_result, budget: Budget) -> Iterator[bytes]:
    try:
        handle = entry.open()
        try:
            left = listed.st_size + 1  # one that somebody goes on writing to has no end
            while left > 0 and (piece := os.read(handle, asked := min(CHUNK_BYTES, left))):
                yield piece
                left -= len(piece)
                if len(piece) < asked:  # a small file ends with the first read
                    break
            found = os.fstat(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in UNREADABLE:
            raise Unreadable(error.strerror) from error
        if error.errno == errno.ENOENT:
            raise budget.refused("INCOMPLETE", f"{entry.name!r} went away while the delivery was read") from error
        raise _refused(error, entry.name, budget) from error
    if not os.path.samestat(found, listed) or _facts(found) != _facts(listed):
        raise budget.refused("INCOMPLETE", f"{entry.name!r} changed while the delivery was read")


def _refused(error: OSError, name: str, budget: Budget) -> Exception:
    """The refusal of what has become something else since it was listed; any other error as it is."""
    code = IS_NO_FILE.get(error.errno or 0)
    return error if code is None else budget.refused(code, repr(name[:80]))


def _archive(path: Path, budget: Budget) -> Iterator[Member]:
    try:
        handle = open_file(path)
    except OSError as error:
        if error.errno in UNREADABLE:
            raise budget.refused("UNREADABLE", f"{path.name[:80]!r}: {error.strerror}") from error
        raise _refused(error, path.name, budget) from error
    with os.fdopen(handle, "rb", buffering=0) as file:
        budget.packed = os.fstat(file.fileno()).st_size
        if budget.packed == 0:
            raise budget.refused("ARCHIVE_CORRUPT", "an empty file")
        is_zip = file.read(4) in zips.MAGIC
        yield from zips.members(file, budget) if is_zip else tars.members(file, budget)
