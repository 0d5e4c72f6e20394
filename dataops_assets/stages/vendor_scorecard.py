"""Vendors compared on what is released: what they delivered, how much of it was good, what a good one cost, how fast it came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import agreement, behaviour, boxes, sampling
from dataops_assets.labels.agreement import wilson
from dataops_assets.labels.references import compare, settled
from dataops_assets.manifest import is_true
from dataops_assets.spec import ImageVendor, LabelVendor, ProjectSpec
from dataops_assets.stages import gold as gold_
from dataops_assets.stages import pace
from dataops_assets.stages.vendor_feedback import agreed

COLUMNS = list(CONTRACTS["vendor_scorecard"].columns)
WORK = ("production", "rework")
PAIR = ["first", "second", "attribute", "items", "only_first", "only_second", "p_value", "p_holm", "sentence"]
LOOP = ["batch_id", "vendor", "asked", "accepted_at_once", "sent_back", "accepted_after", "ours", "open", "first_pass_yield", "rework_rate"]
MOST_SIGNS = 100
UNUSED = "not in use"  # files of deliveries that aren't screened yet, or whose gate held them back
_ITEM = ["image_id", "attribute"]


@dataclass(frozen=True)
class Facts:
    """What is known beside the tables; each may be left empty.

    Attributes:
        planned: `batch_plans` rows.
        approved: `approved_labels` rows of all batches.
        feedback: `vendor_feedback` rows of all batches.
        times: Columns of `pace.TIMES`: when a batch was sent and when its labels were released.
        disputes: Rows of the `gold` ledger.
        received: drop_id, received_at.
        order: batch_id -> its place in the order in which batches were planned.
    """

    planned: pd.DataFrame = field(default_factory=lambda: manifest.empty("batch_plans"))
    approved: pd.DataFrame = field(default_factory=lambda: manifest.empty("approved_labels"))
    feedback: pd.DataFrame = field(default_factory=lambda: manifest.empty("vendor_feedback"))
    times: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=pace.TIMES))
    disputes: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["image_id", "attribute", "action", "label"]))
    received: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["drop_id", "received_at"]))
    order: Mapping[str, int] = field(default_factory=dict)


def score(
    raw: pd.DataFrame,
    cleaned: pd.DataFrame,
    labeled: pd.DataFrame,
    quality: pd.DataFrame,
    costs: pd.DataFrame,
    spec: ProjectSpec,
    facts: Facts | None = None,
) -> pd.DataFrame:
    """One row a vendor and role. Image vendors: files delivered and pictures kept. Labelling vendors: answers and labels accepted.

    Args:
        raw: `raw_images` rows.
        cleaned: `cleaned_set` rows.
        labeled: `labeled_batches` rows.
        quality: `label_quality` rows.
        costs: Rows of the `costs` ledger.
        spec: The project.
        facts: What else is known.
    """
    facts = facts or Facts()
    spent = costs.assign(role=["images" if kind == "images" else "labels" for kind in costs["kind"]])
    amounts = spent.groupby(["role", "vendor"])["amount"].sum().to_dict() if len(spent) else {}
    parts = _paid(costs, facts.planned, spec)
    rows = [_images(vendor, raw, cleaned, facts) for vendor in spec.sources.vendors]
    rows += [_labels(vendor, labeled, quality, spec, facts) for vendor in spec.labeling.vendors]
    for row in rows:
        row["amount"] = round(float(amounts.get((row["role"], row["vendor"]), 0.0)), 6)
        mine = parts.get(row["vendor"], {}) if row["role"] == "labels" else {}
        row |= {f"amount_{part}": round(mine.get(part, 0.0), 6) for part in ("work", "rework", "gold", "review")}
        whole = row["amount"] + row["amount_review"]
        row["amount_per_accepted"] = whole / row["accepted"] if row["accepted"] else None
        row["currency"] = spec.brief.currency
    return pd.DataFrame(rows, columns=COLUMNS)


# ---- labelling vendors


def _labels(vendor: LabelVendor, labeled: pd.DataFrame, quality: pd.DataFrame, spec: ProjectSpec, facts: Facts) -> dict[str, Any]:
    given = labeled[(labeled["vendor"] == vendor.name) & (labeled["status"] == "accepted")]
    mine = quality[quality["vendor"] == vendor.name].drop_duplicates(["batch_id", "task_id", "attribute"])
    work = mine[~is_true(mine["is_gold"]) & mine["kind"].isin(WORK if not vendor.internal else mine["kind"].unique())]
    first = work[work["round"].fillna(0) == 0]
    answers = _answers(given, settled(quality[quality["vendor"] == vendor.name]), spec, facts) if len(given) else None
    gold = gold_.accuracy(answers, ["vendor"], spec.quality.likeness) if answers is not None else pd.DataFrame()
    n, correct = (int(gold["n"].iloc[0]), int(gold["correct"].iloc[0])) if len(gold) else (0, 0)
    raw = agreement.per_attribute(given[given["label"].notna()]) if len(given) else pd.Series(dtype="float64")
    days = given["submitted_at"].dropna().dt.date.nunique()
    people = facts.feedback[facts.feedback["vendor"] == vendor.name]
    signs = _signs(answers, people)
    return {
        "role": "labels", "vendor": vendor.name, "delivered": len(given), "accepted": int((work["decision"] == "accept").sum()),
        "yield_share": _share(int((first["decision"] == "accept").sum()), len(first)),
        "rework_share": _share(int((first["decision"] == "rework").sum()), len(first)),
        **_escapes(vendor.name, facts, mine),
        "n_gold": n, "gold_accuracy": _share(correct, n),
        "gold_lower": float(gold["lower"].iloc[0]) if n else None, "gold_upper": float(gold["upper"].iloc[0]) if n else None,
        "agreement": float(raw.mean()) if raw.notna().any() else None,
        "workers": int(given["worker_id"].nunique()), **signs,
        "answers_a_day": len(given) / days if days else None,
        **_pace(vendor, facts.times, spec), **_disputes(vendor.name, facts),
        "by_attribute": json.dumps(_by_attribute(given, answers, spec), sort_keys=True),
        "by_class": json.dumps(_by_class(answers, spec), sort_keys=True),
    }  # fmt: skip


def _answers(given: pd.DataFrame, known: pd.DataFrame, spec: ProjectSpec, facts: Facts) -> pd.DataFrame:
    """The vendor's answers beside what was settled; gold that its worker had seen too often is not judged."""
    answers = compare(given, known, spec)
    is_worn = gold_.sights(answers, facts.order) >= spec.labeling.gold_sights
    return answers.assign(is_judged=answers["is_judged"] & ~is_worn, is_right=answers["is_right"] & ~is_worn)


