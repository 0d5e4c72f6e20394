"""What a pilot teaches before anything is bought: time, agreement, what gets confused, what nobody used, and what it will cost.

Also two pilots of the same pictures beside each other: the same task in two tools, or with two sets of guidelines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from typing import Any

import pandas as pd

from dataops_assets.labels import agreement, sampling
from dataops_assets.labels.formats.carries import FEATURES, FORMATS, Carry
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import brief
from dataops_assets.stages.vendor_feedback import alphas

HOURS_A_DAY = 7  # of labelling proper; breaks and questions take the rest
SECONDS_AN_HOUR = 3600
TENTATIVE = 0.667  # Krippendorff 2004, "Content Analysis": below it not even tentative conclusions


@dataclass(frozen=True)
class Confused:
    """Two values of an attribute that people gave to the same pictures, and those pictures."""

    attribute: str
    values: tuple[str, str]
    images: tuple[str, ...]


def times(labeled: pd.DataFrame) -> pd.DataFrame:
    """Seconds an item and an answer: columns what, n, median_s, p90_s; what is `item`, then each attribute.

    An item is a picture answered by one person: the seconds of its answers together. Answers without a time are left out.
    """
    rows = _answers(labeled)
    rows = rows[rows["seconds"].notna()]
    if rows.empty:
        return pd.DataFrame(columns=["what", "n", "median_s", "p90_s"])
    items = rows.groupby(["task_id", "worker_id"])["seconds"].sum()
    groups = [("item", items), *((str(name), part["seconds"]) for name, part in rows.groupby("attribute", sort=True))]
    made = [(name, len(part), round(float(part.median()), 2), round(float(part.quantile(0.9)), 2)) for name, part in groups]
    return pd.DataFrame(made, columns=["what", "n", "median_s", "p90_s"])


def agreed(labeled: pd.DataFrame) -> pd.DataFrame:
    """Agreement of each attribute: columns attribute, pairs (of answers to the same question), agreement (share that are equal)."""
    answers = _answers(labeled)
    counts = answers.groupby(["attribute", "task_id"]).size()
    pairs = (counts * (counts - 1) // 2).groupby(level="attribute").sum()
    made = pairs.rename("pairs").reset_index()
    return made.assign(agreement=made["attribute"].map(agreement.per_attribute(answers)).astype("float64"))


def beyond_chance(labeled: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """Agreement of each attribute with Krippendorff's alpha beside it: columns attribute, pairs, agreement, alpha, lower, upper.

    Several choices, and the values of a picture's boxes, are compared as sets; values in an order by how far they are apart. Where one
    value is frequent, people who guess agree often: alpha is what is left beyond that. Bounds are 95 % by bootstrap over pictures; null
    where it isn't defined.
    """
    found = alphas(_answers(labeled), spec)
    return agreed(labeled).join(found[["alpha", "lower", "upper"]].astype("float64"), on="attribute")


def confused(labeled: pd.DataFrame) -> list[Confused]:
    """Pairs of values that different people gave to the same question, most frequent first; several choices count as one value."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for (name, image), labels in _answers(labeled).groupby(["attribute", "image_id"], sort=True)["label"]:
        for first, second in combinations(sorted(set(labels)), 2):
            found.setdefault((str(name), first, second), set()).add(str(image))
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [Confused(name, (first, second), tuple(sorted(images))) for (name, first, second), images in ordered]


def unused(labeled: pd.DataFrame, spec: ProjectSpec) -> dict[str, list[str]]:
    """Attribute -> its values that nobody used: the sample lacks them, or the definition is no help."""
    answers = _answers(labeled)
    given = {str(name): set(labels.str.split("|").explode()) for name, labels in answers.groupby("attribute")["label"]}
    lacking = {held.name: [value for value in held.values if value not in given.get(held.name, set())] for held in spec.ontology.attributes}
    return {name: values for name, values in lacking.items() if values}


