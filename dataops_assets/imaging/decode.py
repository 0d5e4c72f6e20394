"""From a file's bytes to the picture a person would see, or to the reason code for which it can't be used.

A picture is an array of shape (height_px, width_px, 3), uint8, sRGB, upright, without metadata.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

MAX_PIXELS = 50_000_000
JPEG_QUALITY = 92
BLOCK_PX = 8
SCALES = (8, 4, 2)  # a JPEG decodes faster at one of these parts of its size; at others it is slower than in full
ORIENTATION_TAG = 0x0112
SEQUENTIAL = (0xC0, 0xC1)
FRAMES = (*SEQUENTIAL, 0xC2, 0xC9, 0xCA)  # markers of the frames that libjpeg reads

# libjpeg warnings about headers that cameras get wrong; the picture itself is whole.
HARMLESS_JPEG = ("Invalid SOS parameters", "unknown JFIF revision", "Unknown Adobe color transform")


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pixels, or the reason code and a sentence for people; never both.

    Attributes:
        pixels: The picture, or a smaller one where that was allowed.
        reason: Code for which there is none.
        detail: Why, in a sentence.
        sides_px: Width and height as delivered, upright.
        block_px: Side in `pixels` of what was a block of 8 px in the file: less where a JPEG was decoded smaller.
        mean_step: Mean of a JPEG's luma quantisation table: 58 at quality 50, 10 at 91; None for other files.
    """

    pixels: Pixels | None = None
    reason: str | None = None
    detail: str = ""
    sides_px: tuple[int, int] = (0, 0)
    block_px: int = BLOCK_PX
    mean_step: float | None = None


def sniff(data: bytes) -> str | None:
    """Format by the first bytes: JPEG, PNG, WEBP, TIFF, BMP, GIF, or None for anything else."""
    if data[:2] == b"\xff\xd8":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if data[:2] == b"BM":
        return "BMP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    return None


def decode(data: bytes, max_pixels: int = MAX_PIXELS, enough_px: int | None = None) -> Decoded:
    """One upright RGB picture from a file, whatever the bytes are.

    Colours with an embedded profile are converted to sRGB, transparency is laid on white, 16-bit and float
    channels are scaled. Never raises for what is in the file: reasons are ZERO_BYTE, TYPE_MISMATCH, TOO_LARGE,
    MULTI_FRAME and CORRUPT.

    Args:
        data: The file.
        max_pixels: More are TOO_LARGE.
        enough_px: So many of the longer side will do: a JPEG is decoded at the smallest of 1/1, 1/2, 1/4 and 1/8 that leaves them.
            Damage is found all the same, every coefficient is read. None: in full.
    """
    from PIL import Image

    if not data:
        return Decoded(reason="ZERO_BYTE", detail="the file is empty")
    kind = sniff(data)
    if kind is None:
        return Decoded(reason="TYPE_MISMATCH", detail="not JPEG, PNG, WEBP, TIFF, BMP or GIF")
    try:
        segments = _Segments.of(data) if kind == "JPEG" else None
        if segments and segments.is_bare:
            return _jpeg(data, None, max_pixels, enough_px, segments.mean_step)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken metadata is dropped anyway; size is checked below
            return _decode(data, kind, segments, max_pixels, enough_px)
    except (Image.DecompressionBombError, MemoryError) as error:
        return Decoded(reason="TOO_LARGE", detail=_sentence(error))
    except Exception as error:  # Pillow and its codecs raise at least ten types on hostile bytes
        return Decoded(reason="CORRUPT", detail=_sentence(error))


def decode_within(data: bytes, max_side_px: int, max_pixels: int = MAX_PIXELS) -> Decoded:
    """As `decode`, with the longer side at most `max_side_px`: a JPEG is decoded no larger than that takes, the rest is area averaging."""
    decoded = decode(data, max_pixels, max_side_px)
    if decoded.pixels is None:
        return decoded
    return replace(decoded, pixels=_resized(decoded.pixels, shrunk(*decoded.sides_px, max_side_px)))


def encode(pixels: Pixels) -> bytes:
    """A JPEG of quality 92 without chroma subsampling or metadata; the same pixels give the same bytes.

    JPEG rather than PNG: photos come out at about a fifth of the size, every labelling tool shows it, and at
    4:4:4 thin coloured lines survive, which 4:2:0 would wash out. Encoding takes 1 ms for 400x533.
    """
    import simplejpeg

    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")
    return data


