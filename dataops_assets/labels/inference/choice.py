"""The method for these answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets.labels.inference import held_out, pooling
from dataops_assets.labels.inference.answers import Result, read
from dataops_assets.labels.inference.coins import mace, one_coin
from dataops_assets.labels.inference.confusion import dawid_skene
from dataops_assets.labels.inference.difficulty import glad
from dataops_assets.labels.inference.pooling import pooled
from dataops_assets.labels.inference.voting import majority_vote

FEWEST = 100  # answers
CHANCE = 0.05  # of leaving the pooled model on gold though the other is no better

OTHERS: dict[str, Callable[..., Result]] = {
    "majority vote": majority_vote,
    "Dawid-Skene": dawid_skene,
    "one-coin": one_coin,
    "MACE": mace,
    "GLAD": glad,
}


def auto(answers: pd.DataFrame, gold: pd.Series | None = None, *, ordered: Sequence[Any] | None = None) -> Result:
    """The labels by the method that suits the answers.

    - Where no task has answers of two workers, or there are fewer than 100 answers and no gold, there is too little to learn from:
      majority vote, and a note. (On made-up answers nothing did better with so few.)
    - Otherwise `pooled`, which spans the ground between Dawid-Skene, one coin and MACE, and settles where on it by how well
      held-out votes are foretold.
    - With gold, another method only if it is right on clearly more of the gold tasks (sign test over those where one of the two is
      right, 5 % divided by the number of methods), each judged without having seen the gold. The chosen method then learns
      from all gold, and gold tasks keep their gold labels. Of many answers the methods are compared on a sample: tasks with gold first.

    Args:
        answers: Columns `task`, `worker`, `label`; a row an answer.
        gold: task -> label, where it is known.
        ordered: All labels in their order, where they have one.

    Returns:
        With `chosen`, the method with what it settled on, and `evidence`: without gold as `pooled` has it; with gold a row a
        method with `right` (gold tasks), `n_gold`, `better` and `worse` (gold tasks where it and not the pooled model is right,
        and the other way round), `chance` (of so many better ones if it were no better) and `is_used`. With gold there is `blind`, too.

    Raises:
        ValueError: when a column is missing or has nulls, `ordered` lacks a label, or gold has a task twice.
    """
    by_vote = majority_vote(answers, gold)
    if not len(answers) or answers.groupby("task")["worker"].nunique(dropna=False).max() < 2:
        return replace(by_vote, notes=(*by_vote.notes, "no task has two workers: nothing tells good workers from bad ones"))
    if len(answers) < FEWEST and (gold is None or gold.empty):
        few = f"{len(answers)} answers are too few to tell good workers from bad ones ({FEWEST} are needed)"
        return replace(by_vote, notes=(*by_vote.notes, few))
    known = gold.dropna() if gold is not None else pd.Series(dtype=object)
    known = known[known.index.isin(by_vote.labels.index)]
    if known.empty:
        return pooled(answers, gold, ordered=ordered)
    sample = _around(answers, known, by_vote.labels.index)
    evidence, settled = _on_gold(sample, known[known.index.isin(sample["task"])], ordered)
    name = evidence.index[evidence["is_used"]][0]
    blind, result = (_fit(name, answers, some, ordered, settled) for some in (None, gold))
    return replace(result, evidence=evidence, blind=blind.posteriors.loc[known.index])


def _fit(name: str, answers: pd.DataFrame, gold: pd.Series | None, ordered: Sequence[Any] | None, settled: pd.DataFrame | None) -> Result:
    if name in OTHERS:
        return OTHERS[name](answers, gold)
    votes = read(answers, gold)
    return pooling.settled(votes, pooling.nearness(votes, ordered), settled)


def _around(answers: pd.DataFrame, gold: pd.Series, tasks: pd.Index) -> pd.DataFrame:
    """Answers to compare methods by: all, or of many those to gold tasks and to others, so many as it takes."""
    if len(answers) <= held_out.MOST:
        return answers
    chance = pd.Series(np.random.default_rng(0).random(len(tasks)), index=tasks)
    chance[gold.index] -= 1  # the gold tasks come first
    counts = answers.groupby("task").size().reindex(chance.sort_values(kind="stable").index)
    return answers[answers["task"].isin(counts.index[counts.cumsum() <= held_out.MOST])]


def _on_gold(answers: pd.DataFrame, gold: pd.Series, ordered: Sequence[Any] | None) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """What each method gets right without seeing the gold, and what the pooled model settled on."""
    from scipy.stats import binom

    right = {name: method(answers).labels.reindex(gold.index) == gold for name, method in OTHERS.items()}
    pooled_ = pooled(answers, ordered=ordered)
    first = pooled_.labels.reindex(gold.index) == gold
    rows = {"pooled": (int(first.sum()), 0, 0, 1.0)}
    for name, is_right in right.items():
        better, worse = int((is_right & ~first).sum()), int((first & ~is_right).sum())
        rows[name] = (int(is_right.sum()), better, worse, float(binom.sf(better - 1, better + worse, 0.5)))
    evidence = pd.DataFrame.from_dict(rows, orient="index", columns=["right", "better", "worse", "chance"])
    evidence.insert(1, "n_gold", len(gold))
    clearly = evidence[evidence["chance"] < CHANCE / len(OTHERS)]
    evidence["is_used"] = evidence.index == (clearly["right"].idxmax() if len(clearly) else "pooled")
    return evidence.rename_axis("method"), pooled_.evidence
