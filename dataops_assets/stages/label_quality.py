"""What the answers to a batch are worth: for every question the winner, how sure it is, and what happens next."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import agreement, boxes, dependent, inference
from dataops_assets.labels.questions import NO_OBJECT, question
from dataops_assets.spec import ProjectSpec

_SIDES = ["x", "y", "w", "h"]
_ASKED = ["task_id", "attribute"]
_EPSILON = 1e-9  # 2 of 3 must pass a threshold of 2/3


def assess(labeled: pd.DataFrame, tasks: pd.DataFrame, gold: pd.DataFrame | None, spec: ProjectSpec) -> pd.DataFrame:
    """A row for each task and attribute asked (and object, for boxes), answered or not.

    - `accept`: all answers wanted are there, and the winner has `accept_agreement` of them without an equal.
    - `rework`: otherwise, while the batch's round is below `rework_rounds`.
    - `adjudicate`: otherwise, and where those who labelled a pilot differ: our own people decide.

    Hidden gold is always `accept` with the gold label: it measures, and is never exported from this batch.

    `cant_tell` is an answer like any other. So is leaving out a question that doesn't apply or may be left open: the label is then
    `not_applicable`, or `none` for boxes. Neither becomes a training label.

    Single choice: majority vote. Multi choice: each value by its own majority; the posterior is that of the least certain
    value. Boxes: workers' boxes are matched at IoU 0.5; an object needs more than half of the workers and gets the
    median box; one whose support is lower is left out and said. Nothing to box is the label `none` without a box.

    Args:
        labeled: `labeled_batches` rows of the batch; only accepted ones count.
        tasks: `label_tasks` rows of the batch.
        gold: `approved_labels.gold_of` rows, or None.
        spec: The project.

    Returns:
        `label_quality` rows. Gold columns hold for the attribute in this batch, over answers, with Wilson 95 % bounds; null
        where it has no gold.
    """
    asked = tasks.assign(attribute=tasks["attributes"].str.split("|")).explode("attribute", ignore_index=True)
    asked = asked[["batch_id", "kind", "task_id", "image_id", "attribute", "vendor", "round", "overlap", "is_gold"]]
    asked = asked.rename(columns={"overlap": "n_wanted"})
    asked["is_gold"] = asked["is_gold"].astype("boolean").fillna(False).astype(bool)
    answers = labeled[labeled["status"] == "accepted"]
    boxed = [attribute.name for attribute in spec.ontology.attributes if attribute.kind == "box"]
    answers = dependent.with_implied(answers, boxed)
    truth = _truth(gold, asked)
    frames = []
    for name, rows in asked.groupby("attribute", sort=True):
        attribute = question(spec, str(name))
        given = answers[answers["attribute"] == name]
        known = truth[truth["attribute"] == name]
        if attribute is not None and attribute.kind == "box":
            frames.append(_boxes(rows, given, known, spec))
        else:
            frames.append(_choices(rows, given, known, spec, is_multi=attribute is not None and attribute.kind == "multi"))
    if not frames:
        return manifest.empty("label_quality")
    quality = pd.concat([frame.astype("object") for frame in frames], ignore_index=True)
    return manifest.conform(quality, CONTRACTS["label_quality"])


def _truth(gold: pd.DataFrame | None, asked: pd.DataFrame) -> pd.DataFrame:
    """Gold rows of the batch's gold tasks, by task."""
    columns = ["image_id", "attribute", "label", "object_id", *_SIDES]
    if gold is None or gold.empty:
        return pd.DataFrame(columns=["task_id", *columns])
    tasks = asked.loc[asked["is_gold"], ["task_id", "image_id"]].drop_duplicates()
    return gold.reindex(columns=columns).merge(tasks, on="image_id")


