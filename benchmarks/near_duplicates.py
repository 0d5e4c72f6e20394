"""How well and how fast near duplicates are found: python benchmarks/near_duplicates.py [FOLDER of photos] [--oracle PYTHON]

With a folder: known edits of its photos, all photos being distinct, and the precision and recall of each setting. Always: time and
peak memory of searching and grouping up to a million hashes, each in a process of its own. With the Python of an environment that has
imagededup (its torch isn't needed): the same figures of its PHash beside ours, its search for as many hashes as it does in a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dataops_assets.imaging.decode import Decoded, decode, encode
from dataops_assets.imaging.duplicates import calc_colour_grid, calc_phash, find_leaders, near_duplicates
from dataops_assets.imaging.view import WORKING_SIDE_PX, View

SECONDS = 60
MILLION = 1_000_000
CASES = ["leaders", "with colours", "equal clump", "near clump", "all near", "new 1000", "new 10000", "new 100000", "turned"]

# imagededup imports torch for its networks; its hashes do without.
ORACLE = """
import json, logging, sys, time, types
for name in ("imagededup.methods.cnn", "imagededup.utils.models"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].CNN = sys.modules[name].CustomModel = None
import numpy as np
from imagededup.methods import PHash
logging.disable()
hasher, started = PHash(verbose=False), time.perf_counter()
if sys.argv[1] == "hash":
    found = hasher.encode_images(image_dir=sys.argv[2], num_enc_workers=0)
else:
    hashes = np.random.default_rng(0).integers(0, 2**64, int(sys.argv[2]), dtype=np.uint64)
    names = {str(place): f"{int(value):016x}" for place, value in enumerate(hashes)}
    started = time.perf_counter()
    hasher.find_duplicates(encoding_map=names, max_distance_threshold=7)
    found = {}
