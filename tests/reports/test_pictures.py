"""Findings are covered where they are, whatever the project's settings are today, and only what was sent is shown of a batch."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets import gates
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.decode import decode, encode
from dataops_assets.imaging.portraits import OUTLINE
from dataops_assets.manifest import Manifest, conform
from dataops_assets.reports import panels, pictures
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.conftest import changed
from tests.imaging.personal_data.made import scene


def row(store: Store, regions: list[list[Any]], side_px: int, **facts: Any) -> pd.DataFrame:
    """A picture of 400 x 533 px, of which there is no cleaned file, as it was screened at `side_px`."""
    image = store.blobs.put(encode(scene(1)))
    known = {"faces": 0, "reason": None, "clean_sha256": None, "drop_id": "d1", "width_px": round(side_px * 0.75), "height_px": side_px}
    frame = pd.DataFrame([{"image_id": image, "regions": json.dumps(regions), **known, **facts}])
    return frame.astype({"faces": "Int64"})


def outlined(jpeg: bytes) -> tuple[float, float]:
    """The middle of what has the outline's colour, as shares of width and height."""
    pixels = decode(jpeg).pixels
    assert pixels is not None
    near = np.abs(pixels.astype(int) - OUTLINE).max(axis=2) < 70
    y, x = np.nonzero(near)
    return float(x.mean() / pixels.shape[1]), float(y.mean() / pixels.shape[0])


def test_a_finding_is_covered_where_it_is_after_the_largest_side_was_changed(store: Store, dresses: ProjectSpec) -> None:
    middle = [["face", 100, 160, 60, 80, 0.9, False]]  # of a picture cleaned at 300 x 400 px: around (.43, .50)
    rows = row(store, middle, 400)
    for side_px in (300, 1600):
        jpeg = next(iter(pictures.drawn(store, changed(dresses, cleaning={"max_side_px": side_px}), rows).values()))
        x, y = outlined(jpeg)
        assert (round(x, 1), round(y, 1)) == (0.4, 0.5)


def test_an_address_is_covered_where_nobody_looked_for_faces(store: Store, dresses: ProjectSpec) -> None:
    rows = row(store, [["e_mail", 100, 200, 200, 100, 0.9, False]], 533, faces=pd.NA)
    jpeg = next(iter(pictures.drawn(store, dresses, rows).values()))
    bare = next(iter(pictures.drawn(store, dresses, row(store, [], 533, faces=pd.NA)).values()))
    shown, plain = decode(jpeg).pixels, decode(bare).pixels
    assert shown is not None and plain is not None and max(shown.shape[:2]) == 96
    y, x = np.nonzero(np.abs(shown.astype(int) - plain).max(axis=2) > 40)
    left, right, top, bottom = x.min() / shown.shape[1], x.max() / shown.shape[1], y.min() / shown.shape[0], y.max() / shown.shape[0]
    assert 0.1 < left <= 0.26 and 0.74 <= right < 0.9  # of 100 to 300 of 400 px; the cover is a little larger
    assert 0.25 < top <= 0.39 and 0.55 <= bottom < 0.7  # of 200 to 300 of 533 px


def test_a_batch_shows_what_was_sent_and_never_an_original(store: Store) -> None:
    original, clean = store.blobs.put(encode(scene(1))), store.blobs.put(encode(scene(2)))
    task = {"batch_id": "production-001", "task_id": "t1", "image_id": original, "sha256": clean, "kind": "production"}
    tasks = Manifest("label_tasks", "dresses", "production-001", conform(pd.DataFrame([task]), CONTRACTS["label_tasks"]))
    judged = pd.DataFrame([{"batch_id": "production-001", "image_id": original, "reason": "no agreement"}])
    assert panels.sheet(store.blobs, judged) is None
    assert panels.sheet(store.blobs, pictures.as_sent(store, "dresses", judged)) is None  # its tasks aren't released
    store.write(tasks)
    gates.enter(store, tasks, gates.Verdict("pass"), run_id="", until=None)
    found = panels.sheet(store.blobs, pictures.as_sent(store, "dresses", judged))
    assert found == panels.sheet(store.blobs, judged.assign(sha256=clean)) is not None


def test_rows_without_pictures_are_all_in_use(store: Store) -> None:
    rows = pd.DataFrame({"check": ["volume", "budget"]})
    assert pictures.in_use(store, "dresses", rows).equals(rows)
