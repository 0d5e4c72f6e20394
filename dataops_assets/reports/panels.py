"""What a person sees beside a table: numbers, small tables, contact sheets, links. No Dagster here.

Vendors' words never become markup: they are shown as table cells or text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Any

import pandas as pd

from dataops_assets.blobs import BlobMissing, Blobs
from dataops_assets.manifest import records

PICTURE_COLUMNS = ("clean_sha256", "sha256")  # never image_id: the picture as it was delivered


@dataclass(frozen=True)
class Table:
    """Rows of plain values, all with the same keys."""

    rows: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Picture:
    jpeg: bytes
    title: str


@dataclass(frozen=True)
class Points:
    """Sentences of our own, one a line. Whatever they quote is shown as it is written, never as markup."""

    lines: Sequence[str]

    @property
    def markdown(self) -> str:
        return "\n".join(f"- {_inert(line)}" for line in self.lines)


@dataclass(frozen=True)
class Page:
    """A file below `reports/`, as its address there."""

    path: str


def table_of(frame: pd.DataFrame) -> Table:
    """A frame as a table; nulls become None, identifiers are cut to 16 characters."""
    return Table([{name: _cell(value) for name, value in row.items()} for row in records(frame)])


def counts(frame: pd.DataFrame, *columns: str) -> Table | None:
    """How many rows have each combination of values, most frequent first."""
    if frame.empty:
        return None
    tally = frame[list(columns)].fillna("-").value_counts().reset_index(name="rows")
    return table_of(tally.sort_values(["rows", *columns], ascending=[False] + [True] * len(columns)).head(60))


def sheet(
    blobs: Blobs, rows: pd.DataFrame, title: str = "contact sheet", caption: str = "reason", *, is_screened: bool = True
) -> Picture | None:
    """Contact sheet of the pictures that rows name, captioned with a column; None where there are none.

    Pictures that nobody has screened are decoded in a bounded child: they may be made to crash a decoder.
    """
    named: list[tuple[str, str]] = []
    for row in records(rows):
        sha256 = next((row[column] for column in PICTURE_COLUMNS if isinstance(row.get(column), str) and len(row[column]) == 64), None)
        word = row.get(caption)
        if sha256 is not None:
            named.append((sha256, word if isinstance(word, str) else str(row.get("category") or "")))
    jpeg = _drawn(blobs, tuple(named), is_screened)
    return Picture(jpeg, title) if jpeg else None


@lru_cache(maxsize=32)  # a run shows each sheet twice: in the UI and on the page
def _drawn(blobs: Blobs, named: tuple[tuple[str, str], ...], is_screened: bool) -> bytes:
    from dataops_assets.imaging.contact_sheet import contact_sheet
    from dataops_assets.imaging.thumbnails import thumbnails

    if is_screened:
        pictures = [(_read(blobs, sha256), word) for sha256, word in named]
    else:
        small = thumbnails(list(dict.fromkeys(sha256 for sha256, _ in named)), blobs)
        # what is no picture gets a tile with its code; one that lies apart by now, none
        pictures = [(small.get(sha256, b"?"), word) for sha256, word in named if sha256 in small or blobs.has(sha256)]
    found = [(data, word) for data, word in pictures if data is not None]
    return contact_sheet(found) if found else b""


def forget() -> None:
    """Draw everything anew from now on: pictures were withdrawn or deleted."""
    _drawn.cache_clear()


def _inert(text: str) -> str:
    """Text on one line in which nothing is Markdown or HTML."""
    text = escape(" ".join(text.split()), quote=False)
    for sign in "\\`*_[]|#~":
        text = text.replace(sign, f"\\{sign}")
    return text


def _read(blobs: Blobs, sha256: Any) -> bytes | None:
    try:
        return blobs.read(sha256) if isinstance(sha256, str) and len(sha256) == 64 else None
    except BlobMissing:
        return None


def _cell(value: Any) -> Any:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    text = str(value)
    return text[:16] if len(text) == 64 else text[:200]