def _signs(answers: pd.DataFrame | None, people: pd.DataFrame) -> dict[str, Any]:
    """Workers with signs of behaviour in a batch, or over all batches together: there, copying and change show that one can't."""
    flagged = set(people.loc[people["flags"].fillna("") != "", "worker_id"])
    looks = set(people.loc[is_true(people["needs_look"]), "worker_id"])
    found = behaviour.flags(answers) if answers is not None else pd.DataFrame(columns=behaviour.COLUMNS)
    looks |= behaviour.asks_for_a_look(found)
    told = found.assign(look=found["worker_id"].isin(looks))[["worker_id", "other", "signal", "attribute", "n", "k", "sentence", "look"]]
    return {
        "workers_flagged": len(flagged | set(found["worker_id"])), "workers_to_look_at": len(looks),
        "signs": json.dumps(manifest.records(told.head(MOST_SIGNS)), sort_keys=True),
    }  # fmt: skip


def _escapes(vendor: str, facts: Facts, mine: pd.DataFrame) -> dict[str, Any]:
    """Approved labels of the vendor that turned out wrong later: another answer stands for their picture now.

    The share is of those that were looked at again, with its Wilson bounds. Who looks only where something seems wrong finds more
    than there are: a random audit (`is_audit`) is what makes it an estimate, and where there is one, only it counts.
    """
    from dataops_assets.stages.approved_labels import current

    batches = set(mine["batch_id"])
    ours = facts.approved[facts.approved["batch_id"].isin(batches) & facts.approved["kind"].isin(WORK)]
    units = _with_what_stands(ours, current(facts.approved))
    approved = len(units)
    again = facts.approved[(facts.approved["kind"] == "adjudication")].drop_duplicates(_ITEM)
    if "is_audit" in mine and is_true(mine["is_audit"]).any():
        drawn = mine.loc[is_true(mine["is_audit"]), ["batch_id", *_ITEM]].drop_duplicates()
        units = units.merge(drawn, on=["batch_id", *_ITEM])
    seen = units.merge(again[_ITEM], on=_ITEM)
    wrong = int(seen["is_replaced"].sum())
    lower, upper = wilson(wrong, len(seen))
    return {
        "approved": approved, "looked_at_again": len(seen), "escaped": int(units["is_replaced"].sum()),
        "escape_share": _share(wrong, len(seen)), "escape_lower": float(lower) if len(seen) else None,
        "escape_upper": float(upper) if len(seen) else None,
    }  # fmt: skip