def _choices(asked: pd.DataFrame, given: pd.DataFrame, truth: pd.DataFrame, spec: ProjectSpec, is_multi: bool) -> pd.DataFrame:
    answers = given[["task_id", "worker_id", "label"]].rename(columns={"task_id": "task", "worker_id": "worker"})
    won = _by_value(answers) if is_multi else _by_majority(answers)
    rows = asked.join(won, on="task_id")
    rows["n_labels"] = rows["task_id"].map(answers.groupby("task").size()).fillna(0).astype("int64")
    rows["agreement"] = rows["task_id"].map(agreement.pairwise(answers, ["task"]))
    rows["posterior"] = rows["posterior"].fillna(0.0)
    rows["is_tie"] = rows["is_tie"].eq(True)
    rows["object_id"] = ""
    rows["gold_label"] = rows["task_id"].map(truth.drop_duplicates("task_id").set_index("task_id")["label"])
    right = answers[answers["label"] == answers["task"].map(rows.set_index("task_id")["gold_label"])].groupby("task").size()
    has_gold = rows["is_gold"] & rows["gold_label"].notna()
    rows["gold_correct"] = rows["task_id"].map(right).fillna(0).where(has_gold)
    rows = _decide(rows, spec)
    share = (rows["gold_correct"] / rows["n_labels"].where(rows["n_labels"] > 0)).fillna(0.0)
    rows["posterior"] = np.where(has_gold, share, rows["posterior"])
    rows["label"] = rows["gold_label"].where(has_gold, rows["label"])
    once = rows[has_gold]
    return _with_gold(rows, int(once["gold_correct"].sum()), int(once["n_labels"].sum())).drop(columns="is_tie")


def _by_majority(answers: pd.DataFrame) -> pd.DataFrame:
    result = inference.majority_vote(answers)
    posterior = result.posteriors.max(axis=1) if len(answers) else pd.Series(dtype="float64")
    return pd.DataFrame({"label": result.labels, "posterior": posterior, "is_tie": result.is_tie})


def _by_value(answers: pd.DataFrame) -> pd.DataFrame:
    """Multi choice: a value is in when more than half of the answers hold it."""
    n = answers.groupby("task").size()
    parts = answers.assign(label=answers["label"].str.split("|")).explode("label")
    shares = parts.groupby(["task", "label"]).size().unstack(fill_value=0).div(n, axis=0)
    chosen = [("|".join(sorted(shares.columns[row > 0.5])) or None) for row in shares.to_numpy()]
    sure = pd.Series(np.maximum(shares, 1 - shares).min(axis=1), index=shares.index, dtype="float64")
    return pd.DataFrame({"label": chosen, "posterior": sure, "is_tie": [label is None for label in chosen]}, index=shares.index)


