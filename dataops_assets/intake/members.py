"""The files in a delivery, as a stream: names are data, links and devices are refused, real bytes are counted.

Nothing is ever unpacked by name: `tarfile`'s data filter is escapable on Python 3.11 and `zipfile` rewrites `..` silently.
What an archive is, its first bytes say, not its suffix.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeVar

from dataops_assets.intake import names
from dataops_assets.intake.landing import CHUNK_BYTES, Delivery, open_regular, walk
from dataops_assets.intake.reasons import Refused
from dataops_assets.spec import IntakeLimits

RATIO_FREE_BYTES = 1 << 20  # small files may pack as well as they like
HEADER_BYTES = 1 << 16  # longest extended tar header: tarfile reads those into memory whole
XZ_MEMORY_BYTES = 1 << 28
_UNSUPPORTED = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"LZIP", b"\x1f\x9d")
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Member:
    """One file of a delivery.

    Attributes:
        path: Normalised, relative, as the vendor wrote it; any characters.
        size: Bytes, as declared.
        refusal: Why its bytes are not to be read; a reason code, or empty.
        chunks: Opens its bytes. To be used up before the next member; may raise `Refused`.
    """

    path: str
    size: int
    refusal: str
    chunks: Callable[[], Iterator[bytes]]


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass
class _Budget:
    """Real bytes that came out so far, against the limits."""

    limits: IntakeLimits
    packed_bytes: int
    real_bytes: int = 0
    members: int = 0

    def count(self, size: int) -> None:
        self.real_bytes += size
        if self.real_bytes > self.limits.total_bytes:
            raise Refused("BOMB", f"more than {self.limits.total_bytes} bytes in all")
        if self.real_bytes > max(RATIO_FREE_BYTES, self.limits.ratio * self.packed_bytes):
            raise Refused("BOMB", f"packed more than {self.limits.ratio} to 1")

    def open_member(self) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise Refused("TOO_MANY_MEMBERS", f"more than {self.limits.members}")


def members(delivery: Delivery, limits: IntakeLimits) -> Iterator[Member]:
    """Every file of a folder or archive, in a fixed order.

    Members with a `refusal` are yielded too, so that each gets its row.

    Raises:
        Refused: where the rest can't or must not be read.
    """
    if not delivery.is_archive:
        return _folder(delivery, limits)
    return _guarded(_archive(delivery, limits))


def zip_end(file: BinaryIO) -> tuple[int, int] | None:
    """(bytes of the directory, bytes before the zip) if the file ends with a zip's end record; else None."""
    size = file.seek(0, os.SEEK_END)
    length = min(size, 22 + 65535 + 76)
    file.seek(size - length)
    tail = file.read(length)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if len(tail) - at >= 22:
            entries_size, entries_offset, comment = struct.unpack("<LLH", tail[at + 12 : at + 22])
            if at + 22 + comment == len(tail):
                break
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if at < 0:
        return None
    end = size - length + at
    if at >= 76 and tail[at - 20 : at - 16] == b"PK\x06\x07" and tail[at - 76 : at - 72] == b"PK\x06\x06":
        entries_size, entries_offset = struct.unpack("<QQ", tail[at - 36 : at - 20])
        end -= 76
    before = end - entries_size - entries_offset
    return (entries_size, before) if before >= 0 else None


def _folder(delivery: Delivery, limits: IntakeLimits) -> Iterator[Member]:
    if not delivery.path.is_dir() and not delivery.path.is_symlink():
        raise Refused("INCOMPLETE", "it vanished")
    entries = walk(delivery.path)
    budget = _Budget(limits, packed_bytes=sum(entry.size for entry in entries))
    if len(entries) > limits.members:
        raise Refused("TOO_MANY_MEMBERS", f"more than {limits.members}")
    for entry in entries:
        refusal = {"link": "LINK_MEMBER", "special": "SPECIAL_MEMBER"}.get(entry.kind, "")
        if not refusal and entry.size > limits.member_bytes:
            refusal = "TOO_LARGE"

        def chunks(path: str = entry.path, size: int = entry.size) -> Iterator[bytes]:
            return _file_chunks(delivery, path, size, budget)

        yield Member(entry.path, entry.size, refusal, chunks)


