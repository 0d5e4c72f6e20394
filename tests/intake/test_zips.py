"""Zips: what is taken, and the exact verdict on everything else."""

from __future__ import annotations

import io
import os
import stat
import struct
import tracemalloc
import zipfile
import zlib
from typing import Any

import pytest

from dataops_assets.intake import tars
from dataops_assets.intake.bounds import readable
from tests.intake.made import END_OF_TAR, END_OF_ZIP, Part, Take, deflated, extra, local_header, tarred, zipped

pytestmark = pytest.mark.timeout(60)
GOOD = Part(b"good.jpg", b"12345")
SPECIAL = (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK)
CRC = zlib.crc32(b"1")
DESCRIPTOR = struct.pack("<3L", CRC, 1, 1)
DESCRIPTOR64 = struct.pack("<L2Q", CRC, 1, 1)
LATER = {"crc": 0, "packed": 0, "size": 0}
FULL = 0xFFFFFFFF
FULL_SIZES = {"size": FULL, "packed": FULL}


def streamed(descriptor: bytes, **local: Any) -> Part:
    return Part(flags=8, descriptor=descriptor, local=LATER | local)


def sizes64(*values: int) -> bytes:
    return extra(1, struct.pack(f"<{len(values)}Q", *values))


def unicode_path(name: bytes, of: bytes = b"a.jpg") -> bytes:
    return extra(0x7075, b"\1" + struct.pack("<L", zlib.crc32(of)) + name)


@pytest.mark.parametrize(
    ("part", "files"),
    [
        pytest.param(Part(), [("a.jpg", b"1")], id="stored"),
        pytest.param(Part(method=8, data=b"1" * 600), [("a.jpg", b"1" * 600)], id="deflated"),
        pytest.param(Part(data=b""), [("a.jpg", b"")], id="empty"),
        pytest.param(Part(data=b"", method=8), [("a.jpg", b"")], id="empty-deflated"),
        pytest.param(Part(b"x/", b""), [], id="folder"),
        pytest.param(Part(b"x/", b"", method=8, mode=0o040755), [], id="folder-deflated"),
        pytest.param(Part(b"x/", b"", mode=0o177777), [], id="folder-of-old-maven"),
        pytest.param(Part(b"./a.jpg", mode=0o100644), [("a.jpg", b"1")], id="dot"),
        pytest.param(Part("é.jpg".encode(), flags=0x800), [("é.jpg", b"1")], id="utf8"),
        pytest.param(Part("é.jpg".encode("cp437")), [("é.jpg", b"1")], id="cp437"),
        pytest.param(Part(b"\xff.jpg", flags=0x800), [("\\xff.jpg", b"1")], id="not-utf8"),
        pytest.param(Part(extra=unicode_path("é.jpg".encode())), [("é.jpg", b"1")], id="unicode-path"),
        pytest.param(Part(extra=unicode_path(b"b.jpg", b"other")), [("a.jpg", b"1")], id="unicode-path-of-another-name"),
        pytest.param(streamed(DESCRIPTOR), [("a.jpg", b"1")], id="descriptor"),
        pytest.param(streamed(b"PK\x07\x08" + DESCRIPTOR), [("a.jpg", b"1")], id="descriptor-signed"),
        pytest.param(streamed(DESCRIPTOR64), [("a.jpg", b"1")], id="descriptor-64"),
        pytest.param(streamed(b"PK\x07\x08" + DESCRIPTOR64), [("a.jpg", b"1")], id="descriptor-64-signed"),
        pytest.param(Part(data=b"", flags=8, descriptor=b"PK\x07\x08" + bytes(20)), [("a.jpg", b"")], id="descriptor-of-nothing"),
        pytest.param(
            Part(extra=sizes64(1, 1), central={"extra": b""}, local={"size": FULL, "packed": FULL}), [("a.jpg", b"1")], id="local-64"
        ),
        pytest.param(Part(central={"size": FULL, "extra": sizes64(1)}), [("a.jpg", b"1")], id="central-64"),
        pytest.param(Part(local={"extra": bytes(3)}), [("a.jpg", b"1")], id="aligned"),
        pytest.param(Part(data=zipped(Part())), [("a.jpg", zipped(Part()))], id="zip-inside"),
        pytest.param(Part(data=tarred() + END_OF_TAR), [("a.jpg", tarred() + END_OF_TAR)], id="tar-inside"),
    ],
)
def test_honest_members_are_taken(take: Take, part: Part, files: list[tuple[str, bytes]]) -> None:
    taken = take(zipped(GOOD, part, comment=b"hello"))
    assert (taken.code, taken.files) == ("", [("good.jpg", b"12345"), *files]), taken.message
    assert take(zipped(part, is_zip64=True)).files == files


