"""CSV files that people open in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r")  # they start a formula, full-width ones too
INSIDE = re.compile(f"""([;\t\r\n]"*)(?=[{re.escape("".join(SIGNS))}])""")  # where other readers start a cell or a line


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One CSV, UTF-8, Unix line ends; null becomes an empty cell, a text that a spreadsheet would run gets a ' before the sign."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([plain(column) for column in columns])
        writer.writerows([plain(value) for value in row] for row in rows)


def plain(value: object) -> object:
    """The value as a cell: text that would start a formula in any spreadsheet gets a ' there (OWASP, CSV Injection)."""
    if value is None or value != value:
        return ""
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(SIGNS) else "") + INSIDE.sub(r"\1'", value)
