"""A screened drop in the UI: contact sheets by reason, duplicates side by side, personal data covered, scores with their thresholds.

A sheet is 440 px wide, as wide as the UI's dialog. All of a drop's together stay below 400 kB: the event log keeps about four
times the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dataops_assets.manifest import records
from dataops_assets.reports import histograms, pictures
from dataops_assets.reports.delivery_story import by_reason
from dataops_assets.reports.panels import Picture
from dataops_assets.reports.pictures import Pictures
from dataops_assets.reports.reasons import spoken
from dataops_assets.spec import ProjectSpec

COLUMNS = 4
REASONS, A_REASON, GROUPS, PERSONAL = 6, 8, 6, 12
SMALL_BYTES, LARGE_BYTES = 30_000, 50_000  # the latter for sheets of three rows and more
LEFT_OUT = {"rejected": "rejected", "review": "to review"}


def sheets(frame: pd.DataFrame, spec: ProjectSpec, drawn: Pictures) -> dict[str, Picture | None]:
    """Title -> contact sheet, in reading order.

    Args:
        frame: `cleaned_set` rows of a drop.
        spec: The project.
        drawn: What `pictures.of_drop` gives.
    """
    found = {"pictures kept": _sheet(pictures.kept(frame), drawn, "category", LARGE_BYTES)}
    codes = [(status, code, rows) for status in LEFT_OUT for code, rows in by_reason(frame[frame["status"] == status])]
    for status, code, rows in sorted(codes, key=lambda found: -len(found[2]))[:REASONS]:
        title = f"pictures {LEFT_OUT[status]}: {spoken(code)}"
        found[title] = _sheet(rows.head(A_REASON), drawn, "path", SMALL_BYTES)
    found["duplicates side by side"] = _duplicates(frame, drawn)
    personal = frame[frame["personal_data"].notna()].head(PERSONAL)
    found["pictures with personal data, covered"] = _sheet(personal, drawn, "personal_data", LARGE_BYTES)
    plotted = histograms.jpeg(frame, spec.cleaning)
    found["scores and thresholds"] = Picture(plotted, "scores and thresholds") if plotted else None
    return found


def evidence(rows: pd.DataFrame, drawn: Pictures) -> Picture | None:
    """The pictures of the rows that an expectation found wanting."""
    return _sheet(rows, drawn, "reason", 3 * LARGE_BYTES)


def _sheet(rows: pd.DataFrame, drawn: Pictures, caption: str, max_bytes: int) -> Picture | None:
    shown = [(drawn[row["image_id"]], str(row[caption] or row["path"] or "")) for row in records(rows) if row["image_id"] in drawn]
    return _picture(shown, max_bytes)


def _duplicates(frame: pd.DataFrame, drawn: Pictures) -> Picture | None:
    """A row a group: the picture that stays, then its copies."""
    tiles: list[tuple[bytes | None, str]] = []
    for group in pictures.groups(frame)[:GROUPS]:
        where = "stays" if group.is_here else "in an earlier drop"
        row: list[tuple[bytes | None, str]] = [(drawn.get(group.stays), f"{where}, {len(group.left_out)} left out")]
        row += [(drawn.get(copy["image_id"]), str(copy["path"])) for copy in records(group.left_out.head(COLUMNS - 1))]
        tiles += row + [(None, "")] * (COLUMNS - len(row))
    return _picture(tiles, LARGE_BYTES)


def _picture(shown: Sequence[tuple[Any, str]], max_bytes: int) -> Picture | None:
    from dataops_assets.imaging.contact_sheet import contact_sheet

    if not any(jpeg for jpeg, _ in shown):
        return None
    padded = [*shown, *[(None, "")] * (COLUMNS - len(shown))]
    return Picture(contact_sheet(padded, COLUMNS, max_bytes=max_bytes), "contact sheet")
