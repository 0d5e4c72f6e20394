"""Room on the disks: asked of every file system that a delivery is written to; a run that finds none costs no attempt."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import dagster as dg
import pytest

from dataops_assets import drops, gates, room, sensors, waiting
from dataops_assets.flow import images
from dataops_assets.home import Home
from dataops_assets.intake.journal import Entry, Journal
from dataops_assets.reports import delivery, status
from dataops_assets.room import SPARE_BYTES, Disk, Room, unpacked_bytes
from dataops_assets.spec import IntakeLimits, ProjectSpec
from dataops_assets.stages import cleaned_set, raw_images
from dataops_assets.store import Store
from tests.conftest import changed
from tests.reports.test_delivery import Desk, photo, terms, text_of

MIB = 1 << 20
PARKED = ("drop_id", "vendor", "name", "supersedes", "fingerprint", "listing")
STANDS = ("status", "reason", "files_seen", "content_sha256", "fingerprint", "listing", "asked_by")


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/disk")


class Usage(NamedTuple):
    free: int


def disk_of(mib: int, files_free: int = 1) -> Any:
    """What the system says of an empty disk of so many MiB."""
    return SimpleNamespace(f_frsize=MIB, f_blocks=mib, f_bfree=mib, f_bavail=mib, f_files=2, f_favail=files_free)


def test_a_delivery_needs_room_where_it_is_kept_and_where_it_is_copied_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks = {tmp_path: Disk(tmp_path, SPARE_BYTES + 300, 1), tmp_path / "disk": Disk(tmp_path / "disk", SPARE_BYTES + 1000, 2)}
    monkeypatch.setattr(Disk, "of", lambda place: disks[place])
    room = Room(Store(Home(tmp_path, str(tmp_path / "disk"))))
    assert room.lack(500) == ""
    assert room.lack(501) == f"NO_SPACE: 256 MiB must be free at {tmp_path}/disk; it goes on by itself when they are"
    assert room.lack(300, at_home=300) == ""
    assert room.lack(301, at_home=301) == f"NO_SPACE: 256 MiB must be free at {tmp_path}; it goes on by itself when they are"
    room.take(200)
    assert room.lack(300) == ""
    assert "disk;" in room.lack(301)


def test_on_one_disk_both_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES + 1000))
    room = Room(Store(Home.at(tmp_path / "not" / "made" / "yet")))
    assert room.lack(333, at_home=333) == ""
    assert room.lack(334, at_home=334).startswith("NO_SPACE: 256 MiB must be free at ")


def test_an_object_store_has_no_end_but_the_home_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES - 1))
    store = Store(Home(tmp_path, "memory://bucket"))
    assert str(tmp_path) in Room(store).lack(0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES))
    assert Room(store).lack(10**15) == ""


def test_what_no_waiting_helps_is_told_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: disk_of(1000))
    told = Room(Store(Home.at(tmp_path))).lack(500 * MIB)
    assert told.startswith("NO_SPACE: 1256 MiB must be free at ") and "which has 1000 MiB in all" in told
    assert "have it delivered in parts, or move there to a larger disk" in told and "by itself" not in told
    monkeypatch.setattr(os, "statvfs", lambda path: disk_of(1000, files_free=0))
    assert "it goes on by itself" in Room(Store(Home.at(tmp_path))).lack(0)


class TestSizeOfArchives:
    LIMITS = IntakeLimits()

    def size(self, path: Path, data: bytes, limits: IntakeLimits = LIMITS) -> int:
        path.write_bytes(data)
        return unpacked_bytes(path, len(data), limits)

    def zipped(self, size: int) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.bmp", photo(1) + bytes(size))
        return file.getvalue()

    def test_a_zip_is_as_large_as_its_directory_says(self, tmp_path: Path) -> None:
        found = self.size(tmp_path / "d.zip", self.zipped(5 * MIB))
        assert found == 5 * MIB + len(photo(1))

    def test_also_where_sizes_take_more_than_four_bytes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", MIB)
        data = self.zipped(5 * MIB)
        assert b"\xff\xff\xff\xff" in data
        assert self.size(tmp_path / "d.zip", data) == 5 * MIB + len(photo(1))

    def test_what_the_limits_refuse_needs_no_more_than_they_allow(self, tmp_path: Path) -> None:
        assert self.size(tmp_path / "d.zip", self.zipped(5 * MIB), IntakeLimits(total_bytes=3 * MIB)) == 3 * MIB

    def test_a_zip_without_a_directory_is_as_large_as_it_lies_there(self, tmp_path: Path) -> None:
        data = self.zipped(5 * MIB)[:-30]
        assert self.size(tmp_path / "d.zip", data) == len(data)

    def test_a_gzipped_tar_by_its_end(self, tmp_path: Path) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            info = tarfile.TarInfo("a.bmp")
            info.size = 5 * MIB
            archive.addfile(info, io.BytesIO(bytes(5 * MIB)))
        assert self.size(tmp_path / "d.tar.gz", gzip.compress(file.getvalue())) == len(file.getvalue())

    def test_one_that_doesnt_pack_isnt_taken_for_4_gib_more(self, tmp_path: Path) -> None:
        data = gzip.compress(photo(1) * 3)
        data = data[:-4] + (len(data) - 60).to_bytes(4, "little")
        assert self.size(tmp_path / "d.tar.gz", data) == len(data)

    def test_what_became_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_bytes(self.zipped(5 * MIB))
        (tmp_path / "d.zip").symlink_to(tmp_path / "elsewhere")
        assert unpacked_bytes(tmp_path / "d.zip", 7, self.LIMITS) == 7

    def test_a_folder_is_as_large_as_its_files(self, tmp_path: Path) -> None:
        assert unpacked_bytes(tmp_path, 123, self.LIMITS) == 123


@pytest.fixture
def desk(store: Store, garments: ProjectSpec) -> Desk:
    return Desk(store, terms(garments))


def test_what_lies_on_the_disk_already_is_not_counted_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES + 2000))

    def left(drop_id: str) -> int:
        mine = Room(desk.store)
        mine.take_rest("garments", drop_id, "f1", 600)
        return next(size for size in range(1000, -1, -1) if not mine.lack(size))

    assert left("d1") == 400
    Journal(desk.store.home.scratch / "intake" / "garments.d1.f1.jsonl").write([Entry(0, "a", "", "", 200), Entry(1, "b", "", "", 100)])
    assert left("d1") == 550
    taken = desk.take(desk.put({"a.png": photo(1)}), is_screened=False)
    assert left(taken) == 700
    desk.take(taken)
    assert left(taken) == 1000


class TestARunThatFindsNoRoom:
    def rows(self, desk: Desk) -> list[tuple[str, str | None]]:
        return list(desk.store.drops.rows()[["status", "reason"]].itertuples(index=False, name=None))

    def waits(self, desk: Desk) -> waiting.Waiting:
        (item,) = waiting.drops(desk.store, desk.spec, {}, 0.0, is_settled=True).ready
        return item

    def test_the_ledger_and_the_status_say_so_and_it_goes_on(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        drop = desk.put({"a.png": photo(1), "b.png": photo(2)})
        with monkeypatch.context() as patch:
            patch.setattr(raw_images, "receive", full)
            for _ in range(2):
                with pytest.raises(OSError, match="No space left"):
                    desk.take(drop)
        assert self.rows(desk) == [("held", "NO_SPACE")] * 2
        assert any("NO_SPACE" in line for line in status.of(desk.store, desk.spec).lines())
        item = self.waits(desk)
        assert item.partition == drop and item.since > 0  # runs before don't count
        assert "found the disk full; it goes on by itself" in Room(desk.store).lack_again("garments", drop)
        monkeypatch.setattr(room, "PAUSE_S", 0.0)
        assert Room(desk.store).lack_again("garments", drop) == ""
        desk.take(drop)
        assert self.rows(desk)[2:] == [("accepted", None)]

    def test_so_it_is_when_it_is_screened(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        drop = desk.take(desk.put({"a.png": photo(1)}), is_screened=False)
        before = desk.store.drops.rows().iloc[-1]

        def uncommitted(*_: Any, **__: Any) -> None:
            raise RuntimeError("the commit failed") from OSError("No space left on device (os error 28)")

        with monkeypatch.context() as patch:
            patch.setattr(cleaned_set, "screen", uncommitted)
            with pytest.raises(RuntimeError):
                desk.take(drop)
        assert self.rows(desk) == [("accepted", None), ("held", "NO_SPACE")]
        assert self.waits(desk).since > 0
        changed = desk.store.home.landing("garments") / "acme" / "d1"
        assert waiting.drops(desk.store, desk.spec, {}, 0.0, is_settled=True).ready[0].partition == drop
        raw = desk.store.load("raw_images", "garments", drop)
        images.cleaned_set(desk.store, desk.spec, raw)  # as "rescreen" does: no new delivery
        last = desk.store.drops.rows().iloc[-1]
        kept = ["status", "files_seen", "content_sha256", "fingerprint", "attempt"]
        assert list(last[kept]) == list(before[kept]) and changed.exists()
        (changed / "c.png").write_bytes(photo(5))
        assert self.waits(desk).partition == f"{drop}-r2"

    @pytest.mark.parametrize("is_parked", [True, False])
    def test_one_that_left_landing_and_was_tried_again_stands_as_it_was_judged(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, is_parked: bool
    ) -> None:
        drop = desk.take(desk.put({"a.png": photo(1)}), is_screened=False)
        raw, before = desk.store.load("raw_images", "garments", drop), desk.store.drops.rows().iloc[-1]
        shutil.rmtree(desk.store.home.landing("garments") / "acme" / "d1")
        gates.enter(desk.store, images.cleaned_set(desk.store, desk.spec, raw), gates.Verdict("fail"), run_id="", until=None)
        if is_parked:
            drops.park(desk.store, desk.spec, [{name: before[name] for name in PARKED} | {"reason": "5 runs failed"}])
        for _ in range(2):  # on a person's word, as often as they like
            drops.retry(desk.store, desk.spec, drop, by="ann@example.org", why="threshold changed")
            with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
                patch.setattr(cleaned_set, "screen", full)
                images.cleaned_set(desk.store, desk.spec, raw)
            made = images.cleaned_set(desk.store, desk.spec, raw)
            last = desk.store.drops.rows().iloc[-1]
            assert [last[name] for name in STANDS] == [before[name] for name in STANDS]
            gates.enter(desk.store, made, gates.Verdict("fail"), run_id="", until=None)
        desk.release(made)
        delivery.write(desk.store, desk.spec, drop)
        told = text_of(desk.html(drop))
        assert "1 of 1 file are accepted and in use." in told and "once more" not in told

    def test_it_is_asked_for_again_with_all_its_attempts(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "PAUSE_S", 0.0)
        drop = desk.put({"a.png": photo(1)})
        work = f"garments/{drop}/{self.waits(desk).fingerprint}"
        with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance=instance) as context:
            for _ in range(sensors.MAX_ATTEMPTS):
                run = dg.DagsterRun(job_name="garments_drop", status=dg.DagsterRunStatus.FAILURE, tags={sensors.WORK_TAG: work})
                instance.add_run(run)
            drops.enter_drop(desk.store, {**self.waits(desk).facts, "project": "garments", "status": "held", "reason": drops.NO_SPACE})
            found = waiting.Found(ready=[self.waits(desk)])
            asked = sensors.requests(context, desk.store, desk.spec, "drops", found, self.waits(desk).since)
        assert [request.partition_key for request in asked] == [drop]

    def test_the_vendor_s_own_limits_say_how_large_an_archive_may_be(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        sources = desk.spec.model_dump(mode="json")["sources"]
        sources["limits"]["total_bytes"] = MIB
        sources["vendors"][0]["limits"] = {"total_bytes": 20 * MIB}
        spec = changed(desk.spec, sources=sources)
        place = desk.store.home.landing("garments") / "acme" / "d.zip"
        place.parent.mkdir(parents=True)
        place.write_bytes(TestSizeOfArchives().zipped(5 * MIB))
        found = waiting.drops(desk.store, spec, {}, 0.0, is_settled=True)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES + 4 * MIB))
        opened: list[str] = []
        monkeypatch.setattr(sensors, "unpacked_bytes", lambda *given: opened.append(given[0].name) or unpacked_bytes(*given))
        with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance=instance) as context:
            for now in (0.0, 15.0):
                assert sensors.requests(context, desk.store, spec, "drops", found, now) == []
        assert found.held["acme/d.zip"].startswith("NO_SPACE: 266 MiB must be free")
        assert opened == ["d.zip"]  # its size is the same as long as it is
