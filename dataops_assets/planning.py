"""Cutting batches: from the pictures that wait and the budget that is left to plans that never change."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from dataops_assets.flow import handbook, images, labels, shared
from dataops_assets.flow.labels import plans as plans
from dataops_assets.manifest import Manifest
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store


@dataclass(frozen=True)
class Planned:
    """New batches, and a sentence about what was left out."""

    batch_ids: list[str]
    amount: float
    reason: str


def plan_batches(store: Store, spec: ProjectSpec, kind: str, limit: int | None = None, vendor: str | None = None) -> Planned:
    """Cut what waits into batches that the budget left pays for, commit their cost and keep their plans.

    Raises:
        ValueError: for a kind or vendor that can't be.
    """
    from dataops_assets.labels.changes import outdated
    from dataops_assets.stages import approved_labels
    from dataops_assets.stages import label_tasks as stage

    with shared.exclusive(store, f"{spec.name}.plan_batches"):
        planned = plans(store, spec)
        approved = approved_labels.current(store.load_all("approved_labels", spec.name)[0])
        for batch_id, rows in planned.groupby("batch_id"):  # a plan that was kept before its cost was entered
            _commit(store, spec, str(batch_id), rows)
        cut = stage.plan(
            kind,  # type: ignore[arg-type]  # any text; the stage refuses what is no kind
            spec,
            images.showable(store, spec, kind),
            planned,
            gold=labels.gold_labels(store, spec)[0],
            quality=store.load_all("label_quality", spec.name)[0],
            outdated=outdated(approved, planned, spec.ontology),
            exposed=handbook.exposed(store, spec),
            budget_left=spec.brief.budget - store.spent(spec.name),
            vendor=vendor,
            limit=limit,
        )
        batch_ids = []
        for rows in cut.batches:
            batch_id = str(rows["batch_id"].iloc[0])
            store.write(Manifest("batch_plans", spec.name, batch_id, rows))
            _commit(store, spec, batch_id, rows)
            batch_ids.append(batch_id)
    return Planned(batch_ids, round(sum(float(rows["amount"].sum()) for rows in cut.batches), 2), cut.reason)


def _commit(store: Store, spec: ProjectSpec, batch_id: str, rows: pd.DataFrame) -> None:
    answers = int((rows["overlap"] * (rows["attributes"].str.count(r"\|") + 1)).sum())
    vendor = str(rows["vendor"].iloc[0])
    store.charge(spec.name, "labels", vendor, batch_id, answers, float(rows["amount"].sum()), spec.brief.currency)
