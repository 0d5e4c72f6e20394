"""What the project's policy does to faces, text and metadata, from the delivered file to the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from dataops_assets import gates, manifest
from dataops_assets.apart import Apart
from dataops_assets.blobs import BlobMissing, Blobs
from dataops_assets.checkpoint import Checkpoint
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.decode import decode, encode
from dataops_assets.imaging.personal_data.faces import faces
from dataops_assets.imaging.personal_data.metadata import metadata
from dataops_assets.imaging.personal_data.text import read_text
from dataops_assets.imaging.screening import Preparation, Prepared, prepare
from dataops_assets.manifest import Manifest
from dataops_assets.spec import FOUND_BY, Cleaning, ProjectSpec
from dataops_assets.stages.cleaned_set import confidential, screen
from dataops_assets.stages.copies import is_refused
from tests.conftest import changed
from tests.imaging.personal_data.made import is_hit, scene, with_face, written
from tests.imaging.personal_data.test_metadata import BERLIN, exif, file_of, more
from tests.stages.test_cleaned_set import PIXELS, raw_images

ADDRESS = "anna.nowak@example.org"
KINDS = {"face.jpg": "face", "text.jpg": "e_mail", "gps.jpg": "gps"}


class Drop:
    """A face, an address, a position and a plain room, screened under a policy."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.blobs = Blobs(str(root))
        self.apart = Apart(self.blobs, "dresses")
        face, self.face = with_face(folder, 64, (150, 200))
        text, _ = written(ADDRESS, letter_px=13, seed=1)
        files = {"face.jpg": encode(face), "text.jpg": encode(text), "gps.jpg": gps(), "plain.jpg": encode(scene(3))}
        self.raw = raw_images(self.apart, files)

    def screen(self, action: str, decisions: pd.DataFrame | None = None, **options: Any) -> pd.DataFrame:
        spec = policy(action, **options)
        frame = screen(self.raw, manifest.empty("cleaned_set"), spec, PIXELS, self.apart, decisions)
        return frame.set_index("path", drop=False)

    def pixels(self, sha256: str) -> np.ndarray:
        found = decode(self.apart.read(sha256)).pixels
        assert found is not None
        return found


def gps() -> bytes:
    return file_of("JPEG", exif=exif(gps=BERLIN), image=Image.fromarray(scene(2)))


def policy(action: str, **options: Any) -> Cleaning:
    personal = {"look_for": ["face", "text", "metadata"], "policy": dict.fromkeys(("face", "e_mail", "gps"), action), **options}
    return Cleaning.model_validate({"workers": 1, "reject": (), "review": (), "personal_data": personal})


def shown(frame: pd.DataFrame) -> dict[str, tuple[str, str | None, str | None]]:
    return {row["path"]: (row["status"], row["reason"], row["open_personal_data"]) for row in frame.to_dict("records")}


def named(frame: pd.DataFrame, action: str) -> set[str]:
    """Paths of the originals that are to lie apart."""
    ids = confidential(frame, manifest.empty("cleaned_set"), policy(action))
    return set(frame.loc[frame["image_id"].isin(ids), "path"])


@pytest.fixture
def drop(tmp_path: Path, faces_folder: Path) -> Drop:
    return Drop(tmp_path / "store", faces_folder)


def test_reject(drop: Drop) -> None:
    frame = drop.screen("reject")
    assert shown(frame) == {**{path: ("rejected", kind, None if kind == "gps" else kind) for path, kind in KINDS.items()},
                            "plain.jpg": ("kept", None, None)}  # fmt: skip
    assert frame.loc[list(KINDS), "clean_sha256"].isna().all()
    assert named(frame, "reject") == set(KINDS)


