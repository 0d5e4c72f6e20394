"""Zip archives, read strictly: the directory, every local header and the data must tile the file and agree with each other.

Format: PKWARE APPNOTE 6.3.10. The standard library's `zipfile` finds a zip inside anything, believes the directory where local
headers say otherwise, and lets members share bytes (D. Fifield, "A better zip bomb", WOOT 2019); here each of these is refused
before a byte is unpacked. Members are stored or deflated; other methods have no bound on what one read unpacks to.
"""

from __future__ import annotations

import re
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from dataops_assets.intake import tars
from dataops_assets.intake.bounds import Budget, Member, Refused
from dataops_assets.intake.inside import CHUNK_BYTES
from dataops_assets.spec import IntakeLimits

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
INPUT_BYTES = 256 << 10
DIRECTORY_BYTES = 512  # for a member on average, and 1 MiB beyond: names may be 64 KiB long and are held in memory
SMALL_DIRECTORY = 256 << 10  # of some 3,000 members: it and their local headers are read in 50 ms
STORED, DEFLATED, AES = 0, 8, 99
LOCKED_FLAGS = 0x1 | 0x40 | 0x2000  # encrypted, strongly, and with a masked directory
DESCRIPTOR_FLAG, PATCH_FLAG, UTF8_FLAG = 0x8, 0x20, 0x800
ZIP64, UNICODE_PATH = 0x0001, 0x7075
NO_KIND = 0o170000  # all bits set, as old Maven archivers write for folders
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF

