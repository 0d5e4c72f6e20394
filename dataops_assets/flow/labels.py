"""From the brief to approved labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.flow import gold as flow_gold
from dataops_assets.flow import history
from dataops_assets.flow.images import showable
from dataops_assets.flow.shared import digest_of, listing, plain_files
from dataops_assets.labels import returned
from dataops_assets.labels.questions import SCREENING
from dataops_assets.manifest import UNPARTITIONED, Inputs, Manifest
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import NotReleased, Store, now

RETURN_LEVELS = 16  # of folders below a vendor's that returned files may lie in


def brief(store: Store, spec: ProjectSpec) -> Manifest:
    """What was agreed, added up."""
    from dataops_assets.stages import brief as stage

    return Manifest("brief", spec.name, UNPARTITIONED, stage.check(spec, history.piloted(store, spec)))


def label_tasks(store: Store, spec: ProjectSpec, batch_id: str, handbook: Manifest) -> Manifest:
    """The questions of one batch, as its plan says.

    Raises:
        NotReleased: when the guidelines in use tell otherwise than the YAML what is asked.
    """
    from dataops_assets.labels import changes
    from dataops_assets.stages import guidelines
    from dataops_assets.stages import label_tasks as stage

    if changes.is_otherwise(handbook.frame, guidelines.rows(spec)):
        raise NotReleased(
            f"the guidelines of {spec.name} in use ask otherwise than its YAML: make them anew (dataops guidelines {spec.name}) "
            "and see what their gate says"
        )
    plan = store.only("batch_plans", spec.name, batch_id)
    shown = may_show(store, spec, plan.frame)
    planned = plan.frame[plan.frame["image_id"].isin(shown["image_id"])]  # what was withdrawn or screened out since stays here
    frame = stage.build(planned, shown, spec, blobs_of(store, spec, plan.frame))
    return Manifest("label_tasks", spec.name, batch_id, frame, {**plan.input, **handbook.input})


def may_show(store: Store, spec: ProjectSpec, batch: pd.DataFrame) -> pd.DataFrame:
    """The pictures that a planned batch may show as things are now: doubtful ones only to those who screen."""
    return showable(store, spec, "rework" if _is_screening(batch) else "production")


def blobs_of(store: Store, spec: ProjectSpec, batch: pd.DataFrame) -> Blobs:
    """What a batch may show: those who screen see pictures that lie apart. The plan gives such batches to nobody else."""
    return store.apart(spec.name) if _is_screening(batch) else store.blobs


def _is_screening(batch: pd.DataFrame) -> bool:
    return bool(batch["attributes"].str.split("|").explode().eq(SCREENING.name).any())


def labeled_batches(store: Store, spec: ProjectSpec, tasks: Manifest) -> Manifest:
    """Everything a vendor returned for a batch, each row accepted or rejected."""
    from dataops_assets.stages import labeled_batches as stage

    folder = store.home.returns(spec.name) / tasks.partition
    found = return_files(folder)
    places = [path.relative_to(folder) for path in found]
    files = [(place.parts[0], "/".join(place.parts[1:]), returned.taken(path)) for place, path in zip(places, found, strict=True)]
    if not files:
        raise NotReleased(f"nothing was returned for {tasks.partition}: {folder}/<vendor>/ holds no file")
    key = store.home.worker_key()
    # files and their names name people: the store keeps what is made of them, and digests; the files themselves stay in returns
    sent = _once((vendor, name, "" if data is None else hashlib.sha256(data).hexdigest()) for vendor, name, data in files)
    names = {f"{vendor}/{digest_of([stage.shown(name, vendor, key)])}": sha256[:16] or "TOO_LARGE" for vendor, name, sha256 in sent}
    frame = stage.accept(files, tasks.frame, spec, key, _first_seen(store, spec, tasks.partition, sent))
    made = Manifest("labeled_batches", spec.name, tasks.partition, frame, {**tasks.input, "returns": names})
    store.pin("returns", spec.name, f"{tasks.partition}.{listing(found, folder)}", {"version": made.version})
    return made


def _first_seen(store: Store, spec: ProjectSpec, batch: str, sent: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], datetime]:
    """(vendor, sha256) of a batch's files (vendor, path, sha256) -> when we first saw it.

    It is kept, so that the same file read again is judged the same.
    """

    def known() -> dict[tuple[str, str], datetime]:
        looks = store.pins("received", spec.name, f"{batch}.").values()
        found = [(datetime.fromisoformat(look["at"]), vendor, sha256) for look in looks for vendor, sha256 in look["files"]]
        return {(vendor, sha256): at for at, vendor, sha256 in sorted(found, reverse=True)}

    held = known()
    new = sorted({(vendor, sha256) for vendor, _, sha256 in sent if sha256} - held.keys())
    if not new:
        return held
    store.pin(
        "received", spec.name, f"{batch}.{digest_of([part for file in new for part in file])}", {"at": now().isoformat(), "files": new}
    )
    return known()


def _once(files: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Files (vendor, path, sha256) without those that a vendor sent before: the same batch again is no other version.

    Text files are named in any case: two of YOLO may be equal and mean two pictures. So are those too large to be read (no sha256).
    """
    first: dict[tuple[str, ...], tuple[str, str, str]] = {}
    for vendor, name, sha256 in sorted(files, key=lambda file: (file[0], *returned.rank(file[1]))):
        sent = (vendor, returned.annotator_of(name) or "", sha256, name if name.endswith(".txt") or not sha256 else "")
        first.setdefault(sent, (vendor, name, sha256))
    return list(first.values())


