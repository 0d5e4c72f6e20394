"""Personal data from landing to export: originals lie apart and never leave, our own people decide, and in time all of it is gone."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from dataops_assets import gates, planning, waiting
from dataops_assets.apart import Apart
from dataops_assets.flow import delivery, gating, handbook, images, labels
from dataops_assets.home import Home
from dataops_assets.imaging.decode import decode, encode
from dataops_assets.imaging.personal_data.faces import faces
from dataops_assets.imaging.personal_data.findings import look_for
from dataops_assets.labels.tables import FIELDS
from dataops_assets.manifest import Manifest
from dataops_assets.operations import Operations
from dataops_assets.projects import load_project
from dataops_assets.reports import pictures, screening, shown, status
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.label_tasks import plan
from dataops_assets.store import Store
from tests.conftest import REPO, changed
from tests.imaging.personal_data.made import scene, with_face, written
from tests.reports.test_delivery import Desk
from tests.test_sensors import instance, requests, tick

__all__ = ["instance"]

DAY = 86_400.0


def project() -> ProjectSpec:
    """Faces and grey pictures go to people; both vendors label, one of them is ours."""
    spec = load_project(REPO / "dataops_assets/defs/garments/defs.yaml")
    cleaning = {"workers": 1, "reject": [], "review": ["grayscale"], "personal_data": {"policy": {"face": "review"}}}
    return changed(
        spec,
        sources={"vendors": [{"name": "acme", "license": "CC0-1.0", "category": "dress"}]},
        cleaning=cleaning,
        augmentation={"recipes": []},
        labeling={"overlap": 1, "gold_share": 0.0, "rework_rounds": 0},
    )


class World:
    """A drop with three people and two rooms, one of them grey, and what became of it."""

    def __init__(self, root: Path, folder: Path, spec: ProjectSpec | None = None) -> None:
        self.desk = Desk(Store(Home.at(root)), spec or project())
        self.store, self.spec, self.home = self.desk.store, self.desk.spec, self.desk.store.home
        grey = scene(8).mean(axis=2, keepdims=True).astype("uint8").repeat(3, axis=2)
        people = {
            f"{name}.jpg": encode(with_face(folder, 90, (120, 150), seed)[0]) for seed, name in enumerate(("keep", "redact", "reject"))
        }
        self.files = {**people, "room.jpg": encode(scene(7)), "grey.jpg": encode(grey)}
        self.people = {path: hashlib.sha256(data).hexdigest() for path, data in people.items()}
        self.drop = self.desk.put(self.files)
        self.raw = images.raw_images(self.store, self.spec, self.drop)
        self.desk.release(self.raw)
        self.first = self.screened()

    def screened(self) -> Manifest:
        """Screen the drop, with the real gate and its reports, and go on to `augmented_set`."""
        made = images.cleaned_set(self.store, self.spec, self.raw)
        assert self.desk.gate(made).is_released
        self.desk.use(self.drop)
        return made

    def batch(self, kind: str) -> Manifest:
        """Plan a batch, make its tasks and its request folder."""
        (batch_id,) = planning.plan_batches(self.store, self.spec, kind).batch_ids
        book = handbook.guidelines(self.store, self.spec, labels.brief(self.store, self.spec))
        self.store.write(book)
        tasks = labels.label_tasks(self.store, self.spec, batch_id, book)
        self.desk.release(tasks)
        gating.publish(self.store, self.spec, tasks)
        return tasks

    def answer(self, tasks: Manifest, *answers: dict[str, str]) -> Manifest:
        """Return labels by image_id, of one person each, and approve what is accepted of them."""
        folder = self.home.returns(self.spec.name) / tasks.partition / str(tasks.frame["vendor"].iloc[0])
        folder.mkdir(parents=True)
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, FIELDS)
        writer.writeheader()
        for number, given in enumerate(answers):
            for task, image, attribute in tasks.frame[["task_id", "image_id", "attributes"]].itertuples(index=False):
                row = {"item_id": task, "attribute": attribute, "label": given[image], "submitted_at": "2026-11-20T10:00:00Z"}
                writer.writerow(row | {"annotator": f"person-{number}"})
        (folder / "labels.csv").write_text(buffer.getvalue())
        labeled = labels.labeled_batches(self.store, self.spec, tasks)
        self.desk.release(labeled)
        quality = labels.label_quality(self.store, self.spec, labeled, tasks)
        self.desk.release(quality)
        approved = labels.approved_labels(self.store, self.spec, quality, labeled, tasks, "ann@example.org")
        self.desk.release(approved)
        return approved

    def ids(self) -> dict[str, str]:
        return dict(zip(self.raw.frame["path"], self.raw.frame["image_id"], strict=True))

    def home_time(self) -> float:
        """When the people's pictures were set apart, seconds since 1970."""
        return max(Path(self.store.apart("garments").apart(sha256)).stat().st_mtime for sha256 in self.people.values())

    def by_path(self, made: Manifest) -> pd.DataFrame:
        return made.frame.set_index("path")

    def shas(self, *folders: str) -> set[str]:
        """Of every file below these folders of the home, whatever it is called."""
        return {
            hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in folders
            for path in (self.home.root / folder).rglob("*")
            if path.is_file()
        }

    def pictures(self, folder: Path) -> Iterator[Path]:
        return (path for path in sorted(folder.rglob("*.jpg")))


