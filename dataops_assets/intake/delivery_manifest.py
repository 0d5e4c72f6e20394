"""A vendor's manifest: `manifest.json` or `manifest.csv`, read strictly. Its words are data, never paths to open."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataops_assets.spec import IntakeLimits

NAMES = ("manifest.json", "manifest.csv")
FIELDS = ("path", "sha256", "bytes", "category", "license", "consent", "captured_at", "price", "group")
HEAD = ("schema_version", "vendor", "drop_id", "files")
MAX_BYTES = 64 * 2**20
MAX_TEXT = 1000
VALUES_A_FILE = 4 * len(FIELDS)  # columns that we don't know and commas inside texts included
OPENINGS_A_FILE = 4  # an object each; names may hold brackets
HALF = re.compile(r"\\u[dD][89a-fA-F]")  # of a character that JSON writes in two parts
LONE = re.compile("[\ud800-\udfff]")  # a half without the other: nothing can write it down
ADDRESSES = "urls.csv"  # list and manifest in one


class ManifestError(ValueError):
    """The manifest can't be used.

    Attributes:
        code: The reason code of the whole drop.
        message: Which entry, and what is wrong with it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


@dataclass(frozen=True)
class Listed:
    """One file as the manifest lists it."""

    path: str
    sha256: str | None = None
    bytes: int | None = None
    category: str | None = None
    license: str | None = None
    consent: str | None = None
    captured_at: str | None = None
    price: float | None = None
    group: str | None = None


@dataclass(frozen=True)
class DeliveryManifest:
    files: tuple[Listed, ...]
    warnings: tuple[str, ...] = field(default=())


def find(names: Iterable[str]) -> str | None:
    """The manifest among a delivery's top-level names; JSON before CSV."""
    held = set(names)
    return next((name for name in NAMES if name in held), None)


def parse(name: str, data: bytes, limit: int = IntakeLimits().members) -> DeliveryManifest:
    """Read a manifest of at most `limit` files.

    Raises:
        ManifestError: MANIFEST_INVALID when it isn't JSON or CSV, MANIFEST_SCHEMA when its content doesn't fit, UNSAFE_PATH,
            TOO_MANY_MEMBERS.
    """
    text = text_of(data, limit)
    rows, warnings = _json(text, limit) if name.endswith(".json") else read_table(text, "path", limit)
    files: dict[str, Listed] = {}
    for number, row in enumerate(rows, start=1):
        listed = read_row(row, number)
        if listed.path in files:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: path {listed.path[:80]!r} is listed twice")
        files[listed.path] = listed
    return DeliveryManifest(tuple(files.values()), tuple(sorted(warnings)))


def text_of(data: bytes, limit: int) -> str:
    """A list of at most `limit` files as text.

    Raises:
        ManifestError: MANIFEST_INVALID when it is none, TOO_MANY_MEMBERS when it holds more values than such a list needs. A
            value of two bytes takes sixty once it is parsed, so they are counted before.
    """
    if len(data) > MAX_BYTES:
        raise ManifestError("MANIFEST_INVALID", f"{len(data)} bytes are more than {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError("MANIFEST_INVALID", f"not UTF-8 in line {line}, at byte {error.start}") from error
    if data.count(b",") > VALUES_A_FILE * (limit + 1):
        raise ManifestError("TOO_MANY_MEMBERS", f"more values than {limit} files need")
    return text


def _json(text: str, limit: int) -> tuple[list[dict[str, Any]], set[str]]:
    def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        held = dict(pairs)
        if len(held) != len(pairs):
            twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
            raise ValueError(f"the key {twice[:80]!r} comes twice in one object")
        return held

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON number")

    if text.count("{") + text.count("[") > OPENINGS_A_FILE * (limit + 1):
        raise ManifestError("TOO_MANY_MEMBERS", f"more lists and objects than {limit} files need")
    try:
        document = json.loads(text, object_pairs_hook=no_repeats, parse_constant=refuse)
        told = json.dumps(document, ensure_ascii=False) if HALF.search(text) else ""
    except (ValueError, RecursionError) as error:
        raise ManifestError("MANIFEST_INVALID", str(error)[:200]) from error
    if found := LONE.search(told):
        raise ManifestError(
            "MANIFEST_INVALID", f"half of a character, {found[0]!r}, after {told[max(0, found.start() - 40) : found.start()]!r}"
        )
    if not isinstance(document, dict) or not isinstance(document.get("files"), list):
        raise ManifestError("MANIFEST_SCHEMA", "expected an object with a list `files`")
    if document.get("schema_version", 1) != 1:
        raise ManifestError("MANIFEST_SCHEMA", f"schema_version {str(document['schema_version'])[:80]!r}; 1 is known")
    rows = document["files"]
    if len(rows) > limit:
        raise ManifestError("TOO_MANY_MEMBERS", f"more than {limit} files")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number} of `files` must be an object")
    unknown = (document.keys() - set(HEAD)) | {key for row in rows for key in row.keys() - set(FIELDS)}
    return rows, {"MANIFEST_UNKNOWN_FIELD"} if unknown else set()


