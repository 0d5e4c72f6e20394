"""What was agreed, added up: labels, gold, audits, cost and days against budget and date; and how one version differs from another."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from dataops_assets.labels import acceptance, sampling
from dataops_assets.spec import LabelVendor, ProjectSpec

CRITICAL = frozenset({"images_wanted", "cost_total", "days_needed", "gold_available"})
COSTS = ("image_cost", "label_cost", "rework_cost", "own_cost", "qualification_cost", "audit_cost")  # what `cost_total` adds up
REWORK_ALLOWANCE = 0.15  # share of answers bought again; to be replaced by what vendors' records say
PRECISION = 0.05  # to which gold shall measure an accuracy
VOLUME, PACE = "volume.", "pace."
Row = tuple[str, float | None, float | None, str, bool | None, str]


def check(spec: ProjectSpec, piloted: int = 0) -> pd.DataFrame:
    """The brief's figures as rows of `brief`; `is_met` is null where a figure only informs.

    Args:
        spec: The project.
        piloted: Pictures in the pilots that were planned already; their answers are gold, also where they are more than `pilot_size`.

    Costs are for the volume asked for, at the dearest image vendor and the production vendor's price; days at its pace, on working
    days. Steps follow one another: our own people's pilot and audit, the qualification at the slowest candidate's pace, production with
    rework. What it would be at another vendor's pace stands beside it.
    """
    agreed, labeling = spec.brief, spec.labeling
    images, questions = agreed.images_needed, len(spec.ontology.attributes)
    gold = hidden(spec).shown
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
    ends = {held.name: _end(spec, own + audit, tried, candidates, answers + rework, held) for held in (vendor, *_others(spec))}
    days = ends[vendor.name]
    needed, available = (days - agreed.start).days + 1, (agreed.deadline - agreed.start).days
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
            f"{vendor.name} answers {vendor.labels_per_day:,} questions a day, so all is {when(days, agreed.start)}; "
            + (f"there are {available:,}." if needed <= available else f"there are {available:,}: {needed - available:,} too many."),
        ),
        *(
            (
                f"{PACE}{held.name}", (ends[held.name] - agreed.start).days + 1, None, "days", None,
                f"At {held.name}'s {held.labels_per_day:,} answers a day all would be {when(ends[held.name], agreed.start)}.",
            )
            for held in _others(spec)
        ),
        *_gold(spec, max(piloted, labeling.pilot_size)),
        (
            "class_balance", smallest / largest if largest else 0.0, 0.2, "share", smallest >= 0.2 * largest,
            f"The smallest class, {named}, is {smallest:,} of at most {largest:,} images.",
        ),
        _consensus(spec), audit_row, _batch_audit(spec), _qualification(spec),
        *(
            (f"{VOLUME}{name}.{value}", count, None, "images", None, f"{count:,} images of {name} {value}.")
            for name, counts in agreed.volume.items() for value, count in counts.items()
        ),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["check", "value", "limit", "unit", "is_met", "sentence"]).astype(
        {"value": "float64", "limit": "float64"}
    )


def finish(start: date, workdays: int, days_a_week: int, days_off: Collection[date] = ()) -> date:
    """The last of so many days of work, counted from the first working day at or after `start`; the week begins on Monday.

    What takes longer than the calendar has days is done on its last one, `date.max`.
    """
    week = "1" * days_a_week + "0" * (7 - days_a_week)
    off = np.array(sorted(days_off), dtype="datetime64[D]")
    last = np.busday_offset(np.datetime64(start), max(1, workdays) - 1, roll="forward", weekmask=week, holidays=off)
    return date.max if last >= np.datetime64(date.max) else date.fromisoformat(str(last))


def _end(spec: ProjectSpec, own: int, tried: int, candidates: Sequence[LabelVendor], bought: int, vendor: LabelVendor) -> date:
    """When all is done: our own people's answers, then the tests, of which the slowest candidate's counts, then production by a vendor."""
    agreed, first = spec.brief, spec.brief.start

    def days(answers: int, who: LabelVendor) -> date:
        return finish(first, math.ceil(answers / who.labels_per_day), agreed.days_a_week, {*agreed.days_off, *who.days_off})

    end = finish(first, 1, agreed.days_a_week, agreed.days_off)
    for steps in ([(own, spec.labeling.internal)], [(tried, held) for held in candidates], [(bought, vendor)]):
        if any(answers for answers, _ in steps):
            end = max(days(*step) for step in steps)
            first = min(end, date.max - timedelta(days=1)) + timedelta(days=1)
    return end


def _others(spec: ProjectSpec) -> list[LabelVendor]:
    """Whoever could do the production beside the vendor it is planned with."""
    return [held for held in spec.labeling.vendors if not held.internal and held.name != spec.labeling.production.name]


def when(end: date, start: date) -> str:
    """`done on ...`, and after how many days from the start."""
    if end == date.max:
        return f"not done before the calendar ends, on {end}"
    return f"done on {end}, after {(end - start).days + 1:,} days"


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


def unmet(spec: ProjectSpec, checks: Collection[str] = CRITICAL) -> list[str]:
    """Sentences about what doesn't fit."""
    rows = check(spec)
    return list(rows.loc[rows["check"].isin(checks) & ~rows["is_met"].eq(True), "sentence"])


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


