"""Every accepted picture comes out once, with a status and why."""

import shutil
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from dataops_assets import manifest
from dataops_assets.apart import Apart
from dataops_assets.blobs import BlobMissing, Blobs
from dataops_assets.checkpoint import Checkpoint
from dataops_assets.contracts import CONTRACTS, QUALITY_ISSUES
from dataops_assets.imaging.decode import decode
from dataops_assets.imaging.likeness import Model, compare_with
from dataops_assets.imaging.personal_data.findings import look_for
from dataops_assets.imaging.workers import Died
from dataops_assets.spec import Cleaning
from dataops_assets.stages import looking, marked
from dataops_assets.stages.cleaned_set import confidential, screen
from tests.conftest import SHARED

PIXELS = 50_000_000


def photo(seed: int, width: int = 240, height: int = 320) -> Image.Image:
    """Slanted patches of colour with sharp edges and some grain."""
    rng = np.random.default_rng(seed)
    patches = Image.fromarray(rng.integers(0, 256, (8, 6, 3), dtype=np.uint8)).resize((2 * width, 2 * height), Image.Resampling.NEAREST)
    patches = patches.rotate(20).crop((width // 2, height // 2, width // 2 + width, height // 2 + height))
    grain = rng.normal(0, 8, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(patches) + grain, 0, 255).astype(np.uint8))


def file_of(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def raw_images(blobs: Apart, files: dict[str, bytes]) -> pd.DataFrame:
    rows = [
        {"image_id": blobs.put(data), "drop_id": "d1", "vendor": "acme", "path": path, "category": "dress", "status": "accepted"}
        for path, data in files.items()
    ]
    frame = pd.DataFrame(rows)
    frame["sha256"] = frame["image_id"]
    return manifest.conform(frame, CONTRACTS["raw_images"])


def run(blobs: Apart, files: dict[str, bytes], earlier: pd.DataFrame | None = None, **options: object) -> pd.DataFrame:
    spec = Cleaning(workers=2, **options.pop("spec", {}))
    before = manifest.empty("cleaned_set") if earlier is None else earlier
    return screen(raw_images(blobs, files), before, spec, PIXELS, blobs, **options).set_index("path")


@pytest.fixture
def blobs(tmp_path: Path) -> Apart:
    return Apart(Blobs(str(tmp_path / "store")), "dresses")


def test_issues_codes_and_conservation(blobs: Apart) -> None:
    files = {
        "good.jpg": file_of(photo(1)),
        "other.png": file_of(photo(2), "PNG"),
        "dark.jpg": file_of(ImageEnhance.Brightness(photo(3)).enhance(0.15)),
        "light.png": file_of(Image.fromarray(np.clip(np.asarray(photo(4)).astype(int) // 12 + 245, 0, 255).astype(np.uint8)), "PNG"),
        "blurry.jpg": file_of(photo(5).filter(ImageFilter.GaussianBlur(6))),
        "long.jpg": file_of(photo(6, 120, 600)),
        "gray.jpg": file_of(photo(7).convert("L")),
        "tiny.png": file_of(photo(8, 24, 32), "PNG"),
        "cut.jpg": file_of(photo(9))[:3000],
        "text.jpg": b"hello",
        "empty.jpg": b"",
        "anim.gif": file_of(photo(10), "GIF", save_all=True, append_images=[photo(11)]),
    }
    seen: list[tuple[str, int, int]] = []
    frame = run(blobs, files, progress=lambda *told: seen.append(told))
    assert set(frame.index) == set(files)
    assert seen == [("images measured", n, 12) for n in range(1, 13)] + [("images cleaned", n, 4) for n in range(1, 5)]
    status = dict(zip(frame.index, zip(frame["status"], frame["reason"], strict=True), strict=True))
    assert status == {
        "good.jpg": ("kept", None),
        "other.png": ("kept", None),
        "dark.jpg": ("rejected", "dark"),
        "light.png": ("rejected", "light|blurry"),
        "blurry.jpg": ("rejected", "blurry"),
        "long.jpg": ("rejected", "odd_aspect_ratio"),
        "gray.jpg": ("kept", None),
        "tiny.png": ("review", "odd_size"),
        "cut.jpg": ("rejected", "CORRUPT"),
        "text.jpg": ("rejected", "TYPE_MISMATCH"),
        "empty.jpg": ("rejected", "ZERO_BYTE"),
        "anim.gif": ("rejected", "MULTI_FRAME"),
    }
    assert bool(frame.loc["gray.jpg", "is_grayscale"])
    undecoded = frame["reason"].isin(["CORRUPT", "TYPE_MISMATCH", "ZERO_BYTE", "MULTI_FRAME"])
    alone = [issue for issue in QUALITY_ISSUES if issue != "watermark"]  # of which these are too few to tell
    measures = [f"{issue}_score" for issue in alone] + [f"is_{issue}" for issue in alone]
    measures += ["phash", "width_px", "height_px"]
    assert frame.loc[~undecoded, measures].notna().all(axis=None)
    assert frame.loc[undecoded, measures].isna().all(axis=None)
    used = frame["status"] != "rejected"
    assert frame.loc[used, "clean_sha256"].notna().all() and frame.loc[~used, "clean_sha256"].isna().all()
    assert (frame["category"] == "dress").all() and (frame["vendor"] == "acme").all()
    for row in frame[used].itertuples():
        with Image.open(BytesIO(blobs.read(row.clean_sha256))) as image:
            assert image.size == (row.width_px, row.height_px)


def test_two_runs_give_the_same_frame_and_bytes(blobs: Apart, tmp_path: Path) -> None:
    unique = {f"{seed}.jpg": file_of(photo(seed)) for seed in range(9)}
    first = run(blobs, unique)
    other = Apart(Blobs(str(tmp_path / "elsewhere")), "dresses")
    second = run(other, dict(reversed(unique.items())), spec={"worker_memory_bytes": 2**30})
    pd.testing.assert_frame_equal(first, second)


def test_only_accepted_rows_are_looked_at(blobs: Apart) -> None:
    raw = raw_images(blobs, {"a.jpg": file_of(photo(1)), "b.jpg": file_of(photo(2))})
    raw.loc[raw["path"] == "b.jpg", "status"] = "quarantined"
    frame = screen(raw, manifest.empty("cleaned_set"), Cleaning(workers=1), PIXELS, blobs)
    assert list(frame["path"]) == ["a.jpg"]
    nothing = screen(raw.iloc[:0], manifest.empty("cleaned_set"), Cleaning(workers=1), PIXELS, blobs)
    pd.testing.assert_frame_equal(nothing, manifest.empty("cleaned_set"))


def test_of_near_duplicates_the_larger_is_kept(blobs: Apart) -> None:
    large = photo(1, 480, 640)
    files = {
        "small.jpg": file_of(large.resize((240, 320))),
        "large.jpg": file_of(large),
        "weak.jpg": file_of(large, quality=40),
        "other.jpg": file_of(photo(2)),
    }
    frame = run(blobs, files)
    kept = frame[frame["status"] == "kept"]
    assert len(kept) == 2 and "other.jpg" in kept.index
    winner = kept.drop("other.jpg").iloc[0]
    assert (winner["width_px"], winner["near_duplicate_group"]) == (480, winner["image_id"])
    lost = frame[frame["status"] == "rejected"]
    assert set(lost["reason"]) == {"near_duplicate"}
    assert set(lost["duplicate_of"]) == set(lost["near_duplicate_group"]) == {winner["image_id"]}
    assert frame.loc["other.jpg", "near_duplicate_group"] is None


def test_the_same_pixels_in_two_files_are_duplicates(blobs: Apart) -> None:
    frame = run(blobs, {"a.png": file_of(photo(1), "PNG"), "b.bmp": file_of(photo(1), "BMP")})
    assert sorted(frame["status"]) == ["kept", "rejected"]
    lost = frame[frame["status"] == "rejected"].iloc[0]
    assert (lost["reason"], lost["duplicate_of"]) == ("near_duplicate", frame[frame["status"] == "kept"]["image_id"].iloc[0])


def test_mirrored_copies_count_where_asked_for(blobs: Apart) -> None:
    files = {"a.jpg": file_of(photo(1)), "mirrored.png": file_of(ImageOps.mirror(photo(1)), "PNG")}
    assert list(run(blobs, files)["status"]) == ["kept", "kept"]
    assert sorted(run(blobs, files, spec={"near_duplicate_turns": True})["status"]) == ["kept", "rejected"]


def test_the_earlier_drop_wins(blobs: Apart) -> None:
    earlier = run(blobs, {"old.jpg": file_of(photo(1)), "bad.jpg": file_of(photo(5).filter(ImageFilter.GaussianBlur(6)))}).reset_index()
    few = earlier[["image_id", "phash", "status", "near_duplicate_group"]]
    files = {"same.jpg": file_of(photo(1)), "large.jpg": file_of(photo(1).resize((480, 640))), "sharp.jpg": file_of(photo(5))}
    frame = run(blobs, files, earlier=few)
    old = earlier.loc[earlier["path"] == "old.jpg", "image_id"].iloc[0]
    assert (frame.loc["same.jpg", "reason"], frame.loc["same.jpg", "duplicate_of"]) == ("exact_duplicate", old)
    assert (frame.loc["large.jpg", "reason"], frame.loc["large.jpg", "duplicate_of"]) == ("near_duplicate", old)
    assert frame.loc["large.jpg", "near_duplicate_group"] == old
    assert frame.loc["sharp.jpg", "status"] == "kept"  # what was rejected earlier takes nobody's place


def test_people_decide_on_what_is_in_review(blobs: Apart) -> None:
    spec = {"review": ("odd_size", "grayscale")}
    files = {f"{seed}.jpg": file_of(photo(seed).convert("L")) for seed in range(3)} | {"colour.jpg": file_of(photo(9))}
    before = run(blobs, files, spec=spec)
    ids = before["image_id"]
    assert list(before["status"]).count("review") == 3
    decisions = pd.DataFrame(
        [
            {"image_id": ids["0.jpg"], "decision": "keep", "by": "ann"},
            {"image_id": ids["1.jpg"], "decision": "reject", "by": "bea"},
            {"image_id": ids["1.jpg"], "decision": "keep", "by": "zoe"},
            {"image_id": ids["colour.jpg"], "decision": "reject", "by": "ann"},
        ]
    )
    after = run(blobs, files, spec=spec, decisions=decisions)
    decided = {path: (row["status"], row["reason"], row["decided_by"]) for path, row in after.iterrows()}
    assert decided == {
        "0.jpg": ("kept", None, "ann"),
        "1.jpg": ("rejected", "grayscale", "bea"),
        "2.jpg": ("review", "grayscale", None),
        "colour.jpg": ("kept", None, None),  # not in review
    }


def test_thresholds_come_from_the_spec(blobs: Apart) -> None:
    frame = run(blobs, {"a.jpg": file_of(photo(1))}, spec={"thresholds": {"dark": 1.0}})
    assert frame["reason"].tolist() == ["dark"]


def test_a_missing_blob_is_an_error_not_a_bad_picture(blobs: Apart) -> None:
    raw = raw_images(blobs, {"a.jpg": file_of(photo(1))})
    raw["sha256"] = "0" * 64
    with pytest.raises(BlobMissing):
        screen(raw, manifest.empty("cleaned_set"), Cleaning(workers=1), PIXELS, blobs)


def test_what_was_seen_before_a_kill_is_not_looked_at_again(blobs: Apart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the traces of the first pictures, which show them: those don't lie in a file."""

    class Killed(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if (what, done) == ("images cleaned", 3):
            raise Killed

    monkeypatch.setattr(marked, "SAMPLE", 3)
    files = {f"{seed}.jpg": file_of(photo(seed)) for seed in range(12)}
    path = tmp_path / "scratch" / "p.d1@aa.jsonl"
    with pytest.raises(Killed):
        run(blobs, files, progress=kill, checkpoint=Checkpoint(path))
    torn = path.read_bytes() if path.exists() else b""
    assert torn.count(b"Measured") == 9
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(torn + b'\n["Measured 12')  # what the kill tore
    seen: list[tuple[str, int, int]] = []
    checkpoint = Checkpoint(path)
    resumed = run(blobs, files, progress=lambda *told: seen.append(told), checkpoint=checkpoint)
    assert [told for told in seen if told[0] == "images measured"] == [("images measured", done, 12) for done in (10, 11, 12)]
    pd.testing.assert_frame_equal(resumed, run(blobs, files))
    path.with_name("p.d1@bb.jsonl").touch()
    path.with_name("p.d11@bb.jsonl").touch()
    checkpoint.discard()
    assert [file.name for file in path.parent.iterdir()] == ["p.d11@bb.jsonl"]


def test_a_child_that_died_says_nothing_to_the_next_run(blobs: Apart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{seed}.jpg": file_of(photo(seed)) for seed in range(3)}
    path = tmp_path / "scratch" / "p.d1@aa.jsonl"
    with monkeypatch.context() as busy:
        busy.setattr(looking, "map_blobs", lambda task, items, *_, **__: enumerate([Died("TOO_LARGE", "")] * len(items)))
        assert set(run(blobs, files, checkpoint=Checkpoint(path))["reason"]) == {"TOO_LARGE"}
    assert set(run(blobs, files, checkpoint=Checkpoint(path))["status"]) == {"kept"}


def test_what_nobody_asked_for_is_told_from_what_was(blobs: Apart, tmp_path: Path) -> None:
    folder = SHARED / "clothing"
    if not folder.is_dir():
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    named = {name: sorted((folder / name).glob("*.jpg")) for name in ("dress", "shoes")}
    for name, files in named.items():
        (tmp_path / "references" / name).mkdir(parents=True)
        for path in files[:12]:
            shutil.copy(path, tmp_path / "references" / name)
    delivered = {f"{name}/{path.name}": path.read_bytes() for name, files in named.items() for path in files[12:24]}
    compared = compare_with(tmp_path / "references", ("dress",), Model(str(tmp_path / "models")))
    again = compare_with(tmp_path / "references", ("dress",), Model(str(tmp_path / "models")))
    assert again.digest == compared.digest and (again.references.embeddings == compared.references.embeddings).all()
    frame = run(blobs, delivered, compared=compared, spec={"review": ("irrelevant",)})
    seen = frame[frame["irrelevant_score"].notna()]
    is_shoe = seen.index.str.startswith("shoes/")
    assert seen.loc[is_shoe, "reason"].fillna("").str.contains("irrelevant").mean() > 0.8
    assert seen.loc[~is_shoe, "reason"].fillna("").str.contains("irrelevant").mean() < 0.2
    assert (seen.loc[is_shoe, "nearest_category"] == "shoes").mean() > 0.9


def test_faces_are_covered_and_their_originals_named(blobs: Apart) -> None:
    folder = SHARED / "pii" / "faces"
    if not folder.is_dir():
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.jpg"))} | {"plain.jpg": file_of(photo(3))}
    frame = run(blobs, files, spec={"reject": (), "review": ()})
    people = frame.drop("plain.jpg")
    assert (people["status"] == "kept").all() and (people["faces"] >= 1).all()
    assert (people["personal_data"].str.contains("face")).all() and people["open_personal_data"].isna().all()
    assert frame.loc["plain.jpg", "faces"] == 0
    for sha256 in people["clean_sha256"]:
        pixels = decode(blobs.read(sha256)).pixels
        assert pixels is not None and look_for(pixels, b"", ("face",)).faces == 0
    spec = Cleaning(reject=(), review=())
    assert set(confidential(frame.reset_index(), manifest.empty("cleaned_set"), spec)) == set(people["image_id"])

    asked = {"reject": (), "review": (), "personal_data": {"policy": {"face": "review"}}}
    waiting = run(blobs, files, spec=asked).drop("plain.jpg")
    assert set(waiting["status"]) == {"review"} and set(waiting["open_personal_data"]) == {"face"}
    for sha256 in waiting["clean_sha256"]:
        with pytest.raises(BlobMissing):
            Blobs(blobs.root).read(sha256)
    ids = list(waiting["image_id"])
    words = ["keep", "redact", "reject", "keep"][: len(ids)]
    decisions = pd.DataFrame({"image_id": ids, "decision": words, "by": "ann", "at": pd.Timestamp("2026-01-02", tz="UTC")})
    decided = run(blobs, files, spec=asked, decisions=decisions).set_index("image_id").loc[ids]
    assert list(decided["status"]) == [{"reject": "rejected"}.get(word, "kept") for word in words]
    assert list(decided["open_personal_data"].fillna("")) == [{"redact": ""}.get(word, "face") for word in words]
    assert (decided["decided_by"] == "ann").all() and decided["decided_at"].notna().all()
    assert Blobs(blobs.root).has(decided["clean_sha256"].iloc[0])
    refused = run(blobs, files, spec=asked | {"personal_data": {"policy": {"face": "reject"}}}).drop("plain.jpg")
    assert set(refused["reason"]) == {"face"} and refused["clean_sha256"].isna().all()


def test_what_was_purged_stands_as_it_was_released(blobs: Apart) -> None:
    raw, spec, nothing = raw_images(blobs, {f"{seed}.jpg": file_of(photo(seed)) for seed in range(3)}), Cleaning(workers=1), None
    before = screen(raw, manifest.empty("cleaned_set"), spec, PIXELS, blobs)
    gone = before["image_id"].iloc[0]
    blobs.set_apart([gone])
    assert blobs.purge(time.time() + 60) == [gone]
    lasting = before[before["image_id"] == gone]
    after = screen(raw, manifest.empty("cleaned_set"), spec, PIXELS, blobs, nothing, lasting)
    pd.testing.assert_frame_equal(after, before)
    lost = screen(raw, manifest.empty("cleaned_set"), spec, PIXELS, blobs).set_index("image_id")
    assert (lost.loc[gone, "status"], lost.loc[gone, "reason"]) == ("rejected", "PURGED")
