"""What a vendor hears about one delivery: a page with examples, and a CSV with every file. Both can be sent as they are.

Decided: a report tells what the vendor delivered and what became of it, in words that help to deliver better, and nothing
else. Of another vendor's picture it says only that we have it already; people, gates, scores, waivers and paths of ours stay out.
A vendor's words are data: invisible characters are spelt out, markup is escaped, formulas are disarmed. Pictures are thumbnails
of at most 96 px, re-encoded in bounded child processes, so no metadata leaves and no face or text is readable; withdrawn ones
aren't shown. The page names ten files a reason and stays below `MAX_BYTES` however large the delivery is; the CSV has them all.
No clock is read: the same ledgers and tables give the same bytes.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets import manifest
from dataops_assets.exports import sheets
from dataops_assets.manifest import records
from dataops_assets.reports import pages
from dataops_assets.reports.reasons import OF_DELIVERIES, REASONS, explain
from dataops_assets.spec import ImageVendor, ProjectSpec
from dataops_assets.store import RELEASING, Store

__all__ = ["JUDGED", "MAX_BYTES", "REASONS", "write"]

JUDGED = ("raw_images", "cleaned_set")  # the gates after which a vendor hears something new
MAX_BYTES = 1_500_000
NAMES, NAME_LETTERS, CATEGORIES = 10, 120, 20
EXAMPLES, PICTURES = 6, 48
UNREAD = ("CORRUPT", "ZERO_BYTE", "TOO_LARGE", "MULTI_FRAME", "NESTED_ARCHIVE")  # no thumbnail is even tried
COLUMNS = ("path", "status", "reason", "what it means", "warnings", "sha256", "bytes", "width", "height", "category")
SEEN_BEFORE = "a picture we already have"

WORDS = {
    "kept": "in use",
    "accepted": "accepted, screening is to come",
    "in order": "nothing wrong with the file, but the delivery is not accepted",
    "review": "waits for a person to look at it",
    "left out": "accepted, but left out by the screening",
    "duplicate": "a copy inside this delivery",
    "refused": "can't be used",
    "held": "waits for the rest of the delivery",
    "missing": "listed in the manifest, not delivered",
    "ignored": "markers, manifests and files that systems leave behind",
}
FROM_RAW = {"quarantined": "refused"}
FROM_CLEANED = {"kept": "kept", "rejected": "left out", "review": "review"}
FAULTS = {
    "not_empty": "it holds no picture that we could judge",
    "something_accepted": "it holds no file that can be used",
    "accepted_share": "too many of its files can't be used",
    "vendor_known": "the folder it came in is not a vendor's of this project",
    "license_allowed": "the licence of some files is not one that the project may use",
    "license_given": "some files name no licence",
    "consent_given": "some files name no consent reference",
    "keep_share": "too many of its pictures fail the screening",
}


@dataclass(frozen=True)
class Story:
    """All that is known of one delivery and may be told.

    `files` has a row a file: path, status (a key of `WORDS`), reason, warnings, what it doubles, facts, and the blob to show.
    """

    spec: ProjectSpec
    drop_id: str
    vendor: str
    drop: Mapping[str, Any]
    files: pd.DataFrame
    raw: Mapping[str, Any]
    cleaned: Mapping[str, Any]
    so_far: pd.DataFrame
    received_at: Any = None
    replaces: str | None = None
    replaced_by: str | None = None
    is_withdrawn: bool = False
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def terms(self) -> ImageVendor | None:
        return self.spec.sources.vendor(self.vendor)

    @property
    def is_taken(self) -> bool:
        return self.raw.get("outcome") in RELEASING

    def count(self, *statuses: str) -> int:
        return int(self.files["status"].isin(statuses).sum())


def write(store: Store, spec: ProjectSpec, drop_id: str) -> Path:
    """Write `reports/<project>/deliveries/<drop_id>.html` and `.csv` from what was last judged; returns the page's path.

    Raises:
        LookupError: when neither the `drops` nor the `gates` ledger knows the drop.
    """
    story = _gather(store, spec, drop_id)
    folder = store.home.reports(spec.name) / "deliveries"
    pages.put(folder / f"{drop_id}.csv", _sheet(story.files))
    return pages.put(folder / f"{drop_id}.html", _page(story))


# ---- what is known


def _gather(store: Store, spec: ProjectSpec, drop_id: str) -> Story:
    drops, gates = store.drops.rows(), store.gates.rows()
    drops = drops[drops["project"] == spec.name]
    gates = gates[(gates["project"] == spec.name) & (gates["partition"] == drop_id)]
    entered = records(drops[drops["drop_id"] == drop_id])
    raw, cleaned = (_last(gates[gates["asset"] == asset]) for asset in JUDGED)
    if not entered and not raw:
        raise LookupError(f"{spec.name} knows no drop {drop_id}")
    if cleaned:  # only what was screened from the files shown
        seen = store.inputs("cleaned_set", spec.name, drop_id, cleaned["version"]).get("raw_images", {})
        cleaned = cleaned if seen.get(drop_id) == raw.get("version") else {}
    frame = _frame(store, spec, "raw_images", drop_id, raw)
    screened = _frame(store, spec, "cleaned_set", drop_id, cleaned)
    drop = entered[-1] if entered else {}
    vendor = str(drop.get("vendor") or (frame["vendor"].iloc[0] if len(frame) else ""))
    so_far = _so_far(store, spec, drops, vendor)
    names = {row["drop_id"]: row["name"] for row in records(drops[drops["vendor"] == vendor])}
    gone, images = store.withdrawn(spec.name)
    files = _files(frame, screened, raw.get("outcome") in RELEASING, _own(frame, so_far, names, drop_id))
    files.loc[files["image_id"].isin(images) | (drop_id in gone), "picture"] = None
    complete = [row for row in entered if row["status"] not in ("held", "parked")] or entered
    later = drops[drops["supersedes"] == drop_id]
    story = Story(
        spec, drop_id, vendor, drop, files, raw, cleaned, so_far,
        received_at=complete[0]["received_at"] if complete else None,
        replaces=next((row["supersedes"] for row in entered if row["supersedes"]), None),
        replaced_by=str(later["drop_id"].iloc[-1]) if len(later) else None,
        is_withdrawn=drop_id in gone,
    )  # fmt: skip
    return Story(**{**vars(story), "thumbnails": _thumbnails(store, story)})


def _last(rows: pd.DataFrame) -> dict[str, Any]:
    return records(rows.tail(1))[0] if len(rows) else {}


def _frame(store: Store, spec: ProjectSpec, asset: str, drop_id: str, judged: Mapping[str, Any]) -> pd.DataFrame:
    return store.read(asset, spec.name, drop_id, judged["version"]).frame if judged else manifest.empty(asset)


def _so_far(store: Store, spec: ProjectSpec, drops: pd.DataFrame, vendor: str) -> pd.DataFrame:
    """Accepted files of all the vendor's released deliveries, each picture once; replaced and withdrawn ones don't count."""
    gone, images = store.withdrawn(spec.name)
    mine = drops[drops["vendor"] == vendor]
    held = {name: version for name, version in store.released("raw_images", spec.name).items() if name in set(mine["drop_id"]) - gone}
    replaced = set(mine.loc[mine["drop_id"].isin(held.keys()), "supersedes"].dropna())
    rows = store.read_all("raw_images", spec.name, {name: version for name, version in held.items() if name not in replaced})
    order = {name: place for place, name in enumerate(mine["drop_id"].drop_duplicates())}
    rows = rows[(rows["status"] == "accepted") & ~rows["image_id"].isin(images) & (rows["vendor"] == vendor)]
    rows = rows.assign(order=rows["drop_id"].map(order)).sort_values(["order", "path"], kind="stable")
    return rows.drop_duplicates("image_id").reset_index(drop=True)


def _own(frame: pd.DataFrame, so_far: pd.DataFrame, names: Mapping[str, str], drop_id: str) -> dict[str, str]:
    """image_id -> where the vendor has delivered it, in words; pictures of others aren't in it."""
    earlier = so_far[so_far["drop_id"] != drop_id]
    told = {
        image: f"{path} in your delivery {names.get(drop, drop)}"
        for image, path, drop in zip(earlier["image_id"], earlier["path"], earlier["drop_id"], strict=True)
    }
    here = frame[frame["status"] == "accepted"]
    return told | dict(zip(here["image_id"], here["path"], strict=True))