@dataclass(frozen=True)
class Hidden:
    """Gold in production as planning hides it: pictures in a full batch, batches, and how often gold is shown in all of them."""

    each: int
    batches: int
    shown: int


def hidden(spec: ProjectSpec) -> Hidden:
    """The gold that production batches hide. A ramp has small ones first, each of which hides as much gold as a full one."""
    labeling, left = spec.labeling, spec.brief.images_needed
    each = labeling.gold_in(labeling.batch_size)
    size, small = labeling.ramp_start or labeling.batch_size, 0
    while left > 0 and size < labeling.batch_size:
        left, size, small = left - size, 2 * size, small + 1
    full, rest = divmod(max(0, left), labeling.batch_size)
    of_rest = each if labeling.ramp_start is not None else labeling.gold_in(rest)
    return Hidden(each, small + full + bool(rest), (small + full) * each + bool(rest) * of_rest)


def _gold(spec: ProjectSpec, piloted: int) -> list[Row]:
    """Whether pilots give as many different pictures as production hides, and how exactly these measure."""
    from scipy.stats import norm

    labeling, plan, target = spec.labeling, hidden(spec), spec.brief.accuracy_target
    spare = _spare(piloted, labeling.shown_gold)
    tested = min(spare, labeling.batch_size) if labeling.is_qualified_first else 0
    most = labeling.gold_exposures
    needed = max(plan.each, math.ceil((plan.shown * (1 + REWORK_ALLOWANCE) + tested) / most)) if plan.shown else 0
    told = (
        f"{piloted:,} pilot pictures leave {spare:,} to hide where guidelines may show {labeling.shown_gold:.0%} of them. A batch of "
        f"{labeling.batch_size:,} hides {plan.each:,}, production shows gold {plan.shown:,} times, one picture at most {most:,} times: "
        f"{needed:,} different ones are needed"
    )
    if not plan.shown:
        told = "No gold is hidden in production: its audit alone measures it."
    elif spare >= needed:
        told += "."
    else:
        told += f", {needed - spare:,} more than there are. {_larger(needed, labeling.shown_gold)} would do."
    distinct = min(spare, plan.shown)
    z = float(norm.ppf((1 + spec.brief.confidence) / 2))
    half_width = z * math.sqrt(target * (1 - target) / max(1, distinct))
    sure, within = f"{spec.brief.confidence:.0%} sure", f"an accuracy of {target:.0%} to within {half_width:.1%}"
    precise = f"{distinct:,} different gold pictures measure {within} ({sure})"
    if half_width > PRECISION:
        enough = math.ceil(target * (1 - target) * (z / PRECISION) ** 2)
        precise += f"; to within {PRECISION:.0%} takes {enough:,}"
        if plan.shown < enough:
            precise += f", and production shows gold only {plan.shown:,} times (`gold_share`)"
        else:
            precise += f". {_larger(enough, labeling.shown_gold)} would do"
    precise += "."
    return [
        ("gold_available", spare, needed, "images", spare >= needed, told),
        ("gold_precision", half_width, PRECISION, "share", half_width <= PRECISION, precise),
    ]


def _spare(pictures: int, shown: float) -> int:
    """Gold pictures that stay hidden when guidelines have shown as many as they may."""
    return pictures - int(shown * pictures)


