"""Marks that lie over the pictures of a drop, as the stage finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataops_assets.apart import Apart
from dataops_assets.blobs import Blobs
from dataops_assets.checkpoint import Checkpoint
from dataops_assets.imaging.watermark import FEWEST
from dataops_assets.stages import marked as stage
from tests.imaging.test_watermark import marked
from tests.stages.test_cleaned_set import file_of, photo, run


@pytest.fixture
def blobs(tmp_path: Path) -> Apart:
    return Apart(Blobs(str(tmp_path / "store")), "dresses")


def drop(count: int, is_marked: bool = True) -> dict[str, bytes]:
    return {f"{seed}.jpg": file_of(marked(photo(seed)) if is_marked else photo(seed)) for seed in range(count)}


def test_a_marked_drop_waits_for_a_person_and_another_one_does_not(blobs: Apart) -> None:
    seen: list[tuple[str, int, int]] = []
    found = run(blobs, drop(30), progress=lambda *told: seen.append(told))
    is_reviewed = (found["status"] == "review") & (found["reason"] == "watermark")
    assert is_reviewed.mean() >= 0.9 and (found["is_watermark"] == is_reviewed).all()
    assert ("images searched for a mark", 30, 30) in seen
    seen.clear()
    found = run(blobs, drop(30, is_marked=False), progress=lambda *told: seen.append(told))
    assert set(found["status"]) == {"kept"} and (found["watermark_score"] == 1).all()
    assert {what for what, _, _ in seen} == {"images measured", "images cleaned"}  # nothing is looked at once more


def test_pictures_beyond_those_it_was_learned_from_are_judged_too(blobs: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SAMPLE", 24)
    clean = {f"clean {seed}.jpg": file_of(photo(seed)) for seed in range(100, 110)}
    found = run(blobs, {**drop(40), **clean})
    flagged = found["is_watermark"].astype(bool)
    assert flagged.drop(list(clean)).mean() >= 0.9 and not flagged[list(clean)].any()


def test_a_mark_is_looked_for_in_rarer_shapes_once_there_is_one(blobs: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SAMPLE", 30)
    wide = {f"wide {seed}.jpg": file_of(marked(photo(seed, 320, 240), 0.4)) for seed in range(FEWEST + 4)}
    lone = {f"lone {seed}.jpg": file_of(marked(photo(seed, 240, 240), 0.4)) for seed in range(3)}
    found = run(blobs, {**drop(50), **wide, **lone})
    assert found.loc[list(wide), "is_watermark"].mean() >= 0.8
    assert found.loc[list(lone), "watermark_score"].isna().all() and (found.loc[list(lone), "status"] == "kept").all()


def test_shots_of_a_few_things_from_one_place_make_no_mark(blobs: Apart) -> None:
    def shot(scene: int, number: int) -> Image.Image:
        rng = np.random.default_rng((scene, number))
        (x, y), nearer = rng.normal(0, 0.6, 2), rng.normal(1, 0.003)
        moved = photo(scene).transform((240, 320), Image.Transform.AFFINE, (nearer, 0, x, 0, nearer, y), Image.Resampling.BICUBIC)
        pixels = np.asarray(moved) * rng.normal(1, 0.05) + rng.normal(0, 3, (320, 240, 1))
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    files = {f"{scene} {number}.jpg": file_of(shot(scene, number)) for scene in range(4) for number in range(10)}
    assert not run(blobs, files)["is_watermark"].fillna(False).any()


def test_a_killed_run_comes_to_the_same(blobs: Apart, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if (what, done) == ("images cleaned", 3):
            raise Killed

    path, whole = tmp_path / "scratch" / "p.d1@aa.jsonl", run(blobs, drop(30))
    with pytest.raises(Killed):
        run(blobs, drop(30), progress=kill, checkpoint=Checkpoint(path))
    seen: list[tuple[str, int, int]] = []
    checkpoint = Checkpoint(path)
    pd.testing.assert_frame_equal(run(blobs, drop(30), progress=lambda *told: seen.append(told), checkpoint=checkpoint), whole)
    assert "images searched for a mark" not in {what for what, _, _ in seen}
