"""From the brief to approved labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.flow.images import showable
from dataops_assets.flow.shared import listing, plain_files, rows_of
from dataops_assets.labels.questions import SCREENING
from dataops_assets.manifest import UNPARTITIONED, Inputs, Manifest
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import NotReleased, Store


def brief(store: Store, spec: ProjectSpec) -> Manifest:
    """What was agreed, added up."""
    from dataops_assets.stages import brief as stage

    return Manifest("brief", spec.name, UNPARTITIONED, stage.check(spec))


def guidelines(store: Store, spec: ProjectSpec, agreed: Manifest) -> Manifest:
    """The annotators' handbook."""
    from dataops_assets.flow import handbook

    return handbook.guidelines(store, spec, agreed)


def label_tasks(store: Store, spec: ProjectSpec, batch_id: str, handbook: Manifest) -> Manifest:
    """The questions of one batch, as its plan says."""
    from dataops_assets.labels import changes
    from dataops_assets.stages import guidelines
    from dataops_assets.stages import label_tasks as stage

    if changes.is_otherwise(handbook.frame, guidelines.rows(spec)):
        raise NotReleased(
            f"the guidelines of {spec.name} that are released ask otherwise than its YAML: make them anew (dataops guidelines {spec.name})"
        )
    plan = store.only("batch_plans", spec.name, batch_id)
    frame = stage.build(plan.frame, showable(store, spec, "rework"), spec, blobs_of(store, spec, plan.frame))
    return Manifest("label_tasks", spec.name, batch_id, frame, {**plan.input, **handbook.input})


def blobs_of(store: Store, spec: ProjectSpec, batch: pd.DataFrame) -> Blobs:
    """What a batch may show: those who screen see pictures that lie apart. The plan gives such batches to nobody else."""
    is_screening = batch["attributes"].str.split("|").explode().eq(SCREENING.name).any()
    return store.apart(spec.name) if is_screening else store.blobs


def labeled_batches(store: Store, spec: ProjectSpec, tasks: Manifest) -> Manifest:
    """Everything a vendor returned for a batch, each row accepted or rejected."""
    from dataops_assets.stages import labeled_batches as stage

    folder = store.home.returns(spec.name) / tasks.partition
    found = return_files(folder)
    files = [(path.parent.name, path.name, path.read_bytes()) for path in found]
    if not files:
        raise NotReleased(f"nothing was returned for {tasks.partition}: {folder}/<vendor>/ holds no file")
    returned = {f"{vendor}/{name}": store.blobs.put(data)[:16] for vendor, name, data in files}
    frame = stage.accept(files, tasks.frame, spec, store.home.worker_key())
    made = Manifest("labeled_batches", spec.name, tasks.partition, frame, {**tasks.input, "returns": returned})
    store.pin("returns", spec.name, f"{tasks.partition}.{listing(found)}", {"version": made.version})
    return made


def return_files(folder: Path) -> list[Path]:
    """Files of a batch's returns, `<vendor>/<file>`."""
    vendors = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for vendor in vendors if not vendor.is_symlink() for file in plain_files(vendor)]


def label_quality(store: Store, spec: ProjectSpec, labeled: Manifest, tasks: Manifest) -> Manifest:
    """Consensus, agreement and gold accuracy of one batch, with a decision a task."""
    from dataops_assets.stages import label_quality as stage

    gold, used = gold_labels(store, spec, str(tasks.frame["ontology_version"].iloc[0]))
    frame = stage.assess(labeled.frame, tasks.frame, gold, spec)
    return Manifest("label_quality", spec.name, labeled.partition, frame, {**labeled.input, **tasks.input, **used})


def gold_labels(store: Store, spec: ProjectSpec, version: str | None = None) -> tuple[pd.DataFrame, Inputs]:
    """Answers our own people settled in pilots, and the versions they come from.

    Answers given under another version of the ontology are read in the present one's words; those that must be given anew are no gold.
    For a batch that was asked under an earlier `version`, only gold from then measures it.
    """
    from dataops_assets.labels.changes import restate
    from dataops_assets.stages import approved_labels as stage

    approved, inputs = store.load_all("approved_labels", spec.name)
    planned = plans(store, spec)
    if version is None or version == spec.ontology.version:
        gold, _ = restate(approved, spec.ontology)
    else:
        gold = approved[approved["ontology_version"] == version]
    golden = set(gold.loc[gold["image_id"].isin(set(planned.loc[planned["kind"] == "pilot", "image_id"])), "batch_id"])
    used = {name: held for name, held in inputs.get("approved_labels", {}).items() if name in golden}
    return stage.gold_of(gold, planned), {"approved_labels": used} if used else {}


def plans(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """Rows of all batch plans. A plan is written once and never changes."""
    versions = {batch: held[0] for batch, held in store.candidates("batch_plans", spec.name).items()}
    return store.read_all("batch_plans", spec.name, versions)


def vendor_feedback(store: Store, spec: ProjectSpec, quality: Manifest, labeled: Manifest, tasks: Manifest) -> Manifest:
    """What each worker of a batch should hear."""
    from dataops_assets.stages import vendor_feedback as stage

    frame = stage.feedback(labeled.frame, quality.frame, tasks.frame, spec)
    return Manifest("vendor_feedback", spec.name, quality.partition, frame, {**quality.input, **labeled.input})


def approved_labels(store: Store, spec: ProjectSpec, quality: Manifest, labeled: Manifest, tasks: Manifest, by: str) -> Manifest:
    """The batch's accepted labels, on a person's word."""
    from dataops_assets.stages import approved_labels as stage

    answers = int((labeled.frame["status"] == "accepted").sum())
    settle(store, spec, tasks, answers)
    frame = stage.approve(quality.frame, tasks.frame, spec, by)
    return Manifest("approved_labels", spec.name, quality.partition, frame, quality.input)


def settle(store: Store, spec: ProjectSpec, tasks: Manifest, answers: int) -> None:
    """Correct a batch's committed cost to the answers that were delivered and accepted."""
    vendor = spec.labeling.vendor(str(tasks.frame["vendor"].iloc[0])) if len(tasks.frame) else None
    if vendor is None:
        return
    rows = rows_of(store.costs.rows(), spec.name)
    committed = rows[(rows["kind"] == "labels") & (rows["ref"] == tasks.partition)]
    difference = answers * vendor.price_per_label - float(committed["amount"].sum())
    quantity = answers - float(committed["quantity"].sum())
    store.charge(spec.name, "labels_settled", vendor.name, tasks.partition, quantity, difference, spec.brief.currency)
