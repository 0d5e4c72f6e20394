"""The landing folder: which deliveries lie there and what a look tells of each. Nothing here opens a picture or unpacks anything.

Whether a delivery is complete is told by `readiness.py`, which drop it is by `identity.py`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import IO

from dataops_assets.intake.bounds import CHUNK_BYTES, readable

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
MARKERS = ("_COMPLETE", "_READY")
PASSED_OVER = (*MARKERS, "Thumbs.db", "desktop.ini")
OTHER_ARCHIVES = re.compile(
    r"\.(rar|r\d\d|7z|\d{3}|z\d\d|zipx|gz|bz2|xz|tbz2?|txz|zst|tzst|lz4|lz|lzma|z|ace|arj|cab|cpio|dmg|iso|lzh)$", re.IGNORECASE
)
STRAYS = {
    "LINK_MEMBER": "links are not followed; deliver the folder or archive itself",
    "SPECIAL_MEMBER": "neither a file nor a folder",
    "UNSUPPORTED_ARCHIVE": f"use a folder, or one of {' '.join(ARCHIVES)}",
    "LOOSE_FILE": "lies on its own; put it into a folder together with the others of its delivery",
}
MOST_ENTRIES = 500_000  # files and folders of one delivery, which take three seconds to look at
MAX_STRAYS = 100  # of one vendor, each with a row in the ledger; a thousand loose pictures are one mistake
ITSELF = "(folder)"  # the name by which a vendor's own folder stands in the ledger
UNFINISHED = (".part", ".tmp", ".crdownload", ".partial", ".filepart")


@dataclass(frozen=True)
class Delivery:
    """A folder or an archive as it lies in `landing/<project>/<vendor>/`; or what lies there and is neither, with its reason code."""

    project: str
    vendor: str
    name: str
    path: Path
    is_archive: bool
    fault: str = ""


@dataclass(frozen=True)
class Landed:
    """What lies in a project's landing folder.

    Attributes:
        deliveries: Folders and archives, sorted.
        strays: What lies beside them, or can't be looked into, and can't be taken as it is.
        faults: A sentence for each stray, and for what is no vendor's. Names are given as valid text.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    strays: list[Delivery] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


def list_deliveries(landing: Path, project: str) -> list[Delivery]:
    """Folders and archives of every vendor, sorted."""
    return scan(landing, project).deliveries


def scan(landing: Path, project: str) -> Landed:
    """Every delivery, and what is none. Hidden and unfinished names, markers and what systems leave behind are passed over."""
    landed = Landed()
    faults = landed.faults
    try:
        vendors = _entries(landing / project)
    except FileNotFoundError:
        return landed
    except OSError as error:
        faults[f"landing/{project}"] = f"can't be read: {error.strerror}"
        return landed
    for vendor in vendors:
        shown = text_of(vendor.name)
        if vendor.name.startswith(".") or vendor.name in PASSED_OVER:
            continue
        if vendor.is_symlink():
            faults[shown] = "is a link, and links are not followed: make it a folder"
            landed.strays.append(Delivery(project, shown, ITSELF, Path(vendor.path), True, "LINK_MEMBER"))
            continue
        if not vendor.is_dir():
            faults[shown] = "lies in no vendor's folder"
            continue
        try:
            _scan_vendor(_entries(vendor.path), project, shown, landed)
        except OSError as error:
            faults[shown] = f"can't be read: {error.strerror}"
            landed.strays.append(Delivery(project, shown, ITSELF, Path(vendor.path), True, "UNREADABLE"))
    return landed


def _scan_vendor(entries: Iterable[os.DirEntry[str]], project: str, vendor: str, landed: Landed) -> None:
    known: set[str] = set()
    strays = 0
    for entry in entries:
        if is_passed_over(entry.name):
            continue
        fault = _fault(entry)
        name = text_of(entry.name)
        label = f"{vendor}/{name}"
        if name in known:
            landed.faults[f"{label} (again)"] = "two names read the same once made valid text: rename one"
            continue
        known.add(name)
        delivery = Delivery(project, vendor, name, Path(entry.path), bool(fault) or not entry.is_dir(), fault)
        if not fault:
            landed.deliveries.append(delivery)
            continue
        strays += 1
        if strays <= MAX_STRAYS:
            landed.faults[label] = f"{fault}: {STRAYS[fault]}"
            landed.strays.append(delivery)
    if strays > MAX_STRAYS:
        landed.faults[f"{vendor}/ (more)"] = f"{strays - MAX_STRAYS} more that are no deliveries"


