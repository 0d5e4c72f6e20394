"""What a picture's header says: format and size, or the reason code for which it is no picture to take. Decodes nothing.

Headers are hostile too (a parser may crash or never end), so files are opened in bounded children.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import IO, NamedTuple

from dataops_assets.blobs import Blobs
from dataops_assets.imaging.decode import is_multi_frame, sniff
from dataops_assets.imaging.workers import Died, Workers

CHUNK = 64  # files a message to a child
ARCHIVE_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
HEAD_BYTES = 512


class Header(NamedTuple):
    """Facts of one file; `fault` is '' for a picture that may be taken."""

    fault: str = ""
    format: str | None = None
    width_px: int | None = None
    height_px: int | None = None


class HeaderReader:
    """Reads headers in bounded children that stay until the `with` block is left; `found` holds them by sha256.

    One that kills its child is CORRUPT or TOO_LARGE.
    """

    def __init__(self, blobs: Blobs, max_pixels: int, *, workers: int | None = None, memory_bytes: int, seconds: float) -> None:
        self.found: dict[str, Header] = {}
        task = partial(_headers, max_pixels=max_pixels)
        self._workers = Workers(task, blobs, workers=workers, memory_bytes=memory_bytes, seconds=seconds, items_per_child=1)

    def __enter__(self) -> HeaderReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.__exit__()

    def read(self, shas: Iterable[str]) -> None:
        """Read those that aren't there yet.

        Raises:
            WorkerError: when children don't start.
        """
        wanted = [sha256 for sha256 in dict.fromkeys(shas) if sha256 not in self.found]
        chunks = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
        deadly: list[list[str]] = []
        for index, answer in self._workers.map(chunks):
            if isinstance(answer, Died):
                deadly += [[sha256] for sha256 in chunks[index]]
            else:
                self.found |= zip(chunks[index], answer, strict=True)
        for index, answer in self._workers.map(deadly):
            self.found[deadly[index][0]] = Header(answer.reason) if isinstance(answer, Died) else answer[0]


def _headers(blobs: Blobs, shas: Sequence[str], max_pixels: int) -> list[Header]:
    return list(_each(blobs, shas, max_pixels))


def _each(blobs: Blobs, shas: Sequence[str], max_pixels: int) -> Iterator[Header]:
    for sha256 in shas:
        with blobs.open(sha256) as file:
            yield header(file, max_pixels)


def header(file: IO[bytes], max_pixels: int) -> Header:
    """Format and size of a picture as its header gives them; the fault is '', or ZERO_BYTE, NESTED_ARCHIVE, TYPE_MISMATCH, CORRUPT,
    TOO_LARGE or MULTI_FRAME."""
    from PIL import Image

    head = file.read(HEAD_BYTES)
    if not head:
        return Header("ZERO_BYTE")
    if head.startswith(ARCHIVE_MAGIC) or head[257:262] == b"ustar":
        return Header("NESTED_ARCHIVE")
    kind = sniff(head)
    if kind is None:
        return Header("TYPE_MISMATCH")
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=[kind]) as image:
                facts = image.format, image.width, image.height
                if image.width * image.height > max_pixels:
                    return Header("TOO_LARGE", *facts)
                return Header("MULTI_FRAME" if is_multi_frame(image) else "", *facts)
    except (Image.DecompressionBombError, MemoryError):
        return Header("TOO_LARGE")
    except Exception:  # Pillow raises ten types and more on hostile headers
        return Header("CORRUPT")
