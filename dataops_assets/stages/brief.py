"""What was agreed, added up: labels, gold, audits, cost and days against budget and date; and how one version differs from another."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import date, timedelta

import pandas as pd

from dataops_assets.labels import sampling
from dataops_assets.spec import ProjectSpec

CRITICAL = frozenset({"images_wanted", "cost_total", "days_needed", "gold_available"})
COSTS = ("image_cost", "label_cost", "rework_cost", "own_cost", "qualification_cost", "audit_cost")  # what `cost_total` adds up
REWORK_ALLOWANCE = 0.15  # share of answers bought again; to be replaced by what vendors' records say
Z95 = 1.96
VOLUME = "volume."
Row = tuple[str, float | None, float | None, str, bool | None, str]


def check(spec: ProjectSpec) -> pd.DataFrame:
    """The brief's figures as rows of `brief`; `is_met` is null where a figure only informs.

    Costs are for the volume asked for, at the dearest image vendor and the production vendor's price; days at its pace, on working
    days. Steps follow one another: our own people's pilot and audit, the qualification, production with rework.
    """
    agreed, labeling = spec.brief, spec.labeling
    images, questions = agreed.images_needed, len(spec.ontology.attributes)
    gold = math.ceil(images * labeling.gold_share)
    answers = (images + gold) * questions * labeling.overlap
    own = labeling.pilot_size * questions * labeling.pilot_overlap
    rework = math.ceil(answers * REWORK_ALLOWANCE)
    candidates = [held for held in labeling.vendors if not held.internal] if labeling.is_qualified_first else []
    tried = labeling.pilot_size * questions * labeling.overlap if candidates else 0
    vendor, internal, money = labeling.production, labeling.internal, agreed.currency
    dearest = max(source.price_per_image for source in spec.sources.vendors)
    image_cost = images * dearest
    label_cost, rework_cost = answers * vendor.price_per_label, rework * vendor.price_per_label
    tried_cost = sum(tried * held.price_per_label for held in candidates)
    audit, audit_row = _audit(spec, images * questions)
    own_cost, audit_cost = own * internal.price_per_label, audit * spec.price_of_settling
    total = image_cost + label_cost + rework_cost + own_cost + tried_cost + audit_cost
    paces = ((own + audit, internal), (tried, vendor), (answers + rework, vendor))
    days = finish(agreed.start, 1, agreed.days_a_week, agreed.days_off)
    first = agreed.start
    for n, who in paces:
        if n:
            days = finish(first, math.ceil(n / who.labels_per_day), agreed.days_a_week, {*agreed.days_off, *who.days_off})
            first = days + timedelta(days=1)
    needed, available = (days - agreed.start).days + 1, (agreed.deadline - agreed.start).days
    hidden = math.ceil(labeling.batch_size * labeling.gold_share)
    half_width = Z95 * math.sqrt(agreed.accuracy_target * (1 - agreed.accuracy_target) / max(1, gold * labeling.overlap))
    smallest, largest, named = _extremes(spec)
    rows: list[Row] = [
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
        (
            "qualification_cost", tried_cost, None, money, None,
            f"The qualification of {', '.join(held.name for held in candidates)} on the pilot's gold costs up to {tried_cost:,.2f} {money} "
            f"({tried:,} answers each)."
            if tried else "No qualification is asked for: production may start with a vendor nobody has tried.",
        ),
        ("audit_cost", audit_cost, None, money, None, f"Our own people's audit of {audit:,} labels costs {audit_cost:,.2f} {money}."),
        ("rework_cost", rework_cost, None, money, None, f"{REWORK_ALLOWANCE:.0%} for rework: {rework_cost:,.2f} {money}."),
        ("cost_total", total, agreed.budget, money, total <= agreed.budget, _total(total, spec)),
        (
            "days_needed", needed, available, "days", needed <= available,
            f"{vendor.name} answers {vendor.labels_per_day:,} questions a day, so all is done on {days}, after {needed:,} days; "
            + (f"there are {available:,}." if needed <= available else f"there are {available:,}: {needed - available:,} too many."),
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
        _consensus(spec), audit_row, _qualification(spec),
        *(
            (f"{VOLUME}{name}.{value}", count, None, "images", None, f"{count:,} images of {name} {value}.")
            for name, counts in agreed.volume.items() for value, count in counts.items()
        ),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["check", "value", "limit", "unit", "is_met", "sentence"]).astype(
        {"value": "float64", "limit": "float64"}
    )


def finish(start: date, workdays: int, days_a_week: int, days_off: Collection[date] = ()) -> date:
    """The last of so many days of work, counted from the first working day at or after `start`; the week begins on Monday."""
    day, left = start, max(1, workdays)
    while True:
        left -= day.weekday() < days_a_week and day not in days_off
        if not left:
            return day
        day += timedelta(days=1)


def expected_accuracy(spec: ProjectSpec) -> float:
    """What the consensus of the answers bought is believed to be right in."""
    return sampling.majority_accuracy(spec.labeling.worker_accuracy, spec.labeling.overlap)


def choices(spec: ProjectSpec, overlaps: tuple[int, ...] = (1, 3, 5, 7)) -> list[dict[str, object]]:
    """What other numbers of answers would give: accuracy, cost and days of each, for whoever has to weigh them."""
    found: list[dict[str, object]] = []
    for overlap in sorted({*overlaps, spec.labeling.overlap}):
        other = spec.model_copy(update={"labeling": spec.labeling.model_copy(update={"overlap": overlap})})
        rows = check(other).set_index("check")["value"]
        found.append({
            "answers": overlap, "right": round(float(rows["consensus_accuracy"]), 4), "cost": round(float(rows["cost_total"]), 2),
            "days": int(rows["days_needed"]), "audit": int(rows["audit_labels"]),
            "note": "agreed" if overlap == spec.labeling.overlap else "",
        })  # fmt: skip
    return found


def unmet(spec: ProjectSpec) -> list[str]:
    """Sentences about what doesn't fit."""
    rows = check(spec)
    return list(rows.loc[rows["check"].isin(CRITICAL) & ~rows["is_met"].eq(True), "sentence"])