def shows_a_face(path: Path) -> bool:
    pixels = decode(path.read_bytes()).pixels
    assert pixels is not None
    return faces(pixels) != []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, faces_folder: Path) -> World:
    return World(tmp_path_factory.mktemp("personal") / "home", faces_folder)


@pytest.fixture(scope="module")
def screening_batch(world: World) -> Manifest:
    held = world.store.released("label_tasks", "garments").get("screening-001")
    return world.store.read("label_tasks", "garments", "screening-001", held) if held else world.batch("screening")


@pytest.fixture(scope="module")
def second(world: World, screening_batch: Manifest) -> Manifest:
    """The drop's next version, once people have decided."""
    ids = world.ids()
    answers = {ids["keep.jpg"]: "keep", ids["redact.jpg"]: "redact", ids["reject.jpg"]: "reject", ids["grey.jpg"]: "reject"}
    world.answer(screening_batch, answers)
    assert [item.partition for item in waiting.rescreens(world.store, world.spec)] == [world.drop]
    return world.screened()


def test_originals_lie_apart_once_the_drop_is_screened(world: World) -> None:
    assert set(world.by_path(world.first).loc[list(world.people), "status"]) == {"review"}
    assert not world.shas("store/blobs") & set(world.people.values())
    assert world.shas("store/apart") >= set(world.people.values())
    apart = world.store.apart("garments")
    assert all(oct(Path(apart.apart(sha256)).stat().st_mode & 0o777) == "0o400" for sha256 in world.people.values())


def test_what_waits_for_people_is_told_and_a_batch_of_it_is_cut_by_itself(world: World, instance: dg.DagsterInstance) -> None:
    def told() -> tuple[dict[str, Any], str]:
        state = status.of(world.store, world.spec)
        (row,) = (row for row in state.unsettled if row["kind"] == "people")
        return row, "\n".join(state.lines())

    def asked() -> list[str]:
        runs = requests(tick(world.spec, instance, world.store, "plan"))
        return [str(run.run_config["ops"]) for run in runs if run.job_name == "garments_plan_batches" and run.run_config]

    book = handbook.guidelines(world.store, world.spec, labels.brief(world.store, world.spec))
    for made in (labels.brief(world.store, world.spec), book):
        world.desk.release(made)
    row, lines = told()
    until = datetime.fromtimestamp(
        min(Path(world.store.apart("garments").apart(one)).stat().st_mtime for one in world.people.values()), UTC
    )
    assert (row["pictures"], row["drops"], row["until"]) == (4, [world.drop], (until + timedelta(days=30)).date().isoformat())
    assert "4 pictures wait for a person, 4 in no batch yet: dataops plan garments --kind screening" in lines and row["until"] in lines
    (config,) = asked()
    assert "'kind': 'screening'" in config

    world.batch("screening")
    assert asked() == [] and "4 pictures wait for a person, 4 in screening-001" in told()[1]


def test_a_screening_batch_holds_what_is_doubtful_and_goes_to_our_own_people_only(world: World, screening_batch: Manifest) -> None:
    assert set(screening_batch.frame["image_id"]) == {*world.people.values(), world.ids()["grey.jpg"]}
    assert set(screening_batch.frame["vendor"]) == {"dataops"}
    folder = world.home.requests("garments") / screening_batch.partition
    assert sum(map(shows_a_face, world.pictures(folder))) == 3  # they must see what they decide on
    assert not world.shas("requests") & set(world.people.values())  # and even they get no original, with its metadata
    nothing = world.store.load_all("batch_plans", "garments")[0]
    with pytest.raises(ValueError, match="studio may not see personal data"):
        plan("screening", world.spec, world.first.frame, nothing, vendor="studio")