def shrink(pixels: Pixels, max_side_px: int) -> Pixels:
    """The picture with its longer side at most `max_side_px`, by area averaging; smaller ones as they are."""
    height, width = pixels.shape[:2]
    return _resized(pixels, shrunk(width, height, max_side_px))


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    import cv2

    if size == pixels.shape[1::-1]:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shrunk(width_px: int, height_px: int, max_side_px: int) -> tuple[int, int]:
    """Width and height with the longer one at most `max_side_px`."""
    scale = min(1.0, max_side_px / max(width_px, height_px))
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))


def _decode(data: bytes, kind: str, segments: _Segments | None, max_pixels: int, enough_px: int | None) -> Decoded:
    from PIL import Image, ImageOps

    with Image.open(BytesIO(data), formats=[kind]) as image:
        width, height = image.size
        if width * height > max_pixels:
            return _too_large(width, height, max_pixels)
        if is_multi_frame(image):
            return Decoded(reason="MULTI_FRAME", detail=f"{getattr(image, 'n_frames', 2)} frames")
        if segments:
            return _jpeg(data, image, max_pixels, enough_px, segments.mean_step)
        if kind == "PNG":
            _check_png(data)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # of a TIFF, Pillow's load did it already and removed the tag
        return _whole(_to_rgb(image))


def _whole(pixels: Pixels) -> Decoded:
    height, width = pixels.shape[:2]
    return Decoded(np.ascontiguousarray(pixels), sides_px=(width, height))


def _too_large(width: int, height: int, max_pixels: int) -> Decoded:
    return Decoded(reason="TOO_LARGE", detail=f"{width} x {height} px is more than {max_pixels} px")


@dataclass(frozen=True)
class _Segments:
    """What a JPEG says of itself before its scan.

    Attributes:
        is_bare: It says nothing of orientation, colours, inks or further pictures: no APPn segment but JFIF's. Opening it with
            Pillow, which knows these, takes a fifth of the time that a small photo takes.
        mean_step: Of its luma quantisation table, None where it has none in the usual place.
    """

    is_bare: bool
    mean_step: float | None

    @classmethod
    def of(cls, data: bytes) -> _Segments:
        at, is_bare, mean_step = 2, True, None
        while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
            marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == 0xDA:
                return cls(is_bare, mean_step)
            if marker == 0xDB and data[at + 4] in (0, 16):  # the first table, of bytes or of words
                words = struct.unpack(">64B" if data[at + 4] == 0 else ">64H", data[at + 5 : at + (69 if data[at + 4] == 0 else 133)])
                mean_step = sum(words) / 64
            is_bare &= not (0xE1 <= marker <= 0xEF)
            at += 2 + length
        return cls(False, mean_step)


def is_multi_frame(image: Image.Image) -> bool:
    """Animations and pages; the previews, depth and gain maps behind a phone's JPEG (MPO) don't count."""
    if image.format != "MPO":
        return getattr(image, "n_frames", 1) > 1
    entries: list[dict[str, dict[str, str]]] = getattr(image, "mpinfo", {}).get(0xB002, [])
    return any(entry["Attribute"]["MPType"].startswith("Multi-Frame") for entry in entries)


def _jpeg(data: bytes, header: Image.Image | None, max_pixels: int, enough_px: int | None, mean_step: float | None) -> Decoded:
    """Decode with libjpeg-turbo in strict mode: Pillow and OpenCV fill damaged parts with grey and say nothing.

    Args:
        data: The file.
        header: As Pillow opened it; None for a bare file.
        max_pixels: More are refused.
        enough_px: Of the longer side; None: all.
        mean_step: Handed on.
    """
    try:
        return _strict_jpeg(data, header, max_pixels, enough_px, mean_step)
    except ValueError as error:
        if not any(text in str(error) for text in HARMLESS_JPEG):
            raise
        return _strict_jpeg(_mended(data), header, max_pixels, enough_px, mean_step)