print(json.dumps([time.perf_counter() - started, found]))
"""

Picture = Any
Row = list[Any]


def cut(pixels: Picture, share: float) -> Picture:
    height, width = pixels.shape[:2]
    top, left = round(height * share / 2), round(width * share / 2)
    return np.ascontiguousarray(pixels[top : height - top, left : width - left])


def rotate(pixels: Picture, degrees: float) -> Picture:
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(pixels, turn, (width, height), borderMode=cv2.BORDER_REFLECT)


def mark(pixels: Picture) -> Picture:
    """With a translucent watermark across."""
    height, width = pixels.shape[:2]
    drawn = cv2.putText(pixels.copy(), "SAMPLE SHOP", (width // 10, height // 2), cv2.FONT_HERSHEY_SIMPLEX, width / 300, (255,) * 3, 3)
    return cv2.addWeighted(drawn, 0.5, pixels, 0.5, 0)


def scale(pixels: Picture, factor: float) -> Picture:
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


EDITS: dict[str, Callable[[Picture], bytes]] = {
    "as is": lambda pixels: encode(pixels),
    "quality 60": lambda pixels: jpeg(pixels, 60),
    "quality 30": lambda pixels: jpeg(pixels, 30),
    "half size": lambda pixels: encode(scale(pixels, 0.5)),
    "double size": lambda pixels: encode(scale(pixels, 2)),
    "crop 2 %": lambda pixels: encode(cut(pixels, 0.02)),
    "crop 5 %": lambda pixels: encode(cut(pixels, 0.05)),
    "crop 10 %": lambda pixels: encode(cut(pixels, 0.1)),
    "blur 2 px": lambda pixels: encode(cv2.GaussianBlur(pixels, (0, 0), 2)),
    "contrast x 1.3": lambda pixels: encode(cv2.convertScaleAbs(pixels, alpha=1.3, beta=-38)),
    "brightness + 30": lambda pixels: encode(cv2.add(pixels, np.full_like(pixels, 30))),
    "rotated 1 deg": lambda pixels: encode(rotate(pixels, 1)),
    "rotated 3 deg": lambda pixels: encode(rotate(pixels, 3)),
    "watermark": lambda pixels: encode(mark(pixels)),
    "mirrored": lambda pixels: encode(np.ascontiguousarray(pixels[:, ::-1])),
    "turned 90 deg": lambda pixels: encode(np.ascontiguousarray(np.rot90(pixels))),
}
TURNED = {"mirrored", "turned 90 deg"}


def jpeg(pixels: Picture, quality: int) -> bytes:
    return cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def show(title: str, head: Row, rows: list[Row]) -> None:
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    print(f"\n{title}")
    for row in cells:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def measure_accuracy(folder: Path, edited_photos: int, oracle: str | None) -> None:
    paths = sorted(folder.rglob("*.jpg"))
    every = max(1, len(paths) // edited_photos)
    photos, edits, hashes, grids = [], [], [], []
    theirs = None
    with tempfile.TemporaryDirectory() as kept:
        for number, path in enumerate(paths):
            pixels = decode(path.read_bytes()).pixels
            for place, make in enumerate(EDITS.values() if number % every == 0 else [EDITS["as is"]]):
                data = make(pixels)
                view = View.of(decode(data, enough_px=WORKING_SIDE_PX))
                photos.append(number)
                edits.append(place)
                hashes.append(calc_phash(view.half))
                grids.append(calc_colour_grid(view.samples))
                if oracle:
                    (Path(kept) / f"{len(hashes):08}.jpg").write_bytes(data)
        if oracle:
            _, found = ask(oracle, "hash", kept, seconds=None)
            theirs = np.array([int(found[name], 16) for name in sorted(found)], dtype=np.uint64)
    photo, edit, ours = np.array(photos), np.array(edits), np.array(hashes, dtype=np.uint64)
    edited_count, originals = len(range(0, len(paths), every)), len(paths) * (len(paths) - 1) // 2
    print(f"{len(paths)} photos, {len(EDITS) - 1} edits of {edited_count} of them, seen at {WORKING_SIDE_PX} px")
    finders: dict[str, Callable[[int], Any]] = {
        "hash": lambda bits: near_duplicates(ours, bits),
        "hash, colours": lambda bits: near_duplicates(ours, bits, grids=grids),
        "hash, turned": lambda bits: near_duplicates(ours, bits, transforms=True),
        "hash, colours, turned": lambda bits: near_duplicates(ours, bits, grids=grids, transforms=True),
    }
    if theirs is not None:
        finders["imagededup PHash"] = lambda bits: near_duplicates(theirs, bits)
    upright = np.array([name not in TURNED for name in EDITS])
    rows, by_edit = [], {}
    for name, find in finders.items():
        for bits in range(3, 11):
            first, second = find(bits).T
            same = photo[first] == photo[second]
            hits = np.bincount(edit[second[same & (edit[first] == 0)]], minlength=len(EDITS)) / edited_count
            strangers = int((~same & (edit[first] == 0) & (edit[second] == 0)).sum())
            recall = float(hits[upright][1:].mean()), float(hits[~upright].mean())
            rows.append([name, bits, *recall, f"{same.mean():.5f}", strangers])
            if bits == 7:
                by_edit[name] = hits
    head = ["", "bits", "recall", "recall of mirrored, turned", "precision", f"wrong of {originals} pairs of photos"]
    show("Edits found, and how many of the pairs found, edits included, show one photo", head, rows)
    per_edit = [[name, *(float(hits[place]) for hits in by_edit.values())] for place, name in enumerate(EDITS) if place]
    show("Recall by edit, 7 bits", ["", *by_edit], per_edit)


def ask(oracle: str, *words: str, seconds: float | None) -> Any:
    """What imagededup takes and finds; TimeoutExpired after so many seconds."""
    ran = subprocess.run([oracle, "-c", ORACLE, *words], capture_output=True, text=True, timeout=seconds)
    if ran.returncode:
        raise SystemExit(f"imagededup doesn't run in {oracle}:\n{ran.stderr[-600:]}")
    return json.loads(ran.stdout.strip().splitlines()[-1])


def drawn(rng: np.random.Generator, count: int) -> Any:
    return rng.integers(0, 2**64, count, dtype=np.uint64)


def edited(rng: np.random.Generator, hashes: Any) -> Any:
    """Each with up to six bits flipped."""
    for _ in range(6):
        bit = np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64)
        hashes = hashes ^ bit * rng.integers(0, 2, len(hashes), dtype=np.uint64)
    return hashes


def case(name: str, count: int) -> dict[str, Any]:
    """Run one case in this process."""
    if name == "hashing":
        return hashing()
    rng = np.random.default_rng(0)
    hashes = drawn(rng, count)
    planted = count // 50
    hashes[-planted:] = edited(rng, hashes[:planted])
    options: dict[str, Any] = {}
    if name == "equal clump":
        hashes[rng.permutation(count)[: count // 10]] = 0
    if name == "near clump":
        places = rng.permutation(count)[: count // 10]
        hashes[places] = edited(rng, np.zeros(len(places), dtype=np.uint64))
    if name == "all near":
        hashes = edited(rng, np.zeros(count, dtype=np.uint64))
    if name == "with colours":
        options["grids"] = [grid.tobytes() for grid in rng.integers(120, 136, (count, 32), dtype=np.uint8)]
    if name == "turned":
        options["transforms"] = True
    if name.startswith("new "):
        options["settled"] = count - int(name.split()[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    found = near_duplicates(hashes, 7) if name == "pairs" else find_leaders(hashes, 7, **options)
    return {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - worked,
        "before": before // 1024,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "found": len(found) if name == "pairs" else int((found != np.arange(count)).sum()),
    }


def child(name: str, count: int) -> dict[str, Any]:
    """Run one case in a process of its own, in the environment of the workers."""
    command = [sys.executable, __file__, "--case", name, str(count)]
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=alone).stdout)


def hashing() -> dict[str, Any]:
    """Microseconds a picture, without its decoding."""
    view = View.of(Decoded(np.random.default_rng(0).integers(0, 256, (267, 200, 3), dtype=np.uint8)))
    calls: dict[str, Callable[[], Any]] = {"hash": lambda: calc_phash(view.half), "colour grid": lambda: calc_colour_grid(view.samples)}
    return {name: np.median([timed(call) for _ in range(2000)]) * 1e6 for name, call in calls.items()}


def timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure_speed() -> None:
    took = child("hashing", 0)
    print(f"Of the view of a photo, the hash takes {took['hash']:.0f} us, the colour grid {took['colour grid']:.0f} us")
    cases = [("pairs", MILLION // 100), ("pairs", MILLION // 10), ("pairs", MILLION), *((name, MILLION) for name in CASES)]
    rows = []
    for name, count in cases:
        took = child(name, count)
        rows.append([name, count, f"{took['seconds']:.2f}", f"{took['cpu']:.2f}", took["before"], took["peak"], took["found"]])
    head = ["", "hashes", "seconds", "cpu seconds", "MB before", "MB peak", "pairs or followers"]
    show("Search and grouping, 7 bits, 2 % planted near duplicates; a clump is a tenth of all", head, rows)


def compare_search(oracle: str) -> None:
    count = 1_000
    while True:
        try:
            seconds, _ = ask(oracle, "search", str(count), seconds=SECONDS)
        except subprocess.TimeoutExpired:
            break
        ours = min(case("pairs", count)["seconds"] for _ in range(3))
        print(f"imagededup's search of {count} hashes: {seconds:.2f} s; ours: {ours:.3f} s, {seconds / ours:.0f} x as fast")
        count *= 2
    print(f"imagededup's search of {count} hashes: over {SECONDS} s; its time grows with the square of their number")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--photos", type=int, default=150, help="photos to make edits of")
    parser.add_argument("--oracle", help="Python of an environment with imagededup")
    parser.add_argument("--only", choices=["accuracy", "speed", "search"])
    parser.add_argument("--case", nargs=2, metavar=("NAME", "HASHES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(case(given.case[0], int(given.case[1]))))
        return
    if given.oracle is None:
        print("No --oracle: imagededup isn't compared.")
    if given.folder is None:
        print("No folder of photos: accuracy isn't measured.")
    if given.folder and given.only in (None, "accuracy"):
        measure_accuracy(given.folder, given.photos, given.oracle)
    if given.only in (None, "speed"):
        measure_speed()
    if given.oracle and given.only in (None, "search"):
        compare_search(given.oracle)


if __name__ == "__main__":
    main()
