"""Locks between the processes of one home. The kernel holds them: whoever dies lets go.

A lock is a file whose name goes when it is let go of. Who gets hold of a file that has lost its name meanwhile begins anew, because
another process may hold the file that has the name now.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dataops_assets.home import Home

LOOK_S = 1.0  # so long it is believed how many share something


@contextmanager
def hold(home: Home, name: str, *, waits: bool = True) -> Iterator[bool]:
    """Be the only one in a block of this name; where somebody else is, wait for it, or yield False at once."""
    path = _folder(home) / name
    descriptor = take(path, waits=waits)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        let_go(path, descriptor)


@contextmanager
def share(home: Home, name: str) -> Iterator[Callable[[], int]]:
    """Be one of several in blocks of this name; yields a function that says how many they are now, oneself included."""
    path = _folder(home) / name / secrets.token_hex(16)  # a process number is another's in another container
    descriptor = take(path)
    assert descriptor is not None
    told = [0.0, 1.0]

    def sharing() -> int:
        now = time.monotonic()
        if now - told[0] > LOOK_S:
            told[:] = now, max(1, sum(is_held(place, tidies=True) for place in list(path.parent.iterdir())))
        return int(told[1])

    try:
        sharing()  # tidies what the dead left
        yield sharing
    finally:
        let_go(path, descriptor)


def take(path: Path, *, waits: bool = True) -> int | None:
    """Lock a file, made where it isn't there; returns its descriptor, or nothing where somebody else holds it and one doesn't wait."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB)):
            return None
        if _is_named(descriptor, path):
            return descriptor
        os.close(descriptor)


def let_go(path: Path, descriptor: int) -> None:
    """Remove a locked file and let go of it, in this order: a name that is there is that of a file somebody may hold."""
    path.unlink(missing_ok=True)
    os.close(descriptor)


def lock(descriptor: int) -> None:
    """Lock an open file that has no name yet by which others could find it."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def is_held(path: Path, *, tidies: bool = False) -> bool:
    """Whether somebody holds a file's lock; with `tidies` one that nobody holds is removed."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    if not _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
        return True
    if tidies and _is_named(descriptor, path):
        path.unlink(missing_ok=True)
    os.close(descriptor)
    return False


def _lock(descriptor: int, how: int) -> bool:
    """Lock an open file; one that somebody else holds is closed."""
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except BaseException:
        os.close(descriptor)
        raise
    return True


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def _folder(home: Home) -> Path:
    return home.scratch / "locks"
