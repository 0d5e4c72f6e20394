"""Questions that other answers make pointless, and those that may be left open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dataops_assets.labels.questions import NO_OBJECT
from dataops_assets.ontology import NOT_APPLICABLE, Attribute

_UNIT = ["task_id", "worker_id"]


def applies(attribute: Attribute, answers: Mapping[str, str | None]) -> bool:
    """Whether a question is to be answered, by the answers to those it depends on; True where one of these isn't known.

    Args:
        attribute: The question.
        answers: attribute -> label, several values joined by `|`.
    """
    known = ((answers.get(name), values) for name, values in attribute.when.items())
    return all(label is None or bool(set(label.split("|")) & set(values)) for label, values in known)


def leave_out(rows: pd.DataFrame, asked: Sequence[Attribute], attributes_of: Mapping[str, str]) -> tuple[pd.Series, pd.Series]:
    """What each worker's answers to a picture leave out.

    Args:
        rows: task_id, worker_id, attribute, label of accepted answers.
        asked: The batch's questions, those that others depend on first.
        attributes_of: task_id -> the questions asked of it, joined by `|`.

    Returns:
        Two series by the index of `rows`: whether the row answers a question that the same worker's answer to another rules out; and
        on one row of each task and worker, the questions that were rightly not answered, joined by `|`, else null.
    """
    contradicts = pd.Series(False, index=rows.index)
    left = pd.Series(None, index=rows.index, dtype="object")
    special = [attribute for attribute in asked if attribute.when or not attribute.required]
    if rows.empty or not special:
        return contradicts, left
    codes = rows.groupby(_UNIT, sort=False).ngroup().to_numpy()
    heads = np.unique(codes, return_index=True)[1]
    wanted = rows["task_id"].map(attributes_of).to_numpy()[heads]
    n = len(heads)
    nobody = np.zeros(n, dtype=bool)
    ruled_out: dict[str, np.ndarray] = {}
    out: dict[str, np.ndarray] = {}
    for attribute in special:
        name = attribute.name
        is_ruled_out, is_open = nobody.copy(), nobody.copy()
        for parent, values in attribute.when.items():
            mine = (rows["attribute"] == parent).to_numpy()
            fits = np.array([bool(set(label.split("|")) & set(values)) for label in rows["label"].to_numpy()[mine]], dtype=bool)
            answered, fitting = nobody.copy(), nobody.copy()
            answered[codes[mine]] = True
            fitting[codes[mine][fits]] = True
            is_ruled_out |= (answered & ~fitting) | ruled_out.get(parent, nobody)
            is_open |= out.get(parent, nobody)
        own = (rows["attribute"] == name).to_numpy()
        contradicts |= own & is_ruled_out[codes]
        silent = ~nobody
        silent[codes[own]] = False
        is_asked = np.array([name in joined.split("|") for joined in wanted])
        ruled_out[name] = is_ruled_out
        out[name] = is_asked & (is_ruled_out | (silent & (is_open | (not attribute.required))))
    names = [attribute.name for attribute in special]
    joined = ["|".join(name for name in names if out[name][place]) or None for place in range(n)]
    left.iloc[heads] = pd.Series(joined, dtype="object").to_numpy()
    return contradicts, left


def ruled_out_later(refused: pd.DataFrame, rows: pd.DataFrame, asked: Sequence[Attribute]) -> pd.Series:
    """Whether each refused answer was given before the answer of the same worker that rules it out: then it was corrected.

    Args:
        refused: task_id, worker_id, attribute, submitted_at of answers that contradict others.
        rows: The answers that stand, with their labels. Of several refused or standing ones to a question the latest counts.
        asked: The batch's questions, those that others depend on first.
    """
    if refused.empty:
        return pd.Series(False, index=refused.index)
    question = [*_UNIT, "attribute"]
    last = refused.groupby(question)["submitted_at"].max().reset_index()
    last["task"] = [str(place) for place in range(len(last))]  # each is looked at by itself, with what was said after it
    said = rows.groupby([*question, "label"])["submitted_at"].max().reset_index()
    both = said.merge(last[[*_UNIT, "task", "submitted_at"]], on=_UNIT, suffixes=("", "_refused"))
    both = pd.concat([last.assign(label=""), both[both["submitted_at"] > both["submitted_at_refused"]]], ignore_index=True)
    is_out, _ = leave_out(both.assign(task_id=both["task"]), asked, dict.fromkeys(last["task"], ""))
    last["is_out"] = is_out[: len(last)]
    found = refused[question].merge(last, on=question, how="left")["is_out"]
    return found.astype(bool).set_axis(refused.index)


def with_implied(rows: pd.DataFrame, boxes: Sequence[str] = ()) -> pd.DataFrame:
    """Accepted answers and, below them, those given by leaving a question out: `not_applicable`, or nothing to box.

    Args:
        rows: Accepted `labeled_batches` rows.
        boxes: Attributes that are answered with boxes.
    """
    if "leaves_out" not in rows.columns or not rows["leaves_out"].notna().any():
        return rows
    lists = rows["leaves_out"].str.split("|")
    names = [name for joined in lists.dropna() for name in joined]
    places = np.flatnonzero(lists.notna()).repeat([len(joined) for joined in lists.dropna()])
    made = rows.take(np.concatenate([np.arange(len(rows)), places]))
    below = np.arange(len(made)) >= len(rows)
    made.index = pd.RangeIndex(len(made))
    made.loc[below, "attribute"] = names
    made.loc[below, "label"] = [NO_OBJECT if name in boxes else NOT_APPLICABLE for name in names]
    for column in {"object_id", "x", "y", "w", "h", "given", "seconds"} & set(made.columns):
        made.loc[below, column] = None
    return made
