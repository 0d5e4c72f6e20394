"""Metadata: GPS, owners, authors and people named in EXIF, XMP and IPTC are found in every format; placeholders are none."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from dataops_assets.imaging.decode import decode_within, encode
from dataops_assets.imaging.personal_data.metadata import MORE, metadata

ARTIST, COPYRIGHT, OWNER, BODY_SERIAL, GPS, EXIF = 0x013B, 0x8298, 0xA430, 0xA431, 0x8825, 0x8769
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")


def file_of(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or Image.new("RGB", (8, 8), "red")).save(buffer, kind, **options)
    return buffer.getvalue()


def told_by(kind: str, told: Image.Exif) -> list[str]:
    """Findings of a file of a kind. Pillow leaves out a TIFF's inner directories; an EXIF block alone is a TIFF without pixels."""
    return metadata(told.tobytes().removeprefix(b"Exif\0\0") if kind == "TIFF" else file_of(kind, exif=told))


def exif(artist: str = "", rights: str = "", owner: str = "", serial: str = "", gps: dict[int, object] | None = None) -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = "Camera Maker"
    if artist:
        made[ARTIST] = artist
    if rights:
        made[COPYRIGHT] = rights
    inner = made.get_ifd(EXIF)
    if owner:
        inner[OWNER] = owner
    if serial:
        inner[BODY_SERIAL] = serial
    if gps is not None:
        made.get_ifd(GPS).update(gps)
    return made


BERLIN = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
NOWHERE = {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}


@pytest.mark.parametrize("kind", FORMATS)
class TestExif:
    def test_everything_personal_is_named(self, kind: str) -> None:
        told = exif("Anna Nowak", "(c) Anna Nowak", "Anna Nowak", "4711", BERLIN)
        assert told_by(kind, told) == ["artist", "copyright", "gps", "owner_name", "serial_number"]

    def test_one_by_one(self, kind: str) -> None:
        for name, told in {
            "gps": exif(gps=BERLIN),
            "owner_name": exif(owner="Jan"),
            "artist": exif(artist="Jan"),
            "copyright": exif(rights="Jan"),
            "serial_number": exif(serial="A-1"),
        }.items():
            assert told_by(kind, told) == [name]

    def test_a_camera_without_a_position_or_a_name_says_nothing(self, kind: str) -> None:
        assert told_by(kind, exif(artist="  ", owner="unknown", serial="000000", gps=NOWHERE)) == []
        assert told_by(kind, exif(gps={0: b"\x02\x03\x00\x00", 29: "2026:11:25"})) == []  # version and day alone
        assert told_by(kind, exif()) == []
        assert metadata(file_of(kind)) == []


def test_a_name_in_windows_fields_counts() -> None:
    told = Image.Exif()
    told[0x9C9D] = "Anna Nowak\0".encode("utf-16-le")  # XPAuthor
    assert metadata(file_of("JPEG", exif=told)) == ["artist"]


def test_big_endian_is_read_too() -> None:
    value = b"Anna Nowak\0"
    block = b"MM\0*" + struct.pack(">IHHHII", 8, 1, ARTIST, 2, len(value), 26) + struct.pack(">I", 0) + value
    jpeg = file_of("JPEG")
    segment = b"Exif\0\0" + block
    assert metadata(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]) == ["artist"]


# ---- XMP

XMP_HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'


def xmp(inside: str) -> bytes:
    return f"{XMP_HEAD}<rdf:Description {inside}</rdf:Description></rdf:RDF></x:xmpmeta>".encode()


def jpeg_with_xmp(packet: bytes) -> bytes:
    return file_of("JPEG", xmp=packet)


def png_with_xmp(packet: bytes) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=True)
    return file_of("PNG", pnginfo=info)


def webp_with_xmp(packet: bytes) -> bytes:
    return file_of("WEBP", xmp=packet)


def tiff_with_xmp(packet: bytes) -> bytes:
    return file_of("TIFF", tiffinfo={700: packet})


@pytest.mark.parametrize("wrap", [jpeg_with_xmp, png_with_xmp, webp_with_xmp, tiff_with_xmp])
@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ('exif:GPSLatitude="52,31.2N" exif:GPSLongitude="13,24.3E">', ["gps"]),
        ("><exif:GPSLatitude>52,31.2N</exif:GPSLatitude>", ["gps"]),
        ('exif:GPSLatitude="0,0.0N">', []),
        ("><dc:creator><rdf:Seq><rdf:li>Anna Nowak</rdf:li></rdf:Seq></dc:creator>", ["artist"]),
        ("><dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>Anna</rdf:li></rdf:Alt></dc:rights>", ["copyright"]),
        ('aux:OwnerName="Jan" aux:SerialNumber="123">', ["owner_name", "serial_number"]),
        ("><Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Anna</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>", ["person_shown"]),
        ('><mwg-rs:Regions><rdf:li mwg-rs:Name="Anna" mwg-rs:Type="Face"/></mwg-rs:Regions>', ["person_shown"]),
        ('><Iptc4xmpCore:CreatorContactInfo Iptc4xmpCore:CiEmailWork="anna@example.org"/>', ["contact"]),
        ('xmp:CreatorTool="GIMP 3.0" xmp:Rating="5">', []),
        ("><dc:creator><rdf:Seq><rdf:li></rdf:li></rdf:Seq></dc:creator>", []),
        ("><dc:creator/>", []),
    ],
)
def test_xmp(wrap: Callable[[bytes], bytes], inside: str, expected: list[str]) -> None:
    assert metadata(wrap(xmp(inside))) == expected


