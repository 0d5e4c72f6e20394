"""When a host may be asked next, agreed among all runs of a home: a small file a host, whose lock the kernel frees.

Losing the files costs a host some politeness for a moment, nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_PAUSE_S = 6 * 3600.0  # that a host gets; one that asked for a year would be left alone by everybody, for ever


class Turns:
    """Turns at hosts. Without a folder they are this object's own."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds that all who share the folder agree on."""
        self.folder, self.clock = folder, clock
        self._own: dict[str, float] = {}

    def take(self, host: str, gap_s: float, most_s: float) -> float:
        """Take the next turn, `gap_s` after the one before; returns how long to wait for it, in seconds.

        Where that is longer than `most_s` the turn isn't taken.
        """
        with self._free_at(host) as held:
            now = self.clock()
            wait = max(0.0, held[0] - now)
            if wait <= most_s:
                held[0] = now + wait + gap_s
        return wait

    def leave_alone(self, host: str, seconds: float) -> None:
        """Give nobody a turn for so long, at most LONGEST_PAUSE_S."""
        with self._free_at(host) as held:
            held[0] = max(held[0], self.clock() + min(seconds, LONGEST_PAUSE_S))

    @contextmanager
    def _free_at(self, host: str) -> Iterator[list[float]]:
        """When a host is free again, to be read and changed; nobody else does meanwhile."""
        if self.folder is None:
            held = [self._own.get(host, 0.0)]
            yield held
            self._own[host] = held[0]
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / hashlib.sha256(host.encode()).hexdigest()[:32]
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held = [self._read(file.read())]
            yield held
            data = json.dumps({"free_at": held[0], "written_at": self.clock()}).encode()
            os.pwrite(file.fileno(), data, 0)
            os.ftruncate(file.fileno(), len(data))

    def _read(self, data: bytes) -> float:
        """0 where nothing is there, a kill tore it, or it was written by a clock that has been put back since."""
        try:
            told = json.loads(data)
            free_at, written_at = float(told["free_at"]), float(told["written_at"])
        except (ValueError, TypeError, KeyError):
            return 0.0
        return free_at if written_at <= self.clock() + 1 else 0.0
