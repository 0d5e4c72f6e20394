"""`dataops status`: where a project stands, from the ledgers; what the sensors hold at this moment and what they have given up."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dataops_assets import claims
from dataops_assets import drops as drops_
from dataops_assets.home import Home
from dataops_assets.intake import landing
from dataops_assets.manifest import records
from dataops_assets.outcomes import DROP_CHAIN, is_concluded, last_outcomes
from dataops_assets.reports import unsettled
from dataops_assets.reports.delivery_story import codes_of, faults_of
from dataops_assets.reports.reasons import REASONS
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import RELEASING, Store

STAGES = (
    "brief", "guidelines", "raw_images", "cleaned_set", "augmented_set", "label_tasks", "labeled_batches", "label_quality",
    "vendor_feedback", "approved_labels", "training_export", "model_feedback", "investigation",
)  # fmt: skip
DROP_STATUSES = ("accepted", "partial", "held", "rejected", "parked")
REPLACED = "replaced"
AUDIT_FAILED = "since it was approved, more audited labels were found wrong than may be: no release takes it, unless waived"
VOID = "its labels changed after they were approved: approve again"
CODE = re.compile(r"[A-Z][A-Z_]+")  # a reason begins with it, or is a sentence
NOT_TOLD_HERE = "parked: "  # of what a look holds; the ledger tells of it
SHOWN = 50  # lines of a kind; what is newest tells most


@dataclass(frozen=True)
class Status:
    """One project: drops, stages, what is held back, money.

    Attributes:
        drops: Each drop as it stands, by `deliveries`.
        waits: What the sensor's last look held for a reason of its own (no room, waits to be read, can't be looked at): `name, reason`.
        looked_at: When that was, ISO 8601; null where no sensor has looked.
        unsettled: What of the screening isn't settled, by `unsettled.of`.
    """

    project: str
    drops: Sequence[dict[str, Any]]
    waits: Sequence[dict[str, str]]
    looked_at: str | None
    stages: Sequence[dict[str, Any]]
    held: Sequence[dict[str, Any]]
    parked: Sequence[dict[str, Any]]
    classes: Sequence[dict[str, Any]]
    unsettled: Sequence[dict[str, Any]]
    spent: float
    budget: float
    currency: str

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def tally(self) -> dict[str, int]:
        """How many deliveries stand how."""
        return tally(self.drops)

    def waiting(self) -> list[dict[str, str]]:
        """The last `SHOWN` deliveries that are held or parked, and what the sensor holds beside: `name, reason, since`."""
        entered = [
            {"name": f"{row['vendor']}/{row['name']}", "reason": f"{row['status']}: {row['reason'] or ''}", "since": _minute(row["since"])}
            for row in self.drops
            if row["status"] in ("held", "parked") and not row["is_gone"]
        ]
        beside = [{**row, "since": f"seen {_minute(self.looked_at or '')}"} for row in self.waits]
        return [*entered[-SHOWN:], *beside[:SHOWN]]

    def lines(self) -> list[str]:
        return [
            f"{self.project}: spent or committed {self.spent:,.2f} of {self.budget:,.2f} {self.currency}",
            *self._some("parked", self._parked()),
            *(
                f"  {row['stage']:<16} {row['released']:>4} released {row['rows']:>8,} rows"
                + (f"  {row['held']} held back" if row["held"] else "")
                for row in self.stages
                if row["partitions"]
            ),
            *self._some("drops", [self._drop(row) for row in self.drops]),
            *self._told(),
            *self._some("gates", [f"  {row['outcome'].upper()} {row['asset']} {row['partition']}: {row['why']}" for row in self.held]),
            *(f"  {row['sentence']}" for row in self.unsettled),
            *self._wanted(),
        ]

    def _some(self, what: str, lines: list[str]) -> list[str]:
        """The last of many lines, and how many there are."""
        more = len(lines) - SHOWN
        told = [f"  {more:,} more {what} before these; all of them: dataops status {self.project} --json"] if more > 0 else []
        return told + lines[-SHOWN:]

    def _parked(self) -> list[str]:
        drops = [
            f"  PARKED {row['drop_id']} ({row['vendor']}/{row['name']}): {row['reason']}\n"
            f"    It isn't tried any more. Mend what is wrong, then: dataops retry {self.project} {row['drop_id']}"
            for row in self.drops
            if row["status"] == "parked"
        ]
        return drops + [
            f"  PARKED {row['kind']} of {row['partition']}: {row['why']}\n"
            f"    It isn't tried any more until it changes. Mend what is wrong, then: dataops run {self.project}"
            for row in self.parked
        ]

    def _drop(self, row: dict[str, Any]) -> str:
        return (
            f"  drop {row['drop_id']} ({row['vendor']}/{row['name']}): {row['status']}"
            + (f", {row['reason']}" if row["reason"] and row["status"] != "parked" else "")
            + (f" since {_minute(row['since'])}" if row["status"] == "held" and not row["is_gone"] else "")
            + (", no longer there" if row["is_gone"] else "")
            + (f", held back by the gate of {row['refused_by']}" if row["refused_by"] else "")
            + (f", tried again for {row['asked_by']}: {row['asked_why']}" if row["asked_by"] else "")
            + (f", replaces {row['supersedes']}" if row["supersedes"] else "")
            + (f", replaced by {row['superseded_by']}" if row["superseded_by"] else "")
            + (f", delivered again as {row['again']} ({row['again_is']})" if row["again"] else "")
        )

    def _told(self) -> list[str]:
        """What arrived in a line, what is held and for how long, and what each vendor should hear; its reports tell of each file."""
        shown = []
        if self.drops:
            listed = ", ".join(f"{count:,} {status}" for status, count in tally(self.drops).items())
            shown.append(f"  {len(self.drops):,} drops: {listed}; what to send the vendors is in reports/{self.project}/deliveries/")
        back = Counter(row["refused_by"] for row in self.drops if row["refused_by"] and row["status"] in ("accepted", "partial"))
        shown += [
            f"  {count:,} of those taken {'are' if count > 1 else 'is'} held back by the gate of {asset}" for asset, count in back.items()
        ]
        if any(row["refused_by"] for row in self.drops):
            shown.append(
                f"  once settings have changed, what a gate refused is tried again: dataops retry {self.project} DROP --by WHO --reason ..."
            )
        shown += self._held()
        return shown + [f"  tell {line}" for line in to_tell(self.drops)]

    def _held(self) -> list[str]:
        """What waits and why, and since when the longest."""
        first: dict[str, tuple[int, str]] = {}
        for row in self.drops:
            if row["status"] == "held" and not row["is_gone"]:
                count, since = first.get(row["reason"] or "", (0, row["since"]))
                first[row["reason"] or ""] = count + 1, min(since, row["since"])
        shown = [
            f"  held: {count:,} {reason} since {_minute(since)}" + (" (the first)" if count > 1 else "")
            for reason, (count, since) in sorted(first.items())
        ]
        if self.waits:
            shown.append(f"  the sensor holds {len(self.waits):,}, as of {_minute(self.looked_at or '')}:")
            shown += [f"    {row['name']}: {row['reason']}" for row in self.waits[:SHOWN]]
            more = len(self.waits) - SHOWN
            shown += [f"    and {more:,} more; all of them: dataops status {self.project} --json"] if more > 0 else []
        return shown

    def _wanted(self) -> list[str]:
        short = [row for row in self.classes if row["missing"]]
        if not short or not any(row["have"] for row in self.classes):
            return []
        listed = ", ".join(f"{row['missing']} {row['attribute']} {row['value']}" for row in short[:12])
        return [f"  still wanted by the brief: {listed}" + (f" and {len(short) - 12} more" if len(short) > 12 else "")]


def of(store: Store, spec: ProjectSpec) -> Status:
    """The status of one project now."""
    from dataops_assets.flow import history

    gates = store.gates.rows()
    gates = gates[gates["project"] == spec.name]
    last = gates.drop_duplicates(["asset", "partition"], keep="last")
    releases = store.releases(spec.name)
    stages = []
    for stage in STAGES:
        mine, free = last[last["asset"] == stage], releases[releases["asset"] == stage]
        rows = sum(store.row_count(stage, spec.name, row["partition"], row["version"]) for row in records(free))
        held_here = int((~mine["outcome"].isin(RELEASING)).sum())
        stages.append({"stage": stage, "partitions": len(mine), "released": len(free), "rows": rows, "held": held_here})
    held = [
        {"asset": row["asset"], "partition": row["partition"], "outcome": row["outcome"], "why": row["failed"] or row["reason"]}
        for row in records(last[~last["outcome"].isin(RELEASING)])
    ]
    approved = last.loc[(last["asset"] == "approved_labels") & last["outcome"].isin(RELEASING), "partition"]
    held += [
        {
            "asset": "approved_labels",
            "partition": batch,
            "outcome": "void",
            "why": VOID,
        }
        for batch in sorted(set(approved) - set(releases.loc[releases["asset"] == "approved_labels", "partition"]))
    ]
    held += [
        {"asset": "approved_labels", "partition": batch, "outcome": "fail", "why": AUDIT_FAILED}
        for batch in history.failed_since(store, spec)
    ]
    listed = deliveries(store, spec)
    memory = claims.memory(store.home, spec.name, "drops")
    looked_at = claims.number(memory, "at")
    return Status(
        spec.name,
        listed,
        waits(memory, listed),
        datetime.fromtimestamp(looked_at, UTC).isoformat(timespec="seconds") if looked_at else None,
        stages,
        held,
        claims.all_parked(store.home, spec.name),
        classes(store, spec),
        unsettled.of(store, spec),
        round(store.spent(spec.name), 2),
        spec.brief.budget,
        spec.brief.currency,
    )


def deliveries(store: Store, spec: ProjectSpec) -> list[dict[str, Any]]:
    """Each drop as it stands, in the order of their last news.

    Returns:
        Of each its `drop_id, vendor, name, status, reason, supersedes` by the ledger, and
        `since` (when it came to stand so, ISO 8601), `is_gone` (it was held, and has left landing or other content took its name),
        `refused_by` (the asset whose gate held it back), `faults` (what the vendor hears of that, unless the drop was withdrawn),
        `asked_by` and `asked_why` (who had it tried again, while that is to come),
        `superseded_by`, `again` and `again_is` (what was delivered under its name since, and how that stands).
    """
    ledger = store.drops.rows()
    ledger = ledger[ledger["project"] == spec.name]
    outcomes = last_outcomes(store, spec.name, DROP_CHAIN, drops_.retried(ledger))
    columns = ["drop_id", "vendor", "name", "status", "reason", "supersedes", "received_at", "asked_by", "asked_why"]
    withdrawn, _ = store.withdrawn(spec.name)
    gates = store.gates.rows()
    gates = gates[(gates["project"] == spec.name) & gates["asset"].isin(DROP_CHAIN) & (gates["outcome"] == "fail")]
    failed = dict(zip(zip(gates["asset"], gates["partition"], strict=True), gates["failed"], strict=True))  # of several, the last
    past: dict[str, list[dict[str, Any]]] = {}
    for row in records(ledger[columns]):
        rows = past.pop(row["drop_id"], [])  # to the end: the order of last news
        rows.append(row)
        past[row["drop_id"]] = rows
    newest = {(rows[-1]["vendor"], rows[-1]["name"]): drop_id for drop_id, rows in past.items()}
    there: dict[str, set[str] | None] = {}
    later = delivered_again(store, spec.name)
    found = []
    for drop_id, rows in past.items():
        last = _standing(rows, is_concluded(outcomes, DROP_CHAIN, drop_id))
        vendor, name, status = last["vendor"], last["name"], last["status"]
        is_retried = last["reason"] == drops_.RETRY
        is_gone = status == "held" and (
            newest[vendor, name] != drop_id
            or (last["reason"] not in (drops_.RETRY, drops_.NO_SPACE) and not _lies(store.home.landing(spec.name), vendor, name, there))
        )
        other, how = later.get(drop_id, (None, ""))
        is_replaced = how == REPLACED
        refused_by = next((asset for asset in DROP_CHAIN if outcomes.get((asset, drop_id)) == "fail"), None)
        found.append(
            {key: last[key] for key in ("drop_id", "vendor", "name", "status", "reason", "supersedes")}
            | {
                "since": _since(rows, last),
                "is_gone": is_gone,
                "refused_by": refused_by,
                "faults": [] if drop_id in withdrawn else faults_of(codes_of(failed.get((refused_by, drop_id)))),
                "asked_by": last["asked_by"] if is_retried else None,
                "asked_why": last["asked_why"] if is_retried else None,
                "superseded_by": other if is_replaced else None,
                "again": None if is_replaced else other,
                "again_is": how,
            }
        )
    return found


def _standing(rows: list[dict[str, Any]], is_concluded: bool) -> dict[str, Any]:
    """The row that tells how a drop stands: a trial that is over left the drop as it was judged last."""
    if rows[-1]["reason"] in (drops_.RETRY, drops_.NO_SPACE) and is_concluded:
        return next((row for row in reversed(rows) if row["status"] not in ("held", "parked")), rows[-1])
    return rows[-1]


def _since(rows: list[dict[str, Any]], last: dict[str, Any]) -> str:
    """Since when a drop has stood as it does, ISO 8601: its first row that says so, with no other behind it."""
    at = last["received_at"]
    for row in reversed(rows):
        if (row["status"], row["reason"]) != (last["status"], last["reason"]):
            break
        at = row["received_at"]
    return str(at.isoformat(timespec="seconds")) if at is not None else ""


def _lies(root: Path, vendor: str, name: str, there: dict[str, set[str] | None]) -> bool:
    """Whether something of a name lies in landing; what can't be listed may lie there."""
    if vendor not in there:
        try:
            there[vendor] = {landing.text_of(entry) for entry in os.listdir(root / vendor)} | {landing.ITSELF}
        except (FileNotFoundError, NotADirectoryError):
            there[vendor] = set() if root.is_dir() else None  # without the project's folder nobody knows what lies there
        except OSError:
            there[vendor] = None
    names = there[vendor]
    return names is None or name in names