def test_a_packet_in_utf_16_or_cut_short_is_read_as_far_as_it_goes() -> None:
    packet = xmp("><dc:creator><rdf:Seq><rdf:li>Anna</rdf:li></rdf:Seq></dc:creator>").decode()
    assert metadata(file_of("JPEG", xmp=packet.encode("utf-16-le"))) == ["artist"]
    assert metadata(file_of("JPEG", xmp=packet[: packet.index("</rdf:Seq>")].encode())) == ["artist"]


# ---- IPTC


def iptc(*sets: tuple[int, bytes]) -> bytes:
    return b"\x1c\x02\x00\x00\x02\x00\x04" + b"".join(
        b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(value)) + value for number, value in sets
    )


def photoshop(data: bytes, name: bytes = b"") -> bytes:
    named = bytes([len(name)]) + name
    named += b"\0" * (len(named) % 2)
    other = b"8BIM\x04\x25\0\0" + struct.pack(">I", 2) + b"ab"
    return b"Photoshop 3.0\0" + other + b"8BIM\x04\x04" + named + struct.pack(">I", len(data)) + data


def jpeg_with_iptc(data: bytes) -> bytes:
    jpeg = file_of("JPEG")
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(data) + 2) + data + jpeg[2:]


@pytest.mark.parametrize("name", [b"", b"a", b"IPTC data"])
def test_iptc(name: bytes) -> None:
    assert metadata(jpeg_with_iptc(photoshop(iptc((80, b"Anna Nowak")), name))) == ["artist"]
    assert metadata(jpeg_with_iptc(photoshop(iptc((5, b"Red dress"), (116, b"Anna"), (118, b"+49 30 1")), name))) == [
        "contact",
        "copyright",
    ]
    assert metadata(jpeg_with_iptc(photoshop(iptc((5, b"Red dress"), (80, b"")), name))) == []


@pytest.mark.parametrize(
    "size", [struct.pack(">HI", 0x8004, 40_000), struct.pack(">HH", 0x8002, 40_000), struct.pack(">HQ", 0x8008, 40_000)]
)
def test_iptc_behind_a_data_set_with_an_extended_size(size: bytes) -> None:
    long = b"\x1c\x02\xca" + size + b"\x1c" * 40_000  # a preview, say
    assert metadata(jpeg_with_iptc(photoshop(long + iptc((80, b"Anna Nowak"))))) == ["artist"]
    assert metadata(jpeg_with_iptc(photoshop(long))) == []
    assert metadata(jpeg_with_iptc(photoshop(b"\x1c\x02\x50" + size + b"Anna" * 10_000))) == ["artist"]


def test_iptc_in_a_tiff() -> None:
    assert metadata(file_of("TIFF", tiffinfo={0x83BB: iptc((80, b"Anna Nowak"))})) == ["artist"]


# ---- PNG's own texts


def test_texts_of_a_png() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Anna Nowak")
    info.add_text("Comment", "Anna Nowak")  # anybody's words; not a field for names
    assert metadata(file_of("PNG", pnginfo=info)) == ["artist"]
    compressed = PngImagePlugin.PngInfo()
    compressed.add_text("Copyright", "Anna", zip=True)
    assert metadata(file_of("PNG", pnginfo=compressed)) == ["copyright"]
    empty = PngImagePlugin.PngInfo()
    empty.add_text("Author", " ")
    assert metadata(file_of("PNG", pnginfo=empty)) == []


def test_exif_as_imagemagick_writes_it_into_a_png() -> None:
    block = exif(artist="Anna", gps=BERLIN).tobytes()
    digits = block.hex()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(block):8d}\n{digits}\n", zip=True)
    assert metadata(file_of("PNG", pnginfo=info)) == ["artist", "gps"]


# ---- what may come


def test_a_text_that_unpacks_to_gigabytes_is_cut() -> None:
    bomb = zlib.compress(b"\0" * 50_000_000)
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + bomb
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    png = file_of("PNG")
    started = time.perf_counter()
    assert metadata(png[:33] + chunk + png[33:]) == [MORE]
    assert time.perf_counter() - started < 1


def test_directories_that_point_at_each_other_end() -> None:
    loop = b"II*\0" + struct.pack("<IHHHIII", 8, 1, EXIF, 4, 1, 8, 8)
    jpeg = file_of("JPEG")
    segment = b"Exif\0\0" + loop
    assert metadata(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]) == []


def segments(marker: int, *bodies: bytes) -> bytes:
    """A JPEG with segments of a kind."""
    jpeg = file_of("JPEG")
    return jpeg[:2] + b"".join(b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body for body in bodies) + jpeg[2:]


