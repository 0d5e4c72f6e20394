"""What a look of the drop sensor costs beside walking the landing folder: python benchmarks/sensor.py [known drops] [new drops]

Builds a landing folder of known drops (10 files each, through all gates by the ledgers) and new ones, walks it with os.scandir and
stat alone, then ticks the sensor on a Dagster instance of its own until all new ones are asked for and each known one was looked at,
so that the second tick sees what the first asked for. Then a vendor throws 100,000 loose files beside them. Seconds are those of
work (processor time): what a tick may take is 5 s of them and a cursor of 10 kB, however many drops lie there.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg
import pandas as pd
from deltalake import write_deltalake

from dataops_assets import assets, manifest, runs, sensors, waiting
from dataops_assets.contracts import CONTRACTS
from dataops_assets.home import Home
from dataops_assets.intake import identity, landing
from dataops_assets.projects import defs_root, load_project
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now

FILES = 10
STRAYS = 100_000
MOST_S = 5.0
MOST_BYTES = 10_000


def deliver(home: Home, name: str, is_marked: bool = True) -> landing.Delivery:
    """A small delivery of one vendor."""
    folder = home.landing("dresses") / "atelier" / name
    folder.mkdir(parents=True)
    for number in range(FILES):
        (folder / f"{number}.jpg").write_bytes(name.encode())
    if is_marked:
        (folder / "_COMPLETE").touch()
    return landing.Delivery("dresses", "atelier", name, folder, False)


def enter(store: Store, deliveries: list[landing.Delivery]) -> None:
    """The ledgers as many runs would have left them: written at once, so their chains hold no hashes."""
    drops, gates = [], []
    for given in deliveries:
        drop, seen = identity.drop_id_of(given.vendor, given.name), landing.look(given)
        place = {"project": given.project, "drop_id": drop, "vendor": given.vendor, "name": given.name, "received_at": now()}
        drops.append({**place, "status": "accepted", "fingerprint": seen.fingerprint, "listing": seen.listing, "content_sha256": "0" * 64})
        gates += [
            {"project": given.project, "asset": asset, "partition": drop, "version": "v", "outcome": "pass", "at": now()}
            for asset in waiting.DROP_CHAIN
        ]
    for ledger, rows in ((store.drops, drops), (store.gates, gates)):
        frame = pd.DataFrame(rows).assign(seq=range(1, len(rows) + 1), prev_hash="", row_hash="")
        contract = CONTRACTS[ledger.contract.name]
        write_deltalake(ledger.uri, manifest.to_arrow(manifest.conform(frame, contract), contract), mode="append")


def tick(spec: ProjectSpec, instance: dg.DagsterInstance, store: Store, cursor: str | None = None) -> tuple[dg.SensorResult, float]:
    """What the drop sensor answers, and how many seconds of work that took."""
    keys = assets.Keys.of(spec.name)
    sensor = next(made for made in sensors.build(spec, keys, runs.jobs_of(spec, keys.batches)) if made.name.endswith("_vendor_drop_sensor"))
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store})
    started = time.process_time()
    answer = sensor(context)
    seconds = time.process_time() - started
    return answer if isinstance(answer, dg.SensorResult) else dg.SensorResult(cursor=context.cursor), seconds


def walk(folder: str) -> int:
    """Files below a folder, each with its size: what nobody can go below who wants to notice a change."""
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            count += walk(entry.path) if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False).st_size >= 0
    return count


def main() -> None:
    known, new = (int(given) for given in (sys.argv[1:] + ["10000", "100"][len(sys.argv) - 1 :])[:2])
    spec = load_project(defs_root() / "dresses" / "defs.yaml")
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp() as instance:
        home = Home.at(Path(folder) / "home")
        runs.prepare(home)
        enter(Store(home), [deliver(home, f"known-{number:05d}") for number in range(known)])
        for number in range(new):
            deliver(home, f"new-{number:05d}")
        started = time.process_time()
        files = walk(str(home.root / "landing"))
        bare = time.process_time() - started
        print(f"{known} known drops, {new} new ones, {files} files: walking alone {bare:.2f} s")
        cursor, asked, number = None, 0, 0
        while number < 2 or asked < new:
            number += 1
            cursor, made = tell(f"tick {number}", spec, instance, Store(home), cursor, bare)
            asked += made
        for stray in range(STRAYS):
            (home.landing("dresses") / "atelier" / f"loose-{stray:06d}.jpg").touch()
        for number in (1, 2):
            cursor, _ = tell(f"tick {number} beside {STRAYS} loose files", spec, instance, Store(home), cursor, bare)


def tell(
    what: str, spec: ProjectSpec, instance: dg.DagsterInstance, store: Store, cursor: str | None, bare: float
) -> tuple[str | None, int]:
    """Tick once and print what it took."""
    result, seconds = tick(spec, instance, store, cursor)
    asked, size = len(result.run_requests or []), len(result.cursor or "")
    is_well = seconds < MOST_S and size < MOST_BYTES
    print(
        f"{what}: {seconds:.2f} s, {seconds / bare:.1f} x walking alone, {seconds / MOST_S:.2f} of what it may take, "
        f"{asked} runs asked for, cursor {size} bytes{'' if is_well else ': TOO MUCH'}",
        flush=True,
    )
    return result.cursor, asked


if __name__ == "__main__":
    main()