def _with_what_stands(ours: pd.DataFrame, stands: pd.DataFrame) -> pd.DataFrame:
    """A row a label with `is_replaced`: another answer stands for it now. A picture's boxes are one label, as in the audit."""
    whole = ["batch_id", *_ITEM]
    now = stands.drop_duplicates(_ITEM).set_index(_ITEM)[["label", "batch_id"]].add_prefix("now_")
    units = ours.drop_duplicates(whole).join(now, on=_ITEM).reset_index(drop=True)
    units["is_replaced"] = units["now_label"].notna() & (units["label"] != units["now_label"])
    drawn = {name for rows in (ours, stands) if "x" in rows for name in rows.loc[rows["x"].notna(), "attribute"]}
    changed = units[units["attribute"].isin(drawn) & (units["now_batch_id"] != units["batch_id"]) & units["now_label"].notna()]
    if len(changed):
        given, known = dict(list(ours.groupby(whole))), dict(list(stands.groupby(_ITEM)))
        units.loc[changed.index, "is_replaced"] = [
            not boxes.is_same(boxes.answer(given[tuple(key)]), boxes.answer(known[tuple(key[1:])])) for key in changed[whole].to_numpy()
        ]
    return units


def _pace(vendor: LabelVendor, times: pd.DataFrame, spec: ProjectSpec) -> dict[str, Any]:
    """Hours from sending a batch to its released labels, and whether it came on the day that the vendor's agreed pace leads to."""
    rows = pace.batches(times, vendor, spec)
    if rows.empty:
        return {"batches": 0}
    return {
        "batches": len(rows), "turnaround_p50_h": float(rows["hours"].quantile(0.5)),
        "turnaround_p95_h": float(rows["hours"].quantile(0.95)), "on_time_share": float((rows["back"] <= rows["due"]).mean()),
    }  # fmt: skip


def _disputes(vendor: str, facts: Facts) -> dict[str, int]:
    """Disputes of gold that the vendor was measured with, and those that ended with another answer: there, we were wrong."""
    shown = set(facts.planned.loc[(facts.planned["vendor"] == vendor) & is_true(facts.planned["is_gold"]), "image_id"])
    rows = facts.disputes[facts.disputes["image_id"].isin(shown)]
    changed = rows[(rows["action"] == "settle") & rows["label"].notna()]
    return {"disputes": int((rows["action"] == "dispute").sum()), "disputes_upheld": len(changed)}


def _by_attribute(given: pd.DataFrame, answers: pd.DataFrame | None, spec: ProjectSpec) -> dict[str, Any]:
    """attribute -> raw agreement, alpha with bounds, accuracy on gold with bounds."""
    rows = given[given["label"].notna()]
    if answers is None or rows.empty:
        return {}
    found: dict[str, Any] = {row["attribute"]: _rounded(row) for row in manifest.records(agreed(rows, spec).drop(columns=["n_answers"]))}
    for row in manifest.records(gold_.accuracy(answers, ["attribute"], spec.quality.likeness).reset_index().add_prefix("gold_")):
        found.setdefault(row["gold_attribute"], {}).update(_rounded({name: row[name] for name in row if name != "gold_attribute"}))
    for row in found.values():
        row.pop("attribute", None)
    return found


def _by_class(answers: pd.DataFrame | None, spec: ProjectSpec) -> dict[str, Any]:
    """attribute -> class -> false negatives and positives on gold with bounds."""
    if answers is None or not answers["on_gold"].any():
        return {}
    found: dict[str, Any] = {}
    for row in manifest.records(gold_.errors_by_class(answers[answers["on_gold"]], believed=spec.quality.likeness).reset_index()):
        found.setdefault(row["attribute"], {})[row["label"]] = _rounded(
            {name: row[name] for name in row if name not in ("attribute", "label")}
        )
    return found


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}