def test_the_next_version_carries_what_was_decided_who_did_and_when(world: World, second: Manifest) -> None:
    rows = world.by_path(second)
    assert second.version != world.first.version
    assert dict(rows["status"]) == {
        "keep.jpg": "kept",
        "redact.jpg": "kept",
        "reject.jpg": "rejected",
        "grey.jpg": "rejected",
        "room.jpg": "kept",
    }
    people = rows.drop("room.jpg")
    assert set(people["decided_by"]) == {"ann@example.org"} and people["decided_at"].notna().all()
    assert pd.isna(rows.loc["room.jpg", "decided_by"]) and pd.isna(rows.loc["room.jpg", "decided_at"])
    (who,) = set(people["answered_by"])
    answers = world.store.load("labeled_batches", "garments", "screening-001").frame
    assert set(answers["worker_id"]) == {who} and "person" not in who  # a pseudonym
    assert set(people["answered_at"].astype(str)) == {"2026-11-20 10:00:00+00:00"} and pd.isna(rows.loc["room.jpg", "answered_by"])
    assert rows.loc["redact.jpg", "open_personal_data"] is None and rows.loc["keep.jpg", "open_personal_data"] == "face"
    assert second.inputs["approved_labels"].keys() == {"screening-001"}
    assert waiting.rescreens(world.store, world.spec) == []


def test_the_report_shows_the_decisions_and_how_good_the_thresholds_are(world: World, second: Manifest) -> None:
    page = (world.home.reports("garments") / "screening" / f"{world.drop}.html").read_text()
    assert "Decided by people (4)" in page and "kept by ann@example.org, 20" in page and "rejected by ann@example.org, 20" in page
    assert re.search(r"kept by ann@example.org, [\d-]+; answered by [^,<]+, 2026-11-20", page)
    assert "precision" in page and "<td>grayscale</td>" in page  # people rejected the one grey picture: 1 of 1
    assert "<td class='number'>1</td><td class='number'>1.0</td><td class='number'>1.0</td>" in page


def test_neither_a_production_request_nor_an_export_holds_an_original_or_a_face_nobody_let_pass(world: World, second: Manifest) -> None:
    ids = world.ids()
    tasks = world.batch("production")
    assert set(tasks.frame["vendor"]) == {"studio"}
    assert set(tasks.frame["image_id"]) == {ids["keep.jpg"], ids["redact.jpg"], ids["room.jpg"]}
    answers = dict.fromkeys(tasks.frame["image_id"], "dress")
    world.answer(tasks, answers, answers)
    export = delivery.training_export(world.store, world.spec, "r001")
    world.desk.release(export)
    gating.publish(world.store, world.spec, export)
    assert set(export.frame["image_id"]) == set(tasks.frame["image_id"])

    kept = dict(zip(tasks.frame["image_id"], tasks.frame["file"], strict=True))
    request, exported = world.home.requests("garments") / tasks.partition, world.home.exports("garments") / "r001"
    assert [image for image, file in kept.items() if shows_a_face(request / file)] == [ids["keep.jpg"]]  # a person let it pass
    shown = [path for path in world.pictures(exported) if shows_a_face(path)]
    assert {path.stem for path in shown} == {ids["keep.jpg"]} and len(list(world.pictures(exported))) >= 3
    outside = world.shas("requests", "exports", "reports", "store/blobs", "returns", "dagster")
    assert not outside & set(world.people.values())
    refused = world.by_path(second).loc["reject.jpg", "clean_sha256"]
    assert refused not in world.shas("exports", "reports", "store/blobs")


def test_after_the_retention_period_everything_goes_and_the_drop_can_still_be_screened(world: World, second: Manifest) -> None:
    """The last test of this world: it deletes."""
    store, spec = world.store, world.spec
    days, now = spec.cleaning.personal_data.retention_days, world.home_time()
    assert images.purge(store, spec, now + (days - 1) * DAY) == []
    gone = set(images.purge(store, spec, now + (days + 1) * DAY))
    assert gone >= set(world.people.values())
    assert not world.shas("store/apart", "requests", "store/blobs", "exports", "reports") & set(world.people.values())
    refused = world.by_path(second).loc["reject.jpg", "clean_sha256"]
    assert refused in gone and refused not in world.shas("requests", "store")
    assert images.left_in_landing(store, spec) == {world.home.landing("garments") / "acme" / "d1": 3}
    again = images.cleaned_set(store, spec, world.raw)
    pd.testing.assert_frame_equal(again.frame, second.frame)
    screening.write(store, spec, again)


