"""What a vendor hears about one delivery: a page with examples, and a CSV with every file. Both can be sent as they are.

Decided: a report tells what the vendor delivered and what became of it, in words that help to deliver better, and nothing
else. Of another vendor's picture it says only that we have it already; people, gates, scores, waivers, settings and paths of ours stay
out. A vendor's words are data: invisible characters are spelt out, markup is escaped, formulas are disarmed. Pictures are thumbnails
of at most 96 px of cleaned files, re-encoded in bounded child processes. An original is never shown: nobody has looked for faces
in what was refused, or left out before that look; nor is a picture that still shows personal data or was withdrawn. The page
names a few files a reason and stays below `MAX_BYTES` however large the delivery is; the CSV has them all.
Every drop of the ledger has a report, those that wait, are parked or are no delivery as well: gates write one when they have judged, and
`catch_up` what a ledger says beyond that. A page's time is that of the last row it tells of, so no clock is read: the same ledgers,
tables and landed files give the same bytes.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets import manifest
from dataops_assets.manifest import records
from dataops_assets.reports import delivery_page, landed, pages, status
from dataops_assets.reports.delivery_page import SHOWN
from dataops_assets.reports.delivery_story import Story, by_reason, codes_of, inert, told
from dataops_assets.reports.reasons import REASONS
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import RELEASING, Store

__all__ = ["JUDGED", "MAX_BYTES", "REASONS", "UNJUDGED", "catch_up", "rewrite", "showing", "write"]

JUDGED = ("raw_images", "cleaned_set")  # the gates after which a vendor hears something new
UNJUDGED = ("held", "rejected", "parked")  # statuses of drops that a gate may never tell of
MAX_BYTES = 1_500_000
PICTURES = 48
SEEN_BEFORE = "a picture we already have"
SO_FAR = ("drop_id", "path", "vendor", "status", "image_id", "category", "price")

FROM_RAW = {"quarantined": "refused"}
FROM_CLEANED = {"kept": "kept", "rejected": "left out", "review": "review"}
FROM_CLEANED_HELD = FROM_CLEANED | {"kept": "in order"}


def write(store: Store, spec: ProjectSpec, drop_id: str) -> Path:
    """Write `reports/<project>/deliveries/<drop_id>.html` and `.csv` from what was last judged; returns the page's path.

    The pages of deliveries that this one comes in the place of say so, and are written too.

    Raises:
        LookupError: when neither the `drops` nor the `gates` ledger knows the drop.
    """
    path = _write(store, spec, drop_id)
    rewrite(store, spec, store.replaced_by(spec.name, drop_id))
    return path


def rewrite(store: Store, spec: ProjectSpec, drop_ids: Iterable[str]) -> list[str]:
    """Write some deliveries' reports anew, each by itself; returns those that could not be written."""
    failed = []
    for drop_id in drop_ids:
        try:
            _write(store, spec, drop_id)
        except Exception:  # a report must not hold up what it tells of
            logging.getLogger(__name__).exception("no delivery report of %s", drop_id)
            failed.append(drop_id)
    return failed


def catch_up(store: Store, spec: ProjectSpec, seconds: float = math.inf, statuses: Collection[str] = status.DROP_STATUSES) -> list[str]:
    """Write the reports of drops of which the ledgers say more than their reports do, the newest first, for so long; returns their ids.

    One that can't be written is left alone until there is more to say. Nothing that goes wrong here is raised.

    Args:
        store: The store.
        spec: The project.
        seconds: No report is begun after so many.
        statuses: Of the drops in question. `UNJUDGED` are those that a gate may never tell of; each costs a fraction of a second.
    """
    ends, written = time.monotonic() + seconds, list[str]()
    try:
        for drop_id, at in _owed(store, spec, statuses):
            if time.monotonic() >= ends:
                break
            if rewrite(store, spec, [drop_id]):
                _failed[str(store.home.root), spec.name, drop_id] = at
            else:
                written.append(drop_id)
    except Exception:  # who calls this has runs to ask for
        logging.getLogger(__name__).exception("no delivery reports of %s", spec.name)
    return written


def _owed(store: Store, spec: ProjectSpec, statuses: Collection[str]) -> list[tuple[str, int]]:
    """Drops whose report is older than what is known of them, and when that was entered; the newest first."""
    drops, folder = store.drops.rows(), _folder(store, spec)
    last = drops[drops["project"] == spec.name].drop_duplicates("drop_id", keep="last")
    asked = set(last.loc[last["status"].isin(list(statuses)), "drop_id"])
    known: dict[str, int] = {}
    if folder.is_dir():
        with os.scandir(folder) as entries:
            known = {entry.name.removesuffix(".html"): entry.stat().st_mtime_ns for entry in entries if entry.name.endswith(".html")}
    known |= {drop: at for (root, project, drop), at in _failed.items() if (root, project) == (str(store.home.root), spec.name)}
    owed = [(drop, at) for drop, at in _news(store, spec).items() if drop in asked and known.get(drop, -1) < at]
    return sorted(owed, key=lambda one: (-one[1], one[0]))


