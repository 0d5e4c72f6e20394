"""The landing folder: which deliveries lie there and what a look tells of each. Nothing here opens a picture or unpacks anything.

Whether a delivery is complete is told by `readiness.py`, which drop it is by `identity.py`.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from stat import S_ISLNK, S_ISREG

from dataops_assets.intake import inside
from dataops_assets.intake.bounds import readable
from dataops_assets.intake.inside import UNREADABLE, Entry
from dataops_assets.intake.inside import TooMany as TooMany  # it is told of by looks

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
WHOLE_BYTES, WHOLE_FILES = 24 << 30, 250_000  # a delivery up to these is read to tell it from another; the usual limits lie below
MAX_STRAYS = 100  # of one vendor, each with a row in the ledger; a thousand loose pictures are one mistake
ITSELF = "(folder)"  # the name by which a vendor's own folder stands in the ledger
UNREAD = "unreadable"  # stands for the digest of a file that can't be read
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
        root = os.open(landing / project, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return landed
    except OSError as error:
        faults[f"landing/{project}"] = f"can't be read: {error.strerror}"
        return landed
    try:
        for vendor in _entries(root):
            _scan_vendor(vendor, root, landing / project, landed)
    except OSError as error:
        faults[f"landing/{project}"] = f"can't be read: {error.strerror}"
    finally:
        os.close(root)
    return landed


def _scan_vendor(vendor: os.DirEntry[str], root: int, above: Path, landed: Landed) -> None:
    """What one vendor's folder holds; whatever is wrong with it is said, and the others go on."""
    shown = text_of(vendor.name)
    if vendor.name.startswith(".") or vendor.name in PASSED_OVER:
        return
    if vendor.is_symlink():
        landed.faults[shown] = "is a link, and links are not followed: make it a folder"
        landed.strays.append(Delivery(above.name, shown, ITSELF, above / vendor.name, True, "LINK_MEMBER"))
        return
    if not vendor.is_dir(follow_symlinks=False):
        landed.faults[shown] = "lies in no vendor's folder"
        return
    try:
        folder = os.open(vendor.name, inside.FOLDER, dir_fd=root)
        try:
            _scan_deliveries(folder, above / vendor.name, shown, landed)
        finally:
            os.close(folder)
    except OSError as error:
        landed.faults[shown] = f"can't be read: {error.strerror}"
        landed.strays.append(Delivery(above.name, shown, ITSELF, above / vendor.name, True, "UNREADABLE"))


def _entries(folder: int) -> list[os.DirEntry[str]]:
    """What lies directly in a folder, by name; of more than anybody may deliver, not all."""
    with os.scandir(folder) as entries:
        return sorted(islice(entries, MOST_ENTRIES), key=lambda entry: entry.name)


def _scan_deliveries(folder: int, path: Path, vendor: str, landed: Landed) -> None:
    known: set[str] = set()
    strays = 0
    entries = _entries(folder)
    if len(entries) >= MOST_ENTRIES:
        landed.faults[f"{vendor}/ (most)"] = f"more than {MOST_ENTRIES:,} deliveries and other things lie here; some are not looked at"
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
        is_archive = bool(fault) or not entry.is_dir(follow_symlinks=False)
        delivery = Delivery(path.parent.name, vendor, name, path / entry.name, is_archive, fault)
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
    if entry.is_dir(follow_symlinks=False):
        return ""
    if not entry.is_file(follow_symlinks=False):
        return "SPECIAL_MEMBER"
    if entry.name.lower().endswith(ARCHIVES):
        return ""
    return "UNSUPPORTED_ARCHIVE" if OTHER_ARCHIVES.search(entry.name) else "LOOSE_FILE"


def text_of(name: str) -> str:
    """A vendor's name as valid text, to keep and to show."""
    if name.isascii() and name.isprintable():
        return name
    return readable(name)[0]