END = struct.Struct("<4s4H2LH")
LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
CENTRAL = struct.Struct("<4s6H3L5H2L")
SIZES, SIZES_AT = struct.Struct("<L3H"), 24  # of the same: a member's size, and how long its name, extra and comment are
LOCAL = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One member as the directory describes it; sizes in bytes; `path` is the name unless there is a better one in Unicode."""

    raw: bytes
    name: str
    path: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    at: int

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")


def members(file: IO[bytes], budget: Budget) -> Iterator[Member]:
    """The files of a zip, in the order of its directory.

    Raises:
        Refused: before the first member for all but damaged data.
    """
    file.seek(0)
    if tars.is_header(file.read(tars.BLOCK)):
        raise budget.refused("POLYGLOT", "a zip and a tar in one")
    start, end, number = _directory(file, budget)
    entries: list[_Entry] = []
    done = 0
    budget.rest = lambda: (entry.path for entry in entries[done:] if not entry.is_folder)
    if _read_entries(file, start, number, entries, budget) != end:
        raise budget.refused("ARCHIVE_CORRUPT", "a directory longer or shorter than its members")
    for entry in entries:
        _judge(entry, budget)
    budget.listed = sum(1 for entry in entries if not entry.is_folder)
    budget.weigh(sum(entry.size for entry in entries))
    data_at = _data_positions(file, entries, start, budget)
    for done, entry in enumerate(entries, start=1):  # noqa: B007  (`rest` looks at it)
        if not entry.is_folder:
            budget.files += 1
            yield budget.member(budget.safe(entry.path, False), _unpacked(file, entry, data_at[entry.at], budget), entry.size)


def whole_bytes(file: IO[bytes], size: int, limits: IntakeLimits) -> int:
    """Bytes of the directory of a zip of `size` bytes, when it and every local header agree and tile the file; else 0.

    So it is neither half-copied nor half-overwritten by another. Not said of large directories, which take long to read, nor of
    zips that were packed as streams, whose local headers tell nothing of the data behind them.
    """
    budget = Budget(limits, packed=size)
    entries: list[_Entry] = []
    try:
        start, end, number = _directory(file, budget)
        if end - start > SMALL_DIRECTORY or _read_entries(file, start, number, entries, budget) != end:
            return 0
        _data_positions(file, entries, start, budget)
    except Refused:
        return 0
    return end - start if not any(entry.flags & DESCRIPTOR_FLAG for entry in entries) else 0


def unpacked_bytes(file: IO[bytes], size: int, limits: IntakeLimits) -> int:
    """Bytes that the members of a zip of `size` bytes unpack to, as its directory says; `size` where that can't be read.

    Nothing but sizes is looked at: a look at landing asks this of zips with two hundred thousand members.
    """
    budget, total = Budget(limits, packed=size), 0
    try:
        start, _, number = _directory(file, budget)
        file.seek(start)
        for _ in range(number):
            head = file.read(CENTRAL.size)
            if len(head) < CENTRAL.size or head[:4] != b"PK\x01\x02":
                return size
            unpacked, name_bytes, extra_bytes, comment_bytes = SIZES.unpack_from(head, SIZES_AT)
            rest = file.read(name_bytes + extra_bytes + comment_bytes)
            if unpacked == FULL32:
                extra = _extra(rest[name_bytes : name_bytes + extra_bytes], budget)
                (unpacked,) = _zip64(extra, [(unpacked, FULL32)], budget)
            total += unpacked
    except Refused:
        return size
    return total


def _directory(file: IO[bytes], budget: Budget) -> tuple[int, int, int]:
    """Where the directory starts and ends, and of how many members it tells: from the one end record, which must end the file."""
    size = budget.packed or 0
    tail_at = max(0, size - tars.TAIL_BYTES)
    file.seek(tail_at)
    tail = file.read()
    found = [match.start() for match in re.finditer(rb"PK\x05\x06", tail) if match.start() + END.size <= len(tail)]
    exact = [at for at in found if at + END.size + END.unpack_from(tail, at)[-1] == len(tail)]
    if not exact:
        ends = [(tail_at + at, END.unpack_from(tail, at)) for at in found]
        if any(size - at > END.size + end[-1] and end[5] + end[6] == at for at, end in ends):
            raise budget.refused("POLYGLOT", "something else follows the end of the zip")
        raise budget.refused("ARCHIVE_CORRUPT", "a zip without its end")
    if found[-1] > exact[0]:
        raise budget.refused("POLYGLOT", "a zip with two ends")
    end_at = tail_at + exact[0]
    _, *words, length, start, _ = END.unpack_from(tail, exact[0])
    claims = [*words, length, start]
    file.seek(max(0, end_at - LOCATOR.size))
    locator = file.read(LOCATOR.size)
    if locator.startswith(b"PK\x06\x07") and end_at >= LOCATOR.size:
        end_at, claims = _directory64(file, end_at - LOCATOR.size, LOCATOR.unpack(locator), claims, budget)
    disk, directory_disk, here, number, length, start = claims
    if disk or directory_disk or here != number:
        raise budget.refused("UNSUPPORTED_ARCHIVE", "a part of a zip in several parts")
    if number > budget.limits.members:
        raise budget.refused("TOO_MANY_MEMBERS", f"more than {budget.limits.members}")
    if length > DIRECTORY_BYTES * budget.limits.members + (1 << 20):
        raise budget.refused("BOMB", f"a directory of {length} bytes for {number} members")
    if start + length != end_at:
        is_shifted = start + length < end_at and b"PK\x01\x02" in (_signature(file, start), _signature(file, end_at - length))
        if is_shifted or (not number and not length):
            raise budget.refused("POLYGLOT", "a zip with something else before it or inside it")
        raise budget.refused("ARCHIVE_CORRUPT", "the directory isn't where the end says")
    if _signature(file, start) == b"PK\x06\x08":
        raise budget.refused("ENCRYPTED", "the directory is encrypted")
    return start, end_at, number


def _directory64(
    file: IO[bytes], locator_at: int, locator: tuple[bytes, int, int, int], claims: list[int], budget: Budget
) -> tuple[int, list[int]]:
    """The same from the zip64 end record, which must not contradict the old one."""
    _, disk, at, disks = locator
    if disk or disks > 1:
        raise budget.refused("UNSUPPORTED_ARCHIVE", "a part of a zip in several parts")
    file.seek(min(at, locator_at))
    record = file.read(END64.size)
    if len(record) < END64.size or record[:4] != b"PK\x06\x06":
        raise budget.refused("ARCHIVE_CORRUPT", "no zip64 end where the locator says")
    _, length, _, needed, *claims64 = END64.unpack(record)
    if at + 12 + length != locator_at:
        raise budget.refused("ARCHIVE_CORRUPT", "a zip64 end of the wrong length")
    if length != END64.size - 12:
        code = "ENCRYPTED" if needed >= 62 else "UNSUPPORTED_ARCHIVE"
        raise budget.refused(code, "a zip64 end of version 2")
    fulls = (FULL16, FULL16, FULL16, FULL16, FULL32, FULL32)
    if any(old not in (full, new) for old, new, full in zip(claims, claims64, fulls, strict=True)):
        raise budget.refused("ARCHIVE_CORRUPT", "the two ends contradict each other")
    return at, claims64


def _signature(file: IO[bytes], at: int) -> bytes:
    file.seek(max(0, at))
    return file.read(4)


def _read_entries(file: IO[bytes], start: int, number: int, entries: list[_Entry], budget: Budget) -> int:
    """Append the directory's entries; returns where the last one ends."""
    file.seek(start)
    at = start
    for _ in range(number):
        head = file.read(CENTRAL.size)
        if len(head) < CENTRAL.size or head[:4] != b"PK\x01\x02":
            raise budget.refused("ARCHIVE_CORRUPT", "a damaged directory")
        _, _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes, comment_bytes, disk, _, attributes, local_at = (
            CENTRAL.unpack(head)
        )
        rest = file.read(name_bytes + extra_bytes + comment_bytes)
        at += len(head) + name_bytes + extra_bytes + comment_bytes
        raw = rest[:name_bytes]
        extra = _extra(rest[name_bytes : name_bytes + extra_bytes], budget)
        size, packed, local_at, disk = _zip64(extra, [(size, FULL32), (packed, FULL32), (local_at, FULL32), (disk, FULL16)], budget)
        if disk:
            raise budget.refused("UNSUPPORTED_ARCHIVE", "a part of a zip in several parts")
        name = _name(raw, flags)
        path = _unicode_path(extra, raw) or name
        entries.append(_Entry(raw, name, path, flags, method, crc, packed, size, attributes >> 16, local_at))
    return at


