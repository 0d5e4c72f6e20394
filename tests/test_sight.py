"""What nobody has searched lies apart, and a project takes out of common sight only what no other one has in use."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dataops_assets import gates
from dataops_assets.apart import Apart
from dataops_assets.flow import images, sight
from dataops_assets.home import Home
from dataops_assets.imaging.decode import encode
from dataops_assets.manifest import Manifest
from dataops_assets.reports import pictures, shown
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.conftest import changed
from tests.imaging.personal_data.made import scene
from tests.imaging.personal_data.test_metadata import BERLIN, exif, file_of
from tests.reports.test_delivery import Desk, terms
from tests.test_personal_data import World, project

DAY = 86_400.0
FILES = {"room.jpg": encode(scene(7)), "gps.jpg": file_of("JPEG", exif=exif(gps=BERLIN), image=Image.fromarray(scene(2)))}
COMMENT = b"\xff\xfe\x00\x06hey!"  # in a JPEG, behind its first marker
BROKEN = {"broken.jpg": b"not a picture"}


@pytest.fixture
def desk(tmp_path: Path, garments: ProjectSpec) -> Desk:
    spec = changed(
        terms(garments), cleaning={"reject": ["grayscale"], "review": []}, gates={"min_accepted_file_share": 0.9, "min_keep_share": 0.0}
    )
    return Desk(Store(Home.at(tmp_path / "home")), spec)


def grey(seed: int) -> bytes:
    return encode(scene(seed).mean(axis=2, keepdims=True).astype("uint8").repeat(3, axis=2))


class TestRefusedByItsGate:
    """Too many files of the delivery can't be opened, so nobody screens the others."""

    def take(self, desk: Desk, files: dict[str, bytes], name: str = "d1") -> tuple[Manifest, dict[str, str]]:
        made = images.raw_images(desk.store, desk.spec, desk.put(files, name=name))
        accepted = made.frame[made.frame["status"] == "accepted"]
        return made, dict(zip(accepted["path"], accepted["sha256"], strict=True))

    def test_its_files_lie_apart_and_our_own_people_see_them_small(self, desk: Desk) -> None:
        made, ids = self.take(desk, {**FILES, **BROKEN})
        verdict = desk.gate(made)
        assert verdict.outcome == "fail" and len(ids) == 2
        assert not any(map(desk.store.blobs.has, ids.values())) and all(map(desk.store.apart("garments").has, ids.values()))
        assert shown.parts(desk.store, desk.spec, made)["pictures accepted"] is not None
        told = gates.evaluations(desk.store, desk.spec, "raw_images", made.partition, made.version, verdict)
        assert any(name.endswith(": pictures") for check in told for name in check.metadata)

    def test_let_pass_and_screened_what_shows_nothing_comes_back(self, desk: Desk) -> None:
        made, ids = self.take(desk, {**FILES, **BROKEN})
        desk.gate(made)
        desk.spec = changed(desk.spec, gates={"min_accepted_file_share": 0.1})
        assert desk.gate(made).is_released
        frame = images.cleaned_set(desk.store, desk.spec, made).frame
        assert set(frame["status"]) == {"kept"}
        assert desk.store.blobs.has(ids["room.jpg"]) and not desk.store.blobs.has(ids["gps.jpg"])
        images.purge(desk.store, desk.spec, desk.store.apart("garments").since([ids["gps.jpg"]])[ids["gps.jpg"]] + 31 * DAY)
        assert desk.store.apart("garments").has(ids["room.jpg"]) and not desk.store.apart("garments").has(ids["gps.jpg"])

    def test_a_kill_in_between_loses_none_of_it(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        class Killed(Exception):
            pass

        def kill(*given: object) -> None:
            raise Killed

        made, ids = self.take(desk, {**FILES, **BROKEN})
        desk.gate(made)
        desk.spec = changed(desk.spec, gates={"min_accepted_file_share": 0.1})
        assert desk.gate(made).is_released
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(desk.store, "write", kill)
            images.cleaned_set(desk.store, desk.spec, made)
        assert not desk.store.blobs.has(ids["room.jpg"])
        images.cleaned_set(desk.store, desk.spec, made)
        assert desk.store.blobs.has(ids["room.jpg"]) and not desk.store.blobs.has(ids["gps.jpg"])

    def test_delivered_again_in_order_they_come_back_too(self, desk: Desk) -> None:
        assert desk.gate(self.take(desk, {**FILES, **BROKEN})[0]).outcome == "fail"
        again, ids = self.take(desk, FILES, "d2")
        assert desk.gate(again).is_released and not desk.store.blobs.has(ids["room.jpg"])
        assert set(images.cleaned_set(desk.store, desk.spec, again).frame["status"]) == {"kept"}
        assert desk.store.blobs.has(ids["room.jpg"]) and not desk.store.blobs.has(ids["gps.jpg"])

    def test_deleted_meanwhile_and_delivered_again_in_order_they_are_as_any_other(self, desk: Desk) -> None:
        made, ids = self.take(desk, {**FILES, **BROKEN})
        desk.gate(made)
        images.purge(desk.store, desk.spec, desk.store.apart("garments").since([ids["room.jpg"]])[ids["room.jpg"]] + 31 * DAY)
        apart = desk.store.apart("garments")
        assert apart.purged() >= set(ids.values())
        again, _ = self.take(desk, FILES, "d2")
        assert desk.gate(again).is_released
        images.cleaned_set(desk.store, desk.spec, again)
        assert [apart.in_sight(ids[name]) for name in ("room.jpg", "gps.jpg")] == [True, False]
        assert set(pictures.as_taken(desk.store, "garments", again.frame)["path"]) & set(FILES) == {"room.jpg"}

    def test_what_an_earlier_version_found_does_not_come_back(self, desk: Desk) -> None:
        """Its retention period runs, also where the policy of today would let it lie with the others."""
        made, ids = self.take(desk, FILES)
        assert desk.gate(made).is_released
        images.cleaned_set(desk.store, desk.spec, made)
        assert not desk.store.blobs.has(ids["gps.jpg"])
        desk.spec = changed(desk.spec, cleaning={"personal_data": {"policy": {"gps": "keep"}}})
        assert set(images.cleaned_set(desk.store, desk.spec, made).frame["status"]) == {"kept"}
        assert not desk.store.blobs.has(ids["gps.jpg"]) and desk.store.blobs.has(ids["room.jpg"])

    def test_the_same_bytes_that_another_delivery_brought_in_order_stay(self, desk: Desk) -> None:
        first, ids = self.take(desk, {"room.jpg": FILES["room.jpg"]})
        assert desk.gate(first).is_released
        desk.gate(self.take(desk, {**FILES, **BROKEN}, "d2")[0])
        assert desk.store.blobs.has(ids["room.jpg"])

    def test_where_nothing_is_looked_for_nobody_minds(self, desk: Desk) -> None:
        desk.spec = changed(desk.spec, cleaning={"personal_data": {"look_for": [], "policy": {}}})
        made, ids = self.take(desk, {**FILES, **BROKEN})
        assert desk.gate(made).outcome == "fail" and all(map(desk.store.blobs.has, ids.values()))


class TestCleanedFileOfAnotherProject:
    """Somebody delivers it to a project that leaves it out unsearched, or refuses it at once."""

    @pytest.fixture
    def clean(self, desk: Desk) -> str:
        """In use by `dresses`, which keeps grey pictures."""
        owner = Desk(desk.store, changed(desk.spec, name="dresses", cleaning={"reject": []}))
        owner.use(owner.take(owner.put({"grey.jpg": grey(8)})))
        (name,) = owner.store.load_all("augmented_set", "dresses")[0].query("kind == 'source'")["sha256"]
        return str(name)

    def screened(self, desk: Desk, clean: str) -> Manifest:
        drop = desk.take(desk.put({"again.jpg": desk.store.blobs.read(clean), "room.jpg": encode(scene(7))}))
        made = desk.store.load("cleaned_set", "garments", drop)
        assert made.frame.set_index("path").loc["again.jpg", "reason"] == "grayscale"
        return made

    def test_it_stays_where_that_project_looks_for_it(self, desk: Desk, clean: str) -> None:
        self.screened(desk, clean)
        assert desk.store.blobs.has(clean)
        other = changed(desk.spec, name="dresses")
        assert images.usable_images(desk.store, other)[0]["sha256"].map(desk.store.blobs.has).all()

    def test_this_project_does_not_show_it_and_deletes_its_copy_in_time(self, desk: Desk, clean: str) -> None:
        made = self.screened(desk, clean)
        raw, apart = desk.store.load("raw_images", "garments", made.partition), desk.store.apart("garments")
        assert list(pictures.as_taken(desk.store, "garments", raw.frame)["path"]) == ["_COMPLETE", "room.jpg"]
        assert clean in apart.since([clean]) and Apart(desk.store.blobs, "dresses").in_sight(clean)
        assert clean in images.purge(desk.store, desk.spec, apart.since([clean])[clean] + 31 * DAY)
        assert list(pictures.as_taken(desk.store, "garments", raw.frame)["path"]) == ["_COMPLETE", "room.jpg"]
        assert desk.store.blobs.has(clean) and clean not in apart.purged()

    def test_refused_at_intake_it_stays_too(self, desk: Desk, clean: str) -> None:
        desk.spec = changed(desk.spec, sources={"consent": "required"})
        raw = images.raw_images(desk.store, desk.spec, desk.put({"again.jpg": desk.store.blobs.read(clean)}))
        assert "CONSENT_MISSING" in set(raw.frame["reason"])
        assert desk.store.blobs.has(clean) and not desk.store.apart("garments").in_sight(clean)

    def test_nobody_uses_what_that_project_left_out_itself(self, desk: Desk, clean: str) -> None:
        assert sight.used_by_others(desk.store, "garments", {clean}) == {clean}
        assert sight.used_by_others(desk.store, "dresses", {clean}) == set()

    def test_its_pages_lose_a_picture_whose_file_stays(self, desk: Desk) -> None:
        """A stricter policy leaves the picture out, and another project has the very same cleaned file in use."""
        laxer = changed(desk.spec, cleaning={"reject": [], "personal_data": {"policy": {"gps": "keep"}}})
        desk.spec = laxer
        drop = desk.take(desk.put(FILES))
        desk.use(drop)
        held = desk.store.load("cleaned_set", "garments", drop).frame.set_index("path")
        image, clean = held.loc["gps.jpg", ["image_id", "clean_sha256"]]
        owner = Desk(desk.store, changed(laxer, name="dresses"))
        owner.use(owner.take(owner.put({"gps.jpg": FILES["gps.jpg"]})))
        desk.spec = changed(laxer, cleaning={"personal_data": {"policy": {"gps": "reject"}}})
        made = images.cleaned_set(desk.store, desk.spec, desk.store.load("raw_images", "garments", drop))
        assert made.frame.set_index("path").loc["gps.jpg", "reason"] == "gps"
        assert sight.outdated(desk.store, desk.spec, made) == ([], [image])
        assert desk.gate(made).is_released and desk.store.blobs.has(clean)


class TestOnePictureInTwoFiles:
    """Two drops hold the same pixels in different files, so they share a cleaned file. People say `redact` of one, `keep` of the other."""

    @pytest.fixture
    def world(self, tmp_path: Path, faces_folder: Path) -> World:
        return World(tmp_path / "home", faces_folder, changed(project(), gates={"min_keep_share": 0.0, "min_accepted_file_share": 0.0}))

    @pytest.mark.parametrize("is_keeper_first", [True, False])
    def test_the_file_stays_in_sight_for_the_drop_that_keeps_it(self, world: World, is_keeper_first: bool) -> None:
        grey = world.by_path(world.first).loc["grey.jpg"]
        data = world.files["grey.jpg"]
        raw = images.raw_images(world.store, world.spec, world.desk.put({"same.jpg": data[:2] + COMMENT + data[2:]}, name="d2"))
        assert world.desk.gate(raw).is_released
        same = images.cleaned_set(world.store, world.spec, raw)
        assert list(same.frame["clean_sha256"]) == [grey["clean_sha256"]] and same.frame["image_id"].iloc[0] != grey["image_id"]
        assert world.desk.gate(same).is_released
        tasks = world.batch("screening")
        said = {grey["image_id"]: "redact", same.frame["image_id"].iloc[0]: "keep"}
        world.answer(tasks, {image: said.get(image, "reject") for image in tasks.frame["image_id"]})

        for one in (raw, world.raw) if is_keeper_first else (world.raw, raw):
            made = images.cleaned_set(world.store, world.spec, one)
            assert world.desk.gate(made).is_released
            world.desk.use(one.partition)
        usable = images.usable_images(world.store, world.spec)[0].set_index("image_id")
        assert grey["image_id"] not in usable.index
        assert usable.loc[same.frame["image_id"], "sha256"].map(world.store.apart("garments").in_sight).all()
