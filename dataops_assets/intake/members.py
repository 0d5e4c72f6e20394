"""What a delivery holds, as a stream of members: a folder's files, or an archive's, never extracted by name.

An archive's names are data; its bytes go to the blob store. What makes a whole delivery unacceptable raises `Refused`; what is
wrong with one member is said in its `fault`. Sizes are counted as they are read: declared ones are not believed.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dataops_assets.intake.delivery_manifest import is_safe_path
from dataops_assets.intake.landing import Delivery, walk
from dataops_assets.spec import IntakeLimits

CHUNK_BYTES = 1 << 20
NAME_BYTES = 1024
FREE_BYTES = 1 << 20  # the ratio of real to packed bytes counts from here
ARCHIVE_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
CODECS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


class Refused(Exception):
    """The whole delivery can't be taken; `code` is the reason."""

    def __init__(self, code: str, message: str = "", paths: tuple[str, ...] = ()) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code, self.paths = code, paths


class TooLarge(Exception):
    """One member is beyond the limit of a member."""


@dataclass
class Member:
    """One file of a delivery: its name as valid text, and its bytes, to be read once and before the next member."""

    path: str
    warnings: tuple[str, ...]
    chunks: Iterable[bytes]
    fault: str = ""  # a reason code that makes reading it pointless
    stamp: str = ""

    def skip(self, size_bytes: int) -> None: ...


def members(delivery: Delivery, limits: IntakeLimits) -> Iterator[Member]:
    """The files of a delivery, in order of path for folders and in their own order for archives.

    Raises:
        Refused: when the delivery as a whole can't be taken.
    """
    counter = _Counter(limits)
    source = _archive(delivery.path, counter) if delivery.is_archive else _folder(delivery.path, counter)
    for number, member in enumerate(source, start=1):
        if number > limits.members:
            raise Refused("TOO_MANY_MEMBERS", f"more than {limits.members}")
        yield member


@dataclass
class _Counter:
    """Real bytes against the limits of a delivery, and against its packed size."""

    limits: IntakeLimits
    packed: int | None = None
    total: int = 0

    def chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        size = 0
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            self.total += len(chunk)
            if self.total > self.limits.total_bytes:
                raise Refused("BOMB", f"more than {self.limits.total_bytes} bytes")
            if self.packed is not None and self.total > FREE_BYTES and self.total > self.limits.ratio * max(1, self.packed):
                raise Refused("BOMB", f"unpacks to more than {self.limits.ratio} times its size")
            if size > self.limits.member_bytes:
                raise TooLarge
            yield chunk


def _folder(root: Path, counter: _Counter) -> Iterator[Member]:
    for entry in walk(root):
        name = os.fspath(Path(entry.path).relative_to(root))
        path, warnings = readable(name)
        facts = entry.stat(follow_symlinks=False)
        mode = facts.st_mode
        fault = "LINK_MEMBER" if stat.S_ISLNK(mode) else "" if stat.S_ISREG(mode) else "SPECIAL_MEMBER"
        if fault:
            raise Refused(fault, path)
        yield Member(path, warnings, _file(Path(entry.path), counter), _name_fault(name), f"{facts.st_size}:{facts.st_mtime_ns}")


def _file(path: Path, counter: _Counter) -> Iterator[bytes]:
    # O_NOFOLLOW: the name may have become a link since it was listed
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        yield from counter.chunks(file)


def _archive(path: Path, counter: _Counter) -> Iterator[Member]:
    counter.packed = path.stat().st_size
    with open(path, "rb") as file:
        magic = file.read(6)
    if counter.packed == 0:
        raise Refused("ARCHIVE_CORRUPT", "an empty file")
    try:
        if magic[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            yield from _zip(path, counter)
        elif magic.startswith((b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")):
            raise Refused("UNSUPPORTED_ARCHIVE", "zip, tar, tar.gz, tar.bz2 and tar.xz are taken")
        elif zipfile.is_zipfile(path):
            raise Refused("POLYGLOT", "a zip with something else before it")
        else:
            yield from _tar(path, magic, counter)
    except BROKEN as error:
        raise Refused("ARCHIVE_CORRUPT", f"{type(error).__name__}: {error}"[:200]) from error


def _zip(path: Path, counter: _Counter) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if len(infos) > counter.limits.members:
            raise Refused("TOO_MANY_MEMBERS", f"more than {counter.limits.members}")
        starts: set[int] = set()
        for info in infos:  # judged as a whole before a byte is read
            mode = info.external_attr >> 16
            _refuse_name(info.orig_filename)
            if stat.S_ISLNK(mode):
                raise Refused("LINK_MEMBER", readable(info.orig_filename)[0])
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise Refused("SPECIAL_MEMBER", readable(info.orig_filename)[0])
            if info.flag_bits & 0x1:
                raise Refused("ENCRYPTED", readable(info.orig_filename)[0])
            if info.header_offset in starts:
                raise Refused("BOMB", "members share bytes")
            starts.add(info.header_offset)
        for info in infos:
            if not info.is_dir():
                yield _member(info.orig_filename, _zipped(archive, info, counter))


def _zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, counter: _Counter) -> Iterator[bytes]:
    with archive.open(info) as file:
        yield from counter.chunks(file)


def _tar(path: Path, magic: bytes, counter: _Counter) -> Iterator[Member]:
    opener = next((opener for start, opener in CODECS.items() if magic.startswith(start)), open)
    with opener(path, "rb") as raw, tarfile.open(fileobj=raw, mode="r|", errors="surrogateescape") as archive:
        for info in archive:
            _refuse_name(info.name)
            if info.issym() or info.islnk():
                raise Refused("LINK_MEMBER", readable(info.name)[0])
            if info.isdir():
                continue
            if not info.isreg() or info.sparse is not None:
                raise Refused("SPECIAL_MEMBER", readable(info.name)[0])
            file = archive.extractfile(info)
            if file is not None:
                yield _member(info.name.removeprefix("./"), counter.chunks(file))
        if opener is not open:
            while raw.read(CHUNK_BYTES):  # to the end: a checksum that fails there counts too
                pass


def _member(name: str, chunks: Iterable[bytes]) -> Member:
    path, warnings = readable(name)
    return Member(path, warnings, chunks, _name_fault(name))


def _refuse_name(name: str) -> None:
    if not is_safe_path(name.rstrip("/").removeprefix("./") or "x"):
        raise Refused("UNSAFE_PATH", readable(name)[0])


def _name_fault(name: str) -> str:
    return "NAME_TOO_LONG" if len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES else ""


def readable(name: str) -> tuple[str, tuple[str, ...]]:
    """A vendor's file name as valid text that keeps names apart, and what is odd about it as warning codes."""
    warnings = []
    raw = name.encode("utf-8", "surrogateescape")
    text = raw.decode("utf-8", "backslashreplace")
    if any(unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs") for char in text) or text != name:
        warnings.append("NAME_CONTROL_CHARS")
        text = "".join(f"\\u{ord(char):04x}" if unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs") else char for char in text)
    last = text.rsplit("/", 1)[-1]
    if "<" in text or ">" in text:
        warnings.append("NAME_MARKUP")
    if last.startswith(("=", "+", "-", "@")):
        warnings.append("NAME_FORMULA")
    if len(raw) > 255:
        warnings.append("NAME_LONG")
    return text[:4096], tuple(warnings)
