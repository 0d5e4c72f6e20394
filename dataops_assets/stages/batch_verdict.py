"""Whether to pay for a batch: what its gold and its audit say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from dataops_assets.labels import acceptance, agreement
from dataops_assets.manifest import is_true
from dataops_assets.ontology import CANT_TELL, NOT_APPLICABLE
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.auditing import error_told, is_measured, was_accepted
from dataops_assets.stages.batch_money import money
from dataops_assets.stages.label_quality import ACCEPT, ADJUDICATE, REWORK, auto_accepted

_EPSILON = 1e-9

Pay = Literal["pay", "don't pay", "not yet"]


@dataclass(frozen=True)
class Verdict:
    """What a lead needs to know of a batch, in one look.

    Attributes:
        pay: `pay`, `don't pay`, or `not yet`: something is still to come in.
        sentence: Why.
        counts: Questions by decision.
        audit: The batch's own; and of all batches of the project.
        plan: How it was sampled; None where it has no plan.
        unmeasured: Why nobody knows how many of its labels are wrong; "" where the audit tells.
        reasons: What speaks against it.
    """

    pay: Pay
    sentence: str
    counts: dict[str, int]
    expected_error: float | None
    audit: acceptance.Estimate
    overall: acceptance.Estimate
    plan: acceptance.Plan | None
    n_drawn: int = 0
    money: dict[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    unmeasured: str = ""


def verdict(
    batch: str, quality: pd.DataFrame, audit_rows: pd.DataFrame, spec: ProjectSpec, spent: float = 0.0, refused: Sequence[str] = (),
    planned: pd.DataFrame | None = None, before: pd.DataFrame | None = None, settled: pd.DataFrame | None = None,
) -> Verdict:  # fmt: skip
    """Pay for a batch or not.

    - `don't pay`: its gate refused it, gold accuracy or the share that is accepted is too low, or more audited labels are wrong than
      the sampling plan allows; where neither gold nor audit can say, too few labels are those that our own people settled on, or no
      answer is a label at all.
    - `not yet`: the audit isn't answered, whether approval waits for it or not, because what is paid doesn't come back; neither gold
      nor audit has measured the batch; nothing of it was accepted, and what it left open isn't settled, or by rework alone; or
      answers are missing.
    - `pay`: otherwise. Where its error wasn't measured the sentence says so.

    Args:
        batch: Its name.
        quality: Its `label_quality` rows.
        audit_rows: `auditing.audits` of the project's batches.
        spec: The project.
        spent: What the batch and those that came from it have cost so far, by their plans or as settled.
        refused: Sentences of gates that said no to it.
        planned: `batch_plans` rows of those that came from it: what they ask is in `spent`.
        before: `label_quality` rows of the batches that its questions come from: their gold speaks for a rework batch, whose own
            measures nobody, and so does their audit where none of its own labels was drawn.
        settled: `auditing.left_open` rows of the batch; None: nothing is settled yet.
    """
    is_gold = is_true(quality["is_gold"])
    work = quality[~is_gold].drop_duplicates(["task_id", "attribute"])
    counts = {name: int((work["decision"] == name).sum()) for name in (ACCEPT, REWORK, ADJUDICATE)}
    mine = audit_rows[audit_rows["batch_id"] == batch]
    audit, overall = (acceptance.estimate(rows, spec.brief.confidence) for rows in (mine, audit_rows))
    accepted = quality[auto_accepted(quality)].groupby(["task_id", "attribute"])["posterior"].prod()
    error = float(1 - accepted.astype(float).mean()) if len(accepted) else None
    row = mine.to_dict("records")[0] if len(mine) else None
    passed = was_accepted(row) if row is not None else None
    against = [*refused, *_gold_against(quality[is_gold], spec)]
    share = counts[ACCEPT] / len(work) if len(work) else 1.0
    if work["kind"].eq("production").all() and share < spec.gates.min_accept_share - _EPSILON:
        against.append(f"only {share:.0%} of its labels are accepted and {spec.gates.min_accept_share:.0%} are wanted")
    drawn, answered = (int(row["drawn"]), int(row["n"])) if row is not None else (0, 0)
    has_plan = row is not None and pd.notna(row["most_wrong"])
    if passed is False and row is not None:
        against.append(f"{audit.wrong} of {answered} audited labels are wrong and {int(row['most_wrong'])} may be")
    on_gold, whose = _on_gold(quality[is_gold], spec), ""
    if not on_gold[0] and before is not None:
        on_gold, whose = _on_gold(before[is_true(before["is_gold"])], spec), " of the batches that it comes from"
    first = _FirstPass.of(work, settled)
    is_unmeasured = not on_gold[0] and not answered
    beside = _Beside.of(audit_rows, () if before is None else before["batch_id"]) if is_unmeasured and not drawn else _Beside()
    is_unmeasured &= not beside.n
    if beside.has_failed:
        against.append(f"{beside.told}, and nothing of its own is audited")
    again = _Beside.of(audit_rows, () if planned is None else planned.loc[planned["kind"] == "rework", "batch_id"])
    is_alone = not len(accepted) and is_unmeasured and not first.open
    if is_alone and not again.open and work["kind"].eq("production").all():
        against += first.against(spec.gates.min_gold_accuracy)
    waits = []
    unmeasured = "" if on_gold[0] else "no gold has measured it, and "
    if has_plan and passed is None and drawn > answered:
        waits.append(f"{unmeasured}{drawn - answered} of {drawn} audited labels are still to be answered by our own people")
    elif beside.open:
        waits.append(f"{unmeasured}{beside.open} audited labels of the batches that it comes from are still to be answered")
    elif len(accepted) and is_unmeasured:
        waits.append(f"{unmeasured}nothing of it is audited{_instead(spec, batch)}")
    elif not len(accepted) and first.open:
        waits.append(f"{unmeasured}none was accepted by itself: {first.open} of {len(work)} questions are still to be settled")
    elif is_alone and again.open:
        waits.append(f"{unmeasured}{again.open} audited labels of its rework are still to be answered: plan adjudication")
    elif is_alone and first.again and not first.n:
        waits.append(
            f"{unmeasured}only rework has answered {first.again} of {len(work)} questions, of which nothing is audited"
            f"{_instead(spec, *again.batches)}"
        )
    elif is_alone and counts[ACCEPT] + first.untold and not first.n:
        no_label = _no_label(counts[ACCEPT] + first.untold)
        against.append(f"{unmeasured}{no_label}: pay it where somebody of ours looks at its pictures and finds the same")
    elif is_alone and not first.n:
        waits.append(f"{unmeasured}there is nothing to audit")
    unanswered = int((work["n_labels"].fillna(0) == 0).sum())
    if unanswered:
        waits.append(f"{unanswered} questions have no answer")
    pay: Pay = "don't pay" if against else "not yet" if waits else "pay"
    plan = _plan_of(row, error or 0.0, spec) if has_plan and row is not None else None
    told = against or waits or _for(on_gold, whose, counts, audit, error, spec, row, first) + ([beside.told] if beside.n else [])
    verb = {"pay": "Pay", "don't pay": "Don't pay", "not yet": "Don't pay yet"}[pay]
    return Verdict(
        pay, f"{verb}: {', and '.join(told)}.", counts, error, audit, overall, plan, drawn, money(work, spec, spent, planned),
        tuple(against or waits), "" if row is None or is_measured(row) else error_told(row),
    )  # fmt: skip


@dataclass(frozen=True)
class _Beside:
    """The audits of other batches that speak for one: of `n` labels answered `wrong` are, and `open` are waited for."""

    batches: tuple[str, ...] = ()
    n: int = 0
    wrong: int = 0
    open: int = 0
    has_failed: bool = False

    @classmethod
    def of(cls, audit_rows: pd.DataFrame, batches: Iterable[str]) -> _Beside:
        names = set(batches)
        rows = audit_rows[audit_rows["batch_id"].isin(names) & (audit_rows["drawn"] > 0)].to_dict("records")
        passed = [was_accepted(row) for row in rows]
        n, wrong = (sum(int(row[name]) for row in rows) for name in ("n", "wrong"))
        waits = sum(int(row["drawn"]) - int(row["n"]) for row, is_good in zip(rows, passed, strict=True) if is_good is None)
        return cls(tuple(sorted(names)), n, wrong, waits, False in passed)

    @property
    def told(self) -> str:
        return f"{self.wrong} of {self.n} audited labels of the batches that it comes from are wrong"


def _instead(spec: ProjectSpec, *batches: str) -> str:
    """What to do where nothing was drawn of batches, so that something is."""
    again = f"materialize `label_quality` of {', '.join(batches) or 'its rework'} again"
    if spec.quality.audit == "off":
        return f" (`quality.audit: off`: with `optional`, {again})"
    return f" (none was drawn: {again})"


def _no_label(n: int) -> str:
    return f"none of {n:,} accepted answers is a label (nothing can be told, or the question doesn't apply)"


@dataclass(frozen=True)
class _FirstPass:
    """What became of the questions that a batch left open: `open` are so still, only rework has answered `again` with a label and
    `untold` without; of `n` that our own people answered and that had a label, they gave `same` that very one.
    """

    open: int
    n: int = 0
    same: int = 0
    again: int = 0
    untold: int = 0

    @classmethod
    def of(cls, work: pd.DataFrame, settled: pd.DataFrame | None) -> _FirstPass:
        if settled is None:
            return cls(int((work["decision"] != ACCEPT).sum()))
        is_open, is_ours = settled["found"].isna(), settled["is_ours"]
        rows = settled[is_ours & settled["label"].notna()]
        again, same = settled.loc[~is_open & ~is_ours, "found"], int((~is_true(rows["is_wrong"])).sum())
        untold = int(again.isin([CANT_TELL, NOT_APPLICABLE]).sum())
        return cls(int(is_open.sum()), len(rows), same, len(again) - untold, untold)

    @property
    def sentence(self) -> str:
        told = f"{self.same} of {self.n} questions were settled as its answers had it"
        return told + (f" ({self.again + self.untold} more by rework alone)" if self.again + self.untold else "")

    def against(self, least: float) -> list[str]:
        if not self.n or self.same / self.n >= least - _EPSILON:
            return []
        return [f"no gold has measured it, and only {self.sentence}: {self.same / self.n:.0%}, where {least:.0%} is wanted"]


def _gold_against(gold: pd.DataFrame, spec: ProjectSpec) -> list[str]:
    least = spec.gates.min_gold_accuracy
    low = gold[gold["gold_lower"].notna() & (gold["gold_lower"].astype(float) < least - _EPSILON)].drop_duplicates("attribute")
    return [
        f"answers on {row['attribute']} are right on {row['gold_accuracy']:.0%} of gold, so at least {row['gold_lower']:.0%}, "
        f"and {least:.0%} is wanted"
        for row in low.to_dict("records")
    ]


def _on_gold(gold: pd.DataFrame, spec: ProjectSpec) -> tuple[int, int, float]:
    """Answers to gold that measures, the right ones, and the lower bound of their share; gold that has become known measures nobody."""
    once = gold[gold["gold_correct"].notna()].drop_duplicates(["task_id", "attribute"])
    lower, _ = agreement.clustered(once["gold_correct"], once["n_labels"], believed=spec.quality.likeness)
    return int(once["n_labels"].sum()), int(once["gold_correct"].sum()), float(lower[0])


def _for(
    on_gold: tuple[int, int, float],
    whose: str,
    counts: Mapping[str, int],
    audit: acceptance.Estimate,
    error: float | None,
    spec: ProjectSpec,
    row: Mapping[Any, Any] | None,
    first: _FirstPass,
) -> list[str]:
    total = sum(counts.values())
    told = [f"{counts[ACCEPT]:,} of {total:,} labels are accepted"]
    if audit.share is not None:
        told.append(audit.sentence)
    elif error is not None:
        allowed = 1 - spec.brief.accuracy_target
        told.append(f"{error:.1%} of them are expected to be wrong where {allowed:.1%} may be ({error_told(row)})")
    else:
        told = [_no_label(counts[ACCEPT])] if counts[ACCEPT] else [*told, "none was accepted by itself"]
        told[-1] += ", so there is nothing to audit"
        told += [first.sentence] if first.n else []
    n, right, low = on_gold
    if n:
        told.append(f"{right} of {n} answers on gold{whose} are right (at least {low:.0%})")
    return told


def _plan_of(row: Mapping[Any, Any], expected: float, spec: ProjectSpec) -> acceptance.Plan:
    """The plan as it was drawn, with the risks it has."""
    severity = str(row["inspection"])
    limit = acceptance.LIMITS[severity] * (1 - spec.brief.accuracy_target)  # type: ignore[index]
    size, n, most = (int(str(row[name])) for name in ("size", "drawn", "most_wrong"))
    risks = acceptance.passes(size, n, most, [int(np.ceil(limit * size - _EPSILON)), round(expected * size)])
    return acceptance.Plan(size, n, most, limit, float(risks[0]), 1 - float(risks[1]), severity)  # type: ignore[arg-type]