IN_LANDING = ("MANIFEST_INVALID", "MANIFEST_SCHEMA", landed.NOT_LISTED)  # what a look at a delivery that waits may find

_failed: dict[tuple[str, str, str], int] = {}  # home, project and drop -> news of which no report could be written in this process


def _news(store: Store, spec: ProjectSpec) -> dict[str, int]:
    """Drop -> when a ledger last said something of it that its report tells, in ns since 1970."""
    drops, gates = store.drops.rows(), store.gates.rows()
    drops = drops[drops["project"] == spec.name]
    gates = gates[(gates["project"] == spec.name) & gates["asset"].isin(JUDGED)]
    found = {str(drop): at.value for drop, at in zip(drops["drop_id"], drops["received_at"], strict=True)}
    for drop, at in zip(gates["partition"], gates["at"], strict=True):
        found[str(drop)] = max(at.value, found.get(str(drop), 0))
    gone = store.withdrawals.rows()
    gone = gone[(gone["project"] == spec.name) & gone["drop_id"].isin(found.keys())]
    for drop, at in zip(gone["drop_id"], gone["at"], strict=True):
        found[str(drop)] = max(at.value, found[str(drop)])
    return found


def showing(store: Store, spec: ProjectSpec, image_ids: Iterable[str]) -> list[str]:
    """Drops whose report tells of one of some pictures."""
    gates = store.gates.rows()
    gates = gates[(gates["project"] == spec.name) & (gates["asset"] == "raw_images")].drop_duplicates("partition", keep="last")
    rows = store.read_all("raw_images", spec.name, dict(zip(gates["partition"], gates["version"], strict=True)))
    return sorted(rows.loc[rows["image_id"].isin(list(image_ids)), "drop_id"].unique())


def _write(store: Store, spec: ProjectSpec, drop_id: str) -> Path:
    at = _news(store, spec).get(drop_id, 0)  # before anything else is read: what is entered meanwhile is news
    story = _gather(store, spec, drop_id)
    folder = _folder(store, spec)
    pages.put(folder / f"{drop_id}.csv", delivery_page.sheet(story.files), store.home.tmp)
    path = pages.put(folder / f"{drop_id}.html", delivery_page.page(story), store.home.tmp)
    os.utime(path, ns=(at, at))
    return path


def _folder(store: Store, spec: ProjectSpec) -> Path:
    return store.home.reports(spec.name) / "deliveries"


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
    drop = entered[-1] if entered else {}
    made = store.read("raw_images", spec.name, drop_id, raw["version"]) if raw else None
    frame, detail = made.frame if made is not None else manifest.empty("raw_images"), drop.get("detail")
    vendor = str(drop.get("vendor") or (frame["vendor"].iloc[0] if len(frame) else ""))
    is_judged = not (drop.get("status") == "held" and drop.get("files_seen") is None)  # else no run has read what lies there now
    if not is_judged:
        here = landed.look(store.home.landing(spec.name) / vendor / drop["name"], drop_id, vendor, spec.sources.limits_for(vendor))
        frame, detail, raw, cleaned = here.frame, here.detail or detail, {}, {}
    screened = _frame(store, spec, "cleaned_set", drop_id, cleaned)
    counts = bool(raw) and drop.get("status") not in ("held", "parked")  # else nothing of it does, and reading all others takes its time
    so_far = _so_far(store, spec, drops, vendor) if counts else manifest.empty("raw_images")
    names = {row["drop_id"]: row["name"] for row in records(drops[drops["vendor"] == vendor])}
    gone, images = store.withdrawn(spec.name)
    before = _delivered_before(so_far, names, drop_id)
    files = _files(frame, screened, raw.get("outcome") in RELEASING, cleaned.get("outcome") in RELEASING, before)
    files.loc[files["image_id"].isin(images) | (drop_id in gone), "picture"] = None
    complete = [row for row in entered if row["status"] not in ("held", "parked")] or entered
    story = Story(
        spec, drop_id, vendor, drop, files, raw, cleaned, so_far,
        detail=inert(told(detail, [*codes_of(drop.get("reason")), *(IN_LANDING if not is_judged else ())])),
        is_judged=is_judged, knows_others=counts,
        received_at=complete[0]["received_at"] if complete else None,
        replaces=next((row["supersedes"] for row in entered if row["supersedes"]), None),
        again=status.delivered_again(store, spec.name).get(drop_id),
        is_withdrawn=drop_id in gone,
    )  # fmt: skip
    return Story(**{**vars(story), "thumbnails": _thumbnails(store, story)})


def _last(rows: pd.DataFrame) -> dict[str, Any]:
    return records(rows.tail(1))[0] if len(rows) else {}


