"""One delivery, file by file: kept as blobs, described from their headers, each with a status and a reason."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings as warnings_
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.intake import delivery_manifest, landing, members
from dataops_assets.intake.delivery_manifest import Listed, ManifestError
from dataops_assets.spec import ImageVendor, ProjectSpec

FORMATS = {
    "JPEG": {"jpg", "jpeg", "jpe", "jfif"},
    "MPO": {"jpg", "jpeg", "mpo"},
    "PNG": {"png"},
    "WEBP": {"webp"},
    "TIFF": {"tif", "tiff"},
    "BMP": {"bmp", "dib"},
    "GIF": {"gif"},
}
KNOWN_SUFFIXES = set().union(*FORMATS.values())
JUNK = re.compile(r"(^|/)(\.DS_Store|Thumbs\.db|desktop\.ini|\._[^/]*|\.[^/]+|__MACOSX/.*)$", re.IGNORECASE)
HELD = ("INCOMPLETE", "MANIFEST_MISSING", "MANIFEST_FILE_MISSING")
PROGRESS_EVERY = 20


@dataclass(frozen=True)
class Receipt:
    """What became of a delivery: `raw_images` rows, and the drop's own status and reason."""

    frame: pd.DataFrame
    status: str
    reason: str
    files_seen: int
    bytes_seen: int
    content_sha256: str
    facts: dict[str, float | int | str] = field(default_factory=dict)


