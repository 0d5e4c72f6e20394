"""How well relevance is judged, and what it costs: python benchmarks/relevance.py [CLASSES [FOREIGN ...]] [--rows N]

CLASSES holds a folder of JPEGs a class; FOREIGN are folders of any pictures that show none of them. By default both are those of the
shared test data; where it is absent this says so and ends. Charts, screens and
textures are drawn. The built-in model stands beside a colour histogram (HSV, 8 x 4 x 4 bins), judged by the same functions.
Figures are means over seeds; references are drawn at random and never judged themselves. `recall` is the share of foreign
pictures found at the threshold that sends 5 % of good ones to review; `at .05` is what the score's own threshold gives:
false alarms / foreign pictures found.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from dataops_assets.imaging.decode import Pixels, decode
from dataops_assets.imaging.embedding import Embedder, built_in
from dataops_assets.imaging.relevance import disagrees, neighbours, outliers, refer, score

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SEEDS = 10
SMALLEST_PX = 100
REFERENCES = (5, 10, 20)
MEMORY = """
from pathlib import Path
import cv2, numpy, simplejpeg
from dataops_assets.imaging.embedding import Embedder
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
before = peak()
Embedder.open(Path("{model}"), Path()).embed([numpy.zeros((533, 400, 3), numpy.uint8)] * 5)
print(f"{peak()} MB, of which {before} MB before the model")
"""


def main() -> None:
    arguments = parsed()
    if not arguments.classes.is_dir():
        sys.exit(f"no pictures at {arguments.classes}: name a folder with a folder of JPEGs a class")
    cv2.setNumThreads(1)
    labels, photos = [], []
    for path in sorted(arguments.classes.glob("*/*.jpg")):
        labels.append(path.parent.name)
        photos.append(decode(path.read_bytes()).pixels)
    foreign = {"photos": list(found(arguments.foreign)), "drawn": [draw(seed) for draw in (chart, screen, texture) for seed in range(20)]}
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        embedder = Embedder.open(None, Path(cache))
        print(f"model built and loaded in {time.perf_counter() - started:.2f} s")
        started = time.process_time()
        first = embedder.embed(photos)
        model_ms = 1000 * (time.process_time() - started) / len(photos)
        print(f"memory of a process that embeds: {memory(built_in(Path(cache)))}")
    started = time.process_time()
    second = histograms(photos)
    histogram_ms = 1000 * (time.process_time() - started) / len(photos)
    print(f"one core: embedding {model_ms:.1f} ms an image, histogram {histogram_ms:.1f} ms")
    print(f"{len(photos)} pictures of {len(set(labels))} classes, {len(foreign['photos'])} foreign photos, {len(foreign['drawn'])} drawn")
    spaces = {
        "model": (first, {name: embedder.embed(pictures) for name, pictures in foreign.items()}),
        "histogram": (second, {name: histograms(pictures) for name, pictures in foreign.items()}),
    }
    for name, (own, others) in spaces.items():
        print(f"\n{name}")
        print_classes(own, np.array(labels), others)
        print_outliers(own, others["photos"])
        print_mislabelled(own, np.array(labels))
    print_cost(arguments.rows, embedder.dimensions)


def print_classes(own: np.ndarray, labels: np.ndarray, others: dict[str, np.ndarray]) -> None:
    names = sorted(set(labels))
    votes = labels[neighbours(own, count=10).positions]
    right = [max(sorted(set(vote)), key=list(vote).count) == label for vote, label in zip(votes, labels, strict=True)]
    print(f"  majority of ten neighbours right: {np.mean(right):.3f}")
    for count in REFERENCES:
        rows: dict[str, list[tuple[float, ...]]] = {}
        for seed in range(SEEDS):
            chosen = draw_references(labels, count, seed)
            rest = np.setdiff1d(np.arange(len(labels)), chosen)
            references = refer(own[chosen], labels[chosen])
            good = score(own[rest], references)
            rows.setdefault("accuracy", []).append((np.mean(good.nearest == labels[rest]),))
            for name, rows_of in others.items():
                if len(rows_of):
                    rows.setdefault(f"all classes, foreign: {name}", []).append(told(good.score, score(rows_of, references).score))
            left = names[seed % len(names)]
            kept = chosen[labels[chosen] != left]
            references, good_rows = refer(own[kept], labels[kept]), rest[labels[rest] != left]
            alien = score(own[labels == left], references).score
            rows.setdefault("all but one, foreign: that one", []).append(told(score(own[good_rows], references).score, alien))
            if "dress" in names:
                for title, used in (("alone", chosen[labels[chosen] == "dress"]), ("with counter-examples", chosen)):
                    references = refer(own[used], labels[used], wanted=["dress"])
                    judged = score(own[rest], references).score
                    good_dress = judged[labels[rest] == "dress"]
                    for name in ("shoes", "pants"):
                        rows.setdefault(f"dress {title}, foreign: {name}", []).append(told(good_dress, judged[labels[rest] == name]))
                    rows.setdefault(f"dress {title}, foreign: the rest", []).append(told(good_dress, judged[labels[rest] != "dress"]))
        for name, values in rows.items():
            mean = np.mean(values, axis=0)
            if len(mean) == 1:
                print(f"  {count:2d} references: nearest class right {mean[0]:.3f}")
            else:
                area, recall, alarms, hits = mean
                print(f"    {name:45s} AUC {area:.3f}  recall {recall:.3f}  at .05: {alarms:.3f} / {hits:.3f}")


def print_outliers(own: np.ndarray, foreign: np.ndarray) -> None:
    """A drop of which 5 % are foreign photos."""
    for size in (20, 100, 800):
        values = []
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            good = own[rng.choice(len(own), size, replace=False)]
            alien = foreign[rng.choice(len(foreign), min(len(foreign), max(1, size // 20)), replace=False)]
            scores = outliers(neighbours(np.concatenate([good, alien])))
            values.append(told(scores[:size], scores[size:]))
        area, recall, alarms, hits = np.mean(values, axis=0)
        print(f"  outliers of a drop of {size}: AUC {area:.3f}  recall {recall:.3f}  at .05: {alarms:.3f} / {hits:.3f}")


def print_mislabelled(own: np.ndarray, labels: np.ndarray) -> None:
    """5 % of categories are changed to another at random. Labels that were wrong before count as false alarms."""
    near, names = neighbours(own), sorted(set(labels))
    values = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        given, wrong = labels.copy(), rng.choice(len(labels), len(labels) // 20, replace=False)
        given[wrong] = [rng.choice([name for name in names if name != labels[row]]) for row in wrong]
        result = disagrees(near, list(given))
        is_wrong = given != labels
        flagged = result.score < 0.5
        caught = flagged & is_wrong
        values.append((flagged.sum(), caught.sum(), is_wrong.sum(), (result.suggested[caught] == labels[caught]).sum()))
    flags, hits, wrongs, rights = np.sum(values, axis=0)
    print(f"  mislabelled: precision {hits / flags:.2f}, recall {hits / wrongs:.2f}, right category suggested {rights / max(1, hits):.2f}")


def print_cost(rows: int, dimensions: int) -> None:
    rng = np.random.default_rng(0)
    drop = np.empty((rows, dimensions), np.float16)
    for start in range(0, rows, 1000):
        part = rng.normal(size=(len(drop[start : start + 1000]), dimensions)).astype(np.float32)
        drop[start : start + 1000] = part / np.linalg.norm(part, axis=1, keepdims=True)
    references = refer(drop[:200], [f"class{row % 10}" for row in range(200)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, step in {"score": lambda: score(drop, references), "neighbours": lambda: neighbours(drop)}.items():
        started = time.perf_counter()
        step()
        print(f"{name} of {rows} pictures: {1000 * (time.perf_counter() - started) / rows:.3f} ms an image")
    print(f"memory on top: {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:.0f} MB")


def memory(model: Path) -> str:
    """Peak of a process of its own, before and after it loads the model and runs it."""
    return subprocess.run(
        [sys.executable, "-c", MEMORY.replace("{model}", str(model))], capture_output=True, text=True, check=True
    ).stdout.strip()


def told(good: np.ndarray, alien: np.ndarray) -> tuple[float, ...]:
    """Area under the ROC curve, recall at 5 % false alarms, and false alarms and recall at the score's own .05."""
    below = (alien[:, None] < good).mean() + (alien[:, None] == good).mean() / 2
    return float(below), float((alien < np.quantile(good, 0.05)).mean()), float((good < 0.05).mean()), float((alien < 0.05).mean())