def _larger(spare: int, shown: float) -> str:
    """The smallest pilot that leaves so many pictures to hide."""
    if shown >= 1:
        return "A smaller `shown_gold` than all of it"
    pictures = spare
    while (short := spare - _spare(pictures, shown)) > 0:
        pictures += short
    return f"A pilot of {pictures:,} pictures"


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
    """Delivered labels to look at again so that the target is certified and each batch is judged, and the row that says so."""
    agreed, expected = spec.brief, expected_accuracy(spec)
    sample = sampling.smallest(agreed.accuracy_target, expected, agreed.confidence)
    claim = f"with {agreed.confidence:.0%} confidence that {agreed.accuracy_target:.0%} of the labels are right"
    if sample is None:
        told = f"Nothing can show {claim} while no more than {expected:.1%} is expected: all {labels:,} must be looked at."
        return labels, ("audit_labels", labels, None, "labels", None, told)
    if sample.n >= labels:
        told = f"To show {claim}, a sample of {sample.n:,} would be needed; there are {labels:,}, so all of them are looked at again."
        return labels, ("audit_labels", labels, None, "labels", None, told)
    batches = hidden(spec).batches if spec.quality.audit != "off" else 0
    drawn = min(labels, _drawn(spec, batches)) if batches else 0
    if drawn > sample.n:
        told = f"The samples of {batches:,} batches come to {drawn:,} labels if all pass, more than the {sample.n:,} that show {claim}."
        return drawn, ("audit_labels", drawn, None, "labels", None, told)
    told = (
        f"To show {claim}, {sample.n:,} delivered labels are looked at again and {sample.at_least:,} must be right; "
        f"work that is {expected:.1%} right passes {sample.power:.0%} of the time."
    )
    return sample.n, ("audit_labels", sample.n, None, "labels", None, told)


def _full(spec: ProjectSpec) -> int:
    """Labels of the largest batch there will be, if all of them are accepted."""
    return min(spec.labeling.batch_size, max(1, spec.brief.images_needed)) * len(spec.ontology.attributes)


def _sample(spec: ProjectSpec, severity: acceptance.Severity = "normal") -> acceptance.Plan:
    """What is drawn of a full batch that just reaches the target."""
    from dataops_assets.stages.label_quality import sampling_plan

    return sampling_plan(_full(spec), 1 - spec.brief.accuracy_target, spec, severity)


def _drawn(spec: ProjectSpec, batches: int) -> int:
    """Labels in the samples of so many full batches, if all of them pass: after some inspection is reduced."""
    first = min(batches, acceptance.REDUCE)
    return first * _sample(spec).n + (batches - first) * (_sample(spec, "reduced").n if batches > first else 0)


def _batch_audit(spec: ProjectSpec) -> Row:
    """How large a batch's sample is, and how large it must be so that good batches pass."""
    target, size = spec.brief.accuracy_target, _full(spec)
    if spec.quality.audit == "off":
        told = "No batch is audited (`quality.audit: off`): how many of the labels accepted by themselves are wrong stays unmeasured."
        return "batch_audit", 0, None, "labels", None, told
    drawn, fair = _sample(spec), acceptance.fair(size, target, spec.brief.confidence)
    price, money = spec.price_of_settling, spec.brief.currency
    costs = f"{drawn.n * price:,.2f} {money} a batch"
    if drawn.n >= fair.n:
        told = (
            f"Of a full batch of {size:,} labels our own people answer {drawn.n:,} for its audit, which costs {costs}: one that just "
            f"reaches {target:.1%} passes nineteen times in twenty under normal inspection (`quality.audit_floor`). {_tightened(spec)}"
        )
        return "batch_audit", drawn.n, fair.n, "labels", True, told
    told = (
        f"A full batch of {size:,} labels that just reaches {target:.1%} is refused {drawn.producers_risk:.0%} of the time by a sample of "
        f"{drawn.n:,}, which costs {costs}: with `quality.audit_floor: {fair.n}` it passes nineteen times in twenty under normal "
        f"inspection, for {(fair.n - drawn.n) * price:,.2f} {money} more. {_tightened(spec)}"
    )
    return "batch_audit", drawn.n, fair.n, "labels", False, told


def _tightened(spec: ProjectSpec) -> str:
    """What is drawn of a full batch once a vendor's inspection is tightened, and how often good work is refused then."""
    hard = _sample(spec, "tightened")
    fair = acceptance.fair(_full(spec), spec.brief.accuracy_target, spec.brief.confidence, "tightened")
    told = f"Tightened, after batches that were refused, it takes {hard.n:,}"
    if hard.n >= fair.n:
        return f"{told}."
    return f"{told} and refuses such a batch {hard.producers_risk:.0%} of the time: without `quality.audit_floor` it takes {fair.n:,}."


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
