"""Whether to pay for a batch: what its gold and its audit say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from dataops_assets.labels import acceptance, agreement, boxes
from dataops_assets.manifest import is_true
from dataops_assets.ontology import CANT_TELL, NOT_APPLICABLE
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.batch_money import money
from dataops_assets.stages.label_quality import ACCEPT, ADJUDICATE, REWORK, auto_accepted

UNIT = ["image_id", "attribute"]
_WHOLE, _ASKED = ["batch_id", "task_id", *UNIT], ["batch_id", *UNIT]
_EPSILON, _BEHIND = 1e-9, 1e6
READ = [  # columns of `label_quality` that audits are told from
    *_WHOLE, "kind", "object_id", *boxes.SIDES, "label", "is_gold", "decision", "is_audit", "inspection", "most_wrong",
]  # fmt: skip
NOT_MEASURED = "not measured"  # how many of the labels accepted by themselves are wrong

Pay = Literal["pay", "don't pay", "not yet"]


def drawn_anew(
    quality: pd.DataFrame, answers: pd.DataFrame, gone: Collection[str], key: bytes, asked: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The audit's sample with other labels in place of those that nobody can answer any more: `is_audit` is put right.

    What was answered stays in it, of those drawn first and of those in their place, whatever became of their pictures. Then come those
    drawn first and the next labels of the same batch in the order of its draw, unless nobody can look at them, until the sample has its
    planned size. So a picture that comes back needs no answer where an answered one stands for it. The same answers and the same
    pictures give the same sample, in whatever order they came and went. It is larger than planned only where more was answered, as when
    both a label and the one in its place were: to leave one out would be to lose what was found.

    A label in another's place is one that wasn't drawn first, that was accepted by itself, and that adjudication was asked of this very
    batch. Adjudication is asked nothing else of a batch but what is doubtful, which isn't accepted by itself and never takes a place, and
    what depends on another question, which `asked` leaves out. So all that takes a place was drawn by chance, and none because it looked
    wrong. Of a batch that is judged again, what was doubtful or drawn before counts too where it is accepted now: our people looked at it.

    Args:
        quality: `label_quality` rows of production and rework batches.
        answers: `label_quality` rows of adjudication batches; accepted ones count.
        gone: Pictures that nobody can look at any more.
        key: Drew the sample.
        asked: `history.asked` rows. None: nobody knows which labels were in another's place, so none stays but for pictures gone now.
    """
    is_audit, settled = is_true(quality["is_audit"]), _settling(answers)
    asked = quality.head(0) if asked is None else asked
    is_beside = _among(quality, answered_beside(quality, answers), asked, _ASKED)
    is_lost = quality["image_id"].isin(set(gone))
    is_lost &= ~_among(quality, is_lost, settled, UNIT)
    batches = set(quality.loc[is_audit, "batch_id"]) & set(quality.loc[(is_audit & is_lost) | is_beside, "batch_id"])
    if not batches:
        return quality
    is_here = quality["batch_id"].isin(batches)
    is_open = is_here & (is_audit | auto_accepted(quality)) & ~is_lost
    stays = is_beside | _among(quality, is_audit, settled, UNIT)
    units = quality.loc[is_open, _WHOLE].assign(is_later=~is_audit, is_left=~stays).drop_duplicates(_WHOLE).sort_values(_WHOLE)
    chance = acceptance.drawn((f"{task}|{name}" for task, name in units[["task_id", "attribute"]].itertuples(index=False)), key)
    units = units.assign(chance=chance).sort_values(["batch_id", "is_left", "is_later", "chance"], kind="stable")
    size = quality[is_audit].drop_duplicates(_WHOLE).groupby("batch_id").size()
    chosen = units[~units["is_left"] | (units.groupby("batch_id").cumcount() < units["batch_id"].map(size))]
    return quality.assign(is_audit=is_audit.where(~is_here, _among(quality, is_open, chosen, _WHOLE)))


def answered_beside(quality: pd.DataFrame, answers: pd.DataFrame) -> pd.Series:
    """Rows that were accepted by themselves and weren't drawn, and that adjudication has answered all the same: for a sample drawn anew, or
    for another batch.
    """
    settled = _settling(answers)
    is_free = auto_accepted(quality) & ~is_true(quality["is_audit"]) & quality["image_id"].isin(set(settled["image_id"]))
    return _among(quality, is_free, settled, UNIT)


