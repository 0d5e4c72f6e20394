"""A delivery, whatever is in it: every file one row, one status, one reason; nothing written outside the store."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.intake import fetching, landing, members, urls
from dataops_assets.intake.journal import Journal
from dataops_assets.manifest import conform
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import raw_images
from dataops_assets.stages.raw_images import Receipt, Unfetched, receive
from tests.conftest import changed


def picture(number: int = 0, kind: str = "JPEG", size: tuple[int, int] = (16, 16), frames: int = 1) -> bytes:
    images = [Image.new("RGB", size, (number * 61 % 255, 40 * frame, 7)) for frame in range(frames)]
    buffer = io.BytesIO()
    images[0].save(buffer, kind, **({"save_all": True, "append_images": images[1:]} if frames > 1 else {}))
    return buffer.getvalue()


Take = Callable[..., Receipt]


@pytest.fixture
def take(tmp_path: Path, garments: ProjectSpec) -> Take:
    """Receive files given by name, or an archive's bytes; checks what must hold for every delivery."""

    def outside() -> list[str]:
        return sorted(os.fspath(one) for one in tmp_path.rglob("*") if (tmp_path / "store") not in (one, *one.parents))

    def run(
        files: dict[str, bytes] | None = None, archive: tuple[str, bytes] | None = None, vendor: str = "acme", **sources: Any
    ) -> Receipt:
        root = tmp_path / "landing"
        path = root / (archive[0] if archive else "drop")
        path.parent.mkdir(exist_ok=True)
        if archive:
            path.write_bytes(archive[1])
        for name, data in (files or {}).items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        before = outside()
        spec = changed(garments, sources=sources) if sources else garments
        delivery = landing.Delivery("garments", vendor, path.name, path, archive is not None)
        receipt = receive(delivery, "d", spec, Blobs(str(tmp_path / "store")), Journal(tmp_path / "store" / landing.fingerprint(delivery)))
        assert outside() == before
        conform(receipt.frame, CONTRACTS["raw_images"])
        return receipt

    return run


def verdicts(receipt: Receipt) -> dict[str, tuple[str, str | None]]:
    rows = receipt.frame.to_dict("records")
    return {row["path"]: (row["status"], row["reason"] if isinstance(row["reason"], str) else None) for row in rows}


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return "drop.zip", buffer.getvalue()


def tarred(*members: tuple[tarfile.TarInfo | str, bytes], mode: str = "w", name: str = "drop.tar") -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for info, data in members:
            info = tarfile.TarInfo(info) if isinstance(info, str) else info
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return name, buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


