"""What the metadata of a delivered file says of people: where it was taken, whose camera it was, who made or is in the picture.

Reads EXIF, XMP and IPTC of JPEG, PNG, WEBP, TIFF and GIF straight from the bytes, because a name counts even where a decoder would
give up. Answers are names of findings only; no value is kept, so a report of them can be shown. Hostile bytes are expected: everything
read is bounded, and what makes no sense is passed over. Where a bound cuts the search short, `MORE` is among the answers.

Tags: EXIF 2.32 (CIPA DC-008), XMP specification part 2, IPTC Photo Metadata Standard 2023.1 and IPTC-IIM 4.2, DNG 1.6.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import islice

MORE = "more_metadata"
MAX_BLOCK_BYTES = 2**22  # of one metadata block; some hold a picture of their own
MAX_BLOCKS = 16  # of a file, and of one kind inside another
MAX_SEGMENTS = 2**16  # a PNG of 50 MP may have twelve thousand
MAX_DIRECTORIES = 32
MAX_ENTRIES = 1024
MAX_MENTIONS = 32  # of one XMP property that are looked at
MAX_INNER = 8  # directories that one entry names
MAX_VALUE_BYTES = 2048  # of one value; what is longer counts as a text

EXIF_TAGS = {
    0x013B: "artist", 0x9C9D: "artist",  # Artist, XPAuthor
    0x8298: "copyright",
    0xA430: "owner_name",  # CameraOwnerName
    0xA431: "serial_number", 0xA435: "serial_number", 0xC62F: "serial_number", 0xFDE9: "serial_number",  # body, lens, DNG's camera
}  # fmt: skip
XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, GPS_TAG, CUT_TAG = 0x02BC, 0x83BB, 0x8649, 0x8825, -1
BLOCK_TAGS = {XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG}
DIRECTORY_TAGS = {0x8769, GPS_TAG, 0x014A}  # Exif, GPS and sub directories
GPS_POSITION = {0x0002, 0x0004, 0x0014, 0x0016}  # latitude and longitude, of the camera and of the subject
READ_TAGS = EXIF_TAGS.keys() | BLOCK_TAGS | DIRECTORY_TAGS | GPS_POSITION
VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

EXTENDED = 0x8000  # of a data set's size
IPTC_TAGS = {80: "artist", 116: "copyright", 118: "contact", 122: "artist"}  # By-line, CopyrightNotice, Contact, Writer
XMP_PROPERTIES = {
    "GPSLatitude": "gps", "GPSLongitude": "gps", "GPSDestLatitude": "gps", "GPSDestLongitude": "gps",
    "OwnerName": "owner_name", "CameraOwnerName": "owner_name",
    "creator": "artist", "Artist": "artist", "Author": "artist",
    "rights": "copyright", "Copyright": "copyright", "CopyrightOwnerName": "copyright", "Owner": "copyright",
    "SerialNumber": "serial_number", "BodySerialNumber": "serial_number", "LensSerialNumber": "serial_number",
    "CameraSerialNumber": "serial_number",
    "CreatorContactInfo": "contact", "CiEmailWork": "contact", "CiTelWork": "contact", "LicensorEmail": "contact",
    "PersonInImage": "person_shown", "PersonInImageName": "person_shown", "PersonDisplayName": "person_shown",
}  # fmt: skip
PNG_PROFILES = {
    b"XML:com.adobe.xmp": "packet", b"Raw profile type exif": "exif", b"Raw profile type APP1": "exif",
    b"Raw profile type iptc": "photoshop", b"Raw profile type xmp": "xmp",
}  # fmt: skip
PNG_KEYWORDS = {b"Author": "artist", b"Artist": "artist", b"Copyright": "copyright"}

Blocks = Iterator[tuple[str, bytes]]


def metadata(data: bytes) -> list[str]:
    """Names of what is personal in the file's metadata, sorted; never its values.

    One of `artist`, `contact`, `copyright`, `gps`, `owner_name`, `person_shown` and `serial_number`; `MORE` where there is more than is
    read of one file, so not all may be found. A maker's own notes in EXIF are not read. Never raises for what is in the file.
    """
    found: set[str] = set()
    for number, (kind, block) in enumerate(_blocks(data)):
        if number >= MAX_BLOCKS:
            found.add(MORE)
            break
        if len(block) > MAX_BLOCK_BYTES and kind != "exif":  # a TIFF is one such block, its pixels too
            found.add(MORE)
            block = block[:MAX_BLOCK_BYTES]
        if kind == "exif":
            found |= _of_tiff(block)
        elif kind == "xmp":
            found |= _of_xmp(block)
        elif kind == "photoshop":
            found |= _of_photoshop(block)
        elif kind == "iptc":
            found |= _of_iptc(block)
        else:
            found.add(kind)
    return sorted(found)


def _blocks(data: bytes) -> Blocks:
    """Metadata blocks of the file as (exif, xmp, photoshop, iptc, or the name of a finding; bytes)."""
    if data[:2] == b"\xff\xd8":
        yield from _of_jpeg(data)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _of_png(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        yield from _of_webp(data)
    elif data[:2] in (b"II", b"MM"):
        yield "exif", data
    elif data[:4] == b"GIF8":
        start = data.find(b"\x21\xff\x0bXMP DataXMP")
        if start >= 0:
            end = data.find(b"\1\xff\xfe\xfd", start)  # how a packet ends in a GIF (XMP specification part 3)
            yield "xmp", data[start : end if end >= 0 else None]


def _of_jpeg(data: bytes) -> Blocks:
    at, extended = 2, []
    for _ in range(MAX_SEGMENTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xD9, 0xDA):  # the picture begins
            break
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + size]
        at += 2 + max(2, size)
        if marker == 0xE1 and body[:4] == b"Exif":
            yield "exif", body[6:]
        elif marker == 0xE1 and body[:28] == b"http://ns.adobe.com/xap/1.0/":
            yield "xmp", body[29:]
        elif marker == 0xE1 and body[:34] == b"http://ns.adobe.com/xmp/extension/":
            extended.append(body[75:])
        elif marker == 0xED:
            yield "photoshop", body
    else:
        yield MORE, b""
    if extended:
        yield "xmp", b"".join(extended)


def _of_png(data: bytes) -> Blocks:
    at, texts = 8, 0
    for _ in range(MAX_SEGMENTS):
        if at + 8 > len(data):
            return
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size] if kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") else b""
        at += 12 + size
        if kind == b"eXIf":
            yield "exif", body
        elif (keyword := body.partition(b"\0")[0]) in PNG_PROFILES or keyword in PNG_KEYWORDS:
            texts += 1
            if texts > MAX_BLOCKS:
                break
            text = _png_text(kind, body)
            if keyword in PNG_PROFILES:
                yield from _raw_profile(PNG_PROFILES[keyword], text)
            elif text.strip(b" \0\r\n\t"):
                yield PNG_KEYWORDS[keyword], b""
    yield MORE, b""


def _png_text(kind: bytes, body: bytes) -> bytes:
    """Text of a text chunk (PNG 3rd edition, 11.3.3); of what is longer than a block, one byte more than a block."""
    rest = body.partition(b"\0")[2]
    is_compressed = kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        is_compressed, rest = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if is_compressed:
        try:
            rest = zlib.decompressobj().decompress(rest, MAX_BLOCK_BYTES + 1)
        except zlib.error:
            rest = b""
    return rest[: MAX_BLOCK_BYTES + 1]


def _raw_profile(name: str, text: bytes) -> Blocks:
    """XMP, or what ImageMagick writes into PNGs: a name, a length and the profile in hexadecimal digits."""
    if name == "packet":
        yield "xmp", text
        return
    if len(text) > MAX_BLOCK_BYTES:
        yield MORE, b""
    digits = re.sub(rb"[^0-9A-Fa-f]", b"", text.lstrip(b"\n").partition(b"\n")[2].lstrip(b" ").partition(b"\n")[2])
    profile = bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
    if name == "exif":
        yield ("exif", profile[6:]) if profile[:4] == b"Exif" else ("xmp", profile)
    else:
        yield name, profile


def _of_webp(data: bytes) -> Blocks:
    at = 12
    for _ in range(MAX_SEGMENTS):
        if at + 8 > len(data):
            return
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size] if kind in (b"EXIF", b"XMP ") else b""
        at += 8 + size + size % 2
        if kind == b"EXIF":
            yield "exif", body[6:] if body[:4] == b"Exif" else body
        elif kind == b"XMP ":
            yield "xmp", body
    yield MORE, b""


def _of_tiff(data: bytes) -> set[str]:
    """Findings in the directories of a TIFF or EXIF block, BigTIFF included."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return set()
    is_big = struct.unpack(order + "H", data[2:4])[0] == 43
    found: set[str] = set()
    waiting = [(_number(data, order, 8 if is_big else 4, 8 if is_big else 4), False)]
    seen: set[int] = set()
    blocks = 0
    while waiting:
        offset, is_gps = waiting.pop()
        if offset in seen or not 0 < offset < len(data):
            continue
        if len(seen) == MAX_DIRECTORIES:
            found.add(MORE)
            break
        seen.add(offset)
        for tag, value in _entries(data, order, offset, is_big):
            if tag is None:
                waiting.append((int.from_bytes(value, "little"), False))
            elif tag == CUT_TAG:
                found.add(MORE)
            elif is_gps:
                if tag in GPS_POSITION and _has_position(value, order):
                    found.add("gps")
            elif tag in DIRECTORY_TAGS:
                width = 8 if is_big else 4
                starts = range(0, len(value), width)
                waiting += [(_number(value, order, start, width), tag == GPS_TAG) for start in starts[:MAX_INNER]]
                found |= {MORE} if len(starts) > MAX_INNER else set()
            elif tag in EXIF_TAGS and _has_text(value):
                found.add(EXIF_TAGS[tag])
            elif tag in BLOCK_TAGS:
                if blocks == MAX_BLOCKS:
                    return found | {MORE}
                blocks += 1
                found |= {MORE} if len(value) > MAX_BLOCK_BYTES else set()
                found |= {XMP_TAG: _of_xmp, IPTC_TAG: _of_iptc, PHOTOSHOP_TAG: _of_photoshop}[tag](value)
    return found