def test_empty_zips_hold_nothing(take: Take) -> None:
    assert take(zipped()).files == take(zipped(comment=b"x")).files == take(zipped(Part(b"x/", b""))).files == []
    assert take(zipped()).code == take(zipped(Part(b"x/", b""))).code == ""


def test_a_name_that_comes_twice_comes_twice(take: Take) -> None:
    assert take(zipped(Part(), Part(data=b"22"))).files == [("a.jpg", b"1"), ("a.jpg", b"22")]


def test_a_name_too_long_is_a_fault_of_its_file_alone(take: Take) -> None:
    taken = take(zipped(Part(b"d/" * 600, b""), Part(b"d/" * 600 + b"a"), GOOD))
    assert (taken.code, taken.files) == ("", [(readable("d/" * 600 + "a")[0], "NAME_TOO_LONG"), ("good.jpg", b"12345")])


UNSAFE = (
    b"/etc/passwd",
    b"../a",
    b"x/../../a",
    b"..",
    b".",
    b"",
    b"C:a.jpg",
    b"c:/a.jpg",
    b"x\\a.jpg",
    b"a\0b.jpg",
    b"x//a",
    b"x/./a",
    b"/",
    b"../",
)


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_leads_out_is_refused(take: Take, name: bytes) -> None:
    for part in (Part(name, b""), Part(name, b"", mode=0o120777), Part(name, b"", flags=0x800)):
        taken = take(zipped(GOOD, part))
        assert (taken.code, taken.files) == ("UNSAFE_PATH", [])
    if name:
        assert take(zipped(GOOD, Part(extra=unicode_path(name)))).code == "UNSAFE_PATH"