@pytest.fixture
def own(tmp_path: Path, faces_folder: Path) -> World:
    return World(tmp_path / "home", faces_folder)


def test_where_two_of_our_people_disagree_a_third_decides(own: World) -> None:
    tasks = own.batch("screening")
    first = dict.fromkeys(tasks.frame["image_id"], "keep")
    own.answer(tasks, first, first | {own.people["reject.jpg"]: "reject"})
    own.screened()
    assert all(len(who.split("|")) == 2 for who in own.by_path(own.store.load("cleaned_set", "garments", own.drop))["answered_by"].dropna())
    judged = own.batch("adjudication")
    assert list(judged.frame["image_id"]) == [own.people["reject.jpg"]] and set(judged.frame["vendor"]) == {"dataops"}
    assert (own.home.requests("garments") / judged.partition / judged.frame["file"].iloc[0]).exists()
    own.answer(judged, {own.people["reject.jpg"]: "reject"})
    assert [item.partition for item in waiting.rescreens(own.store, own.spec)] == [own.drop]
    settled = own.by_path(own.screened()).loc["reject.jpg"]
    (own_word,) = own.store.load("labeled_batches", "garments", judged.partition).frame["worker_id"]
    assert settled["status"] == "rejected" and settled["answered_by"] == own_word
    assert waiting.rescreens(own.store, own.spec) == []


class TestRetention:
    """Purged while it still waits."""

    def test_what_waited_too_long_is_neither_asked_about_nor_waited_for(self, own: World) -> None:
        images.purge(own.store, own.spec, own.home_time() + 31 * DAY)
        assert set(images.showable(own.store, own.spec, "screening")["path"]) == {"grey.jpg"}
        rows = own.by_path(images.cleaned_set(own.store, own.spec, own.raw))
        assert {rows.loc[path, "reason"] for path in own.people} == {"PURGED"}
        assert (rows.loc["room.jpg", "status"], rows.loc["grey.jpg", "status"]) == ("kept", "review")

    def test_delivered_again_it_is_screened_and_decided_like_any_other(self, own: World) -> None:
        images.purge(own.store, own.spec, own.home_time() + 31 * DAY)
        again = own.desk.put({"again.jpg": own.files["keep.jpg"]}, name="d2")
        own.drop, own.raw = again, images.raw_images(own.store, own.spec, again)
        own.desk.release(own.raw)
        assert list(own.screened().frame["status"]) == ["review"]
        assert not own.shas("store/blobs") & set(own.people.values())
        tasks = own.batch("screening")
        mine = tasks.frame["image_id"] == own.people["keep.jpg"]
        assert mine.any()
        own.answer(tasks, dict.fromkeys(tasks.frame["image_id"], "redact"))
        assert list(own.screened().frame["status"]) == ["kept"]

    def test_another_project_that_shares_the_picture_hears_the_same(self, own: World) -> None:
        images.purge(own.store, own.spec, own.home_time() + 31 * DAY)
        assert Apart(own.store.blobs, "dresses").purged() >= set(own.people.values())
        other = changed(own.spec, name="dresses")
        frame = images.cleaned_set(own.store, other, Manifest("raw_images", "dresses", own.drop, own.raw.frame)).frame
        assert set(frame.set_index("path").loc[list(own.people), "reason"]) == {"PURGED"}