def _among(rows: pd.DataFrame, is_one: pd.Series, others: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Which of the rows marked have the same values in these columns as one of the others."""
    found = np.zeros(len(rows), dtype=bool)
    marked = is_one.to_numpy(dtype=bool)
    if marked.any() and len(others):
        found[marked] = pd.MultiIndex.from_frame(rows.loc[marked, columns]).isin(pd.MultiIndex.from_frame(others[columns]))
    return pd.Series(found, index=rows.index)


def _settling(answers: pd.DataFrame) -> pd.DataFrame:
    return answers[(answers["kind"] == "adjudication") & (answers["decision"] == ACCEPT)]


def audited(quality: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """What our own people found of the labels that were drawn for the audit.

    Args:
        quality: `label_quality` rows of production and rework batches.
        answers: `label_quality` rows of adjudication batches; accepted ones count.

    Returns:
        A row a label drawn: `batch_id, task_id, image_id, attribute, label, found, is_wrong`; the last two null until it is answered. A
        picture's boxes are one label: wrong where an object is missed, made up, named wrongly, or overlaps by less than IoU 0.5. Where
        our people can't tell, the label is wrong: nothing in the picture bears it out.
    """
    return _compared(quality[is_true(quality["is_audit"])], _settling(answers))


def left_open(quality: pd.DataFrame, later: pd.DataFrame, gone: Collection[str] = ()) -> pd.DataFrame:
    """The questions that batches didn't accept by themselves, and what later ones settled.

    Args:
        quality: `label_quality` rows of the batches.
        later: `label_quality` rows of rework and adjudication that come from them; accepted ones count, adjudication before rework.
        gone: Pictures that nobody can look at any more: what is open of them stays so, and is left out.

    Returns:
        Rows as of `audited`, `found` null until it is settled; and `is_ours`: our own people found it. Rework closes a question, but it is
        the vendor's own work, so it tells nothing of what was right.
    """
    rows = _compared(
        quality[(quality["decision"] != ACCEPT) & ~is_true(quality["is_gold"])],
        later[(later["decision"] == ACCEPT) & later["kind"].isin(["rework", "adjudication"]) & ~is_true(later["is_gold"])],
    )
    rows["is_ours"] = _among(rows, rows["found"].notna(), _settling(later[~is_true(later["is_gold"])]), UNIT)
    return rows[rows["found"].notna() | ~rows["image_id"].isin(set(gone))].reset_index(drop=True)


def _compared(asked: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Labels beside the last answer to the same question; adjudication has the last word."""
    number = answers["batch_id"].str.extract(r"-(\d+)$", expand=False).astype("float64")
    rank = number.where(answers["kind"] != "adjudication", number + _BEHIND)
    last = answers.assign(rank=rank).groupby(UNIT)["rank"].transform("max") if len(answers) else rank
    answers = answers[rank == last]
    rows = asked.drop_duplicates(_WHOLE)[[*_WHOLE, "label"]].reset_index(drop=True)
    found = answers.drop_duplicates(UNIT).set_index(UNIT)["label"].rename("found")
    rows = rows.join(found, on=UNIT)
    rows["is_wrong"] = (rows["found"] != rows["label"]).astype("boolean").where(rows["found"].notna())
    has_boxes = asked["x"].notna() | (asked["object_id"].fillna("") != "")
    if has_boxes.any():
        given, known = _pictures(asked[asked["attribute"].isin(set(asked.loc[has_boxes, "attribute"]))]), _pictures(answers)
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
    """Whether a batch passed its sampling plan (a row of `audits`).

    None without a plan, while nobody has looked at any of its labels, and while missing answers could change it.
    """
    most = row["most_wrong"]
    if most is None or pd.isna(most):
        return None
    wrong, n, drawn = (int(str(row[name])) for name in ("wrong", "n", "drawn"))
    if wrong > int(str(most)):
        return False
    return True if n and wrong + drawn - n <= int(str(most)) else None


def is_measured(row: Mapping[Any, Any]) -> bool:
    """Whether the audit of a batch (a row of `audits`) tells how many of its labels accepted by themselves are wrong, as was planned."""
    return not row["size"] or (row["n"] > 0 and was_accepted(row) is not None)


def error_told(row: Mapping[Any, Any] | None) -> str:
    """What the audit of a batch (a row of `audits`) has shown of the labels that were accepted by themselves, in words for the record."""
    if row is None or not row["size"]:
        return "nothing was accepted by itself"
    wrong, n, drawn = (int(row[name]) for name in ("wrong", "n", "drawn"))
    if not n:
        return f"{NOT_MEASURED}: " + (f"none of {drawn} audited labels is answered" if drawn else "nothing of it is audited")
    if not is_measured(row):
        return f"{NOT_MEASURED} as planned: {n} of {drawn} audited labels are answered, {wrong} of them wrong"
    return f"{wrong} of {n} audited labels are wrong, {int(row['most_wrong'])} may be"


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
        audit_rows: `audits` of the project's batches.
        spec: The project.
        spent: What the batch and those that came from it have cost so far, by their plans or as settled.
        refused: Sentences of gates that said no to it.
        planned: `batch_plans` rows of those that came from it: what they ask is in `spent`.
        before: `label_quality` rows of the batches that its questions come from: their gold speaks for a rework batch, whose own
            measures nobody, and so does their audit where none of its own labels was drawn.
        settled: `left_open` rows of the batch; None: nothing is settled yet.
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
