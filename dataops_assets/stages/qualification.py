"""Whether a labelling vendor may work on production: what its people got right on hidden gold, and vendors beside each other.

A vendor passes on the exact lower bound of its accuracy for each attribute that matters, so luck on a few pictures doesn't pass. Of
several qualification batches the last one counts: people learn, and they leave.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from dataops_assets.labels import sampling
from dataops_assets.spec import LabelVendor, ProjectSpec

VERDICT = ["vendor", "attribute", "batch_id", "n", "correct", "accuracy", "lower", "wanted", "matters", "is_passed"]
PAIR = ["first", "second", "attribute", "items", "only_first", "only_second", "p_value", "sentence"]
CLEAR = 0.05  # p-value below which a difference is called one


def verdicts(quality: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """A row for each vendor and attribute of its last qualification batch.

    Args:
        quality: `label_quality` rows; only those of kind `qualification` count.
        spec: The project.

    Returns:
        Columns of VERDICT: `n` answers on gold, `lower` the one-sided Clopper-Pearson bound at `brief.confidence`.
    """
    rows = _answered(quality)
    rows = rows[rows["batch_id"] == rows["vendor"].map(_last(rows))]
    wanted = spec.labeling.qualification_accuracy
    if rows.empty:
        return pd.DataFrame(columns=VERDICT)
    made = rows.groupby(["vendor", "attribute", "batch_id"], as_index=False).agg(n=("n_labels", "sum"), correct=("gold_correct", "sum"))
    n, correct = made["n"].to_numpy(dtype=np.int64), made["correct"].to_numpy(dtype=np.int64)
    lower = sampling.exact_lower(correct, n, spec.brief.confidence)
    made = made.assign(n=n, correct=correct, accuracy=correct / np.maximum(n, 1), lower=lower, wanted=wanted)
    return made.assign(matters=made["attribute"].isin(matter(spec)), is_passed=np.nan_to_num(lower) >= wanted)[VERDICT]


def matter(spec: ProjectSpec) -> tuple[str, ...]:
    """Attributes that a vendor must master."""
    return spec.labeling.qualify_on or tuple(attribute.name for attribute in spec.ontology.attributes)


def pictures(spec: ProjectSpec, gold: int, kept: int) -> int:
    """How many gold pictures a qualification shows, of so many: some are kept for production, unless the test would be unfair then.

    What a vendor saw in its test it can find again in production, by its bytes. A test is fair where people who are as good as
    `worker_accuracy` pass on all attributes that matter together, four times in five.
    """
    labeling, power = spec.labeling, sampling.POWER ** (1 / len(matter(spec)))
    fair = sampling.smallest(labeling.qualification_accuracy, labeling.worker_accuracy, spec.brief.confidence, power)
    least = -(-fair.n // labeling.overlap) if fair is not None else gold
    return min(labeling.batch_size, gold, max(least, gold - kept))


def passed(found: pd.DataFrame, spec: ProjectSpec) -> frozenset[str]:
    """Vendors that may have production batches as far as their work goes: our own, and those that passed on all that matters."""
    good = found[found["matters"].astype(bool) & found["is_passed"].astype(bool)]
    held = good.groupby("vendor")["attribute"].nunique().to_dict()
    names = [vendor.name for vendor in spec.labeling.vendors if vendor.internal or held.get(vendor.name, 0) == len(matter(spec))]
    return frozenset(names)


def sentence(vendor: str, found: pd.DataFrame, spec: ProjectSpec) -> str:
    """What a vendor has shown, and what it still has to, for a person who plans."""
    asked, wanted = matter(spec), spec.labeling.qualification_accuracy
    mine = found[found["vendor"] == vendor].set_index("attribute")
    if mine.empty:
        command = f"dataops plan {spec.name} --kind qualification --vendor {vendor}"
        told = f"{vendor} has not passed a qualification: plan one (`{command}`)"
        return f"{told}; it must show an accuracy of at least {wanted:.0%} (lower bound) on {', '.join(asked)}"
    if vendor in passed(found, spec):
        return f"{vendor} has passed {mine['batch_id'].iloc[0]}: at least {mine['lower'].min():.0%} right on each of {', '.join(asked)}"
    short = []
    for name in asked:
        if name not in mine.index:
            short.append(f"{name} was not measured")
        elif not mine.loc[name, "is_passed"]:
            row = mine.loc[name]
            short.append(f"{name}: {row['correct']} of {row['n']} right, so at least {row['lower']:.0%}, and {wanted:.0%} is wanted")
    return f"{vendor} has not passed {mine['batch_id'].iloc[0]}: {'; '.join(short)}"


def choose(spec: ProjectSpec, found: pd.DataFrame) -> LabelVendor | None:
    """Who gets production batches: the first external vendor that may; None where a qualification is required and nobody has passed."""
    if not spec.labeling.is_qualified_first:
        return spec.labeling.production
    allowed = passed(found, spec)
    return next((vendor for vendor in spec.labeling.vendors if not vendor.internal and vendor.name in allowed), None)


def refusal(spec: ProjectSpec, found: pd.DataFrame, vendor: str | None = None) -> str:
    """Why no production batch may be cut for a vendor, or for any where none is named; "" where one may."""
    if not spec.labeling.is_qualified_first:
        return ""
    if vendor is not None:
        return "" if vendor in passed(found, spec) else sentence(vendor, found, spec)
    if choose(spec, found) is not None:
        return ""
    return ". ".join(sentence(held.name, found, spec) for held in spec.labeling.vendors if not held.internal)


def compare(quality: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """Vendors pairwise on the items that both answered in their last qualification batches, in all and for each attribute.

    An item is a picture and an attribute; it is right when more than half of the vendor's answers are. McNemar's exact test looks at
    the items on which the two differ: what both get right or wrong tells nothing about which one is better.
    """
    rows = _answered(quality)
    rows = rows[rows["batch_id"] == rows["vendor"].map(_last(rows))]
    right = rows.assign(is_right=2 * rows["gold_correct"].astype("float64") > rows["n_labels"].astype("float64"))
    wide = right.pivot_table(index=["image_id", "attribute"], columns="vendor", values="is_right", aggfunc="min") if len(right) else right
    pairs = []
    for first, second in combinations(sorted(rows["vendor"].unique()), 2):
        both = wide[[first, second]].dropna().astype(bool)
        groups = [("all", both), *both.groupby(level="attribute", sort=True)]
        for name, items in groups if len(both) else []:
            one, other = int((items[first] & ~items[second]).sum()), int((~items[first] & items[second]).sum())
            p = sampling.mcnemar(one, other)
            pairs.append((first, second, str(name), len(items), one, other, round(p, 4), _told(first, second, len(items), one, other, p)))
    return pd.DataFrame(pairs, columns=PAIR)


def offers(found: pd.DataFrame, labeled: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """One row for each external vendor: passed or not, accuracy, price, speed, and what a right answer costs.

    Args:
        found: `verdicts` rows.
        labeled: `labeled_batches` rows; accepted answers of the batches in `found` count.
        spec: The project.
    """
    allowed = passed(found, spec)
    return pd.DataFrame([_offer(vendor, found, labeled, vendor.name in allowed) for vendor in spec.labeling.vendors if not vendor.internal])


def _offer(vendor: LabelVendor, found: pd.DataFrame, labeled: pd.DataFrame, is_passed: bool) -> dict[str, object]:
    mine = found[(found["vendor"] == vendor.name) & found["matters"].astype(bool)].sort_values("lower")
    answers = labeled[(labeled["vendor"] == vendor.name) & labeled["batch_id"].isin(mine["batch_id"]) & (labeled["status"] == "accepted")]
    n, correct = int(mine["n"].sum()), int(mine["correct"].sum())
    return {
        "vendor": vendor.name,
        "passed": is_passed,
        "right": round(correct / n, 3) if n else None,
        "answers": n,
        "weakest attribute": str(mine["attribute"].iloc[0]) if n else None,
        "its lower bound": round(float(mine["lower"].iloc[0]), 3) if n else None,
        "price an answer": vendor.price_per_label,
        "price a right one": round(vendor.price_per_label * n / correct, 4) if correct else None,
        "median s an answer": _median(answers["seconds"]),
        "answers a day": vendor.labels_per_day,
    }


def _answered(quality: pd.DataFrame) -> pd.DataFrame:
    """Gold questions of qualification batches, one row each: a task with several boxes has one."""
    rows = quality[(quality["kind"] == "qualification") & quality["gold_correct"].notna()]
    return rows.drop_duplicates(["batch_id", "task_id", "attribute"])


def _last(rows: pd.DataFrame) -> Mapping[Hashable, str]:
    """Vendor -> its qualification batch with the highest number."""
    number = rows["batch_id"].str.extract(r"(\d+)$", expand=False).astype("float64")
    ordered = rows.assign(number=number).sort_values("number").drop_duplicates("vendor", keep="last")
    return dict(zip(ordered["vendor"], ordered["batch_id"], strict=True))


def _told(first: str, second: str, items: int, one: int, other: int, p: float) -> str:
    told = f"Of {items:,} items {first} alone got {one:,} right and {second} alone {other:,}"
    if p >= CLEAR:
        return f"{told}: no difference that chance doesn't explain (p {p:.2g})."
    return f"{told}: {first if one > other else second} is better (p {p:.2g})."


def _median(seconds: pd.Series) -> float | None:
    value = seconds.median() if len(seconds) else np.nan
    return None if pd.isna(value) else round(float(value), 1)