def _file_chunks(delivery: Delivery, path: str, size: int, budget: _Budget) -> Iterator[bytes]:
    try:
        file = os.fdopen(open_regular(delivery.path / path), "rb")
    except OSError as error:
        raise Refused("INCOMPLETE", f"{names.readable(path)}: {error.strerror}") from error
    with file:
        seen = 0
        while True:
            try:
                chunk = file.read(CHUNK_BYTES)
            except OSError as error:
                raise Refused("INCOMPLETE", f"{names.readable(path)}: {error.strerror}") from error
            seen += len(chunk)
            if seen > size or (not chunk and seen < size):
                raise Refused("INCOMPLETE", f"{names.readable(path)} changed while it was read")
            if not chunk:
                return
            budget.count(len(chunk))
            yield chunk


def _archive(delivery: Delivery, limits: IntakeLimits) -> Iterator[Member]:
    with os.fdopen(open_regular(delivery.path), "rb") as file:
        head = file.read(512)
        budget = _Budget(limits, packed_bytes=file.seek(0, os.SEEK_END))
        file.seek(0)
        if head.startswith(_ZIP_MAGIC):
            yield from _zip(file, budget)
        elif head.startswith(b"\x1f\x8b"):
            yield from _tar(gzip.GzipFile(fileobj=file), budget, is_packed=True)
        elif head.startswith(b"BZh"):
            yield from _tar(bz2.BZ2File(file), budget, is_packed=True)
        elif head.startswith(b"\xfd7zXZ\x00"):
            yield from _tar(_Xz(file), budget, is_packed=True)
        elif head[257:262] == b"ustar" or (head and delivery.name.lower().endswith(".tar")):
            yield from _tar(file, budget, is_packed=False)
        elif head.startswith(_UNSUPPORTED):
            raise Refused("UNSUPPORTED_ARCHIVE")
        else:
            raise Refused("POLYGLOT" if zip_end(file) else "ARCHIVE_CORRUPT", "its first bytes are no archive's")


def _zip(file: BinaryIO, budget: _Budget) -> Iterator[Member]:
    end = zip_end(file)
    if end is None:
        file.seek(-min(budget.packed_bytes, 1 << 16), os.SEEK_END)
        raise Refused("POLYGLOT" if b"PK\x05\x06" in file.read() else "ARCHIVE_CORRUPT", "its directory is not at its end")
    limits = budget.limits
    if end[1]:
        raise Refused("POLYGLOT", f"{end[1]} bytes before the archive")
    if end[0] > max(1 << 20, limits.members * 512):  # the directory is read into memory whole
        raise Refused("TOO_MANY_MEMBERS", f"a directory of {end[0]} bytes")
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > limits.members:
            raise Refused("TOO_MANY_MEMBERS", f"more than {limits.members}")
        if sum(info.file_size for info in infos) > limits.total_bytes:
            raise Refused("BOMB", f"more than {limits.total_bytes} bytes in all")
        for info in infos:
            name = _zip_name(info)
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_folder = name.endswith("/")
            refusal = ""
            if names.is_unsafe(name.rstrip("/")):
                refusal = "UNSAFE_PATH"
            elif kind == stat.S_IFLNK:
                refusal = "LINK_MEMBER"
            elif kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (is_folder and info.file_size):
                refusal = "SPECIAL_MEMBER"
            elif info.flag_bits & 0x41:
                refusal = "ENCRYPTED"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                refusal = "UNSUPPORTED_ARCHIVE"  # zipfile unpacks bzip2 and LZMA without a bound on memory
            elif info.file_size > limits.member_bytes:
                refusal = "BOMB"
            if is_folder and not refusal:
                continue

            def chunks(info: zipfile.ZipInfo = info) -> Iterator[bytes]:
                return _guarded(_zip_chunks(archive, info, budget))

            yield Member(names.normalize(name), info.file_size, refusal, chunks)


