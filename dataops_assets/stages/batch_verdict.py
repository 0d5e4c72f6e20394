"""Whether to pay for a batch: what its gold and its audit say, and what it costs until every question is settled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from dataops_assets.labels import acceptance, agreement, boxes
from dataops_assets.manifest import is_true
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.label_quality import ACCEPT, ADJUDICATE, REWORK, auto_accepted

UNIT = ["image_id", "attribute"]
_WHOLE = ["batch_id", "task_id", *UNIT]
_EPSILON = 1e-9
READ = [  # columns of `label_quality` that audits are told from
    *_WHOLE, "kind", "object_id", *boxes.SIDES, "label", "is_gold", "decision", "is_audit", "inspection", "most_wrong",
]  # fmt: skip

Pay = Literal["pay", "don't pay", "not yet"]


def audited(quality: pd.DataFrame, answers: pd.DataFrame, gone: Collection[str] = ()) -> pd.DataFrame:
    """What our own people found of the labels that were drawn for the audit.

    Args:
        quality: `label_quality` rows of production and rework batches.
        answers: `label_quality` rows of adjudication batches; accepted ones count.
        gone: Pictures that were withdrawn: those that nobody has answered by then nobody can, so their labels are left out.

    Returns:
        A row a label drawn: `batch_id, task_id, image_id, attribute, label, found, is_wrong`; the last two null until it is answered. A
        picture's boxes are one label: wrong where an object is missed, made up, named wrongly, or overlaps by less than IoU 0.5. Where
        our people can't tell, the label is wrong: nothing in the picture bears it out.
    """
    drawn = quality[is_true(quality["is_audit"])]
    answers = answers[(answers["kind"] == "adjudication") & (answers["decision"] == ACCEPT)]
    number = answers["batch_id"].str.extract(r"-(\d+)$", expand=False).astype("float64")
    last = answers.assign(number=number).groupby(UNIT)["number"].transform("max") if len(answers) else number
    answers = answers[number == last]
    rows = drawn.drop_duplicates(_WHOLE)[[*_WHOLE, "label"]].reset_index(drop=True)
    found = answers.drop_duplicates(UNIT).set_index(UNIT)["label"].rename("found")
    rows = rows.join(found, on=UNIT)
    rows = rows[rows["found"].notna() | ~rows["image_id"].isin(gone)].reset_index(drop=True)
    rows["is_wrong"] = (rows["found"] != rows["label"]).astype("boolean").where(rows["found"].notna())
    has_boxes = drawn["x"].notna() | (drawn["object_id"].fillna("") != "")
    if has_boxes.any():
        given, known = _pictures(drawn[drawn["attribute"].isin(set(drawn.loc[has_boxes, "attribute"]))]), _pictures(answers)
        for place, row in rows.iterrows():
            unit = (row["image_id"], row["attribute"])
            if unit in given and unit in known:
                rows.loc[place, "is_wrong"] = not boxes.is_same(given[unit], known[unit])
    return rows


def _pictures(rows: pd.DataFrame) -> dict[tuple[str, str], boxes.Answer]:
    return {(str(image), str(name)): boxes.answer(held) for (image, name), held in rows.groupby(UNIT)}


def audits(quality: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """A row a batch: `size` (labels accepted by themselves), `drawn`, `n` (answered), `wrong`, `most_wrong`, `inspection`.

    Args:
        quality: `label_quality` rows.
        found: `audited` rows.
    """
    accepted = quality[auto_accepted(quality)]
    size = accepted.drop_duplicates(_WHOLE).groupby("batch_id").size()
    plans = quality.drop_duplicates("batch_id").set_index("batch_id")[["inspection", "most_wrong"]]
    groups = found.groupby("batch_id")
    rows = pd.DataFrame({"size": size, "drawn": groups.size(), "n": groups["found"].count()})
    rows["wrong"] = found[is_true(found["is_wrong"])].groupby("batch_id").size()
    rows = rows.fillna(0).astype("int64").join(plans).rename_axis("batch_id")
    return rows.reset_index().sort_values("batch_id", ignore_index=True)


def was_accepted(row: Mapping[Any, Any]) -> bool | None:
    """Whether a batch passed its sampling plan (a row of `audits`); None without one, and while missing answers could change it."""
    most = row["most_wrong"]
    if most is None or pd.isna(most):
        return None
    wrong, n, drawn = (int(str(row[name])) for name in ("wrong", "n", "drawn"))
    if wrong > int(str(most)):
        return False
    return True if n >= drawn or wrong + drawn - n <= int(str(most)) else None


def history(made: pd.DataFrame, refused: Iterable[str], order: Sequence[str]) -> list[bool]:
    """A vendor's batches as the switching rules count them: accepted or refused, oldest first; open ones are left out.

    Args:
        made: `audits` rows.
        refused: Batches whose gate said no.
        order: Its batches, oldest first.
    """
    held = set(refused)
    by_batch = {str(row["batch_id"]): was_accepted(row) for row in made.to_dict("records")}
    said = [False if batch in held else by_batch.get(batch) for batch in order]
    return [one for one in said if one is not None]


@dataclass(frozen=True)
class Verdict:
    """What a lead needs to know of a batch, in one look.

    Attributes:
        pay: `pay`, `don't pay`, or `not yet`: something is still to come in.
        sentence: Why.
        counts: Questions by decision.
        audit: The batch's own; and of all batches of the project.
        plan: How it was sampled; None where it has no plan.
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