class TestFiles:
    def test_good_pictures_are_accepted_with_their_facts(self, take: Take) -> None:
        receipt = take({"a.jpg": picture(1), "sub/b.png": picture(2, "PNG", (8, 4))})
        row = receipt.frame.set_index("path").loc["sub/b.png"]
        assert (receipt.status, receipt.reason, receipt.files_seen) == ("accepted", "", 2)
        assert (row["format"], row["width_px"], row["height_px"], row["size_bytes"]) == ("PNG", 8, 4, len(picture(2, "PNG", (8, 4))))
        assert row["image_id"] == row["sha256"] == hashlib.sha256(picture(2, "PNG", (8, 4))).hexdigest()
        assert (row["license"], row["price"]) == ("CC0-1.0", 0.02)

    @pytest.mark.parametrize(
        ("name", "data", "verdict"),
        [
            ("a.jpg", b"", ("quarantined", "ZERO_BYTE")),
            ("a.jpg", b"not a picture", ("quarantined", "CORRUPT")),
            ("a.txt", b"hello", ("quarantined", "TYPE_MISMATCH")),
            ("a.jpg", picture(1, "PNG"), ("quarantined", "TYPE_MISMATCH")),
            ("a.gif", picture(1, "GIF", frames=3), ("quarantined", "MULTI_FRAME")),
            (".DS_Store", b"junk", ("ignored", "JUNK_IGNORED")),
            ("__MACOSX/._a.jpg", b"junk", ("ignored", "JUNK_IGNORED")),
            ("_COMPLETE", b"", ("ignored", None)),
        ],
    )
    def test_each_odd_file_has_its_reason(self, take: Take, name: str, data: bytes, verdict: tuple[str, str | None]) -> None:
        receipt = take({"good.jpg": picture(9), name: data})
        assert verdicts(receipt)[name] == verdict
        assert verdicts(receipt)["good.jpg"] == ("accepted", None)
        assert receipt.status == ("partial" if verdict[0] == "quarantined" else "accepted")

    def test_an_archive_among_the_files_refuses_the_delivery(self, take: Take) -> None:
        receipt = take({"good.jpg": picture(9), "more.zip": zipped(("x.jpg", picture()))[1]})
        assert (receipt.status, receipt.reason) == ("rejected", "NESTED_ARCHIVE")

    def test_the_same_content_twice_is_a_duplicate(self, take: Take) -> None:
        seen = verdicts(take({"a.jpg": picture(1), "b.jpg": picture(1)}))
        assert seen == {"a.jpg": ("accepted", None), "b.jpg": ("duplicate", "DUPLICATE_CONTENT")}

    def test_too_large_in_bytes_or_in_pixels(self, take: Take) -> None:
        limits = {"member_bytes": 2000, "pixels": 10_000}
        seen = verdicts(
            take({"a.jpg": picture(1), "b.bmp": picture(2, "BMP", (40, 40)), "c.png": picture(3, "PNG", (200, 200))}, limits=limits)
        )
        assert [seen[name] for name in ("b.bmp", "c.png")] == [("quarantined", "TOO_LARGE")] * 2

    def test_licence_and_consent_are_checked_against_the_projects_rule(self, take: Take) -> None:
        files = [{"path": "a.jpg", "license": "proprietary", "consent": "c"}, {"path": "b.jpg"}, {"path": "c.jpg", "consent": "c-1"}]
        manifest = json.dumps({"schema_version": 1, "files": files}).encode()
        given_ = {"manifest.json": manifest, **{f"{name}.jpg": picture(number) for number, name in enumerate("abc")}}
        seen = verdicts(take(given_, consent="required"))
        assert seen["a.jpg"] == ("quarantined", "LICENSE_REFUSED")
        assert seen["b.jpg"] == ("quarantined", "CONSENT_MISSING")
        assert seen["c.jpg"] == ("accepted", None)

    def test_names_that_confuse_are_marked(self, take: Take) -> None:
        receipt = take({"A.jpg": picture(1), "a.jpg": picture(2), "=cmd().jpg": picture(3), "<b>.jpg": picture(4), "x\n.jpg": picture(5)})
        marks = receipt.frame.set_index("path")["warnings"]
        assert marks["A.jpg"] == marks["a.jpg"] == "NAME_CASE_COLLISION"
        assert (marks["=cmd().jpg"], marks["<b>.jpg"], marks["x\\u000a.jpg"]) == ("NAME_FORMULA", "NAME_MARKUP", "NAME_CONTROL_CHARS")

    def test_a_name_that_is_no_text_comes_out_readable(self, take: Take, tmp_path: Path) -> None:
        take({"good.jpg": picture(1)})
        with open(os.fsencode(tmp_path / "landing" / "drop") + b"/\xff\xfe.jpg", "wb") as file:
            file.write(picture(2))
        receipt = take({})
        assert "\\xff\\xfe.jpg" in set(receipt.frame["path"])
        receipt.frame["path"].iloc[0].encode()


