"""Tar archives, plain or packed by gzip, bzip2 or xz, read as a stream and strictly.

Formats: POSIX.1-1988 ustar and POSIX.1-2001 pax headers, GNU long names. The standard library's `tarfile` takes a damaged header
and a cut on a block's boundary for the end of the archive, reads extended headers of any size into memory, and resolves sparse
files; here each of these is refused. Where readers differ about a header's meaning, the archive is refused too. A tar ends with two
blocks of zeros and only zeros after them, a packed file with its last stream: anything else there is a POLYGLOT.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from dataops_assets.intake.bounds import FREE_BYTES, HEADER_BYTES, Budget, Member
from dataops_assets.intake.inside import CHUNK_BYTES

BLOCK = 512
ZEROS = bytes(BLOCK)
EXTENDED_BYTES = 64 << 10  # one extended header; the longest path a system takes is 4 KiB
GLOBAL_HEADERS = 16  # in a row
STREAMS = 100_000  # concatenated ones in a file, each of which costs a decompressor; pbzip2 makes one per 900 kB
XZ_MEMORY_BYTES = 80 << 20  # `xz -9` needs 65 MiB to unpack
INPUT_BYTES = 256 << 10
END_BYTES = 64 << 20  # zeros after the end: they fill up a record, of 10 KiB as a rule and a few MiB on tapes; a sparse file has them free
TAIL_BYTES = (1 << 16) + 22  # the longest end record of a zip

CODECS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES),
}
OTHER_FORMATS = (
    b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"LZIP", b"\x5d\x00\x00", b"\x1f\x9d", b"\x1f\xa0",
    b"!<arch>\n", b"070701", b"070702", b"070707", b"\xc7\x71", b"\x71\xc7", b"MSCF", b"xar!",
)  # fmt: skip
FOREIGN_KEYS = ("GNU.sparse", "GNU.volume", "SCHILY.realsize", "SCHILY.filetype", "SUN.holesdata")
RECORD = re.compile(rb"([1-9][0-9]{0,5}) ([^=]+)=")
CHARSETS = ("BINARY", "ISO-IR 10646 2000 UTF-8")


def members(file: IO[bytes], budget: Budget) -> Iterator[Member]:
    """The files of a tar, in its own order.

    Raises:
        Refused: at the first thing that is wrong; members before it have been yielded by then.
    """
    file.seek(0)
    magic = file.read(BLOCK)
    _refuse_other_formats(file, magic, budget)
    codec = next((codec for start, codec in CODECS.items() if magic.startswith(start)), None)
    file.seek(0)
    stream = _Stream(_plain(file) if codec is None else _unpacked(file, codec, budget), budget)
    first = stream.peek()
    if codec is not None and first.startswith((*CODECS, *OTHER_FORMATS, b"PK\x03\x04")):
        raise budget.refused("UNSUPPORTED_ARCHIVE", "holds another packed file, not a tar")
    if codec is None and not is_header(first) and first != ZEROS and b"PK\x05\x06" in _tail(file, budget):
        raise budget.refused("POLYGLOT", "a zip with something else before it")
    while (entry := _next(stream, budget)) is not None:
        name, size, is_folder = entry
        budget.enter()
        if not is_folder:
            if codec is None and stream.passed + size > (budget.packed or 0):
                raise budget.refused("ARCHIVE_CORRUPT", f"{name[:80]!r} is longer than the file")
            budget.weigh(budget.total + size)
            budget.rest = tuple
            budget.files += 1
            yield budget.member(name, stream.pieces(size), size)
        budget.rest = tuple
        stream.finish()
    stream.only_zeros()


def is_header(block: bytes) -> bool:
    """Whether 512 bytes are a tar header, by its checksum."""
    return len(block) == BLOCK and _octal(block[148:156]) == sum(block) - sum(block[148:156]) + 8 * 0x20


def _refuse_other_formats(file: IO[bytes], magic: bytes, budget: Budget) -> None:
    if magic.startswith(OTHER_FORMATS):
        raise budget.refused("UNSUPPORTED_ARCHIVE", "zip, tar, tar.gz, tar.bz2 and tar.xz are taken")
    if magic.startswith((b"PK\x07\x08", b"PK00")):
        raise budget.refused("UNSUPPORTED_ARCHIVE", "a part of a zip in several parts")
    tail = _tail(file, budget)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            raise budget.refused("POLYGLOT", "a zip with something else before it")
        at = tail.rfind(b"PK\x05\x06", 0, at)


def _tail(file: IO[bytes], budget: Budget) -> bytes:
    at = file.tell()
    file.seek(max(0, (budget.packed or 0) - TAIL_BYTES))
    tail = file.read(TAIL_BYTES)
    file.seek(at)
    return tail


def _plain(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _unpacked(file: IO[bytes], codec: Callable[[], Any], budget: Budget) -> Iterator[bytes]:
    """What a packed file unpacks to, at most `CHUNK_BYTES` at a time; several streams one after the other are one."""
    data = magic = file.read(INPUT_BYTES)
    for _ in range(STREAMS):
        unpacker = codec()
        while not unpacker.eof:
            try:
                out = unpacker.decompress(data, CHUNK_BYTES)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                code = "BOMB" if "emory" in str(error) else "ARCHIVE_CORRUPT"
                raise budget.refused(code, f"can't be unpacked: {error}") from error
            data = getattr(unpacker, "unconsumed_tail", b"")
            if out:
                yield out
            elif not unpacker.eof:
                more = file.read(INPUT_BYTES)
                if not more:
                    raise budget.refused("ARCHIVE_CORRUPT", "ends in the middle")
                data += more
        data = unpacker.unused_data
        if len(data) < 6:
            data += file.read(INPUT_BYTES)
        if not data:
            return
        if data[:2] != magic[:2]:
            raise budget.refused("POLYGLOT", "something else follows the packed stream")
    raise budget.refused("BOMB", f"more than {STREAMS} packed streams")


@dataclass
class _Stream:
    """An unpacked archive, of which all bytes that pass are weighed."""

    chunks: Iterator[bytes]
    budget: Budget
    buffer: bytes = b""
    at: int = 0
    passed: int = 0
    headers: int = 0
    left: int = 0  # of the current member
    padding: int = 0  # after it

    def peek(self) -> bytes:
        self._fill(BLOCK)
        return self.buffer[self.at : self.at + BLOCK]

    def read(self, size: int) -> bytes:
        """So many bytes, at most 64 KiB; fewer only at the end."""
        if len(self.buffer) - self.at < size:
            self._fill(size)
        data = self.buffer[self.at : self.at + size]
        self._pass(len(data))
        return data

    def exactly(self, size: int) -> bytes:
        data = self.read(size)
        if len(data) < size:
            raise self.budget.refused("ARCHIVE_CORRUPT", "ends in the middle")
        return data

    def header(self) -> bytes:
        self.headers += 1
        return self.exactly(BLOCK)

    def pieces(self, size: int) -> Iterator[bytes]:
        """The data of the member whose header was read last."""
        self.left, self.padding = size, -size % BLOCK
        return self._pieces()

    def finish(self) -> None:
        """Pass over what nobody has read of the current member."""
        for _ in self._pieces():
            pass
        self.exactly(self.padding)
        self.padding = 0

    def only_zeros(self) -> None:
        """Read to the end, so that a checksum there counts too."""
        end = self.passed + END_BYTES
        while rest := self.read(EXTENDED_BYTES):
            if self.passed > end:
                raise self.budget.refused("BOMB", f"more than {END_BYTES} bytes of zeros after the end of the tar")
            if rest.count(0) < len(rest):
                raise self.budget.refused("POLYGLOT", "something else follows the end of the tar")
        if self.passed % BLOCK:
            raise self.budget.refused("ARCHIVE_CORRUPT", "ends in the middle of a block")

    def _pieces(self) -> Iterator[bytes]:
        while self.left > 0:
            if self.at == len(self.buffer):
                self._fill(1)
            piece = self.buffer[self.at : self.at + self.left]
            if not piece:
                raise self.budget.refused("ARCHIVE_CORRUPT", "ends in the middle of a member")
            self.left -= len(piece)
            self._pass(len(piece))
            yield piece

    def _fill(self, size: int) -> None:
        held = [self.buffer[self.at :]]
        missing = size - len(held[0])
        while missing > 0 and (chunk := next(self.chunks, b"")):
            held.append(chunk)
            missing -= len(chunk)
        self.buffer, self.at = b"".join(held), 0

    def _pass(self, size: int) -> None:
        self.at += size
        self.passed += size
        real = self.passed - HEADER_BYTES * self.headers
        if real > FREE_BYTES:
            self.budget.weigh(real, slack=FREE_BYTES)


def _next(stream: _Stream, budget: Budget) -> tuple[str, int, bool] | None:
    """Name, size and whether it is a folder, of the next member; None at the two blocks of zeros that end a tar."""
    long_name: str | None = None
    pax: dict[str, bytes] | None = None
    seen: set[bytes] = set()
    for _ in range(GLOBAL_HEADERS):
        block = stream.header()
        if block == ZEROS:
            if seen or stream.header() != ZEROS:
                raise budget.refused("ARCHIVE_CORRUPT", "one block of zeros where a tar ends with two, or a header without its member")
            return None
        if not is_header(block):
            raise budget.refused("ARCHIVE_CORRUPT", "a header's checksum is wrong")
        kind, size = block[156:157], _size(block[124:136], budget)
        if kind not in (b"L", b"K", b"x", b"g"):
            return _entry(block, kind, size, long_name, pax or {}, budget)
        if size > EXTENDED_BYTES:
            raise budget.refused("BOMB", f"an extended header of {size} bytes; at most {EXTENDED_BYTES} are taken")
        if kind in seen or (kind == b"g" and seen):
            raise budget.refused("ARCHIVE_CORRUPT", "a member with two extended headers of a kind")
        data = stream.exactly(size)
        stream.exactly(-size % BLOCK)
        if kind == b"L":
            long_name = _text(data.rstrip(b"\0"))
        elif kind == b"x":
            pax = _pax(data, budget)
        elif kind == b"g" and any(key.startswith(("path", "linkpath", "size", *FOREIGN_KEYS)) for key in _pax(data, budget)):
            raise budget.refused("UNSUPPORTED_ARCHIVE", "a global header that names or sizes every member")
        if kind != b"g":
            seen.add(kind)
    raise budget.refused("BOMB", f"more than {GLOBAL_HEADERS} extended headers in a row")


def _entry(block: bytes, kind: bytes, size: int, long_name: str | None, pax: dict[str, bytes], budget: Budget) -> tuple[str, int, bool]:
    """Judge a member by its final name, size and kind."""
    name = _text(pax["path"]) if "path" in pax else long_name if long_name is not None else _header_name(block)
    budget.rest = lambda: (name,)
    if long_name is not None and "path" in pax:
        raise budget.refused("ARCHIVE_CORRUPT", f"{name[:80]!r} has two long names")
    if not _is_known_format(block):
        raise budget.refused("UNSUPPORTED_ARCHIVE", f"{name[:80]!r} is of neither the POSIX nor the GNU format")
    if "size" in pax:
        if not re.fullmatch(rb"[0-9]{1,20}", pax["size"]):
            raise budget.refused("ARCHIVE_CORRUPT", f"{name[:80]!r} has a size that is no number")
        size = int(pax["size"])
    is_folder = kind == b"5" or (kind in b"0\0" and name.endswith("/"))
    bare = budget.safe(name, is_folder)
    if kind in b"12":
        raise budget.refused("LINK_MEMBER", repr(name[:80]))
    if kind not in (b"0", b"\0", b"7", b"5") or any(key.startswith(FOREIGN_KEYS) for key in pax):
        raise budget.refused("SPECIAL_MEMBER", f"{name[:80]!r} is of type {kind!r}")
    if is_folder and size:
        raise budget.refused("ARCHIVE_CORRUPT", f"the folder {name[:80]!r} with {size} bytes")
    return bare, size, is_folder


def _header_name(block: bytes) -> str:
    """A header's own name. The formats differ in what bytes 345 to 500 mean: a part of the name in POSIX only."""
    prefix = block[345:500].rstrip(b"\0") if block[257:263] == b"ustar\0" else b""
    name = block[:100].rstrip(b"\0")
    return _text(prefix + b"/" + name if prefix else name)


