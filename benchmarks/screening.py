"""What screening costs, side by side with bare decoding, CleanVision and imagededup.

    python benchmarks/screening.py [FOLDER] [--oracle PYTHON] [--large N] [--photos 900] [--larger 300] [--rounds 3]

Photos are FOLDER's JPEGs as they are, and the same three times as large (Lanczos, with seeded film grain, quality 85: files of a phone's
size). Each contender does the same files of the same blob store on all cores, in turns, from nothing to result: the start of its
processes is in its time (forked, as in a Dagster run), its imports aren't. Medians of the rounds. Other work on the machine disturbs
the time that passes, hardly the processor time, so there are ratios of both. Then: each step and check apart; what the stage costs with
each check switched on; time and memory from 1,000 pictures to N, which are cut from the photos.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import simplejpeg
from bare import decode_bare
from drops import CUT_BYTES, ENLARGED, PHOTOS, Drop, cut, drop_of, enlarge, read_photos, spread, table

from dataops_assets import manifest
from dataops_assets.apart import Apart
from dataops_assets.blobs import Blobs
from dataops_assets.checkpoint import Checkpoint
from dataops_assets.imaging import composition, measures, nursery, workers
from dataops_assets.imaging.decode import MAX_PIXELS, decode, encode, shrink
from dataops_assets.imaging.duplicates import calc_colour_grids, calc_phash, find_leaders
from dataops_assets.imaging.likeness import Compared, Model, compare_with, embed
from dataops_assets.imaging.personal_data import text, text_hint
from dataops_assets.imaging.personal_data.faces import faces
from dataops_assets.imaging.personal_data.metadata import metadata
from dataops_assets.imaging.personal_data.plates import plates
from dataops_assets.imaging.screening import Measured
from dataops_assets.imaging.view import WORKING_SIDE_PX, View
from dataops_assets.spec import Cleaning, PersonalData, Relevance
from dataops_assets.stages.cleaned_set import screen

CORES = os.cpu_count() or 1
CHECKED = 96  # photos on which checks are measured one by one; reading text takes half a second
EMPTY = manifest.empty("cleaned_set")
HELD = "0" * 64
HOW = """make an environment for the others, and name its Python with --oracle:
    python3 -m venv oracle && oracle/bin/pip install cleanvision scikit-learn tqdm && oracle/bin/pip install --no-deps imagededup"""

# imagededup imports torch for its networks; its hashes do without. Both use all cores by default.
ORACLE = """
import json, logging, os, sys, time, types
logging.disable()
if sys.argv[1] == "CleanVision":
    from cleanvision import Imagelab
    def work():
        Imagelab(data_path=sys.argv[2], verbose=False).find_issues(verbose=False)
else:
    for name in ("imagededup.methods.cnn", "imagededup.utils.models"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].CNN = sys.modules[name].CustomModel = None
    from imagededup.methods import PHash
    def work():
        hasher = PHash(verbose=False)
        hasher.find_duplicates(encoding_map=hasher.encode_images(image_dir=sys.argv[2]), max_distance_threshold=7)
started, worked = time.perf_counter(), sum(os.times()[:4])
work()
print()
print(json.dumps([time.perf_counter() - started, sum(os.times()[:4]) - worked]))
"""

Row = list[Any]


@dataclass(frozen=True)
class Cost:
    """Seconds that passed, and seconds of all processors."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=PHOTOS, help="JPEGs; where there are none, rooms are drawn")
    parser.add_argument("--oracle", help="Python of an environment with CleanVision and imagededup")
    parser.add_argument("--large", type=int, default=10_000, metavar="N", help="most pictures of one drop")
    parser.add_argument("--photos", type=int, default=900, help="as they are")
    parser.add_argument("--larger", type=int, default=300, help=f"and {ENLARGED} times as large")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.large < 1_000:
        parser.error("--large is at least 1000: growth begins there")
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # as in a run; its threads would be there before the fork
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | workers.ENVIRONMENT)
    cv2.setNumThreads(1)
    workers.warm_up()
    gc.collect()
    gc.freeze()  # as the fork server does
    nursery.start(workers.serve)
    with tempfile.TemporaryDirectory(prefix="screening-") as home:
        files = read_photos(given.folder, given.photos)
        with forked() as pool:
            large = pool.map(enlarge, list(enumerate(spread(files, given.larger))), chunksize=8)
        drops = [drop_of(Path(home) / name, name, held) for name, held in (("as they are", files), (f"x {ENLARGED}", large))]
        for drop, held in zip(drops, (files, large), strict=True):
            sides = np.median([max(simplejpeg.decode_jpeg_header(data)[:2]) for data in held])
            print(f"Photos {drop.name}: {len(held)}, {sides:.0f} px, {sum(map(len, held)) / len(held) / 1000:.0f} kB a file")
        print(f"{CORES} cores, load {os.getloadavg()[0]:.1f}")
        raced = [race(drop, given.rounds, given.oracle) for drop in drops]
        compared = refer(given.folder, files, Path(home))
        stepped = show_steps(drops, compared.model)
        show_checks(drops, compared)
        nursery.stop()
        grown = show_growth(Path(home) / "cut", drops[0], given.large)
    show_claims(raced, stepped, grown)
    if given.oracle is None:
        print(f"\nCleanVision and imagededup aren't compared: {HOW}")