def _strict_jpeg(data: bytes, header: Image.Image | None, max_pixels: int, enough_px: int | None, mean_step: float | None) -> Decoded:
    import simplejpeg

    height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    if width * height > max_pixels:
        return _too_large(width, height, max_pixels)
    if colorspace in ("CMYK", "YCCK"):
        from PIL import Image

        simplejpeg.decode_jpeg(data, colorspace="CMYK", strict=True)
        with Image.open(BytesIO(data), formats=["JPEG"]) as image:  # Pillow knows Adobe's inverted inks
            return _whole(_upright(_to_rgb(image), _orientation(image)))
    scale = next((part for part in SCALES if enough_px and max(height, width) >= part * enough_px), 1)
    size = {"min_height": -(-height // scale), "min_width": -(-width // scale)} if scale > 1 else {}
    pixels: Pixels = simplejpeg.decode_jpeg(data, strict=True, **size)
    orientation = 1
    if header is not None:
        orientation = _orientation(header)
        if header.info.get("icc_profile"):
            from PIL import Image

            pixels = np.asarray(_to_srgb(Image.fromarray(pixels), header.info["icc_profile"]))
    sides = (height, width) if orientation in (5, 6, 7, 8) else (width, height)
    return Decoded(np.ascontiguousarray(_upright(pixels, orientation)), sides_px=sides, block_px=BLOCK_PX // scale, mean_step=mean_step)


def _mended(data: bytes) -> bytes:
    """A copy with the headers as they should be, so that it can be decoded as strictly as any other.

    The version of JFIF becomes 1.1, Adobe's transform YCbCr or YCCK, and the scans of a sequential picture hold all frequencies.
    """
    mended, at, adobe, frame, channels = bytearray(data), 2, 0, 0, 3
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xE0 and data[at + 4 : at + 9] == b"JFIF\0":
            mended[at + 9 : at + 11] = b"\x01\x01"
        elif marker == 0xEE and data[at + 4 : at + 9] == b"Adobe" and length >= 14:
            adobe = at + 15
        elif marker in FRAMES:
            frame, channels = marker, data[at + 9]
        elif marker == 0xDA:
            break
        at += 2 + length
    if adobe:  # it stands before the frame, which says how many channels there are
        mended[adobe] = 2 if channels == 4 else 1
    scan = at if frame in SEQUENTIAL else len(data)  # each scan of a progressive picture has frequencies of its own
    while (scan := data.find(b"\xff\xda", scan)) >= 0:  # in the coded data 0xFF is followed by 0, so a marker is one
        end = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
        mended[end - 3 : end] = b"\x00\x3f\x00"
        scan = end
    return bytes(mended[: len(data)])


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # hostile EXIF: the picture is shown as it is stored
        return 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation (EXIF 2.32, tag 0x0112); values outside 2 to 8 mean upright."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _check_png(data: bytes) -> None:
    """Raise on a wrong checksum, which a plain load passes over."""
    from PIL import Image

    with Image.open(BytesIO(data), formats=["PNG"]) as image:
        image.verify()


def _to_rgb(image: Image.Image) -> Pixels:
    from PIL import Image

    if image.mode.startswith("I;16"):
        return _scaled(image, 65535.0)
    if image.mode == "I":
        return _scaled(image, 65535.0 if image.getextrema()[1] <= 65535 else 2.0**31 - 1)  # type: ignore[operator]
    if image.mode == "F":
        brightest = float(np.nan_to_num(np.asarray(image), posinf=0, neginf=0).max(initial=0))
        return _scaled(image, 1.0 if brightest <= 1 else max(255.0, brightest))
    profile, is_bmp = image.info.get("icc_profile"), image.format == "BMP"
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        if is_bmp and image.getchannel("A").getextrema() == (0, 0):
            image.putalpha(255)  # writers leave the fourth byte of a BMP at 0
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    elif image.mode == "LAB":
        from PIL import ImageCms

        converted = ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB")
        return np.asarray(converted)
    if profile:
        image = _to_srgb(image, profile)
    return np.asarray(image.convert("RGB"))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours the embedded profile means; a profile that is broken or of another colour model is ignored."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if source.profile.xcolor_space.strip() != image.mode or "srgb" in (source.profile.profile_description or "").lower():
            return image
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def _scaled(image: Image.Image, white: float) -> Pixels:
    """One wide channel scaled to 0..255 with rounding; Pillow's own conversion clips at 255."""
    wide = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=white, neginf=0)
    narrow = np.rint(np.clip(wide * (255 / white), 0, 255)).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        narrow[wide == transparent] = 255
    return np.repeat(narrow[:, :, None], 3, axis=2)


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
