"""Any file becomes the picture a person would see, or one reason code."""

import os
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from dataops_assets.imaging.decode import ORIENTATION_TAG, decode, decode_within, encode, shrink

REPO = Path(__file__).parents[2]
SHARED = Path(os.environ.get("DATAOPS_SHARED", REPO.parent / "shared")) / "data"
HOSTILE = SHARED / "images_hostile"


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo(width: int = 96, height: int = 64, seed: int = 0) -> np.ndarray:
    """Smooth blobs, like a photo to a JPEG encoder."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def pixel(data: bytes) -> list[int]:
    pixels = decode(data).pixels
    assert pixels is not None
    return pixels[0, 0].tolist()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_out_as_they_went_in(kind: str) -> None:
    decoded = decode(file_of(Image.fromarray(photo()), kind))
    assert decoded.reason is None
    assert np.array_equal(decoded.pixels, photo())


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_come_out_much_the_same(kind: str) -> None:
    pixels = decode(file_of(Image.fromarray(photo()), kind)).pixels
    assert pixels is not None
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - photo()).mean() < 12


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, [255, 255, 255]),
        ("L", 77, [77, 77, 77]),
        ("LA", (0, 0), [255, 255, 255]),
        ("RGBA", (255, 0, 0, 255), [255, 0, 0]),
        ("RGBA", (0, 0, 0, 0), [255, 255, 255]),
        ("RGBA", (0, 0, 0, 128), [127, 127, 127]),
        ("I;16", 65535, [255, 255, 255]),
        ("I;16", 32768, [128, 128, 128]),
        ("I;16", 257, [1, 1, 1]),
    ],
)
def test_png_modes(mode: str, value: object, expected: list[int]) -> None:
    assert pixel(file_of(Image.new(mode, (4, 4), value), "PNG")) == expected


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("CMYK", (0, 0, 0, 0), [255, 255, 255]),
        ("CMYK", (0, 255, 255, 0), [255, 0, 0]),
        ("F", 0.5, [128, 128, 128]),
        ("I;16", 51400, [200, 200, 200]),
        ("I;16B", 51400, [200, 200, 200]),
    ],
)
def test_tiff_modes(mode: str, value: object, expected: list[int]) -> None:
    assert pixel(file_of(Image.new(mode, (4, 4), value), "TIFF")) == expected


def test_cmyk_jpeg_keeps_its_colour() -> None:
    red, green, blue = pixel(file_of(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert red > 240 and green < 15 and blue < 15


def test_palette_with_a_transparent_colour_lies_on_white() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 200, 0, 0])
    assert pixel(file_of(image, "PNG")) == [200, 0, 0]
    assert pixel(file_of(image, "PNG", transparency=1)) == [255, 255, 255]


def test_a_bmp_whose_alpha_is_all_zero_is_opaque() -> None:
    header = struct.pack("<IiiHHIIiiII", 124, 2, 2, 1, 32, 3, 16, 0, 0, 0, 0)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(64)
    body = bytes([30, 20, 10, 0]) * 4
    offset = 14 + 124
    data = b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + header + masks + body
    assert pixel(data) == [10, 20, 30]


def test_an_embedded_profile_is_converted_to_srgb() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = photo()
    assert np.array_equal(decode(file_of(Image.fromarray(plain), "PNG", icc_profile=profile)).pixels, plain)
    assert decode(file_of(Image.fromarray(plain), "PNG", icc_profile=b"no profile")).reason is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_once(kind: str, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), "white")
    upright.paste("red", (0, 0, 24, 16))  # upper left
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turn[orientation]) if orientation > 1 else upright
    options: dict[str, object] = {}
    if kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[ORIENTATION_TAG] = orientation
        options["tiffinfo"] = tags
    else:
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = orientation
        options["exif"] = exif
    pixels = decode(file_of(stored, kind, **options)).pixels
    assert pixels is not None
    assert pixels.shape == (32, 48, 3)
    assert pixels[8, 12, 1] < 40 and pixels[24, 36, 1] > 215


@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_the_eight_pictures_of_an_orientation_set_come_out_equal(name: str) -> None:
    if not HOSTILE.is_dir():
        pytest.skip(f"no test data at {HOSTILE}")
    pictures = [decode((HOSTILE / f"orient__{name}_{number}.jpg").read_bytes()).pixels for number in range(1, 9)]
    first = pictures[0].astype(int)
    for picture in pictures[1:]:
        far = np.abs(picture - first).max(axis=2) > 64
        assert far.mean() < 0.01  # each has its own number written on it


def test_reason_codes() -> None:
    png = file_of(Image.fromarray(photo()), "PNG")
    assert decode(b"").reason == "ZERO_BYTE"
    assert decode(b"<svg/>").reason == "TYPE_MISMATCH"
    assert decode(file_of(Image.fromarray(photo()), "PPM")).reason == "TYPE_MISMATCH"
    assert decode(png[: len(png) // 2]).reason == "CORRUPT"
    assert decode(png, max_pixels=96 * 64 - 1).reason == "TOO_LARGE"
    assert decode(png, max_pixels=96 * 64).reason is None


def test_a_bomb_is_too_large_before_it_is_decoded() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(bomb).reason == "TOO_LARGE"


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_more_than_one_frame_is_said(kind: str) -> None:
    frames = [Image.fromarray(photo(seed=seed)) for seed in range(3)]
    assert decode(file_of(frames[0], kind, save_all=True, append_images=frames[1:])).reason == "MULTI_FRAME"


def test_a_phones_jpeg_with_a_preview_behind_it_is_one_picture() -> None:
    pictures = [Image.fromarray(photo(seed=seed)) for seed in range(2)]
    assert decode(file_of(pictures[0], "MPO", save_all=True, append_images=pictures[1:])).reason is None


def test_truncated_and_damaged_jpegs_are_corrupt() -> None:
    data = file_of(Image.fromarray(photo(400, 300)), "JPEG", quality=90)
    cuts = range(len(data) // 10, len(data) - 2, len(data) // 10)
    assert {decode(data[:cut]).reason for cut in cuts} == {"CORRUPT"}
    middle = len(data) // 2
    assert decode(data[:middle] + bytes(64) + data[middle + 64 :]).reason == "CORRUPT"


def test_a_png_with_a_wrong_checksum_is_corrupt() -> None:
    data = bytearray(file_of(Image.fromarray(photo()), "PNG"))
    data[data.index(b"IEND") - 8] ^= 1  # the last byte but three of IDAT's checksum
    assert decode(bytes(data)).reason == "CORRUPT"


def test_hostile_files_never_raise() -> None:
    if not HOSTILE.is_dir():
        pytest.skip(f"no test data at {HOSTILE}")
    codes = {None, "CORRUPT", "TOO_LARGE", "MULTI_FRAME", "TYPE_MISMATCH", "ZERO_BYTE"}
    for path in sorted(HOSTILE.iterdir()):
        decoded = decode(path.read_bytes())
        assert decoded.reason in codes
        assert (decoded.pixels is None) == (decoded.reason is not None), path.name


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bytes_never_raise(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]))
    file = bytearray(file_of(Image.fromarray(photo(32, 24)), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    decoded = decode(bytes(file))
    assert (decoded.pixels is None) == (decoded.reason is not None)


def test_cleaned_file_is_small_upright_and_without_metadata() -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    exif[0x010F] = "maker"
    data = file_of(Image.fromarray(photo(400, 300)), "JPEG", exif=exif, comment=b"secret")
    cleaned = decode_within(data, max_side_px=200)
    assert cleaned.pixels is not None and cleaned.sides_px == (300, 400)
    encoded = encode(cleaned.pixels)
    with Image.open(BytesIO(encoded)) as image:
        assert image.size == (150, 200)
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    again = decode_within(data, max_side_px=200).pixels
    assert again is not None and encode(again) == encoded


@pytest.mark.parametrize("size", [(1999, 1501), (1601, 1200), (3203, 1), (801, 4807), (500, 400)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_is_decoded_smaller_looks_as_if_it_had_been_made_smaller(size: tuple[int, int], kind: str) -> None:
    data = file_of(Image.fromarray(photo(*size)), kind)
    small, full = decode_within(data, 400), decode(data)
    assert small.pixels is not None and full.pixels is not None and small.sides_px == full.sides_px == size
    wanted = shrink(full.pixels, 400)
    assert small.pixels.shape == wanted.shape
    assert np.abs(small.pixels.astype(int) - wanted).mean() < 3


def test_encoding_keeps_thin_coloured_lines() -> None:
    pixels = np.full((64, 64, 3), 255, dtype=np.uint8)
    pixels[:, ::4] = (255, 0, 0)
    again = decode(encode(pixels)).pixels
    assert again is not None
    assert np.abs(again.astype(int) - pixels).max() < 40


@pytest.mark.parametrize(("width", "height", "scale"), [(255, 200, 1), (400, 533, 2), (1024, 700, 4), (1600, 1200, 4), (2048, 64, 8)])
def test_a_jpeg_is_decoded_as_small_as_will_do(width: int, height: int, scale: int) -> None:
    small = decode(encode(photo(width, height)), enough_px=256)
    assert small.pixels is not None
    assert small.pixels.shape[:2] == (-(-height // scale), -(-width // scale))
    assert (small.sides_px, small.block_px) == ((width, height), 8 // scale)


def test_a_turned_jpeg_is_upright_at_any_scale() -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    data = file_of(Image.fromarray(photo(640, 320)), "JPEG", exif=exif)
    small, full = decode(data, enough_px=256), decode(data)
    assert small.sides_px == full.sides_px == (320, 640)
    assert small.pixels is not None
    assert small.pixels.shape == (320, 160, 3)


@pytest.mark.parametrize("seed", range(20))
def test_damage_is_found_when_a_jpeg_is_decoded_small(seed: int) -> None:
    data = bytearray(encode(photo(800, 600, seed)))
    start = len(data) // 3 + seed * 50
    data[start : start + 400] = bytes(400)
    assert decode(bytes(data), enough_px=256).reason == decode(bytes(data)).reason == "CORRUPT"


def test_a_cut_jpeg_is_corrupt_at_any_scale() -> None:
    data = encode(photo(800, 600))
    assert [decode(data[: len(data) // 2], enough_px=size).reason for size in (None, 256)] == ["CORRUPT"] * 2


def test_the_quantisation_table_is_read() -> None:
    fine, coarse = (decode(file_of(Image.fromarray(photo()), "JPEG", quality=quality)).mean_step for quality in (90, 10))
    assert fine is not None and coarse is not None
    assert fine == pytest.approx(11.6, abs=0.5)
    assert coarse > 150
    assert decode(file_of(Image.fromarray(photo()), "PNG")).mean_step is None


class TestOddHeaders:
    """Headers that cameras get wrong don't spoil a picture, nor do they let damage pass."""

    def whole(self, mode: str = "RGB", **options: object) -> bytes:
        noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
        buffer = BytesIO()
        picture = Image.fromarray(np.kron(noise, np.ones((4, 4, 1), dtype=np.uint8))).convert(mode)
        picture.save(buffer, "JPEG", quality=90, **options)
        return buffer.getvalue()

    def odd(self, data: bytes, how: str) -> bytes:
        spoiled = bytearray(data)
        if how == "scan":
            start = data.index(b"\xff\xda")
            spoiled[start + 1 + int.from_bytes(data[start + 2 : start + 4], "big")] = 7
        elif how == "JFIF":
            spoiled[data.index(b"JFIF\0") + 5] = 3
        else:
            start, segment = data.index(b"JFIF\0") - 4, b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07"
            spoiled[start : start + 18] = segment
        return bytes(spoiled)

    @pytest.mark.parametrize("how", ["scan", "JFIF", "Adobe"])
    def test_a_whole_picture_is_whole(self, how: str) -> None:
        data = self.whole()
        found = decode(self.odd(data, how))
        assert found.reason is None
        assert np.array_equal(found.pixels, decode(data).pixels)

    @pytest.mark.parametrize("how", ["JFIF", "Adobe"])
    def test_a_progressive_one_keeps_its_scans(self, how: str) -> None:
        data = self.whole(progressive=True)
        found = decode(self.odd(data, how))
        assert found.reason is None
        assert np.array_equal(found.pixels, decode(data).pixels)

    def test_inks_stay_inks(self) -> None:
        data = self.whole("CMYK")
        spoiled = bytearray(data)
        spoiled[data.index(b"Adobe") + 11] = 7
        assert decode(bytes(spoiled)).reason is None

    @pytest.mark.parametrize(("how", "is_progressive"), [("scan", False), ("JFIF", False), ("Adobe", False), ("JFIF", True)])
    def test_a_damaged_one_is_not(self, how: str, is_progressive: bool) -> None:
        data = self.odd(self.whole(progressive=is_progressive), how)
        middle = len(data) // 2
        assert decode(data[:middle] + bytes(200) + data[middle + 200 :]).reason == "CORRUPT"
