"""Properties of all archives: what goes in comes out, and damage never passes for content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.intake import made
from tests.intake.conftest import listing

pytestmark = pytest.mark.timeout(120)
PACKERS = {"tar": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
TARS = [(packing, form) for packing in PACKERS for form in ("ustar", "gnu", "pax")]
KINDS = [*TARS, ("zip", "stored"), ("zip", "deflated")]
FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
VERDICTS = {
    "ARCHIVE_CORRUPT", "POLYGLOT", "BOMB", "UNSAFE_PATH", "LINK_MEMBER", "SPECIAL_MEMBER", "ENCRYPTED", "UNSUPPORTED_ARCHIVE",
    "TOO_MANY_MEMBERS",
}  # fmt: skip

words = st.text(st.characters(blacklist_categories=("C",), blacklist_characters="/\\:"), min_size=1, max_size=12).filter(
    lambda word: word not in (".", "..")
)
names = st.lists(words, min_size=1, max_size=4).map("/".join).filter(lambda name: len(name.encode()) < 95)
contents = st.one_of(
    st.binary(max_size=700), st.builds(lambda byte, size: byte * size, st.binary(min_size=1, max_size=3), st.integers(0, 3000))
)
drops = st.lists(st.tuples(names, contents), max_size=5)
bounded = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


def archive(files: list[tuple[str, bytes]], kind: tuple[str, str]) -> bytes:
    packing, form = kind
    buffer = io.BytesIO()
    if packing == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED) as zipped:
            for name, data in files:
                with zipped.open(zipfile.ZipInfo(name), "w") as file:
                    file.write(data)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w", format=FORMS[form]) as tarred:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tarred.addfile(info, io.BytesIO(data))
    return PACKERS[packing](buffer.getvalue())


def taken_from(data: bytes, folder: Path) -> made.Taken:
    (folder / "drop").write_bytes(data)
    return made.take(folder / "drop")


@bounded
@given(files=drops, kind=st.sampled_from(KINDS))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_goes_in_comes_out(tmp_path: Path, files: list[tuple[str, bytes]], kind: tuple[str, str]) -> None:
    taken = taken_from(archive(files, kind), tmp_path)
    assert (taken.code, taken.files) == ("", files), taken.message


@bounded
@given(files=drops, kind=st.sampled_from(KINDS), where=st.floats(0, 1, exclude_max=True))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_cut_never_passes(tmp_path: Path, files: list[tuple[str, bytes]], kind: tuple[str, str], where: float) -> None:
    data = archive(files, kind)
    cut = data[: int(len(data) * where)]
    taken = taken_from(cut, tmp_path)
    read = [file for file in taken.files if file[1] != "unread"]
    assert read == files[: len(read)]
    is_cut_after_the_end = kind[0] == "tar" and len(cut) % 512 == 0 and taken.files == files
    assert taken.code == "ARCHIVE_CORRUPT" or is_cut_after_the_end, (taken.code, taken.message)


@settings(bounded, max_examples=250)
@given(
    files=drops,
    kind=st.sampled_from([kind for kind in KINDS if kind[0] != "tar"]),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3),
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_changed_bytes_never_pass_for_content(
    tmp_path: Path, files: list[tuple[str, bytes]], kind: tuple[str, str], flips: list[tuple[float, int]]
) -> None:
    data = bytearray(archive(files, kind))
    for where, mask in flips:
        data[int(len(data) * where)] ^= mask
    taken = taken_from(bytes(data), tmp_path)
    if not taken.code:
        assert [content for _, content in taken.files] == [content for _, content in files]
    assert taken.code in VERDICTS | {""}


@settings(bounded, max_examples=150)
@given(
    files=drops,
    form=st.sampled_from(["ustar", "gnu", "pax"]),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3),
)
def test_changed_headers_of_a_plain_tar_are_refused(
    tmp_path: Path, files: list[tuple[str, bytes]], form: str, flips: list[tuple[float, int]]
) -> None:
    """What lies between headers has no checksum in a plain tar: changes there may pass, those in headers don't."""
    data = bytearray(archive(files, ("tar", form)))
    for where, mask in flips:
        data[int(len(data) * where)] ^= mask
    taken = taken_from(bytes(data), tmp_path)
    assert taken.code in VERDICTS | {""}
    if not taken.code and form != "pax":  # a pax header's records lie between headers
        assert [(name, len(content)) for name, content in taken.files] == [(name, len(content)) for name, content in files]


@settings(bounded, max_examples=150)
@given(data=st.one_of(st.binary(max_size=2000), st.builds(bytes.__add__, st.sampled_from(
    [b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\x00", b"BZh9", b"\xfd7zXZ\x00", made.header(), made.tarred() + made.END_OF_TAR]
), st.binary(max_size=2000))))  # fmt: skip
def test_nonsense_is_refused(tmp_path: Path, data: bytes) -> None:
    before = listing(tmp_path)
    taken = taken_from(data, tmp_path)
    assert taken.code in VERDICTS or (data.startswith(made.header(b"a.jpg", 1)) and not data[1536:].strip(b"\0"))
    assert {path for path, _ in listing(tmp_path)} - {path for path, _ in before} <= {"drop"}


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_every_byte_changed_once(tmp_path: Path, kind: tuple[str, str]) -> None:
    """One archive of each kind, each of its bytes in turn (a plain tar's only in its headers and its end)."""
    files = [("a.jpg", b"1" * 5), ("é/b.jpg", b"23" * 300)]
    whole = archive(files, kind)
    step = 1 if len(whole) < 2000 else 29
    for at in range(0, len(whole), step):
        data = bytearray(whole)
        data[at] ^= 0x41
        taken = taken_from(bytes(data), tmp_path)
        if not taken.code and kind[0] != "tar":
            assert [content for _, content in taken.files] == [content for _, content in files], at
        assert taken.code in VERDICTS | {""}


@pytest.mark.parametrize("kind", [("tar", "ustar"), ("gz", "ustar"), ("zip", "stored"), ("zip", "deflated")], ids="-".join)
def test_small_members_stream_fast(tmp_path: Path, kind: tuple[str, str]) -> None:
    files = [(f"d/{number:06d}.jpg", b"x" * (number % 200)) for number in range(5000)]
    data = archive(files, kind)
    started = time.process_time()
    taken = taken_from(data, tmp_path)
    assert taken.files == files
    assert len(files) / (time.process_time() - started) > 2000  # measured 20,000 to 50,000; a busy machine is no failure