def read_table(text: str, column: str, limit: int) -> tuple[list[dict[str, Any]], set[str]]:
    """The rows of a CSV with a header, without its empty cells, and warning codes.

    Raises:
        ManifestError: at the first row that doesn't fit; nothing is filled up, so a short row of many columns costs nothing.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[dict[str, Any]] = []
    try:
        columns = next(filter(None, reader), [])
        if column not in columns or len(set(columns)) != len(columns):
            raise ManifestError("MANIFEST_SCHEMA", f"expected a header with `{column}`, each column once")
        for cells in filter(None, reader):
            if len(cells) != len(columns):
                told = f"line {reader.line_num}: {len(cells)} cells, where the header has {len(columns)}"
                raise ManifestError("MANIFEST_SCHEMA", told)
            if len(rows) == limit:
                raise ManifestError("TOO_MANY_MEMBERS", f"more than {limit} files")
            rows.append({name: cell for name, cell in zip(columns, cells, strict=True) if cell != ""})
    except csv.Error as error:
        raise ManifestError("MANIFEST_INVALID", f"line {reader.line_num}: {error}") from error
    return rows, {"MANIFEST_UNKNOWN_FIELD"} if set(columns) - {column, *FIELDS} else set()


def by_spelling(names: Collection[str], listed: Mapping[str, Listed]) -> dict[str, Listed]:
    """What is listed, under the names that the files have.

    Systems write an accented letter as one character or as two, and a zip from macOS has two where its maker's list has one. A listed
    name that is no file's means the one file that is spelt so, if no other name, listed or there, differs by the spelling alone.
    """
    here: dict[str, list[str]] = {}
    asked: dict[str, list[str]] = {}
    for name in names:
        if name not in listed:
            here.setdefault(normal(name), []).append(name)
    for path in listed.keys() - set(names):
        asked.setdefault(normal(path), []).append(path)
    meant = {paths[0]: here[form][0] for form, paths in asked.items() if len(paths) == len(here.get(form, ())) == 1}
    return {meant.get(path, path): row for path, row in listed.items()}


def normal(name: str) -> str:
    """A name in the one spelling that stands for all of them (Unicode's NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def read_row(row: dict[str, Any], number: int) -> Listed:
    """One entry of a manifest; `number` (from 1) is for the sentence of a ManifestError."""
    path = row.get("path")
    if not isinstance(path, str) or not path:
        raise ManifestError("MANIFEST_SCHEMA", f"entry {number} has no path")
    path = path.removeprefix("./")  # as the names in archives
    if not is_safe_path(path):
        raise ManifestError("UNSAFE_PATH", f"entry {number} names {path[:80]!r}")
    words = {name: _text(row.get(name), name, number) for name in ("category", "license", "consent", "captured_at", "group")}
    sha256 = _text(row.get("sha256"), "sha256", number)
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: sha256 must be 64 hex digits")
    size, price = _number(row.get("bytes"), "bytes", number), _number(row.get("price"), "price", number)
    if size is not None and size != int(size):
        raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: bytes must be a whole number")
    return Listed(path, sha256.lower() if sha256 else None, int(size) if size is not None else None, price=price, **words)


def is_safe_path(path: str) -> bool:
    """Whether a name stays below the drop: relative, forward slashes, no `..`, no drive, no NUL."""
    if "\0" in path or "\\" in path or path.startswith("/") or re.match(r"^[A-Za-z]:", path):
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def _text(value: Any, name: str, number: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: {name} must be text of at most {MAX_TEXT} characters")
    return value


def _number(value: Any, name: str, number: int) -> float | None:
    if value is None:
        return None
    try:
        found = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):  # an integer of 400 digits is valid JSON
        found = math.nan
    if not math.isfinite(found) or found < 0:
        raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: {name} must be a number, 0 or more")
    return found
