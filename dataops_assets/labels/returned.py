"""Files as a vendor returned them -> documents that can be read one by one.

- A zip stands for the files in it; it is read as strictly as a delivery of pictures, and refused whole.
- YOLO's text files are read with the class list in their folder or the nearest one above it.
- Who labelled, where a format can't say it: a folder, or a file's name without its suffix, `annotator=<name>` (percent-encoded where a
  file system would mind). Without one, all such files of a vendor are one person's work, `tables.UNNAMED`, so that they
  never count as several opinions.
- Pictures, class lists and lists of file names hold no answers and give no rows.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from dataops_assets.intake import zips
from dataops_assets.intake.bounds import Budget, TooLarge
from dataops_assets.intake.bounds import Refused as ArchiveRefused
from dataops_assets.labels import tables
from dataops_assets.labels.formats import yolo
from dataops_assets.labels.formats.answers import item_of
from dataops_assets.labels.tables import Refused
from dataops_assets.spec import Attribute, IntakeLimits

LIMITS = IntakeLimits(member_bytes=tables.MAX_BYTES, total_bytes=tables.MAX_BYTES, members=100_000)  # of one zip, in memory
MARKERS = re.compile(r"(?:.*/)?(?:\..*|_COMPLETE|_READY|Thumbs\.db|desktop\.ini)|(?:.*/)?(?:__MACOSX|\.[^/]*)/.*", re.IGNORECASE)
PICTURES = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II\*\x00|MM\x00\*", re.DOTALL)
LISTS = re.compile(r"(?:.*/)?(?:labelmap\.txt|obj\.data|notes\.json|(?:train|val|valid|test)\.txt|ImageSets/.*\.txt)", re.IGNORECASE)
_ANNOTATOR = re.compile(r"(?:^|(?<=/))annotator=([^/]*?)(?=/|\.zip/|\.[A-Za-z0-9]{1,6}$|$)")


@dataclass(frozen=True)
class Document:
    """One file to read.

    Attributes:
        name: Its path below the vendor's folder; a zip's members lie below the zip.
        data: Its bytes.
        sha256: Of the file that was delivered: the zip's, for its members; "" of one too large to be read.
        fault: The reason code for which it can't be read at all, or "".
        classes: What YOLO's numbers mean; None for a file of another format.
    """

    name: str
    data: bytes
    sha256: str
    fault: str = ""
    classes: tuple[str, ...] | None = None

    @property
    def key(self) -> str:
        """Same content, same key: its sha256, with what the path says about a file that doesn't say it itself."""
        path = [annotator_of(self.name) or "", *((item_of(self.name), *self.classes) if self.classes else ())]
        content = hashlib.sha256(self.data)
        if any(path):
            content.update("\0".join(["", *path]).encode("utf-8", "surrogatepass"))
        return content.hexdigest()


def taken(path: Path) -> bytes | None:
    """A returned file's bytes; None where it is larger than is read, by its size before it is opened and by what came after."""
    size = path.stat().st_size
    if size > tables.MAX_BYTES:
        return None
    with path.open("rb") as file:
        head = file.read(tables.HEAD)
        most = tables.most_bytes(head)
        if size > most:
            return None
        data = head + file.read(most + 1 - len(head))
    return data if len(data) <= most else None


def documents(files: Iterable[tuple[str, bytes | None]]) -> list[Document]:
    """What there is to read among one vendor's files, those in no folder first, then by their paths.

    Args:
        files: (path below the vendor's folder, bytes as `taken`).
    """
    found: list[Document] = []
    for name, data in sorted(files, key=lambda file: rank(file[0])):
        if MARKERS.fullmatch(name):
            continue
        if data is None:
            found.append(Document(name, name.encode("utf-8", "surrogatepass"), "", "TOO_LARGE"))
        else:
            found += _unpacked(name, data) if data[:4] in zips.MAGIC else [Document(name, data, hashlib.sha256(data).hexdigest())]
    lists = _class_lists(found)
    return [done for document in found for done in _with_classes(document, lists)]