class TestManifest:
    def test_it_fills_in_what_the_vendor_says(self, take: Take) -> None:
        row = {"path": "a.jpg", "category": "dress", "group": "product-17", "price": 0.01, "captured_at": "2026"}
        frame = take({"manifest.json": json.dumps({"files": [row]}).encode(), "a.jpg": picture()}).frame.set_index("path")
        assert tuple(frame.loc["a.jpg", ["category", "group_id", "price", "captured_at"]]) == ("dress", "product-17", 0.01, "2026")
        assert frame.loc["manifest.json", "status"] == "ignored"

    def test_csv_has_the_same_columns(self, take: Take) -> None:
        frame = take({"manifest.csv": b"\xef\xbb\xbfpath,category\na.jpg,NA\n", "a.jpg": picture()}).frame.set_index("path")
        assert frame.loc["a.jpg", "category"] == "NA"

    @pytest.mark.parametrize(
        ("name", "text", "reason"),
        [
            ("manifest.json", "{", "MANIFEST_INVALID"),
            ("manifest.json", '{"files": [{"path": "a.jpg", "price": NaN}]}', "MANIFEST_INVALID"),
            ("manifest.json", '{"files": [], "files": []}', "MANIFEST_INVALID"),
            ("manifest.json", "[" * 100_000, "MANIFEST_INVALID"),
            ("manifest.json", '{"files": [{"path": "a.jpg"}], "schema_version": 2}', "MANIFEST_SCHEMA"),
            ("manifest.json", '{"files": [{"path": "a.jpg"}, {"path": "a.jpg"}]}', "MANIFEST_SCHEMA"),
            ("manifest.json", '{"files": [{"path": "../a.jpg"}]}', "UNSAFE_PATH"),
            ("manifest.json", '{"files": [{"path": "a.jpg", "sha256": "abc"}]}', "MANIFEST_SCHEMA"),
            ("manifest.csv", "path,bytes\na.jpg,-1\n", "MANIFEST_SCHEMA"),
            ("manifest.csv", "path,bytes\na.jpg\n", "MANIFEST_SCHEMA"),
        ],
    )
    def test_one_that_cannot_be_used_refuses_the_drop(self, take: Take, name: str, text: str, reason: str) -> None:
        receipt = take({name: text.encode(), "a.jpg": picture()})
        assert (receipt.status, receipt.reason) == ("rejected", reason)
        assert verdicts(receipt)["a.jpg"] == ("quarantined", reason)

    @pytest.mark.parametrize("asked", [0.5, 0.51, 1e308])
    def test_a_price_above_the_agreed_one_does_not_count(self, take: Take, asked: float) -> None:
        text = json.dumps({"files": [{"path": "a.jpg", "price": asked}]}).encode()
        vendors = [{"name": "acme", "price_per_image": 0.5, "license": "CC0-1.0"}]
        row = take({"manifest.json": text, "a.jpg": picture()}, vendors=vendors).frame.set_index("path").loc["a.jpg"]
        assert (row["price"], row["warnings"]) == (0.5, "PRICE_ABOVE_AGREED" if asked > 0.5 else None)

    @pytest.mark.parametrize(("asked", "verdict"), [(10_000, ("accepted", "")), (10_000.01, ("rejected", "MANIFEST_SCHEMA"))])
    def test_where_no_price_is_agreed_there_is_a_bound(self, take: Take, asked: float, verdict: tuple[str, str]) -> None:
        text = json.dumps({"files": [{"path": "a.jpg", "price": asked}]}).encode()
        receipt = take({"manifest.json": text, "a.jpg": picture()}, vendors=[{"name": "acme", "license": "CC0-1.0"}])
        assert (receipt.status, receipt.reason) == verdict

    def test_files_it_does_not_list_are_left_out(self, take: Take) -> None:
        given_ = {"manifest.json": b'{"files": [{"path": "a.jpg"}]}', "a.jpg": picture(1), "b.jpg": picture(2)}
        receipt = take(given_)
        assert verdicts(receipt)["b.jpg"] == ("quarantined", "MANIFEST_FILE_UNLISTED")
        assert (receipt.status, verdicts(receipt)["a.jpg"]) == ("partial", ("accepted", None))

    @pytest.mark.parametrize("facts", [{"sha256": "0" * 64}, {"bytes": 1}])
    def test_a_file_that_differs_from_it_refuses_the_delivery(self, take: Take, facts: dict[str, Any]) -> None:
        rows = [{"path": "a.jpg", **facts}, {"path": "b.jpg"}]
        receipt = take({"manifest.json": json.dumps({"files": rows}).encode(), "a.jpg": picture(1), "b.jpg": picture(2)})
        assert (receipt.status, receipt.reason) == ("rejected", "CHECKSUM_MISMATCH")

    def test_a_file_it_lists_and_that_is_not_there_is_waited_for(self, take: Take) -> None:
        rows = [{"path": "a.jpg"}, {"path": "gone.jpg"}]
        receipt = take({"manifest.json": json.dumps({"files": rows}).encode(), "a.jpg": picture(1)})
        assert (receipt.status, receipt.reason) == ("held", "MANIFEST_FILE_MISSING")
        assert verdicts(receipt)["gone.jpg"] == verdicts(receipt)["a.jpg"] == ("held", "MANIFEST_FILE_MISSING")

    def test_an_unknown_field_is_a_warning(self, take: Take) -> None:
        frame = take({"manifest.json": b'{"files": [{"path": "a.jpg", "color": "red"}]}', "a.jpg": picture()}).frame.set_index("path")
        assert frame.loc["manifest.json", "warnings"] == "MANIFEST_UNKNOWN_FIELD"

    def test_a_second_manifest_is_left_aside(self, take: Take) -> None:
        given_ = {"manifest.json": b'{"files": [{"path": "a.jpg"}]}', "manifest.csv": b"path\nb.jpg\n", "a.jpg": picture()}
        assert verdicts(take(given_))["manifest.csv"] == ("ignored", "EXTRA_MANIFEST")

    def test_where_it_is_required_a_drop_without_is_held(self, take: Take) -> None:
        receipt = take({"a.jpg": picture()}, vendors=[{"name": "acme", "manifest": "required"}])
        assert (receipt.status, receipt.reason) == ("held", "MANIFEST_MISSING")


