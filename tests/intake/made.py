"""Archives made byte by byte, honest ones and others, and what the intake makes of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataops_assets.intake import members
from dataops_assets.intake.landing import Delivery
from dataops_assets.spec import IntakeLimits

END_OF_TAR = bytes(1024)
END_OF_ZIP = struct.Struct("<4s4H2LH")


@dataclass
class Taken:
    """What came of a delivery: the refusal's code or '', the files with their bytes or their fault, and the names in the refusal."""

    code: str = ""
    files: list[tuple[str, bytes | str]] = field(default_factory=list)
    paths: tuple[str, ...] = ()
    message: str = ""

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.files]


Take = Callable[..., Taken]


def take(path: Path, **limits: int) -> Taken:
    """Read a delivery as the stage does."""
    taken = Taken()
    try:
        for member in members.members(Delivery("dresses", "atelier", path.name, path, not path.is_dir()), IntakeLimits(**limits)):
            taken.files.append((member.path, "unread"))
            try:
                content: bytes | str = member.fault or b"".join(member.chunks)
            except members.TooLarge:
                content = "TOO_LARGE"
            taken.files[-1] = member.path, content
    except members.Refused as error:
        taken.code, taken.paths, taken.message = error.code, error.paths, str(error)
    return taken


def header(name: bytes = b"a.jpg", size: int | bytes = 0, kind: bytes = b"0", magic: bytes = b"ustar\x0000", **fields: bytes) -> bytes:
    """A tar header with its checksum. `fields`: prefix, link, tail (the last 12 bytes)."""
    digits = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(
        name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + digits.ljust(12, b"\0") + b"00000000000\0" + b" " * 8 + kind
        + fields.get("link", b"").ljust(100, b"\0") + magic + bytes(80)
        + fields.get("prefix", b"").ljust(155, b"\0") + fields.get("tail", b"").rjust(12, b"\0")
    )  # fmt: skip
    assert len(block) == 512
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tarred(name: bytes = b"a.jpg", data: bytes = b"1", kind: bytes = b"0", **fields: Any) -> bytes:
    """A tar member: header, data and padding."""
    return header(name, fields.pop("size", len(data)), kind, **fields) + data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """One line of a pax header, which begins with its own length."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    return tarred(b"PaxHeaders/x", b"".join(record(*one) for one in records), kind)


@dataclass
class Part:
    """A zip's member; `local` and `central` overwrite fields of one of its two headers."""

    name: bytes = b"a.jpg"
    data: bytes = b"1"
    method: int = 0
    flags: int = 0
    mode: int = 0
    extra: bytes = b""
    packed: bytes | None = None
    descriptor: bytes = b""
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    def fields(self, changes: dict[str, Any]) -> dict[str, Any]:
        packed = self.bytes()
        held = {
            "flags": self.flags, "method": self.method, "crc": zlib.crc32(self.data), "packed": len(packed), "size": len(self.data),
            "name": self.name, "extra": self.extra, "mode": self.mode, "disk": 0,
        }  # fmt: skip
        return held | changes

    def bytes(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return self.data if self.method != 8 else deflated(self.data)


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def local_header(part: Part) -> bytes:
    f = part.fields(part.local)
    sizes = (f["crc"], f["packed"], f["size"], len(f["name"]), len(f["extra"]))
    return struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, f["flags"], f["method"], 0, 33, *sizes) + f["name"] + f["extra"]


def central_header(part: Part, at: int) -> bytes:
    f = part.fields(part.central)
    sizes = (f["crc"], f["packed"], f["size"], len(f["name"]), len(f["extra"]))
    where = (0, f["disk"], 0, f["mode"] << 16, f.get("at", at))
    head = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 0x314, 20, f["flags"], f["method"], 0, 33, *sizes, *where)
    return head + f["name"] + f["extra"]


def zipped(*parts: Part, before: bytes = b"", between: bytes = b"", comment: bytes = b"", is_zip64: bool = False, **end: int) -> bytes:
    """A zip. `before` lies ahead of it and isn't counted in its offsets; `between` lies before the directory; `end` overwrites
    fields of its end: disk, start_disk, here, number, length, start, and for zip64 those of its end too (number64, ...)."""
    body, directory = bytearray(), bytearray()
    for part in parts:
        directory += central_header(part, len(body))
        body += local_header(part) + part.bytes() + part.descriptor
    body += between
    names = {"disk": 0, "start_disk": 0, "here": len(parts), "number": len(parts), "length": len(directory), "start": len(body)}
    ends = b""
    if is_zip64:
        values = [end.get(f"{name}64", value) for name, value in names.items()]
        at = len(body) + len(directory)
        ends = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", end.get("length_of_end64", 44), 45, end.get("needed", 45), *values)
        ends += struct.pack("<4sLQL", b"PK\x06\x07", 0, end.get("end64_at", at), end.get("disks", 1))
        names |= {"length": 0xFFFFFFFF, "start": 0xFFFFFFFF}
    values = [end.get(name, value) for name, value in names.items()]
    return bytes(before + body + directory + ends + END_OF_ZIP.pack(b"PK\x05\x06", *values, len(comment)) + comment)


def extra(key: int, data: bytes) -> bytes:
    return struct.pack("<2H", key, len(data)) + data
