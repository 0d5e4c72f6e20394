"""What the sensors of one home tell each other through small files in scratch: who looks now, what was asked for, what is given up.

Losing these files costs a rest of `settle_s`, nothing else: what is done is told by the ledgers, what failed by Dagster's runs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataops_assets import atomic, locks
from dataops_assets.home import Home

MOST = 1e11  # no time in seconds, nor number of attempts, is as large
CLAIM_S = 300.0  # a claim whose run nobody sees after this long may be taken over


@contextmanager
def alone(home: Home, name: str) -> Iterator[bool]:
    """Whether nobody else is in a block of this name; if so, nobody comes in meanwhile. The kernel frees it when a process dies."""
    with locks.hold(home, name, waits=False) as is_alone:
        yield is_alone


class Claims:
    """Who asked for which work. Use it inside `alone`, which makes reading and writing a claim one step."""

    def __init__(self, home: Home, project: str, kind: str) -> None:
        self.folder, self.tmp = home.scratch / "claims" / project / kind, home.tmp

    def take(self, work: str, attempt: int, now: float) -> bool:
        """Claim an attempt; false when it was claimed less than CLAIM_S ago, by whomever."""
        path = self._path(work)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            held = read(path)
            if abs(now - number(held, "at")) < CLAIM_S and attempt <= number(held, "attempt"):
                return False
            write(path, {"at": now, "attempt": attempt}, self.tmp)
            return True
        with os.fdopen(descriptor, "w") as file:
            json.dump({"at": now, "attempt": attempt}, file)
        return True

    def renew(self, work: str, attempt: int, now: float) -> None:
        """Keep the claim of work whose run is alive: daemons that don't see the run see this."""
        held = read(self._path(work))
        if held and abs(now - number(held, "at")) > CLAIM_S / 4:
            write(self._path(work), {"at": now, "attempt": max(attempt, int(number(held, "attempt")))}, self.tmp)

    def tidy(self, works: Collection[str], now: float) -> None:
        """Remove old claims of work that no longer waits."""
        wanted = {self._path(work).name for work in works}
        try:
            with os.scandir(self.folder) as entries:
                gone = [entry.path for entry in entries if entry.name not in wanted and abs(now - entry.stat().st_mtime) > CLAIM_S]
        except FileNotFoundError:
            return
        for path in gone:
            Path(path).unlink(missing_ok=True)

    def _path(self, work: str) -> Path:
        return self.folder / hashlib.sha256(work.encode()).hexdigest()[:32]


def memory(home: Home, project: str, kind: str) -> dict[str, Any]:
    """What the last look of a sensor left: `looks` and `turns` for the next one, what it `held` and why, and when (`at`, UNIX seconds)."""
    return read(_memory(home, project, kind))


def remember(home: Home, project: str, kind: str, told: Mapping[str, Any]) -> None:
    """Keep what a look left, in place of what the one before did."""
    write(_memory(home, project, kind), told, home.tmp)


def _memory(home: Home, project: str, kind: str) -> Path:
    return home.scratch / "looks" / f"{project}.{kind}.json"


def parked(home: Home, project: str, kind: str) -> dict[str, dict[str, Any]]:
    """Work of a kind whose runs failed too often, deliveries apart: `kind, partition, name, why, attempts, error` by its tag."""
    return {work: told for work, told in read(_parked(home, project, kind)).items() if isinstance(told, dict)}


def all_parked(home: Home, project: str) -> list[dict[str, Any]]:
    """The same of every kind."""
    kinds = sorted(path.name.split(".")[1] for path in (home.scratch / "parked").glob(f"{project}.*.json"))
    return [told for kind in kinds for _, told in sorted(parked(home, project, kind).items())]


def park(home: Home, project: str, kind: str, works: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep what is parked now, in place of what was."""
    path = _parked(home, project, kind)
    if works:
        write(path, works, home.tmp)
    else:
        path.unlink(missing_ok=True)


def forget(home: Home, project: str, work: str) -> None:
    """Take work off the lists of what is parked: it was tried after all. If it failed again, the next look puts it back."""
    for path in (home.scratch / "parked").glob(f"{project}.*.json"):
        kind = path.name.split(".")[1]
        left = parked(home, project, kind)
        if left.pop(work, None) is not None:
            park(home, project, kind, left)


def _parked(home: Home, project: str, kind: str) -> Path:
    return home.scratch / "parked" / f"{project}.{kind}.json"


def read(path: Path) -> dict[str, Any]:
    """A small JSON object; empty when it isn't there or was damaged."""
    try:
        held = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def write(path: Path, held: Mapping[str, Any], tmp: Path) -> None:
    """Keep a small JSON object, whole or not at all; `tmp` is the home's folder for unfinished files."""
    atomic.write(path, json.dumps(held, sort_keys=True).encode(), tmp)


def number(held: Mapping[str, Any], name: str) -> float:
    """A number that was kept; 0 where there is none, whatever else a damaged file holds."""
    value = held.get(name)
    return float(value) if isinstance(value, (int, float)) and 0 <= value < MOST else 0.0