class TestArchives:
    @pytest.mark.parametrize(
        ("mode", "suffix"), [("w", ".tar"), ("w:gz", ".tar.gz"), ("w:bz2", ".tar.bz2"), ("w:xz", ".tar.xz"), ("w:gz", ".tgz")]
    )
    def test_every_kind_of_tar_is_read(self, take: Take, mode: str, suffix: str) -> None:
        receipt = take(archive=tarred(("./in/a.jpg", picture(1)), ("b.jpg", picture(2)), mode=mode, name=f"drop{suffix}"))
        assert verdicts(receipt) == {"in/a.jpg": ("accepted", None), "b.jpg": ("accepted", None)}

    def test_a_zip_with_its_manifest_is_read(self, take: Take) -> None:
        receipt = take(archive=zipped(("manifest.json", b'{"files": [{"path": "a.jpg", "category": "dress"}]}'), ("a.jpg", picture())))
        assert receipt.frame.set_index("path").loc["a.jpg", "category"] == "dress"

    @pytest.mark.parametrize(
        ("archive", "reason"),
        [
            (zipped(("../../evil.jpg", picture())), "UNSAFE_PATH"),
            (zipped(("/etc/evil.jpg", picture())), "UNSAFE_PATH"),
            (zipped(("C:\\evil.jpg", picture())), "UNSAFE_PATH"),
            (tarred(("../evil.jpg", picture())), "UNSAFE_PATH"),
            (tarred((special("l", tarfile.SYMTYPE, "/etc/passwd"), b"")), "LINK_MEMBER"),
            (tarred((special("l", tarfile.LNKTYPE, "../x"), b"")), "LINK_MEMBER"),
            (tarred((special("dev", tarfile.CHRTYPE), b"")), "SPECIAL_MEMBER"),
            (tarred((special("fifo", tarfile.FIFOTYPE), b"")), "SPECIAL_MEMBER"),
            (zipped(("bomb.bmp", b"\0" * 30_000_000)), "BOMB"),
            (("drop.zip", b""), "ARCHIVE_CORRUPT"),
            (("drop.zip", b"PK\x03\x04 and then nothing"), "ARCHIVE_CORRUPT"),
            (("drop.tar", b"plain text, not a tar" * 100), "ARCHIVE_CORRUPT"),
            (("drop.tar.gz", tarred(("a.jpg", os.urandom(5000)), mode="w:gz")[1][:3000]), "ARCHIVE_CORRUPT"),
            (("drop.zip", b"7z\xbc\xaf\x27\x1c" + b"\0" * 50), "UNSUPPORTED_ARCHIVE"),
            (("drop.tar", b"GIF89a" + b"\0" * 20 + zipped(("a.jpg", picture()))[1]), "POLYGLOT"),
            (zipped(), "EMPTY_DROP"),
        ],
    )  # fmt: skip
    def test_a_hostile_archive_is_refused_as_a_whole(self, take: Take, archive: tuple[str, bytes], reason: str) -> None:
        receipt = take(archive=archive)
        assert (receipt.status, receipt.reason) == ("rejected", reason)
        assert not (receipt.frame["status"] == "accepted").any()

    def test_a_link_hidden_in_a_zip_is_refused(self, take: Take) -> None:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = 0o120777 << 16
        assert take(archive=zipped((info, b"/etc/passwd"))).reason == "LINK_MEMBER"

    def test_an_encrypted_zip_is_refused(self, take: Take) -> None:
        name, data = zipped(("a.jpg", picture()))
        central = data.index(b"PK\x01\x02")
        locked = bytearray(data)
        locked[6] |= 1
        locked[central + 8] |= 1
        assert take(archive=(name, bytes(locked))).reason == "ENCRYPTED"

    def test_too_many_members(self, take: Take) -> None:
        many = zipped(*((f"{number}.jpg", picture(number)) for number in range(5)))
        assert take(archive=many, limits={"members": 4}).reason == "TOO_MANY_MEMBERS"

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_a_name_that_comes_twice(self, take: Take) -> None:
        receipt = take(archive=zipped(("a.jpg", picture(1)), ("a.jpg", picture(1)), ("a.jpg#2", picture(2))))
        assert verdicts(receipt)["a.jpg#3"] == ("duplicate", "DUPLICATE_NAME")
        assert receipt.status == "accepted"
        receipt = take(archive=zipped(("a.jpg", picture(1)), ("a.jpg", picture(2))))
        assert (receipt.status, receipt.reason) == ("rejected", "DUPLICATE_NAME_CONFLICT")

    def test_a_name_that_comes_ten_thousand_times_costs_no_more_than_others(self, take: Take) -> None:
        started = time.process_time()
        frame = take(archive=tarred(*[(name, b"") for name in ("a.jpg", "a.jpg#2") * 10_000], mode="w:gz", name="d.tar.gz")).frame
        assert time.process_time() - started < 15  # 3 s; it was minutes
        assert frame["path"].is_unique
        assert frame["reason"].value_counts().to_dict() == {"DUPLICATE_NAME": 19_998, "ZERO_BYTE": 2}

    def test_an_archive_cut_anywhere_never_raises(self, take: Take) -> None:
        for name, data in (
            zipped(("a.jpg", picture(1)), ("b.jpg", picture(2))),
            tarred(("a.jpg", picture(1)), mode="w:xz", name="d.tar.xz"),
        ):
            for cut in range(0, len(data), max(1, len(data) // 12)):
                assert take(archive=(name, data[:cut])).status == "rejected"


def test_links_in_a_folder_are_not_followed(take: Take, tmp_path: Path) -> None:
    take({"a.jpg": picture()})
    (tmp_path / "landing" / "drop" / "b.jpg").symlink_to("/etc/passwd")
    assert take({}).reason == "LINK_MEMBER"


def test_an_unknown_vendor_is_refused(take: Take) -> None:
    receipt = take({"a.jpg": picture()}, vendor="stranger")
    assert (receipt.status, receipt.reason) == ("rejected", "VENDOR_UNKNOWN")
    assert verdicts(receipt) == {"a.jpg": ("quarantined", "VENDOR_UNKNOWN")}
    assert receipt.files_seen == 1


def test_a_vendor_may_be_held_to_some_formats_and_to_bounds_of_its_own(take: Take) -> None:
    given_ = {"a.jpg": picture(1), "b.png": picture(2, "PNG"), "c.bmp": picture(3, "BMP", (40, 40))}
    seen = verdicts(take(given_, licenses=[], vendors=[{"name": "acme", "formats": ["JPEG", "BMP"], "limits": {"member_bytes": 2000}}]))
    assert seen["b.png"] == ("quarantined", "TYPE_MISMATCH")
    assert seen["c.bmp"] == ("quarantined", "TOO_LARGE")
    assert seen["a.jpg"] == ("accepted", None)


def test_what_was_kept_before_a_kill_is_not_read_again(tmp_path: Path, garments: ProjectSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(picture(number))
    delivery = landing.Delivery("garments", "acme", "drop", folder, False)
    blobs, journal = Blobs(str(tmp_path / "store")), tmp_path / "journal"
    whole = receive(delivery, "d", garments, Blobs(str(tmp_path / "other")), Journal(tmp_path / "other.journal"))
    read: list[str] = []
    real = members._pieces

    def reading(entry: Any, *rest: Any) -> Any:
        if len(read) == 4:
            raise OSError(5, "Input/output error")
        read.append(entry.path)
        return real(entry, *rest)

    monkeypatch.setattr(members, "_pieces", reading)
    with pytest.raises(OSError, match="Input/output"):
        receive(delivery, "d", garments, blobs, Journal(journal))
    assert not list((tmp_path / "store" / "tmp").iterdir())
    monkeypatch.setattr(members, "_pieces", lambda entry, *rest: read.append(entry.path) or real(entry, *rest))
    again = receive(delivery, "d", garments, blobs, Journal(journal))
    assert again.frame.equals(whole.frame)
    assert again.content_sha256 == landing.content_sha256(delivery)


FILE = st.one_of(st.binary(max_size=40), st.integers(0, 4).map(picture), st.integers(0, 2).map(lambda n: picture(n, "PNG")))
NAME = st.text("ab/._-= \n\u00e9", min_size=1, max_size=8).filter(lambda name: all(part not in ("", ".", "..") for part in name.split("/")))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAME, FILE, max_size=6))
def test_every_file_has_one_row_and_one_status(garments: ProjectSpec, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "drop"
        folder.mkdir()
        for name, data in files.items():
            try:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            except OSError:  # a file where another name needs a folder
                continue
        there = sum(1 for path in folder.rglob("*") if path.is_file())
        receipt = receive(
            landing.Delivery("garments", "acme", "drop", folder, False),
            "d",
            garments,
            Blobs(root + "/store"),
            Journal(Path(root + "/journal")),
        )
        frame = conform(receipt.frame, CONTRACTS["raw_images"])
        assert receipt.files_seen == len(frame) == there
        assert set(frame["status"]) <= {"accepted", "duplicate", "ignored", "quarantined", "held"}
        assert frame.loc[frame["status"] == "quarantined", "reason"].notna().all()


def test_nine_hundred_hostile_pictures_are_one_delivery(shared: Path, tmp_path: Path, garments: ProjectSpec) -> None:
    started = time.monotonic()
    folder = shared / "images_hostile"
    receipt = receive(
        landing.Delivery("garments", "acme", "hostile", folder, False), "d", garments, Blobs(str(tmp_path)), Journal(tmp_path / "journal")
    )
    assert len(receipt.frame) == receipt.files_seen == sum(1 for path in folder.rglob("*") if path.is_file())
    assert receipt.frame.loc[receipt.frame["status"] == "quarantined", "reason"].notna().all()
    assert time.monotonic() - started < 120


class TestAddresses:
    """A list of addresses; what is asked and refused on the way is tested in tests/intake."""

    LIST = b"url,path,category\nhttps://cdn.example.org/1,a.jpg,dress\nhttps://cdn.example.org/2,b.jpg,\nhttps://cdn.example.org/3,c.jpg,\n"
    RULES: ClassVar[dict[str, Any]] = {"enabled": True, "hosts": ["cdn.example.org"]}

    def test_it_is_refused_where_it_is_not_turned_on(self, take: Take) -> None:
        receipt = take({"urls.csv": self.LIST, "own.jpg": picture(7)})
        assert (receipt.status, receipt.reason) == ("rejected", "URL_BLOCKED")
        assert verdicts(receipt)["own.jpg"] == ("quarantined", "URL_BLOCKED")

    def test_what_it_leads_to_comes_like_any_file(self, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def chunks(self: Any, address: urls.Address) -> Any:
            asked.append(address.path)
            if address.path == "c.jpg":
                raise fetching.Missing("row 3: answered 404")
            if address.path == "b.jpg" and len(asked) == 2:
                raise fetching.Unreachable("row 2: answered 503")
            yield picture(len(address.url))

        monkeypatch.setattr(fetching._Asker, "chunks", chunks)
        given_ = {"urls.csv": self.LIST.replace(b"/2", b"/22"), "own.jpg": picture(7)}
        with pytest.raises(Unfetched, match=r"1 of 5 files could not be fetched, first b.jpg: row 2: answered 503"):
            take(given_, urls=self.RULES)
        receipt = take(None, urls=self.RULES)
        assert asked == ["a.jpg", "b.jpg", "c.jpg", "b.jpg", "c.jpg"]  # what came the first time is not asked for again
        assert verdicts(receipt) == {
            "urls.csv": ("ignored", None), "own.jpg": ("accepted", None), "a.jpg": ("accepted", None), "b.jpg": ("accepted", None),
            "c.jpg": ("quarantined", "MANIFEST_FILE_MISSING"),
        }  # fmt: skip
        assert receipt.frame.set_index("path").loc["a.jpg", "category"] == "dress"
        assert receipt.status == "partial"

    def test_a_list_that_is_refused_is_not_tried_again_for_what_did_not_come(self, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
        def chunks(self: Any, address: urls.Address) -> Any:
            if address.path == "b.jpg":
                raise fetching.Unreachable("answered 503")
            if address.path == "c.jpg":
                raise members.Refused("URL_BLOCKED", "leads inside")
            yield picture(1)

        monkeypatch.setattr(fetching._Asker, "chunks", chunks)
        receipt = take({"urls.csv": self.LIST}, urls=self.RULES)
        assert (receipt.status, receipt.reason) == ("rejected", "URL_BLOCKED")
        assert receipt.files_seen == len(receipt.frame) == 4

    @pytest.mark.parametrize(("dead", "is_given_up"), [("c.jpg", True), ("b.jpg c.jpg", False)])
    def test_a_few_dead_addresses_do_not_hold_up_the_rest_for_ever(
        self, take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: str, is_given_up: bool
    ) -> None:
        def chunks(self: Any, address: urls.Address) -> Any:
            if address.path in dead.split():
                raise fetching.Unreachable("answered 503")
            yield picture(int(address.url[-1]))

        monkeypatch.setattr(fetching._Asker, "chunks", chunks)
        for _ in range(raw_images.TRIES - 1):
            with pytest.raises(Unfetched, match="could not be fetched"):
                take(None if (tmp_path / "landing").exists() else {"urls.csv": self.LIST}, urls=self.RULES)
        if not is_given_up:  # rather the host is down: a person should see it
            with pytest.raises(Unfetched):
                take(None, urls=self.RULES)
            return
        receipt = take(None, urls=self.RULES)
        assert (receipt.status, receipt.reason) == ("partial", "MANIFEST_FILE_MISSING")
        assert verdicts(receipt)["c.jpg"] == ("quarantined", "MANIFEST_FILE_MISSING")
        assert receipt.files_seen == len(receipt.frame) == 4


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_the_member_that_an_archive_is_damaged_in_has_a_row_too(take: Take, kind: str) -> None:
    buffer, names = io.BytesIO(), [f"{letter}.jpg" for letter in "abcd"]
    pictures = [picture(number, size=(64, 64)) for number in range(4)]
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, data in zip(names, pictures, strict=True):
                archive.writestr(name, data)
        data = bytearray(buffer.getvalue())
        data[data.find(b"b.jpg") + 200] ^= 0xFF
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in zip(names, pictures, strict=True):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        data = bytearray(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    receipt = take(archive=(f"d.{kind}", bytes(data)))
    assert (receipt.status, receipt.reason) == ("rejected", "ARCHIVE_CORRUPT")
    assert receipt.files_seen == len(receipt.frame)
    assert set(receipt.frame["reason"]) == {"ARCHIVE_CORRUPT"}
