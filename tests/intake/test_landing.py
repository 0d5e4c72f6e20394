"""The landing folder: what is taken for a delivery, when it is complete, and which drop it is."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataops_assets.intake import identity, inside, landing, readiness
from dataops_assets.spec import ProjectSpec
from tests.conftest import changed


def deliver(root: Path, name: str = "d1", vendor: str = "atelier", **files: bytes) -> landing.Delivery:
    folder = root / "dresses" / vendor / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in (files or {"a": b"1"}).items():
        (folder / file).write_bytes(data)
    return landing.Delivery("dresses", vendor, name, folder, False)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def ledger(*rows: tuple[landing.Delivery, str, str]) -> pd.DataFrame:
    made = [
        {
            "vendor": given.vendor, "name": given.name, "drop_id": drop, "status": status, "supersedes": None,
            "fingerprint": landing.fingerprint(given), "content_sha256": landing.content_sha256(given),
        }
        for given, drop, status in rows
    ]  # fmt: skip
    return pd.DataFrame(made, columns=["vendor", "name", "drop_id", "status", "supersedes", "fingerprint", "content_sha256"])


def test_folders_and_archives_are_deliveries_and_nothing_else_is(tmp_path: Path) -> None:
    vendor = tmp_path / "dresses" / "atelier"
    (vendor / "folder").mkdir(parents=True)
    (vendor / ".hidden").mkdir()
    for name in ("x.zip", "y.tar.gz", "z.TGZ", "loose.jpg", "photos.rar", "half.zip.part", ".b.zip", "_COMPLETE"):
        (vendor / name).write_bytes(b"")
    (vendor / "link.zip").symlink_to(vendor / "x.zip")
    (vendor.parent / "README.txt").write_bytes(b"")
    landed = landing.scan(tmp_path, "dresses")
    found = landed.deliveries
    assert [(one.name, one.is_archive) for one in found] == [("folder", False), ("x.zip", True), ("y.tar.gz", True), ("z.TGZ", True)]
    strays = {"link.zip": "LINK_MEMBER", "loose.jpg": "LOOSE_FILE", "photos.rar": "UNSUPPORTED_ARCHIVE"}
    assert {one.name: one.fault for one in landed.strays} == strays
    assert landed.faults.pop("README.txt") == "lies in no vendor's folder"
    assert {name: sentence.partition(":")[0] for name, sentence in landed.faults.items()} == {
        f"atelier/{name}": fault for name, fault in strays.items()
    }


def test_a_thousand_strays_are_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "MAX_STRAYS", 2)
    (tmp_path / "dresses" / "atelier").mkdir(parents=True)
    for number in range(5):
        (tmp_path / "dresses" / "atelier" / f"{number}.jpg").touch()
    landed = landing.scan(tmp_path, "dresses")
    assert len(landed.strays) == 2
    assert landed.faults["atelier/ (more)"] == "3 more that are no deliveries"


def test_more_than_anybody_looks_at_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        deliver(tmp_path, str(number))
    assert landing.scan(tmp_path, "dresses").faults == {}
    monkeypatch.setattr(landing, "MOST_ENTRIES", 3)
    landed = landing.scan(tmp_path, "dresses")
    assert len(landed.deliveries) == 3
    assert landed.faults == {"atelier/ (most)": "more than 3 deliveries and other things lie here; some are not looked at"}


def test_what_cannot_be_looked_into_is_said_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path)
    (tmp_path / "dresses" / "linked").symlink_to(tmp_path)
    (tmp_path / "dresses" / "closed").mkdir()
    real = os.open

    def opened(name: Path | str, *rest: Any, **more: Any) -> int:
        if os.fspath(name).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(name, *rest, **more)

    monkeypatch.setattr(os, "open", opened)
    landed = landing.scan(tmp_path, "dresses")
    assert [one.name for one in landed.deliveries] == ["d1"]
    assert {one.vendor: one.fault for one in landed.strays} == {"closed": "UNREADABLE", "linked": "LINK_MEMBER"}
    assert landed.faults == {
        "closed": "can't be read: Permission denied",
        "linked": "is a link, and links are not followed: make it a folder",
    }


def test_names_are_valid_text_and_two_that_read_the_same_are_not_mixed_up(tmp_path: Path) -> None:
    vendor = os.fsencode(tmp_path / "dresses" / "atelier")
    for name in (b"a-\xff", b"a-\\xff"):
        os.makedirs(vendor + b"/" + name)
    landed = landing.scan(tmp_path, "dresses")
    assert [one.name for one in landed.deliveries] == ["a-\\xff"]
    assert landed.faults == {"atelier/a-\\xff (again)": "two names read the same once made valid text: rename one"}


def test_a_listing_tells_paths_and_sizes_and_no_times_or_markers(tmp_path: Path) -> None:
    given_ = deliver(tmp_path, a=b"1", b=b"2")
    before = landing.look(given_)
    os.utime(given_.path / "a", ns=(1, 1))
    deliver(tmp_path, _COMPLETE=b"")
    after = landing.look(given_)
    assert (after.listing, after.bytes, after.files) == (before.listing, 2, {"a", "b", "_COMPLETE"})
    assert after.fingerprint == landing.fingerprint(given_) != before.fingerprint
    deliver(tmp_path, a=b"11")
    assert landing.listing(given_) != before.listing


def test_other_bytes_of_the_same_size_and_time_are_noticed(tmp_path: Path) -> None:
    given_ = deliver(tmp_path, a=b"1")
    os.utime(given_.path / "a", ns=(1, 1))
    before = landing.look(given_)
    time.sleep(0.02)  # a clock of a kernel ticks so often
    deliver(tmp_path, a=b"2")
    os.utime(given_.path / "a", ns=(1, 1))
    after = landing.look(given_)
    assert after.listing == before.listing
    assert after.fingerprint != before.fingerprint


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=300), st.integers(1, 99))
def test_a_drop_id_is_our_slug_whatever_the_vendor_calls_it(vendor: str, name: str, generation: int) -> None:
    made = identity.drop_id_of(vendor.encode("utf-8", "replace").decode(), name.encode("utf-8", "replace").decode(), generation)
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", made)


class TestIdentify:
    def test_a_new_name_is_a_new_drop(self, tmp_path: Path) -> None:
        given_ = deliver(tmp_path)
        assert identity.identify(given_, ledger()).drop_id == identity.drop_id_of("atelier", "d1")

    def test_touched_but_unchanged_is_a_redelivery(self, tmp_path: Path) -> None:
        given_ = deliver(tmp_path)
        known = ledger((given_, "atelier-1", "accepted"))
        os.utime(given_.path / "a", ns=(1, 1))
        seen = identity.identify(given_, known)
        assert (seen.drop_id, seen.is_redelivery) == ("atelier-1", True)

    def test_other_bytes_under_the_name_supersede(self, tmp_path: Path) -> None:
        given_ = deliver(tmp_path)
        first = identity.drop_id_of("atelier", "d1")
        known = ledger((given_, first, "accepted"))
        deliver(tmp_path, a=b"22")
        seen = identity.identify(given_, known)
        assert (seen.drop_id, seen.supersedes, seen.is_redelivery) == (f"{first}-r2", first, False)
        known = pd.concat([known, ledger((given_, f"{first}-r2", "accepted"))])
        deliver(tmp_path, a=b"333")
        assert identity.identify(given_, known).drop_id == f"{first}-r3"

    def test_an_id_of_eight_digits_stays(self, tmp_path: Path) -> None:
        given_ = deliver(tmp_path / "landing")
        known = ledger((given_, "atelier-1a2b3c4d", "accepted"))
        assert identity.find(tmp_path / "landing", "dresses", "atelier-1a2b3c4d", known).path == given_.path
        deliver(tmp_path / "landing", a=b"22")
        assert identity.identify(given_, known).drop_id == "atelier-1a2b3c4d-r2"
        assert identity.find(tmp_path / "landing", "dresses", "atelier-1a2b3c4d-r2", known).path == given_.path

    def test_a_held_drop_that_grew_is_still_itself(self, tmp_path: Path) -> None:
        given_ = deliver(tmp_path)
        known = ledger((given_, "atelier-1", "held"))
        deliver(tmp_path, b=b"more")
        assert identity.identify(given_, known).drop_id == "atelier-1"


class TestReadiness:
    def test_a_marker_or_a_rest_completes_a_folder(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        given_ = deliver(tmp_path)
        assert readiness.of(given_, dresses, None, 0) == readiness.Readiness(False, "INCOMPLETE")
        seen = landing.fingerprint(given_)
        assert not readiness.of(given_, dresses, (seen, 0.0), 59).is_ready
        assert readiness.of(given_, dresses, (seen, 0.0), 60).is_ready
        deliver(tmp_path, b=b"more")
        assert not readiness.of(given_, dresses, (seen, 0.0), 60).is_ready
        deliver(tmp_path, _COMPLETE=b"")
        assert readiness.of(given_, dresses, None, 0).is_ready

    def test_a_marker_counts_only_if_no_file_came_after_it(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        given_ = deliver(tmp_path, _COMPLETE=b"")
        time.sleep(0.02)
        deliver(tmp_path, b=b"the redelivery has begun")
        assert readiness.of(given_, dresses, None, 0) == readiness.Readiness(False, "INCOMPLETE")
        assert readiness.of(given_, dresses, (landing.fingerprint(given_), 0.0), 60).is_ready
        (given_.path / "_COMPLETE").touch()
        assert readiness.of(given_, dresses, None, 0).is_ready

    @pytest.mark.parametrize(("target", "path"), [("/proc/self", "p/pagemap"), ("/dev", "p/zero"), (".", "p/a.jpg")])
    def test_a_manifest_leads_nowhere_outside(self, tmp_path: Path, dresses: ProjectSpec, target: str, path: str) -> None:
        row = {"path": path, "bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
        given_ = deliver(tmp_path, **{"a.jpg": b"", "manifest.json": json.dumps({"files": [row]}).encode()})
        (given_.path / "p").symlink_to(target)
        assert readiness.of(given_, dresses, None, 0).reason == "MANIFEST_FILE_MISSING"

    def test_a_path_that_no_disk_can_hold_is_not_there(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        given_ = deliver(tmp_path, **{"manifest.json": json.dumps({"files": [{"path": "n" * 300}]}).encode()})
        assert readiness.of(given_, dresses, None, 0).reason == "MANIFEST_FILE_MISSING"

    def test_a_file_is_read_as_far_as_it_was_listed_and_nothing_else_is_opened(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"listed, and more")
        assert inside.sha256_of(tmp_path / "a", 6) == hashlib.sha256(b"listed").hexdigest()
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to("a")
        for name in ("pipe", "link", "."):
            with pytest.raises(OSError, match=r"no regular file|symbolic links"):
                inside.sha256_of(tmp_path / name)

    def test_a_large_manifest_is_not_parsed_while_it_may_be_half(
        self, tmp_path: Path, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given_ = deliver(tmp_path, **{"a.jpg": b"aaa", "manifest.csv": b"path,sha256\na.jpg,%b\n" % sha256_of(b"aaa").encode()})
        assert readiness.of(given_, dresses, None, 0).is_ready
        monkeypatch.setattr(readiness, "SMALL_MANIFEST", 10)
        assert readiness.of(given_, dresses, None, 0).reason == "INCOMPLETE"
        assert readiness.of(given_, dresses, (landing.fingerprint(given_), 0.0), 60).is_ready

    def test_a_manifest_says_when_every_file_is_there(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        rows = [{"path": name, "bytes": len(data), "sha256": sha256_of(data)} for name, data in (("a.jpg", b"aaa"), ("b.jpg", b"bb"))]
        given_ = deliver(tmp_path, **{"manifest.json": json.dumps({"files": rows}).encode(), "a.jpg": b"aaa"})
        assert readiness.of(given_, dresses, None, 0).reason == "MANIFEST_FILE_MISSING"
        deliver(tmp_path, **{"b.jpg": b"b"})
        assert readiness.of(given_, dresses, None, 0).reason == "INCOMPLETE"
        deliver(tmp_path, **{"b.jpg": b"bb"})
        assert readiness.of(given_, dresses, None, 0).is_ready

    def test_a_size_alone_tells_nothing_of_a_file_that_got_it_before_its_bytes(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        manifest = b"path,bytes,sha256\na.jpg,3,%b\nb.jpg,4,\n" % sha256_of(b"aaa").encode()
        given_ = deliver(tmp_path, **{"manifest.csv": manifest, "a.jpg": b"aaa", "b.jpg": b"b\0\0\0"})
        assert readiness.of(given_, dresses, None, 0) == readiness.Readiness(False, "INCOMPLETE")
        assert readiness.of(given_, dresses, (landing.fingerprint(given_), 0.0), 60).is_ready

    def test_a_table_of_which_half_is_there_tells_of_too_few(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        manifest = b"path,sha256\na.jpg,%b\n" % sha256_of(b"aaa").encode()
        given_ = deliver(tmp_path, **{"manifest.csv": manifest, "a.jpg": b"aaa", ".DS_Store": b"", "b.jpg": b"b"})
        assert readiness.of(given_, dresses, None, 0) == readiness.Readiness(False, "INCOMPLETE")
        deliver(tmp_path, **{"manifest.csv": manifest + b"b.jpg,%b\n" % sha256_of(b"b").encode()})
        assert readiness.of(given_, dresses, None, 0).is_ready

    def test_an_accent_spelt_otherwise_is_the_same_name(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        row = {"path": "\u00e9.jpg", "sha256": hashlib.sha256(b"a").hexdigest()}
        given_ = deliver(tmp_path, **{"manifest.json": json.dumps({"files": [row]}).encode(), "e\u0301.jpg": b"a"})
        assert readiness.of(given_, dresses, None, 0).is_ready

    def test_a_required_manifest_is_waited_for(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        vendors = [{**vendor.model_dump(), "manifest": "required"} for vendor in dresses.sources.vendors]
        given_ = deliver(tmp_path)
        strict = changed(dresses, sources={"vendors": vendors})
        assert readiness.of(given_, strict, None, 0).reason == "MANIFEST_MISSING"

    def test_a_zip_is_complete_when_its_end_is_there(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        path = tmp_path / "dresses" / "atelier" / "x.zip"
        path.parent.mkdir(parents=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.jpg", b"a" * 1000)
        given_ = landing.Delivery("dresses", "atelier", "x.zip", path, True)
        assert readiness.of(given_, dresses, None, 0).is_ready
        path.write_bytes(path.read_bytes()[:500])
        assert not readiness.of(given_, dresses, None, 0).is_ready

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_a_zip_that_another_is_copied_over_must_rest(self, tmp_path: Path, dresses: ProjectSpec, share: float) -> None:
        path = tmp_path / "x.zip"

        def zipped(fill: bytes) -> bytes:
            with zipfile.ZipFile(path, "w") as archive:
                for number in range(10):
                    archive.writestr(f"{number}.jpg", fill * 1000)
            return path.read_bytes()

        new, _ = zipped(b"n"), zipped(b"o")
        given_ = landing.Delivery("dresses", "atelier", "x.zip", path, True)
        assert readiness.of(given_, dresses, None, 0).is_ready
        with open(path, "r+b") as file:
            file.write(new[: int(len(new) * share)])
        assert readiness.of(given_, dresses, None, 0).reason == "INCOMPLETE"
        path.write_bytes(new)
        assert readiness.of(given_, dresses, None, 0).is_ready

    def test_a_zip_packed_as_a_stream_must_rest(self, tmp_path: Path, dresses: ProjectSpec) -> None:
        class Pipe(io.RawIOBase):
            def write(self, data: Any) -> int:
                with open(tmp_path / "x.zip", "ab") as file:
                    return file.write(data)

        with zipfile.ZipFile(Pipe(), "w") as archive:  # type: ignore[call-overload]
            archive.writestr("a.jpg", b"a")
        given_ = landing.Delivery("dresses", "atelier", "x.zip", tmp_path / "x.zip", True)
        assert readiness.of(given_, dresses, None, 0).reason == "INCOMPLETE"
        assert readiness.of(given_, dresses, (landing.fingerprint(given_), 0.0), 60).is_ready


class TestPlace:
    def test_a_copy_is_whole_marked_and_made_once(self, tmp_path: Path) -> None:
        source = tmp_path / "mine" / "spring"
        source.mkdir(parents=True)
        (source / "a.jpg").write_bytes(b"a")
        placed = landing.place(source, tmp_path / "landing", "dresses", "atelier")
        assert sorted(path.name for path in placed.path.iterdir()) == ["_COMPLETE", "a.jpg"]
        before = landing.fingerprint(placed)
        landing.place(source, tmp_path / "landing", "dresses", "atelier")
        assert landing.fingerprint(placed) == before
        (source / "a.jpg").write_bytes(b"other")
        landing.place(source, tmp_path / "landing", "dresses", "atelier")
        assert (placed.path / "a.jpg").read_bytes() == b"other"
        assert [path.name for path in placed.path.parent.iterdir()] == ["spring"]

    def test_a_way_there_may_lead_over_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "disk" / "spring").mkdir(parents=True)
        (tmp_path / "disk" / "spring" / "a.jpg").write_bytes(b"a")
        (tmp_path / "mine").symlink_to("disk")
        assert landing.size_bytes(tmp_path / "mine" / "spring") == 1
        for _ in range(2):
            placed = landing.place(tmp_path / "mine" / "spring", tmp_path / "landing", "dresses", "atelier")
        assert (placed.path / "a.jpg").read_bytes() == b"a"

    def test_files_of_others_stay(self, tmp_path: Path) -> None:
        (tmp_path / "spring").mkdir()
        vendor = tmp_path / "landing" / "dresses" / "atelier"
        vendor.mkdir(parents=True)
        (vendor / ".spring.zip.Ab12Cd").write_bytes(b"rsync is at work")
        landing.place(tmp_path / "spring", tmp_path / "landing", "dresses", "atelier")
        assert sorted(path.name for path in vendor.iterdir()) == [".spring.zip.Ab12Cd", "spring"]

    def test_what_can_not_be_put_in_place_leaves_what_was_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = deliver(tmp_path / "landing", "spring")
        (tmp_path / "spring").mkdir()
        real = Path.rename

        def rename(self: Path, target: Path) -> Path:
            if "arriving" in self.name:
                raise OSError(28, "No space left on device")
            return real(self, target)

        monkeypatch.setattr(Path, "rename", rename)
        with pytest.raises(OSError, match="No space"):
            landing.place(tmp_path / "spring", tmp_path / "landing", "dresses", "atelier")
        assert sorted(path.name for path in before.path.parent.rglob("*")) == ["a", "spring"]

    def test_what_is_no_delivery_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(b"a")
        with pytest.raises(ValueError, match="neither a folder nor an archive"):
            landing.place(tmp_path / "a.jpg", tmp_path, "dresses", "atelier")


def test_a_drop_that_left_landing_is_said_to_have(tmp_path: Path) -> None:
    given_ = deliver(tmp_path)
    drop = identity.drop_id_of("atelier", "d1")
    assert identity.find(tmp_path, "dresses", drop, ledger()).path == given_.path
    with pytest.raises(LookupError, match="no longer lies in"):
        identity.find(tmp_path, "dresses", "atelier-00000000", ledger())