def forecast(labeled: pd.DataFrame, spec: ProjectSpec) -> list[str]:
    """Cost and date from measured times, as sentences; empty where no time was measured.

    Rework is what the brief allows for, the audit as large as it says. Our own people adjudicate the share of the questions that they
    differed on in the pilot, or where one alone answered it, the share that the agreed number of answers leaves doubtful.
    """
    measured = times(labeled)
    if measured.empty:
        return []
    questions, vendor, agreed_ = len(spec.ontology.attributes), spec.labeling.production, spec.brief
    figures = brief.check(spec).set_index("check")["value"]
    items = figures["labels_wanted"] / questions
    item_s = float(measured.loc[measured["what"] == "item", "median_s"].iloc[0])
    share = _doubtful(labeled, spec)
    open_ = math.ceil(share * agreed_.images_needed * questions)
    an_hour = item_s / SECONDS_AN_HOUR
    hours, again = items * an_hour, brief.REWORK_ALLOWANCE * items * an_hour
    ours = (open_ + figures["audit_labels"]) / questions * an_hour
    a_day = vendor.labels_per_day / questions * an_hour / HOURS_A_DAY
    until = (agreed_.start + timedelta(days=n) for n in range((agreed_.deadline - agreed_.start).days))
    days = sum(day.weekday() < agreed_.days_a_week and day not in agreed_.days_off for day in until)
    people = math.ceil((hours + again + ours) / HOURS_A_DAY / max(1, days))
    done = brief.finish(agreed_.start, math.ceil((hours + again + ours) / HOURS_A_DAY), agreed_.days_a_week, agreed_.days_off)
    audit = figures["audit_labels"]
    settled = open_ * spec.price_of_settling
    money = figures["label_cost"] + figures["rework_cost"] + figures["audit_cost"] + settled
    told = [
        f"At {item_s:.0f} s a picture, {items:,.0f} pictures to answer are {hours:,.1f} hours of work, and rework {again:,.1f} more; "
        f"adjudicating {open_:,} questions ({share:.0%}) and auditing {audit:,.0f} labels take our own people {ours:,.1f}. "
        f"One person who does all of it and begins on {agreed_.start} is done on {done}.",
        f"{vendor.labels_per_day:,} answers a day, as {vendor.name} says, take {a_day:,.1f} people at this speed; "
        f"to be done by {agreed_.deadline} it takes {people:,}.",
        f"Labels, rework, adjudication and audit cost {money:,.2f} of {agreed_.budget:,.2f} {agreed_.currency}.",
    ]
    if vendor.price_per_label and item_s:
        hourly = vendor.price_per_label * questions * SECONDS_AN_HOUR / item_s
        told.append(
            f"{vendor.price_per_label:g} {agreed_.currency} an answer is {hourly:,.2f} {agreed_.currency} an hour of a person's work."
        )
    return told


def _doubtful(labeled: pd.DataFrame, spec: ProjectSpec) -> float:
    """Share of the questions that our own people will have to settle, by what they differ on themselves."""
    pairs = agreed(labeled)
    compared = int(pairs["pairs"].sum())
    if not compared:
        return 1 - brief.expected_accuracy(spec)
    return 1 - float((pairs["agreement"].fillna(0.0) * pairs["pairs"]).sum()) / compared


def advice(labeled: pd.DataFrame, spec: ProjectSpec, threshold: float = 0.8) -> list[str]:
    """What to do before production, a sentence each: definitions to mend, values to look for, how many answers to buy."""
    told, seen = [], beyond_chance(labeled, spec)
    alone = list(seen.loc[seen["pairs"] == 0, "attribute"])
    for row in seen[seen["agreement"] < threshold].to_dict("records"):
        told.append(f"Our own people agree on {row['attribute']} in {row['agreement']:.0%} of {row['pairs']}: mend its definitions first.")
    for row in seen[(seen["agreement"] >= threshold) & (seen["alpha"] < TENTATIVE)].to_dict("records"):
        told.append(
            f"Our own people agree on {row['attribute']} in {row['agreement']:.0%} of {row['pairs']}, but hardly beyond chance "
            f"(alpha {row['alpha']:.2f}): too few of the pictures show anything but the usual."
        )
    if alone:
        told.append(f"One person alone answered {', '.join(alone)}: nobody knows whether two would agree (`pilot_overlap: 2`).")
    pairs = [f"{found.attribute} {found.values[0]} and {found.values[1]} ({len(found.images)})" for found in confused(labeled)[:3]]
    told += [f"Most confused: {'; '.join(pairs)}."] if pairs else []
    told += [f"Nobody used {name} {', '.join(values)}: is it rare, or not understood?" for name, values in unused(labeled, spec).items()]
    return told or ["Nothing stands against production."]


