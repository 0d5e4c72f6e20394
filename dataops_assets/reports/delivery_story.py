"""What is known of one delivery and may be told its vendor, and the sentence that sums it up. See `delivery.py`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dataops_assets.reports.reasons import OF_DELIVERIES, explain
from dataops_assets.spec import ImageVendor, ProjectSpec
from dataops_assets.stages.raw_images import NOT_FETCHED, WHOLE_DROP
from dataops_assets.store import RELEASING

INVISIBLE = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
NAMED = 5  # files that a sentence names
WORDS = {
    "kept": "in use",
    "accepted": "accepted, screening is to come",
    "in order": "nothing wrong with the file, but the delivery is not accepted",
    "review": "waits for a person to look at it",
    "left out": "accepted, but left out by the screening",
    "duplicate": "a copy inside this delivery",
    "refused": "can't be used",
    "held": "waits for the rest of the delivery",
    "missing": "listed, and not here",
    "ignored": "markers, manifests and files that systems leave behind",
}
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
SHARE_OF = "share_of_"  # expectations of `max_reason_share`
# how a later delivery under the same name stands that hasn't taken the place of this one
AGAIN = {"refused": " and refused", "parked": "; we look into it", "held": "; it is not complete yet", "in work": "; we are checking it"}


@dataclass(frozen=True)
class Story:
    """All that is known of one delivery and may be told.

    `files` has a row a file: path, status (a key of `WORDS`), reason, warnings, what it doubles, facts, and the blob to show.
    `detail` is what exactly was found where the whole delivery is refused or held, or ''. `again` names the delivery that came later
    under its name, and how that stands. `is_judged` says whether the files are as a run found them, or as they lie there now;
    `knows_others` whether `so_far` was looked up, which isn't worth it while nothing of this delivery counts.
    """

    spec: ProjectSpec
    drop_id: str
    vendor: str
    drop: Mapping[str, Any]
    files: pd.DataFrame
    raw: Mapping[str, Any]
    cleaned: Mapping[str, Any]
    so_far: pd.DataFrame
    detail: str = ""
    is_judged: bool = True
    knows_others: bool = True
    received_at: Any = None
    replaces: str | None = None
    again: tuple[str, str] | None = None
    is_withdrawn: bool = False
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def terms(self) -> ImageVendor | None:
        return self.spec.sources.vendor(self.vendor)

    @property
    def is_taken(self) -> bool:
        return self.raw.get("outcome") in RELEASING

    @property
    def is_counted(self) -> bool:
        """Whether its accepted files count for what was promised and for what is paid."""
        return bool((self.so_far["drop_id"] == self.drop_id).any())

    @property
    def is_fetched_on(self) -> bool:
        """Whether it is a list of addresses, some of which are still to be asked."""
        return self.is_judged and [self.drop.get(name) for name in ("status", "reason", "fingerprint")] == ["held", "INCOMPLETE", None]

    @property
    def whole(self) -> list[str]:
        """Codes for which all of it is refused or held, and not a file or two of it."""
        if self.drop.get("status") not in ("held", "rejected"):
            return []
        return [code for code in codes_of(self.drop.get("reason")) if code in OF_DELIVERIES or (code in WHOLE_DROP and self.detail)]

    def count(self, *statuses: str) -> int:
        return int(self.files["status"].isin(statuses).sum())


def inert(text: Any) -> str:
    """Text in which nothing is invisible: control and format characters, line ends and lone surrogates are spelt out."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(f"\\u{ord(letter):04x}" if unicodedata.category(letter) in INVISIBLE else letter for letter in plain)


def cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[:letters] + "…"


def by_reason(files: pd.DataFrame, column: str = "reason") -> list[tuple[str, pd.DataFrame]]:
    """(code, its files), most frequent first; a file with several codes is in several."""
    told = files[files[column].notna()]
    split = told.assign(code=told[column].str.split("|")).explode("code")
    groups = [(str(code), rows) for code, rows in split.groupby("code", sort=True)]
    return sorted(groups, key=lambda group: -len(group[1]))