def is_passed_over(name: str) -> bool:
    """Whether a name is that of something unfinished, a marker, or what systems leave behind."""
    return name.startswith(".") or name.endswith(UNFINISHED) or name in PASSED_OVER


def _fault(entry: os.DirEntry[str]) -> str:
    """The reason code for which something in a vendor's folder is no delivery, by its name and kind."""
    if entry.is_symlink():
        return "LINK_MEMBER"
    if entry.is_dir():
        return ""
    if not entry.is_file():
        return "SPECIAL_MEMBER"
    if entry.name.lower().endswith(ARCHIVES):
        return ""
    return "UNSUPPORTED_ARCHIVE" if OTHER_ARCHIVES.search(entry.name) else "LOOSE_FILE"


def text_of(name: str) -> str:
    """A vendor's name as valid text, to keep and to show."""
    if name.isascii() and name.isprintable():
        return name
    return readable(name)[0]


class TooMany(OSError):
    """A folder holds more than anybody may deliver: to look at all of it would hold up everything else."""


def walk(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Every entry below a folder that isn't a folder, in order of path; links are given, not followed.

    Raises:
        TooMany: when there are more than MOST_ENTRIES files and folders.
    """
    left = MOST_ENTRIES
    open_ = [iter(_entries(folder))]  # no recursion: folders may be nested deeper than Python's stack
    while open_:
        for entry in open_[-1]:
            left -= 1
            if left < 0:
                raise TooMany(errno.EFBIG, f"more than {MOST_ENTRIES:,} files and folders", os.fspath(folder))
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
        fingerprint: 16 hex digits that change when a file is added, resized or touched, or its bytes change and its mtime is put back.
        listing: 16 hex digits of paths and sizes, without markers: where it differs, the content does too.
        bytes: Size of all files.
        count: How many there are.
        files: Names of the regular files directly inside.
        is_marked: Whether a marker lies there that no file came after; an old one says nothing of a delivery that is replaced in place.
    """

    fingerprint: str
    listing: str
    bytes: int
    count: int = 1
    files: frozenset[str] = frozenset()
    is_marked: bool = False


def look(delivery: Delivery) -> Look:
    """Look at a delivery once, reading no content.

    Raises:
        OSError: when something in it vanished meanwhile, can't be listed, or is too much.
    """
    inside = len(delivery.path.name) + 1
    times, sizes = hashlib.sha256(), hashlib.sha256()
    files = set()
    size = count = 0
    marked = newest = -1
    for path, stat, name in _facts(delivery):  # nothing is kept of each: there may be half a million
        told = f"{path}\0{stat.st_size}".encode("utf-8", "surrogateescape")
        times.update(b"%b\0%d\0%d\n" % (told, stat.st_mtime_ns, stat.st_ctime_ns))
        size, count, newest = size + stat.st_size, count + 1, max(newest, stat.st_ctime_ns)
        is_file = S_ISREG(stat.st_mode)
        if path[inside:] not in MARKERS:
            sizes.update(told + b"\n")
        elif is_file:
            marked = max(marked, stat.st_ctime_ns)
        if is_file and len(path) == inside + len(name):
            files.add(name)
    return Look(_short(times), _short(sizes), size, count, frozenset(files), marked >= newest >= 0)


def _facts(delivery: Delivery) -> Iterator[tuple[str, os.stat_result, str]]:
    """Each file's path, beginning with the delivery's name, what the disk says of it, and its own name."""
    if delivery.is_archive:
        yield delivery.path.name, delivery.path.lstat(), delivery.path.name
        return
    above = len(os.fspath(delivery.path.parent)) + 1
    for entry in walk(delivery.path):
        yield entry.path[above:], entry.stat(follow_symlinks=False), entry.name


def fingerprint(delivery: Delivery) -> str:
    """A look's fingerprint. Reads no content."""
    try:
        return look(delivery).fingerprint
    except OSError:
        return VANISHED.fingerprint


def listing(delivery: Delivery) -> str | None:
    """What the `drops` ledger remembers of a delivery's paths and sizes; nothing when it can't be listed."""
    try:
        return look(delivery).listing
    except OSError:
        return None


def _short(sha: hashlib._Hash) -> str:
    return sha.hexdigest()[:16]


VANISHED = Look(
    _short(hashlib.sha256(b"vanished")), "", 0
)  # somebody is at work in there, or it can't be looked at: any other look differs


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What lies directly in a folder, by name; of too many, one more than may be."""
    with os.scandir(folder) as entries:
        return sorted(islice(entries, MOST_ENTRIES + 1), key=lambda entry: entry.name)


def content_sha256(delivery: Delivery) -> str:
    """Digest of a delivery's bytes: of the archive, or of each file's path and sha256. Links count by their target's name."""
    if delivery.is_archive:
        return sha256_of(delivery.path)
    files = []
    for entry in walk(delivery.path):
        name = readable(os.path.relpath(entry.path, delivery.path))[0]
        if name in MARKERS:
            continue
        is_file = entry.is_file(follow_symlinks=False)
        link = f"link:{os.readlink(entry.path)}" if entry.is_symlink() else "special"
        files.append((name, sha256_of(entry.path) if is_file else link))
    return digest_of_files(files)


def digest_of_files(files: Iterable[tuple[str, str]]) -> str:
    """Digest over (path, sha256) of a delivery's files, in order."""
    sha = hashlib.sha256()
    for path, digest in files:
        sha.update(f"{path}\0{digest}\n".encode(errors="surrogateescape"))
    return sha.hexdigest()


def place(source: Path, landing: Path, project: str, vendor: str) -> Delivery:
    """Copy a folder or an archive into landing under its own name, whole or not at all.

    Raises:
        ValueError: when it is neither, or its name says that it is unfinished.
    """
    source = Path(os.path.abspath(source))  # `..` has a name too
    is_archive = source.is_file() and source.name.lower().endswith(ARCHIVES)
    if source.is_symlink() or not (is_archive or source.is_dir()):
        raise ValueError(f"it is neither a folder nor an archive ({' '.join(ARCHIVES)})")
    if is_passed_over(source.name):
        raise ValueError(f"names that start with a dot or end in {' '.join(UNFINISHED)} are left alone in landing; rename it")
    target = landing / project / vendor / source.name
    given = Delivery(project, vendor, source.name, source, is_archive)
    placed = Delivery(project, vendor, text_of(source.name), target, is_archive)
    if target.exists() and content_sha256(placed) == content_sha256(given):
        return placed
    target.parent.mkdir(parents=True, exist_ok=True)
    arriving, replaced = (target.parent / f".{source.name}.{kind}-{random.getrandbits(32):08x}" for kind in ("arriving", "replaced"))
    try:
        if is_archive:
            shutil.copyfile(source, arriving)
        else:
            shutil.copytree(source, arriving, symlinks=True)
            (arriving / MARKERS[0]).unlink(missing_ok=True)  # it may be a link, which touching it would follow
            (arriving / MARKERS[0]).touch(exist_ok=False)
        if target.is_dir():
            target.rename(replaced)
        arriving.rename(target)
    finally:
        if replaced.is_dir() and not target.exists():
            replaced.rename(target)
        for made in (arriving, replaced):
            shutil.rmtree(made, ignore_errors=True) if made.is_dir() else made.unlink(missing_ok=True)
    return placed


def open_plain(path: Path | str) -> IO[bytes]:
    """A regular file. It may have become a link since it was listed, or a pipe on which an ordinary open waits for ever.

    Raises:
        OSError: ELOOP for a link, ENXIO for what else is no regular file.
    """
    return os.fdopen(open_handle(path), "rb", buffering=0)


def open_handle(path: Path | str) -> int:
    """The same as a descriptor, which costs less where a hundred thousand small files are read."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.ENXIO, "no regular file", os.fspath(path))
    return handle


def pieces(path: Path | str, size: int | None = None) -> Iterator[bytes]:
    """A file's first `size` bytes, by default as many as it has now: one that somebody goes on writing to has no end."""
    with open_plain(path) as file:
        left = os.fstat(file.fileno()).st_size if size is None else size
        while left > 0 and (piece := file.read(min(left, CHUNK_BYTES))):
            left -= len(piece)
            yield piece


def size_bytes(source: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if not source.is_dir():
        return source.stat().st_size
    return sum(entry.stat(follow_symlinks=False).st_size for entry in walk(source))


def sha256_of(path: Path | str, size: int | None = None) -> str:
    sha = hashlib.sha256()
    for piece in pieces(path, size):
        sha.update(piece)
    return sha.hexdigest()