def test_redact(drop: Drop) -> None:
    frame = drop.screen("redact")
    assert set(frame["status"]) == {"kept"} and frame["open_personal_data"].isna().all() and frame["reason"].isna().all()
    assert dict(frame["personal_data"].dropna()) == KINDS
    assert (frame.loc["face.jpg", "faces"], frame.loc["text.jpg", "text_regions"]) == (1, 1)
    clean = {path: drop.pixels(sha256) for path, sha256 in frame["clean_sha256"].items()}
    assert all(drop.blobs.has(sha256) for sha256 in frame["clean_sha256"])
    assert faces(clean["face.jpg"]) == [] and not any("example" in line.text for line in read_text(clean["text.jpg"]))
    assert metadata(drop.blobs.read(frame.loc["gps.jpg", "clean_sha256"])) == []
    assert (clean["plain.jpg"] == decode(encode(scene(3))).pixels).mean() > 0.5  # written anew, once more as JPEG
    assert named(frame, "redact") == set(KINDS)

    boxed = drop.pixels(drop.screen("redact", cover="box").loc["face.jpg", "clean_sha256"])
    x, y, w, h = drop.face
    assert boxed[y + h // 4 : y + h // 2, x + w // 4 : x + w // 2].max() < 12


def test_keep(drop: Drop) -> None:
    frame = drop.screen("keep")
    assert shown(frame) == {path: ("kept", None, {"face.jpg": "face", "text.jpg": "e_mail"}.get(path)) for path in [*KINDS, "plain.jpg"]}
    assert is_hit(faces(drop.pixels(frame.loc["face.jpg", "clean_sha256"])), drop.face)
    assert metadata(drop.blobs.read(frame.loc["gps.jpg", "clean_sha256"])) == []  # a cleaned picture never has any
    assert named(frame, "keep") == set()


def decided(frame: pd.DataFrame, words: dict[str, str]) -> pd.DataFrame:
    rows = [{"image_id": frame.loc[path, "image_id"], "decision": word} for path, word in words.items()]
    return pd.DataFrame(rows).assign(by="ann@example.org", at=pd.Timestamp("2026-11-20", tz="UTC"))


def test_review_and_what_people_decide(drop: Drop) -> None:
    waiting = drop.screen("review")
    assert shown(waiting) == {**{path: ("review", kind, None if kind == "gps" else kind) for path, kind in KINDS.items()},
                              "plain.jpg": ("kept", None, None)}  # fmt: skip
    doubtful = waiting.loc[["face.jpg", "text.jpg"], "clean_sha256"]
    assert not any(map(drop.blobs.has, doubtful)) and all(map(drop.apart.has, doubtful))
    assert named(waiting, "review") == set(KINDS)

    redacted = drop.screen("review", decided(waiting, dict.fromkeys(KINDS, "redact")))
    assert shown(redacted) == dict.fromkeys([*KINDS, "plain.jpg"], ("kept", None, None))
    assert faces(drop.pixels(redacted.loc["face.jpg", "clean_sha256"])) == []
    assert set(redacted.loc[list(KINDS), "decided_by"]) == {"ann@example.org"} and redacted.loc["plain.jpg", "decided_by"] is None
    assert redacted.loc[list(KINDS), "decided_at"].notna().all()

    mixed = drop.screen("review", decided(waiting, {"face.jpg": "reject", "text.jpg": "keep"}))
    assert shown(mixed) == {
        "face.jpg": ("rejected", "face", "face"),
        "text.jpg": ("kept", None, "e_mail"),
        "gps.jpg": ("review", "gps", None),
        "plain.jpg": ("kept", None, None),
    }
    assert drop.blobs.has(mixed.loc["text.jpg", "clean_sha256"])
    with pytest.raises(BlobMissing):  # what was refused for its face never comes into sight
        drop.blobs.read(mixed.loc["face.jpg", "clean_sha256"])


def test_a_policy_that_became_stricter_beats_what_was_decided_before(drop: Drop) -> None:
    waiting = drop.screen("review")
    before = set(Path(drop.blobs.root).rglob("blobs/*/*/*"))
    frame = drop.screen("reject", decided(waiting, dict.fromkeys(KINDS, "keep")))
    assert set(frame.loc[list(KINDS), "status"]) == {"rejected"} and frame.loc[list(KINDS), "clean_sha256"].isna().all()
    assert set(Path(drop.blobs.root).rglob("blobs/*/*/*")) == before  # nothing uncovered was written


def test_copies_of_a_confidential_picture_lie_apart_too_whichever_drop_it_came_with(drop: Drop) -> None:
    frame = drop.screen("redact")
    face = Image.fromarray(drop.pixels(frame.loc["face.jpg", "image_id"]))
    raw = raw_images(drop.apart, {"small.jpg": encode(np.asarray(face.resize((300, 400)))), "other.jpg": encode(scene(7))})
    later = screen(raw, frame.reset_index(drop=True), policy("redact"), PIXELS, drop.apart).set_index("path", drop=False)
    assert later.loc["small.jpg", "reason"] == "near_duplicate"
    assert confidential(later, frame, policy("redact")) == [later.loc["small.jpg", "image_id"]]


def test_the_gate_asks_for_what_the_policy_promises(drop: Drop, dresses: ProjectSpec) -> None:
    def outcome(frame: pd.DataFrame, action: str) -> tuple[str, list[str]]:
        spec = changed(dresses, cleaning=policy(action).model_dump(mode="json"), gates={"min_keep_share": 0.0})
        made = Manifest("cleaned_set", "dresses", "d1", manifest.conform(frame.reset_index(drop=True), CONTRACTS["cleaned_set"]))
        verdict, _ = gates.judge(made, spec, {"raw_images": drop.raw})
        return verdict.outcome, [finding.name for finding in verdict.failed]

    frames = {action: drop.screen(action) for action in ("reject", "redact", "keep")}
    assert {action: outcome(frame, action) for action, frame in frames.items()} == dict.fromkeys(frames, ("pass", []))
    assert outcome(frames["keep"], "redact") == ("fail", ["personal_data_covered"])
    assert outcome(frames["keep"], "review") == ("fail", ["personal_data_decided"])
    waiting = drop.screen("review")
    assert outcome(waiting, "review") == ("pass", [])
    kept = drop.screen("review", decided(waiting, dict.fromkeys(KINDS, "keep")))
    assert outcome(kept, "review") == ("pass", [])
    assert outcome(kept, "reject") == ("fail", ["personal_data_covered"])  # whoever decided
    unsearched = drop.screen("keep", look_for=[], policy={})
    assert outcome(unsearched, "keep") == ("fail", ["faces_looked_for", "text_looked_for"])


def test_what_a_person_saw_and_nothing_found_is_not_kept_uncovered(drop: Drop) -> None:
    sha256 = drop.screen("keep").loc["plain.jpg", "image_id"]
    how = Preparation(1600, look_for=("face", "text", "metadata"), actions={"face": "review"})
    for decision, reason in (("keep", None), ("redact", "NOTHING_TO_REDACT")):
        made = prepare(drop.apart, (sha256, decision), how)
        assert (made.reason, made.clean_sha256 == "") == (reason, reason is not None)


class TestNotAllSearched:
    """There are more faces, or there is more text, in a picture than one may cost."""

    @pytest.fixture(params=["more_faces", "more_text"])
    def more(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        kind = str(request.param)
        name = {"more_faces": "faces.MAX_CANDIDATES", "more_text": "text.MAX_COST"}[kind]
        monkeypatch.setattr(f"dataops_assets.imaging.personal_data.{name}", 0)
        return kind

    def prepared(self, drop: Drop, more: str, action: str, decision: str = "", asked: str = "") -> Prepared:
        path = {"more_faces": "face.jpg", "more_text": "text.jpg"}[more]
        kinds = ("face", "e_mail", "phone", "iban", "card")
        spec = policy(action, policy=dict.fromkeys(kinds, action)).personal_data
        item = (drop.raw.set_index("path").loc[path, "image_id"], decision, asked)
        return prepare(drop.apart, item, Preparation(1600, look_for=("face", "text"), actions=spec.actions))

    @pytest.mark.parametrize("action", ["redact", "review"])
    def test_a_person_decides(self, drop: Drop, more: str, action: str) -> None:
        waits = self.prepared(drop, more, action)
        assert list(waits.found) == list(waits.open) == [more]
        assert not drop.blobs.has(waits.clean_sha256) and drop.apart.has(waits.clean_sha256)
        kept = self.prepared(drop, more, action, "keep", more)
        assert drop.blobs.has(kept.clean_sha256)

    def test_what_was_not_searched_can_not_be_covered(self, drop: Drop, more: str) -> None:
        assert self.prepared(drop, more, "redact", "redact", more) == Prepared(reason=more)

    def test_where_such_pictures_are_rejected_it_is_left_out(self, drop: Drop, more: str) -> None:
        assert self.prepared(drop, more, "reject").clean_sha256 == ""

    def test_where_all_of_it_is_kept_it_is_recorded(self, drop: Drop, more: str) -> None:
        kept = self.prepared(drop, more, "keep")
        assert list(kept.found) == [more] and drop.blobs.has(kept.clean_sha256)

    @pytest.mark.parametrize(("action", "status"), [("redact", "review"), ("review", "review"), ("reject", "rejected"), ("keep", "kept")])
    def test_the_drop_says_so(self, drop: Drop, action: str, status: str) -> None:
        plain = drop.raw.set_index("path").loc["plain.jpg", "image_id"]
        seen = Checkpoint()
        seen.add(f"Prepared {plain}  ", {"clean_sha256": "0" * 64, "faces": 9, "found": ["more_faces"], "open": ["more_faces"]})
        frame = screen(drop.raw, manifest.empty("cleaned_set"), policy(action), PIXELS, drop.apart, checkpoint=seen)
        row = frame.set_index("path").loc["plain.jpg"]
        assert (row["status"], row["reason"]) == (status, None if status == "kept" else "more_faces")
        assert (row["image_id"] in confidential(frame, manifest.empty("cleaned_set"), policy(action))) == (action != "keep")


@pytest.mark.parametrize(("action", "status"), [("redact", "review"), ("review", "review"), ("reject", "rejected"), ("keep", "kept")])
def test_a_picture_whose_metadata_were_not_all_searched_goes_to_a_person(drop: Drop, action: str, status: str) -> None:
    spec = policy(action, policy=dict.fromkeys(FOUND_BY["metadata"], action))
    raw = raw_images(drop.apart, {"long.jpg": more(17)["segments of a JPEG"]})

    def screened(decision: str | None = None) -> pd.Series:
        none = manifest.empty("cleaned_set")
        given = decided(first.to_frame().T.set_index("path", drop=False), {"long.jpg": decision}) if decision else None
        return screen(raw, none, spec, PIXELS, drop.apart, given).iloc[0]

    first = screened()
    assert (first["status"], first["reason"]) == (status, None if status == "kept" else "more_metadata")
    assert first["open_personal_data"] is None  # a cleaned picture has no metadata
    if status == "review":
        assert {word: screened(word)["status"] for word in ("keep", "redact", "reject")} == {
            "keep": "kept", "redact": "kept", "reject": "rejected",
        }  # fmt: skip


@pytest.mark.parametrize("path", ["plain.jpg", "gps.jpg"])
def test_metadata_that_nobody_was_asked_about_is_not_what_a_person_wants_covered(drop: Drop, path: str) -> None:
    first = drop.screen("keep").loc[path]
    how = Preparation(1600, look_for=("face", "metadata"), actions={"face": "redact", "gps": "redact"})
    assert prepare(drop.apart, (first["image_id"], "redact", "bordered"), how).reason == "NOTHING_TO_REDACT"


def test_what_the_policy_covers_by_itself_is_not_what_a_person_wants_covered(drop: Drop) -> None:
    """The file was shown to that person as it would be kept: covered, and still showing something."""
    face = drop.raw.set_index("path").loc["face.jpg", "image_id"]
    how = Preparation(1600, look_for=("face", "text"), actions={"face": "redact", "e_mail": "review"})
    shown_then = prepare(drop.apart, (face, ""), how)
    assert drop.blobs.has(shown_then.clean_sha256)
    assert prepare(drop.apart, (face, "redact", "bordered"), how) == Prepared(reason="NOTHING_TO_REDACT")
    # asked about the face, before the policy was to cover it
    assert prepare(drop.apart, (face, "redact", "bordered|face"), how).clean_sha256 == shown_then.clean_sha256


def test_a_picture_in_which_nothing_could_be_covered_lies_apart(drop: Drop) -> None:
    spec = policy("review")
    odd = spec.model_copy(update={"review": ("odd_aspect_ratio",), "thresholds": {"odd_aspect_ratio": 1.0}})
    none = manifest.empty("cleaned_set")
    waiting = screen(drop.raw, none, odd, PIXELS, drop.apart).set_index("path", drop=False)
    frame = screen(drop.raw, none, odd, PIXELS, drop.apart, decided(waiting, {"plain.jpg": "redact"})).set_index("path", drop=False)
    assert shown(frame)["plain.jpg"] == ("rejected", "NOTHING_TO_REDACT", None)
    assert frame.loc["plain.jpg", "image_id"] in confidential(frame, none, odd)
    assert waiting.loc["plain.jpg", "image_id"] not in confidential(waiting, none, odd)


def test_what_was_left_out_before_anybody_searched_it_lies_apart(drop: Drop) -> None:
    none = manifest.empty("cleaned_set")
    extra = raw_images(drop.apart, {"broken.jpg": encode(scene(5))[:2000], "other.jpg": encode(scene(7))})
    raw = pd.concat([drop.raw, extra], ignore_index=True)
    strict = policy("redact").model_copy(update={"reject": ("odd_aspect_ratio",), "thresholds": {"odd_aspect_ratio": 1.0}})
    frame = screen(raw, none, strict, PIXELS, drop.apart)
    assert set(frame["reason"]) == {"odd_aspect_ratio", "CORRUPT"} and frame["faces"].isna().all()
    assert set(confidential(frame, none, strict)) == set(frame["image_id"])  # a damaged file may still show a face, or say a position
    assert confidential(frame, none, policy("redact", look_for=[], policy={})) == []  # nobody minds

    drop.apart.set_apart(confidential(frame, none, strict))
    assert not any(map(drop.blobs.has, raw["image_id"]))
    lenient = screen(raw, none, policy("redact"), PIXELS, drop.apart).set_index("path", drop=False)
    assert set(lenient["status"]) == {"kept", "rejected"} and lenient.loc["broken.jpg", "reason"] == "CORRUPT"
    assert named(lenient, "redact") == {*KINDS, "broken.jpg"}


def test_a_picture_lies_apart_whose_preparation_died(drop: Drop) -> None:
    face = drop.raw.set_index("path").loc["face.jpg", "image_id"]
    died = Checkpoint()
    died.add(f"Prepared {face}  ", {"reason": "TOO_LARGE"})
    frame = screen(drop.raw, manifest.empty("cleaned_set"), policy("redact"), PIXELS, drop.apart, checkpoint=died)
    frame = frame.set_index("path", drop=False)
    assert shown(frame)["face.jpg"] == ("rejected", "TOO_LARGE", None)
    assert named(frame, "redact") == set(KINDS)


class TestCopies:
    """Of a near duplicate nobody knows what its own metadata say: the better one was searched."""

    @pytest.fixture
    def frame(self, drop: Drop) -> pd.DataFrame:
        room = Image.fromarray(scene(12, 800, 1066))
        small = file_of("JPEG", exif=exif(gps=BERLIN), image=room.resize((400, 533)))
        self.raw = raw_images(drop.apart, {"room.jpg": encode(np.asarray(room)), "small.jpg": small})
        frame = screen(self.raw, manifest.empty("cleaned_set"), policy("redact"), PIXELS, drop.apart).set_index("path", drop=False)
        assert shown(frame) == {"room.jpg": ("kept", None, None), "small.jpg": ("rejected", "near_duplicate", None)}
        return frame

    def test_it_lies_apart_and_the_one_that_stays_does_not(self, drop: Drop, frame: pd.DataFrame) -> None:
        assert named(frame, "redact") == {"small.jpg"}
        assert confidential(frame, manifest.empty("cleaned_set"), policy("redact", look_for=[], policy={})) == []

    def test_until_it_is_deleted_it_can_take_the_better_ones_place(self, drop: Drop, frame: pd.DataFrame) -> None:
        drop.apart.set_apart(confidential(frame, manifest.empty("cleaned_set"), policy("redact")))
        alone = screen(self.raw[self.raw["path"] == "small.jpg"], manifest.empty("cleaned_set"), policy("redact"), PIXELS, drop.apart)
        assert list(alone["status"]) == ["kept"]

    def test_the_same_bytes_in_a_later_drop_are_what_the_first_one_found_of_them(self, drop: Drop, frame: pd.DataFrame) -> None:
        again = self.raw[self.raw["path"] == "room.jpg"].assign(drop_id="d2")
        later = screen(again, frame.reset_index(drop=True), policy("redact"), PIXELS, drop.apart)
        assert list(later["reason"]) == ["exact_duplicate"]
        assert confidential(later, frame.reset_index(drop=True), policy("redact")) == []


class TestCopiesOfWhatAPersonRefused:
    """A room in which a person saw somebody whom no search finds, and a smaller copy of it: the copy shows the same."""

    NONE = manifest.empty("cleaned_set")

    def files(self, drop: Drop, blur: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows of `raw_images` of the room and of its copy."""
        room = Image.fromarray(scene(12, 800, 1066))
        large = room.filter(ImageFilter.GaussianBlur(blur)) if blur else room
        small = {"small.jpg": encode(np.asarray(room.resize((400, 533)))), "other.jpg": encode(scene(7))}
        return raw_images(drop.apart, {"room.jpg": encode(np.asarray(large))}), raw_images(drop.apart, small)

    def spec(self, issue: str = "odd_aspect_ratio") -> Cleaning:
        return policy("review").model_copy(update={"review": (issue,), "thresholds": {issue: 1.0}})

    def screen(self, drop: Drop, raw: pd.DataFrame, spec: Cleaning, said: dict[str, str], **options: Any) -> pd.DataFrame:
        """Screened once, and again when people have decided."""
        first = screen(raw, self.NONE, spec, PIXELS, drop.apart).set_index("path", drop=False)
        given = decided(first, said) if said else None
        return screen(raw, options.pop("earlier", self.NONE), spec, PIXELS, drop.apart, given, **options).set_index("path", drop=False)

    def both(self, drop: Drop) -> pd.DataFrame:
        return pd.concat(self.files(drop), ignore_index=True)

    def test_it_is_refused_with_it(self, drop: Drop) -> None:
        frame = self.screen(drop, self.both(drop), self.spec(), {"room.jpg": "redact", "other.jpg": "keep"})
        assert shown(frame) == {
            "room.jpg": ("rejected", "NOTHING_TO_REDACT", None),
            "small.jpg": ("rejected", "near_refused", None),
            "other.jpg": ("kept", None, None),
        }
        assert frame.loc["small.jpg", "duplicate_of"] == frame.loc["room.jpg", "image_id"]
        hidden = confidential(frame, self.NONE, self.spec())
        assert set(hidden) == set(frame.loc[["room.jpg", "small.jpg"], "image_id"])

    @pytest.mark.parametrize("asked", ["face", "bordered|face", None])
    def test_so_it_is_where_a_person_rejects_a_face(self, drop: Drop, asked: str | None) -> None:
        raw, seen = self.both(drop), Checkpoint()
        room = raw.set_index("path").loc["room.jpg", "image_id"]
        spec = policy("review")
        given = pd.DataFrame([{"image_id": room, "decision": "reject", "by": "ann", "asked": asked}])
        for item in ((room, "", ""), (room, "reject", asked or "")):  # one face is found, the copy's is too small
            seen.add(" ".join(("Prepared", *item)), {"clean_sha256": "0" * 64, "faces": 1, "found": ["face"], "open": ["face"]})
        frame = screen(raw, self.NONE, spec, PIXELS, drop.apart, given, checkpoint=seen).set_index("path", drop=False)
        assert shown(frame)["room.jpg"][:2] == ("rejected", "face") and shown(frame)["small.jpg"][:2] == ("rejected", "near_refused")

    def test_a_later_drops_copy_is_refused_too(self, drop: Drop) -> None:
        room, later = self.files(drop)
        first = self.screen(drop, room, self.spec(), {"room.jpg": "redact"})
        assert list(first["reason"]) == ["NOTHING_TO_REDACT"]
        raw = pd.concat([later, room.assign(path="same.jpg")], ignore_index=True).assign(drop_id="d2")
        frame = self.screen(drop, raw, policy("review"), {}, earlier=first.reset_index(drop=True), refused=first.reset_index(drop=True))
        assert {path: told[:2] for path, told in shown(frame).items()} == {
            "small.jpg": ("rejected", "near_refused"), "same.jpg": ("rejected", "near_refused"), "other.jpg": ("kept", None),
        }  # fmt: skip

    def test_what_a_person_decided_about_the_copy_itself_stands(self, drop: Drop) -> None:
        room, later = self.files(drop)
        first = self.screen(drop, room, self.spec(), {"room.jpg": "redact"}).reset_index(drop=True)
        frame = self.screen(drop, later.assign(drop_id="d2"), self.spec(), {"small.jpg": "keep"}, earlier=first, refused=first)
        assert shown(frame)["small.jpg"][:2] == ("kept", None) and shown(frame)["other.jpg"][:2] == ("review", "odd_aspect_ratio")

    def test_a_lasting_picture_follows_as_well(self, drop: Drop) -> None:
        room, later = self.files(drop)
        kept = self.screen(drop, later, policy("review"), {}).reset_index(drop=True)
        refused = self.screen(drop, room, self.spec(), {"room.jpg": "redact"}).reset_index(drop=True)
        frame = self.screen(drop, later, policy("review"), {}, lasting=kept, refused=refused)
        assert {path: told[:2] for path, told in shown(frame).items()} == {
            "small.jpg": ("rejected", "near_refused"), "other.jpg": ("kept", None),
        }  # fmt: skip

    def test_a_sharp_copy_of_a_blurry_one_that_was_refused_is_kept(self, drop: Drop) -> None:
        room, later = self.files(drop, blur=6.0)
        spec = self.spec("blurry").model_copy(update={"thresholds": {"blurry": 0.2}})
        raw = pd.concat([room, later], ignore_index=True)
        first = self.screen(drop, room, spec, {"room.jpg": "reject"}).reset_index(drop=True)
        assert list(first["reason"]) == ["blurry"] and list(first["decided_by"]) == ["ann@example.org"]
        for frame in (
            self.screen(drop, raw, spec, {"room.jpg": "reject"}),
            self.screen(drop, later.assign(drop_id="d2"), spec, {}, earlier=first, refused=first[is_refused(first)]),
        ):
            assert shown(frame)["small.jpg"][:2] == ("kept", None)
