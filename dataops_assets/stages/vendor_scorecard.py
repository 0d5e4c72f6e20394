"""Vendors compared on what is released: what they delivered, how much of it was good, what a good one cost."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels.agreement import wilson
from dataops_assets.spec import ProjectSpec

COLUMNS = list(CONTRACTS["vendor_scorecard"].columns)


def score(
    raw: pd.DataFrame, cleaned: pd.DataFrame, labeled: pd.DataFrame, quality: pd.DataFrame, costs: pd.DataFrame, spec: ProjectSpec
) -> pd.DataFrame:
    """One row a vendor and role. Image vendors: files delivered and pictures kept. Labelling vendors: answers and labels accepted."""
    spent = costs.assign(role=["images" if kind == "images" else "labels" for kind in costs["kind"]])
    amounts = spent.groupby(["role", "vendor"])["amount"].sum().to_dict() if len(spent) else {}
    rows = [_images(vendor.name, raw, cleaned) for vendor in spec.sources.vendors]
    rows += [_labels(vendor.name, labeled, quality) for vendor in spec.labeling.vendors]
    for row in rows:
        row["amount"] = round(float(amounts.get((row["role"], row["vendor"]), 0.0)), 6)
        row["amount_per_accepted"] = row["amount"] / row["accepted"] if row["accepted"] else None
        row["currency"] = spec.brief.currency
    return pd.DataFrame(rows, columns=COLUMNS)


def _images(vendor: str, raw: pd.DataFrame, cleaned: pd.DataFrame) -> dict[str, Any]:
    delivered = int(((raw["vendor"] == vendor) & (raw["status"] != "ignored")).sum())
    kept = int(((cleaned["vendor"] == vendor) & (cleaned["status"] == "kept")).sum())
    return {"role": "images", "vendor": vendor, "delivered": delivered, "accepted": kept, "yield_share": _share(kept, delivered)}


def _labels(vendor: str, labeled: pd.DataFrame, quality: pd.DataFrame) -> dict[str, Any]:
    answers = int(((labeled["vendor"] == vendor) & (labeled["status"] == "accepted")).sum())
    mine = quality[quality["vendor"] == vendor]
    is_gold = mine["is_gold"].fillna(False).astype(bool)
    gold, work = mine[is_gold], mine[~is_gold]
    accepted, again = int((work["decision"] == "accept").sum()), int((work["decision"] == "rework").sum())
    n, correct = int(gold["n_labels"].sum()), int(gold["gold_correct"].sum())
    return {
        "role": "labels", "vendor": vendor, "delivered": answers, "accepted": accepted, "yield_share": _share(accepted, len(work)),
        "gold_accuracy": _share(correct, n), "gold_lower": float(wilson(correct, n)[0]) if n else None,
        "rework_share": _share(again, len(work)),
    }  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