def refer(folder: Path, files: Sequence[bytes], home: Path) -> Compared:
    """Every tenth photo as a reference of its folder's class."""
    photos = [(path.parent.name, path.read_bytes()) for path in sorted(folder.rglob("*.jpg"))[::10]]
    for number, (name, data) in enumerate(photos or [("room", data) for data in files[:10]]):
        target = home / "references" / name / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return compare_with(home / "references", (), Model(str(home / "models")))


# Contenders


def forked() -> Any:
    return multiprocessing.get_context("fork").Pool(CORES, cv2.setNumThreads, (1,))


def decode_pooled(drop: Drop) -> None:
    with forked() as pool:
        pool.map(partial(decode_bare, drop.apart.common), list(drop.raw["sha256"]), chunksize=16)


def decode_ours(drop: Drop) -> None:
    for _ in workers.map_blobs(decode_bare, list(drop.raw["sha256"]), drop.apart, items_per_message=workers.ITEMS_PER_MESSAGE):
        pass


def start_only(drop: Drop) -> None:
    """Start workers that make a Measured each and decode nothing."""
    for _ in workers.map_blobs(Measured, list(drop.raw["sha256"].head(CORES)), drop.apart, items_per_child=1):
        pass


def prepared(drop: Drop) -> Checkpoint:
    """In which every picture's cleaned file stands already."""
    checkpoint = Checkpoint()
    checkpoint.held = {f"Prepared {sha256}  ": {"clean_sha256": HELD} for sha256 in drop.raw["sha256"]}
    return checkpoint


def judge(drop: Drop, checkpoint: Checkpoint | None = None) -> pd.DataFrame:
    """Quality and duplicates: the stage with the cleaned files at hand, so that none is prepared."""
    frame = whole(drop, Cleaning(), checkpoint=checkpoint or prepared(drop))
    if set(frame["clean_sha256"].dropna()) - {HELD}:
        raise SystemExit("the stage prepared pictures that stood in its checkpoint; has the checkpoint's form changed?")
    return frame


def whole(drop: Drop, spec: Cleaning, **options: Any) -> pd.DataFrame:
    return screen(drop.raw, EMPTY, spec, MAX_PIXELS, drop.apart, **options)


def forget(drop: Drop, frame: pd.DataFrame) -> None:
    """Remove the cleaned pictures: the next contender has to write its own."""
    for sha256 in set(frame["clean_sha256"].dropna()) - set(drop.raw["sha256"]) - {HELD}:
        for path in (drop.apart.path(sha256), drop.apart.apart(sha256)):
            Path(path).unlink(missing_ok=True)


def timed(call: Callable[[], Any], after: Callable[[Any], None] = lambda result: None) -> Cost:
    worked, started = processors(), time.perf_counter()
    result = call()
    cost = Cost(time.perf_counter() - started, processors() - worked)
    after(result)
    return cost


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(*np.median([[cost.wall, cost.cpu] for cost in costs], axis=0).tolist())