def receive(
    delivery: landing.Delivery,
    drop_id: str,
    spec: ProjectSpec,
    blobs: Blobs,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Receipt:
    """Take a delivery in. Whatever is wrong with it ends in a reason code, not in an exception.

    Accepted and quarantined bytes are kept as blobs; a drop that is refused as a whole keeps the rows seen so far as
    quarantined, with the drop's reason.
    """
    vendor = spec.sources.vendor(delivery.vendor)
    content = landing.content_sha256(delivery)
    rows: list[dict[str, Any]] = []
    refusal = "" if vendor is not None else "VENDOR_UNKNOWN"
    named: tuple[str, bytes] | None = None
    if not refusal:
        try:
            for member in members.members(delivery, spec.sources.limits):
                row, data = _read(member, spec, blobs)
                rows.append(row)
                if data is not None and (named is None or member.path == delivery_manifest.find([named[0], member.path])):
                    named = member.path, data
                if len(rows) % PROGRESS_EVERY == 0:
                    progress(len(rows), len(rows))
        except members.Refused as error:
            refusal = error.code
        except OSError as error:
            if error.errno is not None and not delivery.path.exists():
                refusal = "INCOMPLETE"
            else:
                raise
    progress(len(rows), len(rows))
    missing: list[str] = []
    if not refusal and vendor is not None:
        refusal, missing = _apply_manifest(rows, named, vendor, spec)
    _name_collisions(rows)
    _duplicates(rows)
    if not refusal and not any(row["status"] != "ignored" for row in rows):
        refusal = "EMPTY_DROP"
    return _receipt(delivery, drop_id, content, rows, refusal, missing)


def _read(member: members.Member, spec: ProjectSpec, blobs: Blobs) -> tuple[dict[str, Any], bytes | None]:
    """A member's row, and its bytes if it is a manifest."""
    row: dict[str, Any] = {"path": member.path, "warnings": set(member.warnings), "status": "accepted", "reason": None}
    if member.fault:
        return {**row, "status": "quarantined", "reason": member.fault}, None
    if member.path in landing.MARKERS or JUNK.search(member.path):
        size = sum(len(chunk) for chunk in member.chunks)
        reason = None if member.path in landing.MARKERS else "JUNK_IGNORED"
        return {**row, "status": "ignored", "reason": reason, "size_bytes": size}, None
    try:
        sha256, size = blobs.put_stream(member.chunks)
    except members.TooLarge:
        return {**row, "status": "quarantined", "reason": "TOO_LARGE"}, None
    row |= {"sha256": sha256, "image_id": sha256, "size_bytes": size}
    if member.path in delivery_manifest.NAMES:
        return {**row, "status": "ignored"}, blobs.read(sha256)
    fault, header = _header(blobs.read(sha256), member.path, spec.sources.limits.pixels) if size else ("ZERO_BYTE", {})
    row |= header
    if fault:
        row |= {"status": "quarantined", "reason": fault}
    return row, None


def _header(data: bytes, path: str, pixels: int) -> tuple[str, dict[str, Any]]:
    """Fault code ('' when none) and header facts of a picture; decodes nothing."""
    from PIL import Image

    if data.startswith(members.ARCHIVE_MAGIC):
        return "NESTED_ARCHIVE", {}
    try:
        with warnings_.catch_warnings():
            warnings_.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                facts: dict[str, Any] = {"format": image.format, "width_px": image.width, "height_px": image.height}
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Image.DecompressionBombError:
        return "TOO_LARGE", {}
    except Exception:  # Pillow raises ten types and more on hostile headers
        suffix = path.rsplit(".", 1)[-1].lower()
        return "CORRUPT" if suffix in KNOWN_SUFFIXES else "TYPE_MISMATCH", {}
    suffix = path.rsplit(".", 1)[-1].lower() if "." in path.rsplit("/", 1)[-1] else ""
    if facts["format"] not in FORMATS or (suffix in KNOWN_SUFFIXES and suffix not in FORMATS[facts["format"]]):
        return "TYPE_MISMATCH", facts
    if facts["width_px"] * facts["height_px"] > pixels:
        return "TOO_LARGE", facts
    return ("MULTI_FRAME" if frames > 1 else ""), facts


def _apply_manifest(
    rows: list[dict[str, Any]], named: tuple[str, bytes] | None, vendor: ImageVendor, spec: ProjectSpec
) -> tuple[str, list[str]]:
    """Fill in what the manifest says and check files against it; returns the drop's refusal and the paths that are missing."""
    listed: dict[str, Listed] = {}
    if named is None and vendor.manifest == "required":
        return "MANIFEST_MISSING", []
    if named is not None:
        try:
            listed = {row.path: row for row in delivery_manifest.parse(*named).files}
        except ManifestError as error:
            return error.code, []
    for row in rows:
        if row["path"] in delivery_manifest.NAMES and named is not None and row["path"] != named[0]:
            row |= {"status": "ignored", "reason": "EXTRA_MANIFEST"}
        if row["status"] == "ignored":
            continue
        entry = listed.get(row["path"])
        words = entry or Listed(row["path"])
        row["category"] = words.category or vendor.category
        row["license"] = words.license or vendor.license
        row["consent"] = words.consent or vendor.consent
        row["captured_at"], row["group_id"] = words.captured_at, words.group
        row["price"] = words.price if words.price is not None else vendor.price_per_image
        if row["status"] == "accepted":
            fault = _against(row, entry, bool(listed), spec)
            if fault:
                row |= {"status": "quarantined", "reason": fault}
    present = {row["path"] for row in rows}
    return "", sorted(listed.keys() - present)


def _against(row: dict[str, Any], entry: Listed | None, has_manifest: bool, spec: ProjectSpec) -> str:
    if has_manifest and entry is None:
        return "MANIFEST_FILE_UNLISTED"
    if entry is not None:
        is_same = entry.sha256 in (None, row["sha256"]) and entry.bytes in (None, row["size_bytes"])
        if not is_same:
            return "CHECKSUM_MISMATCH"
    if spec.sources.licenses and row["license"] not in spec.sources.licenses:
        return "LICENSE_REFUSED"
    if spec.sources.consent == "required" and not (row["consent"] or "").strip():
        return "CONSENT_MISSING"
    return ""


def _name_collisions(rows: list[dict[str, Any]]) -> None:
    """Names that come twice get `#2`; names that a file system or a reader may confuse are marked."""
    seen: Counter[str] = Counter()
    content: dict[str, Any] = {}
    for row in rows:
        name = row["path"]
        seen[name] += 1
        if seen[name] > 1:
            row["path"] = f"{name}#{seen[name]}"
            is_same = content[name] == row.get("sha256")
            row |= {
                "status": "duplicate" if is_same else "quarantined",
                "reason": "DUPLICATE_NAME" if is_same else "DUPLICATE_NAME_CONFLICT",
            }
        content.setdefault(name, row.get("sha256"))
    for code, fold in (("NAME_CASE_COLLISION", str.casefold), ("NAME_UNICODE_COLLISION", _normal)):
        held: dict[str, set[str]] = {}
        for row in rows:
            held.setdefault(fold(row["path"]), set()).add(row["path"])
        for row in rows:
            if len(held[fold(row["path"])]) > 1:
                row["warnings"].add(code)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _duplicates(rows: list[dict[str, Any]]) -> None:
    first: set[str] = set()
    for row in sorted((row for row in rows if row["status"] == "accepted"), key=lambda row: str(row["path"])):
        if row["sha256"] in first:
            row |= {"status": "duplicate", "reason": "DUPLICATE_CONTENT"}
        first.add(row["sha256"])


def _receipt(
    delivery: landing.Delivery, drop_id: str, content: str, rows: list[dict[str, Any]], refusal: str, missing: list[str]
) -> Receipt:
    if refusal:
        for row in rows:
            if row["status"] != "ignored":
                row |= {"status": "held" if refusal in HELD else "quarantined", "reason": row["reason"] or refusal}
    seen = len(rows)
    rows = rows + [{"path": f"{path}", "status": "held", "reason": "MANIFEST_FILE_MISSING", "warnings": set()} for path in missing]
    made = [{**row, "drop_id": drop_id, "vendor": delivery.vendor, "warnings": "|".join(sorted(row["warnings"])) or None} for row in rows]
    frame = pd.DataFrame(made, columns=list(CONTRACTS["raw_images"].columns))
    tally = Counter(frame["status"])
    reasons = sorted({refusal} - {""} | ({"MANIFEST_FILE_MISSING"} if missing else set()))
    if refusal:
        status = "held" if refusal in HELD else "rejected"
    elif not tally["accepted"]:
        status, reasons = "rejected", sorted({row["reason"] for row in made if row["reason"]} - {"JUNK_IGNORED"})
    else:
        status = "partial" if tally["quarantined"] or tally["held"] else "accepted"
        reasons = sorted({row["reason"] for row in made if row["status"] in ("quarantined", "held")})
    size = int(sum(row.get("size_bytes") or 0 for row in rows))
    return Receipt(frame, status, "|".join(reasons), seen, size, content, {})