class TestWiderSearch:
    """Faces were covered and the originals are gone; now the project looks for text too."""

    @pytest.fixture
    def late(self, tmp_path: Path, faces_folder: Path) -> Desk:

        def noted(*lines: str, seed: int) -> bytes:
            pixels, (paper, (x, y, w, h)) = (
                with_face(faces_folder, 90, (120, 250), seed)[0].copy(),
                written(*lines, letter_px=16, seed=seed),
            )
            pixels[y : y + h, x : x + w] = paper[y : y + h, x : x + w]
            return encode(pixels)

        plain = encode(with_face(faces_folder, 90, (120, 150), 4)[0])
        files = {
            "plain.jpg": plain,
            "mail.jpg": noted("anna@example.org", seed=5),
            "note.jpg": noted("a light rain", "in the morning", seed=6),
        }
        spec = changed(project(), cleaning={"reject": [], "review": [], "personal_data": {}}, gates={"min_keep_share": 0.1})
        desk = Desk(Store(Home.at(tmp_path / "home")), spec)
        self.drop = desk.put(files)
        self.raw = images.raw_images(desk.store, spec, self.drop)
        desk.release(self.raw)
        self.first = images.cleaned_set(desk.store, spec, self.raw)
        desk.release(self.first)
        desk.use(self.drop)
        assert set(self.first.frame["status"]) == {"kept"} and set(self.first.frame["faces"]) == {1}
        gone = images.purge(desk.store, spec, time.time() + 31 * DAY)
        assert set(gone) >= set(self.first.frame["image_id"])
        return desk

    @pytest.mark.parametrize("action", ["redact", "review", "reject", "keep"])
    def test_the_cleaned_files_are_searched_and_the_gate_can_pass(self, late: Desk, action: str) -> None:
        wider = {"look_for": ["face", "text", "metadata"], "policy": {"e_mail": action}}
        late.spec = spec = changed(late.spec, cleaning={"personal_data": wider})
        assert [item.partition for item in waiting.rescreens(late.store, spec)] == [self.drop]
        made = images.cleaned_set(late.store, spec, self.raw)
        before, after = self.first.frame.set_index("path"), made.frame.set_index("path")
        assert late.gate(made).is_released and waiting.rescreens(late.store, spec) == []
        same = ["plain.jpg", "note.jpg"]
        assert set(after.loc[same, "status"]) == {"kept"} and after.loc["note.jpg", "text_regions"] > 0
        assert list(after.loc[same, "clean_sha256"]) == list(before.loc[same, "clean_sha256"])  # not saved a second time
        mail = after.loc["mail.jpg"]
        told = {"redact": ("kept", None), "review": ("rejected", "PURGED"), "reject": ("rejected", "e_mail"), "keep": ("kept", None)}
        assert (mail["status"], mail["reason"]) == told[action] and mail["personal_data"] == "e_mail|face"
        old = before.loc["mail.jpg", "clean_sha256"]
        assert late.store.blobs.has(old) is (action == "keep") and (mail["clean_sha256"] == old) is (action == "keep")
        if action == "redact":
            assert late.store.blobs.has(mail["clean_sha256"]) and mail["open_personal_data"] is None
            pixels = decode(late.store.blobs.read(mail["clean_sha256"])).pixels
            assert pixels is not None and not [one for one in look_for(pixels, b"", {"text", "e_mail"}).regions if one.kind == "e_mail"]
        again = images.cleaned_set(late.store, spec, self.raw)
        pd.testing.assert_frame_equal(again.frame, made.frame)


def test_a_withdrawal_names_who_still_has_the_picture(world: World, second: Manifest) -> None:
    work = Operations(world.store, [world.spec], None)
    told = work.withdraw("garments", None, world.ids()["keep.jpg"], "consent revoked", "ann@example.org").lines()
    assert any("Batch screening-001 was sent to dataops with 1 of its pictures" in line for line in told)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, faces_folder: Path) -> World:
    spec = changed(project(), cleaning={"reject": ["grayscale"], "review": []}, gates={"min_keep_share": 0.1})
    return World(tmp_path_factory.mktemp("strict") / "home", faces_folder, spec)


class TestLeftOutUnsearched:
    """Left out by a measure, before anybody looked for people in it."""

    def test_it_lies_apart_and_is_shown_to_our_own_people_all_the_same(self, strict: World) -> None:
        grey = strict.ids()["grey.jpg"]
        assert strict.by_path(strict.first).loc["grey.jpg", "reason"] == "grayscale"
        assert grey not in strict.shas("store/blobs") and grey in strict.shas("store/apart")
        assert grey in pictures.of_drop(strict.store, strict.spec, strict.first)

    def test_delivered_again_it_is_the_same_picture(self, strict: World) -> None:
        again = images.raw_images(strict.store, strict.spec, strict.desk.put({"other.jpg": strict.files["grey.jpg"]}, name="d2"))
        strict.desk.release(again)
        made = images.cleaned_set(strict.store, strict.spec, again)
        assert dict(strict.by_path(made)["reason"]) == {"other.jpg": "grayscale"}
        assert strict.ids()["grey.jpg"] not in strict.shas("store/blobs")

    def test_a_project_that_wants_it_after_all_gets_it(self, strict: World) -> None:
        made = images.cleaned_set(strict.store, changed(strict.spec, cleaning={"reject": []}), strict.raw)
        assert strict.by_path(made).loc["grey.jpg", "status"] == "kept"
        grey = strict.ids()["grey.jpg"]
        assert grey in strict.shas("store/blobs")  # searched now, and nothing was found
        images.cleaned_set(strict.store, strict.spec, strict.raw)
        assert grey not in strict.shas("store/blobs") and grey in strict.shas("store/apart")

    def test_after_the_retention_period_it_stays_left_out(self, strict: World) -> None:
        """The last test of this world: it deletes."""
        gone = images.purge(strict.store, strict.spec, strict.home_time() + 31 * DAY)
        assert strict.ids()["grey.jpg"] in gone
        made = images.cleaned_set(strict.store, changed(strict.spec, cleaning={"reject": []}), strict.raw)
        assert strict.by_path(made).loc["grey.jpg", "reason"] == "grayscale"


