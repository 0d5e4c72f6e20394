"""Reading inside a delivery without being led out of it, whatever its vendor does there meanwhile.

A vendor can put a link in the place of a folder or a file at any moment, also between a look at a name and the opening of it. So no
path is opened here: each folder is opened by its own name relative to the one it lies in, never through a link, and stays the same
folder whatever becomes of its name; each file is opened relative to its folder and must be a regular one before it is read. What
lies above a vendor's folder is ours, and may be a link.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import IO

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # without the last, a pipe that nobody writes to keeps us waiting for ever
CHUNK_BYTES = 1 << 20
PATH_BYTES = 4096  # the longest path below a delivery, which bounds how deep folders lie in one another
OPEN_FOLDERS = 32  # of those on the way down, the lowest
CLOSED = -1
CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)  # something else, or nothing, lies where a name was listed
UNREADABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.EBADMSG, errno.EUCLEAN)  # that file, and no lack of ours


class TooMany(OSError):
    """A folder holds more than anybody may deliver: to look at all of it would hold up everything else."""


class Entry:
    """What lies in a folder and is none itself. It can be looked at and opened until the walk goes on.

    Attributes:
        path: Below the folder that is walked through.
        name: In its own folder.
        folder: Descriptor of its own folder.
    """

    __slots__ = ("folder", "name", "path")

    def __init__(self, path: str, name: str, folder: int) -> None:
        self.path, self.name, self.folder = path, name, folder

    def stat(self) -> os.stat_result:
        """What the disk says of it; of a link, of the link itself."""
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def open(self) -> int:
        """A descriptor; see `open_handle`."""
        return open_handle(self.name, self.folder)

    def target(self) -> str:
        """Where a link leads to. Nothing is looked for there."""
        return os.readlink(self.name, dir_fd=self.folder)


@dataclass(slots=True)
class _Level:
    """A folder on the way down, and what of it is to come."""

    prefix: str
    handle: int
    names: Iterator[str]
    folders: frozenset[str]
    count: int
    facts: os.stat_result | None = None  # which one it is, while its descriptor is closed


def walk(root: Path, most: int) -> Iterator[Entry]:
    """Every entry below a folder that isn't a folder, in order of path; links are given, not followed.

    Raises:
        TooMany: when there are more than `most` files and folders; a folder's own are counted before any of them is given.
        OSError: when a folder can't be read, isn't the one that was listed any more, or lies too deep.
    """
    levels = [_listed(open_folder(root), "", most, most)]  # no recursion: folders may be nested deeper than Python's stack
    left = most - levels[0].count
    try:
        while levels:
            level = levels[-1]
            for name in level.names:
                if name not in level.folders:
                    yield Entry(level.prefix + name, name, level.handle)
                    continue
                prefix = f"{level.prefix}{name}/"
                if len(prefix) > PATH_BYTES:
                    raise OSError(errno.ENAMETOOLONG, "folders lie too deep in one another", name)
                levels.append(_listed(os.open(name, FOLDER, dir_fd=level.handle), prefix, left, most))
                left -= levels[-1].count
                if len(levels) > OPEN_FOLDERS:
                    _close(levels[-1 - OPEN_FOLDERS])
                break
            else:
                try:
                    if len(levels) > 1:
                        _reopen(levels[-2], level.handle)
                finally:
                    os.close(levels.pop().handle)
    finally:
        for level in levels:
            if level.handle != CLOSED:
                os.close(level.handle)


def _listed(handle: int, prefix: str, left: int, most: int) -> _Level:
    """A folder's names in order, at most `left`."""
    folders = []
    try:
        with os.scandir(handle) as entries:
            names = []
            for entry in islice(entries, left + 1):
                names.append(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
        if len(names) > left:
            raise TooMany(errno.EFBIG, f"more than {most:,} files and folders")
    except BaseException:
        os.close(handle)
        raise
    names.sort()
    return _Level(prefix, handle, iter(names), frozenset(folders), len(names))


def _close(level: _Level) -> None:
    level.facts = os.fstat(level.handle)
    os.close(level.handle)
    level.handle = CLOSED


def _reopen(level: _Level, below: int) -> None:
    """Open a folder again by way of one that lay in it, if that wasn't moved elsewhere meanwhile."""
    if level.facts is None:
        return
    handle = os.open("..", FOLDER, dir_fd=below)
    if not os.path.samestat(os.fstat(handle), level.facts):
        os.close(handle)
        raise OSError(errno.ESTALE, "a folder was moved while the delivery was read", level.prefix)
    level.handle, level.facts = handle, None


def open_folder(path: Path) -> int:
    """Descriptor of a folder that isn't a link, in a folder that isn't one."""
    above = os.open(path.parent, FOLDER)
    try:
        return os.open(path.name or ".", FOLDER, dir_fd=above)
    finally:
        os.close(above)


def open_handle(name: Path | str, folder: int | None = None) -> int:
    """Descriptor of a regular file. It may have become a link since it was listed, or a pipe on which an ordinary open waits for ever.

    Raises:
        OSError: ELOOP for a link, ENXIO for what else is no regular file.
    """
    handle = os.open(name, FILE, dir_fd=folder)
    if not S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.ENXIO, "no regular file", os.fspath(name))
    return handle


def open_file(path: Path, inside: str = "") -> int:
    """Descriptor of a regular file: of an archive, or of what lies `inside` a delivery's folder; see `open_handle`."""
    names = [path.name, *inside.split("/")] if inside else [path.name]
    folder = os.open(path.parent, FOLDER)
    try:
        for name in names[:-1]:
            if name == "..":
                raise OSError(errno.EINVAL, "leads out of its folder", inside)
            above, folder = folder, os.open(name, FOLDER, dir_fd=folder)
            os.close(above)
        return open_handle(names[-1], folder)
    finally:
        os.close(folder)


def open_plain(path: Path, inside: str = "") -> IO[bytes]:
    """The same as a file."""
    return os.fdopen(open_file(path, inside), "rb", buffering=0)


def pieces(path: Path, size: int | None = None, inside: str = "") -> Iterator[bytes]:
    """A file's first `size` bytes, by default as many as it has now: one that somebody goes on writing to has no end."""
    return _pieces(open_file(path, inside), size)


def sha256_of(path: Path, size: int | None = None, inside: str = "") -> str:
    """Digest of so much of a file."""
    return sha256_of_handle(open_file(path, inside), size)


def sha256_of_handle(handle: int, size: int | None = None) -> str:
    """Digest of so much of an open file, which is closed."""
    sha = hashlib.sha256()
    for piece in _pieces(handle, size):
        sha.update(piece)
    return sha.hexdigest()


def _pieces(handle: int, size: int | None) -> Iterator[bytes]:
    with os.fdopen(handle, "rb", buffering=0) as file:
        left = os.fstat(handle).st_size if size is None else size
        while left > 0 and (piece := file.read(min(left, CHUNK_BYTES))):
            left -= len(piece)
            yield piece