def draw_references(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(np.flatnonzero(labels == name), count, replace=False) for name in sorted(set(labels))])


def histograms(pictures: list[Pixels]) -> np.ndarray:
    rows = []
    for pixels in pictures:
        hsv = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2HSV)
        counts = cv2.calcHist([hsv], [0, 1, 2], None, [8, 4, 4], [0, 180, 0, 256, 0, 256]).ravel()
        rows.append(np.sqrt(counts / counts.sum()))
    return np.array(rows, np.float32).reshape(-1, 128)


def found(folders: list[Path]) -> Iterator[Pixels]:
    """Pictures in folders that can be decoded, aren't tiny and aren't nearly the same as one before."""
    seen: list[np.ndarray] = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        pixels = decode(path.read_bytes()).pixels
        if pixels is None or min(pixels.shape[:2]) < SMALLEST_PX:
            continue
        small = cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_AREA).astype(int)
        if all(np.abs(small - other).mean() >= 8 for other in seen):
            seen.append(small)
            yield pixels


def chart(seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    pixels = np.full((400, 520, 3), 255, np.uint8)
    cv2.polylines(pixels, [np.array([(40, 20), (40, 360), (500, 360)])], False, (0, 0, 0), 2)
    count = int(rng.integers(4, 12))
    for series in range(3):
        tops = 360 - rng.integers(40, 320, count)
        points = np.stack([50 + np.arange(count) * 450 // count, tops], axis=1)
        colour = tuple(int(value) for value in rng.integers(0, 230, 3))
        if seed % 2:
            cv2.polylines(pixels, [points], False, colour, 3)
        elif series == 0:
            for x, y in points.tolist():
                cv2.rectangle(pixels, (x, y), (x + 450 // count - 8, 360), colour, -1)
    for mark in range(5):
        cv2.putText(pixels, str(rng.integers(0, 999)), (2, 360 - mark * 80), 0, 0.4, (0, 0, 0), 1)
    return pixels


def screen(seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    pixels = np.full((600, 360, 3), rng.integers(225, 256), np.uint8)
    cv2.rectangle(pixels, (0, 0), (360, 50), tuple(int(value) for value in rng.integers(0, 200, 3)), -1)
    cv2.putText(pixels, "Messages", (20, 35), 0, 0.9, (255, 255, 255), 2)
    for top in range(70, 580, 64):
        cv2.circle(pixels, (35, top + 22), 20, tuple(int(value) for value in rng.integers(60, 230, 3)), -1)
        for line, grey in ((15, 40), (35, 130)):
            text = "".join(chr(97 + letter) for letter in rng.integers(0, 26, rng.integers(8, 26)))
            cv2.putText(pixels, text, (70, top + line), 0, 0.45, (grey, grey, grey), 1)
    return pixels


def texture(seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    deviation = float(rng.uniform(1, 12))
    grain = cv2.GaussianBlur(rng.normal(size=(400, 400)), (0, 0), deviation, sigmaY=deviation / (6 if seed % 3 else 1) + 0.4)
    share = (grain - grain.min()) / np.ptp(grain)
    first, second = rng.integers(0, 256, (2, 3))
    return np.asarray(share[..., None] * first + (1 - share[..., None]) * second, np.uint8)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classes", type=Path, nargs="?", default=SHARED / "clothing")
    parser.add_argument("foreign", type=Path, nargs="*", default=[SHARED / name for name in ("pii", "near_duplicates", "images_hostile")])
    parser.add_argument("--rows", type=int, default=20_000, help="size of the drop whose cost is measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
