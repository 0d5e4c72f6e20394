"""Taking a delivery's members in: each is kept as a blob and gets a row, whatever else is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from dataops_assets.blobs import Blobs
from dataops_assets.intake import delivery_manifest, landing
from dataops_assets.intake.fetching import Missing, Unreachable
from dataops_assets.intake.journal import Entry, Journal
from dataops_assets.intake.members import JUNK, Member, Refused, TooLarge, Unreadable

PROGRESS_EVERY = 20

Row = dict[str, Any]


@dataclass
class Taken:
    """What came of a delivery's members.

    Attributes:
        rows: One a member, in the order they came: path, warnings (a tuple), status, reason, and where it was read sha256, size_bytes.
        seen: Members seen.
        named: Of these, how many a refusal named that were never members.
        refusal: Reason code for which the whole delivery can't be taken, or ''.
        detail: The refusal in words.
        manifest: Name and sha256 of the delivery's manifest.
        has_addresses: Whether some files come from elsewhere than the delivery itself.
        unreachable: What could not be fetched but may be another time: path -> why.
    """

    rows: list[Row] = field(default_factory=list)
    seen: int = 0
    named: int = 0
    refusal: str = ""
    detail: str = ""
    manifest: tuple[str, str] | None = None
    unreachable: dict[str, str] = field(default_factory=dict)
    has_addresses: bool = False

    def refuse(self, code: str, detail: str) -> None:
        """The whole delivery can't be taken, for a reason code and in words, whatever was said before; without a code it can."""
        if code:
            for row in self.rows if self.refusal else ():
                row["reason"] = code if row["reason"] == self.refusal else row["reason"]
            self.refusal, self.detail = code, f"{code}: {detail}"

    def content_sha256(self, delivery: landing.Delivery, seen: landing.Look) -> str:
        """What tells the delivery's content from another, as `landing.content_sha256` does; a folder that was read isn't read again.

        A file that could not be read counts as such, also where it could be by now: nobody has it, and delivered again it is another.
        """
        files = [row for row in self.rows if row["path"] not in landing.MARKERS]
        unread = {row["path"] for row in files if row["reason"] == "UNREADABLE"}
        is_read = not (delivery.is_archive or self.refusal or self.has_addresses)
        is_read = is_read and all("sha256" in row or row["path"] in unread for row in files)
        if not is_read or landing.is_too_much_to_read(seen):
            return landing.content_sha256(delivery, unread=unread)
        return landing.digest_of_files((row["path"], row.get("sha256", landing.UNREAD)) for row in files)


def take(
    members: Iterable[Member],
    blobs: Blobs,
    journal: Journal,
    progress: Callable[[int], None] = lambda done: None,
    lists: Collection[str] = (),
    on_kept: Callable[[list[str]], None] = lambda shas: None,
) -> Taken:
    """Keep every member as a blob. What the journal knows isn't read again. Nothing here opens a picture.

    Args:
        members: Of one delivery, in an order that is always the same.
        blobs: Where they are kept.
        journal: Of this delivery in this state.
        progress: Called with how many were seen.
        lists: Names of members that are no pictures but tell where some are.
        on_kept: Called in another thread, while more is read, with the sha256s of files that are in the store now.

    Raises:
        OSError: when a file of the delivery can't be read, or the store can't be written to.
    """
    taken = Taken(has_addresses=bool(lists))

    def kept(entries: list[Entry]) -> None:
        journal.write(entries)
        on_kept([entry.sha256 for entry in entries])

    with blobs.batch(kept) as batch:

        def keep(position: int, member: Member) -> Row:
            known = journal.get(position, member.path, member.stamp)
            if known is not None and blobs.has(known.sha256):
                member.skip(known.size_bytes)
                return {"sha256": known.sha256, "size_bytes": known.size_bytes}
            sha256, size = batch.put_stream(member.chunks)
            batch.note(Entry(position, member.path, member.stamp, sha256, size))
            return {"sha256": sha256, "size_bytes": size}

        try:
            for position, member in enumerate(members):
                taken.seen += 1
                taken.rows.append(_row(taken, position, member, keep, lists))
                if taken.seen % PROGRESS_EVERY == 0:
                    progress(taken.seen)
        except Refused as error:
            taken.refusal, taken.detail = error.code, str(error)
            if taken.seen > len(taken.rows):  # raised while this member was read
                taken.rows.append({"path": member.path, "warnings": (), "status": "quarantined", "reason": error.code})
            taken.named = len(error.paths)
            taken.seen += taken.named
            taken.rows += [{"path": path, "warnings": (), "status": "quarantined", "reason": error.code} for path in error.paths]
    progress(taken.seen)
    return taken


def _row(taken: Taken, position: int, member: Member, keep: Callable[[int, Member], Row], lists: Collection[str]) -> Row:
    row: Row = {"path": member.path, "warnings": tuple(member.warnings), "status": "accepted", "reason": None}
    is_marker = member.path in landing.MARKERS
    if is_marker or JUNK.search(member.path):  # whatever else is wrong with it
        return row | {"status": "ignored", "reason": None if is_marker else "JUNK_IGNORED", **_passed_over(member)}
    try:
        if member.fault:
            return row | {"status": "quarantined", "reason": member.fault, **_hashed(member)}
        row |= keep(position, member)
    except TooLarge:
        return row | {"status": "quarantined", "reason": "TOO_LARGE"}
    except Unreadable:
        return row | {"status": "quarantined", "reason": "UNREADABLE"}
    except Missing:
        return row | {"status": "quarantined", "reason": "MANIFEST_FILE_MISSING"}
    except Unreachable as error:
        taken.unreachable[member.path] = str(error)
        return row | {"status": "held", "reason": "INCOMPLETE"}
    row["image_id"] = row["sha256"]
    if member.path in lists:
        row["status"] = "ignored"
    elif member.path in delivery_manifest.NAMES:
        if taken.manifest is None or delivery_manifest.find([taken.manifest[0], member.path]) == member.path:
            taken.manifest = member.path, row["sha256"]
        row["status"] = "ignored"
    return row


def _passed_over(member: Member) -> Row:
    """Size and digest of what isn't kept; nothing where it is too large or can't be read."""
    try:
        return _hashed(member)
    except (TooLarge, Unreadable):
        return {}


def _hashed(member: Member) -> Row:
    sha, size = hashlib.sha256(), 0
    for chunk in member.chunks:
        sha.update(chunk)
        size += len(chunk)
    return {"sha256": sha.hexdigest(), "size_bytes": size}
