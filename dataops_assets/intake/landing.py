"""The landing folder: which deliveries lie there, whether they are complete, and which drop each one is.

Nothing here opens a picture or unpacks anything. Content is read where a manifest gives checksums, and where a name was delivered
before with the same names and sizes inside.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

import pandas as pd

from dataops_assets.intake import delivery_manifest
from dataops_assets.manifest import records
from dataops_assets.spec import ProjectSpec

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
MARKERS = ("_COMPLETE", "_READY")
UNFINISHED = (".part", ".tmp", ".crdownload", ".partial", ".filepart")


@dataclass(frozen=True)
class Delivery:
    """A folder or an archive as it lies in `landing/<project>/<vendor>/`."""

    project: str
    vendor: str
    name: str
    path: Path
    is_archive: bool


@dataclass(frozen=True)
class Identity:
    """Which drop a delivery is."""

    drop_id: str
    supersedes: str | None
    is_redelivery: bool
    fingerprint: str


@dataclass(frozen=True)
class Readiness:
    """Whether a delivery is complete; if not, the reason code to wait for."""

    is_ready: bool
    reason: str = ""
    bytes_read: int = 0


def list_deliveries(landing: Path, project: str) -> list[Delivery]:
    """Folders and archives of every vendor, sorted. Links, hidden and unfinished names, and loose files are passed over."""
    return scan(landing, project)[0]


def scan(landing: Path, project: str) -> tuple[list[Delivery], dict[str, str]]:
    """Every delivery, and for each folder that can't be looked into (or isn't one) a sentence. Names are given as valid text."""
    found: list[Delivery] = []
    faults: dict[str, str] = {}
    root = landing / project
    try:
        vendors = _entries(root)
    except FileNotFoundError:
        return [], {}
    except OSError as error:
        return [], {f"landing/{project}": f"can't be read: {error.strerror}"}
    known: set[tuple[str, str]] = set()
    for vendor in vendors:
        shown = text_of(vendor.name)
        if vendor.name.startswith("."):
            continue
        if vendor.is_symlink():
            faults[shown] = "is a link, and links are not followed: make it a folder"
            continue
        try:
            entries = _entries(vendor.path) if vendor.is_dir() else []
        except OSError as error:
            faults[shown] = f"can't be read: {error.strerror}"
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(UNFINISHED) or entry.name in MARKERS or entry.is_symlink():
                continue
            is_archive = entry.name.lower().endswith(ARCHIVES) and entry.is_file()
            if not (is_archive or entry.is_dir()):
                continue
            name = text_of(entry.name)
            if (shown, name) in known:
                faults[f"{shown}/{name} (again)"] = "two names read the same once made valid text: rename one"
                continue
            known.add((shown, name))
            found.append(Delivery(project, shown, name, Path(entry.path), is_archive))
    return found, faults


def text_of(name: str) -> str:
    """A vendor's name as valid text, to keep and to show."""
    if name.isascii() and name.isprintable():
        return name
    from dataops_assets.intake.members import readable

    return readable(name)[0]