def difference(new: pd.DataFrame, old: pd.DataFrame) -> list[str]:
    """What a version of the brief says otherwise than an earlier one, a sentence a change: what it costs and when it ends first."""
    before, after = (frame.drop_duplicates("check").set_index("check") for frame in (old, new))
    names = list(dict.fromkeys(["cost_total", "days_needed", *after.index, *before.index]))
    told = []
    for name in names:
        was, now = (_number(frame, name, "value") for frame in (before, after))
        bound, bounds = (_number(frame, name, "limit") for frame in (before, after))
        unit = str((after if name in after.index else before).loc[name, "unit"]) if name in (*after.index, *before.index) else ""
        if was != now:
            told.append(_changed(name, was, now, unit))
        if bound != bounds and name in ("cost_total", "days_needed"):
            what = "The budget" if name == "cost_total" else "The time there is"
            told.append(f"{what}: {_figure(bound, unit)} -> {_figure(bounds, unit)}.")
    return told


def _changed(name: str, was: float | None, now: float | None, unit: str) -> str:
    if name == "cost_total" and was is not None and now is not None:
        return f"It costs {abs(now - was):,.2f} {unit} {'more' if now > was else 'less'}: {was:,.2f} -> {now:,.2f}."
    if name == "days_needed" and was is not None and now is not None:
        return f"It takes {abs(now - was):,.0f} days {'longer' if now > was else 'less'}: {was:,.0f} -> {now:,.0f} days after its start."
    if name.startswith(VOLUME):
        return f"Volume of {' '.join(name.removeprefix(VOLUME).split('.', 1))}: {_figure(was, '')} -> {_figure(now, unit)}."
    return f"{name.replace('_', ' ').capitalize()}: {_figure(was, '')} -> {_figure(now, unit)}."


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "not there"
    if unit == "share" or (not unit and 0 < value < 1):
        return f"{value:.1%}"
    return f"{value:,.2f}".removesuffix(".00") + (f" {unit}" if unit else "")


