"""A delivery that waits, as it lies in landing now: what is here, and what its manifest lists beside that, file by file.

No run has read it, so nothing is known of it but names and sizes. A name in a manifest is looked up among those that lie there, and
never opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.intake import delivery_manifest, inside, landing
from dataops_assets.intake.bounds import readable
from dataops_assets.intake.delivery_manifest import ManifestError
from dataops_assets.intake.readiness import SMALL_MANIFEST
from dataops_assets.spec import IntakeLimits

NOT_LISTED = "NOT_LISTED"  # says in `detail` that it is nobody's fault
MOST_LISTED = 10_000  # files that are told one by one; a sensor writes these reports, and its look has a few seconds


@dataclass(frozen=True)
class Landed:
    """What waits: `raw_images` rows, all of them held or ignored, and what is wrong with the manifest or why none are listed, or ''."""

    frame: pd.DataFrame
    detail: str = ""


def look(path: Path, drop_id: str, vendor: str, limits: IntakeLimits) -> Landed:
    """Look at a delivery without reading its files; nothing is found of what is gone, and of archives.

    Args:
        path: Its folder.
        drop_id: The drop it is.
        vendor: Whose it is.
        limits: The vendor's.
    """
    try:
        there = _sizes(path)
    except landing.TooMany:
        return _too_many("lie here")
    except OSError:  # gone, being moved, or not for us to read
        return Landed(manifest.empty("raw_images"))
    listed: dict[str, delivery_manifest.Listed] = {}
    named, detail = delivery_manifest.find(there), ""
    if named is not None and there[named] <= SMALL_MANIFEST:
        try:
            data = b"".join(inside.pieces(path, SMALL_MANIFEST, named))
            said = {readable(row.path)[0]: row for row in delivery_manifest.parse(named, data, limits.members).files}
            listed = delivery_manifest.by_spelling(there, said)
        except ManifestError as error:
            detail = str(error)
        except OSError:
            pass
    if len(listed) > MOST_LISTED:
        return _too_many("are in the manifest")
    rows: list[tuple[str, int | None, str, str | None]] = [_row(name, size, listed.get(name)) for name, size in there.items()]
    rows += [(name, None, "held", "MANIFEST_FILE_MISSING") for name in listed.keys() - there.keys()]
    columns = dict(zip(("path", "size_bytes", "status", "reason"), map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
    frame = pd.DataFrame(columns, dtype="object").assign(drop_id=drop_id, vendor=vendor)
    return Landed(manifest.conform(frame, CONTRACTS["raw_images"]), detail)


def _too_many(where: str) -> Landed:
    return Landed(
        manifest.empty("raw_images"),
        f"{NOT_LISTED}: More than {MOST_LISTED:,} files {where}; they are listed one by one once they are taken.",
    )


def _row(name: str, size: int, listed: delivery_manifest.Listed | None) -> tuple[str, int, str, str | None]:
    if name in (*landing.MARKERS, *delivery_manifest.NAMES, delivery_manifest.ADDRESSES):
        return name, size, "ignored", None
    is_part = listed is not None and listed.bytes not in (None, size)
    return name, size, "held", "INCOMPLETE" if is_part else None


def _sizes(path: Path) -> dict[str, int]:
    """Readable name -> size of each regular file of a folder; OSError where it is none, or a link, TooMany beyond MOST_LISTED."""
    found: dict[str, int] = {}
    for entry in inside.walk(path, MOST_LISTED):
        stat = entry.stat()
        if S_ISREG(stat.st_mode):
            found.setdefault(readable(entry.path)[0], stat.st_size)
    return found
