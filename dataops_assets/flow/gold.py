"""Gold: which answers are known, which of them still measure, and who knows them already."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from dataops_assets import manifest
from dataops_assets.flow.history import planned_order, plans
from dataops_assets.flow.shared import rows_of
from dataops_assets.manifest import Inputs, Manifest, is_true
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store


def registry(store: Store, spec: ProjectSpec, with_workers: bool = False) -> tuple[pd.DataFrame, Inputs]:
    """Answers our own people settled in pilots with what stands against them (`gold.registry`), and the versions they come from."""
    from dataops_assets.stages import approved_labels
    from dataops_assets.stages import gold as stage

    approved, inputs = store.load_all("approved_labels", spec.name)
    planned = plans(store, spec)
    entries = rows_of(store.gold.rows(), spec.name)
    sent = set(planned.loc[is_true(planned["is_gold"]), "batch_id"])
    labeled = store.load_all("labeled_batches", spec.name, sent)[0] if with_workers else manifest.empty("labeled_batches")
    found = stage.registry(approved_labels.gold_of(approved, planned, spec.ontology), approved, planned, labeled, entries, spec)
    batches = set(found["batch_id"])
    used: dict[str, Mapping[str, str]] = {}
    if batches:
        used["approved_labels"] = {name: version for name, version in inputs.get("approved_labels", {}).items() if name in batches}
    said = entries[entries["action"].isin(stage.MEASURING)]
    if len(said):
        used["gold"] = {"entries": str(said["seq"].max())}
    return found, used


def measuring(store: Store, spec: ProjectSpec) -> tuple[pd.DataFrame, Inputs]:
    """Gold that answers are compared with, and the versions it comes from."""
    from dataops_assets.stages import gold as stage

    found, used = registry(store, spec)
    return stage.measuring(found), used


def known_before(store: Store, spec: ProjectSpec, labeled: Manifest) -> set[str]:
    """Pictures that guidelines or training packs showed with their answers before these answers were taken in: they measure nobody."""
    from dataops_assets.stages import gold as stage

    entries = rows_of(store.gold.rows(), spec.name)
    entries = entries[entries["action"].isin([stage.SHOW, stage.PRACTISE])]
    if entries.empty:
        return set()
    gates = rows_of(store.gates.rows(), spec.name)
    is_mine = (gates["asset"] == "labeled_batches") & (gates["partition"] == labeled.partition) & (gates["version"] == labeled.version)
    taken = gates.loc[is_mine, "at"].min() if is_mine.any() else None
    return set(entries.loc[entries["at"] < taken, "image_id"] if taken is not None else entries["image_id"])


def seen_before(store: Store, spec: ProjectSpec, tasks: Manifest) -> tuple[pd.DataFrame, Inputs]:
    """Who answered which of a batch's gold pictures in batches planned before it (`stages/vendor_feedback.SIGHTS`); the versions."""
    from dataops_assets.stages import gold as stage

    rows = tasks.frame[tasks.frame["task_id"].isin(stage.hidden(tasks.frame))]
    planned, order = plans(store, spec), planned_order(store, spec)
    columns = ("batch_id", "row_id", "worker_id", "image_id", "status")
    is_same = planned["image_id"].isin(set(rows["image_id"])) & planned["vendor"].isin(set(rows["vendor"]))
    shown = planned[is_same & is_true(planned["is_gold"])]
    mine = order.get(tasks.partition, -1)
    names = {batch for batch in shown["batch_id"].unique() if order.get(str(batch), mine) < mine}
    held = store.released("labeled_batches", spec.name)
    versions = {batch: held[batch] for batch in sorted(names & held.keys())}
    found = store.read_all("labeled_batches", spec.name, versions, columns)
    pairs = shown[["batch_id", "image_id"]].drop_duplicates()
    found = found[(found["status"] == "accepted") & found["worker_id"].notna()].merge(pairs, on=["batch_id", "image_id"])
    return found[["worker_id", "image_id", "batch_id"]].drop_duplicates(ignore_index=True), {"seen_before": versions} if versions else {}


def worn_before(store: Store, spec: ProjectSpec, earlier: pd.DataFrame) -> pd.Series:
    """Which answers of earlier batches (`labeled_batches` rows) are to gold that the same person had seen too often by then.

    They teach nobody what a worker is worth: who knows a picture by heart is right on it.
    """
    from dataops_assets.stages import gold as stage

    planned = plans(store, spec)
    shown = pd.MultiIndex.from_frame(planned.loc[is_true(planned["is_gold"]), ["batch_id", "image_id"]])
    on_gold = pd.MultiIndex.from_frame(earlier[["batch_id", "image_id"]]).isin(shown) & earlier["worker_id"].notna()
    on_gold &= earlier["status"] == "accepted"
    return stage.sights(earlier.assign(on_gold=on_gold), planned_order(store, spec)) >= spec.labeling.gold_sights