def _number(frame: pd.DataFrame, name: str, column: str) -> float | None:
    value = frame.loc[name, column] if name in frame.index else None
    return None if value is None or pd.isna(value) else round(float(value), 6)  # type: ignore[arg-type]


def _total(total: float, spec: ProjectSpec) -> str:
    budget, money, images = spec.brief.budget, spec.brief.currency, spec.brief.images_needed
    told = f"All in all {total:,.2f} of {budget:,.2f} {money}"
    if total <= budget:
        return f"{told}."
    paid = math.floor(images * budget / total)
    return f"{told}: {total - budget:,.2f} too much; the budget pays for about {paid:,} of {images:,} images."


def _consensus(spec: ProjectSpec) -> Row:
    labeling, target = spec.labeling, spec.brief.accuracy_target
    right, more = expected_accuracy(spec), sampling.overlap_for(target, labeling.worker_accuracy)
    told = (
        f"{labeling.overlap} answers by people who are each right in {labeling.worker_accuracy:.0%} agree on the right one in {right:.1%}"
    )
    if right >= target:
        told += f"; {target:.0%} is wanted."
    else:
        told += f", and {target:.0%} is wanted: "
        told += f"{more} answers would do." if more else "more answers don't help, better people or clearer definitions do."
    return "consensus_accuracy", right, target, "share", right >= target, told


def _audit(spec: ProjectSpec, labels: int) -> tuple[int, Row]:
    """Delivered labels to look at again so that the target is certified, and the row that says so."""
    agreed, expected = spec.brief, expected_accuracy(spec)
    sample = sampling.smallest(agreed.accuracy_target, expected, agreed.confidence)
    claim = f"with {agreed.confidence:.0%} confidence that {agreed.accuracy_target:.0%} of the labels are right"
    if sample is None:
        told = f"Nothing can show {claim} while no more than {expected:.1%} is expected: all {labels:,} must be looked at."
        return labels, ("audit_labels", labels, None, "labels", None, told)
    if sample.n >= labels:
        told = f"To show {claim}, a sample of {sample.n:,} would be needed; there are {labels:,}, so all of them are looked at again."
        return labels, ("audit_labels", labels, None, "labels", None, told)
    told = (
        f"To show {claim}, {sample.n:,} delivered labels are looked at again and {sample.at_least:,} must be right; "
        f"work that is {expected:.1%} right passes {sample.power:.0%} of the time."
    )
    return sample.n, ("audit_labels", sample.n, None, "labels", None, told)


def _qualification(spec: ProjectSpec) -> Row:
    """What a candidate must show on the pilot's gold, and whether the pilot is large enough for it."""
    labeling, wanted = spec.labeling, spec.labeling.qualification_accuracy
    n = labeling.pilot_size * labeling.overlap
    test = sampling.test_of(n, wanted, labeling.worker_accuracy, spec.brief.confidence)
    told = (
        f"A vendor qualifies with {test.at_least:,} of {n:,} gold answers right on each attribute ({wanted:.0%} for certain); "
        f"one whose people are {labeling.worker_accuracy:.0%} right passes each {test.power:.0%} of the time."
    )
    if test.power >= sampling.POWER or not labeling.is_qualified_first:
        return "qualification_gold", n, None, "answers", None if not labeling.is_qualified_first else True, told
    enough = sampling.smallest(wanted, labeling.worker_accuracy, spec.brief.confidence)
    if enough is None:
        return "qualification_gold", n, None, "answers", False, f"{told} Nobody believed to be that accurate can pass."
    images = math.ceil(enough.n / labeling.overlap)
    return "qualification_gold", n, enough.n, "answers", False, f"{told} A pilot of {images:,} images would give them a fair chance."


def _extremes(spec: ProjectSpec) -> tuple[int, int, str]:
    """Smallest and largest class of the volume, and the name of the smallest."""
    counts = [(count, f"{attribute} {value}") for attribute, values in spec.brief.volume.items() for value, count in values.items()]
    if not counts:
        return 0, 0, "none"
    smallest = min(counts)
    return smallest[0], max(counts)[0], smallest[1]
