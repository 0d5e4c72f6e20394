"""Small parts of a delivery report: words and tables as HTML, everything of a vendor's escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import pandas as pd

from dataops_assets.reports.delivery_story import cut, inert

NAME_LETTERS = 120


def words(text: Any, letters: int = NAME_LETTERS) -> str:
    """A vendor's or our words as HTML: nothing invisible, nothing that is markup, kept apart from the direction of what surrounds it."""
    return f"<bdi>{escape(cut(inert(text), letters))}</bdi>"


def table(head: Sequence[str], rows: Iterable[Sequence[str | int | None]], last_is_sum: bool = False) -> str:
    """Rows of numbers and of ready HTML."""
    rows = list(rows)
    is_number = [any(isinstance(row[place], int) for row in rows) for place in range(len(head))]
    titles = (f"<th{' class=number' if right else ''}>{title}</th>" for title, right in zip(head, is_number, strict=True))
    lines = ["<tr>" + "".join(titles) + "</tr>"] if any(head) else []
    for place, row in enumerate(rows):
        cells = (f"<td class='number'>{cell:,}</td>" if isinstance(cell, int) else f"<td>{cell or ''}</td>" for cell in row)
        lines.append(f"<tr{' class=sum' if last_is_sum and place == len(rows) - 1 else ''}>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def size_of(column: pd.Series) -> str:
    """The sum of some sizes, as people read it."""
    size = int(column.fillna(0).sum())
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1e3:,.0f} kB" if size < 10_000_000 else f"{size / 1e6:,.0f} MB"


def goal(have: int, want: int) -> str:
    """How much of a goal is reached, as a bar."""
    share = min(1.0, have / want) if want else 1.0
    return (
        "<svg class='goal' viewBox='0 0 100 10' preserveAspectRatio='none'><rect width='100' height='10' fill='#e3e7ee'/>"
        f"<rect width='{100 * share:.1f}' height='10' fill='{'#2e8b57' if share >= 1 else '#3567b0'}'/></svg>"
    )
