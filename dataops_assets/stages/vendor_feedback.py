"""What is known of each worker's answers to a batch: how often they are right, where they err, how that changed, what looks odd.

The table is for our own people: what a vendor may hear of it is chosen in `reports/feedback.py`. It names pictures as evidence of
signs of behaviour only, and no sign touches a label.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import agreement, behaviour, references
from dataops_assets.labels.questions import NO_OBJECT, question
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import gold as gold_

TOP_CONFUSED = 3
BATCHES_BACK = 5
_WHO = ["batch_id", "vendor", "worker_id", "attribute"]
SIGHTS = ["worker_id", "image_id", "batch_id"]


def feedback(
    labeled: pd.DataFrame,
    quality: pd.DataFrame,
    tasks: pd.DataFrame,
    spec: ProjectSpec,
    *,
    earlier: pd.DataFrame | None = None,
    seen: pd.DataFrame | None = None,
    prelabels: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row for each vendor, worker and attribute of a batch.

    Args:
        labeled: `labeled_batches` rows; only accepted ones count.
        quality: `label_quality` rows of the same batch.
        tasks: `label_tasks` rows of the same batch.
        spec: The project.
        earlier: `vendor_feedback` rows of batches before it, oldest first, for the trend.
        seen: Columns of SIGHTS: who answered which gold in batches before it.
        prelabels: task_id, attribute, prelabel: what the page showed at the start.

    Returns:
        `vendor_feedback` rows. `agreement` is with the winner, where the batch has one by itself (accepted, not gold);
        `confused` counts mistakes against gold and against such winners as `right>given xN`. What holds for the worker (`flags`,
        `needs_look`, `evidence`) or for the attribute (`raw_agreement`, `alpha`) is on each of its rows.
    """
    answers = compared(labeled, quality, tasks, spec, seen)
    if answers.empty:
        return manifest.empty("vendor_feedback")
    on_gold, on_other = answers["is_judged"] & answers["on_gold"], answers["is_judged"] & ~answers["on_gold"]
    sums = answers.assign(
        gold=on_gold, gold_right=on_gold & answers["is_right"], other=on_other, other_right=on_other & answers["is_right"]
    ).groupby(_WHO, sort=True)
    rows = sums.agg(
        n_labels=("task_id", "size"), median_seconds=("seconds", "median"), n_gold=("gold", "sum"), gold_correct=("gold_right", "sum"),
        n_judged=("other", "sum"), judged_correct=("other_right", "sum"), n_worn=("is_worn", "sum"),
    )  # fmt: skip
    rows["agreement"] = rows["judged_correct"] / rows["n_judged"].where(rows["n_judged"] > 0)
    rows["gold_accuracy"] = rows["gold_correct"] / rows["n_gold"].where(rows["n_gold"] > 0)
    rows["gold_lower"], rows["gold_upper"] = agreement.wilson(rows["gold_correct"], rows["n_gold"])
    tops = _confused(answers, rows.index)
    rows["confused"] = ["|".join(f"{right}>{given} x{n}" for (right, given), n in top) for top in tops]
    classes = gold_.errors_by_class(answers, _WHO)
    rows["missed"] = _listed(classes, "missed", "n", rows.index)
    rows["falsely"] = _listed(classes, "false", "others", rows.index)
    rows = rows.reset_index()
    rows["advice"] = [_advice(row, top, spec) for row, top in zip(rows.to_dict("records"), tops, strict=True)]
    rows = _with_trend(rows, earlier)
    rows = rows.merge(_agreement(answers, spec), on=["vendor", "attribute"], how="left")
    rows = _with_signs(rows, answers, prelabels)
    return manifest.conform(rows.drop(columns="judged_correct"), CONTRACTS["vendor_feedback"])


def compared(
    labeled: pd.DataFrame, quality: pd.DataFrame, tasks: pd.DataFrame, spec: ProjectSpec, seen: pd.DataFrame | None = None
) -> pd.DataFrame:
    """`references.compare` rows of a batch; gold that its worker has seen too often is not judged, and `is_worn`."""
    answers = references.compare(labeled, references.settled(quality), spec)
    hidden = gold_.hidden(tasks)
    answers["on_gold"] = answers["task_id"].isin(hidden)
    answers["is_worn"] = gold_.worn(answers, hidden, seen, spec) if seen is not None else False
    answers["is_judged"] &= ~answers["is_worn"]
    answers["is_right"] &= answers["is_judged"]
    return answers


