"""The landing folder: which deliveries lie there, whether they are complete, and which drop each one is.

Nothing here opens a picture or unpacks anything. Only `identify` reads content, and only where a name was delivered before.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dataops_assets.intake import delivery_manifest
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


def list_deliveries(landing: Path, project: str) -> list[Delivery]:
    """Folders and archives of every vendor, sorted. Links, hidden and unfinished names, and loose files are passed over."""
    found = []
    for vendor in _folders(landing / project):
        for entry in sorted(os.scandir(vendor), key=lambda entry: entry.name):
            if entry.is_symlink() or entry.name.startswith(".") or entry.name.endswith(UNFINISHED) or entry.name in MARKERS:
                continue
            is_archive = entry.is_file() and entry.name.lower().endswith(ARCHIVES)
            if is_archive or entry.is_dir():
                found.append(Delivery(project, vendor.name, entry.name, Path(entry.path), is_archive))
    return found


def walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Every entry below a folder that isn't a folder, in order of path; links are given, not followed."""
    waiting = [iter(sorted(os.scandir(folder), key=lambda entry: entry.name))]
    while waiting:  # no recursion: a vendor's folders may be a thousand deep
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif entry.is_dir(follow_symlinks=False):
            waiting.append(iter(sorted(os.scandir(entry.path), key=lambda entry: entry.name)))
        else:
            yield entry


def fingerprint(delivery: Delivery) -> str:
    """16 hex digits that change when a file is added, resized or touched. Reads no content."""
    sha = hashlib.sha256()
    try:
        entries = [delivery.path] if delivery.is_archive else [Path(entry.path) for entry in walk(delivery.path)]
        for path in entries:
            stat = path.lstat()
            sha.update(
                f"{os.fspath(path.relative_to(delivery.path.parent))}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(
                    errors="surrogateescape"
                )
            )
    except OSError:
        sha.update(b"vanished")  # somebody is at work in there: the next look will differ
    return sha.hexdigest()[:16]


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
    """Which drop a delivery is, from the rows of the `drops` ledger of its project."""
    mine = drops[(drops["vendor"] == delivery.vendor) & (drops["name"] == delivery.name)]
    print_ = fingerprint(delivery)
    if mine.empty:
        return Identity(drop_id_of(delivery.vendor, delivery.name), None, False, print_)
    last = mine.iloc[-1]
    before = list(mine["drop_id"].unique())
    if last["fingerprint"] == print_ or last["status"] == "held":
        superseded = str(last["supersedes"]) if isinstance(last["supersedes"], str) else None
        return Identity(str(last["drop_id"]), superseded, False, print_)
    if last["content_sha256"] == content_sha256(delivery):
        return Identity(str(last["drop_id"]), None, True, print_)
    return Identity(drop_id_of(delivery.vendor, delivery.name, len(before) + 1), str(last["drop_id"]), False, print_)


def readiness(delivery: Delivery, spec: ProjectSpec, first_seen: tuple[str, float] | None, now: float) -> Readiness:
    """Whether a delivery is complete: marked, as its manifest lists it, or unchanged for `settle_s` over two looks."""
    has_rested = first_seen is not None and first_seen[0] == fingerprint(delivery) and now - first_seen[1] >= spec.sources.settle_s
    if delivery.is_archive:
        return Readiness(True) if has_rested or _is_whole_zip(delivery.path) else Readiness(False, "INCOMPLETE")
    is_marked = any((delivery.path / marker).exists() for marker in MARKERS)
    vendor = spec.sources.vendor(delivery.vendor)
    named = delivery_manifest.find([entry.name for entry in os.scandir(delivery.path)])
    if named is None:
        is_due = vendor is not None and vendor.manifest == "required"
        if is_due and not is_marked:
            return Readiness(False, "MANIFEST_MISSING")
        return Readiness(True) if is_marked or has_rested else Readiness(False, "INCOMPLETE")
    if is_marked or has_rested:
        return Readiness(True)
    try:
        listed = delivery_manifest.parse(named, (delivery.path / named).read_bytes()).files
    except delivery_manifest.ManifestError:
        return Readiness(False, "INCOMPLETE")  # perhaps half-copied; once it rests, the run says what is wrong with it
    for row in listed:
        path = delivery.path / row.path
        if not path.is_file() or path.is_symlink() or (row.bytes is not None and path.stat().st_size != row.bytes):
            return Readiness(False, "MANIFEST_FILE_MISSING" if not path.exists() else "INCOMPLETE")
        if row.sha256 is not None and _sha256(path) != row.sha256:
            return Readiness(False, "INCOMPLETE")
        if row.sha256 is None and row.bytes is None:
            return Readiness(False, "INCOMPLETE")  # the manifest can't tell whole from half
    return Readiness(True)


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
    placed = Delivery(project, vendor, source.name, target, is_archive)
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


def _folders(root: Path) -> list[Path]:
    entries = sorted(root.iterdir()) if root.is_dir() else []
    return [path for path in entries if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")]


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
