"""Intake beside a bare loop that reads, hashes and writes the same files with the same promise about the disk.

    python benchmarks/intake.py [--files 20000] [--bytes 60000] [--runs 3]

Both sides read every file of one folder, take its sha256 and keep it under that name in 65,536 folders. The promise of both: the bytes
of a few hundred files are brought to the disk together (syncfs), and only then get their names; at the end the names are on the disk
too. Intake does besides: rows with reasons, a journal to resume from, headers read in bounded children, names and duplicates judged.
Runs take turns, so that both see the same disk; the ratio is bare seconds / intake seconds, of the medians. Peak memory is that of a
process that does the intake alone.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

BATCH = 512


def make(folder: Path, files: int, size: int) -> None:
    """Different JPEG files of about `size` bytes: one real header, then noise that no header parser reads."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    body = np.random.default_rng(2).bytes(max(0, size - buffer.tell()))
    for number in range(files):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(buffer.getvalue() + number.to_bytes(8, "big") + body)


def bare(folder: Path, store: Path) -> None:
    """Read, hash, write; syncfs for each batch before its files get their names."""
    from dataops_assets.atomic import sync

    pending: list[tuple[str, str]] = []
    (store / "tmp").mkdir(parents=True)

    def settle() -> None:
        sync(str(store), [name for name, _ in pending])
        for name, sha256 in pending:
            shard = f"{store}/blobs/{sha256[:2]}/{sha256[2:4]}"
            os.makedirs(shard, exist_ok=True)
            os.replace(name, f"{shard}/{sha256}")
        pending.clear()

    for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
        with open(path, "rb") as file:
            data = file.read()
        name = f"{store}/tmp/{number}"
        with open(name, "wb") as file:
            file.write(data)
        pending.append((name, hashlib.sha256(data).hexdigest()))
        if len(pending) == BATCH:
            settle()
    settle()
    sync(str(store), [])


def intake(folder: Path, store: Path) -> None:
    from dataops_assets.blobs import Blobs
    from dataops_assets.intake.journal import Journal
    from dataops_assets.intake.landing import Delivery
    from dataops_assets.projects import load_project
    from dataops_assets.stages.raw_images import receive

    spec = load_project(Path(__file__).resolve().parents[1] / "dataops_assets/defs/garments/defs.yaml")
    delivery = Delivery("garments", "acme", folder.name, folder, False)
    receipt = receive(delivery, "d", spec, Blobs(str(store)), Journal(store / "journal"))
    assert receipt.status == "accepted", receipt.reason


def timed(side: str, folder: Path, root: Path) -> tuple[float, float]:
    """Seconds of one side in a process of its own (its imports not counted) and its peak memory in MB."""
    store = root / "store"
    os.sync()
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--store", str(store)]
    seconds, peak = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    shutil.rmtree(store)
    os.sync()
    return float(seconds), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=60_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", choices=["bare", "intake"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        import dataops_assets.atomic
        import dataops_assets.stages.raw_images  # noqa: F401

        started = time.perf_counter()
        {"bare": bare, "intake": intake}[given.side](given.folder, given.store)
        print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory() as place:
        root, folder = Path(place), Path(place) / "delivery"
        folder.mkdir()
        make(folder, given.files, given.bytes)
        print(f"{given.files:,} files of {given.bytes:,} bytes, {given.runs} runs a side, in turns")
        seconds: dict[str, list[float]] = {"bare": [], "intake": []}
        peaks: dict[str, float] = {}
        for number in range(given.runs):
            for side in list(seconds)[:: 1 if number % 2 == 0 else -1]:
                took, peaks[side] = timed(side, folder, root)
                seconds[side].append(took)
        for side, took_all in seconds.items():
            each = statistics.median(took_all) / given.files * 1e3
            shown = sorted(round(took, 1) for took in took_all)
            print(f"{side:<8} {statistics.median(took_all):8.2f} s  {each:6.3f} ms a file  peak {peaks[side]:5.0f} MB  {shown}")
        ratio = statistics.median(seconds["bare"]) / statistics.median(seconds["intake"])
        print(f"ratio bare/intake {ratio:.2f}  (wanted: at least 0.7)")


if __name__ == "__main__":
    main()