def _confused(answers: pd.DataFrame, who: pd.Index) -> list[list[tuple[tuple[str, str], int]]]:
    """For each of `who` the most frequent mistakes, as ((right, given), times)."""
    counts = references.mistakes(answers).groupby([*_WHO, "right", "label"], sort=True).size().rename("times").reset_index()
    counts = counts.sort_values([*_WHO, "times", "right", "label"], ascending=[True] * len(_WHO) + [False, True, True], kind="stable")
    counts = counts[counts.groupby(_WHO).cumcount() < TOP_CONFUSED]
    found: dict[Hashable, list[tuple[tuple[str, str], int]]] = {}
    for *key, right, given, times in counts[[*_WHO, "right", "label", "times"]].itertuples(index=False):
        found.setdefault(tuple(key), []).append(((right, given), int(times)))
    return [found.get(key, []) for key in who]


def _listed(classes: pd.DataFrame, wrong: str, of: str, who: pd.Index) -> list[str]:
    """For each of `who` the classes with mistakes as `class k/n`, most mistakes first, joined by |."""
    some = classes[classes[wrong] > 0].reset_index().sort_values([*_WHO, wrong, "label"], ascending=[True] * len(_WHO) + [False, True])
    some = some.assign(told=some["label"] + " " + some[wrong].astype(int).astype(str) + "/" + some[of].astype(int).astype(str))
    joined = some.groupby(_WHO)["told"].agg("|".join).to_dict() if len(some) else {}
    return [joined.get(key, "") for key in who]


def _with_trend(rows: pd.DataFrame, earlier: pd.DataFrame | None) -> pd.DataFrame:
    """`right_share` of all judged answers, those of the batches before, and the change with the interval of Newcombe 1998 (method 10)."""
    n, correct = rows["n_gold"] + rows["n_judged"], rows["gold_correct"] + rows["judged_correct"]
    rows["right_share"] = correct / n.where(n > 0)
    who = ["vendor", "worker_id", "attribute"]
    before = pd.DataFrame(columns=["n_before", "correct_before", "trend"], index=pd.MultiIndex.from_arrays([[], [], []], names=who))
    if earlier is not None and len(earlier):
        held = earlier.assign(n_before=(earlier["n_gold"] + earlier["n_judged"]).astype("float64"))
        held = held[(held["n_before"] > 0) & held["right_share"].notna()]
        held["correct_before"] = held["right_share"] * held["n_before"]
        groups = held.groupby(who, sort=True)
        last = held[groups.cumcount(ascending=False) < BATCHES_BACK]
        shares = last.assign(trend=last["right_share"].map("{:.2f}".format))
        trend = shares.groupby(who)["trend"].agg("|".join)
        before = groups[["n_before", "correct_before"]].sum().join(trend)
    rows = rows.join(before, on=who)
    now = rows["right_share"].map(lambda share: "" if pd.isna(share) else f"{share:.2f}")
    rows["trend"] = ["|".join(filter(None, pair)) for pair in zip(rows["trend"].fillna(""), now, strict=True)]
    n_before, was = rows["n_before"].astype("float64"), (rows["correct_before"] / rows["n_before"]).astype("float64")
    low, high = agreement.wilson(correct, n)
    low_before, high_before = agreement.wilson(rows["correct_before"].astype("float64"), n_before)
    rows["change"] = rows["right_share"] - was
    rows["change_lower"] = rows["change"] - np.sqrt((rows["right_share"] - low) ** 2 + (high_before - was) ** 2)
    rows["change_upper"] = rows["change"] + np.sqrt((high - rows["right_share"]) ** 2 + (was - low_before) ** 2)
    return rows.drop(columns=["n_before", "correct_before"])


def _agreement(answers: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """By vendor and attribute: raw agreement of pairs, and Krippendorff's alpha with its bootstrap interval."""
    rows = answers.loc[answers["label"].notna(), ["vendor", "task_id", "attribute", "label"]]
    frames = [agreed(part, spec).assign(vendor=vendor) for vendor, part in rows.groupby("vendor", sort=True)]
    columns = ["vendor", "attribute", "raw_agreement", "alpha", "alpha_lower", "alpha_upper"]
    return pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)