def return_files(folder: Path) -> list[Path]:
    """Files of a batch's returns, `<vendor>/<file>` or up to `RETURN_LEVELS` folders deep."""
    vendors = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for vendor in vendors if not vendor.is_symlink() for file in plain_files(vendor, levels=RETURN_LEVELS)]


def label_quality(store: Store, spec: ProjectSpec, labeled: Manifest, tasks: Manifest) -> Manifest:
    """An answer a question of one batch, how sure it is, and what happens next."""
    from dataops_assets.stages import gold as gold_stage
    from dataops_assets.stages import label_quality as stage

    gold, used = flow_gold.measuring(store, spec)
    gold = gold[~gold["image_id"].isin(flow_gold.known_before(store, spec, labeled))]
    seen, sights = flow_gold.seen_before(store, spec, tasks)
    worn = gold_stage.worn(labeled.frame, gold_stage.hidden(tasks.frame), seen, spec)  # what somebody knows by heart measures nobody
    past = history.earlier(store, spec, tasks)
    before = store.read_all("labeled_batches", spec.name, past.answers)
    frame = stage.assess(
        labeled.frame[~worn] if worn.any() else labeled.frame, tasks.frame, gold, spec,
        before=before[~flow_gold.worn_before(store, spec, before)],
        held=store.read_all("label_quality", spec.name, past.parents),
        severity=history.inspection(store, spec, past).severity if past.history else "normal",
        key=store.home.worker_key(),
    )  # fmt: skip
    inputs = {**labeled.input, **tasks.input, **used, **sights, **past.inputs}
    return Manifest("label_quality", spec.name, labeled.partition, frame, inputs)


def vendor_feedback(store: Store, spec: ProjectSpec, quality: Manifest, labeled: Manifest, tasks: Manifest) -> Manifest:
    """What is known of each worker's answers to a batch."""
    from dataops_assets.stages import vendor_feedback as stage

    seen, before = flow_gold.seen_before(store, spec, tasks)
    earlier, past = _feedback_before(store, spec, tasks)
    shown, at_start = prelabels_of(store, spec, tasks.partition)
    frame = stage.feedback(labeled.frame, quality.frame, tasks.frame, spec, earlier=earlier, seen=seen, prelabels=shown)
    return Manifest(
        "vendor_feedback",
        spec.name,
        quality.partition,
        frame,
        {**quality.input, **labeled.input, **tasks.input, **before, **past, **at_start},
    )


def _feedback_before(store: Store, spec: ProjectSpec, tasks: Manifest) -> tuple[pd.DataFrame, Inputs]:
    """Feedback on the vendor's batches that were planned before, oldest first, and its versions."""
    planned, order = history.plans(store, spec), history.planned_order(store, spec)
    mine, vendors = order.get(tasks.partition, -1), set(tasks.frame["vendor"])
    names = set(planned.loc[planned["vendor"].isin(vendors), "batch_id"])
    held = store.released("vendor_feedback", spec.name)
    versions = {batch: held[batch] for batch in sorted(names & held.keys()) if order.get(batch, mine) < mine}
    found = store.read_all("vendor_feedback", spec.name, versions)
    found = found.assign(order=found["batch_id"].map(order)).sort_values("order", kind="stable").drop(columns="order")
    return found, {"vendor_feedback": versions} if versions else {}