def _files(raw: pd.DataFrame, cleaned: pd.DataFrame, is_taken: bool, own: Mapping[str, str]) -> pd.DataFrame:
    """One row a file, in order of path, with the word of the last stage that spoke about it."""
    asked = raw["status"] == "accepted"
    judged = cleaned.set_index("image_id").reindex(raw["image_id"].where(asked)).reset_index(drop=True)
    files = raw[["image_id", "path", "status", "reason", "warnings", "sha256", "size_bytes", "width_px", "height_px", "category", "price"]]
    files = files.reset_index(drop=True)
    files["is_accepted"] = asked.to_numpy()
    is_missing = (files["status"] == "held") & (files["reason"] == "MANIFEST_FILE_MISSING") & files["sha256"].isna()
    status = files["status"].replace(FROM_RAW).mask(is_missing, "missing")
    status = status.mask(asked.to_numpy() & (not is_taken), "in order")
    files["status"] = judged["status"].map(FROM_CLEANED).astype("object").where(judged["status"].notna(), status)
    files["reason"] = files["reason"].where(judged["status"].isna(), judged["reason"])
    pictures = files["sha256"].mask(files["reason"].isin(UNREAD), None)
    files["picture"] = judged["clean_sha256"].where(judged["clean_sha256"].notna(), pictures)
    copied = judged["duplicate_of"].where(judged["duplicate_of"].notna(), files["sha256"].where(files["reason"] == "DUPLICATE_CONTENT"))
    files["double"] = [own.get(image, SEEN_BEFORE) if isinstance(image, str) else None for image in copied]
    files["path"] = [_inert(path) for path in files["path"]]
    return files.sort_values("path", kind="stable", ignore_index=True)


