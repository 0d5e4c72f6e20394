"""What waits: deliveries not yet taken, batches without tasks, returns not yet read. The same answer for sensors and commands.

Nothing here remembers anything: what is done is told by the ledgers, so a lost cursor or a killed run loses nothing.
"""

from __future__ import annotations

import json

import pandas as pd

from dataops_assets import drops as drops_
from dataops_assets import planning
from dataops_assets.arrivals import Found, Looks, Seen, Waiting, drops, has_rested
from dataops_assets.flow import beside, handbook, history, images, labels, policies, refused, shared
from dataops_assets.flow import gold as flow_gold
from dataops_assets.home import is_slug
from dataops_assets.intake import landing
from dataops_assets.manifest import records
from dataops_assets.outcomes import DROP_CHAIN, is_concluded, last_outcomes
from dataops_assets.redeliveries import is_cleared
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

__all__ = [
    "DROP_CHAIN",
    "Found",
    "Looks",
    "Seen",
    "Waiting",
    "batches",
    "drops",
    "plannable",
    "predictions",
    "rescreens",
    "returns",
    "screenable",
    "setup",
]

A_WEEK_S = 7 * 86_400.0
RETURN_CHAIN = ("labeled_batches", "label_quality", "vendor_feedback")


def setup(store: Store, spec: ProjectSpec) -> str | None:
    """The spec's digest when brief or guidelines are not those of the YAML as it is now; else nothing."""
    agreed = labels.brief(store, spec)
    if store.released("brief", spec.name).get(agreed.partition) != agreed.version:
        return spec.digest
    return None if handbook.is_current(store, spec, agreed) else spec.digest


def batches(store: Store, spec: ProjectSpec) -> list[str]:
    """Planned batches whose tasks have not been through their gate."""
    done = last_outcomes(store, spec.name, ("label_tasks",))
    return [batch for batch in sorted(store.candidates("batch_plans", spec.name)) if done.get(("label_tasks", batch), "error") == "error"]


def returns(store: Store, spec: ProjectSpec, looks: Looks, now: float, is_settled: bool = False) -> Found:
    """Batches with returned files that have not been read as they lie there now."""
    found = Found()
    root = store.home.returns(spec.name)
    released = store.released("label_tasks", spec.name)
    read = store.pins("returns", spec.name)
    gates = store.gates.rows()
    gates = gates[gates["project"] == spec.name]
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        batch, files = folder.name, labels.return_files(folder)
        if not files or not folder.is_dir():
            continue
        if not is_slug(batch) or batch not in released:
            found.held[batch] = f"no batch {batch} has been sent out; see requests/{spec.name}/"
            continue
        print_ = shared.listing(files, folder)
        version = read.get(f"{batch}.{print_}", {}).get("version")
        if version and _is_read(gates, batch, version):
            continue
        first = looks.get(batch)
        is_marked = any((folder / file.relative_to(folder).parts[0] / "_COMPLETE").exists() for file in files)
        if not (is_settled or is_marked or (has_rested(first, print_, now, spec))):
            found.held[batch] = "INCOMPLETE"
            found.looks[batch] = first if first and first.fingerprint == print_ and first.at <= now else Seen(print_, now)
            continue
        found.ready.append(Waiting(batch, print_, batch))
    return found


def predictions(store: Store, spec: ProjectSpec, looks: Looks, now: float, is_settled: bool = False) -> Found:
    """Releases with predictions that have not been read as they lie there now."""
    found = Found()
    root = store.home.predictions(spec.name)
    released = store.released("training_export", spec.name)
    read = store.pins("predictions", spec.name)
    outcomes = last_outcomes(store, spec.name, ("model_feedback", "investigation"))
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        release, files = folder.name, shared.plain_files(folder)
        if folder.is_symlink():
            found.held[release] = "is a link, and links are not followed: make it a folder"
            continue
        if not files:
            continue
        if release not in released:
            found.held[release] = f"no release {release} has been delivered; see exports/{spec.name}/"
            continue
        print_ = shared.listing(files)
        if f"{release}.{print_}" in read and is_concluded(outcomes, ("model_feedback", "investigation"), release):
            continue
        first = looks.get(release)
        if not (is_settled or (folder / "_COMPLETE").exists() or has_rested(first, print_, now, spec)):
            found.held[release] = "INCOMPLETE"
            found.looks[release] = first if first and first.fingerprint == print_ and first.at <= now else Seen(print_, now)
            continue
        found.ready.append(Waiting(release, print_, release))
    return found


def plannable(store: Store, spec: ProjectSpec) -> list[str]:
    """A key for the set of unlabelled images, once they fill a production batch that somebody may have; else nothing."""
    planned = history.plans(store, spec)
    taken = set(planned.loc[planned["kind"].isin(["pilot", "production"]), "image_id"])
    usable, _ = images.usable_images(store, spec)
    free = sorted(set(usable.loc[usable["kind"] == "source", "image_id"]) - taken)
    has_gold = not spec.labeling.gold_share or bool(flow_gold.registry(store, spec)[0]["status"].eq("active").any())
    least = min(spec.labeling.batch_size, spec.labeling.ramp_start or spec.labeling.batch_size)
    if not has_gold or len(free) < least:
        return []
    may = planning.may_plan(store, spec, planned)
    return [shared.digest_of(free)] if not may.is_refused and len(free) >= (may.most or spec.labeling.batch_size) else []