def keep_prelabels(store: Store, spec: ProjectSpec, batch: str, shown: Mapping[str, Mapping[str, str]]) -> None:
    """Remember the answers that a tool shows at the start; what was shown first stands."""
    if shown:
        store.pin("prelabels", spec.name, batch, {"sha256": store.blobs.put(json.dumps(shown, sort_keys=True).encode())})


def prelabels_of(store: Store, spec: ProjectSpec, batch: str) -> tuple[pd.DataFrame, Inputs]:
    """task_id, attribute, prelabel of what was shown at the start of a batch's tasks, and where it is kept."""
    kept = store.pins("prelabels", spec.name).get(batch)
    shown = json.loads(store.blobs.read(kept["sha256"])) if kept else {}
    rows = [(task, attribute, label) for task, answers in sorted(shown.items()) for attribute, label in sorted(answers.items())]
    used: dict[str, Mapping[str, str]] = {"prelabels": {batch: kept["sha256"][:16]}} if kept else {}
    return pd.DataFrame(rows, columns=["task_id", "attribute", "prelabel"]), used


def approved_labels(store: Store, spec: ProjectSpec, quality: Manifest, labeled: Manifest, tasks: Manifest, by: str) -> Manifest:
    """The batch's accepted labels, on a person's word; none where all its questions went on to later batches.

    Raises:
        ValueError: when that person gave some of the answers.
    """
    from dataops_assets.stages import approved_labels as stage
    from dataops_assets.stages import auditing

    behind = {**quality.inputs.get("earlier_answers", {}), **labeled.input["labeled_batches"]}
    parents = history.parents_of(history.plans(store, spec), quality.partition) | {quality.partition}
    answers = store.read_all("labeled_batches", spec.name, {name: version for name, version in behind.items() if name in parents})
    stage.refuse_own(answers, by, [vendor.name for vendor in spec.labeling.vendors], store.home.worker_key())
    settle(store, spec, tasks, int((labeled.frame["status"] == "accepted").sum()))
    audits, settled = history.audit_rows(store, spec, {quality.partition: quality.frame})
    row = audits[audits["batch_id"] == quality.partition].to_dict("records")
    frame = stage.approve(quality.frame, tasks.frame, spec, by, auditing.error_told(row[0] if row else None))
    inputs: dict[str, Mapping[str, str]] = dict(quality.input)
    if settled and quality.partition.startswith(history.AUDITED):
        inputs["audits"] = settled
    if frame.empty:  # it is approved on what later batches found
        inputs["settled"] = history.settling(store, spec, quality.partition)
    return Manifest("approved_labels", spec.name, quality.partition, frame, inputs)


def settle(store: Store, spec: ProjectSpec, tasks: Manifest, answers: int) -> None:
    """Correct a batch's committed cost to the answers that were delivered and accepted; approved anew, by what differs from before."""
    vendor = spec.labeling.vendor(str(tasks.frame["vendor"].iloc[0])) if len(tasks.frame) else None
    if vendor is None:
        return
    name, price = vendor.name, spec.price_of_answer(str(tasks.frame["kind"].iloc[0]), vendor)

    def build(rows: pd.DataFrame) -> list[dict[str, Any]]:
        mine = rows[(rows["project"] == spec.name) & rows["kind"].isin(["labels", "labels_settled"]) & (rows["ref"] == tasks.partition)]
        quantity = answers - float(mine["quantity"].sum())
        amount = round(answers * price - float(mine["amount"].sum()), 6)
        if not quantity and not amount and (mine["kind"] == "labels_settled").any():
            return []
        return [{
            "project": spec.name, "kind": "labels_settled", "vendor": name, "ref": tasks.partition, "quantity": quantity,
            "amount": amount, "currency": spec.brief.currency, "at": now(),
        }]  # fmt: skip

    store.costs.append(build)