def strangers(home: Home, projects: Collection[str]) -> list[str]:
    """A sentence for each folder in landing that is no project's: nobody looks at what lies there."""
    try:
        with os.scandir(home.root / "landing") as entries:
            names = sorted(landing.text_of(entry.name) for entry in entries if not landing.is_passed_over(entry.name))
    except OSError:
        return []
    return [f"landing/{name}: no project of this name; nothing that lies there is looked at" for name in names if name not in projects]


def tally(drops: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many drops there are of each status, of those that stand; then those that were held and are gone."""
    counted = Counter("gone before they were taken" if row["is_gone"] else row["status"] for row in drops)
    return {status: counted[status] for status in (*DROP_STATUSES, "gone before they were taken") if counted[status]}


def to_tell(drops: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each vendor and reason for which a delivery isn't taken, with what the vendor can do."""
    open_ = [row for row in drops if not (row["superseded_by"] or row["again"] or row["is_gone"])]
    counted = Counter(
        (row["vendor"], f"{code}. {REASONS[code].means} {REASONS[code].do}")
        for row in open_
        if row["status"] in ("held", "rejected")
        for code in (row["reason"] or "").split("|")
        if code in REASONS
    )
    counted += Counter(
        (row["vendor"], f"not accepted as a whole: {fault}. Correct it and deliver it again under the same name.")
        for row in open_
        if row["status"] in ("accepted", "partial")
        for fault in row["faults"]
    )
    return [f"{vendor}: {count:,} drop{'s' if count > 1 else ''} {why}" for (vendor, why), count in sorted(counted.items())]


def waits(memory: Mapping[str, Any], drops: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What the last look held beside what the ledger says: no room, waits to be read, can't be looked at, no vendor's."""
    held = memory.get("held")
    told = {(f"{row['vendor']}/{row['name']}", row["reason"]) for row in drops}
    return [
        {"name": name, "reason": str(reason)}
        for name, reason in sorted((held if isinstance(held, dict) else {}).items())
        if not str(reason).startswith(NOT_TOLD_HERE) and (name, _code(str(reason))) not in told
    ]


def _code(reason: str) -> str:
    found = CODE.match(reason)
    return found[0] if found else reason


def _minute(at: str) -> str:
    return at[:16].replace("T", " ") + " UTC" if at else "never"


def delivered_again(store: Store, project: str) -> dict[str, tuple[str, str]]:
    """Drop -> (the delivery under its name that took its place, `replaced`), or (the newest one since, how that stands).

    How it stands is `refused`, `parked`, `held` or `in work`: until it is through, the earlier one stays in use.
    """
    rows, gates = store.drops.rows(), store.gates.rows()
    last = rows[rows["project"] == project].drop_duplicates("drop_id", keep="last").set_index("drop_id")["status"].to_dict()
    corrections = rows[(rows["project"] == project) & rows["supersedes"].notna()]["drop_id"].drop_duplicates()
    gates = gates[(gates["project"] == project) & gates["asset"].isin(DROP_CHAIN)].drop_duplicates(["asset", "partition"], keep="last")
    refused = set(gates.loc[gates["outcome"] == "fail", "partition"]) | {drop for drop, status in last.items() if status == "rejected"}
    superseded, through = store.superseded(project), store.released("augmented_set", project)
    found = {}
    for new in corrections:
        stands = last[new] if last[new] in ("parked", "held") else "refused" if new in refused else "in work"
        for old in store.replaced_by(project, new):
            if old not in superseded:
                found[old] = new, stands
            elif new in through:
                found[old] = new, REPLACED
    return found


def classes(store: Store, spec: ProjectSpec) -> list[dict[str, Any]]:
    """Approved images of each class that the brief wants, and how many are missing."""
    approved, _ = store.load_all("approved_labels", spec.name)
    _, gone = store.withdrawn(spec.name)
    have = approved[~approved["image_id"].isin(gone)].drop_duplicates(["image_id", "attribute", "label"])
    counted = have.groupby(["attribute", "label"]).size().to_dict()
    rows = []
    for attribute, wanted in spec.brief.volume.items():
        for value, count in wanted.items():
            held = int(counted.get((attribute, value), 0))
            rows.append({"attribute": attribute, "value": value, "wanted": count, "have": held, "missing": max(0, count - held)})
    return rows