def _entries(data: bytes, order: str, offset: int, is_big: bool) -> Iterator[tuple[int | None, bytes]]:
    """Tag and value bytes of each entry of a directory; last (None, offset of the next directory as little-endian bytes).

    Of what is too long there is one byte more than may be. `CUT_TAG`: there are more entries than are looked at.
    """
    count_bytes, entry_bytes, inline = (8, 20, 8) if is_big else (2, 12, 4)
    count = _number(data, order, offset, count_bytes)
    at = offset + count_bytes
    for number in range(count):
        if at + entry_bytes > len(data):
            return
        if number == MAX_ENTRIES:
            yield CUT_TAG, b""
            at += (count - number) * entry_bytes
            break
        tag, kind = struct.unpack_from(order + "HH", data, at)
        size = VALUE_BYTES.get(kind, 0) * _number(data, order, at + 4, inline)
        start = at + 4 + inline if size <= inline else _number(data, order, at + 4 + inline, inline)
        if tag in READ_TAGS:
            most = MAX_BLOCK_BYTES if tag in BLOCK_TAGS else MAX_VALUE_BYTES
            yield tag, data[start : start + min(size, most + 1)]
        at += entry_bytes
    yield None, _number(data, order, at, inline).to_bytes(8, "little")


def _number(data: bytes, order: str, at: int, width: int) -> int:
    """An unsigned number of `width` bytes; 0 beyond the end."""
    return int.from_bytes(data[at : at + width], "little" if order == "<" else "big") if at + width <= len(data) else 0