def _paid(costs: pd.DataFrame, planned: pd.DataFrame, spec: ProjectSpec) -> dict[str, dict[str, float]]:
    """vendor -> what was paid for work, rework and gold (qualification is gold alone), and what our own people's review of it cost.

    What a batch cost is divided over its pictures as its plan prices them; settlements follow the same key. Review is the price of the
    adjudication of what came from the vendor's batches.
    """
    if planned.empty or "ref" not in costs:
        return {}
    spent = costs[costs["kind"].isin(["labels", "labels_settled"])].groupby("ref")["amount"].sum()
    total = planned.groupby("batch_id")["amount"].sum()
    factor = planned["batch_id"].map(spent).astype("float64") / planned["batch_id"].map(total.where(total > 0)).astype("float64")
    rows = planned.assign(paid=(planned["amount"].astype("float64") * factor).fillna(0.0))
    maker = dict(zip(planned["batch_id"], planned["vendor"], strict=True))
    parent = dict(zip(planned["batch_id"], planned["parent_batch_id"], strict=True))
    root = {batch: _root(str(batch), parent) for batch in maker}
    part = np.select(
        [is_true(rows["is_gold"]), rows["kind"] == "rework", rows["kind"] == "adjudication"], ["gold", "rework", "review"], "work"
    )
    payer = [
        maker.get(root.get(str(above), str(above)), vendor) if kind == "adjudication" and isinstance(above, str) else vendor
        for kind, above, vendor in zip(rows["kind"], rows["parent_batch_id"], rows["vendor"], strict=True)
    ]
    sums = rows.assign(part=part, payer=payer).groupby(["payer", "part"])["paid"].sum()
    found: dict[str, dict[str, float]] = {}
    for vendor, name, amount in sums.reset_index().itertuples(index=False, name=None):
        found.setdefault(str(vendor), {})[str(name)] = float(amount)
    return found


def _root(batch: str, parent: Mapping[Any, Any]) -> str:
    """The batch that a chain of rework began with."""
    seen = {batch}
    while isinstance(parent.get(batch), str) and parent[batch] not in seen:
        batch = parent[batch]
        seen.add(batch)
    return batch


def loop(planned: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """What became of the questions of each production batch: columns of LOOP, oldest first.

    Each question is where its last judged batch left it: accepted at once, accepted after rework, ours to decide (or decided), or open -
    sent back and not yet back. They add up to those asked.
    """
    work = quality[~is_true(quality["is_gold"])].drop_duplicates(["batch_id", "task_id", "attribute"])
    parent = dict(zip(planned["batch_id"], planned["parent_batch_id"], strict=True))
    work = work.assign(root=[_root(str(batch), parent) for batch in work["batch_id"]])
    first = work[work["kind"] == "production"]
    rework = work[work["kind"].isin(WORK)].assign(turn=work["round"].fillna(0).astype(int))
    last = rework.sort_values("turn", kind="stable").drop_duplicates(["root", *_ITEM], keep="last").set_index(["root", *_ITEM])
    rows = []
    for batch, mine in first.groupby("batch_id", sort=True):
        ends = last.loc[last.index.get_level_values("root") == batch]
        ends = ends[ends.index.isin(pd.MultiIndex.from_frame(mine.assign(root=batch)[["root", *_ITEM]]))]
        at_once = int((mine["decision"] == "accept").sum())
        rows.append((
            batch, mine["vendor"].iloc[0], len(mine), at_once, int((mine["decision"] == "rework").sum()),
            int((ends["decision"] == "accept").sum()) - at_once, int((ends["decision"] == "adjudicate").sum()),
            int((ends["decision"] == "rework").sum()), at_once / len(mine), float((mine["decision"] == "rework").mean()),
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=LOOP)


def paired(quality: pd.DataFrame) -> pd.DataFrame:
    """Vendors pairwise on the gold that both answered, in whatever batch: columns of PAIR.

    An item (picture and attribute) is right where more than half of a vendor's answers are. McNemar's exact test looks at the items on
    which the two differ; `p_holm` is corrected for the number of pairs and attributes (Holm 1979).
    """
    rows = quality[is_true(quality["is_gold"]) & quality["gold_correct"].notna()].drop_duplicates(["batch_id", "task_id", "attribute"])
    sums = rows.groupby(["vendor", *_ITEM])[["gold_correct", "n_labels"]].sum()
    right = (2 * sums["gold_correct"].astype("float64") > sums["n_labels"].astype("float64")).where(sums["n_labels"] > 0)
    wide = right.unstack("vendor") if len(right) else pd.DataFrame()
    pairs = []
    for first, second in combinations(sorted(wide.columns), 2):
        both = wide[[first, second]].dropna().astype(bool)
        groups = [("all", both), *both.groupby(level="attribute", sort=True)]
        for name, items in groups if len(both) else []:
            one, other = int((items[first] & ~items[second]).sum()), int((~items[first] & items[second]).sum())
            pairs.append((first, second, str(name), len(items), one, other, sampling.mcnemar(one, other)))
    made = pd.DataFrame(pairs, columns=PAIR[:7])
    made["p_holm"] = _holm(made["p_value"].to_numpy(dtype=np.float64))
    made["sentence"] = [_told(*row) for row in made[[*PAIR[:6], "p_holm"]].itertuples(index=False, name=None)]
    return made


def _holm(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))) if len(p) else []
    return adjusted.clip(max=1.0)