def _is_known_format(block: bytes) -> bool:
    """Whether bytes 345 to 500 can be read in one way only: POSIX, but not star's; or GNU or Unix V7 with nothing there."""
    is_posix = block[257:263] == b"ustar\0" and block[508:] != b"tar\0"
    return is_posix or block[156:157] == b"S" or (block[257:265] in (b"ustar  \0", bytes(8)) and not any(block[345:500]))


def _pax(data: bytes, budget: Budget) -> dict[str, bytes]:
    """The records `<length> <key>=<value>\\n` of an extended header.

    Raises:
        Refused: ARCHIVE_CORRUPT when they aren't records or a key comes twice, UNSUPPORTED_ARCHIVE for other charsets.
    """
    records: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        match = RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise budget.refused("ARCHIVE_CORRUPT", "an extended header that isn't one")
        key = _text(match[2])
        if key in records:
            raise budget.refused("ARCHIVE_CORRUPT", f"an extended header that says {key[:40]!r} twice")
        records[key] = data[match.end() : end - 1]
        at = end
    if _text(records.get("hdrcharset", b"BINARY")) not in CHARSETS:
        raise budget.refused("UNSUPPORTED_ARCHIVE", "an extended header in a charset of its own")
    return records


def _size(field: bytes, budget: Budget) -> int:
    """A size in octal digits, or in GNU's base 256."""
    if field[0] & 0x80:
        size = -1 if field[0] & 0x40 else int.from_bytes(bytes([field[0] & 0x3F]) + field[1:])
    else:
        size = _octal(field)
    if size < 0:
        raise budget.refused("ARCHIVE_CORRUPT", "a header with a size that is none")
    return size


def _octal(field: bytes) -> int:
    """A number in octal digits, -1 when there is none."""
    digits = field.lstrip(b" ").rstrip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else -1


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