@pytest.mark.parametrize(
    ("code", "part"),
    [
        pytest.param("LINK_MEMBER", Part(data=b"/etc/passwd", mode=0o120777), id="symlink"),
        *[pytest.param("SPECIAL_MEMBER", Part(mode=kind | 0o644), id=f"mode-{kind:o}") for kind in SPECIAL],
        pytest.param("SPECIAL_MEMBER", Part(mode=0o040755), id="folder-without-slash"),
        pytest.param("ENCRYPTED", Part(flags=0x1), id="classic"),
        pytest.param("ENCRYPTED", Part(flags=0x1, method=99, extra=extra(0x9901, b"\2\0AE\3\0\0")), id="aes"),
        pytest.param("ENCRYPTED", Part(method=99), id="aes-without-flag"),
        pytest.param("ENCRYPTED", Part(flags=0x41), id="strong"),
        pytest.param("ENCRYPTED", Part(flags=0x2000), id="masked"),
        *[pytest.param("UNSUPPORTED_ARCHIVE", Part(method=method), id=f"method-{method}") for method in (1, 6, 9, 12, 14, 93, 95, 97, 98)],
        pytest.param("UNSUPPORTED_ARCHIVE", Part(flags=0x20), id="patch"),
        pytest.param("UNSUPPORTED_ARCHIVE", Part(central={"disk": 1}), id="on-another-disk"),
        pytest.param("ARCHIVE_CORRUPT", Part(b"x/", b"1"), id="folder-with-data"),
        pytest.param("ARCHIVE_CORRUPT", Part(b"x/", b"", packed=b"1"), id="folder-stored-in-a-byte"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"name": b"b.jpg"}), id="other-name"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"name": b"../../x"}), id="other-name-unsafe"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"method": 8}), id="other-method"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"flags": 0x800}), id="other-charset"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"flags": 1}), id="encrypted-locally"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"crc": 5}), id="other-crc"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"size": 2}), id="other-size"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"packed": 2}), id="other-packed-size"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"packed": 0, "size": 0, "crc": 0}), id="sizes-later-without-flag"),
        pytest.param("ARCHIVE_CORRUPT", Part(local={"extra": unicode_path(b"b.jpg")}), id="other-unicode-path"),
        pytest.param("ARCHIVE_CORRUPT", streamed(DESCRIPTOR, size=2), id="descriptor-and-other-size"),
        pytest.param("ARCHIVE_CORRUPT", streamed(b""), id="descriptor-missing"),
        pytest.param("ARCHIVE_CORRUPT", streamed(b"PK\x07\x08" + struct.pack("<3L", 5, 1, 1)), id="descriptor-crc"),
        pytest.param("ARCHIVE_CORRUPT", Part(central={"at": 44}), id="offset-beside-it"),
        pytest.param("ARCHIVE_CORRUPT", Part(central={"at": 1 << 31}), id="offset-outside"),
        pytest.param("ARCHIVE_CORRUPT", Part(central={"packed": 5000, "size": 5000}), id="into-the-directory"),
        pytest.param("ARCHIVE_CORRUPT", Part(extra=b"\1\0\xff\xff1"), id="extra-beyond"),
        pytest.param("ARCHIVE_CORRUPT", Part(extra=b"123"), id="extra-garbage"),
        pytest.param("ARCHIVE_CORRUPT", Part(extra=sizes64(1) + sizes64(2)), id="zip64-twice"),
        pytest.param("ARCHIVE_CORRUPT", Part(central={"size": FULL}), id="zip64-missing"),
        pytest.param("ARCHIVE_CORRUPT", Part(central={"packed": FULL, "size": FULL, "extra": sizes64(1)}), id="zip64-short"),
        pytest.param("ARCHIVE_CORRUPT", Part(central={"at": FULL, "extra": sizes64(1 << 63)}), id="zip64-offset-lies"),
        pytest.param("ARCHIVE_CORRUPT", Part(central={"packed": FULL, "extra": sizes64(1 << 62)}), id="zip64-packed-lies"),
        pytest.param("BOMB", Part(method=8, central={"size": FULL, "extra": sizes64(1 << 62)}), id="zip64-size-lies"),
        pytest.param("BOMB", Part(method=8, extra=sizes64(1 << 62, 3), local=FULL_SIZES, central=FULL_SIZES), id="zip64-both-lie"),
        pytest.param("BOMB", Part(central={"at": 0}), id="same-start"),
        pytest.param("BOMB", Part(central={"at": 5}), id="inside-the-other"),
    ],
)  # fmt: skip
def test_what_is_no_plain_file_is_refused_before_the_first_byte(take: Take, code: str, part: Part) -> None:
    taken = take(zipped(GOOD, part))
    assert (taken.code, taken.files) == (code, []), taken.message
    assert taken.paths[:1] in (("good.jpg",), ())


