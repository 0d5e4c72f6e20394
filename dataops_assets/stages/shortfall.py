"""Which classes the brief still lacks: what is approved, what the pictures in stock should give, what vendors still owe."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import pandas as pd

from dataops_assets.labels.questions import SCREENING
from dataops_assets.spec import ProjectSpec

COLUMNS = ["attribute", "value", "wanted", "approved", "in_stock", "promised", "short", "sentence"]


def shortfall(spec: ProjectSpec, approved: pd.DataFrame, stock: pd.DataFrame, raw: pd.DataFrame) -> pd.DataFrame:
    """One row for each class of the volume, in the brief's order.

    What a picture in stock shows isn't known before it is labelled. Where vendors' categories are the attribute's values, they
    are believed; else the share that the value has among the approved labels is expected, rounded down; without labels, nothing.

    Args:
        spec: The project.
        approved: `approved_labels` rows in use, one answer an image and attribute (several rows for boxes).
        stock: Usable source images, `image_id, category`; those with an approved label of the attribute don't count again.
        raw: `raw_images` rows of released drops, to tell what vendors have delivered of what they promised.

    Returns:
        Columns attribute, value, wanted, approved, in_stock (expected among what isn't labelled), promised (still to come), short
        (what approved and in stock leave open), sentence.
    """
    approved = approved[approved["attribute"] != SCREENING.name].drop_duplicates(["image_id", "attribute", "label"])
    owed = _owed(spec, raw)
    rows = []
    for name, wanted in spec.brief.volume.items():
        labelled = approved[approved["attribute"] == name]
        parts = labelled.assign(label=labelled["label"].str.split("|")).explode("label")
        have = parts.groupby("label")["image_id"].nunique().to_dict()
        free = stock[~stock["image_id"].isin(set(labelled["image_id"]))]
        attribute = spec.ontology.attribute(name)
        is_told = attribute is not None and bool(free["category"].isin(list(attribute.values)).any())
        told = free["category"].value_counts().to_dict() if is_told else {}
        n_labelled = labelled["image_id"].nunique()
        for value, count in wanted.items():
            held = int(have.get(value, 0))
            share = held / n_labelled if n_labelled else 0.0
            expected = int(told.get(value, 0)) if is_told else math.floor(share * len(free))
            short = max(0, count - held - expected)
            rows.append((name, value, count, held, expected, owed.get(value, 0), short))
    frame = pd.DataFrame(rows, columns=COLUMNS[:-1])
    return frame.assign(sentence=[_sentence(row) for row in frame.to_dict("records")])


def _owed(spec: ProjectSpec, raw: pd.DataFrame) -> dict[str, int]:
    """Category -> files that vendors promised and haven't delivered."""
    good = raw[raw["status"] == "accepted"]
    came = good.groupby(["vendor", "category"]).size().to_dict()
    owed: dict[str, int] = {}
    for vendor in spec.sources.vendors:
        for category, count in vendor.promised.categories.items():
            owed[category] = owed.get(category, 0) + max(0, count - int(came.get((vendor.name, category), 0)))
    return owed


def _sentence(row: Mapping[Hashable, object]) -> str:
    told = f"{row['attribute']} {row['value']}: {row['wanted']:,} wanted, {row['approved']:,} approved"
    told += f", about {row['in_stock']:,} more in stock" if row["in_stock"] else ", none to be expected in stock"
    short, promised = int(str(row["short"])), int(str(row["promised"]))
    if not short:
        return f"{told}: enough."
    if promised >= short:
        return f"{told}; {short:,} short, and vendors still owe {promised:,}."
    return f"{told}; {short:,} short" + (f", of which vendors owe {promised:,}" if promised else "") + ": order more."
