"""What was agreed, added up: labels, cost and days against budget and date."""

from __future__ import annotations

import math

import pandas as pd

from dataops_assets.spec import ProjectSpec

CRITICAL = frozenset({"images_wanted", "cost_total", "days_needed", "gold_available"})
REWORK_ALLOWANCE = 0.15  # share of answers bought again; to be replaced by what vendors' records say
Z95 = 1.96


def check(spec: ProjectSpec) -> pd.DataFrame:
    """The brief's figures as rows of `brief`; `is_met` is null where a figure only informs.

    Costs are for the volume asked for, at the dearest image vendor and the production vendor's price; days at its pace.
    """
    agreed, labeling = spec.brief, spec.labeling
    images, questions = agreed.images_needed, len(spec.ontology.attributes)
    gold = math.ceil(images * labeling.gold_share)
    answers = (images + gold) * questions * labeling.overlap
    own = labeling.pilot_size * questions
    rework = math.ceil(answers * REWORK_ALLOWANCE)
    vendor, internal, money = labeling.production, labeling.internal, agreed.currency
    dearest = max(source.price_per_image for source in spec.sources.vendors)
    image_cost = images * dearest
    label_cost, rework_cost = answers * vendor.price_per_label, rework * vendor.price_per_label
    own_cost = own * internal.price_per_label
    total = image_cost + label_cost + rework_cost + own_cost
    days = math.ceil((answers + rework) / vendor.labels_per_day) + math.ceil(own / internal.labels_per_day)
    available = (agreed.deadline - agreed.start).days
    hidden = math.ceil(labeling.batch_size * labeling.gold_share)
    half_width = Z95 * math.sqrt(agreed.accuracy_target * (1 - agreed.accuracy_target) / max(1, gold * labeling.overlap))
    smallest, largest, named = _extremes(spec)
    rows: list[tuple[str, float, float | None, str, bool | None, str]] = [
        ("images_wanted", images, 1, "images", images >= 1, f"{images:,} images are wanted."),
        (
            "labels_wanted", answers, None, "answers", None,
            f"That makes {answers:,} answers: {images + gold:,} images, {gold:,} of them gold, x {questions} x {labeling.overlap}.",
        ),
        ("image_cost", image_cost, None, money, None, f"Images cost up to {image_cost:,.2f} {money} ({dearest:g} each)."),
        (
            "label_cost", label_cost, None, money, None,
            f"Labels cost {label_cost:,.2f} {money} ({vendor.price_per_label:g} an answer, {vendor.name}).",
        ),
        (
            "own_cost", own_cost, None, money, None,
            f"Our own people's pilot of {labeling.pilot_size:,} images costs {own_cost:,.2f} {money} ({own:,} answers).",
        ),
        ("rework_cost", rework_cost, None, money, None, f"{REWORK_ALLOWANCE:.0%} for rework: {rework_cost:,.2f} {money}."),
        ("cost_total", total, agreed.budget, money, total <= agreed.budget, f"All in all {total:,.2f} of {agreed.budget:,.2f} {money}."),
        (
            "days_needed", days, available, "days", days <= available,
            f"{vendor.name} needs {days:,} days at {vendor.labels_per_day:,} answers a day; there are {available:,}.",
        ),
        (
            "gold_available", labeling.pilot_size, hidden, "images", labeling.pilot_size >= min(hidden, 1),
            f"The pilot gives {labeling.pilot_size:,} gold images; a batch of {labeling.batch_size:,} hides {hidden:,}.",
        ),
        (
            "gold_precision", half_width, 0.05, "share", half_width <= 0.05,
            f"Gold measures an accuracy of {agreed.accuracy_target:.0%} to within {half_width:.1%}, were its answers independent.",
        ),
        (
            "class_balance", smallest / largest if largest else 0.0, 0.2, "share", smallest >= 0.2 * largest,
            f"The smallest class, {named}, is {smallest:,} of at most {largest:,} images.",
        ),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["check", "value", "limit", "unit", "is_met", "sentence"]).astype(
        {"value": "float64", "limit": "float64"}
    )


def _extremes(spec: ProjectSpec) -> tuple[int, int, str]:
    """Smallest and largest class of the volume, and the name of the smallest."""
    counts = [(count, f"{attribute} {value}") for attribute, values in spec.brief.volume.items() for value, count in values.items()]
    if not counts:
        return 0, 0, "none"
    smallest = min(counts)
    return smallest[0], max(counts)[0], smallest[1]
