"""What a file is, by its first bytes, and a picture's format and size, by its header alone.

The pixels are not decoded here: that happens later, in a child process with limits.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from dataops_assets.intake.members import zip_end

HEAD_BYTES = 512
ARCHIVE = "ARCHIVE"
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
}
_CLAIMS = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes}
# names that claim something we don't take; raw camera files are TIFFs inside
_OTHER = (
    ".heic .heif .avif .ico .svg .tga .psd .jp2 .jxl .exr .hdr .pnm .ppm .pgm .pbm .qoi .dng .cr2 .nef .arw .orf .rw2 .raf .mp4 .mov "
    ".avi .pdf .txt .csv .json .xml .yaml .html .htm .js .doc .docx .xls .xlsx .ppt .pptx .odt .ods .md .exe .dll .sh .py .bat .php"
)
_CLAIMS.update(dict.fromkeys(_OTHER.split(), "OTHER"))
_OFFICE = (".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp")  # zips that nobody unpacks
_ARCHIVE_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class Header:
    """What the first bytes say.

    Attributes:
        format: JPEG, PNG, WEBP, TIFF, BMP or GIF; None for what is no picture of these.
        reason: Why the file can't be taken, a reason code; empty if it can.
    """

    format: str | None
    width_px: int | None
    height_px: int | None
    reason: str


def sniff(head: bytes) -> str | None:
    """Format by magic number: one of six picture formats, ARCHIVE, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"BM") and len(head) >= 26:
        return "BMP"
    if head.startswith(_ARCHIVE_MAGIC) or head[257:262] == b"ustar":
        return ARCHIVE
    return None


def read_header(file: BinaryIO, name: str, max_pixels: int) -> Header:
    """Format and size of a picture.

    Args:
        file: Its bytes, seekable; must not be empty.
        name: Its file name, for what its suffix claims.
        max_pixels: Width times height that is still taken.
    """
    kind = sniff(file.read(HEAD_BYTES))
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot >= 0 else ""
    claim = _CLAIMS.get(suffix)
    if kind == ARCHIVE:
        return Header(None, None, None, "TYPE_MISMATCH" if suffix in _OFFICE else "NESTED_ARCHIVE")
    if kind is None:
        return Header(None, None, None, "TYPE_MISMATCH")
    if zip_end(file) is not None:
        return Header(kind, None, None, "POLYGLOT")
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=[kind]) as image:
                width, height = image.size
                # phones append a depth map or a preview to a JPEG; its first picture is the photo
                has_frames = kind != "JPEG" and getattr(image, "n_frames", 1) > 1
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            return Header(kind, None, None, "TOO_LARGE")
        except Exception:  # ten types seen for broken headers
            return Header(kind, None, None, "TYPE_MISMATCH" if claim not in (kind, None) else "CORRUPT")
    reason = ""
    if claim not in (kind, None):
        reason = "TYPE_MISMATCH"
    elif width * height > max_pixels:
        reason = "TOO_LARGE"
    elif has_frames:
        reason = "MULTI_FRAME"
    return Header(kind, width, height, reason)