def compare(first: pd.DataFrame, second: pd.DataFrame, gold: pd.DataFrame, names: tuple[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """Two pilots of the same pictures: figures side by side and what follows from them.

    Args:
        first: `labeled_batches` rows of one set-up; all rows, so that what an export spoilt is counted.
        second: Those of the other.
        gold: `approved_labels.gold_of` rows, choices only; may be empty.
        names: What to call them.

    Returns:
        A frame with columns what, and one a set-up; and sentences. Pictures that only one of them shows are left out.
    """
    shared = set(_answers(first)["image_id"]) & set(_answers(second)["image_id"])
    sides = [rows[rows["image_id"].isin(shared) | (rows["status"] != "accepted")] for rows in (first, second)]
    measures = [_measure(rows, gold) for rows in sides]
    made = pd.DataFrame([(what, measures[0][what], measures[1][what]) for what in measures[0]], columns=["what", *names], dtype="object")
    votes = [_votes(rows) for rows in sides]
    both = votes[0].to_frame("one").join(votes[1].rename("other"), how="inner")
    told = [f"{len(shared):,} pictures were labelled with both."]
    if len(both):
        same = float((both["one"] == both["other"]).mean())
        told.append(f"{names[0]} and {names[1]} come to the same answer on {same:.0%} of {len(both):,} questions.")
    told += _faster(measures, names) + _righter(votes, gold, names)
    return made, told


def losses(table: Mapping[str, Mapping[str, Carry]] = FORMATS) -> list[dict[str, str]]:
    """What each export format loses of what was answered, as rows to show."""
    return [
        {"format": name, "loses": FEATURES.get(feature, feature), "instead": carry.how}
        for name, carried in table.items()
        for feature, carry in carried.items()
        if not carry.kept
    ]


def _answers(labeled: pd.DataFrame) -> pd.DataFrame:
    """One row an answer: a picture's boxes are one answer, the values drawn."""
    rows = labeled[(labeled["status"] == "accepted") & labeled["label"].notna()]
    unit = ["task_id", "image_id", "attribute", "worker_id"]
    if not rows.duplicated(unit).any():
        return rows[[*unit, "label", "seconds"]]
    held = rows.groupby(unit, sort=True)
    return held.agg(label=("label", lambda values: "|".join(sorted(set(values)))), seconds=("seconds", "max")).reset_index()


def _votes(labeled: pd.DataFrame) -> pd.Series:
    """The answer given most by (image_id, attribute); of equals the first by name."""
    counts = _answers(labeled).groupby(["image_id", "attribute", "label"]).size().rename("n").reset_index()
    ordered = counts.sort_values(["image_id", "attribute", "n", "label"], ascending=[True, True, False, True])
    return ordered.drop_duplicates(["image_id", "attribute"]).set_index(["image_id", "attribute"])["label"]


def _right(votes: pd.Series, gold: pd.DataFrame) -> pd.Series:
    known = gold.drop_duplicates(["image_id", "attribute"]).set_index(["image_id", "attribute"])["label"]
    both = votes.to_frame("given").join(known.rename("known"), how="inner")
    return both["given"] == both["known"]


def _measure(labeled: pd.DataFrame, gold: pd.DataFrame) -> dict[str, Any]:
    clock, pairs, right = times(labeled), agreed(labeled), _right(_votes(labeled), gold)
    item = clock[clock["what"] == "item"]
    weight = pairs["pairs"].sum()
    return {
        "pictures": int(_answers(labeled)["image_id"].nunique()),
        "people": int(_answers(labeled)["worker_id"].nunique()),
        "median seconds a picture": float(item["median_s"].iloc[0]) if len(item) else None,
        "90 % of pictures within, s": float(item["p90_s"].iloc[0]) if len(item) else None,
        "agreement": round(float((pairs["agreement"] * pairs["pairs"]).sum() / weight), 4) if weight else None,
        "right on gold": round(float(right.mean()), 4) if len(right) else None,
        "questions with gold": len(right),
        "rows that could not be read": int((labeled["status"] != "accepted").sum()),
    }


def _faster(measures: Sequence[Mapping[str, Any]], names: tuple[str, str]) -> list[str]:
    seconds = [measure["median seconds a picture"] for measure in measures]
    if None in seconds or not all(seconds):
        return []
    fast = 0 if seconds[0] <= seconds[1] else 1
    saved = 1 - seconds[fast] / seconds[1 - fast]
    return [f"{names[fast]} is faster: {seconds[fast]:.1f} s a picture, {saved:.0%} less than {seconds[1 - fast]:.1f} s."]


def _righter(votes: Sequence[pd.Series], gold: pd.DataFrame, names: tuple[str, str]) -> list[str]:
    both = _right(votes[0], gold).to_frame("one").join(_right(votes[1], gold).rename("other"), how="inner")
    if both.empty:
        return []
    only = int((both["one"] & ~both["other"]).sum()), int((~both["one"] & both["other"]).sum())
    p = sampling.mcnemar(*only)
    verdict = f"{names[0] if only[0] > only[1] else names[1]} is better" if p < 0.05 else "no difference that chance doesn't explain"
    return [f"On gold {names[0]} alone is right {only[0]} times and {names[1]} alone {only[1]} times: {verdict} (p {p:.2g})."]
