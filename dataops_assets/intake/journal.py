"""What of a delivery has been read and kept, so that a run killed half-way goes on from there.

The journal is a note to ourselves: losing it costs reading again, never a file. A line is written after the bytes it speaks of are
on the disk; one that was torn by a kill is passed over with all that follows.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from glob import escape
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dataops_assets.intake import identity, landing

OLD_S = 14 * 86400  # a drop that waits as long is hardly waiting
TAKEN = ("accepted", "partial", "rejected")


class Entry(NamedTuple):
    """One member that was read: where it stood in the delivery, what it was then, and what came of it."""

    position: int
    path: str
    stamp: str
    sha256: str
    size_bytes: int


UNFETCHED = Entry(-1, "", "", "", 0)  # stands for a run in which some addresses didn't answer
ASKED = -2  # position of an entry whose `size_bytes` are seconds that a run spent on asking hosts
WITHOUT = -3  # position of an entry whose `path` gives no file, for the reason in `stamp`


class Journal:
    """Entries of one delivery in one state, in `<project>.<drop>.<fingerprint>.jsonl`: another fingerprint is another journal.

    Attributes:
        unfetched: Runs so far in which some addresses didn't answer.
        asked_s: Seconds so far that runs which left some addresses for another one spent on asking.
        without: Addresses that those runs found to give no file: path -> why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        entries = list(_read(path))
        self._held = {entry.position: entry for entry in entries}
        self.unfetched = entries.count(UNFETCHED)
        self.asked_s = sum(entry.size_bytes for entry in entries if entry.position == ASKED)
        self.without = {entry.path: entry.stamp for entry in entries if entry.position == WITHOUT}

    def get(self, position: int, path: str, stamp: str) -> Entry | None:
        """The entry of a member, if it was read before and is still the same."""
        entry = self._held.get(position)
        return entry if entry is not None and (entry.path, entry.stamp) == (path, stamp) else None

    @property
    def bytes_read(self) -> int:
        """Of members entered so far."""
        return sum(entry.size_bytes for entry in self._held.values())

    def note_unfetched(self) -> None:
        """Enter that some addresses didn't answer in this run."""
        self.write([UNFETCHED])
        self.unfetched += 1

    def note_asked(self, seconds: float, without: Mapping[str, str]) -> None:
        """Enter how long this run asked hosts, and which addresses gave no file."""
        spent = math.ceil(seconds)
        new = {path: why for path, why in without.items() if path not in self.without}
        self.write([Entry(ASKED, "", "", "", spent), *(Entry(WITHOUT, path, why, "", 0) for path, why in new.items())])
        self.asked_s += spent
        self.without |= new

    def write(self, entries: Iterable[Entry]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="ascii") as file:
            file.write("".join("\n" + json.dumps(entry) for entry in entries))  # a torn line ends at the next one's start

    def discard(self) -> None:
        """Remove it, and those of the drop's other states: a run that was killed before the drop changed left one."""
        drop, *rest = self.path.name.rsplit(".", 2)
        for path in self.path.parent.glob(f"{escape(drop)}.*.jsonl") if len(rest) == 2 else ():
            path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def sweep(folder: Path, project: str, root: Path, drops: pd.DataFrame) -> int:
    """Remove old journals that no run will go on from; returns how many.

    Nobody goes on with a drop that is taken, or whose delivery left landing. A drop that waits there, also for a person to have it
    tried again, keeps what was read of it.

    Args:
        folder: Of the journals.
        project: Whose.
        root: Of landing, with a folder a project.
        drops: The project's rows of the `drops` ledger.
    """
    old = [path for path in folder.glob(f"{escape(project)}.*.jsonl") if _age_s(path) > OLD_S]
    if not old:
        return 0
    last = dict(zip(drops["drop_id"], drops["status"], strict=True))
    known: dict[tuple[str, str], set[str]] = {}
    for vendor, name, drop_id in zip(drops["vendor"], drops["name"], drops["drop_id"], strict=True):
        known.setdefault((vendor, name), set()).add(_first(drop_id))
    here: set[str] = set()
    for delivery in landing.list_deliveries(root, project):
        here |= known.get((delivery.vendor, delivery.name), {identity.drop_id_of(delivery.vendor, delivery.name)})
    gone = [path for path in old if last.get(drop_id := path.name.split(".")[1]) in TAKEN or _first(drop_id) not in here]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # its own run was done with it just now
        return 0.0


def _first(drop_id: str) -> str:
    """The first drop under a delivery's name."""
    return re.sub(r"-r\d+$", "", drop_id)


def _read(path: Path) -> Iterable[Entry]:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    except FileNotFoundError:
        return
    for line in filter(None, lines):
        try:
            entry = Entry(*json.loads(line))
        except (ValueError, TypeError):
            continue
        if isinstance(entry.position, int) and isinstance(entry.size_bytes, int):
            yield entry
