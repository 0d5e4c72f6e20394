"""The `drops` ledger: one row a delivery and outcome, entered by whoever learns of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dataops_assets.intake import identity, landing
from dataops_assets.intake.identity import Identity
from dataops_assets.manifest import records
from dataops_assets.outcomes import DROP_CHAIN, is_concluded, last_outcomes
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now

NO_SPACE = "NO_SPACE"  # reason of the row by which a run says that it found a disk full
PASSING = ("INCOMPLETE", "UNREADABLE")  # found by a run, and perhaps otherwise when it looks again, though names, sizes and times stand
TRIES = 5  # of a delivery as it lies there, until that is left to a person; a run that fails is tried as often
RETRY = "RETRY"  # reason of the row by which a person has a drop tried again
UNFINISHED = {"fingerprint": None, "content_sha256": None}  # of a drop that isn't all here yet and goes on by itself: it is looked at anew
CHAINED = ("seq", "prev_hash", "row_hash")
OF_ONE_ROW = (*CHAINED, "received_at", "run_id", "asked_by", "asked_why")


def enter_drop(store: Store, row: Mapping[str, Any], run_id: str = "") -> None:
    """One row a delivery and outcome; the same outcome again changes nothing."""
    enter_drops(store, [row], run_id)


def enter_drops(store: Store, rows: Sequence[Mapping[str, Any]], run_id: str = "") -> None:
    """Rows of one project's drops, all in one append; an outcome that stands there already changes nothing."""
    if not rows:
        return

    def build(ledger: pd.DataFrame) -> list[dict[str, Any]]:
        mine = ledger[(ledger["project"] == rows[0]["project"]) & ledger["drop_id"].isin({row["drop_id"] for row in rows})]
        last = {row["drop_id"]: row for row in records(mine.drop_duplicates("drop_id", keep="last"))}
        tried = mine.loc[mine["status"] != "held", "drop_id"].value_counts().to_dict()
        return [
            {**row, "attempt": row.get("attempt") or tried.get(row["drop_id"], 0) + 1, "received_at": now(), "run_id": run_id or None}
            for row in rows
            if not stands([last[row["drop_id"]]] if row["drop_id"] in last else [], row)
        ]

    store.drops.append(build)


def held(spec: ProjectSpec, delivery: landing.Delivery, which: Identity, reason: str) -> dict[str, Any]:
    """The row of a delivery that isn't complete yet; it stands once for each reason: a copy in progress must not fill the ledger."""
    return {
        "project": spec.name, "vendor": delivery.vendor, "drop_id": which.drop_id, "name": delivery.name, "status": "held",
        "reason": reason, "supersedes": which.supersedes, "fingerprint": None, "content_sha256": None, "attempt": 0,
    }  # fmt: skip


def is_found(row: Mapping[str, Any]) -> bool:
    """Whether a run read a delivery as it lies there and found that it has to be held; else nobody but a look has seen it."""
    return row["status"] == "held" and row["fingerprint"] is not None and row.get("files_seen") is not None


def park(store: Store, spec: ProjectSpec, parked: Sequence[Mapping[str, Any]]) -> None:
    """Stop trying drops and say so in the ledger, where `dataops status` and the UI show it.

    Args:
        store: The store.
        spec: The project.
        parked: A drop's `drop_id, vendor, name, supersedes, fingerprint, listing, reason` each; it may have left landing since.
    """
    ledger = store.drops.rows()
    mine = ledger[(ledger["project"] == spec.name) & ledger["drop_id"].isin([row["drop_id"] for row in parked])]
    last = {row["drop_id"]: row for row in records(mine.drop_duplicates("drop_id", keep="last"))}
    read = mine[mine["content_sha256"].notna()]
    contents = dict(zip(zip(read["drop_id"], read["fingerprint"], strict=True), read["content_sha256"], strict=True))
    rows = []
    for row in parked:
        before = last.get(row["drop_id"], {})
        content = contents.get((row["drop_id"], row["fingerprint"]))
        seen = {name: before.get(name) for name in ("files_seen", "bytes_seen")}
        rows.append({"project": spec.name, **seen, **row, "status": "parked", "content_sha256": content})
    enter_drops(store, rows)