def walk(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Every entry below a folder that isn't a folder, in order of path; links are given, not followed."""
    open_ = [iter(_entries(folder))]  # no recursion: folders may be nested deeper than Python's stack
    while open_:
        for entry in open_[-1]:
            if entry.is_dir(follow_symlinks=False):
                open_.append(iter(_entries(entry.path)))
                break
            yield entry
        else:
            open_.pop()


@dataclass(frozen=True)
class Look:
    """A delivery at one moment, by names, sizes and times alone.

    Attributes:
        fingerprint: 16 hex digits that change when a file is added, resized or touched.
        listing: 16 hex digits of paths and sizes, without markers: where it differs, the content does too.
        bytes: Size of all files.
        count: How many there are.
        files: Names of the regular files directly inside.
    """

    fingerprint: str
    listing: str
    bytes: int
    count: int = 1
    files: frozenset[str] = frozenset()


def look(delivery: Delivery) -> Look:
    """Look at a delivery once, reading no content.

    Raises:
        OSError: when something in it vanished meanwhile or can't be listed.
    """
    facts: list[tuple[str, os.stat_result, str]]
    if delivery.is_archive:
        facts = [(delivery.path.name, delivery.path.lstat(), delivery.path.name)]
    else:
        above = len(os.fspath(delivery.path.parent)) + 1
        facts = [(entry.path[above:], entry.stat(follow_symlinks=False), entry.name) for entry in walk(delivery.path)]
    times = "".join(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n" for path, stat, _ in facts)
    inside = len(delivery.path.name) + 1
    sizes = "".join(f"{path}\0{stat.st_size}\n" for path, stat, _ in facts if path[inside:] not in MARKERS)
    files = frozenset(path[inside:] for path, stat, name in facts if len(path) == inside + len(name) and S_ISREG(stat.st_mode))
    return Look(_digest(times), _digest(sizes), sum(stat.st_size for _, stat, _ in facts), len(facts), files)


def fingerprint(delivery: Delivery) -> str:
    """16 hex digits that change when a file is added, resized or touched. Reads no content."""
    try:
        return look(delivery).fingerprint
    except OSError:
        return _digest("vanished")  # somebody is at work in there: the next look will differ


def listing(delivery: Delivery) -> str | None:
    """What the `drops` ledger remembers of a delivery's paths and sizes; nothing when it can't be listed."""
    try:
        return look(delivery).listing
    except OSError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def drop_id_of(vendor: str, name: str, generation: int = 1) -> str:
    """Our own slug for a delivery: `<vendor>-<8 hex of vendor and name>`, with `-r2` for the second content under a name."""
    head = re.sub(r"[^a-z0-9]+", "-", vendor.lower()).strip("-")[:40] or "vendor"
    digits = hashlib.sha256(f"{vendor}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{head}-{digits}" + (f"-r{generation}" if generation > 1 else "")


def content_sha256(delivery: Delivery) -> str:
    """Digest of a delivery's bytes: of the archive, or of each file's path and sha256. Links count by their target's name."""
    from dataops_assets.intake.members import readable

    if delivery.is_archive:
        return _sha256(delivery.path)
    files = []
    for entry in walk(delivery.path):
        name = readable(os.path.relpath(entry.path, delivery.path))[0]
        if name in MARKERS:
            continue
        is_file = entry.is_file(follow_symlinks=False)
        link = f"link:{os.readlink(entry.path)}" if entry.is_symlink() else "special"
        files.append((name, _sha256(Path(entry.path)) if is_file else link))
    return digest_of_files(files)


def digest_of_files(files: Iterable[tuple[str, str]]) -> str:
    """Digest over (path, sha256) of a delivery's files, in order."""
    sha = hashlib.sha256()
    for path, digest in files:
        sha.update(f"{path}\0{digest}\n".encode(errors="surrogateescape"))
    return sha.hexdigest()


def identify(delivery: Delivery, drops: pd.DataFrame) -> Identity:
    """Which drop a delivery is, from the rows of the `drops` ledger of its project. Reads content where nothing else tells."""
    mine = drops[(drops["vendor"] == delivery.vendor) & (drops["name"] == delivery.name)]
    try:
        seen = look(delivery)
    except OSError:
        seen = Look(fingerprint(delivery), "", 0)
    history = records(mine)
    return identity(delivery, seen, history) or _told(delivery, seen, history)


def _told(delivery: Delivery, seen: Look, history: Sequence[Mapping[str, Any]]) -> Identity:
    told = identity(delivery, seen, history, content_sha256(delivery))
    assert told is not None  # content tells in the end
    return told


def identity(delivery: Delivery, seen: Look, history: Sequence[Mapping[str, Any]], content: str | None = None) -> Identity | None:
    """Which drop a delivery is, from the ledger's rows of its name; nothing where only its `content_sha256` could tell."""
    if not history:
        return Identity(drop_id_of(delivery.vendor, delivery.name), None, False, seen.fingerprint)
    last = history[-1]
    if last["fingerprint"] == seen.fingerprint or last["status"] == "held":
        return Identity(last["drop_id"], last["supersedes"], False, seen.fingerprint)
    is_other = not last["content_sha256"] or last.get("listing") not in (None, seen.listing)
    if content is None and not is_other:
        return None
    if not is_other and content == last["content_sha256"]:
        return Identity(last["drop_id"], None, True, seen.fingerprint)
    generation = len({row["drop_id"] for row in history}) + 1
    return Identity(drop_id_of(delivery.vendor, delivery.name, generation), last["drop_id"], False, seen.fingerprint)


def readiness(
    delivery: Delivery,
    spec: ProjectSpec,
    first_seen: tuple[str, float] | tuple[str, float, str] | None,
    now: float,
    seen: Look | None = None,
    may_read: float = math.inf,
) -> Readiness:
    """Whether a delivery is complete: marked, as its manifest lists it, or unchanged for `settle_s` over two looks.

    Checksums are compared where that reads no more than `may_read` bytes; else it has to rest.

    Raises:
        OSError: when it vanished or can't be read.
    """
    seen = seen or look(delivery)
    has_rested = first_seen is not None and first_seen[0] == seen.fingerprint and now - first_seen[1] >= spec.sources.settle_s
    if delivery.is_archive:
        return Readiness(True) if has_rested or _is_whole_zip(delivery.path) else Readiness(False, "INCOMPLETE")
    is_marked = not seen.files.isdisjoint(MARKERS)
    vendor = spec.sources.vendor(delivery.vendor)
    named = delivery_manifest.find(list(seen.files))
    if named is None:
        is_due = vendor is not None and vendor.manifest == "required"
        if is_due and not is_marked:
            return Readiness(False, "MANIFEST_MISSING")
        return Readiness(True) if is_marked or has_rested else Readiness(False, "INCOMPLETE")
    if is_marked or has_rested:
        return Readiness(True)
    if (delivery.path / named).lstat().st_size > delivery_manifest.MAX_BYTES:
        return Readiness(False, "INCOMPLETE")
    try:
        listed = delivery_manifest.parse(named, (delivery.path / named).read_bytes()).files
    except delivery_manifest.ManifestError:
        return Readiness(False, "INCOMPLETE")  # perhaps half-copied; once it rests, the run says what is wrong with it
    for row in listed:
        path = delivery.path / row.path
        if not path.is_file() or path.is_symlink() or (row.bytes is not None and path.stat().st_size != row.bytes):
            return Readiness(False, "MANIFEST_FILE_MISSING" if not path.exists() else "INCOMPLETE")
        if row.sha256 is None and row.bytes is None:
            return Readiness(False, "INCOMPLETE")  # the manifest can't tell whole from half
    summed = [row for row in listed if row.sha256 is not None]
    read = sum((delivery.path / row.path).stat().st_size for row in summed)
    if read > may_read:
        return Readiness(False, "INCOMPLETE")
    is_whole = all(_sha256(delivery.path / row.path) == row.sha256 for row in summed)
    return Readiness(True, bytes_read=read) if is_whole else Readiness(False, "INCOMPLETE", read)


def find(landing: Path, project: str, drop_id: str, drops: pd.DataFrame) -> Delivery:
    """The delivery that is a drop.

    Raises:
        LookupError: when landing holds it no longer, or another content has taken its name.
    """
    for delivery in list_deliveries(landing, project):
        base = drop_id_of(delivery.vendor, delivery.name)
        if drop_id != base and not drop_id.startswith(f"{base}-r"):
            continue
        now = identify(delivery, drops).drop_id
        if now != drop_id:
            raise LookupError(
                f"drop {drop_id}: {delivery.vendor}/{delivery.name} was delivered again with other content ({now}); "
                "its released version stays in use"
            )
        return delivery
    raise LookupError(f"drop {drop_id} no longer lies in {landing / project}; its released version stays in use")


def place(source: Path, landing: Path, project: str, vendor: str) -> Delivery:
    """Copy a folder or an archive into landing under its own name, whole or not at all.

    Raises:
        ValueError: when it is neither.
    """
    source = source.absolute()
    is_archive = source.is_file() and source.name.lower().endswith(ARCHIVES)
    if source.is_symlink() or not (is_archive or source.is_dir()):
        raise ValueError(f"it is neither a folder nor an archive ({' '.join(ARCHIVES)})")
    target = landing / project / vendor / source.name
    given = Delivery(project, vendor, source.name, source, is_archive)
    placed = Delivery(project, vendor, text_of(source.name), target, is_archive)
    if target.exists() and content_sha256(placed) == content_sha256(given):
        return placed
    target.parent.mkdir(parents=True, exist_ok=True)
    arriving = target.parent / f".{source.name}.{random.getrandbits(32):x}"
    try:
        if is_archive:
            shutil.copyfile(source, arriving)
        else:
            shutil.copytree(source, arriving, symlinks=True)
            (arriving / MARKERS[0]).touch()
        if target.is_dir():
            target.rename(target.parent / f".{source.name}.replaced-{random.getrandbits(32):x}")
        arriving.rename(target)
    finally:
        for leftover in target.parent.glob(f".{source.name}.*"):
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    return placed


def _is_whole_zip(path: Path) -> bool:
    """A zip ends with its directory: if that is there, the copy is complete. A tar can't tell cheaply and must rest."""
    import zipfile

    try:
        return path.name.lower().endswith(".zip") and zipfile.is_zipfile(path)
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
