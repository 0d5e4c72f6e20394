"""Drops to measure on: photos as they are, the same ones larger, and any number of pictures cut from them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from dataops_assets import manifest
from dataops_assets.apart import Apart
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.decode import encode
from dataops_assets.simulate.backdrops import light, room

PHOTOS = Path(os.environ.get("DATAOPS_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data" / "clothing"
ENLARGED = 3
GRAIN = 5.0  # of 255
CUT_BYTES = 60_000  # of a picture cut from a photo, at most about


@dataclass(frozen=True)
class Drop:
    """Pictures in a store, as the intake hands them on, and the same files by name for who needs names."""

    name: str
    apart: Apart
    raw: pd.DataFrame
    folder: Path

    def part(self, count: int) -> Drop:
        return Drop(self.name, self.apart, self.raw.head(count), self.folder)


def read_photos(folder: Path, count: int) -> list[bytes]:
    files = sorted({path.read_bytes() for path in folder.rglob("*.jpg")})
    if not files:
        print(f"No JPEGs in {folder}: rooms are drawn in their place, which compress better and hold no text.")
        rngs = [np.random.default_rng(seed) for seed in range(count)]
        files = [encode(np.asarray(light(room((400, 533), 430, rng), rng))) for rng in rngs]
    return spread(files, count)


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """So many, from all over."""
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]


def enlarge(numbered: tuple[int, bytes]) -> bytes:
    """A photo `ENLARGED` times as large, with grain: without it, files would be a third of a phone's."""
    seed, data = numbered
    pixels = simplejpeg.decode_jpeg(data)
    pixels = cv2.resize(pixels, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_LANCZOS4)
    grain = np.random.default_rng(seed).normal(0, GRAIN, pixels.shape[:2]).astype(np.float32)[..., None]
    return bytes(simplejpeg.encode_jpeg(np.clip(pixels + grain, 0, 255).astype(np.uint8), quality=85, colorsubsampling="420"))


def cut(seed: int, root: str, drop: Drop) -> str:
    """Keep a picture of 400 x 533 px cut from a drop's photo: another part each time, another light, mirrored or turned.

    Returns:
        Its sha256.
    """
    rng = np.random.default_rng(seed)
    photo = simplejpeg.decode_jpeg(drop.apart.read(drop.raw["sha256"].iloc[rng.integers(len(drop.raw))]))
    pixels = np.rot90(photo, rng.integers(4))[:, :: rng.choice((-1, 1))]
    height, width = (int(side * rng.uniform(0.5, 0.85)) for side in pixels.shape[:2])
    top, left = rng.integers(pixels.shape[0] - height), rng.integers(pixels.shape[1] - width)
    part = cv2.resize(np.ascontiguousarray(pixels[top : top + height, left : left + width]), (400, 533), interpolation=cv2.INTER_LINEAR)
    part = cv2.convertScaleAbs(part, alpha=rng.uniform(0.8, 1.1), beta=rng.uniform(0, 20))
    data = simplejpeg.encode_jpeg(part, quality=85, colorsubsampling="420")
    sha256 = hashlib.sha256(data).hexdigest()
    path = Path(Blobs(root).path(sha256))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return sha256


def drop_of(home: Path, name: str, files: Sequence[bytes]) -> Drop:
    blobs = Blobs(str(home))
    shas = [blobs.put(data) for data in files]
    folder = home / "named"
    folder.mkdir()
    for sha256 in shas:
        os.link(blobs.path(sha256), folder / f"{sha256}.jpg")
    return Drop(name, Apart(blobs, "bench"), table(shas), folder)


def table(shas: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame({"image_id": shas, "sha256": shas, "path": shas, "drop_id": "d", "status": "accepted"})
    return manifest.conform(frame, CONTRACTS["raw_images"])
