"""A vendor's manifest: `manifest.json` or `manifest.csv`, read strictly. Its words are data, never paths to open."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

NAMES = ("manifest.json", "manifest.csv")
FIELDS = ("path", "sha256", "bytes", "category", "license", "consent", "captured_at", "price", "group")
HEAD = ("schema_version", "vendor", "drop_id", "files")
MAX_BYTES = 64 * 2**20
MAX_TEXT = 1000


class ManifestError(ValueError):
    """The manifest can't be used; `code` is the reason code of the whole drop."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


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


def parse(name: str, data: bytes) -> DeliveryManifest:
    """Read a manifest.

    Raises:
        ManifestError: MANIFEST_INVALID when it isn't JSON or CSV, MANIFEST_SCHEMA when its content doesn't fit.
    """
    if len(data) > MAX_BYTES:
        raise ManifestError("MANIFEST_INVALID", f"{len(data)} bytes are more than {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError("MANIFEST_INVALID", f"not UTF-8 at byte {error.start}") from error
    rows, warnings = _json(text) if name.endswith(".json") else _csv(text)
    files: dict[str, Listed] = {}
    for number, row in enumerate(rows, start=1):
        listed = read_row(row, number)
        if listed.path in files:
            raise ManifestError("MANIFEST_SCHEMA", f"path {listed.path!r} is listed twice")
        files[listed.path] = listed
    return DeliveryManifest(tuple(files.values()), tuple(sorted(warnings)))


def _json(text: str) -> tuple[list[dict[str, Any]], set[str]]:
    def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        held = dict(pairs)
        if len(held) != len(pairs):
            raise ValueError("a key comes twice in one object")
        return held

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON number")

    try:
        document = json.loads(text, object_pairs_hook=no_repeats, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ManifestError("MANIFEST_INVALID", str(error)[:200]) from error
    if not isinstance(document, dict) or not isinstance(document.get("files"), list):
        raise ManifestError("MANIFEST_SCHEMA", "expected an object with a list `files`")
    if document.get("schema_version", 1) != 1:
        raise ManifestError("MANIFEST_SCHEMA", f"schema_version {document['schema_version']!r}; 1 is known")
    rows = document["files"]
    if not all(isinstance(row, dict) for row in rows):
        raise ManifestError("MANIFEST_SCHEMA", "every entry of `files` must be an object")
    unknown = (document.keys() - set(HEAD)) | {key for row in rows for key in row.keys() - set(FIELDS)}
    return rows, {"MANIFEST_UNKNOWN_FIELD"} if unknown else set()


def _csv(text: str) -> tuple[list[dict[str, Any]], set[str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows: list[dict[str, Any]] = list(reader)
    except csv.Error as error:
        raise ManifestError("MANIFEST_INVALID", f"line {reader.line_num}: {error}") from error
    columns = reader.fieldnames or []
    if "path" not in columns or len(set(columns)) != len(columns):
        raise ManifestError("MANIFEST_SCHEMA", "expected a header with `path`, each column once")
    if any(None in row or None in row.values() for row in rows):
        raise ManifestError("MANIFEST_SCHEMA", "a row has more or fewer cells than the header")
    warnings = {"MANIFEST_UNKNOWN_FIELD"} if set(columns) - set(FIELDS) else set()
    cleaned = [{key: value for key, value in row.items() if value != ""} for row in rows]
    return cleaned, warnings


def read_row(row: dict[str, Any], number: int) -> Listed:
    """One entry of a manifest; `number` (from 1) is for the sentence of a ManifestError."""
    path = row.get("path")
    if not isinstance(path, str) or not path:
        raise ManifestError("MANIFEST_SCHEMA", f"entry {number} has no path")
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
    return value.encode("utf-8", "replace").decode()


def _number(value: Any, name: str, number: int) -> float | None:
    if value is None:
        return None
    try:
        found = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found) or found < 0:
        raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: {name} must be a number, 0 or more")
    return found