def _told(first: str, second: str, attribute: str, items: int, one: int, other: int, p: float) -> str:
    of = "" if attribute == "all" else f" on {attribute}"
    told = f"Of {items:,} items{of}, {first} alone got {one:,} right and {second} alone {other:,}"
    if p >= 0.05:
        return f"{told}: no difference that chance doesn't explain (p {p:.2g})."
    return f"{told}: {first if one > other else second} is better (p {p:.2g})."


# ---- image vendors


def _images(vendor: ImageVendor, raw: pd.DataFrame, cleaned: pd.DataFrame, facts: Facts) -> dict[str, Any]:
    files = raw[(raw["vendor"] == vendor.name) & (raw["status"] != "ignored")]
    judged = cleaned[cleaned["vendor"] == vendor.name]
    kept = judged[judged["status"] == "kept"]
    promised = vendor.promised
    reasons = _reasons(files[files["status"].isin(["quarantined", "held", "duplicate"])], "status")
    reasons += _reasons(judged[judged["status"] == "rejected"], None) + _reasons(judged[judged["status"] == "review"], "review")
    accepted = files["status"] == "accepted"
    reasons += [UNUSED] * (int(accepted.sum()) - len(judged))
    mix = _mix(files[files["status"] == "accepted"], kept, promised.categories)
    received = files["drop_id"].map(dict(zip(facts.received["drop_id"], facts.received["received_at"], strict=True)))
    on_time = None
    if promised.by is not None and promised.files and received.notna().any():
        in_time = pd.to_datetime(received, utc=True) < pd.Timestamp(promised.by + timedelta(days=1), tz="UTC")
        on_time = min(1.0, int((accepted & in_time).sum()) / promised.files)
    return {
        "role": "images", "vendor": vendor.name, "delivered": len(files), "accepted": len(kept),
        "yield_share": _share(len(kept), len(files)),
        "on_time_share": on_time, "promised": promised.files,
        "mix_gap": _mix_gap(mix), "by_reason": json.dumps(_counted(reasons)), "by_class": json.dumps(mix),
    }  # fmt: skip


def _reasons(rows: pd.DataFrame, word: str | None) -> list[str]:
    """One reason for each row: the first of several, so that shares add up."""
    names = rows["reason"].fillna(rows["status"]).str.split("|").str[0]
    if word == "status":
        names = names.where(rows["status"] != "duplicate", "duplicate")
    return [f"review: {name}" if word == "review" else str(name) for name in names]


def _counted(reasons: list[str]) -> dict[str, int]:
    counts = pd.Series(reasons, dtype="object").value_counts()
    return {str(name): int(counts[name]) for name in sorted(counts.index, key=lambda name: (-counts[name], name))}


def _mix(accepted: pd.DataFrame, kept: pd.DataFrame, promised: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """category -> promised, accepted and kept pictures."""
    told, used = accepted["category"].fillna("-").value_counts(), kept["category"].fillna("-").value_counts()
    names = [*promised, *sorted(set(told.index) | set(used.index) - set(promised))]
    return {
        str(name): {"promised": int(promised.get(name, 0)), "accepted": int(told.get(name, 0)), "kept": int(used.get(name, 0))}
        for name in dict.fromkeys(names)
    }


def _mix_gap(mix: Mapping[str, Mapping[str, int]]) -> float | None:
    """Share of the kept pictures that would have to be of another class for the mix that was promised (total variation distance)."""
    promised, kept = (sum(row[name] for row in mix.values()) for name in ("promised", "kept"))
    if not promised or not kept:
        return None
    return sum(abs(row["promised"] / promised - row["kept"] / kept) for row in mix.values()) / 2


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