def rank(name: str) -> tuple[int, str]:
    """Order of files: a copy in a folder comes after what it is a copy of."""
    return name.count("/"), name


def read(document: Document, sizes: dict[str, tuple[int, int]], asked: Sequence[Attribute]) -> pd.DataFrame:
    """Its rows, with `tables.COLUMNS`; a file that can't be used is one row with its fault, in row 0."""
    try:
        if document.fault:
            raise Refused(document.fault, document.name)
        if document.classes is not None:
            rows = yolo.read(document.data, item_of(document.name), document.classes, sizes, asked)
        else:
            rows = tables.read(document.data, sizes, asked)
    except Refused as refused:
        return pd.DataFrame([dict.fromkeys(tables.COLUMNS, "") | {"row": 0, "part": 0, "answer": 0, "fault": refused.code}])
    who = annotator_of(document.name)
    if who:
        rows.loc[rows["annotator"].isin(["", tables.UNNAMED]), "annotator"] = who
    return rows


def annotator_of(name: str) -> str | None:
    """Who labelled, by a path that says so; the part nearest to the file counts."""
    found: list[str] = _ANNOTATOR.findall(name)
    return unquote(found[-1]).strip() or None if found else None


def without_annotators(name: str, alias: Callable[[str], str]) -> str:
    """The path with pseudonyms where it names annotators."""
    return _ANNOTATOR.sub(lambda found: f"annotator={alias(unquote(found[1]).strip())}", name)


def _unpacked(name: str, data: bytes) -> list[Document]:
    sha256 = hashlib.sha256(data).hexdigest()
    found: list[Document] = []
    try:
        for member in zips.members(io.BytesIO(data), Budget(LIMITS, packed=len(data))):
            path = f"{name}/{member.path}"
            try:
                content = b"".join(member.chunks)
            except TooLarge:
                found.append(Document(path, path.encode(), sha256, "TOO_LARGE"))
                continue
            fault = member.fault or ("NESTED_ARCHIVE" if content[:4] in zips.MAGIC else "")
            if not MARKERS.fullmatch(path):
                found.append(Document(path, content, sha256, fault))
    except ArchiveRefused as refused:
        return [Document(name, data, sha256, refused.code)]
    return found or [Document(name, data, sha256, "NO_ROWS")]


def _class_lists(found: Sequence[Document]) -> dict[str, tuple[str, ...] | str]:
    """Folder -> the class names that hold in it and below, or the fault of its list."""
    lists: dict[str, tuple[str, ...] | str] = {}
    for name in yolo.CLASS_LISTS:
        for document in found:
            folder, _, last = document.name.rpartition("/")
            if last.lower() != name:
                continue
            try:
                names: tuple[str, ...] | str = document.fault or yolo.classes(last, document.data)
            except Refused as refused:
                names = refused.code
            if lists.setdefault(folder, names) != names:
                lists[folder] = "SCHEMA"  # two lists that contradict each other
    return lists


def _with_classes(document: Document, lists: dict[str, tuple[str, ...] | str]) -> Iterator[Document]:
    folder, _, last = document.name.rpartition("/")
    above = folder
    while above not in lists and above:
        above = above.rpartition("/")[0]
    names = lists.get(above)
    is_list = folder in lists and last.lower() in yolo.CLASS_LISTS
    if is_list and isinstance(lists[folder], tuple):
        return
    if (folder or names) and not document.fault and (PICTURES.match(document.data) or LISTS.fullmatch(document.name)):
        return
    if names is None or is_list or document.fault or not last.lower().endswith(".txt"):
        code = document.fault or (str(lists[folder]) if is_list else "")
        yield Document(document.name, document.data, document.sha256, code)
    elif isinstance(names, tuple):
        yield Document(document.name, document.data, document.sha256, classes=names)
    else:
        yield Document(document.name, document.data, document.sha256, names)