def _zip_name(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename  # `filename` is cut at a NUL
    if not info.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")  # macOS writes UTF-8 without saying so
        except UnicodeError:
            pass
    return name.replace("\\", "/")  # as some Windows tools write folders


def _zip_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> Iterator[bytes]:
    real = 0
    with archive.open(info) as file:
        while chunk := file.read(CHUNK_BYTES):
            real += len(chunk)
            if real > max(RATIO_FREE_BYTES, budget.limits.ratio * info.compress_size):
                raise Refused("BOMB", f"{names.readable(info.orig_filename)} is packed more than {budget.limits.ratio} to 1")
            budget.count(len(chunk))
            yield chunk
    if real != info.file_size:
        raise Refused("ARCHIVE_CORRUPT", f"{names.readable(info.orig_filename)} is shorter than its header says")


def _tar(source: _Readable, budget: _Budget, *, is_packed: bool) -> Iterator[Member]:
    stream = _Forward(source, budget)
    try:
        archive = tarfile.TarFile(fileobj=stream, mode="r", encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
    except tarfile.ReadError as error:
        raise Refused("UNSUPPORTED_ARCHIVE" if is_packed else "ARCHIVE_CORRUPT", "no tar inside") from error
    while (info := archive.next()) is not None:
        archive.members.clear()  # it would keep them all
        name = info.name
        refusal = ""
        if names.is_unsafe(name):
            refusal = "UNSAFE_PATH"
        elif info.issym() or info.islnk():
            refusal = "LINK_MEMBER"
        elif info.isdir() and not info.size:
            if names.normalize(name):
                budget.open_member()
            continue
        elif info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE) or info.issparse():
            refusal = "SPECIAL_MEMBER"
        elif info.size > budget.limits.member_bytes:
            refusal = "BOMB"
        if info.size < 0:
            raise Refused("ARCHIVE_CORRUPT", "a negative size")
        budget.open_member()

        def chunks(size: int = info.size) -> Iterator[bytes]:
            return _guarded(stream.chunks(size))

        yield Member(names.normalize(name), info.size, refusal, chunks)
    if stream.last != b"\0" * tarfile.BLOCKSIZE:  # tarfile ends in silence at a damaged header, or where the file breaks off
        raise Refused("ARCHIVE_CORRUPT", "it has no end, or a damaged header")
    while rest := stream.take(CHUNK_BYTES):
        if rest.strip(b"\0"):
            raise Refused("POLYGLOT", "data after its end")


class _Forward(io.RawIOBase):
    """A decompressor as the seekable file that `tarfile` wants, forward only, every byte counted."""

    def __init__(self, source: _Readable, budget: _Budget) -> None:
        self._source = source
        self._budget = budget
        self._position = 0
        self.last = b""

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset < self._position:
            raise Refused("ARCHIVE_CORRUPT", "members overlap")
        while self._position < offset:
            if not self.take(min(CHUNK_BYTES, offset - self._position)):
                raise Refused("ARCHIVE_CORRUPT", "it breaks off")
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= HEADER_BYTES:
            raise Refused("ARCHIVE_CORRUPT", "an oversized header")
        data = b""
        while len(data) < size and (more := self.take(size - len(data))):
            data += more
        self.last = data
        return data

    def take(self, size: int) -> bytes:
        data = self._source.read(size)
        self._position += len(data)
        self._budget.count(len(data))
        return data

    def chunks(self, size: int) -> Iterator[bytes]:
        while size > 0:
            chunk = self.take(min(CHUNK_BYTES, size))
            if not chunk:
                raise Refused("ARCHIVE_CORRUPT", "it breaks off")
            size -= len(chunk)
            yield chunk


class _Xz:
    """`lzma.LZMAFile` without its weakness: a header can't make it take gigabytes of memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decoder.eof:
                rest = (self._decoder.unused_data or self._file.read(CHUNK_BYTES)).lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder = self._new()
                data = self._decoder.decompress(rest, max_length=size)
            else:
                packed = self._file.read(CHUNK_BYTES) if self._decoder.needs_input else b""
                if self._decoder.needs_input and not packed:
                    raise EOFError("the xz stream breaks off")
                data = self._decoder.decompress(packed, max_length=size)
            if data:
                return data


def _guarded(items: Iterator[_T]) -> Iterator[_T]:
    """The same items; whatever a parser stumbles over becomes a refusal, what the consumer raises does not."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except Refused:
            raise
        except FileNotFoundError as error:
            raise Refused("INCOMPLETE", "it vanished") from error
        except Exception as error:
            raise Refused("ARCHIVE_CORRUPT", f"{type(error).__name__}: {error}") from error
        yield item