def retry(store: Store, spec: ProjectSpec, drop_id: str, by: str = "", why: str = "") -> str:
    """Have a drop tried again that was parked, refused, held by a run or held back by a gate; its attempts start over.

    Returns what to call it. Nothing is taken back: the ledger keeps what was said before, and what comes out of it is entered beside it.
    What a gate refused needs to be told by whom and why.

    Raises:
        LookupError: when there is no such drop, nothing about it would be tried, or it can't be; says what is needed.
    """
    rows = store.drops.rows()
    rows = rows[rows["project"] == spec.name]
    mine = records(rows[rows["drop_id"] == drop_id].tail(1))
    if not mine:
        raise LookupError(f"{spec.name} has no drop {drop_id!r}; see `dataops status {spec.name}`.")
    last = mine[0]
    outcomes = last_outcomes(store, spec.name, DROP_CHAIN, retried(rows))
    refusing = next((asset for asset in DROP_CHAIN if outcomes.get((asset, drop_id)) == "fail"), None)
    if last["status"] != "parked":
        _check(store, spec, last, outcomes, refusing, by, why)
    if drop_id not in store.released("raw_images", spec.name):  # what comes after that doesn't need landing
        identity.find(store.home.root / "landing", spec.name, drop_id, rows)
    row = {name: value for name, value in last.items() if name not in OF_ONE_ROW}
    row |= {
        "status": "held",
        "reason": RETRY,
        "fingerprint": None,
        "listing": None,
        "attempt": 0,
        "asked_by": by or None,
        "asked_why": why or None,
    }
    enter_drop(store, row)
    return f"{last['vendor']}/{last['name']}"


def _check(
    store: Store,
    spec: ProjectSpec,
    last: Mapping[str, Any],
    outcomes: Mapping[tuple[str, str], str],
    refusing: str | None,
    by: str,
    why: str,
) -> None:
    """See that a drop which isn't parked was refused, and may be tried again."""
    drop_id, status = last["drop_id"], last["status"]
    if drop_id in store.withdrawn(spec.name)[0]:
        raise LookupError(f"Drop {drop_id} was withdrawn, and stays so: have it delivered again under another name.")
    if drop_id in store.superseded(spec.name):
        raise LookupError(f"Drop {drop_id} was replaced by a later delivery, which is in use: there is nothing to try again.")
    if status == "held" and not (is_found(last) and refusing):
        goes_on = "by itself when the disk has room" if last["reason"] == NO_SPACE else "when it is complete"
        waits = "is being tried again already" if last["reason"] == RETRY else f"is held ({last['reason']}) and goes on {goes_on}"
        raise LookupError(f"Drop {drop_id} is not parked but held: it {waits}.")
    if refusing is None and status == "rejected":
        raise LookupError(
            f"Drop {drop_id} was refused as it lies in landing ({last['reason']}) and nothing of it was read: "
            "once it is mended there, it is taken by itself."
        )
    if refusing is None:
        is_through = is_concluded(outcomes, DROP_CHAIN, drop_id)
        how = "is through all its gates" if is_through else "is in work; if its runs keep failing it is parked"
        raise LookupError(f"Drop {drop_id} is not parked but {status}, and {how}: there is nothing to try again.")
    if not (by.strip() and why.strip()):
        raise LookupError(
            f"Drop {drop_id} was held back by the gate of {refusing}"
            + (f" ({last['reason']})" if status in ("rejected", "held") else "")
            + ". To have it tried again once settings, limits or thresholds are changed, say who and why: "
            f'dataops retry {spec.name} {drop_id} --by WHO --reason "..."'
        )


def retried(ledger: pd.DataFrame) -> dict[str, float]:
    """Drop -> when a person last had it tried again, UNIX seconds: runs before don't count as attempts."""
    return _last_said(ledger[ledger["reason"] == RETRY])


def counted_from(ledger: pd.DataFrame) -> dict[str, float]:
    """Drop -> since when its runs count as attempts, UNIX seconds: a person had it tried again, a run found no room, or got on."""
    got_on = (ledger["status"] == "held") & ledger["files_seen"].notna() & ledger["fingerprint"].isna()
    return _last_said(ledger[got_on | ledger["reason"].isin([RETRY, NO_SPACE])])


def _last_said(again: pd.DataFrame) -> dict[str, float]:
    return {drop: at.timestamp() for drop, at in zip(again["drop_id"], again["received_at"], strict=True)}


def stands(past: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> bool:
    """Whether the newest of a drop's rows says this already."""
    last = next((before for before in reversed(past) if before["drop_id"] == row["drop_id"]), None)
    if last is None or row.get("bytes_seen") not in (None, last.get("bytes_seen")):
        return False
    return all(last[name] == row.get(name) for name in ("status", "reason", "fingerprint", "content_sha256"))