@pytest.mark.parametrize(
    ("code", "part"),
    [
        pytest.param("ARCHIVE_CORRUPT", Part(data=b"1", packed=b"2"), id="stored-crc"),
        pytest.param("ARCHIVE_CORRUPT", Part(data=b"1", packed=deflated(b"2"), method=8), id="deflated-crc"),
        pytest.param("ARCHIVE_CORRUPT", Part(packed=deflated(b"1") + b"x", method=8), id="bytes-after-the-end"),
        pytest.param("ARCHIVE_CORRUPT", Part(packed=deflated(b"1") + b"x" * (1 << 20), method=8), id="many-bytes-after-the-end"),
        pytest.param("ARCHIVE_CORRUPT", Part(data=b"1" * 99, packed=deflated(b"1" * 99)[:-2], method=8), id="cut"),
        pytest.param("ARCHIVE_CORRUPT", Part(packed=b"", method=8), id="no-byte"),
        pytest.param("ARCHIVE_CORRUPT", Part(packed=b"\xff\xff", method=8), id="garbage"),
        pytest.param("ARCHIVE_CORRUPT", Part(data=b"1" * 99, packed=deflated(b"1" * 98), method=8), id="shorter-than-it-says"),
        pytest.param("BOMB", Part(data=b"1", packed=deflated(b"11"), method=8), id="longer-than-it-says"),
        pytest.param("BOMB", Part(data=b"1", packed=deflated(bytes(50 << 20)), method=8), id="50-MiB-longer"),
    ],
)  # fmt: skip
def test_damaged_data_is_refused_when_it_is_read(take: Take, code: str, part: Part) -> None:
    tracemalloc.start()
    taken = take(zipped(GOOD, part, Part(b"c")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (taken.code, taken.files, taken.paths) == (code, [("good.jpg", b"12345"), ("a.jpg", "unread")], ("c",))
    assert peak < 16 << 20


def longer_end64(needed: int) -> bytes:
    """Version 2 of the zip64 end, which tells how the directory is encrypted."""
    data = zipped(GOOD, is_zip64=True, length_of_end64=44 + 28, needed=needed)
    return data[:-42] + bytes(28) + data[-42:]


WHOLE = zipped(GOOD, Part(method=8, data=b"2" * 600))
ENDS = WHOLE[-22:]


@pytest.mark.parametrize(
    ("code", "data"),
    [
        pytest.param("POLYGLOT", b"\xff\xd8\xff" + bytes(50) + WHOLE, id="jpeg-before-it"),
        pytest.param("POLYGLOT", b"x" + WHOLE, id="byte-before-it"),
        pytest.param("POLYGLOT", b"PK\x03\x04" + WHOLE, id="signature-before-it"),
        pytest.param("POLYGLOT", zipped(GOOD, before=b"PK\x03\x04" + bytes(60)), id="members-before-it"),
        pytest.param("POLYGLOT", WHOLE + b"x", id="byte-after-it"),
        pytest.param("POLYGLOT", WHOLE + bytes(2000), id="zeros-after-it"),
        pytest.param("POLYGLOT", WHOLE + b"\xff\xd8\xff" + bytes(50), id="jpeg-after-it"),
        pytest.param("POLYGLOT", b"\xff\xd8\xff" + WHOLE + b"garbage", id="both"),
        pytest.param("POLYGLOT", WHOLE + WHOLE, id="two-zips"),
        pytest.param("POLYGLOT", WHOLE + tarred() + END_OF_TAR, id="tar-after-it"),
        pytest.param("POLYGLOT", WHOLE + ENDS, id="two-ends"),
        pytest.param("POLYGLOT", zipped(GOOD, comment=ENDS), id="end-in-the-comment"),
        pytest.param("POLYGLOT", zipped(GOOD, comment=b"PK\x05\x06" + bytes(30)), id="broken-end-in-the-comment"),
        pytest.param("POLYGLOT", zipped(GOOD, between=b"hidden"), id="bytes-before-the-directory"),
        pytest.param("POLYGLOT", zipped(GOOD, between=local_header(Part()) + b"1"), id="hidden-member"),
        pytest.param("POLYGLOT", zipped(GOOD, Part(descriptor=b"hidden"), Part()), id="bytes-between-members"),
        pytest.param("POLYGLOT", zipped(streamed(b"PK\x07\x08" + DESCRIPTOR + b"hidden")), id="bytes-after-a-descriptor"),
        pytest.param("POLYGLOT", zipped(between=b"PK\x05\x06"), id="bytes-and-no-member"),
        pytest.param("UNSUPPORTED_ARCHIVE", zipped(GOOD, disk=1, start_disk=1), id="disks"),
        pytest.param("UNSUPPORTED_ARCHIVE", zipped(GOOD, here=2), id="part-of-the-members"),
        pytest.param("UNSUPPORTED_ARCHIVE", b"PK\x07\x08" + WHOLE, id="spanned"),
        pytest.param("UNSUPPORTED_ARCHIVE", b"PK00" + WHOLE, id="spanned-in-one"),
        pytest.param("UNSUPPORTED_ARCHIVE", zipped(GOOD, is_zip64=True, disks=2), id="disks-64"),
        pytest.param("ENCRYPTED", longer_end64(needed=62), id="encrypted-directory-64"),
        pytest.param("UNSUPPORTED_ARCHIVE", longer_end64(needed=45), id="end64-with-more"),
        pytest.param("ENCRYPTED", WHOLE.replace(b"PK\x01\x02", b"PK\x06\x08", 1), id="encrypted-directory"),
        pytest.param("ARCHIVE_CORRUPT", zipped(GOOD, is_zip64=True, length_of_end64=45), id="end64-length"),
        pytest.param("ARCHIVE_CORRUPT", zipped(GOOD, is_zip64=True, end64_at=3), id="end64-elsewhere"),
        pytest.param("ARCHIVE_CORRUPT", zipped(GOOD, is_zip64=True, end64_at=1 << 63), id="end64-far-out"),
        pytest.param("ARCHIVE_CORRUPT", zipped(GOOD, is_zip64=True, number64=2, here64=2), id="ends-that-differ"),
        pytest.param("ARCHIVE_CORRUPT", zipped(GOOD, is_zip64=True, start64=1 << 63), id="directory-64-far-out"),
        pytest.param("ARCHIVE_CORRUPT", zipped(GOOD, is_zip64=True, length64=1 << 20), id="directory-64-long"),
        pytest.param("ARCHIVE_CORRUPT", zipped(GOOD, number=65535, here=65535), id="more-members-than-there-are"),
        pytest.param("ARCHIVE_CORRUPT", zipped(GOOD, Part(), number=1, here=1), id="fewer-members-than-there-are"),
        pytest.param("ARCHIVE_CORRUPT", WHOLE.replace(b"a.jpg", b"a.jpG", 1), id="local-name"),
        pytest.param("ARCHIVE_CORRUPT", (b"PK\x03\x04" + WHOLE[4:].replace(b"PK\x03\x04", b"PK\x03\x05")), id="local-signature"),
        pytest.param("POLYGLOT", zipped(GOOD, start=3), id="directory-elsewhere"),
        pytest.param("ARCHIVE_CORRUPT", zipped(GOOD, start=FULL), id="directory-far-out"),
        pytest.param("ARCHIVE_CORRUPT", b"PK\x03\x04", id="signature"),
        pytest.param("ARCHIVE_CORRUPT", b"PK\x05\x06", id="signature-of-the-end"),
        pytest.param("BOMB", zipped(GOOD, is_zip64=True, length64=1 << 40), id="directory-64-huge"),
        pytest.param("TOO_MANY_MEMBERS", zipped(GOOD, is_zip64=True, number=65535, here=65535, number64=1 << 62, here64=1 << 62)),
    ],
)  # fmt: skip
def test_the_zip_is_the_whole_file(take: Take, code: str, data: bytes) -> None:
    taken = take(data)
    assert (taken.code, taken.files) == (code, []), taken.message


def test_a_zip_that_is_a_tar(take: Take) -> None:
    """The first member's local header is a tar's header, whose checksum lies in the member's name."""
    name = b"n" * 118 + b" " * 8 + b"n" * 356
    block = local_header(Part(name, tarred() + END_OF_TAR, local={"crc": 0}))[:512]
    part = Part(name.replace(b" " * 8, b"%07o " % sum(block)), tarred() + END_OF_TAR, local={"crc": 0})
    assert tars.is_header(local_header(part)[:512])
    assert take(zipped(part)).code == "POLYGLOT"


def test_a_cut_anywhere_is_seen(take: Take) -> None:
    for data in (WHOLE, zipped(GOOD, comment=b"hello"), zipped(GOOD, is_zip64=True)):
        assert {take(data[:-cut]).code for cut in range(1, len(data))} == {"ARCHIVE_CORRUPT"}


def test_limits(take: Take) -> None:
    data = zipped(Part(b"a", b"1" * 100), Part(b"b", b"2" * 600, method=8), Part(b"c", b"3" * 100))
    assert take(data, total_bytes=800, member_bytes=600, members=3).code == ""
    large = take(data, member_bytes=599)
    assert (large.code, large.files) == ("", [("a", b"1" * 100), ("b", "TOO_LARGE"), ("c", b"3" * 100)])
    total = take(data, total_bytes=799)
    assert (total.code, total.files, total.paths) == ("BOMB", [], ("a", "b", "c"))
    assert take(data, members=2).code == "TOO_MANY_MEMBERS"
    ratio = take(zipped(Part(data=bytes(10 << 20), method=8), Part(b"b")))
    assert (ratio.code, ratio.paths) == ("BOMB", ("a.jpg", "b"))
    assert take(zipped(Part(data=bytes(1 << 20), method=8))).code == ""
    folders = [Part(b"%d/" % number, b"") for number in range(11)]
    assert take(zipped(*folders), members=10).code == "TOO_MANY_MEMBERS"
    names = [Part(b"%d/" % number + b"n" * 60_000) for number in range(20)]
    assert take(zipped(*names), members=20).code == "BOMB"


def full_overlap(number: int) -> bytes:
    """Every member of the directory has the same header and data."""
    parts = [Part(b"a.jpg", bytes(1000), method=8, central={"at": 0}) for _ in range(number)]
    whole = zipped(parts[0])
    directory = whole[whole.index(b"PK\x01\x02") : -22]
    start = whole.index(b"PK\x01\x02")
    end = END_OF_ZIP.pack(b"PK\x05\x06", 0, 0, number, number, len(directory) * number, start, 0)
    return whole[:start] + directory * number + end


def quoted_overlap(number: int) -> bytes:
    """D. Fifield's: each member's data is a stored block that quotes the next local header, and so on down to one kernel."""
    kernel = deflated(bytes(100_000))
    data, tail = bytes(100_000), kernel
    parts: list[tuple[Part, int]] = []
    for index in range(number):
        name = b"%d.jpg" % index
        part = Part(name, data, method=8, packed=tail)
        head = local_header(part)
        parts.insert(0, (part, len(head)))
        data = head + data
        tail = b"\0" + struct.pack("<2H", len(head), len(head) ^ 0xFFFF) + head + tail
    first, _ = parts[0]
    body = local_header(first) + first.bytes()
    directory, at = b"", 0
    for part, length in parts:
        whole = zipped(Part(part.name, part.data, 8, packed=part.packed, central={"at": at}))
        directory += whole[len(local_header(part)) + len(part.bytes()) : -22]
        at += length + 5
    return body + directory + END_OF_ZIP.pack(b"PK\x05\x06", 0, 0, number, number, len(directory), len(body), 0)


def extra_overlap() -> bytes:
    """A member whose local extra field, of which the directory knows nothing, covers the member after it."""
    covered = Part(b"b.jpg", b"2")
    inner = local_header(covered) + covered.bytes()
    first = Part(b"a.jpg", b"1", local={"extra": extra(0xCAFE, inner)})
    head = local_header(first)
    second_at = len(head) - len(inner)
    body = head + b"1"
    directory = zipped(Part(b"a.jpg", b"1"))[len(local_header(Part())) + 1 : -22]
    whole = zipped(Part(b"b.jpg", b"2", central={"at": second_at}))
    directory += whole[len(inner) : -22]
    return body + directory + END_OF_ZIP.pack(b"PK\x05\x06", 0, 0, 2, 2, len(directory), len(body), 0)


@pytest.mark.parametrize("data", [full_overlap(2), full_overlap(2000), quoted_overlap(3), quoted_overlap(200), extra_overlap()])
def test_members_that_share_bytes_are_a_bomb(take: Take, data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read(archive.infolist()[-1])  # a real zip for others
    taken = take(data)
    assert (taken.code, taken.files) == ("BOMB", []), taken.message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_the_standard_library_writes_is_read(take: Take, method: int) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    files = [("a.jpg", b"1"), ("é/ü.jpg", os.urandom(70_000)), ("d/" * 100 + "b.jpg", b""), ("z", bytes(300_000))]
    for buffer in (io.BytesIO(), Pipe()):
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in files:
                with archive.open(zipfile.ZipInfo(name), "w", force_zip64=name == "a.jpg") as file:
                    file.write(data)
                archive.mkdir(f"folder-{len(data)}")
        taken = take(buffer.getvalue())
        assert (taken.code, taken.files) == ("", files), taken.message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_not_unpacked(take: Take, method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a.jpg", bytes(1000))
    assert take(buffer.getvalue()).code == "UNSUPPORTED_ARCHIVE"