def walk(delivery: Path) -> Iterator[Entry]:
    """Every entry below a folder that isn't a folder, in order of path; links are given, not followed.

    Raises:
        TooMany: when there are more than MOST_ENTRIES files and folders.
    """
    return inside.walk(delivery, MOST_ENTRIES)


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
        changed_ns: When the file that was put there or changed last was, by the disk's clock; nothing where there is none.
    """

    fingerprint: str
    listing: str
    bytes: int
    count: int = 1
    files: frozenset[str] = frozenset()
    is_marked: bool = False
    changed_ns: int | None = None


def look(delivery: Delivery) -> Look:
    """Look at a delivery once, reading no content.

    Raises:
        OSError: when something in it vanished meanwhile, can't be listed, or is too much.
    """
    above = len(delivery.path.name) + 1
    times, sizes = hashlib.sha256(), hashlib.sha256()
    files = set()
    size = count = 0
    marked = newest = -1
    for path, stat, name in _facts(delivery):  # nothing is kept of each: there may be half a million
        told = f"{path}\0{stat.st_size}".encode("utf-8", "surrogateescape")
        times.update(b"%b\0%d\0%d\n" % (told, stat.st_mtime_ns, stat.st_ctime_ns))
        size, count, newest = size + stat.st_size, count + 1, max(newest, stat.st_ctime_ns)
        is_file = S_ISREG(stat.st_mode)
        if path[above:] not in MARKERS:
            sizes.update(told + b"\n")
        elif is_file:
            marked = max(marked, stat.st_ctime_ns)
        if is_file and len(path) == above + len(name):
            files.add(name)
    changed = newest if count else None
    return Look(_short(times), _short(sizes), size, count, frozenset(files), marked >= newest >= 0, changed)


def _facts(delivery: Delivery) -> Iterator[tuple[str, os.stat_result, str]]:
    """Each file's path, beginning with the delivery's name, what the disk says of it, and its own name."""
    if delivery.is_archive:
        yield delivery.path.name, delivery.path.lstat(), delivery.path.name
        return
    above = f"{delivery.path.name}/"
    for entry in walk(delivery.path):
        yield above + entry.path, entry.stat(), entry.name


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


def content_sha256(delivery: Delivery, seen: Look | None = None, unread: Collection[str] = ()) -> str:
    """What tells a delivery's content from another: digest of the archive, or of each file's path and sha256.

    Links count by where they lead, and a file that can't be read as such. Of a delivery beyond WHOLE_BYTES or WHOLE_FILES nothing is
    read: there, paths, sizes and times of change count. So what is touched without a change is another content; what is changed
    never passes for the same, unless its time is put back as well.

    Args:
        delivery: A folder or an archive.
        seen: How it was looked at; default: as it is now. No more than it held then is read, however it has grown: that makes it another
            one, and another look tells so.
        unread: Readable paths of a folder's files that a reader could not read: they count as such, whatever they are by now.

    Raises:
        OSError: when something in it vanished meanwhile, or it can't be listed; or an archive can't be read.
    """
    seen = seen or look(delivery)
    if is_too_much_to_read(seen):
        above = len(delivery.path.name) + 1
        facts = ((path[above:], stat) for path, stat, _ in _facts(delivery))
        return digest_of_files(
            (path, UNREAD if unread and readable(path)[0] in unread else f"{stat.st_size}:{stat.st_mtime_ns}")
            for path, stat in facts
            if path not in MARKERS
        )
    if delivery.is_archive:
        return inside.sha256_of(delivery.path, seen.bytes)
    left = seen.bytes

    def content(entry: Entry) -> str:
        nonlocal left
        stat = entry.stat()
        size = min(left, stat.st_size)
        left -= size
        return _content(entry, stat.st_mode, size)

    files = ((readable(entry.path)[0], entry) for entry in islice(walk(delivery.path), seen.count))
    return digest_of_files((name, UNREAD if name in unread else content(entry)) for name, entry in files if name not in MARKERS)


def holds_less(delivery: Delivery, known: Mapping[str, int | None]) -> bool:
    """Whether a folder holds some of the files that are known, readable path -> size in bytes or unknown, and nothing else."""
    count = 0
    for entry in walk(delivery.path):
        path = readable(entry.path)[0]
        if path not in known or known[path] not in (None, entry.stat().st_size):
            return False
        count += 1
    return count < len(known)


def is_too_much_to_read(seen: Look) -> bool:
    """Whether a delivery's content is told from another without reading it."""
    return seen.bytes > WHOLE_BYTES or seen.count > WHOLE_FILES


def _content(entry: Entry, mode: int, size: int) -> str:
    if not S_ISREG(mode):
        return f"link:{entry.target()}" if S_ISLNK(mode) else "special"
    try:
        return inside.sha256_of_handle(entry.open(), size)
    except OSError as error:
        if error.errno in UNREADABLE:
            return UNREAD
        raise


def digest_of_files(files: Iterable[tuple[str, str]]) -> str:
    """Digest over (path, sha256) of a delivery's files, in order."""
    sha = hashlib.sha256()
    for path, digest in files:
        sha.update(f"{path}\0{digest}\n".encode(errors="surrogateescape"))
    return sha.hexdigest()


def _own(source: Path) -> Path:
    """A path that somebody gave, with links above it resolved: what lies outside of landing is theirs. `..` gets its name, too."""
    source = Path(os.path.abspath(source))
    return Path(os.path.realpath(source.parent)) / source.name


def place(source: Path, landing: Path, project: str, vendor: str) -> Delivery:
    """Copy a folder or an archive into landing under its own name, whole or not at all.

    Raises:
        ValueError: when it is neither, or its name says that it is unfinished.
    """
    source = _own(source)
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


def size_bytes(source: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if not source.is_dir():
        return source.stat().st_size
    return sum(entry.stat().st_size for entry in walk(_own(source)))
