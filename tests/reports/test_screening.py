"""What our own people see of a screened drop: complete, and with nobody's face in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataops_assets import gates
from dataops_assets.contracts import ISSUES
from dataops_assets.flow import images
from dataops_assets.home import Home
from dataops_assets.imaging.decode import decode, encode
from dataops_assets.imaging.personal_data.faces import faces
from dataops_assets.manifest import Manifest
from dataops_assets.projects import load_project
from dataops_assets.reports import anew, histograms, pictures, screening, shown
from dataops_assets.reports.panels import Page, Picture
from dataops_assets.spec import Cleaning, ProjectSpec
from dataops_assets.store import Store
from tests.conftest import REPO, SHARED, changed
from tests.imaging.personal_data.made import scene, with_face
from tests.reports.test_delivery import Desk, dark, terms

SHEET_BYTES, ALL_BYTES = 150_000, 600_000


@dataclass(frozen=True)
class Screened:
    """A drop with people in every kind of place, through its gates."""

    desk: Desk
    made: Manifest
    verdict: gates.Verdict

    @property
    def reports(self) -> Path:
        return self.desk.store.home.reports(self.desk.spec.name)

    @property
    def page(self) -> str:
        return (self.reports / "screening" / f"{self.made.partition}.html").read_text()


def files(folder: Path) -> dict[str, bytes]:
    """Five people, each left out or kept for another reason, and rooms."""
    person = {name: with_face(folder, 130, (100 + 20 * seed, 120), seed)[0] for seed, name in enumerate(("kept", "copied", "dim", "held"))}
    dim = (person["dim"].astype(int) // 14).astype(np.uint8)
    large = np.asarray(Image.fromarray(person["copied"]).resize((800, 1066), Image.Resampling.BICUBIC))
    return {
        "face.jpg": encode(person["kept"]),
        "copied.jpg": encode(large),
        "copy.jpg": encode(person["copied"]),
        "dim_face.jpg": encode(dim),
        "<b>room</b>.jpg": encode(scene(10)),
        "room2.jpg": encode(scene(11)),
        **{f"dark{seed}.png": dark(seed) for seed in range(3)},
    }


def project(folder: Path, action: str, look_for: tuple[str, ...] = ("face", "metadata")) -> ProjectSpec:
    cleaning = {"workers": 1, "reject": ["dark"], "review": [], "personal_data": {"look_for": look_for, "policy": {"face": action}}}
    spec = load_project(REPO / "dataops_assets/defs/garments/defs.yaml")
    acme = {"name": "acme", "license": "CC0-1.0", "category": "dress"}
    lenient = {"min_accepted_file_share": 0.1, "min_keep_share": 0.99}  # the gate says no, and shows what it found wanting
    return changed(spec, sources={"vendors": [acme]}, cleaning=cleaning, gates=lenient)


def screened(root: Path, action: str, **options: Any) -> Screened:
    folder = SHARED / "pii" / "faces"
    if not folder.is_dir():
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    desk = Desk(Store(Home.at(root)), project(folder, action, **options))
    raw = images.raw_images(desk.store, desk.spec, desk.put(files(folder)))
    shown.parts(desk.store, desk.spec, raw)
    desk.release(raw)
    made = images.cleaned_set(desk.store, desk.spec, raw)
    return Screened(desk, made, desk.gate(made))


@pytest.fixture(scope="module")
def redacted(tmp_path_factory: pytest.TempPathFactory) -> Screened:
    return screened(tmp_path_factory.mktemp("redact") / "home", "redact")


def embedded(text: str) -> Iterator[np.ndarray]:
    """Every picture in a page or in markdown."""
    for data in re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text):
        pixels = decode(base64.b64decode(data)).pixels
        assert pixels is not None
        yield pixels


def metadata_texts(drop: Screened) -> list[str]:
    """What the UI is given for both assets and for the gate, as it is stored."""
    from dataops_assets.resources import metadata_of

    desk = drop.desk
    raw = desk.store.load("raw_images", desk.spec.name, drop.made.partition)
    parts = [metadata_of(shown.parts(desk.store, desk.spec, made)) for made in (raw, drop.made)]
    checks = gates.evaluations(desk.store, desk.spec, "cleaned_set", drop.made.partition, drop.made.version, drop.verdict)
    parts += [dict(check.metadata) for check in checks]
    return [str(value.value) for part in parts for value in part.values()]


@pytest.mark.parametrize("action", ["redact", "reject", "review", "keep"])
def test_no_face_is_shown_anywhere_whatever_the_policy(action: str, redacted: Screened, tmp_path: Path) -> None:
    drop = redacted if action == "redact" else screened(tmp_path / "home", action)
    pages = sorted(drop.reports.rglob("*.html"))
    assert [page.parent.name for page in pages] == ["cleaned_set", "deliveries", "screening"]
    on_pages = [pixels for page in pages for pixels in embedded(page.read_text())]
    in_ui = [pixels for text in metadata_texts(drop) for pixels in embedded(text)]
    assert len(on_pages) > 12 and len(in_ui) > 6
    assert [pixels.shape for pixels in on_pages + in_ui if faces(pixels)] == []


def test_where_faces_are_not_looked_for_none_is_shown_either(tmp_path: Path) -> None:
    drop = screened(tmp_path / "home", "keep", look_for=("metadata",))
    assert drop.made.frame["faces"].isna().all()
    texts = [page.read_text() for page in drop.reports.rglob("*.html")] + metadata_texts(drop)
    assert [pixels.shape for text in texts for pixels in embedded(text) if faces(pixels)] == []


def test_the_page_tells_everything(redacted: Screened) -> None:
    page = redacted.page
    for words in (
        "Rejected: dark (4)",
        "Rejected: near duplicate (1)",
        "Personal data (2 pictures; covered here whatever the policy)",
        "Duplicates, group by group",
        "1 left out",
        "Why pictures were left out",
        "Kept: some of every category",
        "Scores and thresholds",
    ):
        assert words in page, words
    assert page.count("<svg") == sum(redacted.made.frame[f"{issue}_score"].notna().any() for issue in ISSUES)
    assert "4 below" in page and ": rejects" in page and ": only recorded" in page
    assert "<script" not in page and "<b>room" not in page and "no picture" not in page


def test_the_ui_shows_sheets_by_reason_within_what_the_event_log_bears(redacted: Screened) -> None:
    from dataops_assets.resources import metadata_of

    parts = shown.parts(redacted.desk.store, redacted.desk.spec, redacted.made)
    shown_ = {name: part for name, part in parts.items() if isinstance(part, Picture)}
    assert list(shown_) == [
        "pictures kept",
        "pictures rejected: dark",
        "pictures rejected: near duplicate",
        "duplicates side by side",
        "pictures with personal data, covered",
        "scores and thresholds",
    ]
    for picture in shown_.values():
        pixels = decode(picture.jpeg).pixels
        assert pixels is not None and pixels.shape[1] == 440
        assert len(picture.jpeg) <= SHEET_BYTES
    assert parts["screening report"] == Page(f"garments/screening/{redacted.made.partition}.html")
    assert sum(len(str(value.value)) for value in metadata_of(parts).values()) < ALL_BYTES


def test_the_largest_drop_keeps_within_the_bounds(redacted: Screened) -> None:
    """Every sheet full, of pictures that hardly compress."""
    from dataops_assets.reports import screened as sheets

    rng = np.random.default_rng(0)
    names = [f"{number:064x}" for number in range(200)]
    reasons = [None] * 40 + ["dark", "blurry", "light", "near_duplicate", "CORRUPT", "odd_size", "face", "plate"] * 20
    frame = redacted.made.frame.iloc[[0] * 200].reset_index(drop=True)
    frame = frame.assign(image_id=names, reason=reasons, status=["kept"] * 40 + ["rejected"] * 160, personal_data="face")
    frame["duplicate_of"] = [None] * 40 + [names[number % 9] for number in range(160)]
    noise = {name: encode(rng.integers(0, 256, (150, 200, 3), dtype=np.uint8)) for name in names}
    made = sheets.sheets(frame, redacted.desk.spec, noise)
    assert len(made) == 10 and all(made.values())
    assert sum(len(base64.b64encode(picture.jpeg)) for picture in made.values() if picture) < ALL_BYTES


def test_what_stays_of_a_group_is_shown_though_it_came_with_an_earlier_drop(tmp_path: Path) -> None:
    drop = screened(tmp_path / "home", "redact")
    desk = drop.desk
    desk.release(drop.made)
    large, face = scene(11), files(SHARED / "pii" / "faces")["face.jpg"]
    small = encode(np.asarray(Image.fromarray(large).resize((300, 400), Image.Resampling.BICUBIC)))
    raw = images.raw_images(
        desk.store, desk.spec, desk.put({"small.jpg": small, "same.jpg": face, "new.jpg": encode(scene(12))}, name="d2")
    )
    desk.release(raw)
    made = images.cleaned_set(desk.store, desk.spec, raw)
    assert dict(made.frame.set_index("path")["reason"]) == {"small.jpg": "near_duplicate", "same.jpg": "exact_duplicate", "new.jpg": None}
    groups = pictures.groups(made.frame)
    assert [(group.is_here, len(group.left_out)) for group in groups] == [(False, 1), (False, 1)]
    drawn = pictures.of_drop(desk.store, desk.spec, made)
    assert all(faces(decode(drawn[group.stays]).pixels) == [] for group in groups)
    page = screening.write(desk.store, desk.spec, made).read_text()
    assert page.count("kept in an earlier drop") == 2 and "no picture" not in page


def test_what_a_person_saw_and_the_search_did_not_is_drawn_nowhere(redacted: Screened) -> None:
    """It can't be covered, however small it is shown."""
    store, spec, made = redacted.desk.store, redacted.desk.spec, redacted.made
    frame = made.frame.copy()
    seen = frame.index[frame["path"] == "room2.jpg"]
    frame.loc[seen, ["status", "reason"]] = ["rejected", "NOTHING_TO_REDACT"]
    frame.loc[seen, "clean_sha256"], frame.loc[seen, "faces"] = None, pd.NA
    assert set(pictures.drawn(store, spec, frame)) == set(frame.drop(seen)["image_id"])

    def evidence(path: str) -> list[str]:
        rows = tuple(frame.index[frame["path"] == path])
        verdict = gates.Verdict("fail", (gates.Finding("keep_share", "", "critical", "fail", "", 1, rows),), frame=frame)
        told = gates.evaluations(store, spec, "cleaned_set", made.partition, made.version, verdict)
        return [name for check in told for name in check.metadata if name.endswith(": pictures")]

    assert (evidence("room2.jpg"), evidence("face.jpg")) == ([], ["keep_share: pictures"])