def _name(raw: bytes, flags: int) -> str:
    """A name in UTF-8, also where the flag doesn't say so but it can be read so: macOS never sets it. Else in the PC's old set."""
    if flags & UTF8_FLAG:
        return raw.decode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _judge(entry: _Entry, budget: Budget) -> None:
    """Refuse what isn't a plain file or folder with a safe name, stored or deflated."""
    shown = repr(entry.path[:80])
    kind = stat.S_IFMT(entry.mode)
    for name in {entry.name, entry.path}:
        budget.safe(name, entry.is_folder)
    if kind == stat.S_IFLNK:
        raise budget.refused("LINK_MEMBER", shown)
    plain = (0, stat.S_IFDIR, stat.S_IFREG, NO_KIND) if entry.is_folder else (0, stat.S_IFREG)
    if kind not in plain:
        raise budget.refused("SPECIAL_MEMBER", shown)
    if entry.flags & LOCKED_FLAGS or entry.method == AES:
        raise budget.refused("ENCRYPTED", shown)
    if entry.method not in (STORED, DEFLATED) or entry.flags & PATCH_FLAG:
        raise budget.refused("UNSUPPORTED_ARCHIVE", f"{shown} is packed by method {entry.method}; stored and deflated are taken")
    if entry.method == STORED and entry.packed != entry.size:
        raise budget.refused("ARCHIVE_CORRUPT", f"{shown} is stored in {entry.packed} bytes but {entry.size} long")
    if entry.is_folder and entry.size:
        raise budget.refused("ARCHIVE_CORRUPT", f"the folder {shown} with {entry.size} bytes")


def _data_positions(file: IO[bytes], entries: list[_Entry], start: int, budget: Budget) -> dict[int, int]:
    """Where each member's data starts, by where its local header does.

    Raises:
        Refused: BOMB when members share bytes, POLYGLOT for bytes that are no member's, ARCHIVE_CORRUPT when a local header
            says otherwise than the directory.
    """
    ordered = sorted(entries, key=lambda entry: entry.at)
    nexts = [*(entry.at for entry in ordered), start][1:]
    for entry, following in zip(ordered, nexts, strict=True):
        if entry.at + LOCAL.size + len(entry.raw) + entry.packed > following:
            code, what = ("ARCHIVE_CORRUPT", "the directory") if following == start else ("BOMB", "another member")
            raise budget.refused(code, f"{entry.path[:80]!r} shares bytes with {what}")
    if (ordered[0].at if ordered else start) > 0:
        raise budget.refused("POLYGLOT", "a zip with something else before it")
    found = {}
    for entry, following in zip(ordered, nexts, strict=True):
        found[entry.at] = _local(file, entry, budget)
        end = found[entry.at] + entry.packed
        if end > following:
            raise budget.refused("BOMB", f"{entry.path[:80]!r} shares bytes with what follows it")
        if entry.flags & DESCRIPTOR_FLAG:
            end += _descriptor(file, entry, end, following, budget)
        if end != following:
            raise budget.refused("POLYGLOT", f"{following - end} bytes after {entry.path[:80]!r} that are no member's")
    return found


def _local(file: IO[bytes], entry: _Entry, budget: Budget) -> int:
    """Where a member's data starts, when its local header agrees with the directory."""
    file.seek(entry.at)
    head = file.read(LOCAL.size)
    if head[:4] != b"PK\x03\x04" or len(head) < LOCAL.size:
        raise budget.refused("ARCHIVE_CORRUPT", f"no member where {entry.path[:80]!r} should be")
    _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = LOCAL.unpack(head)
    rest = file.read(name_bytes + extra_bytes)
    extra = _extra(rest[name_bytes:], budget) if extra_bytes else {}
    size, packed = _zip64(extra, [(size, FULL32), (packed, FULL32)], budget)
    said, known = (crc, packed, size), (entry.crc, entry.packed, entry.size)
    is_later = bool(flags & DESCRIPTOR_FLAG)
    agrees = all(one == other or (is_later and one == 0) for one, other in zip(said, known, strict=True))
    path = _unicode_path(extra, entry.raw) or entry.path
    if not agrees or (flags, method, rest[:name_bytes], path) != (entry.flags, entry.method, entry.raw, entry.path):
        raise budget.refused("ARCHIVE_CORRUPT", f"{entry.path[:80]!r} is described in two ways")
    return entry.at + LOCAL.size + len(rest)


