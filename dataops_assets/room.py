"""Whether the disks have room for deliveries. What doesn't fit waits: a run that fills a disk fails, and others with it."""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from dataops_assets.drops import NO_SPACE, OF_ONE_ROW, RETRY
from dataops_assets.intake import inside
from dataops_assets.manifest import records
from dataops_assets.spec import IntakeLimits
from dataops_assets.store import Store, now

SPARE_BYTES = 256 << 20  # to be left on each file system
COPIES = 2  # of a delivery: its blobs, and what is made of them
PAUSE_S = 300.0  # after a run that found no room, whatever the disks say: a quota isn't seen in what is free
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(eq=False)
class Disk:
    """A file system by a folder on it, how many of its bytes are free, and how many it has."""

    place: Path
    free: float
    device: int = -1
    total: float = math.inf

    @classmethod
    def of(cls, place: Path) -> Disk:
        while not place.exists():
            place = place.parent
        facts = os.statvfs(place)
        has_names = facts.f_favail or not facts.f_files  # some file systems don't count them
        return cls(place, shutil.disk_usage(place).free if has_names else 0, place.stat().st_dev, facts.f_blocks * facts.f_frsize)


class Room:
    """What is free on the home's and the store's file system, less what running work will still take."""

    def __init__(self, store: Store) -> None:
        self._ledgers = store
        self._home = Disk.of(store.home.root)
        self._store = Disk.of(Path(store.blobs.root)) if store.blobs.is_local else Disk(store.home.root, math.inf)
        if self._store.device == self._home.device:
            self._store = self._home

    def take(self, size: int) -> None:
        """Count a delivery of so many bytes that is about to be taken in."""
        self._store.free -= COPIES * size

    def take_rest(self, project: str, drop_id: str, fingerprint: str, size: int) -> None:
        """Count a delivery that is being taken in, without what lies on the disk of it already."""
        self._store.free -= max(0, COPIES * size - self._written(project, drop_id, fingerprint, size))

    def lack(self, size: int, at_home: int = 0) -> str:
        """What to say where a delivery of `size` bytes, of which `at_home` are copied to the home before, has no room; else ''."""
        for disk in dict.fromkeys((self._home, self._store)):
            needed = SPARE_BYTES + (at_home if disk is self._home else 0) + (COPIES * size if disk is self._store else 0)
            if needed > disk.total:
                return (
                    f"{NO_SPACE}: {needed >> 20} MiB must be free at {disk.place}, which has {int(disk.total) >> 20} MiB in all: "
                    "have it delivered in parts, or move there to a larger disk"
                )
            if needed > disk.free:
                return f"{NO_SPACE}: {needed >> 20} MiB must be free at {disk.place}; it goes on by itself when they are"
        return ""

    def lack_again(self, project: str, drop_id: str) -> str:
        """What to say of a drop whose last run found no room a moment ago; else ''."""
        row = _last(self._ledgers.drops.rows(), project, drop_id)
        if row.get("reason") != NO_SPACE:
            return ""
        left = PAUSE_S - abs((now() - row["received_at"]).total_seconds())
        return f"{NO_SPACE}: its last run found the disk full; it goes on by itself in {left / 60:.0f} minutes" if left > 0 else ""

    def _written(self, project: str, drop_id: str, fingerprint: str, size: int) -> int:
        from dataops_assets.intake.journal import Journal

        if drop_id in self._ledgers.released("cleaned_set", project):
            return COPIES * size
        if drop_id in self._ledgers.released("raw_images", project):
            return size
        return min(size, Journal(self._ledgers.home.scratch / "intake" / f"{project}.{drop_id}.{fingerprint}.jsonl").bytes_read)


def unpacked_bytes(path: Path, size: int, limits: IntakeLimits) -> int:
    """Bytes that a delivery of `size` bytes holds, as far as that can be told without unpacking it.

    Of a zip by its directory, of a gzipped tar by the last four bytes, which give the size modulo 4 GiB. What is beyond the limits is
    refused before or soon after it is unpacked. Of other archives it is the packed size: pictures hardly pack.
    """
    from dataops_assets.intake import zips

    most = min(limits.total_bytes, limits.ratio * max(size, 1 << 20))
    try:
        # a folder is no file, and a link may have taken its place since it was looked at
        with os.fdopen(inside.open_file(path), "rb", buffering=1 << 20) as file:
            head = file.read(4)
            if head in zips.MAGIC:
                found = zips.unpacked_bytes(file, size, limits)
            elif head[:2] == b"\x1f\x8b" and size > 18:
                file.seek(-4, os.SEEK_END)
                found = int.from_bytes(file.read(4), "little")
                found += -(-max(0, size - (size >> 6) - 4096 - found) // 2**32) * 2**32  # what doesn't pack grows by less than a 64th
            else:
                found = size
    except OSError:
        return size
    return max(size, min(found, most))


def is_full(error: BaseException | None) -> bool:
    """Whether a disk without room, or a quota, is behind an error; libraries tell it in words."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if (isinstance(error, OSError) and error.errno in FULL) or any(f"os error {number}" in str(error) for number in FULL):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def held_while_full(store: Store, project: str, drop_id: str, run_id: str = "", first: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Enter into the `drops` ledger that work on a drop found no room: runs until then don't count as attempts. It raises all the same.

    Where the work is done the drop stands again as it was judged last: it isn't held any more, nor still to be tried again.

    Args:
        store: The store.
        project: Whose drop it is.
        drop_id: Which.
        run_id: The run that does it.
        first: The drop's row where the ledger has none yet.
    """
    try:
        yield
    except Exception as error:
        if is_full(error):
            try:
                _enter(store, project, drop_id, run_id, (NO_SPACE,), first, {"status": "held", "reason": NO_SPACE, "attempt": 0})
            except Exception:  # not even for that
                logging.getLogger(__name__).exception("%s of %s found no room, which can't be entered", drop_id, project)
        raise
    if _last(store.drops.rows(), project, drop_id).get("reason") in (NO_SPACE, RETRY):
        _enter(store, project, drop_id, run_id, (NO_SPACE, RETRY))


def _enter(
    store: Store,
    project: str,
    drop_id: str,
    run_id: str,
    passing: Sequence[str],
    first: Mapping[str, Any] | None = None,
    changed: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Append what stood of a drop before it was held for `passing` reasons, and not given up, with some facts changed."""

    def build(ledger: pd.DataFrame) -> list[dict[str, Any]]:
        stood = ~ledger["reason"].isin(passing) & (ledger["status"] != "parked")
        row = _last(ledger[stood], project, drop_id) or first
        if not row:
            return []
        return [
            {name: value for name, value in row.items() if name not in OF_ONE_ROW}
            | dict(changed)
            | {"received_at": now(), "run_id": run_id or None}
        ]

    store.drops.append(build)


def _last(ledger: pd.DataFrame, project: str, drop_id: str) -> dict[str, Any]:
    rows = records(ledger[(ledger["project"] == project) & (ledger["drop_id"] == drop_id)].tail(1))
    return rows[0] if rows else {}