def _inert(text: Any) -> str:
    """Text in which nothing is invisible: control and format characters, line ends and lone surrogates are spelt out."""
    kinds = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
    return "".join(f"\\u{ord(letter):04x}" if unicodedata.category(letter) in kinds else letter for letter in str(text))


def _by_reason(files: pd.DataFrame, column: str = "reason") -> list[tuple[str, pd.DataFrame]]:
    """(code, its files), most frequent first; a file with several codes is in several."""
    told = files[files[column].notna()]
    split = told.assign(code=told[column].str.split("|")).explode("code")
    groups = [(str(code), rows) for code, rows in split.groupby("code", sort=True)]
    return sorted(groups, key=lambda group: -len(group[1]))


def _thumbnails(store: Store, story: Story) -> dict[str, bytes]:
    from dataops_assets.imaging.thumbnails import thumbnails

    wanted: list[str] = []
    for status in ("refused", "held", "left out", "review", "duplicate", "kept"):
        rows = story.files[(story.files["status"] == status) & story.files["picture"].notna()]
        for _, some in _by_reason(rows) or [("", rows)]:
            wanted += list(some["picture"].head(EXAMPLES))
    limit = story.spec.sources.limits_for(story.vendor).pixels
    return thumbnails(list(dict.fromkeys(wanted))[:PICTURES], store.blobs, limit)


# ---- in words


def _verdict(story: Story) -> tuple[str, str]:
    """One word for the whole delivery, and a sentence that says what it rests on."""
    delivered = len(story.files) - story.count("ignored", "missing")
    status, reasons = story.drop.get("status"), _codes(story.drop.get("reason"))
    left, waiting = story.count("refused", "left out", "held", "missing"), story.count("review")
    if story.is_withdrawn:
        return "Withdrawn", "This delivery is no longer used. Your contact tells you why."
    if status == "parked":
        return "Waiting for us", "We could not process this delivery yet and look into it. You need not do anything."
    if status == "held":
        return "Waiting for you", " ".join(explain(code).means for code in reasons) or "The delivery is not complete yet."
    if status == "rejected":
        return "Refused", "None of it can be used. " + " ".join(explain(code).means for code in reasons[:3])
    for judged in (story.raw, story.cleaned):
        if judged.get("outcome") == "error":
            return "Waiting for us", "One of our own checks could not run. You need not do anything."
        if judged.get("outcome") == "fail":
            return _failed(_codes(judged["failed"]))
    if not story.raw:
        return "Waiting for us", "The delivery arrived and has not been checked yet."
    word = "Partly accepted" if left else "Accepted"
    if not story.cleaned:
        return word, f"{_files_of(story.count('accepted'), delivered)} are accepted; their pictures are screened next."
    more = f" {waiting:,} wait{'s' if waiting == 1 else ''} for a person to look at." if waiting else ""
    return word, f"{_files_of(story.count('kept'), delivered)} are accepted and in use.{more}"


def _failed(names: Sequence[str]) -> tuple[str, str]:
    faults = list(dict.fromkeys(FAULTS[name] for name in (name.removesuffix("_filled") for name in names) if name in FAULTS))
    if not faults:
        return "Waiting for us", "One of our own checks did not pass. We look into it; you need not do anything."
    return "Refused", f"The delivery as a whole is not accepted: {'; '.join(faults)}. Correct it and deliver it again under the same name."


def _files_of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} files"


def _codes(text: Any) -> list[str]:
    return text.split("|") if isinstance(text, str) and text else []


def _sheet(files: pd.DataFrame) -> str:
    """The CSV: every file, in the page's words."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    said: dict[str, str] = {}
    for row in records(files):
        codes = row["reason"] or ""
        if codes not in said:
            said[codes] = " ".join(f"{reason.means} {reason.do}" for reason in map(explain, _codes(codes)))
        meaning = said[codes] + (f" Same as {_inert(row['double'])}." if row["double"] else "")
        category = _inert(row["category"]) if row["category"] else None
        cells = (
            row["path"], row["status"], row["reason"], meaning or WORDS[row["status"]].capitalize() + ".", row["warnings"], row["sha256"],
            row["size_bytes"], row["width_px"], row["height_px"], category,
        )  # fmt: skip
        writer.writerow([sheets.plain(cell) for cell in cells])
    return buffer.getvalue()
