"""Marks that lie over the pictures of a drop, as the stage finds them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataops_assets import manifest
from dataops_assets.apart import Apart
from dataops_assets.blobs import Blobs
from dataops_assets.checkpoint import Checkpoint
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.watermark import FEWEST
from dataops_assets.spec import Cleaning
from dataops_assets.stages import marked as stage
from dataops_assets.stages.cleaned_set import CARRIED, screen
from tests.imaging.test_watermark import marked
from tests.stages.test_cleaned_set import PIXELS, file_of, photo, run


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


class TestOnceMostOfTheDropIsDeleted:
    """Fewer pictures are left than a mark can be learned from; what was found and decided while the drop was whole stands."""

    @pytest.fixture
    def whole(self, blobs: Apart) -> pd.DataFrame:
        found = run(blobs, drop(24))
        assert (found["status"] == "review").all()
        return found.reset_index().sort_values("image_id", ignore_index=True)

    def left(self, blobs: Apart, rows: pd.DataFrame, decisions: pd.DataFrame, **options: object) -> pd.DataFrame:
        """What becomes of the others, when all but ten of a drop's pictures stand as they were."""
        frame = run(blobs, drop(24), decisions=decisions, lasting=rows.head(14), **options)
        return frame[frame["image_id"].isin(rows["image_id"].tail(10))]

    def decided(self, ids: pd.Series) -> pd.DataFrame:
        return pd.DataFrame({"image_id": ids, "decision": "reject", "by": "ann", "asked": "watermark"})

    def test_what_people_refused_stays_out_whatever_is_measured_now(self, blobs: Apart, whole: pd.DataFrame) -> None:
        decisions = self.decided(whole["image_id"])
        before = run(blobs, drop(24), decisions=decisions).reset_index().sort_values("image_id", ignore_index=True)
        assert (before["status"] == "rejected").all()
        left = self.left(blobs, before, decisions)
        assert len(left) == 10 and left["watermark_score"].isna().all()
        assert set(zip(left["status"], left["reason"], left["decided_by"], strict=True)) == {("rejected", "watermark", "ann")}

    def test_what_nobody_decided_about_goes_on_waiting(self, blobs: Apart, whole: pd.DataFrame) -> None:
        decisions = self.decided(whole["image_id"].head(14))
        before = run(blobs, drop(24), decisions=decisions).reset_index().sort_values("image_id", ignore_index=True)
        left = self.left(blobs, before, decisions, before=before).set_index("image_id")
        assert set(zip(left["status"], left["reason"], strict=True)) == {("review", "watermark")}
        scores = before.set_index("image_id").loc[left.index]
        pd.testing.assert_frame_equal(left[["watermark_score", "odd_size_score"]], scores[["watermark_score", "odd_size_score"]])

    def test_nor_does_it_where_what_waited_was_deleted(self, blobs: Apart, whole: pd.DataFrame) -> None:
        gone = list(whole["image_id"].head(14))
        blobs.set_apart(gone)
        for sha256 in gone:
            os.utime(blobs.apart(sha256), (1, 1))
        blobs.purge(2.0)
        raw = manifest.conform(whole[CARRIED].assign(sha256=whole["image_id"], status="accepted"), CONTRACTS["raw_images"])
        frame = screen(raw, manifest.empty("cleaned_set"), Cleaning(workers=2), PIXELS, blobs, before=whole).set_index("image_id")
        assert set(frame.loc[gone, "reason"]) == {"PURGED"} and frame.loc[gone, "watermark_score"].isna().all()
        assert set(frame.drop(gone)["status"]) == {"review"}
