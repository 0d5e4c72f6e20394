"""Seconds a small drop takes through the live daemon: python benchmarks/small_drops.py [--drops 100] [--default-drops 8]

Starts `dataops ui` in a home of its own, puts drops of 20 drawn dresses each into landing and waits until every one has a
released `augmented_set`; first with runs from the fork server, then with Dagster's default launcher. The time counts from
the moment the last drop lies there to the last release; the start of the UI is left out, the start of the fork server isn't.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from dataops_assets.home import Home
from dataops_assets.projects import load_project
from dataops_assets.simulate import vendors
from dataops_assets.store import Store

PACKAGE = Path(__file__).resolve().parent.parent / "dataops_assets"
PICTURES = 20
LIMIT_S = 3600.0


def prepare(root: Path, drops: int, is_default: bool) -> None:
    """A home with its deliveries, hidden from the sensor, and the shipped settings with or without our launcher."""
    spec = load_project(PACKAGE / "defs" / "dresses" / "defs.yaml")
    for number in range(drops):
        folder = root / "arriving" / f"drop-{number:03d}"
        vendors.deliver(spec, folder, "atelier", PICTURES, seed=1000 + number, spoil=vendors.CLEAN)
    settings = yaml.safe_load((PACKAGE / "dagster.yaml").read_text())
    if is_default:
        del settings["run_launcher"]
    (root / "dagster").mkdir()
    (root / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(settings))


@contextmanager
def platform(root: Path) -> Iterator[None]:
    """A running `dataops ui`, on ports that nothing else uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "dataops_assets.cli", "ui", "--home", str(root), "--port", str(port)]
    with open(root / "ui.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the UI did not start: {(root / 'ui.log').read_text()[-2000:]}")
            time.sleep(1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5):
            return True
    except OSError:
        return False


def released(store: Store) -> int:
    """How many drops have a released `augmented_set`."""
    gates = store.gates.rows()
    return int(gates.loc[(gates["asset"] == "augmented_set") & (gates["outcome"] == "pass"), "partition"].nunique())


def seconds_a_drop(drops: int, is_default: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="small-drops-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        prepare(root, drops, is_default)
        with platform(root):
            landing = root / "landing" / "dresses" / "atelier"
            landing.mkdir(parents=True, exist_ok=True)
            for drop in sorted((root / "arriving").iterdir()):
                drop.rename(landing / drop.name)
            started = time.monotonic()
            store = Store(Home.at(root))
            done = 0
            while done < drops and time.monotonic() - started < LIMIT_S:
                time.sleep(2)
                if released(store) > done:
                    done = released(store)
                    print(f"  {done} of {drops} after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            if done < drops:
                raise SystemExit(f"only {done} of {drops} drops were released: {(root / 'ui.log').read_text()[-3000:]}")
            return (time.monotonic() - started) / drops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drops", type=int, default=100, help="drops for the fork server")
    parser.add_argument("--default-drops", type=int, default=8, help="drops for Dagster's default launcher; 0 leaves it out")
    asked = parser.parse_args()
    forked = seconds_a_drop(asked.drops, is_default=False)
    print(f"fork server:      {forked:5.1f} s a drop of {PICTURES} pictures ({asked.drops} drops)", flush=True)
    if asked.default_drops:
        default = seconds_a_drop(asked.default_drops, is_default=True)
        print(f"default launcher: {default:5.1f} s a drop ({asked.default_drops} drops), {default / forked:.1f} x")


if __name__ == "__main__":
    main()