def directory(*entries: tuple[int, bytes]) -> bytes:
    """A TIFF of one directory, each entry of bytes."""
    at = 8 + 2 + 12 * len(entries) + 4
    head, values = b"", b""
    for tag, value in entries:
        head += struct.pack("<HHII", tag, 7, len(value), at + len(values))
        values += value + bytes(4)  # never inline
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + head + bytes(4) + values


def loops(count: int) -> bytes:
    """So many empty directories, each with the place of the next one."""
    places = [8 + 6 * number for number in range(count)]
    return struct.pack("<I", 8) + b"".join(struct.pack("<HI", 0, following) for following in [*places[1:], 0])


MAGIC_TRAILER = b"\1" + bytes(range(255, -1, -1)) + b"\0"
PACKET, NAMED, SPACE = xmp('xmp:Rating="5">'), xmp('aux:OwnerName="Jan">'), b" " * 5_000_000
NO_NAME = "<dc:creator></dc:creator>"
INNER = struct.pack("<9I", *range(1, 10))


def more(count: int) -> dict[str, bytes]:
    """Files with so many of what is bounded, the last one with a name: what they are called and the file."""
    plain = [PACKET] * (count - 1)
    png = PngImagePlugin.PngInfo()
    for packet in [*plain, NAMED]:
        png.add_itxt("XML:com.adobe.xmp", packet.decode())
    names = [photoshop(iptc((5, b"x")))] * (count - 1) + [photoshop(iptc((80, b"Jan")))]
    return {
        "segments of a JPEG": segments(0xE1, *(b"http://ns.adobe.com/xap/1.0/\0" + packet for packet in [*plain, NAMED])),
        "texts of a PNG": file_of("PNG", pnginfo=png),
        "packets of a TIFF": directory(*((700, packet) for packet in [*plain, NAMED])),
        "blocks in a block": segments(0xED, b"".join(names)),
    }


@pytest.mark.parametrize("what", more(1))
def test_a_search_that_stops_before_the_last_block_says_so(what: str) -> None:
    assert metadata(more(17)[what]) == [MORE]
    assert metadata(more(16)[what]) in (["owner_name"], ["artist"])


@pytest.mark.parametrize(
    ("all_of_it", "too_much"),
    [
        (directory((0x014A, INNER[:32])), directory((0x014A, INNER))),
        (directory(*[(0x010F, b"Maker")] * 1024), directory(*[(0x010F, b"Maker")] * 1025)),
        (b"II*\0" + loops(32), b"II*\0" + loops(33)),
        (tiff_with_xmp(xmp(f">{NO_NAME * 16}")), tiff_with_xmp(xmp(f">{NO_NAME * 17}"))),
        (tiff_with_xmp(PACKET + SPACE[:4_000_000]), tiff_with_xmp(PACKET + SPACE)),
        (png_with_xmp(PACKET + SPACE[:4_000_000]), png_with_xmp(PACKET + SPACE)),
        (webp_with_xmp(PACKET + SPACE[:4_000_000]), webp_with_xmp(PACKET + SPACE)),
    ],
    ids=["inner directories", "entries", "directories", "mentions", "bytes in a TIFF", "bytes in a PNG", "bytes in a WEBP"],
)
def test_so_does_one_that_does_not_look_at_all_of_a_block(all_of_it: bytes, too_much: bytes) -> None:
    assert metadata(all_of_it) == [] and metadata(too_much) == [MORE]


def test_a_large_picture_is_no_large_search() -> None:
    noise = Image.frombytes("RGB", (1500, 1200), random.Random(1).randbytes(1500 * 1200 * 3))
    gif, xmp_in_gif = file_of("GIF", noise.convert("P")), b"\x21\xff\x0bXMP DataXMP" + PACKET + MAGIC_TRAILER
    screen = 13 + 3 * 256  # the palette's end
    for data in (file_of("TIFF", noise), file_of("PNG", noise), gif[:screen] + xmp_in_gif + SPACE + gif[screen:]):
        assert len(data) > 5_000_000 and metadata(data) == []


WHOLE = [
    file_of(kind, exif=exif("Anna", "Anna", "Anna", "1", BERLIN)) for kind in FORMATS
] + [jpeg_with_xmp(xmp('aux:OwnerName="Jan">')), jpeg_with_iptc(photoshop(iptc((80, b"Anna"))))]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(WHOLE), st.integers(0, 2000), st.binary(min_size=1, max_size=8), st.integers(0, 3000))
def test_broken_bytes_never_raise(whole: bytes, at: int, put: bytes, end: int) -> None:
    at %= len(whole)
    metadata(whole[:at] + put + whole[at + len(put) :])
    metadata(whole[: end % len(whole)])


def test_the_cleaned_picture_has_none_of_it() -> None:
    for data in WHOLE:
        pixels = decode_within(data, 1600).pixels
        assert pixels is not None
        made = encode(pixels)
        assert metadata(made) == [] and b"Anna" not in made and b"Jan" not in made
