"""What a batch has cost, and what it costs until every question is settled."""

from __future__ import annotations

import pandas as pd

from dataops_assets.manifest import is_true
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.label_quality import ADJUDICATE, REWORK


def money(work: pd.DataFrame, spec: ProjectSpec, spent: float, planned: pd.DataFrame | None) -> dict[str, float]:
    """What the batch has cost, and what settling the rest of it will: of the questions that no batch has been planned for yet."""
    vendor = spec.labeling.vendor(str(work["vendor"].iloc[0])) if len(work) else None
    if vendor is None:
        return {"cost so far": round(spent, 2)}
    again = (work["decision"] == REWORK) & ~_asked(work, planned, "rework")
    settle = ((work["decision"] == ADJUDICATE) | is_true(work["is_audit"])) & ~_asked(work, planned, "adjudication")
    more = float(work.loc[again, "n_more"].fillna(0).sum()) * vendor.price_per_label
    ours = float(settle.sum()) * spec.price_of_settling
    return {
        "cost so far": round(spent, 2), "more labels": round(more, 2), "our own people": round(ours, 2),
        "cost expected in all": round(spent + more + ours, 2),
    }  # fmt: skip


def _asked(work: pd.DataFrame, planned: pd.DataFrame | None, kind: str) -> pd.Series:
    """Which questions a batch of a kind asks again."""
    if planned is None:
        return pd.Series(False, index=work.index)
    rows = planned[planned["kind"] == kind]
    asked = {(image, name) for image, names in rows[["image_id", "attributes"]].itertuples(index=False) for name in names.split("|")}
    return pd.Series(
        [unit in asked for unit in work[["image_id", "attribute"]].itertuples(index=False, name=None)], index=work.index, dtype=bool
    )