def _has_position(value: bytes, order: str) -> bool:
    """Whether one of the degrees, minutes and seconds isn't 0 (0 / 0 and 0 / 1 are what phones write that don't know)."""
    return any(_number(value, order, start, 4) for start in range(0, min(len(value), 24), 8))


def _has_text(value: bytes) -> bool:
    """Whether there is more than blanks, zeros and the placeholders of cameras, or so much that it isn't looked at."""
    if len(value) > MAX_VALUE_BYTES:
        return True
    text = value.replace(b"\0", b"").strip().lower()
    return bool(text.strip(b" .-_/0")) and text not in (b"unknown", b"none", b"n/a", b"not set", b"default")


def _has_digit(value: bytes) -> bool:
    """Whether a position isn't 0, 0."""
    return any(digit in value for digit in (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"))


def _of_photoshop(data: bytes) -> set[str]:
    """IPTC in Photoshop's image resources: 8BIM blocks of number 0x0404."""
    found: set[str] = set()
    at = data.find(b"8BIM\x04\x04")
    for _ in range(MAX_BLOCKS):
        if at < 0:
            return found
        name = data[at + 6] if at + 6 < len(data) else 0
        start = at + 6 + (name + 2) // 2 * 2
        size = int.from_bytes(data[start : start + 4], "big")
        found |= _of_iptc(data[start + 4 : start + 4 + size])
        at = data.find(b"8BIM\x04\x04", at + 6)
    return found | ({MORE} if at >= 0 else set())


def _of_iptc(data: bytes) -> set[str]:
    """Data sets of record 2 (IPTC-IIM 4.2, 1.6): marker, record, number, size, value."""
    found: set[str] = set()
    at = max(0, data.find(b"\x1c\x02"))
    for _ in range(MAX_SEGMENTS):
        if at + 5 > len(data) or data[at] != 0x1C:
            break
        record, number, size = data[at + 1], data[at + 2], int.from_bytes(data[at + 3 : at + 5], "big")
        start = at + 5
        if size & EXTENDED:  # what follows is the size, in so many bytes
            start += size - EXTENDED
            size = int.from_bytes(data[at + 5 : start], "big")
        if record == 2 and number in IPTC_TAGS and _has_text(data[start : start + size]):
            found.add(IPTC_TAGS[number])
        at = start + size
    else:
        found.add(MORE)
    return found


def _of_xmp(data: bytes) -> set[str]:
    """Properties with a value, as attributes or as elements, found without parsing XML: packets are often cut or broken."""
    data = data[:MAX_BLOCK_BYTES].replace(b"\0", b"")  # UTF-16 and -32 too
    found: set[str] = set()
    for name, finding in XMP_PROPERTIES.items():
        if finding not in found:
            found |= _told(data, name, finding, _has_digit if finding == "gps" else _has_text)
    if b":Regions" in data:
        found |= _told(data, "Name", "person_shown", _has_text)  # faces named by a photo organiser (Metadata Working Group, regions)
    return found


def _told(data: bytes, name: str, finding: str, tells: Callable[[bytes], bool]) -> set[str]:
    """The finding, where one of a property's mentions tells something; `MORE` where none does of those that are looked at."""
    mentions = _xmp_values(data, name.encode("ascii"))
    if any(map(tells, islice(mentions, MAX_MENTIONS))):
        return {finding}
    return {MORE} if next(mentions, None) is not None else set()


def _xmp_values(data: bytes, name: bytes) -> Iterator[bytes]:
    """What stands in an attribute or between the tags of an element of that local name, mention by mention; markup removed."""
    at = 0
    while (at := data.find(b":" + name, at)) >= 0:
        is_end = data[max(0, at - 40) : at].rpartition(b"<")[2].startswith(b"/")
        at += 1 + len(name)
        rest = b"" if is_end else data[at : at + MAX_VALUE_BYTES]
        if attribute := re.match(rb"\s{0,9}=\s{0,9}([\"'])", rest):
            yield rest[attribute.end() :].partition(attribute.group(1))[0]
        elif rest[:1] in (b">", b" ", b"\n", b"\r", b"\t") and not rest.partition(b">")[0].endswith(b"/"):
            element = rest.partition(b">")[2]
            end = re.search(rb"</[\w.-]{0,40}:" + name + rb"\s{0,9}>", element)
            yield re.sub(rb"<[^>]{0,500}>", b"", element[: end.start()] if end else element)
        else:
            yield b""