def processors() -> float:
    """Seconds of processor that this process and all below it have taken, those that are gone included."""
    ticks = 0
    for pid in descendants(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return sum(os.times()[:4]) + ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> Iterator[int]:
    children = ""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    for child in children.split():
        yield int(child)
        yield from descendants(int(child))


def ask(oracle: str, name: str, folder: Path) -> Cost:
    ran = subprocess.run([oracle, "-c", ORACLE, name, str(folder)], capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{name} doesn't run in {oracle}:\n{ran.stderr[-600:]}\n{HOW}")
    return Cost(*json.loads(ran.stdout.strip().splitlines()[-1]))


BARE: dict[str, Callable[[Drop], None]] = {"plain pool": decode_pooled, "our workers": decode_ours}


# Tables


def race(drop: Drop, rounds: int, oracle: str | None) -> dict[str, Cost]:
    """Median costs of each contender; all take turns, quick ones more often."""
    bare_ones = {f"bare decoding, {name}": partial(timed, partial(run, drop)) for name, run in BARE.items()}
    quick: dict[str, Callable[[], Cost]] = bare_ones | {
        "start of our workers alone": partial(timed, partial(start_only, drop)),
        "quality + duplicates": partial(timed, partial(judge, drop)),
    }
    slow = {"whole stage, by default": lambda: timed(lambda: whole(drop, Cleaning()), partial(forget, drop))}
    if oracle is not None:
        slow |= {name: partial(ask, oracle, name, drop.folder) for name in ("imagededup", "CleanVision")}
    turns = [*(list(quick.items()) * 3), *slow.items()] * rounds
    costs: dict[str, list[Cost]] = {}
    for name, run in turns:
        costs.setdefault(name, []).append(run())
    found = {name: median(of) for name, of in costs.items()}
    best = min((found[name] for name in bare_ones), key=lambda cost: cost.wall)
    count, rows = len(drop.raw), []
    for name, cost in found.items():
        ms = [1000 * cost.wall * CORES / count, 1000 * cost.cpu / count]
        rows.append([name, f"{count / cost.wall:.0f}", *ms, best.wall / cost.wall, best.cpu / cost.cpu])
    head = ["", "images/s", "ms an image a core", "ms of processor", "speed, bare decoding = 1", "by processor"]
    show(f"{count} photos {drop.name}, all cores, median of {rounds} rounds ({3 * rounds} of the quick ones)", head, rows)
    return found | {"bare decoding": best}


def step_costs(shas: Sequence[str], blobs: Blobs, model: Model) -> dict[str, float]:
    """Seconds of processor of each step on a message of pictures, everything being loaded."""
    load(model)
    return take_steps([partial(blobs.read, sha256) for sha256 in shas], model)


@cache
def load(model: Model) -> None:
    """Have a page with text go through all steps."""
    page = np.full((200, 800, 3), 255, np.uint8)
    cv2.putText(page, "warm and ready 0123456789", (20, 100), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (0, 0, 0), 2)
    take_steps([partial(encode, page)], model)


def take_steps(reads: Sequence[Callable[[], bytes]], model: Model) -> dict[str, float]:
    costs: dict[str, float] = {}

    def take(name: str, call: Callable[..., Any], *inputs: Sequence[Any]) -> list[Any]:
        started = time.process_time()
        results = [call(*each) for each in zip(*inputs, strict=True)]
        costs[name] = time.process_time() - started
        return results

    files = take("read from the store", lambda read: read(), reads)
    decoded = take("decode small", partial(decode, enough_px=WORKING_SIDE_PX), files)
    views = take("working view", View.of, decoded)
    take("halves and steps", lambda view: (view.half, view.steps_right, view.steps_down), views)
    take("all scores", measures.calc_scores_of, [views])
    take("  of these, composition", composition.calc_scores_of, [views])
    take("hash", lambda view: calc_phash(view.half), views)
    take("colour grids", calc_colour_grids, [np.concatenate([view.samples for view in views])])
    pixels = take("decode in full", lambda data: decode(data).pixels, files)
    pixels = take("scale to 1600 px", partial(shrink, max_side_px=Cleaning().max_side_px), pixels)
    take("encode the cleaned file", encode, pixels)
    take("faces", faces, pixels)
    take("metadata", metadata, files)
    parts = take("text: is there any", text_hint.text_part, pixels)
    take("text: reading", lambda one, part: text.read_text(one, part) if part else None, pixels, parts)
    take("plates", plates, pixels)
    take("embedding", partial(embed, model=model), pixels)
    return costs


def show_steps(drops: Sequence[Drop], model: Model) -> list[dict[str, float]]:
    """Mean ms an image of each step, by photos."""
    found = []
    for drop in drops:
        shas = spread(list(drop.raw["sha256"]), CHECKED)
        messages = [shas[start : start + workers.ITEMS_PER_MESSAGE] for start in range(0, len(shas), workers.ITEMS_PER_MESSAGE)]
        with forked() as pool:
            costs = pool.map(partial(step_costs, blobs=drop.apart.common, model=model), messages, 1)
        checkpoint = prepared(drop)
        hashes = judge(drop, checkpoint)["phash"].dropna()
        started = time.process_time()
        judge(drop, checkpoint)
        judged = time.process_time()
        find_leaders(np.array([int(one, 16) for one in hashes], dtype=np.uint64), 7)
        means = {name: sum(one[name] for one in costs) / len(shas) for name in costs[0]}
        means["judging the drop, duplicates included"] = (judged - started) / len(drop.raw)
        means["  of this, near-duplicate search"] = (time.process_time() - judged) / len(drop.raw)
        found.append({name: 1000 * seconds for name, seconds in means.items()})
    rows = [[name, *(ms[name] for ms in found)] for name in found[0]]
    show(f"Each step by itself: ms of processor an image, mean of {CHECKED} photos", ["", *(drop.name for drop in drops)], rows)
    return found


def show_checks(drops: Sequence[Drop], compared: Compared) -> None:
    """What the stage costs with each check."""
    kinds: dict[str, tuple[str, ...]] = {"nothing looked for": (), "faces": ("face",), "metadata": ("metadata",)}
    kinds |= {"faces and metadata (default)": ("face", "metadata"), "plates": ("plate",), "text": ("text",)}
    checks = {name: (Cleaning(personal_data=PersonalData(look_for=chosen)), None) for name, chosen in kinds.items()}
    checks["relevance"] = (Cleaning(personal_data=PersonalData(look_for=()), relevance=Relevance(references=PHOTOS)), compared)
    rows: dict[str, Row] = {name: [name] for name in checks}
    for drop in drops:
        few = Drop(drop.name, drop.apart, table(spread(list(drop.raw["sha256"]), CHECKED)), drop.folder)
        costs: dict[str, list[float]] = {name: [] for name in checks}
        for _ in range(3):
            for name, (spec, given) in checks.items():
                run = partial(whole, few, spec, compared=given)
                costs[name].append(1000 * timed(run, partial(forget, few)).cpu / len(few.raw))
        ms = {name: float(np.median(of)) for name, of in costs.items()}
        for name, row in rows.items():
            row += [f"{ms[name]:.1f}", f"{ms[name] - ms['nothing looked for']:+.1f}"]
    head = ["", *(part for drop in drops for part in (drop.name, "more"))]
    title = f"The whole stage by what is looked for: ms of processor an image, {CHECKED} photos, processes and models started anew"
    show(title, head, list(rows.values()))


def show_growth(home: Path, photos: Drop, most: int) -> list[Row]:
    """Quality and duplicates of ever more pictures: count, ms an image a core, MB of a worker."""
    needed, free = most * CUT_BYTES, shutil.disk_usage(home.parent).free
    if needed > free:
        raise SystemExit(f"{most} pictures need {needed / 1e9:.0f} GB below {home.parent}; free some, set TMPDIR, or lower --large")
    with forked() as pool:
        shas = list(dict.fromkeys(pool.imap(partial(cut, root=str(home), drop=photos), range(most), chunksize=256)))
    return grow(Drop("cut", Apart(Blobs(str(home)), "bench"), table(sorted(shas)), home))


def grow(cuts: Drop) -> list[Row]:
    rows = []
    first = timed(partial(start_only, cuts))  # the first workers are forked by an interpreter that has to be started
    with Watch() as empty:
        start = median([timed(partial(start_only, cuts)) for _ in range(3)])
    for count in sorted({min(count, len(cuts.raw)) for count in (1_000, 10_000, len(cuts.raw))}):
        drop, times = cuts.part(count), 1 if count > 10_000 else 3
        checkpoints = [prepared(drop) for _ in range(times)]
        bare_ones = median([timed(partial(decode_ours, drop)) for _ in range(times)])
        with Watch() as watch:
            every = median([timed(partial(judge, drop, checkpoint)) for checkpoint in checkpoints])
        judged: list[pd.DataFrame] = []
        known = timed(partial(judge, drop, checkpoints[0]), judged.append)
        twins = (judged[0]["reason"] == "near_duplicate").mean()
        wall, cpu = 1000 * CORES * (every.wall - start.wall) / count, [1000 * cost / count for cost in (every.cpu - start.cpu, known.cpu)]
        ratios = [bare_ones.wall / every.wall, bare_ones.cpu / every.cpu]
        rows.append([count, wall, *cpu, watch.peak_mb, empty.peak_mb, watch.parent_mb, *ratios, f"{100 * twins:.0f} %"])
    with Watch() as watch:
        frame = whole(cuts.part(1_000), Cleaning())
    forget(cuts, frame)
    head = ["pictures", "ms an image a core", "ms of processor", "of it judging", "MB a worker", "of it libraries", "MB of the run"]
    head += ["speed, bare decoding = 1", "by processor", "near duplicates"]
    show("Quality + duplicates of pictures cut from the photos, 400 x 533 px; the ms without the start of the workers", head, rows)
    print(f"  Where there is no fork server the first workers take {first.wall:.2f} s to start, later ones {start.wall:.2f} s.")
    print(f"  The whole stage, by default, takes {watch.peak_mb:.0f} MB a worker at 1,000 of these.")
    return rows


class Watch:
    """Peak resident MB of the largest of the workers below an interpreter of their own, and of this process."""

    def __enter__(self) -> Watch:
        self.peak_mb, self.parent_mb, self._ended = 0.0, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.parent_mb = max(self.parent_mb, _memory_mb(os.getpid(), "VmRSS:"))
            for pid in descendants(os.getpid()):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):  # it has ended
                    if workers.NURSERY in Path(f"/proc/{pid}/cmdline").read_text():  # before that it shares this process's memory
                        self.peak_mb = max(self.peak_mb, _memory_mb(pid, "VmHWM:"))


def _memory_mb(pid: int, what: str) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().split(what)[1].split()[0]) / 1024