def verdict(story: Story) -> tuple[str, str]:
    """One word for the whole delivery, and a sentence that says what it rests on."""
    delivered = len(story.files) - story.count("ignored", "missing")
    status, reasons = story.drop.get("status"), codes_of(story.drop.get("reason"))
    left, waiting = story.count("refused", "left out", "held", "missing"), story.count("review")
    if story.is_withdrawn:
        return "Withdrawn", "This delivery is no longer used. Your contact tells you why."
    if status == "parked" and NOT_FETCHED in str(story.drop.get("reason")):
        return (
            "Waiting for you",
            "Too many addresses of the list gave no file, however often we asked. See that they answer, then tell your contact.",
        )
    if status == "parked":
        return "Waiting for us", "We could not process this delivery yet and look into it. You need not do anything."
    if status == "held":
        return _held(story, reasons)
    if status == "rejected":
        return "Refused", "None of it can be used. " + " ".join(explain(code).means for code in reasons[:3])
    for judged in (story.raw, story.cleaned):
        if judged.get("outcome") == "error":
            return "Waiting for us", "One of our own checks could not run. You need not do anything."
        if judged.get("outcome") == "fail":
            return _failed(codes_of(judged["failed"]))
    if not story.raw:
        return "Waiting for us", "The delivery arrived and has not been checked yet."
    word = "Partly accepted" if left else "Accepted"
    if not story.cleaned:
        return word, f"{files_of(story.count('accepted'), delivered)} are accepted; their pictures are screened next."
    more = f" {waiting:,} wait{'s' if waiting == 1 else ''} for a person to look at." if waiting else ""
    return word, f"{files_of(story.count('kept'), delivered)} are accepted and in use.{more}"


def _held(story: Story, reasons: Sequence[str]) -> tuple[str, str]:
    missing = story.files.loc[story.files["status"] == "missing", "path"]
    if story.is_fetched_on:
        listed = story.count("held", "missing")
        here = f"{listed - len(missing):,} of {number_of(listed)} are here"
        return "Waiting for us", f"We still fetch what your list leads to: {here}. You need not do anything."
    if reasons == ["RETRY"]:
        return "Waiting for us", "We try this delivery once more. You need not do anything."
    if reasons == ["NO_SPACE"]:
        return "Waiting for us", "It goes on by itself. You need not do anything."
    told = " ".join(" ".join(explain(code)) for code in reasons) or "The delivery is not complete yet."
    return "Waiting for you", told + (f" Missing: {_some(list(missing))}." if len(missing) else "")


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(cut(name, 80) for name in names[:NAMED])
    return shown + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")


def _failed(names: Sequence[str]) -> tuple[str, str]:
    faults = faults_of(names)
    if not faults:
        return "Waiting for us", "One of our own checks did not pass. We look into it; you need not do anything."
    return "Refused", f"The delivery as a whole is not accepted: {'; '.join(faults)}. Correct it and deliver it again under the same name."


def faults_of(names: Iterable[str]) -> list[str]:
    """What a vendor hears of failed expectations, each once; nothing where none of them is a fault of the delivery."""
    return list(dict.fromkeys(filter(None, (_fault(name.removesuffix("_filled")) for name in names))))


def _fault(expectation: str) -> str | None:
    """What a vendor hears of a failed expectation; None where it is no fault of the delivery."""
    if expectation.startswith(SHARE_OF):
        reason = expectation.removeprefix(SHARE_OF).replace("_", " ").lower()
        return f"too many of its pictures are left out for one reason ({reason})"
    return FAULTS.get(expectation)


def files_of(part: int, whole: int) -> str:
    return f"{part:,} of {number_of(whole)}"


def number_of(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def told(detail: Any, codes: Sequence[str]) -> str:
    """What was found, for the vendor's eyes: their own words and where they stand.

    Of an address only its row and itself are told: the sentence for our own people may name settings of ours, and addresses inside.
    """
    code, _, words = str(detail or "").partition(": ")
    if code not in codes or not words:
        return ""
    if code == "URL_BLOCKED":
        found = re.match(r"row \d+, [^\s]+?(?=: )", words)
        return found[0] if found else ""
    return words


def codes_of(text: Any) -> list[str]:
    return text.split("|") if isinstance(text, str) and text else []