def _frame(store: Store, spec: ProjectSpec, asset: str, drop_id: str, judged: Mapping[str, Any]) -> pd.DataFrame:
    return store.read(asset, spec.name, drop_id, judged["version"]).frame if judged else manifest.empty(asset)


def _so_far(store: Store, spec: ProjectSpec, drops: pd.DataFrame, vendor: str) -> pd.DataFrame:
    """Accepted files of all the vendor's released deliveries, each picture once; replaced, withdrawn and failed ones don't count."""
    gone, images = store.withdrawn(spec.name)
    mine = drops[drops["vendor"] == vendor]
    judged = store.gates.rows()
    judged = judged[(judged["project"] == spec.name) & (judged["asset"] == "cleaned_set")]
    gone |= set(judged.loc[judged["outcome"] == "fail", "partition"]) - store.released("cleaned_set", spec.name).keys()
    held = {name: version for name, version in store.released("raw_images", spec.name).items() if name in set(mine["drop_id"]) - gone}
    corrections = set(mine.loc[mine["drop_id"].isin(held.keys()) & mine["supersedes"].notna(), "drop_id"])
    replaced = store.superseded(spec.name).union(*(store.replaced_by(spec.name, name) for name in corrections))
    rows = store.read_all("raw_images", spec.name, {name: version for name, version in held.items() if name not in replaced}, SO_FAR)
    order = {name: place for place, name in enumerate(mine["drop_id"].drop_duplicates())}
    rows = rows[(rows["status"] == "accepted") & ~rows["image_id"].isin(images) & (rows["vendor"] == vendor)]
    rows = rows.assign(order=rows["drop_id"].map(order)).sort_values(["order", "path"], kind="stable")
    return rows.drop_duplicates("image_id").reset_index(drop=True)


def _delivered_before(so_far: pd.DataFrame, names: Mapping[str, str], drop_id: str) -> dict[str, str]:
    """image_id -> which file of an earlier delivery of the vendor it is, in words; pictures of others aren't in it."""
    earlier = so_far[so_far["drop_id"] != drop_id]
    return {
        image: f"{path} in your delivery {names.get(drop, drop)}"
        for image, path, drop in zip(earlier["image_id"], earlier["path"], earlier["drop_id"], strict=True)
    }


def _files(raw: pd.DataFrame, cleaned: pd.DataFrame, is_taken: bool, is_used: bool, before: Mapping[str, str]) -> pd.DataFrame:
    """One row a file, in order of path, with the word of the last stage that spoke about it."""
    asked = raw["status"] == "accepted"
    judged = cleaned.set_index("image_id").reindex(raw["image_id"].where(asked)).reset_index(drop=True)
    files = raw[["image_id", "path", "status", "reason", "warnings", "sha256", "size_bytes", "width_px", "height_px", "category", "price"]]
    files = files.reset_index(drop=True)
    files["is_accepted"] = asked.to_numpy()
    is_missing = (files["status"] == "held") & files["reason"].isin(["MANIFEST_FILE_MISSING", "INCOMPLETE"]) & files["size_bytes"].isna()
    taken = files["status"].replace(FROM_RAW).mask(is_missing, "missing")
    taken = taken.mask(asked.to_numpy() & (not is_taken), "in order")
    screened = judged["status"].map(FROM_CLEANED if is_used else FROM_CLEANED_HELD).astype("object")
    files["status"] = screened.where(judged["status"].notna(), taken)
    files["reason"] = files["reason"].where(judged["status"].isna(), judged["reason"])
    is_shown = cleaned["clean_sha256"].notna() & cleaned["open_personal_data"].isna()
    shown = cleaned[is_shown].set_index("image_id")["clean_sha256"]
    files["picture"] = files["image_id"].map(shown).astype("object")  # a copy shows what it is a copy of
    here = dict(zip(raw.loc[asked, "image_id"], raw.loc[asked, "path"], strict=True))
    files["double"] = [
        here.get(image) if reason == "DUPLICATE_CONTENT" else None if not isinstance(winner, str)
        # the winner has the same name where the bytes are the same: then it can't be the file itself
        else (None if winner == image else here.get(winner)) or before.get(winner, SEEN_BEFORE)
        for image, reason, winner in zip(files["image_id"], files["reason"], judged["duplicate_of"], strict=True)
    ]  # fmt: skip
    files["path"] = [inert(path) for path in files["path"]]
    return files.sort_values("path", kind="stable", ignore_index=True)


def _thumbnails(store: Store, story: Story) -> dict[str, bytes]:
    from dataops_assets.imaging.thumbnails import thumbnails

    wanted: list[str] = []
    for word in ("refused", "held", "left out", "review", "duplicate", "kept"):
        rows = story.files[(story.files["status"] == word) & story.files["picture"].notna()]
        for _, some in by_reason(rows) or [("", rows)]:
            wanted += list(some["picture"].head(SHOWN))
    limit = story.spec.sources.limits_for(story.vendor).pixels
    return thumbnails(list(dict.fromkeys(wanted))[:PICTURES], store.blobs, limit)
