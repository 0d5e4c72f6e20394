"""Whether a delivery is complete. Content is read only where a manifest gives checksums, and of a zip its directory."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from dataops_assets.intake import delivery_manifest, inside, landing, members, zips
from dataops_assets.spec import IntakeLimits, ProjectSpec

SMALL_MANIFEST = 1 << 20  # as much is parsed at a look, some 5,000 files; a delivery with a larger one needs a marker, or rests


@dataclass(frozen=True)
class Readiness:
    """Whether a delivery is complete; if not, the reason code to wait for."""

    is_ready: bool
    reason: str = ""
    bytes_read: int = 0


def of(
    delivery: landing.Delivery,
    spec: ProjectSpec,
    first_seen: tuple[str, float] | tuple[str, float, str] | None,
    now: float,
    seen: landing.Look | None = None,
    may_read: float = math.inf,
) -> Readiness:
    """Whether a delivery is complete: marked, each file of the sha256 in its manifest, or unchanged for `settle_s` over two looks.

    Checksums are compared where that reads no more than `may_read` bytes; else it has to rest.

    Raises:
        OSError: when it vanished or can't be read.
    """
    seen = seen or landing.look(delivery)
    has_rested = first_seen is not None and first_seen[0] == seen.fingerprint and now - first_seen[1] >= spec.sources.settle_s
    if delivery.is_archive:
        if has_rested or (first_seen is not None and first_seen[0] == seen.fingerprint):  # looked into once, as it is
            return Readiness(has_rested, "" if has_rested else "INCOMPLETE")
        read = _whole_zip_bytes(delivery.path, spec.sources.limits_for(delivery.vendor))
        return Readiness(True, bytes_read=read) if read else Readiness(False, "INCOMPLETE")
    vendor = spec.sources.vendor(delivery.vendor)
    named = delivery_manifest.find(list(seen.files))
    if named is None:
        is_due = vendor is not None and vendor.manifest == "required" and delivery_manifest.ADDRESSES not in seen.files
        if is_due and not seen.is_marked:
            return Readiness(False, "MANIFEST_MISSING")
        return Readiness(True) if seen.is_marked or has_rested else Readiness(False, "INCOMPLETE")
    if seen.is_marked or has_rested:
        return Readiness(True)
    return _as_listed(delivery, named, spec, may_read)


def _as_listed(delivery: landing.Delivery, named: str, spec: ProjectSpec, may_read: float) -> Readiness:
    """Whether every file is as the manifest says. A path in it is looked up among the files that lie there, and never followed."""
    there = {entry.path: stat.st_size for entry in landing.walk(delivery.path) if S_ISREG((stat := entry.stat()).st_mode)}
    if there.get(named, 0) > SMALL_MANIFEST:
        return Readiness(False, "INCOMPLETE")
    try:
        data = b"".join(inside.pieces(delivery.path, SMALL_MANIFEST, named))
        told = delivery_manifest.parse(named, data, spec.sources.limits_for(delivery.vendor).members).files
    except delivery_manifest.ManifestError:
        return Readiness(False, "INCOMPLETE")  # perhaps half-copied; once it rests, the run says what is wrong with it
    listed = delivery_manifest.by_spelling(there, {row.path: row for row in told})
    for path, row in listed.items():
        size = there.get(path)
        if size is None:
            return Readiness(False, "MANIFEST_FILE_MISSING")
        if row.bytes not in (None, size) or row.sha256 is None:
            return Readiness(False, "INCOMPLETE")  # half, or the manifest can't tell: some tools give a file its size before its bytes
    others = (path for path in there.keys() - listed.keys() if path not in delivery_manifest.NAMES and not members.JUNK.search(path))
    read = sum(there[path] for path in listed)
    if read > may_read or (named.endswith(".csv") and any(others)):  # a table that is half copied tells of too few
        return Readiness(False, "INCOMPLETE")
    is_whole = all(inside.sha256_of(delivery.path, there[path], path) == row.sha256 for path, row in listed.items())
    return Readiness(True, bytes_read=read) if is_whole else Readiness(False, "INCOMPLETE", read)


def _whole_zip_bytes(path: Path, limits: IntakeLimits) -> int:
    """How much of a zip was read to see that it is whole; 0 when it isn't seen. A tar can't tell cheaply and must rest."""
    if not path.name.lower().endswith(".zip"):
        return 0
    with inside.open_plain(path) as file:
        return zips.whole_bytes(file, os.fstat(file.fileno()).st_size, limits)
