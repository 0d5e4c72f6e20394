"""How large a vendor's next production batch may be: small first, twice as large while quality holds, half when it doesn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dataops_assets.labels.agreement import clustered
from dataops_assets.manifest import is_true
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.auditing import was_accepted

_EPSILON = 1e-9


@dataclass(frozen=True)
class Batch:
    """A production batch that was cut for a vendor.

    Attributes:
        images: Bought, gold not counted.
        is_good: Whether its quality held; None while nobody knows.
        told: What was seen.
        is_measured: Whether anything beside agreement speaks for it: gold, or its audit.
    """

    batch_id: str
    images: int
    is_good: bool | None
    told: str = ""
    is_measured: bool = True


@dataclass(frozen=True)
class Step:
    """What may be cut next: batches of `size` images, several at once (`is_full`), one, or none yet (`waits`)."""

    size: int
    is_full: bool
    waits: bool
    sentence: str


def step(history: Sequence[Batch], start: int | None, full: int) -> Step:
    """The next step after a vendor's batches, oldest first.

    A good batch allows twice its own images, never less than before it; a bad one halves, down to `start`. One that nothing measured
    changes nothing. Below full size one batch is out at a time: the next one waits until its quality is known.

    Args:
        history: All production batches of the vendor.
        start: Images of the first one; None: no ramp.
        full: Images of a full batch.
    """
    if start is None or start >= full:
        return Step(full, True, False, "")
    size, why = start, "the first batch is a small one"
    for batch in history:
        if batch.is_good and not batch.is_measured:
            why = f"{batch.batch_id} shows nothing ({batch.told})"
        elif batch.is_good:
            size, why = min(full, max(size, 2 * batch.images)), f"{batch.batch_id} was good ({batch.told})"
        elif batch.is_good is not None:
            size, why = max(start, size // 2), f"{batch.batch_id} was not good enough ({batch.told})"
    if size >= full:
        return Step(full, True, False, "")
    open_ = [batch.batch_id for batch in history if batch.is_good is None]
    if open_:
        return Step(size, False, True, f"batches grow step by step: the next one waits until {', '.join(open_)} is judged")
    return Step(size, False, False, f"batches grow step by step: this one has up to {size} images, because {why}")


def history(planned: pd.DataFrame, quality: pd.DataFrame, spec: ProjectSpec, vendor: str, audits: pd.DataFrame) -> list[Batch]:
    """A vendor's production batches in order.

    Quality holds where the lower bound of gold accuracy over all attributes reaches `gates.min_gold_accuracy`, the share of
    questions accepted at once reaches `gates.min_accept_share`, and the audit has not found more wrong labels than its plan allows.

    Args:
        planned: `batch_plans` rows.
        quality: `label_quality` rows of production batches as judged last.
        spec: The project.
        vendor: Its name.
        audits: `auditing.audits` rows.
    """
    audited = {str(row["batch_id"]): row for row in audits.to_dict("records")}
    mine = planned[(planned["kind"] == "production") & (planned["vendor"] == vendor)]
    bought = mine[~is_true(mine["is_gold"])].groupby("batch_id").size()
    judged = dict(list(quality.groupby("batch_id")))
    names = sorted(bought.index, key=lambda name: (len(str(name)), str(name)))
    return [_batch(str(name), int(bought[name]), judged.get(name), audited.get(str(name)), spec) for name in names]


def _batch(name: str, images: int, rows: pd.DataFrame | None, audit: Mapping[Any, Any] | None, spec: ProjectSpec) -> Batch:
    if rows is None or rows.empty:
        return Batch(name, images, None)
    is_gold = is_true(rows["is_gold"])
    gold = rows[is_gold & rows["gold_correct"].notna()].drop_duplicates(["task_id", "attribute"])
    n = int(gold["n_labels"].sum())
    accepted = float((rows.loc[~is_gold, "decision"] == "accept").mean()) if (~is_gold).any() else 1.0
    lower = float(clustered(gold["gold_correct"], gold["n_labels"], believed=spec.quality.likeness)[0][0]) if n else None
    passed = was_accepted(audit) if audit is not None else None
    is_good = accepted >= spec.gates.min_accept_share - _EPSILON and passed is not False
    is_good &= lower is None or lower >= spec.gates.min_gold_accuracy - _EPSILON
    told = [f"{accepted:.0%} accepted at once", "no gold measured" if lower is None else f"gold at least {lower:.0%} right"]
    if audit is not None and audit["n"]:
        may = "" if passed is not False else f", {int(audit['most_wrong'])} may be"
        told.append(f"{audit['wrong']} of {audit['n']} audited labels wrong{may}")
    return Batch(name, images, is_good, ", ".join(told), lower is not None or passed is True)