class TestRefusedAtIntake:
    """Refused before any screening, because nobody says that the people in it agreed."""

    @pytest.fixture
    def desk(self, tmp_path: Path) -> Desk:
        return Desk(Store(Home.at(tmp_path / "home")), changed(project(), sources={"consent": "required"}))

    def take(
        self,
        desk: Desk,
        name: str = "d1",
        files: Iterable[str] = ("room.jpg",),
        agreed: Iterable[str] = (),
        known: Mapping[str, bytes] | None = None,
    ) -> Manifest:
        data = known or {"room.jpg": encode(scene(7)), "other.jpg": encode(scene(9))}
        listed = [{"path": path, **({"consent": "signed"} if path in agreed else {})} for path in files]
        about = json.dumps({"schema_version": 1, "vendor": "acme", "drop_id": name, "files": listed})
        made = images.raw_images(
            desk.store, desk.spec, desk.put({**{path: data[path] for path in files}, "manifest.json": about.encode()}, name=name)
        )
        desk.release(made)
        return made

    def where(self, desk: Desk, made: Manifest) -> dict[str, str]:
        """Path -> where its bytes lie."""
        rows = made.frame[made.frame["status"] != "ignored"]
        apart = desk.store.apart("garments")
        return {
            path: "common" if desk.store.blobs.has(sha256) else "apart" if apart.has(sha256) else "gone"
            for path, sha256 in zip(rows["path"], rows["sha256"], strict=True)
        }

    def test_it_lies_apart_and_goes_in_time(self, desk: Desk) -> None:
        made = self.take(desk, files=("room.jpg", "other.jpg"), agreed=("other.jpg",))
        assert dict(zip(made.frame["path"], made.frame["reason"], strict=True))["room.jpg"] == "CONSENT_MISSING"
        assert self.where(desk, made) == {"room.jpg": "apart", "other.jpg": "common"}
        assert images.raw_images(desk.store, desk.spec, made.partition).version == made.version  # taken in again
        images.purge(desk.store, desk.spec, time.time() + 31 * DAY)
        assert self.where(desk, made) == {"room.jpg": "gone", "other.jpg": "common"}

    def test_our_own_people_see_it_small_all_the_same(self, desk: Desk) -> None:
        made = self.take(desk)
        assert shown.parts(desk.store, desk.spec, made)["pictures refused"] is not None
        verdict = desk.gate(made)
        assert verdict.outcome == "fail"
        told = gates.evaluations(desk.store, desk.spec, "raw_images", made.partition, made.version, verdict)
        assert any(name.endswith(": pictures") for check in told for name in check.metadata)

    def test_delivered_again_with_what_was_missing_it_is_screened(self, desk: Desk) -> None:
        self.take(desk)
        made = self.take(desk, name="d2", agreed=("room.jpg",))
        assert list(images.cleaned_set(desk.store, desk.spec, made).frame["status"]) == ["kept"]

    def test_the_bytes_that_another_delivery_brought_in_order_stay(self, desk: Desk) -> None:
        taken = self.take(desk, agreed=("room.jpg",))
        refused = self.take(desk, name="d2")
        assert list(refused.frame["reason"].dropna()) == ["CONSENT_MISSING"]
        assert self.where(desk, taken) == {"room.jpg": "common"}

    @pytest.mark.parametrize("agreed", [(), ("again.jpg",)])
    def test_a_cleaned_file_of_ours_that_comes_back_stays_in_use(self, desk: Desk, agreed: tuple[str, ...]) -> None:
        made = images.cleaned_set(desk.store, desk.spec, self.take(desk, agreed=("room.jpg",)))
        desk.release(made)
        (clean,) = made.frame["clean_sha256"]
        again = self.take(desk, name="d2", files=("again.jpg",), agreed=agreed, known={"again.jpg": desk.store.blobs.read(clean)})
        if agreed:
            assert list(images.cleaned_set(desk.store, desk.spec, again).frame["reason"]) == ["near_duplicate"]
        assert desk.store.blobs.has(clean)

    def test_where_nothing_is_looked_for_nobody_minds(self, desk: Desk) -> None:
        desk.spec = changed(desk.spec, cleaning={"personal_data": {"look_for": [], "policy": {}}})
        assert self.where(desk, self.take(desk)) == {"room.jpg": "common"}


