"""CSV files that people open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One CSV, UTF-8, Unix line ends; null becomes an empty cell, a text that a spreadsheet would run gets a leading '."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([plain(column) for column in columns])
        writer.writerows([plain(value) for value in row] for row in rows)


def plain(value: object) -> object:
    """The value as a cell: text that starts like a formula is escaped (OWASP, CSV Injection)."""
    if value is None or value != value:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