CLAIMS = {"bare decoding": ((0.5, 0.75), (0.8, 0.9)), "CleanVision": ((12, 20), (22, 30)), "imagededup": ((2, 2), (4, 4))}


def show_claims(raced: Sequence[dict[str, Cost]], stepped: Sequence[dict[str, float]], grown: Sequence[Row]) -> None:
    """What is claimed, what was measured."""
    rows: list[Row] = []
    names = ("as they are", f"x {ENLARGED}")
    for other, claims in CLAIMS.items():
        for found, name, (least, aim) in zip(raced, names, claims, strict=True):
            if other in found:
                ours, theirs = found["quality + duplicates"], found[other]
                wall, cpu = theirs.wall / ours.wall, theirs.cpu / ours.cpu
                passed, worked = ("aim reached" if ratio >= aim else "reached" if ratio >= least else "MISSED" for ratio in (wall, cpu))
                verdict = passed if passed == worked else f"{passed}, {worked} by processor"
                rows.append([f"quality + duplicates, times as fast as {other}, {name}", wall, cpu, f">= {least}", f">= {aim}", verdict])
    limits = [(f"faces, ms an image a core, {name}", "", ms["faces"], 15) for name, ms in zip(names, stepped, strict=True)]
    limits.append(("MB of a worker, whatever the drop's size", max(row[4] for row in grown), "", 150))
    first, last = grown[0], grown[-1]
    limits.append((f"cost an image of {last[0]} pictures, of {first[0]} = 1", last[1] / first[1], last[2] / first[2], 1.2))
    for name, wall, cpu, most in limits:
        rows.append([name, wall, cpu, f"<= {most}", "", "reached" if (cpu or wall) <= most else "MISSED"])
    show("Claims", ["", "measured", "by processor", "claimed", "aim", ""], rows)


def show(title: str, head: Row, rows: list[Row]) -> None:
    cells = [[figure(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    print(f"\n{title}")
    for first, *rest in cells:
        print(
            "  ".join(["", first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]), flush=True
        )


def figure(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 20 else f"{value:.0f}"


if __name__ == "__main__":
    main()