def verdict(
    batch: str, quality: pd.DataFrame, audit_rows: pd.DataFrame, spec: ProjectSpec, spent: float = 0.0, refused: Sequence[str] = (),
    planned: pd.DataFrame | None = None,
) -> Verdict:  # fmt: skip
    """Pay for a batch or not.

    - `don't pay`: its gate refused it, gold accuracy or the share that is accepted is too low, or more audited labels are wrong than
      the sampling plan allows.
    - `not yet`: the audit isn't answered, and the project requires it or no gold has measured the batch, so that nobody has looked at
      anything; or answers are missing.
    - `pay`: otherwise.

    Args:
        batch: Its name.
        quality: Its `label_quality` rows.
        audit_rows: `audits` of the project's batches.
        spec: The project.
        spent: What the batch and those that came from it have cost so far, by their plans or as settled.
        refused: Sentences of gates that said no to it.
        planned: `batch_plans` rows of those that came from it: what they ask is in `spent`.
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
    waits = []
    n_gold, n_right, at_least = _on_gold(quality[is_gold], spec)
    if has_plan and passed is None and (spec.quality.audit == "required" or not n_gold):
        unmeasured = "" if n_gold else "no gold has measured it, and "
        waits.append(f"{unmeasured}{drawn - answered} of {drawn} audited labels are still to be answered by our own people")
    unanswered = int((work["n_labels"].fillna(0) == 0).sum())
    if unanswered:
        waits.append(f"{unanswered} questions have no answer")
    pay: Pay = "don't pay" if against else "not yet" if waits else "pay"
    plan = _plan_of(row, error or 0.0, spec) if has_plan and row is not None else None
    told = against or waits or _for((n_gold, n_right, at_least), counts, audit, error, spec, drawn - answered, str(quality["kind"].iloc[0]))
    verb = {"pay": "Pay", "don't pay": "Don't pay", "not yet": "Don't pay yet"}[pay]
    return Verdict(
        pay, f"{verb}: {', and '.join(told)}.", counts, error, audit, overall, plan, drawn, _money(work, spec, spent, planned),
        tuple(against or waits),
    )  # fmt: skip


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
    counts: Mapping[str, int],
    audit: acceptance.Estimate,
    error: float | None,
    spec: ProjectSpec,
    n_open: int,
    kind: str,
) -> list[str]:
    total = sum(counts.values())
    told = [f"{counts[ACCEPT]:,} of {total:,} labels are accepted"]
    if audit.share is not None:
        told.append(audit.sentence)
    elif error is not None and kind == "production":
        allowed = 1 - spec.brief.accuracy_target
        unchecked = " (nobody has checked that yet)" if n_open else ""
        told.append(f"{error:.1%} of them are expected to be wrong where {allowed:.1%} may be{unchecked}")
    n, right, low = on_gold
    if n:
        told.append(f"{right} of {n} answers on gold are right (at least {low:.0%})")
    return told


def _plan_of(row: Mapping[Any, Any], expected: float, spec: ProjectSpec) -> acceptance.Plan:
    """The plan as it was drawn, with the risks it has."""
    severity = str(row["inspection"])
    limit = acceptance.LIMITS[severity] * (1 - spec.brief.accuracy_target)  # type: ignore[index]
    size, n, most = (int(str(row[name])) for name in ("size", "drawn", "most_wrong"))
    risks = acceptance.passes(size, n, most, [int(np.ceil(limit * size - _EPSILON)), round(expected * size)])
    return acceptance.Plan(size, n, most, limit, float(risks[0]), 1 - float(risks[1]), severity)  # type: ignore[arg-type]


def _money(work: pd.DataFrame, spec: ProjectSpec, spent: float, planned: pd.DataFrame | None) -> dict[str, float]:
    """What the batch has cost, and what settling the rest of it will: of the questions that no batch has been planned for yet."""
    vendor = spec.labeling.vendor(str(work["vendor"].iloc[0])) if len(work) else None
    if vendor is None:
        return {"cost so far": round(spent, 2)}
    again = (work["decision"] == REWORK) & ~_asked(work, planned, "rework")
    settle = ((work["decision"] == ADJUDICATE) | is_true(work["is_audit"])) & ~_asked(work, planned, "adjudication")
    more = float(work.loc[again, "n_more"].fillna(0).sum()) * vendor.price_per_label
    ours = float(settle.sum()) * spec.price_of_settling
    return {
        "cost so far": round(spent, 2), "more labels": round(more, 2), "our own people": round(ours, 2),
        "cost expected in all": round(spent + more + ours, 2),
    }  # fmt: skip


def _asked(work: pd.DataFrame, planned: pd.DataFrame | None, kind: str) -> pd.Series:
    """Which questions a batch of a kind asks again."""
    if planned is None:
        return pd.Series(False, index=work.index)
    rows = planned[planned["kind"] == kind]
    asked = {(image, name) for image, names in rows[["image_id", "attributes"]].itertuples(index=False) for name in names.split("|")}
    return pd.Series([unit in asked for unit in work[UNIT].itertuples(index=False, name=None)], index=work.index, dtype=bool)