def screenable(store: Store, spec: ProjectSpec, now: float) -> list[str]:
    """A key for the set of pictures that wait for people, once a screening batch is to be cut of them; else nothing.

    While a batch is out others gather, unless they fill one, or would be deleted within a week.
    """
    found = planning.to_screen(store, spec, history.plans(store, spec))
    free = sorted(found.waiting["image_id"])
    if not free:
        return []
    is_full = len(free) >= spec.labeling.batch_size
    if found.asked.empty or is_full or bool((images.kept_until(store, spec, found.waiting) < now + A_WEEK_S).any()):
        return [shared.digest_of([*free, str(spec.brief.budget)])]
    return []


def rescreens(store: Store, spec: ProjectSpec) -> list[Waiting]:
    """Drops to screen once more, or at last.

    People decided about doubtful pictures, or refused one of which the drop keeps a copy, for what it shows of people; what a picture is a
    copy of is out of use since; the policy for personal data is another one and that makes a difference to the drop; or the delivery was
    taken and has left landing before its chain was through.
    """
    decided = images.decided_in_review(store, spec)
    decided = decided[decided["is_covered"].astype(bool)]
    why = {str(drop): sorted(rows["image_id"]) for drop, rows in decided.groupby("drop_id", sort=True)}
    for drop, gone in beside.copies_of_gone(store, spec).items():
        why[drop] = why.get(drop, []) + gone
    for drop, shown in refused.still_kept(store, spec).items():
        why[drop] = why.get(drop, []) + shown
    for item in policies.outdated(store, spec):
        if not item.is_answered:
            why[item.drop_id] = [*why.get(item.drop_id, []), json.dumps(policies.today(spec), sort_keys=True)]
    since = drops_.counted_from(shared.rows_of(store.drops.rows(), spec.name)) if why else {}
    asked = [Waiting(drop, shared.digest_of(names), drop, since=since.get(drop, 0.0)) for drop, names in sorted(why.items())]
    return asked + [item for item in _stranded(store, spec) if item.partition not in why]


def _stranded(store: Store, spec: ProjectSpec) -> list[Waiting]:
    """Drops that `drops` can't find in landing any more, taken and not through their chain: what comes next doesn't need landing."""
    ledger = shared.rows_of(store.drops.rows(), spec.name)
    since = drops_.counted_from(ledger)
    outcomes = last_outcomes(store, spec.name, DROP_CHAIN, drops_.retried(ledger))
    taken = store.released("raw_images", spec.name)
    unused = store.withdrawn(spec.name)[0] | store.superseded(spec.name)
    open_ = {drop for drop in taken.keys() - unused if not is_concluded(outcomes, DROP_CHAIN, drop)}
    if not open_:
        return []
    last = {(row["vendor"], row["name"]): row for row in records(ledger)}
    here = set()
    for delivery in landing.list_deliveries(store.home.root / "landing", spec.name):
        row = last.get((delivery.vendor, delivery.name))
        if row is not None and row["drop_id"] in open_ and not is_cleared(store, delivery, row):
            here.add(row["drop_id"])
    # its correction is on the way: it goes on only if that one comes to nothing
    waits = {old for new in open_ for old in store.replaced_by(spec.name, new)}
    rows = {row["drop_id"]: row for row in records(ledger[ledger["drop_id"].isin(open_ - here - waits)])}
    known = ("vendor", "name", "drop_id", "supersedes", "fingerprint", "listing")
    return [
        Waiting(
            drop, shared.digest_of([taken[drop]]), f"{row['vendor']}/{row['name']}", since=since.get(drop, 0.0),
            facts={name: row[name] for name in known},
        )
        for drop, row in sorted(rows.items())
        if row["status"] != "parked"
    ]  # fmt: skip


def _is_read(gates: pd.DataFrame, batch: str, version: str) -> bool:
    """Whether a version of a batch's returns went through the chain that follows it."""
    mine = gates[gates["partition"] == batch]
    first = mine[(mine["asset"] == RETURN_CHAIN[0]) & (mine["version"] == version)]
    if first.empty or first["outcome"].iloc[-1] in ("fail", "error"):
        return not first.empty and first["outcome"].iloc[-1] == "fail"
    for asset in RETURN_CHAIN[1:]:
        rows = mine[mine["asset"] == asset]
        made = rows[[json.loads(text or "{}").get(RETURN_CHAIN[0], {}).get(batch) == version for text in rows["inputs"]]]
        if made.empty or made["outcome"].iloc[-1] == "error":
            return False
        if made["outcome"].iloc[-1] == "fail":
            return True
    return True
