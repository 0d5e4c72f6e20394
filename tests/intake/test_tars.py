"""Tars: what is taken, and the exact verdict on everything else."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from dataops_assets.intake import members, tars
from dataops_assets.intake.bounds import readable
from dataops_assets.intake.landing import Delivery
from dataops_assets.spec import IntakeLimits
from tests.intake.made import END_OF_TAR, Part, Take, header, pax, tarred, zipped
from tests.intake.made import take as take_unwatched

pytestmark = pytest.mark.timeout(60)
GOOD = tarred(b"good.jpg", b"12345")
LONG = b"d/" * 60 + b"a.jpg"


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    return tarred(b"././@LongLink", name + b"\0", kind, magic=b"ustar  \0")


@pytest.mark.parametrize(
    ("member", "files"),
    [
        pytest.param(tarred(), [("a.jpg", b"1")], id="ustar"),
        pytest.param(tarred(magic=b"ustar  \0"), [("a.jpg", b"1")], id="gnu"),
        pytest.param(tarred(magic=bytes(8)), [("a.jpg", b"1")], id="v7"),
        pytest.param(tarred(kind=b"\0"), [("a.jpg", b"1")], id="old-kind"),
        pytest.param(tarred(kind=b"7"), [("a.jpg", b"1")], id="contiguous"),
        pytest.param(tarred(prefix=b"x/y"), [("x/y/a.jpg", b"1")], id="prefix"),
        pytest.param(tarred(b"./a.jpg"), [("a.jpg", b"1")], id="dot"),
        pytest.param(tarred(b"./", b"", b"5") + tarred(b"x/", b"", b"5") + tarred(b"y/", b"", b"0"), [], id="folders-alone"),
        pytest.param(b"", [], id="empty"),
        pytest.param(long_name(LONG) + tarred(), [(LONG.decode(), b"1")], id="gnu-long-name"),
        pytest.param(pax((b"path", LONG)) + tarred(), [(LONG.decode(), b"1")], id="pax-path"),
        pytest.param(pax((b"path", "é/ü.jpg".encode())) + tarred(), [("é/ü.jpg", b"1")], id="pax-utf8"),
        pytest.param(pax((b"size", b"1")) + tarred(size=b"00000000000\0"), [("a.jpg", b"1")], id="pax-size-counts"),
        pytest.param(pax((b"mtime", b"1.5"), (b"SCHILY.xattr.x", b"a\n=\0")) + tarred(), [("a.jpg", b"1")], id="pax-other-keys"),
        pytest.param(pax((b"comment", b"0" * 40), kind=b"g") + tarred(), [("a.jpg", b"1")], id="git-archive"),
        pytest.param(tarred(size=b"\x80" + (1).to_bytes(11)), [("a.jpg", b"1")], id="base-256"),
        pytest.param(tarred(size=b"          1 "), [("a.jpg", b"1")], id="spaces"),
        pytest.param(tarred() + tarred(data=b"22"), [("a.jpg", b"1"), ("a.jpg", b"22")], id="same-name-twice"),
        pytest.param(tarred(b"\xff.jpg"), [("\\xff.jpg", b"1")], id="not-utf8"),
        pytest.param(pax((b"hdrcharset", b"BINARY"), (b"path", b"\xe9.jpg")) + tarred(), [("\\xe9.jpg", b"1")], id="pax-binary"),
        pytest.param(tarred(data=zipped(Part())) + tarred(b"b"), [("a.jpg", zipped(Part())), ("b", b"1")], id="zip-inside"),
    ],
)
def test_honest_members_are_taken(take: Take, member: bytes, files: list[tuple[str, bytes]]) -> None:
    taken = take(member + END_OF_TAR)
    assert (taken.code, taken.files) == ("", files), taken.message


def test_a_name_too_long_is_a_fault_of_its_file_alone(take: Take) -> None:
    name = b"d/" * 600 + b"a.jpg"
    taken = take(long_name(name) + tarred() + GOOD + END_OF_TAR)
    assert (taken.code, taken.files) == ("", [(readable(name.decode())[0], "NAME_TOO_LONG"), ("good.jpg", b"12345")])


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
    b"././a",
)


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("how", ["header", "gnu", "pax", "link", "folder"])
def test_a_name_that_leads_out_is_refused_however_it_is_told(take: Take, name: bytes, how: str) -> None:
    member = {
        "header": tarred(name),
        "gnu": long_name(name) + tarred(),
        "pax": pax((b"path", name)) + tarred(),
        "link": tarred(name, b"", b"2", link=b"x"),
        "folder": tarred(name + b"//", b"", b"5"),
    }[how]
    taken = take(GOOD + member + END_OF_TAR)
    assert (taken.code, taken.names, len(taken.paths)) == ("UNSAFE_PATH", ["good.jpg"], 1)


def test_nothing_is_written_at_an_absolute_path(take: Take, tmp_path: Path) -> None:
    name = f"{tmp_path}/cwd/evil.jpg".encode()
    assert take(pax((b"path", name)) + tarred() + END_OF_TAR).code == "UNSAFE_PATH"


SPARSE = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"a.jpg"), (b"GNU.sparse.realsize", b"999")]


@pytest.mark.parametrize(
    ("code", "member"),
    [
        pytest.param("LINK_MEMBER", tarred(data=b"", kind=b"2", link=b"/etc/passwd"), id="symlink"),
        pytest.param("LINK_MEMBER", tarred(data=b"", kind=b"1", link=b"good.jpg"), id="hardlink"),
        pytest.param("LINK_MEMBER", pax((b"linkpath", b"/x")) + tarred(data=b"", kind=b"2"), id="pax-symlink"),
        pytest.param("LINK_MEMBER", long_name(b"/x", b"K") + tarred(data=b"", kind=b"2"), id="gnu-symlink"),
        *[pytest.param("SPECIAL_MEMBER", tarred(data=b"", kind=bytes([kind])), id=f"kind-{kind:c}") for kind in b"346DMVNXZ"],
        pytest.param("SPECIAL_MEMBER", tarred(kind=b"S", magic=b"ustar  \0", prefix=bytes(41) + b"0" * 11), id="gnu-sparse"),
        pytest.param("SPECIAL_MEMBER", pax(*SPARSE) + tarred(), id="pax-sparse-1.0"),
        pytest.param("SPECIAL_MEMBER", pax((b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.size", b"9")) + tarred(), id="pax-sparse-0.1"),
        pytest.param("SPECIAL_MEMBER", pax((b"SCHILY.realsize", b"9")) + tarred(), id="star-sparse"),
        pytest.param("ARCHIVE_CORRUPT", tarred(b"x/", b"1" * 600, b"5"), id="folder-with-data"),
        pytest.param("ARCHIVE_CORRUPT", tarred(b"x/", b"1", b"0"), id="file-like-a-folder"),
        pytest.param("ARCHIVE_CORRUPT", tarred(size=b"\xff" * 12), id="size-negative"),
        pytest.param("ARCHIVE_CORRUPT", tarred(size=b"\x80" + b"\xff" * 11), id="size-huge-base-256"),
        pytest.param("ARCHIVE_CORRUPT", tarred(size=b"77777777777\0"), id="size-huge-octal"),
        pytest.param("ARCHIVE_CORRUPT", tarred(size=b"-0000000001\0"), id="size-minus"),
        pytest.param("ARCHIVE_CORRUPT", tarred(size=b"0000000000x\0"), id="size-no-number"),
        pytest.param("ARCHIVE_CORRUPT", tarred(size=bytes(12)), id="size-missing"),
        pytest.param("ARCHIVE_CORRUPT", pax((b"size", b"-1")) + tarred(), id="pax-size-negative"),
        pytest.param("ARCHIVE_CORRUPT", pax((b"size", b"9" * 20)) + tarred(), id="pax-size-huge"),
        pytest.param("ARCHIVE_CORRUPT", pax((b"size", b"9" * 5000)) + tarred(), id="pax-size-5000-digits"),
        pytest.param("ARCHIVE_CORRUPT", pax((b"size", b"")) + tarred(), id="pax-size-empty"),
        pytest.param("ARCHIVE_CORRUPT", pax((b"size", "١".encode())) + tarred(), id="pax-size-arabic"),
        pytest.param("ARCHIVE_CORRUPT", pax((b"path", b"a"), (b"path", b"b")) + tarred(), id="pax-says-twice"),
        pytest.param("ARCHIVE_CORRUPT", tarred(b"x", b"11 path=a\n", b"x") + tarred(), id="pax-wrong-length"),
        pytest.param("ARCHIVE_CORRUPT", tarred(b"x", b"99999 path=a\n", b"x") + tarred(), id="pax-length-beyond"),
        pytest.param("ARCHIVE_CORRUPT", tarred(b"x", b"0 path=a\n", b"x") + tarred(), id="pax-length-0"),
        pytest.param("ARCHIVE_CORRUPT", tarred(b"x", b"nonsense", b"x") + tarred(), id="pax-nonsense"),
        pytest.param("ARCHIVE_CORRUPT", pax((b"path", b"a")) + pax((b"path", b"b")) + tarred(), id="two-pax-headers"),
        pytest.param("ARCHIVE_CORRUPT", long_name(b"a") + long_name(b"b") + tarred(), id="two-long-names"),
        pytest.param("ARCHIVE_CORRUPT", long_name(b"a") + pax((b"path", b"b")) + tarred(), id="long-name-and-pax-path"),
        pytest.param("ARCHIVE_CORRUPT", pax((b"path", b"a")), id="pax-without-member"),
        pytest.param("UNSUPPORTED_ARCHIVE", pax((b"hdrcharset", b"UTF-16"), (b"path", b"a")) + tarred(), id="pax-charset"),
        pytest.param("UNSUPPORTED_ARCHIVE", pax((b"path", b"a"), kind=b"g") + tarred(), id="global-path"),
        pytest.param("UNSUPPORTED_ARCHIVE", pax((b"size", b"0"), kind=b"g") + tarred(), id="global-size"),
        pytest.param("UNSUPPORTED_ARCHIVE", pax(*SPARSE, kind=b"g") + tarred(), id="global-sparse"),
        pytest.param("UNSUPPORTED_ARCHIVE", tarred(magic=b"ustar  \0", prefix=b"x"), id="gnu-with-times"),
        pytest.param("UNSUPPORTED_ARCHIVE", tarred(tail=b"tar\0"), id="star"),
        pytest.param("UNSUPPORTED_ARCHIVE", tarred(magic=b"whatever"), id="unknown-format"),
        pytest.param("BOMB", pax((b"comment", b"x" * (65 << 10))) + tarred(), id="pax-large"),
        pytest.param("BOMB", header(b"x", (1 << 33) - 512, b"x"), id="pax-8-GiB"),
        pytest.param("BOMB", header(b"x", (1 << 33) - 512, b"g"), id="global-8-GiB"),
        pytest.param("BOMB", long_name(b"x" * (65 << 10)) + tarred(), id="long-name-large"),
        pytest.param("BOMB", pax((b"comment", b"x"), kind=b"g") * 20 + tarred(), id="globals-in-a-row"),
    ],
)  # fmt: skip
def test_what_is_no_plain_file_is_refused(take: Take, code: str, member: bytes) -> None:
    taken = take(GOOD + member + END_OF_TAR)
    assert (taken.code, taken.files) == (code, [("good.jpg", b"12345")]), taken.message
    assert len(taken.paths) <= 1


def test_the_member_that_is_refused_is_named(take: Take) -> None:
    assert take(GOOD + tarred(b"bad", b"", b"2", link=b"x") + GOOD + END_OF_TAR).paths == ("bad",)


WHOLE = GOOD + tarred(b"b", b"2" * 600)


def tar_that_is_a_zip() -> bytes:
    """The last member is a zip whose comment is the rest of the tar."""
    length = len(zipped(Part()))
    rest = -length % 512 + 1024
    return tarred(data=zipped(Part(), comment=bytes(rest))[:length]) + END_OF_TAR


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["tar", "gz", "bz2", "xz"])
def test_a_cut_anywhere_is_seen(take: Take, pack: object) -> None:
    data = pack(WHOLE + END_OF_TAR)  # type: ignore[operator]
    for cut in range(1, len(data), 7 if pack is not bytes else 100):
        assert take(data[:-cut]).code == "ARCHIVE_CORRUPT", cut


def test_a_cut_between_members_is_seen(take: Take) -> None:
    assert take(GOOD).code == take(WHOLE).code == take(WHOLE + bytes(512)).code == take(gzip.compress(WHOLE)).code == "ARCHIVE_CORRUPT"


def test_a_damaged_header_is_not_the_end(take: Take) -> None:
    for at in (512 * 2, 512 * 2 + 124, 512 * 2 + 150, 512 * 2 + 511):
        data = bytearray(WHOLE + END_OF_TAR)
        data[at] ^= 0x10
        taken = take(bytes(data))
        assert (taken.code, taken.names) == ("ARCHIVE_CORRUPT", ["good.jpg"])


@pytest.mark.parametrize(
    ("code", "data"),
    [
        pytest.param("", WHOLE + bytes(10240), id="blocking-factor"),
        pytest.param("ARCHIVE_CORRUPT", WHOLE + bytes(1024 + 100), id="half-a-block"),
        pytest.param("ARCHIVE_CORRUPT", GOOD + bytes(512) + GOOD + END_OF_TAR, id="one-block-of-zeros"),
        pytest.param("POLYGLOT", WHOLE + END_OF_TAR + WHOLE + END_OF_TAR, id="two-tars"),
        pytest.param("POLYGLOT", WHOLE + END_OF_TAR + bytes(511) + b"x", id="a-byte"),
        pytest.param("POLYGLOT", WHOLE + END_OF_TAR + zipped(Part()), id="zip-after-tar"),
        pytest.param("POLYGLOT", WHOLE + zipped(Part()), id="zip-instead-of-the-end"),
        pytest.param("POLYGLOT", tar_that_is_a_zip(), id="zip-whose-comment-is-the-rest"),
        pytest.param("POLYGLOT", gzip.compress(WHOLE + END_OF_TAR) + b"garbage", id="after-gz"),
        pytest.param("POLYGLOT", gzip.compress(WHOLE + END_OF_TAR) + b"\0", id="zero-after-gz"),
        pytest.param("POLYGLOT", bz2.compress(WHOLE + END_OF_TAR) + b"garbage", id="after-bz2"),
        pytest.param("POLYGLOT", lzma.compress(WHOLE + END_OF_TAR) + b"garbage", id="after-xz"),
        pytest.param("POLYGLOT", gzip.compress(WHOLE + END_OF_TAR) + zipped(Part()), id="zip-after-gz"),
        pytest.param("POLYGLOT", gzip.compress(WHOLE + END_OF_TAR) + gzip.compress(b"x" * 512), id="second-gz-with-more"),
        pytest.param("", gzip.compress(WHOLE[:700]) + gzip.compress(WHOLE[700:] + END_OF_TAR), id="gz-in-two"),
        pytest.param("", bz2.compress(WHOLE[:700]) + bz2.compress(WHOLE[700:] + END_OF_TAR), id="bz2-in-two"),
        pytest.param("", lzma.compress(WHOLE[:700]) + lzma.compress(WHOLE[700:] + END_OF_TAR), id="xz-in-two"),
        pytest.param("ARCHIVE_CORRUPT", gzip.compress(WHOLE + END_OF_TAR)[:-8] + bytes(8), id="gz-checksum"),
        pytest.param("ARCHIVE_CORRUPT", gzip.compress(WHOLE + END_OF_TAR)[:-4] + bytes(4), id="gz-length"),
        pytest.param("UNSUPPORTED_ARCHIVE", gzip.compress(gzip.compress(WHOLE + END_OF_TAR)), id="gz-of-gz"),
        pytest.param("UNSUPPORTED_ARCHIVE", lzma.compress(zipped(Part())), id="xz-of-zip"),
        pytest.param("ARCHIVE_CORRUPT", gzip.compress(b"\xff\xd8\xff" + bytes(2000)), id="gz-of-jpeg"),
        pytest.param("ARCHIVE_CORRUPT", gzip.compress(b""), id="gz-of-nothing"),
        pytest.param("ARCHIVE_CORRUPT", b"\xff\xd8\xff" + bytes(2000), id="jpeg"),
        pytest.param("ARCHIVE_CORRUPT", b"", id="no-byte"),
        pytest.param("ARCHIVE_CORRUPT", b"x", id="one-byte"),
        *[pytest.param("UNSUPPORTED_ARCHIVE", magic + bytes(600), id=f"other-{magic[:4].hex()}") for magic in tars.OTHER_FORMATS],
    ],
)  # fmt: skip
def test_the_end_and_the_packing_are_strict(take: Take, code: str, data: bytes) -> None:
    taken = take(data)
    assert taken.code == code, taken.message
    assert code or taken.names == ["good.jpg", "b"]


def test_limits(take: Take) -> None:
    data = tarred(b"a", b"1" * 100) + tarred(b"b", b"2" * 600) + tarred(b"c", b"3" * 100) + END_OF_TAR
    assert take(data, total_bytes=800, member_bytes=600, members=3).code == ""
    large = take(data, member_bytes=599)
    assert (large.code, large.files) == ("", [("a", b"1" * 100), ("b", "TOO_LARGE"), ("c", b"3" * 100)])
    total = take(data, total_bytes=799)
    assert (total.code, total.names, total.paths) == ("BOMB", ["a", "b"], ("c",))
    many = take(data, members=2)
    assert (many.code, many.names, many.paths) == ("TOO_MANY_MEMBERS", ["a", "b"], ("c",))
    folders = b"".join(tarred(b"d%d/" % number, b"", b"5") for number in range(11))
    assert take(folders + END_OF_TAR, members=10).code == "TOO_MANY_MEMBERS"


def large_dictionary() -> bytes:
    """An xz whose header asks for 1.5 GiB: the byte of the dictionary's size is changed, and the header's checksum with it."""
    data = bytearray(lzma.compress(WHOLE + END_OF_TAR))
    length = (data[12] + 1) * 4
    assert data[14:16] == b"\x21\x01"
    data[16] = 37
    data[12 + length - 4 : 12 + length] = struct.pack("<L", zlib.crc32(bytes(data[12 : 12 + length - 4])))
    return bytes(data)


def zeros(packer: object, mib: int, head: bytes, tail: bytes = b"") -> bytes:
    pack = packer.compress  # type: ignore[attr-defined]
    return b"".join([pack(head), *[pack(bytes(1 << 20)) for _ in range(mib)], pack(tail), packer.flush()])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(zeros(zlib.compressobj(9, wbits=31), 100, header(b"z", 100 << 20), END_OF_TAR), id="gz-ratio"),
        pytest.param(zeros(bz2.BZ2Compressor(), 100, header(b"z", 100 << 20), END_OF_TAR), id="bz2-ratio"),
        pytest.param(zeros(lzma.LZMACompressor(), 100, header(b"z", 100 << 20), END_OF_TAR), id="xz-ratio"),
        pytest.param(zeros(zlib.compressobj(9, wbits=31), 100, GOOD), id="zeros-after-the-end"),
        pytest.param(gzip.compress((pax((b"comment", b"x" * 60_000)) + GOOD) * 200), id="headers-without-end"),
        pytest.param(gzip.compress(header(b"z", (1 << 33) - 512)), id="declared"),
        pytest.param(gzip.compress(b"") * (tars.STREAMS + 1), id="streams"),
        pytest.param(large_dictionary(), id="xz-dictionary"),
    ],
)  # fmt: skip
def test_bombs_are_refused_in_little_memory(take: Take, data: bytes) -> None:
    tracemalloc.start()
    code = take(data).code
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (code, peak < 16 << 20) == ("BOMB", True)


def test_a_member_too_large_is_passed_over_in_little_memory(take: Take) -> None:
    noise = b"".join(zlib.compress(b"%d" % number) for number in range(200_000))
    data = tarred(b"large", noise) + GOOD + END_OF_TAR
    assert take(data, member_bytes=1000).files == [("large", "TOO_LARGE"), ("good.jpg", b"12345")]


def test_many_empty_members_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.tar.gz"
    path.write_bytes(gzip.compress(header() * 30_000 + END_OF_TAR, compresslevel=1))
    tracemalloc.start()
    number = sum(1 for _ in members.members(Delivery("dresses", "atelier", path.name, path, True), IntakeLimits()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (number, peak < 6 << 20) == (30_000, True)  # the standard library's reader would hold 30 MB of headers


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_the_standard_library_writes_is_read(take: Take, form: int) -> None:
    buffer = io.BytesIO()
    names = ["a.jpg", "d/" * 45 + "b.jpg", "é/ü.jpg", "x" * 99] + (["n" * 240] if form != tarfile.USTAR_FORMAT else [])
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 600 * number, 1.5 if form == tarfile.PAX_FORMAT else 1
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    taken = take(buffer.getvalue())
    assert (taken.code, taken.files) == ("", [(name, b"x" * 600 * number) for number, name in enumerate(names)])


def test_zeros_without_end_are_not_read_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "drop.tar"
    path.write_bytes(tarred())
    os.truncate(path, 1 << 40)  # costs its maker nothing
    started = time.process_time()
    taken = take_unwatched(path)
    assert (taken.code, taken.names) == ("BOMB", ["a.jpg"])
    assert time.process_time() - started < 5
