"""How often our flags and CleanVision's agree, and who is right: python benchmarks/agreement.py [FOLDER] --oracle PYTHON [--out FOLDER]

Twice, each with its defaults: on FOLDER's photos as they are, where nobody knows the truth but the contact sheets show where the two
differ; and with some of the photos spoiled in known ways, where recall and false alarms can be counted. A spoiled photo stands in the
place of the original, so that nothing is a near duplicate but what was made one. Both look at one picture by itself, except
for odd sizes and duplicates. Exact duplicates are ours by the bytes of the file, as the intake finds them, CleanVision's by pixels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from drops import PHOTOS, table

from dataops_assets import manifest
from dataops_assets.apart import Apart
from dataops_assets.blobs import Blobs
from dataops_assets.imaging.contact_sheet import contact_sheet
from dataops_assets.imaging.decode import MAX_PIXELS, Pixels, decode, encode
from dataops_assets.imaging.duplicates import near_duplicates
from dataops_assets.spec import Cleaning, PersonalData
from dataops_assets.stages.cleaned_set import limits, screen

RARE = 0.01  # of good photos that a threshold may flag
SHOWN = 40  # pictures a contact sheet
QUALITY = ("dark", "light", "blurry", "low_information", "odd_size", "odd_aspect_ratio", "grayscale")
ISSUES = (*QUALITY, "exact_duplicates", "near_duplicates")
HOW = "name the Python of an environment with CleanVision by --oracle:\n    python3 -m venv oracle && oracle/bin/pip install cleanvision"

ORACLE = """
import os, sys
from cleanvision import Imagelab
lab = Imagelab(data_path=sys.argv[1], verbose=False)
lab.find_issues(verbose=False)
lab.issues.rename(index=os.path.basename).to_json(sys.argv[2])
"""

Spoil = Callable[[Pixels, np.random.Generator], bytes]
Row = list[Any]


@dataclass(frozen=True)
class Picture:
    """A file, what was done to it, and the issue that made; both empty for a photo as it is."""

    data: bytes
    done: str = ""
    issue: str = ""


# How photos are spoiled; strengths are drawn


def darken(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """A tenth to a third of the light."""
    return jpeg(pixels * rng.uniform(0.1, 0.33))


def blow_out(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Two to four stops too much light, and a veil: next to nothing is left."""
    return jpeg(pixels * rng.uniform(4, 16) + rng.uniform(120, 200))


def wash_out(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """One and a half to two stops too much: the darkest parts are left."""
    return jpeg(pixels * rng.uniform(3, 4) + rng.uniform(40, 80))


def blur(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Out of focus, by 0.5 to 1.5 % of the longer side."""
    return jpeg(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.005, 0.015) * max(pixels.shape)))


def shake(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """The camera moved along a line, by 4 to 8 % of the longer side."""
    length = int(rng.uniform(0.04, 0.08) * max(pixels.shape))
    path = np.zeros((length, length), np.uint8)
    angle, middle = rng.uniform(0, np.pi), length / 2
    reach = middle * np.array([np.cos(angle), np.sin(angle)])
    cv2.line(path, tuple(np.rint(middle - reach).astype(int).tolist()), tuple(np.rint(middle + reach).astype(int).tolist()), 255)
    return jpeg(cv2.filter2D(pixels, -1, path.astype(np.float32) / path.sum(), borderType=cv2.BORDER_REFLECT))


def drain(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Without colour, in three channels."""
    return jpeg(np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2))


def drain_to_one_channel(pixels: Pixels, rng: np.random.Generator) -> bytes:
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), [cv2.IMWRITE_JPEG_QUALITY, 92])[1])


def make_tiny(pixels: Pixels, rng: np.random.Generator) -> bytes:
    return jpeg(scale(pixels, rng.uniform(1 / 12, 1 / 6)))


def make_huge(pixels: Pixels, rng: np.random.Generator) -> bytes:
    return jpeg(scale(pixels, rng.uniform(5.5, 8)))