def _descriptor(file: IO[bytes], entry: _Entry, at: int, following: int, budget: Budget) -> int:
    """Bytes of the record after a member that was packed as a stream: with or without signature, of 4 or 8 bytes a size."""
    file.seek(at)
    data = file.read(min(24, following - at))
    known = [
        sign + struct.pack(form, entry.crc, entry.packed & full, entry.size & full)
        for sign in (b"PK\x07\x08", b"")
        for form, full in (("<L2Q", (1 << 64) - 1), ("<3L", FULL32))
    ]
    if data in known:
        return len(data)
    for record in known:
        if data.startswith(record):
            return len(record)
    raise budget.refused("ARCHIVE_CORRUPT", f"{entry.path[:80]!r} ends in another way than the directory says")


def _unpacked(file: IO[bytes], entry: _Entry, at: int, budget: Budget) -> Iterator[bytes]:
    """A member's bytes, which must be as many as declared, with the checksum declared, from all of the packed ones."""
    size = crc = 0
    for piece in _inflated(file, entry, at, budget) if entry.method == DEFLATED else _read(file, at, entry.packed, CHUNK_BYTES):
        size += len(piece)
        crc = zlib.crc32(piece, crc)
        if size > entry.size:
            raise budget.refused("BOMB", f"{entry.path[:80]!r} is longer than it says")
        yield piece
    if (size, crc) != (entry.size, entry.crc):
        raise budget.refused("ARCHIVE_CORRUPT", f"{entry.path[:80]!r} has another size or checksum than it says")


def _inflated(file: IO[bytes], entry: _Entry, at: int, budget: Budget) -> Iterator[bytes]:
    packed = _read(file, at, entry.packed, INPUT_BYTES)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    data = b""
    while not unpacker.eof:
        try:
            out = unpacker.decompress(data, CHUNK_BYTES)
        except zlib.error as error:
            raise budget.refused("ARCHIVE_CORRUPT", f"{entry.path[:80]!r} can't be unpacked: {error}") from error
        data = unpacker.unconsumed_tail
        if out:
            yield out
        elif not unpacker.eof:
            more = next(packed, b"")
            if not more:
                raise budget.refused("ARCHIVE_CORRUPT", f"{entry.path[:80]!r} ends in the middle")
            data += more
    if unpacker.unused_data or next(packed, b""):
        raise budget.refused("ARCHIVE_CORRUPT", f"{entry.path[:80]!r} has bytes after its end")


def _read(file: IO[bytes], at: int, size: int, most: int) -> Iterator[bytes]:
    while size > 0:
        file.seek(at)
        piece = file.read(min(size, most))
        if not piece:
            return
        at, size = at + len(piece), size - len(piece)
        yield piece


def _extra(data: bytes, budget: Budget) -> dict[int, bytes]:
    """Extra fields by their id. Up to three zeros may fill up to a boundary."""
    fields: dict[int, bytes] = {}
    at = 0
    while len(data) - at >= 4:
        key, length = struct.unpack_from("<2H", data, at)
        if (key in fields and key in (ZIP64, UNICODE_PATH)) or at + 4 + length > len(data):
            raise budget.refused("ARCHIVE_CORRUPT", "a damaged extra field")
        fields[key] = data[at + 4 : at + 4 + length]
        at += 4 + length
    if any(data[at:]):
        raise budget.refused("ARCHIVE_CORRUPT", "a damaged extra field")
    return fields


def _zip64(extra: dict[int, bytes], values: list[tuple[int, int]], budget: Budget) -> list[int]:
    """Values of a header, each of which is in the zip64 field when its own place is full; that field holds only those, in order."""
    data, at, found = extra.get(ZIP64, b""), 0, []
    for value, full in values:
        if value == full:
            length = 4 if full == FULL16 else 8
            if at + length > len(data):
                raise budget.refused("ARCHIVE_CORRUPT", "a member without its zip64 sizes")
            value = int.from_bytes(data[at : at + length], "little")
            at += length
        found.append(value)
    return found


def _unicode_path(extra: dict[int, bytes], raw: bytes) -> str | None:
    """Info-ZIP's name in UTF-8, which counts when it was made for this very name."""
    data = extra.get(UNICODE_PATH, b"")
    if len(data) < 5 or data[0] != 1 or int.from_bytes(data[1:5], "little") != zlib.crc32(raw):
        return None
    return data[5:].decode("utf-8", "surrogateescape")
