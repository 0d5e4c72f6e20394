"""Files that are there whole or not at all, whatever happens to the process that writes them.

A file is written under a temporary name that says which process is at it, and gets its own name when its bytes are on the disk.
What a killed process left is removed by `sweep`. A process is told by its number and start, and by the boot of the kernel and the
namespace in which they count: hosts may share a folder and a name, and a number means another process in each container.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from itertools import count

ABANDONED_S = 7 * 86400  # what a process that can't be asked for left untouched so long is nobody's: no file takes a day to write
_numbers = count()  # next() is one step, whatever the threads


def write(path: str | os.PathLike[str], data: bytes, tmp: str | os.PathLike[str], *, is_first: bool = False) -> None:
    """Put a file in place of whatever is there; `tmp` is a folder on the same file system.

    With `is_first` a file that is there stays: of several processes that write at once, the first wins.
    """
    temporary = temporary_in(tmp)
    try:
        descriptor = create(temporary)
        try:
            write_all(descriptor, data, temporary)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_first:
            link(temporary, os.fspath(path))
        else:
            rename(temporary, os.fspath(path))
    finally:
        unlink(temporary)


def temporary_in(folder: str | os.PathLike[str]) -> str:
    """A new name for a file that isn't finished."""
    return f"{os.fspath(folder)}/{_me(os.getpid())}.{next(_numbers)}"


def create(path: str, mode: int = 0o644) -> int:
    """Open a new file to write, and make the folder it needs; returns its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, flags, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, mode)


def write_all(descriptor: int, data: bytes, path: str) -> None:
    """Write all of it, or raise an OSError that names the file: the system's own doesn't say which disk is full."""
    try:
        written = os.write(descriptor, data)  # all of it, as a rule
        while written < len(data):
            written += os.write(descriptor, memoryview(data)[written:])
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def rename(temporary: str, path: str) -> None:
    """Give a finished file its name, and make the folder it needs."""
    try:
        os.replace(temporary, path)
    except FileNotFoundError:
        folder = os.path.dirname(path)
        try:
            os.mkdir(folder)  # as a rule the one above is there; makedirs costs five times as much
        except OSError:
            os.makedirs(folder, exist_ok=True)
        os.replace(temporary, path)


def link(temporary: str, path: str) -> None:
    """Give a finished file its name unless something has it already."""
    with suppress(FileExistsError):
        try:
            os.link(temporary, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.link(temporary, path)


def unlink(path: str) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def sync(folder: str, files: Iterable[str] = ()) -> None:
    """Bring everything written to the file system of a folder to the disk; where only single files can be, those named."""
    if not os.path.isdir(folder):
        return
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs is None:
            for file in files:
                with open(file, "rb") as held:
                    os.fsync(held.fileno())
            os.fsync(descriptor)
        elif syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(descriptor)


def sweep(folder: str | os.PathLike[str]) -> int:
    """Remove what processes that are gone left unfinished in a folder of temporary files; returns how many files.

    Only the kernel that a process runs under knows whether it is gone. What came from elsewhere, or from before this machine was
    started, goes after ABANDONED_S.
    """
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    left = 0
    for name in names:
        where, _, rest = name.partition("~")
        pid, path = rest.split("-")[0], f"{os.fspath(folder)}/{name}"
        if pid.isdigit() and (not name.startswith(f"{owner(int(pid))}.") if where == _kernel() else _is_abandoned(path)):
            unlink(path)
            left += 1
    return left


def _is_abandoned(path: str) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime > ABANDONED_S
    except FileNotFoundError:
        return False


@cache
def _me(pid: int) -> str:
    return owner(pid)


@cache
def _kernel() -> str:
    """Where numbers of processes mean the same: one boot of one kernel, one namespace. Without /proc, the host's name."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            told = file.read() + os.readlink(b"/proc/self/ns/pid")
    except OSError:
        return socket.gethostname()
    return hashlib.sha256(told).hexdigest()[:16]


def owner(pid: int) -> str:
    """A process: where it runs, its number and its start, for another may get the number later. Without /proc, the number alone."""
    start = ""
    with suppress(OSError, IndexError):
        with open(f"/proc/{pid}/stat", "rb") as file:
            facts = file.read().rsplit(b")", 1)[1].split()
        start = "gone" if facts[0] == b"Z" else facts[19].decode()
    return f"{_kernel()}~{pid}-{start}"
