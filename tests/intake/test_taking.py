"""What one bad file does to a delivery, what tells one content from another, and that every file is counted by two counts."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from dataops_assets.blobs import Blobs
from dataops_assets.flow import images
from dataops_assets.home import Home
from dataops_assets.intake import fetching, identity, inside, journal, landing, members
from dataops_assets.intake.journal import Journal
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import raw_images
from dataops_assets.store import Store
from quality_suites.raw_images import derive
from tests.conftest import changed
from tests.intake.made import Part, zipped

pytestmark = pytest.mark.timeout(120)
Receive = Callable[..., raw_images.Receipt]


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (number * 61 % 255, 40, 7)).save(buffer, "JPEG")
    return buffer.getvalue()


def deliver(root: Path, files: dict[str, bytes]) -> landing.Delivery:
    path = root / "landing" / "garments" / "acme" / "drop"
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return landing.Delivery("garments", "acme", "drop", path, False)


def packed(root: Path, name: str, data: bytes) -> landing.Delivery:
    path = root / "landing" / "garments" / "acme" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return landing.Delivery("garments", "acme", name, path, True)


def tarred(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def receive(tmp_path: Path, garments: ProjectSpec) -> Receive:
    def run(delivery: landing.Delivery, **sources: Any) -> raw_images.Receipt:
        spec = changed(garments, sources=sources) if sources else garments
        journal = Journal(tmp_path / "journals" / landing.fingerprint(delivery))
        return raw_images.receive(delivery, "d", spec, Blobs(str(tmp_path / "store")), journal)

    return run


def verdicts(receipt: raw_images.Receipt) -> dict[str, tuple[str, str | None]]:
    return {row["path"]: (row["status"], row["reason"]) for row in receipt.frame.to_dict("records")}


def is_counted(receipt: raw_images.Receipt) -> bool:
    """What the gate makes of the rows and the ledger's count."""
    drops = pd.DataFrame({"files_seen": [receipt.files_seen]})
    return bool(derive(receipt.frame, {"drops": drops})["is_counted"].all())


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Name -> error number with which opening it fails. Permissions say nothing to root."""
    real, codes = os.open, dict[str, int]()

    def opened(name: Any, *rest: Any, **more: Any) -> int:
        code = codes.get(Path(os.fsdecode(name)).name)
        if code is not None:
            raise OSError(code, os.strerror(code), name)
        return real(name, *rest, **more)

    monkeypatch.setattr(os, "open", opened)
    return codes


class TestUnreadable:
    @pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
    def test_one_file_that_can_not_be_read_is_one_row(self, receive: Receive, tmp_path: Path, failing: dict[str, int], code: int) -> None:
        delivery = deliver(tmp_path, {"a.jpg": picture(1), "b.jpg": picture(2), "c.jpg": picture(3)})
        failing["b.jpg"] = code
        receipt = receive(delivery)
        assert verdicts(receipt)["b.jpg"] == ("quarantined", "UNREADABLE")
        assert (receipt.status, receipt.reason, receipt.files_seen) == ("partial", "UNREADABLE", 3)
        assert receipt.content_sha256 == landing.content_sha256(delivery)  # so the same again is no other drop
        failing.clear()
        assert receipt.content_sha256 != landing.content_sha256(delivery)  # and mended it is

    @pytest.mark.parametrize("kind", ["small", "many", "too large"])
    def test_one_that_can_be_read_again_by_the_end_is_still_the_one_that_nobody_has(
        self, receive: Receive, tmp_path: Path, failing: dict[str, int], monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        delivery = deliver(tmp_path, {"a.jpg": picture(1), "b.jpg": picture(2), "c.jpg": picture(3), "d.jpg": picture(4) + bytes(4000)})
        monkeypatch.setattr(landing, "WHOLE_FILES", 3 if kind == "many" else 100)
        failing["b.jpg"] = errno.EIO
        real = raw_images.take

        def take(*given: Any) -> Any:
            taken = real(*given)
            failing.clear()
            return taken

        monkeypatch.setattr(raw_images, "take", take)
        receipt = receive(delivery, limits={"member_bytes": 3000} if kind == "too large" else {})
        assert verdicts(receipt)["b.jpg"] == ("quarantined", "UNREADABLE")
        whole = landing.content_sha256(delivery)
        assert receipt.content_sha256 != whole  # so the same again is taken
        assert receipt.content_sha256 == landing.content_sha256(delivery, unread={"b.jpg"})
        if kind != "many":
            failing["b.jpg"] = errno.EIO
            assert receipt.content_sha256 == landing.content_sha256(delivery)

    def test_a_disk_that_fails_in_the_middle_of_a_file_too(self, receive: Receive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        delivery = deliver(tmp_path, {"a.jpg": picture(1), "b.jpg": picture(2) + bytes(3 << 20), "c.jpg": picture(3)})
        bad, real = (delivery.path / "b.jpg").stat(), os.read

        def read(handle: int, size: int) -> bytes:
            if os.path.samestat(os.fstat(handle), bad) and os.lseek(handle, 0, os.SEEK_CUR) > 0:
                raise OSError(errno.EIO, "Input/output error")
            return real(handle, size)

        monkeypatch.setattr(os, "read", read)
        receipt = receive(delivery)
        assert verdicts(receipt)["b.jpg"] == ("quarantined", "UNREADABLE")
        assert list((tmp_path / "store" / "tmp").iterdir()) == []

    def test_where_nothing_can_be_read_the_delivery_waits(self, receive: Receive, tmp_path: Path, failing: dict[str, int]) -> None:
        delivery = deliver(tmp_path, {"a.jpg": picture(1), "b.jpg": picture(2), "_COMPLETE": b""})
        failing |= {"a.jpg": errno.EACCES, "b.jpg": errno.EACCES}
        receipt = receive(delivery)
        assert (receipt.status, receipt.reason) == ("held", "UNREADABLE")
        assert receipt.facts["detail"] == "UNREADABLE: 2 files, first 'a.jpg'"

    def test_an_archive_waits_too(self, receive: Receive, tmp_path: Path, failing: dict[str, int]) -> None:
        delivery = packed(tmp_path, "drop.tar", tarred(("a.jpg", picture(1))))
        failing["drop.tar"] = errno.EACCES
        receipt = receive(delivery)
        assert (receipt.status, receipt.reason, verdicts(receipt)) == ("held", "UNREADABLE", {"drop.tar": ("held", "UNREADABLE")})

    @pytest.mark.parametrize(("name", "reason"), [(name, "UNREADABLE") for name in ("manifest.json", "manifest.csv", "urls.csv")])
    def test_a_manifest_that_can_not_be_read_is_not_passed_over(
        self, receive: Receive, tmp_path: Path, failing: dict[str, int], name: str, reason: str
    ) -> None:
        delivery = deliver(tmp_path, {"a.jpg": picture(1), name: b"path\na.jpg\n"})
        failing[name] = errno.EACCES
        receipt = receive(delivery)
        assert (receipt.status, receipt.reason) == ("held", reason)

    def test_one_that_is_too_large_is_not_either(self, receive: Receive, tmp_path: Path) -> None:
        delivery = deliver(tmp_path, {"a.jpg": picture(1), "manifest.csv": b"path\na.jpg\n" + b"\n" * 5000})
        receipt = receive(delivery, limits={"member_bytes": 4000})
        assert (receipt.status, receipt.reason) == ("rejected", "MANIFEST_INVALID")

    def test_our_own_lack_of_descriptors_is_no_fault_of_a_file(self, receive: Receive, tmp_path: Path, failing: dict[str, int]) -> None:
        delivery = deliver(tmp_path, {"a.jpg": picture(1)})
        failing["a.jpg"] = errno.EMFILE
        with pytest.raises(OSError, match="open files"):
            receive(delivery)


class TestJunk:
    def test_two_that_differ_under_one_name_are_still_junk(self, receive: Receive, tmp_path: Path) -> None:
        junk = [(".DS_Store", b"one"), (".DS_Store", b"two"), ("_COMPLETE", b""), ("_COMPLETE", b"x"), ("_COMPLETE", b"")]
        receipt = receive(packed(tmp_path, "drop.tar", tarred(("a.jpg", picture(1)), *junk)))
        assert (receipt.status, receipt.reason) == ("accepted", "")
        assert verdicts(receipt) == {
            "a.jpg": ("accepted", None), ".DS_Store": ("ignored", "JUNK_IGNORED"), ".DS_Store#2": ("ignored", "JUNK_IGNORED"),
            "_COMPLETE": ("ignored", None), "_COMPLETE#2": ("ignored", None), "_COMPLETE#3": ("ignored", None),
        }  # fmt: skip

    def test_two_manifests_under_one_name_contradict_each_other(self, receive: Receive, tmp_path: Path) -> None:
        lists = [("manifest.csv", b"path\na.jpg\n"), ("manifest.csv", b"path,price\na.jpg,1\n")]
        receipt = receive(packed(tmp_path, "drop.tar", tarred(("a.jpg", picture(1)), *lists)))
        assert (receipt.status, receipt.reason) == ("rejected", "DUPLICATE_NAME_CONFLICT")

    def test_whatever_it_is_it_is_passed_over(self, receive: Receive, tmp_path: Path, failing: dict[str, int]) -> None:
        delivery = deliver(tmp_path, {"a.jpg": picture(1), ".large": bytes(5000), ".closed": b"x"})
        (delivery.path / ".#a.jpg").symlink_to("ann@host.1234")  # an editor's lock
        os.mkfifo(delivery.path / ".pipe")
        failing[".closed"] = errno.EACCES
        receipt = receive(delivery, limits={"member_bytes": 4000})
        assert (receipt.status, receipt.reason, receipt.files_seen) == ("accepted", "", 5)
        assert {verdict for path, verdict in verdicts(receipt).items() if path != "a.jpg"} == {("ignored", "JUNK_IGNORED")}
        assert receipt.content_sha256 == landing.content_sha256(delivery)


ONE, TWO = "\u00e9.jpg", "e\u0301.jpg"  # an accented letter as one character, and as two


class TestSpelling:
    @pytest.mark.parametrize(("there", "listed"), [(TWO, ONE), (ONE, TWO)])
    def test_an_accent_written_otherwise_is_the_same_name(self, receive: Receive, tmp_path: Path, there: str, listed: str) -> None:
        rows = json.dumps({"files": [{"path": listed, "category": "dress"}]}).encode()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(there, picture(1))
            archive.writestr("manifest.json", rows)
        receipt = receive(packed(tmp_path, "drop.zip", buffer.getvalue()))
        assert verdicts(receipt) == {there: ("accepted", None), "manifest.json": ("ignored", None)}
        assert list(receipt.frame["category"].dropna()) == ["dress"]

    def test_a_zip_of_a_mac_does_not_say_that_its_names_are_in_unicode(self, receive: Receive, tmp_path: Path) -> None:
        parts = [Part(TWO.encode(), picture(1)), Part(b"manifest.csv", f"path\n{ONE}\n".encode())]
        receipt = receive(packed(tmp_path, "drop.zip", zipped(*parts)))
        assert verdicts(receipt) == {TWO: ("accepted", None), "manifest.csv": ("ignored", None)}

    def test_where_both_are_there_each_is_itself(self, receive: Receive, tmp_path: Path) -> None:
        rows = json.dumps({"files": [{"path": ONE}]}).encode()
        receipt = receive(deliver(tmp_path, {ONE: picture(1), TWO: picture(2), "manifest.json": rows}))
        assert verdicts(receipt)[ONE] == ("accepted", None)
        assert verdicts(receipt)[TWO] == ("quarantined", "MANIFEST_FILE_UNLISTED")
        assert set(receipt.frame.set_index("path")["warnings"][[ONE, TWO]]) == {"NAME_UNICODE_COLLISION"}

    def test_where_both_are_listed_one_is_missing(self, receive: Receive, tmp_path: Path) -> None:
        rows = json.dumps({"files": [{"path": ONE}, {"path": TWO}]}).encode()
        receipt = receive(deliver(tmp_path, {TWO: picture(2), "manifest.json": rows}))
        assert (receipt.status, verdicts(receipt)[ONE]) == ("held", ("held", "MANIFEST_FILE_MISSING"))


class TestContent:
    """What tells a redelivery from other content."""

    @pytest.fixture
    def limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(landing, "WHOLE_BYTES", 5000)
        monkeypatch.setattr(landing, "WHOLE_FILES", 3)

    @pytest.mark.usefixtures("limits")
    @pytest.mark.parametrize("kind", ["many", "large", "archive"])
    def test_beyond_bounds_nothing_is_read_and_changes_are_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        files = {f"{number}.jpg": b"x" for number in range(4)} if kind == "many" else {"0.jpg": bytes(6000)}
        delivery = packed(tmp_path, "drop.zip", bytes(6000)) if kind == "archive" else deliver(tmp_path, files)
        first = delivery.path if kind == "archive" else delivery.path / "0.jpg"
        monkeypatch.setattr(inside, "open_handle", None)  # nothing is opened
        before = landing.content_sha256(delivery)
        if kind != "archive":
            (delivery.path / "_COMPLETE").touch()
        assert landing.content_sha256(delivery) == before
        held = first.stat()
        first.write_bytes(bytes(held.st_size))
        os.utime(first, ns=(held.st_atime_ns, held.st_mtime_ns))  # as a copy that keeps times
        assert landing.content_sha256(delivery) == before
        os.utime(first, ns=(1, held.st_mtime_ns + 1))
        assert landing.content_sha256(delivery) != before

    @pytest.mark.usefixtures("limits")
    def test_a_receipt_tells_the_same(self, receive: Receive, tmp_path: Path) -> None:
        delivery = deliver(tmp_path, {f"{number}.jpg": picture(number) for number in range(4)})
        assert receive(delivery).content_sha256 == landing.content_sha256(delivery)
        refused = packed(tmp_path, "drop.zip", b"7z\xbc\xaf\x27\x1c" + bytes(6000))
        assert receive(refused).content_sha256 == landing.content_sha256(refused)

    def test_names_that_read_the_same_are_told_as_they_are_read_again(self, receive: Receive, tmp_path: Path) -> None:
        delivery = deliver(tmp_path, {"a\\xff.jpg": picture(1)})
        with open(os.fsencode(delivery.path) + b"/a\xff.jpg", "wb") as file:
            file.write(picture(1))
        receipt = receive(delivery)
        assert len(receipt.frame) == 2
        assert receipt.content_sha256 == landing.content_sha256(delivery)

    def test_what_changes_while_it_is_told_is_not_taken_for_what_was_read(
        self, receive: Receive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        delivery = packed(tmp_path, "drop.tar", tarred(("a.jpg", picture(1))))
        real = landing.content_sha256

        def content(given: landing.Delivery, **how: Any) -> str:
            time.sleep(0.02)
            given.path.write_bytes(tarred(("a.jpg", picture(2))))
            return real(given, **how)

        monkeypatch.setattr(landing, "content_sha256", content)
        assert receive(delivery).reason == "INCOMPLETE"


def test_half_a_copy_that_goes_on_is_not_called_corrupt(receive: Receive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tarred(("a.jpg", picture(1)), ("b.jpg", picture(2)))
    delivery = packed(tmp_path, "drop.tar", whole[: len(whole) // 2])
    real = raw_images.take

    def take(*given: Any) -> Any:
        taken = real(*given)
        delivery.path.write_bytes(whole)
        return taken

    monkeypatch.setattr(raw_images, "take", take)
    receipt = receive(delivery)
    assert (receipt.status, receipt.reason) == ("held", "INCOMPLETE")
    assert set(verdicts(receipt).values()) == {("held", "INCOMPLETE")}
    monkeypatch.undo()
    assert receive(delivery).status == "accepted"


class TestCounts:
    FILES = ("a.jpg", "sub/b.jpg", "c.txt", ".DS_Store", "_COMPLETE")

    @pytest.fixture(params=["folder", "zip", "tar"])
    def delivery(self, tmp_path: Path, request: pytest.FixtureRequest) -> landing.Delivery:
        files = {name: picture(number) for number, name in enumerate(self.FILES)}
        if request.param == "folder":
            return deliver(tmp_path, files)
        if request.param == "tar":
            return packed(tmp_path, "drop.tar", tarred(*files.items()))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.mkdir("sub")
            for name, data in files.items():
                archive.writestr(name, data)
        return packed(tmp_path, "drop.zip", buffer.getvalue())

    def test_all_files_have_rows(self, receive: Receive, delivery: landing.Delivery) -> None:
        receipt = receive(delivery)
        assert receipt.files_seen == len(receipt.frame) == 5
        assert is_counted(receipt)

    def test_a_row_that_gets_lost_on_the_way_is_missed(
        self, receive: Receive, delivery: landing.Delivery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = raw_images.take

        def take(*given: Any) -> Any:
            taken = real(*given)
            del taken.rows[1]
            return taken

        monkeypatch.setattr(raw_images, "take", take)
        assert not is_counted(receive(delivery))

    def test_a_member_that_is_never_taken_is_missed(
        self, receive: Receive, delivery: landing.Delivery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = raw_images.take
        monkeypatch.setattr(raw_images, "take", lambda members, *rest: real((m for m in members if m.path != "a.jpg"), *rest))
        assert not is_counted(receive(delivery))

    @pytest.mark.parametrize("limits", [{"members": 3}, {"total_bytes": 1500}])
    def test_a_refused_delivery_too(self, receive: Receive, delivery: landing.Delivery, limits: dict[str, int]) -> None:
        receipt = receive(delivery, limits=limits)
        assert receipt.status == "rejected"
        assert is_counted(receipt)
        if not delivery.is_archive:  # how much more lies in a tar is known to nobody who stops, and a large directory isn't read
            assert receipt.files_seen == 5

    @pytest.mark.parametrize("vendor", ["acme", "stranger"])
    def test_beyond_the_limits_each_file_has_a_row_too(
        self, receive: Receive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str
    ) -> None:
        delivery = dataclasses.replace(deliver(tmp_path, {f"{number:02}.jpg": b"x" for number in range(50)}), vendor=vendor)
        receipt = receive(delivery, limits={"members": 10})
        assert receipt.reason == ("TOO_MANY_MEMBERS" if vendor == "acme" else "VENDOR_UNKNOWN")
        assert (receipt.files_seen, len(receipt.frame)) == (50, 50)
        assert is_counted(receipt)
        place, name = (members, "_names") if vendor == "acme" else (raw_images, "_unread")
        real = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *given: list(real(*given))[:-1])
        assert not is_counted(receive(delivery, limits={"members": 10}))  # the count is not made to fit the rows

    def test_a_list_whose_drop_is_held_counts_what_no_address_gave(
        self, receive: Receive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        addresses = b"url,path\nhttps://cdn.example.org/1,a.jpg\nhttps://cdn.example.org/2,b.jpg\n"
        rows = json.dumps({"files": [{"path": name} for name in ("a.jpg", "b.jpg", "urls.csv", "late.jpg")]}).encode()
        delivery = deliver(tmp_path, {"urls.csv": addresses, "manifest.json": rows})

        def chunks(self: Any, address: Any) -> Any:
            if address.path == "b.jpg":
                raise fetching.Missing("answered 404")
            yield picture(1)

        monkeypatch.setattr(fetching._Asker, "chunks", chunks)
        receipt = receive(delivery, urls={"enabled": True, "hosts": ["cdn.example.org"]})
        assert (receipt.status, receipt.reason) == ("held", "MANIFEST_FILE_MISSING")
        assert (receipt.files_seen, len(receipt.frame)) == (4, 5)  # late.jpg isn't there
        assert is_counted(receipt)


@pytest.mark.parametrize(
    ("name", "text", "detail"),
    [
        ("manifest.json", '{"files": [{"path": "a.jpg"}, 7]}', "MANIFEST_SCHEMA: entry 2 of `files` must be an object"),
        ("manifest.json", '{"files": [{"path": "a.jpg", "bytes": "x"}]}', "MANIFEST_SCHEMA: entry 1: bytes must be a number, 0 or more"),
        ("manifest.json", '{"a": 1, "a": 2}', "MANIFEST_INVALID: the key 'a' comes twice in one object"),
        ("manifest.csv", "path,bytes\na.jpg,1\nb.jpg\n", "MANIFEST_SCHEMA: line 3: 1 cells, where the header has 2"),
        ("manifest.csv", "path\na.jpg\na.jpg\n", "MANIFEST_SCHEMA: entry 2: path 'a.jpg' is listed twice"),
        ("manifest.csv", "path\na.jpg\ngone.jpg\n", "MANIFEST_FILE_MISSING: 1 file, first 'gone.jpg'"),
        ("manifest.csv", "path,bytes\na.jpg,1\n", "CHECKSUM_MISMATCH: 1 file, first 'a.jpg'"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(receive: Receive, tmp_path: Path, name: str, text: str, detail: str) -> None:
    receipt = receive(deliver(tmp_path, {"a.jpg": picture(1), name: text.encode()}))
    assert receipt.facts["detail"] == detail


def test_the_ledger_says_why_in_a_sentence(tmp_path: Path, garments: ProjectSpec) -> None:
    store = Store(Home.at(tmp_path))
    deliver(tmp_path, {"a.jpg": picture(1), "manifest.csv": b"path,price\na.jpg,-1\n", "_COMPLETE": b""})
    images.raw_images(store, garments, identity.drop_id_of("acme", "drop"))
    row = store.drops.rows().iloc[-1]
    assert (row["reason"], row["detail"]) == ("MANIFEST_SCHEMA", "MANIFEST_SCHEMA: entry 1: price must be a number, 0 or more")
    assert store.drops.verify() == []


def test_old_journals_go_when_their_drops_do(tmp_path: Path) -> None:
    delivery = deliver(tmp_path, {"a.jpg": b"1"})
    mine = identity.drop_id_of("acme", "drop")
    folder = tmp_path / "journals"
    rows = [("acme", "drop", f"{mine}-r2", "accepted"), ("acme", "gone", "acme-gone", "held"), ("acme", "drop", mine, "parked")]
    drops = pd.DataFrame(rows, columns=["vendor", "name", "drop_id", "status"])
    ids = [mine, f"{mine}-r2", f"{mine}-r3", "acme-gone", "acme-never-entered"]
    for drop_id in ids:
        for project, age in (("garments", 15), ("dresses", 15), ("garments.new", 13)):
            path = folder / f"{project.split('.')[0]}.{drop_id}.{project}.jsonl"
            Journal(path).write([])
            os.utime(path, (1, time.time() - age * 86400))
    before = set(folder.iterdir())
    assert journal.sweep(folder, "garments", delivery.path.parents[2], drops) == 3
    gone = {path.name for path in before - set(folder.iterdir())}
    assert gone == {f"garments.{drop_id}.garments.jsonl" for drop_id in (f"{mine}-r2", "acme-gone", "acme-never-entered")}