def _boxes(asked: pd.DataFrame, given: pd.DataFrame, truth: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    answers = boxes.answers(given)
    references = dict(list(truth.groupby("task_id")))
    correct = total = 0
    rows = []
    for task in asked.to_dict("records"):
        drawn = answers.get((task["task_id"], task["attribute"]), {})
        head = task | {"n_labels": len(drawn), "agreement": _same_pairs(list(drawn.values()))}
        known = references.get(task["task_id"])
        if task["is_gold"] and known is not None:
            right = sum(boxes.is_same(answer, boxes.answer(known)) for answer in drawn.values())
            correct, total = correct + right, total + len(drawn)
            head |= {"gold_correct": right, "posterior": right / len(drawn) if drawn else 0.0, "is_tie": False}
            objects = known[["object_id", "label", *_SIDES]].assign(gold_label=known["label"])
            rows += [head | row for row in objects.to_dict("records")]
        else:
            rows += [head | row for row in _objects(list(drawn.values()))]
    frame = pd.DataFrame(rows)
    for column in ("gold_label", "gold_correct", "left_out", *_SIDES):
        if column not in frame.columns:
            frame[column] = None
    weakest = frame.groupby("task_id")["posterior"].transform("min")  # a picture is accepted whole or not at all
    tied = frame.groupby("task_id")["is_tie"].transform("any")
    frame = _decide(frame.assign(posterior=weakest, is_tie=tied), spec).assign(posterior=frame["posterior"])
    some = pd.to_numeric(frame["left_out"]) > 0
    frame.loc[some, "reason"] += "; " + frame.loc[some, "left_out"].astype(str) + " boxes that less than half drew are left out"
    return _with_gold(frame, correct, total).drop(columns=["is_tie", "left_out"])


def _objects(drawn: list[boxes.Answer]) -> list[dict[str, object]]:
    """Objects that more than half of the workers drew; without one, a row that says so."""
    n = len(drawn)
    found = boxes.cluster([answer[0] for answer in drawn])
    kept = [members for members in found if 2 * len(members) > n]
    left_out = len(found) - len(kept)
    rows: list[dict[str, object]] = []
    for members in kept:
        counts = Counter(drawn[worker][1][box] for worker, box in members)
        label = min(counts, key=lambda value: (-counts[value], value))
        corner = dict(zip(_SIDES, (float(edge) for edge in boxes.median([answer[0] for answer in drawn], members)), strict=True))
        is_tie = list(counts.values()).count(counts[label]) > 1
        rows.append({"label": label, "posterior": counts[label] / n, "is_tie": is_tie, "left_out": left_out} | corner)
    rows.sort(key=lambda row: [float(str(row[side])) for side in _SIDES])
    rows = [row | {"object_id": f"{number:03d}"} for number, row in enumerate(rows, start=1)]
    empty = sum(not answer[1] for answer in drawn)
    nothing: dict[str, object] = {"object_id": "", "label": NO_OBJECT if empty else None, "posterior": empty / n if n else 0.0}
    return rows or [nothing | {"is_tie": False, "left_out": left_out}]


def _same_pairs(drawn: list[boxes.Answer]) -> float | None:
    pairs = [boxes.is_same(first, second) for place, first in enumerate(drawn) for second in drawn[place + 1 :]]
    return sum(pairs) / len(pairs) if pairs else None


def _decide(rows: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    posterior, n, wanted = rows["posterior"].astype(float), rows["n_labels"].astype(int), rows["n_wanted"].astype(int)
    is_tie = rows["is_tie"].astype(bool)
    enough = n >= wanted
    agreed = (posterior >= spec.labeling.accept_agreement - _EPSILON) & ~is_tie & rows["label"].notna()
    is_split = rows["kind"].eq("pilot") & enough  # experts who differ aren't asked again: a third one decides
    may_rework = (rows["round"].astype(int) < spec.labeling.rework_rounds) & ~is_split
    decision = np.select([rows["is_gold"].astype(bool) | (enough & agreed), may_rework], ["accept", "rework"], "adjudicate")
    columns = zip(rows["is_gold"], n, wanted, posterior, is_tie, agreed, strict=True)
    why = [_why(gold, given, asked, share, tie, fine, spec.labeling.accept_agreement) for gold, given, asked, share, tie, fine in columns]
    return rows.assign(decision=decision, reason=why)


def _why(is_gold: bool, n: int, wanted: int, posterior: float, is_tie: bool, agreed: bool, threshold: float) -> str:
    if is_gold:
        return f"gold: {n} of {wanted} answers measured"
    if n < wanted:
        return f"{n} of {wanted} answers"
    if is_tie:
        return f"a tie among {n} answers"
    return f"{posterior:.0%} of {n} answers agree" + ("" if agreed else f", {threshold:.0%} wanted")


def _with_gold(rows: pd.DataFrame, correct: int, total: int) -> pd.DataFrame:
    """The attribute's gold accuracy in this batch, on each of its rows."""
    if not total:
        return rows.assign(gold_accuracy=None, gold_lower=None, gold_upper=None)
    lower, upper = agreement.wilson(correct, total)
    return rows.assign(gold_accuracy=correct / total, gold_lower=float(lower), gold_upper=float(upper))
