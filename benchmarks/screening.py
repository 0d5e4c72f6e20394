"""How much screening a drop costs beside decoding its pictures: python benchmarks/screening.py [folder of JPEGs]

Both in one run on the same pictures: decoding alone in this process, then the whole stage (decode, measure, hash,
re-encode, store, find duplicates) in worker processes. Without a folder, pictures are drawn.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.decode import decode, encode
from dataops_assets.spec import Cleaning
from dataops_assets.stages.cleaned_set import screen


def drawn(count: int) -> list[bytes]:
    """Pictures of 400 x 533 px with the detail of photos."""
    rng = np.random.default_rng(0)
    small = [Image.fromarray(rng.integers(0, 256, (60, 45, 3), dtype=np.uint8)) for _ in range(count)]
    return [encode(np.asarray(image.resize((400, 533), Image.Resampling.BICUBIC))) for image in small]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    files = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))] if folder else drawn(900)
    files = sorted(set(files))
    with tempfile.TemporaryDirectory() as home:
        blobs = Blobs(home)
        raw = pd.DataFrame({"image_id": [blobs.put(data) for data in files], "status": "accepted"})
        raw["sha256"] = raw["image_id"]
        raw = manifest.conform(raw.assign(drop_id="d", path=raw["image_id"]), CONTRACTS["raw_images"])
        started = time.perf_counter()
        for data in files:
            decode(data)
        decoding = time.perf_counter() - started
        started = time.perf_counter()
        frame = screen(raw, manifest.empty("cleaned_set"), Cleaning(), 50_000_000, blobs)
        screening = time.perf_counter() - started
    print(f"{len(files)} pictures, {int((frame['status'] == 'kept').sum())} kept")
    print(f"decoding alone: {len(files) / decoding:.0f} images/s")
    print(f"cleaned_set:    {len(files) / screening:.0f} images/s, {screening / decoding:.1f} x the time of decoding")


if __name__ == "__main__":
    main()