def cut_strip(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """A strip 3.5 to 7 times as long as wide, along the longer side."""
    upright = pixels.shape[0] >= pixels.shape[1]
    along = pixels if upright else pixels.swapaxes(0, 1)
    width = min(int(along.shape[0] / rng.uniform(3.5, 7)), along.shape[1] - 1)
    left = rng.integers(along.shape[1] - width)
    strip = along[:, left : left + width]
    return jpeg(strip if upright else strip.swapaxes(0, 1))


def blank(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """A wall of the photo's mean colour, with the camera's noise and a little vignetting."""
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    shade = 1 - rng.uniform(0, 0.03) * (rows**2 + columns**2)
    return jpeg(pixels.mean(axis=(0, 1)) * shade[..., None] + rng.normal(0, rng.uniform(0.5, 1.5), pixels.shape))


SPOILS: dict[str, tuple[Spoil, str]] = {
    "darkened": (darken, "dark"),
    "blown out": (blow_out, "light"),
    "washed out": (wash_out, "light"),
    "out of focus": (blur, "blurry"),
    "shaken": (shake, "blurry"),
    "blank wall": (blank, "low_information"),
    "tiny": (make_tiny, "odd_size"),
    "huge": (make_huge, "odd_size"),
    "strip": (cut_strip, "odd_aspect_ratio"),
    "gray, three channels": (drain, "grayscale"),
    "gray, one channel": (drain_to_one_channel, "grayscale"),
}
# Copies that lie beside their original; both are duplicates
COPIES: dict[str, tuple[Callable[[bytes, Pixels], bytes], str]] = {
    "copied": (lambda data, pixels: data, "exact_duplicates"),
    "copied, with a comment": (lambda data, pixels: data[:2] + b"\xff\xfe\x00\x06copy" + data[2:], "exact_duplicates"),
    "saved at quality 60": (lambda data, pixels: jpeg(pixels, 60), "near_duplicates"),
    "half size": (lambda data, pixels: jpeg(scale(pixels, 0.5)), "near_duplicates"),
    "cropped by 5 %": (lambda data, pixels: jpeg(cropped(pixels, 0.05)), "near_duplicates"),
    "contrast x 1.3": (lambda data, pixels: jpeg(cv2.convertScaleAbs(pixels, alpha=1.3, beta=-38)), "near_duplicates"),
}


def jpeg(pixels: Any, quality: int = 92) -> bytes:
    whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    if quality == 92:
        return encode(whole)
    return bytes(cv2.imencode(".jpg", whole[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def scale(pixels: Pixels, factor: float) -> Any:
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def cropped(pixels: Pixels, share: float) -> Pixels:
    height, width = pixels.shape[:2]
    return pixels[int(height * share / 2) : height - int(height * share / 2), int(width * share / 2) : width - int(width * share / 2)]


def spoil(photos: list[bytes], each: int) -> list[Picture]:
    """All photos, so many of them spoiled in each way, so many with a copy of each kind."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(photos)).tolist()
    kinds = [(name, place) for place in range(each) for name in (*SPOILS, *COPIES)]
    if len(kinds) > len(photos) // 2:
        raise SystemExit(f"{len(photos)} photos are too few to spoil {each} in each way and leave half of them as they are: lower --each")
    pictures = []
    for position, (name, _) in zip(order, kinds, strict=False):
        pixels = decode(photos[position]).pixels
        if name in SPOILS:
            change, issue = SPOILS[name]
            pictures.append(Picture(change(pixels, rng), name, issue))
        else:
            copy, issue = COPIES[name]
            pictures += [Picture(photos[position], "original", issue), Picture(copy(photos[position], pixels), name, issue)]
    return pictures + [Picture(photos[position]) for position in order[len(kinds) :]]


# What both say


def ours(pictures: list[Picture], home: Path) -> pd.DataFrame:
    """Scores and flags of each picture, in order."""
    spec = Cleaning(personal_data=PersonalData(look_for=()))
    apart = Apart(Blobs(str(home)), "bench")
    shas = [apart.put(picture.data) for picture in pictures]
    raw = table(list(dict.fromkeys(shas)))
    frame = screen(raw, manifest.empty("cleaned_set"), spec, MAX_PIXELS, apart)
    grids = [bytes.fromhex(grid) for grid in frame["colour_grid"]]
    hashes = np.array([int(text, 16) for text in frame["phash"]], dtype=np.uint64)
    pairs = frame["image_id"].to_numpy()[near_duplicates(hashes, spec.near_duplicate_bits, grids=grids)]
    twins = {one: other for first, second in pairs.tolist() for one, other in ((first, second), (second, first))}
    found = frame.set_index("image_id").loc[shas].reset_index()
    counts = Counter(shas)
    found["is_exact_duplicates"] = [counts[sha256] > 1 for sha256 in shas]
    found["is_near_duplicates"] = [sha256 in twins for sha256 in shas]
    found["twin"] = [shas.index(twins[sha256]) if sha256 in twins else -1 for sha256 in shas]
    return found


def theirs(pictures: list[Picture], home: Path, oracle: str) -> pd.DataFrame:
    """The same of CleanVision."""
    folder = home / "pictures"
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        (folder / f"{number:05}.jpg").write_bytes(picture.data)
    ran = subprocess.run([oracle, "-c", ORACLE, str(folder), str(home / "issues.json")], capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"CleanVision doesn't run in {oracle}:\n{ran.stderr[-600:]}\n{HOW}")
    found = pd.DataFrame(json.loads((home / "issues.json").read_text())).sort_index()
    return found.reset_index(drop=True).rename(columns=lambda name: name.removesuffix("_issue") if name.startswith("is_") else name)


# What comes of it


def compare(title: str, pictures: list[Picture], oracle: str, out: Path | None) -> None:
    with tempfile.TemporaryDirectory() as home:
        left, right = ours(pictures, Path(home) / "ours"), theirs(pictures, Path(home) / "theirs", oracle)
    rows = []
    for issue in ISSUES:
        we, they = left[f"is_{issue}"].astype(bool).to_numpy(), right[f"is_{issue}"].astype(bool).to_numpy()
        counts = [int(part.sum()) for part in (we & they, we & ~they, ~we & they, ~we & ~they)]
        rows.append([issue, *counts, f"{100 * (we == they).mean():.1f} %", kappa(*counts)])
        if out is not None:
            for who, part in (("ours", we & ~they), ("cleanvision", they & ~we)):
                draw(out / f"{title.replace(' ', '-')}-{issue}-only-{who}.jpg", issue, np.flatnonzero(part), pictures, left, right)
        missed = [place for place, picture in enumerate(pictures) if picture.issue == issue and not we[place]]
        if out is not None and issue in QUALITY:
            draw(out / f"{title.replace(' ', '-')}-{issue}-missed-by-us.jpg", issue, np.array(missed, dtype=int), pictures, left, right)
    show(f"{len(pictures)} photos {title}", ["", "both flag", "only ours", "only CleanVision", "neither", "agree", "kappa"], rows)
    if any(picture.done for picture in pictures):
        show_truth(pictures, left, right)


def kappa(both: int, first: int, second: int, neither: int) -> str:
    """Cohen's kappa: agreement beyond chance, 1 at most; `-` where one of the two never or always flags."""
    total = both + first + second + neither
    we, they = (both + first) / total, (both + second) / total
    chance = we * they + (1 - we) * (1 - they)
    return "-" if we in (0, 1) or they in (0, 1) else f"{((both + neither) / total - chance) / (1 - chance):.2f}"


def show_truth(pictures: list[Picture], left: pd.DataFrame, right: pd.DataFrame) -> None:
    done = np.array([picture.done for picture in pictures])
    clean, thresholds = done == "", limits(Cleaning())
    rows, tuned = [], []
    for name, (_, issue) in (SPOILS | COPIES).items():
        at = done == name
        # a copy of the same pixels is a duplicate, whatever kind of duplicate it is called
        columns = [f"is_{issue}"] if name in SPOILS else ["is_exact_duplicates", "is_near_duplicates"]
        rows.append([name, issue, int(at.sum()), *(f"{frame.loc[at, columns].any(axis=1).mean():.2f}" for frame in (left, right))])
        if name in SPOILS:
            scores = left[f"{issue}_score"]
            rare = scores[clean].quantile(RARE)
            shares = [float((scores[at] < limit).mean()) for limit in (thresholds[issue], rare)]
            tuned.append([name, thresholds[issue], *(f"{value:.2f}" for value in (shares[0], scores[clean].min(), rare, shares[1]))])
    show("Recall: what was done, and the share of it that is flagged", ["", "issue", "pictures", "ours", "CleanVision"], rows)
    alarms = [[issue, *(int(frame.loc[clean, f"is_{issue}"].astype(bool).sum()) for frame in (left, right))] for issue in ISSUES]
    show(f"Flags on the {clean.sum()} photos left as they are", ["", "ours", "CleanVision"], alarms)
    head = ["", "threshold", "recall", "lowest score left as it was", f"{100 * RARE:.0f} % are below", "recall there"]
    show("Our thresholds: could one be higher?", head, tuned)


def draw(path: Path, issue: str, places: Any, pictures: list[Picture], left: pd.DataFrame, right: pd.DataFrame) -> None:
    """A contact sheet of pictures on which the two differ: our score (threshold) | CleanVision's; a near duplicate's twin follows it."""
    if not len(places):
        return
    shown = []
    threshold = limits(Cleaning()).get(issue)
    for place in places[np.argsort(left.get(f"{issue}_score", pd.Series(0.0, left.index)).to_numpy()[places], kind="stable")][:SHOWN]:
        one, other = left.iloc[place], right.iloc[place]
        caption = f"{one[f'{issue}_score']:.2f} ({threshold}) | {other[f'{issue}_score']:.2f}" if threshold is not None else f"no. {place}"
        shown.append((pictures[place].data, f"{caption}  {pictures[place].done}"))
        if issue == "near_duplicates" and one["twin"] >= 0:
            shown.append((pictures[one["twin"]].data, f"near {place}  {pictures[one['twin']].done}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = min(6, len(shown))
    path.write_bytes(contact_sheet(shown, columns, 200 * columns, max_bytes=600_000))


def show(title: str, head: Row, rows: list[Row]) -> None:
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    print(f"\n{title}")
    for first, *rest in cells:
        print("  " + "  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=PHOTOS)
    parser.add_argument("--oracle", help="Python of an environment with CleanVision")
    parser.add_argument("--out", type=Path, help="folder for contact sheets of the pictures on which the two differ")
    parser.add_argument("--each", type=int, default=25, help="photos spoiled in each way")
    given = parser.parse_args()
    photos = sorted({path.read_bytes() for path in given.folder.rglob("*.jpg")}, key=lambda data: hashlib.sha256(data).digest())
    if given.oracle is None or not photos:
        print(f"Nothing to compare: {HOW}" if photos else f"No JPEGs in {given.folder}")
        sys.exit(0 if given.oracle is None else 2)
    compare("as they are", [Picture(data) for data in photos], given.oracle, given.out)
    compare("spoiled", spoil(photos, given.each), given.oracle, given.out)
    if given.out is not None:
        print(f"\nContact sheets of the pictures on which the two differ: {given.out}")


if __name__ == "__main__":
    main()
