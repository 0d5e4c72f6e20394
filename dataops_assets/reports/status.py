"""`dataops status`: where a project stands, from the ledgers; and what the sensors have given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dataops_assets import claims
from dataops_assets.manifest import records
from dataops_assets.reports.reasons import REASONS
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import RELEASING, Store

STAGES = (
    "brief", "guidelines", "raw_images", "cleaned_set", "augmented_set", "label_tasks", "labeled_batches", "label_quality",
    "vendor_feedback", "approved_labels", "training_export", "model_feedback", "investigation",
)  # fmt: skip
DROP_STAGES = ("raw_images", "cleaned_set", "augmented_set")
DROP_STATUSES = ("accepted", "partial", "held", "rejected", "parked")
REPLACED = "replaced"
VOID = "its labels changed after they were approved: approve again"
SHOWN = 50  # lines of a kind; what is newest tells most


@dataclass(frozen=True)
class Status:
    """One project: drops, stages, what is held back, money."""

    project: str
    drops: Sequence[dict[str, Any]]
    stages: Sequence[dict[str, Any]]
    held: Sequence[dict[str, Any]]
    parked: Sequence[dict[str, Any]]
    classes: Sequence[dict[str, Any]]
    spent: float
    budget: float
    currency: str

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))

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
            + (f", replaces {row['supersedes']}" if row["supersedes"] else "")
            + (f", replaced by {row['superseded_by']}" if row["superseded_by"] else "")
            + (f", delivered again as {row['again']} ({row['again_is']})" if row["again"] else "")
        )

    def _told(self) -> list[str]:
        """What arrived in a line, and what each vendor should hear about what is not taken; its reports tell of each file."""
        if not self.drops:
            return []
        tally = Counter(row["status"] for row in self.drops)
        listed = ", ".join(f"{tally[status]:,} {status}" for status in DROP_STATUSES if tally[status])
        shown = [f"  {len(self.drops):,} drops: {listed}; what to send the vendors is in reports/{self.project}/deliveries/"]
        to_tell = Counter(
            (row["vendor"], code)
            for row in self.drops
            if row["status"] in ("held", "rejected") and not (row["superseded_by"] or row["again"])
            for code in (row["reason"] or "").split("|")
            if code in REASONS
        )
        for (vendor, code), count in sorted(to_tell.items()):
            reason = REASONS[code]
            shown.append(f"  tell {vendor}: {count:,} drop{'s' if count > 1 else ''} {code}. {reason.means} {reason.do}")
        return shown

    def _wanted(self) -> list[str]:
        short = [row for row in self.classes if row["missing"]]
        if not short or not any(row["have"] for row in self.classes):
            return []
        listed = ", ".join(f"{row['missing']} {row['attribute']} {row['value']}" for row in short[:12])
        return [f"  still wanted by the brief: {listed}" + (f" and {len(short) - 12} more" if len(short) > 12 else "")]


def of(store: Store, spec: ProjectSpec) -> Status:
    """The status of one project now."""
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
            "why": "its labels changed after they were approved: approve again",
        }
        for batch in sorted(set(approved) - set(releases.loc[releases["asset"] == "approved_labels", "partition"]))
    ]
    drops = store.drops.rows()
    drops = drops[drops["project"] == spec.name].drop_duplicates("drop_id", keep="last")
    listed = records(drops[["drop_id", "vendor", "name", "status", "reason", "supersedes"]])
    later = delivered_again(store, spec.name)
    for row in listed:
        other, how = later.get(row["drop_id"], (None, ""))
        is_replaced = how == REPLACED
        row |= {"superseded_by": other if is_replaced else None, "again": None if is_replaced else other, "again_is": how}
    return Status(
        spec.name,
        listed,
        stages,
        held,
        claims.all_parked(store.home, spec.name),
        classes(store, spec),
        round(store.spent(spec.name), 2),
        spec.brief.budget,
        spec.brief.currency,
    )


def delivered_again(store: Store, project: str) -> dict[str, tuple[str, str]]:
    """Drop -> (the delivery under its name that took its place, `replaced`), or (the newest one since, how that stands).

    How it stands is `refused`, `parked`, `held` or `in work`: until it is through, the earlier one stays in use.
    """
    rows, gates = store.drops.rows(), store.gates.rows()
    last = rows[rows["project"] == project].drop_duplicates("drop_id", keep="last").set_index("drop_id")["status"].to_dict()
    corrections = rows[(rows["project"] == project) & rows["supersedes"].notna()]["drop_id"].drop_duplicates()
    gates = gates[(gates["project"] == project) & gates["asset"].isin(DROP_STAGES)].drop_duplicates(["asset", "partition"], keep="last")
    refused = set(gates.loc[gates["outcome"] == "fail", "partition"]) | {drop for drop, status in last.items() if status == "rejected"}
    superseded, through = store.superseded(project), store.released("augmented_set", project)
    found = {}
    for new in corrections:
        stands = "refused" if new in refused else last[new] if last[new] in ("parked", "held") else "in work"
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
