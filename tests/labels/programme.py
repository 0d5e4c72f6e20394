"""A programme of one vendor after its pilot, in a store: what tests of planning and of approvals begin with."""

from __future__ import annotations

import pandas as pd

from dataops_assets import planning
from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import Inputs, Manifest, conform
from dataops_assets.store import Store, now
from tests.conftest import changed
from tests.labels.world import make_sources, make_spec

SPEC = changed(make_spec(qualification="required", pilot_size=8, batch_size=6, gold_share=0.5), brief={"budget": 500})
SOURCES = make_sources(40)


def put(
    store: Store, asset: str, partition: str, frame: pd.DataFrame, outcome: str = "pass", inputs: str = "{}",
    frame_inputs: Inputs | None = None,
) -> None:  # fmt: skip
    """A version that was judged; `inputs` as the ledger says, `frame_inputs` as the version itself."""
    made = Manifest(asset, SPEC.name, partition, frame, frame_inputs or {})
    store.write(made)
    row = {"project": SPEC.name, "asset": asset, "partition": partition, "version": made.version, "outcome": outcome, "by": "gate"}
    store.gates.append(lambda rows: [row | {"at": now(), "inputs": inputs, "files": "{}"}])


def judged(plan: pd.DataFrame, right: int) -> pd.DataFrame:
    """Quality of a planned batch: `right` of three answers on each gold picture."""
    rows = plan[["batch_id", "kind", "image_id", "vendor", "is_gold"]].assign(
        task_id="t" + plan["image_id"].str[:12], attribute="colour", object_id="", decision="accept", label="red", n_labels=3
    )
    return conform(
        rows.assign(gold_correct=pd.Series(right, index=rows.index).where(rows["is_gold"].astype(bool))), CONTRACTS["label_quality"]
    )


def answer(store: Store, batch: str, right: int, outcome: str = "pass", inputs: str = "{}") -> None:
    put(store, "label_quality", batch, judged(store.only("batch_plans", SPEC.name, batch).frame, right), outcome, inputs)


def after_pilot(store: Store) -> list[str]:
    """Pictures, and a pilot that is approved; returns its images."""
    put(store, "augmented_set", "d1", SOURCES)
    planning.plan_batches(store, SPEC, "pilot")
    pilot = store.only("batch_plans", SPEC.name, "pilot-001").frame
    approved = pilot[["batch_id", "kind", "image_id"]].assign(attribute="colour", object_id="", label="red", n_labels=1, task_id="t")
    put(store, "approved_labels", "pilot-001", approved)
    return sorted(pilot["image_id"])