@pytest.mark.parametrize("action", ["redact", "review", "reject"])
class TestStricterPolicy:
    """Faces were simply kept; the drop is screened again under a policy that doesn't, and its variants aren't made anew yet."""

    @pytest.fixture
    def lax(self, tmp_path: Path, action: str, faces_folder: Path) -> World:
        recipes = [{"name": "mirrored", "copies": 1, "transforms": [{"HorizontalFlip": {"p": 1.0}}]}]
        spec = changed(
            project(),
            cleaning={"reject": [], "review": [], "personal_data": {"policy": {"face": "keep"}}},
            augmentation={"recipes": recipes},
            gates={"min_keep_share": 0.1},
        )
        made = World(tmp_path / "home", faces_folder, spec)
        self.tasks = made.batch("production")
        answers = dict.fromkeys(self.tasks.frame["image_id"], "dress")
        made.answer(self.tasks, answers, answers)
        assert sum(map(shows_a_face, made.pictures(made.home.requests("garments") / self.tasks.partition))) == 3
        self.before = made.shas("store/blobs")
        assert made.desk.gate(self.tasks).is_released
        made.spec = made.desk.spec = changed(spec, cleaning={"personal_data": {"policy": {"face": action}}})
        return made

    def rescreen(self, lax: World) -> Manifest:
        made = images.cleaned_set(lax.store, lax.spec, lax.raw)
        assert lax.desk.gate(made).is_released
        return made

    def faces_of(self, lax: World, shas: Iterable[str]) -> int:
        return sum(shows_a_face(Path(lax.store.blobs.path(sha256))) for sha256 in shas)

    def test_what_was_made_under_the_old_one_leaves_common_sight(self, lax: World, action: str) -> None:
        old = set(lax.by_path(lax.first).loc[list(lax.people), "clean_sha256"])
        rows, _ = lax.store.load_all("augmented_set", "garments")
        variants = set(rows.loc[rows["source_image_id"].isin(lax.people.values()), "sha256"])
        assert len(variants) == 6 and variants >= old and variants <= self.before
        others = {sha256 for sha256 in rows["sha256"] if sha256 not in variants}
        self.rescreen(lax)
        assert not variants & lax.shas("store/blobs") and variants <= lax.shas("store/apart")
        assert others <= lax.shas("store/blobs")

    def test_no_request_and_no_export_holds_it(self, lax: World, action: str) -> None:
        made = self.rescreen(lax)
        kept = set(made.frame.loc[made.frame["status"] == "kept", "image_id"])
        usable, _ = images.usable_images(lax.store, lax.spec)
        assert set(usable.loc[usable["kind"] == "source", "image_id"]) == kept
        assert self.faces_of(lax, usable["sha256"]) == 0
        export = delivery.training_export(lax.store, lax.spec, "r001")
        assert export.frame["sha256"].map(lax.store.blobs.has).all() and not set(export.frame["source_image_id"]) & set(lax.people.values())
        lax.desk.use(lax.drop)
        export = delivery.training_export(lax.store, lax.spec, "r001")
        assert set(export.frame["source_image_id"]) == kept

    def test_until_it_is_screened_anew_nothing_that_is_forbidden_is_in_use(self, lax: World, action: str) -> None:
        def told() -> str:
            return "\n".join(status.of(lax.store, lax.spec).lines())

        room = {lax.ids()["room.jpg"], lax.ids()["grey.jpg"]}
        before, _ = images.usable_images(lax.store, lax.spec)
        assert set(before["source_image_id"]) == room and len(before) == 4  # with their variants
        assert set(labels.may_show(lax.store, lax.spec, self.tasks.frame)["source_image_id"]) == room
        opened = delivery.training_export(lax.store, lax.spec, "r001")
        assert set(opened.frame["source_image_id"]) == room
        out = delivery.assemble(lax.store, lax.spec, "r001", opened.inputs).left_out.set_index("image_id")["reason"]
        assert set(out[list(lax.people.values())]) == {"personal_data"}
        assert [item.partition for item in waiting.rescreens(lax.store, lax.spec)] == [lax.drop]
        assert f"drop {lax.drop} was screened under another policy" in told() and "3 of its pictures" in told()

        made = images.cleaned_set(lax.store, lax.spec, lax.raw)
        lax.store.write(made)
        gates.enter(lax.store, made, gates.Verdict("fail"), run_id="", until=None)
        assert set(images.usable_images(lax.store, lax.spec)[0]["source_image_id"]) == room
        assert waiting.rescreens(lax.store, lax.spec) == [] and "the gate of cleaned_set said no" in told()

        lax.desk.release(made)
        assert waiting.rescreens(lax.store, lax.spec) == [] and "another policy" not in told()

    def test_the_gate_of_a_release_asks_what_the_policy_says_today(self, lax: World, action: str) -> None:
        strict = lax.spec

        def said(made: Manifest, spec: ProjectSpec) -> tuple[str, set[str]]:
            verdict, _ = gates.judge(made, spec, gating.input_frames(lax.store, spec, made))
            return verdict.outcome, {finding.name for finding in verdict.failed}

        lenient = changed(strict, cleaning={"personal_data": {"policy": {"face": "keep"}}})
        opened = delivery.training_export(lax.store, lenient, "r001")
        assert set(opened.frame["source_image_id"]) == set(lax.first.frame["image_id"]) and said(opened, lenient) == ("pass", set())
        assert said(opened, strict) == ("fail", {"personal_data_allowed"})  # the policy became stricter between
        read = changed(strict, cleaning={"personal_data": {"policy": {"face": "keep"}, "look_for": ["face", "metadata", "text"]}})
        assert said(opened, read) == ("fail", {"searched"})
        assert said(delivery.training_export(lax.store, strict, "r001"), strict) == ("pass", set())

        face = opened.frame["source_image_id"] == lax.people["keep.jpg"]
        forged = opened.frame.assign(sha256=opened.frame["sha256"].where(~face, lax.people["keep.jpg"]))
        assert said(replace(opened, frame=forged), lenient) == ("fail", {"cleaned"})  # an original
        self.rescreen(lax)
        assert said(opened, lenient) == ("fail", {"in_common_sight"})  # what was made of them lies apart by now

    def test_a_policy_that_changes_nothing_here_asks_for_nothing(self, lax: World, action: str) -> None:
        same = {"policy": {"face": "keep", "gps": action}, "retention_days": 3, "look_for": ["metadata", "face"]}
        spec = changed(lax.spec, cleaning={"personal_data": same})
        assert waiting.rescreens(lax.store, spec) == [] and set(images.usable_images(lax.store, spec)[0]["source_image_id"]) == {
            *lax.first.frame["image_id"]
        }
        wider = changed(spec, cleaning={"personal_data": {**same, "look_for": ["metadata", "face", "text"]}})
        assert [item.partition for item in waiting.rescreens(lax.store, wider)] == [lax.drop]
        assert images.usable_images(lax.store, wider)[0].empty  # nobody has looked for text

    def test_no_page_shows_it(self, lax: World, action: str) -> None:
        page = lax.home.reports("garments") / "label_tasks" / f"{self.tasks.partition}.html"
        (picture,) = set(re.findall(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", page.read_text()))
        self.rescreen(lax)
        assert picture not in page.read_text() and "data:image/jpeg" in page.read_text()

    def test_what_another_project_uses_stays(self, lax: World, action: str) -> None:
        old = set(lax.by_path(lax.first).loc[list(lax.people), "clean_sha256"])
        other = changed(lax.spec, name="dresses", cleaning={"personal_data": {"policy": {"face": "keep"}}})
        desk = Desk(lax.store, other)
        raw = Manifest("raw_images", "dresses", lax.drop, lax.raw.frame)
        for made in (raw, cleaned := images.cleaned_set(lax.store, other, raw), images.augmented_set(lax.store, other, cleaned)):
            desk.release(made)
        self.rescreen(lax)
        assert old <= lax.shas("store/blobs")