def test_what_is_withdrawn_goes_from_the_page(tmp_path: Path) -> None:
    drop = screened(tmp_path / "home", "redact")
    before = drop.page
    desk = drop.desk
    gone = drop.made.frame.set_index("path").loc["face.jpg", "image_id"]
    desk.withdraw(image_id=gone)
    anew.redraw(desk.store, desk.spec, [gone])
    assert drop.page.count("no picture") > before.count("no picture") == 0
    desk.withdraw(drop.made.partition)
    anew.redraw(desk.store, desk.spec, [], [drop.made.partition])
    assert list(embedded(drop.page)) == []


class TestHistograms:
    def frame(self, scores: list[float]) -> pd.DataFrame:
        rows = pd.DataFrame({f"{issue}_score": pd.Series([None] * len(scores), dtype="float64") for issue in ISSUES})
        return rows.assign(blurry_score=scores)

    def test_bars_stand_where_the_scores_are_and_the_line_where_the_threshold_is(self) -> None:
        spec = Cleaning(thresholds={"blurry": 0.5}, reject=("blurry",))
        (one,) = histograms.distributions(self.frame([0.0, 0.01, 0.01, 0.01, 0.5, 1.0, 1.0]), spec)
        assert (one.issue, one.below, one.threshold, one.consequence) == ("blurry", 4, 0.5, "rejects")
        assert one.heights[0] == 1 and one.heights[20] == 0.5 and one.heights[-1] == pytest.approx(0.5**0.5)
        assert np.count_nonzero(one.heights) == 3
        assert [one.colour(place) for place in (0, 19, 20, 39)] == [histograms.BAD] * 2 + [histograms.GOOD] * 2
        drawn = histograms.svg(one)
        assert drawn.count("<rect") == 3 and f'x1="{histograms.WIDE / 2:.1f}"' in drawn

    def test_the_picture_shows_bad_ones_in_red(self) -> None:
        spec = Cleaning(thresholds={"blurry": 0.5})
        pixels = decode(histograms.jpeg(self.frame([0.1, 0.9]), spec)).pixels
        assert pixels is not None and pixels.shape[1] == 440
        red = (np.abs(pixels.astype(int) - (192, 57, 43)).sum(axis=2) < 40).sum()
        blue = (np.abs(pixels.astype(int) - (91, 127, 176)).sum(axis=2) < 40).sum()
        assert red > 50 and blue > 50

    def test_nothing_scored_nothing_drawn(self) -> None:
        assert histograms.jpeg(self.frame([]), Cleaning()) == b""


def test_thresholds_are_judged_by_pictures_in_use(store: Store) -> None:
    desk = Desk(store, terms(load_project(REPO / "dataops_assets/defs/garments/defs.yaml")))
    drops = [desk.take(desk.put({f"{name}.png": dark(seed)}, name=name)) for seed, name in enumerate(("d1", "d2"))]
    for drop in drops:
        made = store.load("cleaned_set", "garments", drop)
        made.frame.loc[:, ["status", "reason", "decided_by"]] = ["rejected", "dark", "ann"]
        desk.release(Manifest("cleaned_set", "garments", drop, made.frame, made.inputs))

    def judged() -> int:
        pages = desk.store.home.reports("garments") / "screening"
        screening.write(store, desk.spec, store.load("cleaned_set", "garments", drops[0]))
        found = re.findall(
            r"<td>dark</td><td class='number'>[^<]*</td><td class='number'>(\d+)</td>", (pages / f"{drops[0]}.html").read_text()
        )
        return max(map(int, found))

    assert judged() == 2
    desk.withdraw(drops[1])
    assert judged() == 1
