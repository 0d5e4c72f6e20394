"""What a vendor is told about its people's work: how often they agree, where they err, which definitions to read again.

It never names a picture: telling which one is gold would spoil it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import agreement, boxes, dependent
from dataops_assets.labels.questions import question
from dataops_assets.spec import ProjectSpec

TOP_CONFUSED = 3
_WHO = ["batch_id", "vendor", "worker_id", "attribute"]


def feedback(labeled: pd.DataFrame, quality: pd.DataFrame, tasks: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """One row for each vendor, worker and attribute of a batch.

    Args:
        labeled: `labeled_batches` rows; only accepted ones count.
        quality: `label_quality` rows of the same batch.
        tasks: `label_tasks` rows of the same batch.
        spec: The project.

    Returns:
        `vendor_feedback` rows. `agreement` is with the winner, where the batch has one by itself (accepted, not gold);
        `confused` counts mistakes against gold and against such winners as `right>given xN`.
    """
    boxed = [attribute.name for attribute in spec.ontology.attributes if attribute.kind == "box"]
    answers = _answers(dependent.with_implied(labeled[labeled["status"] == "accepted"], boxed), quality, spec)
    if answers.empty:
        return manifest.empty("vendor_feedback")
    gold_tasks = set(tasks.loc[tasks["is_gold"].astype("boolean").fillna(False).astype(bool), "task_id"])
    answers["on_gold"] = answers["task_id"].isin(gold_tasks) & answers["is_judged"]
    answers["on_other"] = ~answers["task_id"].isin(gold_tasks) & answers["is_judged"]
    groups = answers.groupby(_WHO, sort=True)
    rows = groups.agg(n_labels=("task_id", "size"), median_seconds=("seconds", "median"), n_gold=("on_gold", "sum"))
    n_other = groups["on_other"].sum()
    rows["gold_correct"] = (answers["on_gold"] & answers["is_right"]).groupby([answers[name] for name in _WHO]).sum()
    right = (answers["on_other"] & answers["is_right"]).groupby([answers[name] for name in _WHO]).sum()
    rows["agreement"] = right / n_other.where(n_other > 0)
    has_gold = rows["n_gold"] > 0
    rows["gold_accuracy"] = rows["gold_correct"] / rows["n_gold"].where(has_gold)
    rows["gold_lower"], rows["gold_upper"] = agreement.wilson(rows["gold_correct"], rows["n_gold"])
    wrong = answers[answers["is_judged"] & ~answers["is_right"] & answers["pair"].notna()]
    mistakes = {who: Counter(pairs) for who, pairs in wrong.groupby(_WHO)["pair"]}
    tops = [sorted(mistakes.get(who, Counter()).items(), key=lambda item: (-item[1], item[0]))[:TOP_CONFUSED] for who in rows.index]
    rows["confused"] = ["|".join(f"{right}>{given} x{n}" for (right, given), n in top) for top in tops]
    rows = rows.reset_index()
    rows["advice"] = [_advice(row, top, spec) for row, top in zip(rows.to_dict("records"), tops, strict=True)]
    return manifest.conform(rows, CONTRACTS["vendor_feedback"])


def markdown(frame: pd.DataFrame, spec: ProjectSpec) -> str:
    """`vendor_feedback` rows of one batch as a letter: a table an attribute, then what to read again."""
    if frame.empty:
        return "No accepted answers yet.\n"
    lines = [f"# Feedback on {frame['batch_id'].iloc[0]} of {spec.name}", ""]
    for (vendor, name), rows in frame.groupby(["vendor", "attribute"], sort=True):
        lines += [f"## {vendor}: {name}", "", "| worker | answers | agree | right on known | median s |", "|---|--:|--:|--:|--:|"]
        for row in rows.to_dict("records"):
            known = f"{_percent(row['gold_accuracy'])} of {row['n_gold']}" if row["n_gold"] else "-"
            seconds = "-" if pd.isna(row["median_seconds"]) else f"{row['median_seconds']:.1f}"
            lines.append(f"| {row['worker_id']} | {row['n_labels']} | {_percent(row['agreement'])} | {known} | {seconds} |")
        lines += ["", *(f"- {row['worker_id']}: {_plain(row['advice'])}" for row in rows.to_dict("records")), ""]
    return "\n".join(lines)


def _answers(rows: pd.DataFrame, quality: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """One row an answer with `is_judged` (there is something to compare with), `is_right` and `pair` (right, given)."""
    unit = ["task_id", "attribute"]
    names = {name for name in rows["attribute"].dropna().unique() if (found := question(spec, name)) is not None and found.kind == "box"}
    settled = quality[(quality["decision"] == "accept") & quality["label"].notna()]
    settled = settled[~settled["is_gold"].astype("boolean").fillna(False).astype(bool) | settled["gold_label"].notna()]
    choices = rows[~rows["attribute"].isin(names)]
    reference = settled.drop_duplicates(unit).set_index(unit)["label"].rename("right")
    choices = choices[[*_WHO, "task_id", "label", "seconds"]].join(reference, on=unit)
    choices["is_judged"] = choices["right"].notna()
    choices["is_right"] = choices["label"] == choices["right"]
    choices["pair"] = list(zip(choices["right"], choices["label"], strict=True))
    if not names:
        return choices
    drawn = _box_answers(rows[rows["attribute"].isin(names)], settled)
    return pd.concat([choices, drawn], ignore_index=True) if len(choices) else drawn


def _box_answers(rows: pd.DataFrame, settled: pd.DataFrame) -> pd.DataFrame:
    references = {unit: boxes.answer(group) for unit, group in settled.groupby(["task_id", "attribute"])}
    found = []
    for (batch, vendor, worker, name, task), group in rows.groupby([*_WHO, "task_id"], sort=True):
        right = references.get((task, name))
        is_right = right is not None and boxes.is_same(boxes.answer(group), right)
        seconds = group["seconds"].max()  # of the submission: each of its boxes carries it
        found.append((batch, vendor, worker, name, task, seconds, right is not None, is_right, None))
    return pd.DataFrame(found, columns=[*_WHO, "task_id", "seconds", "is_judged", "is_right", "pair"])


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
    return f"{said + '; ' if said else ''}most often {right} was called {given} ({n} times), so read again {words}."


def _percent(share: float) -> str:
    return "-" if share is None or np.isnan(share) else f"{share:.0%}"


def _plain(text: str) -> str:
    return text.replace("|", "/").replace("<", "&lt;")
