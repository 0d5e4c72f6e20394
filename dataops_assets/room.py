"""Whether the disks have room for deliveries. What doesn't fit waits: a run that fills a disk fails, and others with it."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from dataops_assets.store import Store

SPARE_BYTES = 256 << 20  # to be left on each file system
COPIES = 2  # of a delivery: its blobs, and what is made of them


@dataclass(eq=False)
class Disk:
    """A file system by a folder on it, and how many of its bytes are free."""

    place: Path
    free: float
    device: int = -1

    @classmethod
    def of(cls, place: Path) -> Disk:
        while not place.exists():
            place = place.parent
        return cls(place, shutil.disk_usage(place).free, place.stat().st_dev)


class Room:
    """What is free on the home's and the store's file system, less what running work will still take."""

    def __init__(self, store: Store) -> None:
        self._home = Disk.of(store.home.root)
        self._store = Disk.of(Path(store.blobs.root)) if store.blobs.is_local else Disk(store.home.root, math.inf)
        if self._store.device == self._home.device:
            self._store = self._home

    def take(self, size: int) -> None:
        """Count a delivery of so many bytes that is being taken in, or is about to be."""
        self._store.free -= COPIES * size

    def lack(self, size: int, at_home: int = 0) -> str:
        """What to say where a delivery of `size` bytes, of which `at_home` are copied to the home before, has no room; else ''."""
        for disk in dict.fromkeys((self._home, self._store)):
            needed = SPARE_BYTES + (at_home if disk is self._home else 0) + (COPIES * size if disk is self._store else 0)
            if needed > disk.free:
                return f"NO_SPACE: {needed >> 20} MiB must be free at {disk.place}; it goes on by itself when they are"
        return ""