def agreed(answers: pd.DataFrame, spec: ProjectSpec, resamples: int = 1000) -> pd.DataFrame:
    """Raw agreement and alpha of each attribute of some answers (task_id, attribute, label)."""
    made = alphas(answers, spec, resamples).rename(columns={"lower": "alpha_lower", "upper": "alpha_upper"})
    return made.join(agreement.per_attribute(answers).rename("raw_agreement")).reset_index()


def alphas(answers: pd.DataFrame, spec: ProjectSpec, resamples: int = 1000) -> pd.DataFrame:
    """Krippendorff's alpha of each attribute of some answers (task_id, attribute, label); see `agreement.alpha_per_attribute`.

    Of ordered attributes only answers that have a place in the order count: none that can't tell, and no value of another version.
    """
    orders = {attribute.name: tuple(attribute.values) for attribute in spec.ontology.attributes if attribute.ordered}
    is_placed = pd.Series(True, index=answers.index)
    for name, order in orders.items():
        is_placed &= (answers["attribute"] != name) | answers["label"].isin(order)
    made = agreement.alpha_per_attribute(answers[is_placed], levels(spec), orders, resamples)
    made = made.reindex(pd.Index(sorted(answers["attribute"].unique()), name="attribute"))
    return made.assign(**{name: made[name].fillna(0).astype("int64") for name in ("n_tasks", "n_answers")})


def levels(spec: ProjectSpec) -> dict[str, agreement.Level]:
    """How labels of attributes that aren't nominal are compared; the values of a picture's boxes as a set, like several choices."""
    made: dict[str, agreement.Level] = {attribute.name: "sets" for attribute in spec.ontology.attributes if attribute.kind != "single"}
    return made | {attribute.name: "ordinal" for attribute in spec.ontology.attributes if attribute.ordered}


def _with_signs(rows: pd.DataFrame, answers: pd.DataFrame, prelabels: pd.DataFrame | None) -> pd.DataFrame:
    """Signs of behaviour, of each worker on all of its rows."""
    if prelabels is not None and len(prelabels):
        answers = answers.join(prelabels.set_index(["task_id", "attribute"])["prelabel"], on=["task_id", "attribute"])
    flags: dict[str, str] = {}
    evidence: dict[str, str] = {}
    looks: set[str] = set()
    for _, part in answers.groupby("vendor", sort=True):
        found = behaviour.flags(part)
        looks |= behaviour.asks_for_a_look(found)
        for worker, mine in found.groupby("worker_id", sort=True):
            flags[str(worker)] = "|".join(dict.fromkeys(mine["signal"]))
            columns = ["signal", "attribute", "other", "n", "k", "value", "lower", "upper", "expected", "q_value", "sentence", "examples"]
            told = mine[columns].round({"value": 4, "lower": 4, "upper": 4, "expected": 4})
            told["q_value"] = [float(f"{q:.2g}") for q in told["q_value"]]
            evidence[str(worker)] = json.dumps(told.to_dict("records"), sort_keys=True)
    workers = rows["worker_id"]
    return rows.assign(
        flags=workers.map(flags).fillna(""), needs_look=workers.isin(looks), evidence=workers.map(evidence).fillna("[]").astype("object")
    )


def _advice(row: Mapping[Hashable, object], top: list[tuple[tuple[str, str], int]], spec: ProjectSpec) -> str:
    """One sentence, with the definitions that apply in the guidelines' words."""
    name = str(row["attribute"])
    attribute = question(spec, name)
    n_gold, n_right = int(str(row["n_gold"])), int(str(row["gold_correct"]))
    said = ""
    if n_gold:
        said = f"{n_right} of {n_gold} known answers on {name} are right"
        if float(str(row["gold_upper"])) < spec.gates.min_worker_gold_accuracy:
            said += f", clearly below the {spec.gates.min_worker_gold_accuracy:.0%} asked for: pause and train again"
    if not top or attribute is None:
        return (said or f"No mistakes found on {name}") + "."
    values = list(dict.fromkeys(value for pair, _ in top for label in pair for value in label.split("|") if value in attribute.definitions))
    words = "; ".join(f"{value}: {attribute.definitions[value].rstrip('.')}" for value in values)
    (right, given), n = top[0]
    took = f"{right} was called {given}"
    if attribute.kind == "box" and NO_OBJECT in (right, given):
        took = f"{right} was not boxed, or too loosely" if given == NO_OBJECT else f"{given} was boxed where there is none"
    return f"{said + '; ' if said else ''}most often {took} ({n} times), so read again {words}."
