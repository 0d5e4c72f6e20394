"""What the answers to a batch are worth: for every question an answer, how sure it is, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import acceptance, agreement, boxes, consensus, decisions, dependent
from dataops_assets.labels.questions import NO_OBJECT, SCREENING, question
from dataops_assets.manifest import is_true
from dataops_assets.ontology import CANT_TELL, NOT_APPLICABLE, Attribute
from dataops_assets.spec import ProjectSpec

OURS = ("pilot", "adjudication", "screening", "preservation")  # kinds that settle what is right, so nobody's odds are weighed
BOUGHT = ("production", "rework")
ACCEPT, REWORK, ADJUDICATE = "accept", "rework", "adjudicate"
_SIDES = list(boxes.SIDES)
_GOLD_BOXES = ("gold_label", "gold_correct", "n_missed", "n_extra", "gold_correct_75", "n_missed_75", "n_extra_75")
_EPSILON = 1e-9  # 2 of 3 must pass a threshold of 2/3
_KEPT = ["batch_id", "kind", "task_id", "image_id", "attribute", "vendor", "round", "overlap", "is_gold"]


def assess(
    labeled: pd.DataFrame,
    tasks: pd.DataFrame,
    gold: pd.DataFrame | None,
    spec: ProjectSpec,
    before: pd.DataFrame | None = None,
    held: pd.DataFrame | None = None,
    severity: acceptance.Severity = "normal",
    key: bytes | None = None,
) -> pd.DataFrame:
    """A row for each task and attribute asked (and object, for boxes), answered or not.

    What vendors answered is weighed by `labels.consensus`, with `quality.method`, and decided by `labels.decisions`:

    - `accept`: the answer belongs to the largest set, surest first, whose accuracy reaches the brief's target with its confidence.
    - `rework`: one more label is expected to save more than it costs, and `rework_rounds` aren't used up.
    - `adjudicate`: otherwise, our own people decide.

    What our own people answer (pilots, screening, adjudication) is accepted when `accept_agreement` of the answers are equal; where those
    who labelled a pilot differ, a third one adjudicates.

    Hidden gold is always `accept` with the gold label: it measures, and is never exported from this batch. Gold that `gold` doesn't hold,
    and gold that is asked again, measures nobody: its gold columns are null.

    `cant_tell` is an answer like any other. So is leaving out a question that doesn't apply or may be left open: the label is then
    `not_applicable`, or `none` for boxes. Neither becomes a training label.

    Args:
        labeled: `labeled_batches` rows of the batch; only accepted ones count.
        tasks: `label_tasks` rows of the batch.
        gold: `approved_labels.gold_of` rows, or None.
        spec: The project.
        before: `labeled_batches` rows of earlier batches. They show what their workers are worth, and what was answered before to
            questions that are asked once more counts with the new answers. Those of another ontology version are left out.
        held: `label_quality` rows of earlier batches that questions of this one come from: what was accepted there counts in the share
            that must be right.
        severity: How hard to look at the batch (`acceptance.switch`).
        key: Draws the audit; None: nothing is audited.

    Returns:
        `label_quality` rows. Gold columns hold for the attribute in this batch, over answers, with 95 % bounds
        (`agreement.clustered`); null where it has no gold.
    """
    asked = tasks.assign(attribute=tasks["attributes"].str.split("|")).explode("attribute", ignore_index=True)
    asked = asked[_KEPT].rename(columns={"overlap": "n_wanted"})
    asked["is_gold"] = is_true(asked["is_gold"])
    boxed = [attribute.name for attribute in spec.ontology.attributes if attribute.kind == "box"]
    answers = dependent.with_implied(labeled[labeled["status"] == "accepted"], boxed)
    earlier = dependent.with_implied(_of_version(before, tasks), boxed)
    of_attribute, earlier_of = (dict(list(frame.groupby("attribute", sort=False))) for frame in (answers, earlier))
    truth = _truth(gold)
    frames = []
    for name, rows in asked.groupby("attribute", sort=True):
        attribute = question(spec, str(name))
        is_ours = _is_ours(rows, spec)
        given, past = of_attribute.get(name, answers.head(0)), earlier_of.get(name, earlier.head(0))
        if is_ours:  # what our own people say isn't weighed against what they were asked to settle
            past = past[past["image_id"].isin(set(rows["image_id"]) if rows["kind"].eq("rework").all() else ())]
        # gold among what is asked again is there so that it isn't told by its absence: people split on it, so it measures nobody
        beside = set(rows.loc[rows["is_gold"] & rows["kind"].eq("rework"), "image_id"])
        known = truth[(truth["attribute"] == name) & ~truth["image_id"].isin(beside)]
        find = _boxes if attribute is not None and attribute.kind == "box" else _choices
        frames.append(_decide(find(rows, given, past, known, attribute, spec, is_ours), spec, _posteriors(held, str(name)), is_ours))
    if not frames:
        return manifest.empty("label_quality")
    quality = pd.concat([frame.astype("object") for frame in frames], ignore_index=True)
    return manifest.conform(_audit(quality, spec, severity, key), CONTRACTS["label_quality"])


def _is_ours(rows: pd.DataFrame, spec: ProjectSpec) -> bool:
    """Whether a batch's answers settle what is right; those of vendors, and of our own people where they do the production, are weighed."""
    vendor = spec.labeling.vendor(str(rows["vendor"].iloc[0]))
    is_internal = vendor is not None and vendor.internal and not spec.labeling.production.internal
    return bool(
        rows["kind"].isin(OURS).all() or (rows["kind"].eq("rework").all() and is_internal) or rows["attribute"].eq(SCREENING.name).all()
    )


def _of_version(before: pd.DataFrame | None, tasks: pd.DataFrame) -> pd.DataFrame:
    if before is None or before.empty or tasks.empty:
        return manifest.empty("labeled_batches")
    return before[(before["status"] == "accepted") & before["ontology_version"].isin(set(tasks["ontology_version"]))]


def _truth(gold: pd.DataFrame | None) -> pd.DataFrame:
    columns = ["image_id", "attribute", "label", "object_id", *_SIDES]
    return pd.DataFrame(columns=columns) if gold is None else gold.reindex(columns=columns)


def _posteriors(held: pd.DataFrame | None, name: str) -> npt.NDArray[np.float64] | None:
    """Of the questions of an attribute that were accepted before: pictures as a whole for boxes."""
    if held is None or held.empty:
        return None
    is_gold = is_true(held["is_gold"])
    rows = held[(held["decision"] == ACCEPT) & ~is_gold & (held["attribute"] == name)].astype({"posterior": "float64"})
    return rows.groupby(["batch_id", "task_id"])["posterior"].prod().to_numpy()


def _beliefs(spec: ProjectSpec) -> consensus.Beliefs:
    return consensus.Beliefs(spec.quality.method, spec.labeling.worker_accuracy, spec.quality.likeness)


def _choices(
    asked: pd.DataFrame, given: pd.DataFrame, past: pd.DataFrame, truth: pd.DataFrame, attribute: Attribute | None, spec: ProjectSpec,
    is_ours: bool,
) -> pd.DataFrame:  # fmt: skip
    """A row a question with its answer; pictures are the tasks, so what was asked before of one counts."""
    answers = pd.concat([frame[["image_id", "worker_id", "label"]] for frame in (past, given)], ignore_index=True)
    answers = answers.rename(columns={"image_id": "task", "worker_id": "worker"})
    is_multi = attribute is not None and attribute.kind == "multi"
    known = truth.drop_duplicates("image_id").set_index("image_id")["label"]
    if is_ours:
        found = consensus.by_agreement(answers, is_multi)
    else:
        values = (
            (*attribute.answers, NOT_APPLICABLE) if attribute is not None and attribute.when else attribute.answers if attribute else ()
        )
        weigh = consensus.of_several if is_multi else consensus.of_choices
        found = weigh(answers, known, values, _beliefs(spec))
    rows = asked.join(found.found, on="image_id")
    rows["posterior"], rows["is_tie"] = rows["posterior"].fillna(0.0), rows["is_tie"].eq(True)
    here = answers[answers["task"].isin(set(asked["image_id"]))]
    rows["n_labels"] = _map(rows, here.groupby("task")["worker"].nunique(dropna=False))
    rows["agreement"] = rows["image_id"].map(agreement.pairwise(here, ["task"]))
    rows["object_id"] = ""
    rows["gold_label"] = rows["image_id"].map(known).where(rows["is_gold"])
    has_gold = rows["gold_label"].notna()
    mine = given[given["image_id"].isin(set(rows.loc[has_gold, "image_id"]))]
    right = mine[mine["label"] == mine["image_id"].map(known)].groupby("image_id").size()
    rows["gold_correct"] = _map(rows, right).where(has_gold)
    rows["n_labels"] = rows["n_labels"].where(~has_gold, _map(rows, given.groupby("image_id")["worker_id"].nunique(dropna=False)))
    share = (rows["gold_correct"] / rows["n_labels"].where(rows["n_labels"] > 0)).fillna(0.0)
    rows["posterior"] = np.where(has_gold, share, rows["posterior"])
    rows["label"] = rows["gold_label"].where(has_gold, rows["label"])
    once = rows[has_gold]
    rows = rows.assign(
        skill=found.skill, likeness=found.likeness, method=found.chosen, notes=_told(found.notes), whole=rows["posterior"], left_out=0
    )
    return _with_gold(rows, once, spec)


def _told(notes: tuple[str, ...]) -> str | None:
    return "; ".join(notes) or None


def _map(rows: pd.DataFrame, counts: pd.Series) -> pd.Series:
    return rows["image_id"].map(counts).fillna(0).astype("int64")


def _boxes(
    asked: pd.DataFrame, given: pd.DataFrame, past: pd.DataFrame, truth: pd.DataFrame, attribute: Attribute | None, spec: ProjectSpec,
    is_ours: bool,
) -> pd.DataFrame:  # fmt: skip
    """A row an object; without one, a row that says so. A picture is decided as a whole."""
    drawn, mine = boxes.read(pd.concat([past, given], ignore_index=True)), boxes.read(given)
    known = boxes.read(truth.assign(worker_id="gold"))
    found = consensus.of_boxes(drawn, known, tuple(attribute.values) if attribute is not None else (), None if is_ours else _beliefs(spec))
    asked = asked.assign(place=np.arange(len(asked)), agreement=asked["image_id"].map(boxes.agreement(drawn)))
    is_known = asked["is_gold"] & asked["image_id"].isin(known.pictures)
    work = asked[~is_known].join(found.tasks.rename(columns={"posterior": "whole"}), on="image_id")
    work = work.assign(
        n_labels=_map(work, pd.Series(np.diff(drawn.first), index=drawn.pictures)), whole=work["whole"].fillna(0.0),
        left_out=work["left_out"].fillna(0).astype("int64"), is_tie=work["is_tie"].eq(True),
    ).merge(found.objects.rename(columns={"task": "image_id"}), on="image_id", how="left")  # fmt: skip
    is_object = work["label"].notna()
    number = work.groupby("place").cumcount() + 1
    work["object_id"] = number.map("{:03d}".format).where(is_object, "")
    # nothing to box is an answer where somebody gave it
    is_empty = work["image_id"].isin(drawn.pictures[drawn.picture[drawn.n_boxes == 0]])
    work["whole"] = work["whole"].where(is_object | is_empty, 0.0)
    work["posterior"] = work["posterior"].where(is_object, work["whole"])
    work["label"] = work["label"].astype("object").where(is_object, is_empty.map({True: NO_OBJECT, False: None}))
    gold = _gold_boxes(asked[is_known], mine, truth, known)
    rows = pd.concat([frame.astype("object") for frame in (work, gold) if len(frame)])
    rows = rows.sort_values("place", kind="stable", ignore_index=True).drop(columns="place")
    rows = rows.astype(
        {"n_labels": "int64", "left_out": "int64", "is_gold": bool, "is_tie": bool, "whole": "float64", "posterior": "float64"}
    )
    rows = rows.reindex(columns=[*dict.fromkeys([*rows, *_GOLD_BOXES, *_SIDES])])
    rows = rows.assign(skill=found.skill, likeness=found.likeness, method=found.chosen, notes=_told(found.notes))
    once = rows[rows["gold_correct"].notna()].drop_duplicates("task_id")
    return _with_gold(rows, once, spec)


def _gold_boxes(asked: pd.DataFrame, mine: boxes.Drawings, truth: pd.DataFrame, known: boxes.Drawings) -> pd.DataFrame:
    """Rows of gold pictures: their own objects, and how the answers fare against them."""
    beside = known.pictures.get_indexer(mine.pictures)[mine.picture]  # of each answer, the number of the right one
    answers = np.flatnonzero(beside >= 0)
    beside, of = beside[answers], mine.picture[answers]
    size, wanted = mine.n_boxes[answers], known.n_boxes[beside]
    measures = {"n_labels": np.ones(len(answers), dtype=np.int64)}
    for end, min_iou in (("", boxes.MIN_IOU), ("_75", boxes.STRICT_IOU)):
        hits = boxes.hits(mine, answers, known, beside, min_iou)
        measures |= {
            f"gold_correct{end}": (hits == size) & (hits == wanted), f"n_missed{end}": wanted - hits, f"n_extra{end}": size - hits,
        }  # fmt: skip
    counts = pd.DataFrame(
        {name: np.bincount(of, weights=values, minlength=len(mine.pictures)).astype("int64") for name, values in measures.items()},
        index=mine.pictures,
    )
    rows = asked.assign(**{name: _map(asked, counts[name]) for name in measures}, whole=0.0, is_tie=False, left_out=0)
    rows["posterior"] = (rows["gold_correct"] / rows["n_labels"].where(rows["n_labels"] > 0)).fillna(0.0)
    objects = truth[["image_id", "object_id", "label", *_SIDES]].assign(gold_label=truth["label"])
    return rows.merge(objects, on="image_id", how="left")


def _decide(rows: pd.DataFrame, spec: ProjectSpec, held: npt.NDArray[np.float64] | None, is_ours: bool) -> pd.DataFrame:
    rows = rows.assign(needed=np.nan, expected_gain=np.nan, price=np.nan, n_more=0)
    wanted, n = rows["n_wanted"].astype(int).to_numpy(), rows["n_labels"].astype(int).to_numpy()
    missing = np.maximum(wanted - n, 1)
    is_gold, has_label = rows["is_gold"].to_numpy(dtype=bool), rows["label"].notna().to_numpy()
    sure = rows["whole"].to_numpy(dtype=np.float64)
    left = np.maximum(spec.labeling.rework_rounds - rows["round"].astype(int).to_numpy(), 0)
    if is_ours:
        accepted = (sure >= spec.labeling.accept_agreement - _EPSILON) & ~rows["is_tie"].to_numpy(dtype=bool) & has_label & (n >= wanted)
        is_split = rows["kind"].eq("pilot").to_numpy() & (n >= wanted)  # experts who differ aren't asked again: a third one decides
        again = (left > 0) & ~is_split
        needed = np.full(len(rows), spec.labeling.accept_agreement)
        gain = price = np.full(len(rows), np.nan)
    else:
        accepted, again, needed, gain, price = _weighed(rows, spec, held, sure, n, left, missing)
    decision = np.select([is_gold | accepted, again], [ACCEPT, REWORK], ADJUDICATE)
    rows["decision"], rows["needed"], rows["expected_gain"], rows["price"] = decision, needed, gain, price
    rows["n_more"] = np.where(decision == REWORK, missing if is_ours else np.where(n < wanted, missing, 1), 0)
    rows["reason"] = _reasons(rows, spec, left > 0, is_ours)
    return rows.drop(columns=["is_tie", "whole", "skill", "left_out"])


def _weighed(
    rows: pd.DataFrame, spec: ProjectSpec, held: npt.NDArray[np.float64] | None, sure: npt.NDArray[np.float64], n: npt.NDArray[Any],
    left: npt.NDArray[Any], missing: npt.NDArray[Any],
) -> tuple[npt.NDArray[Any], ...]:  # fmt: skip
    """Accepted, worth another label, posterior needed, what a label saves and costs: by rows, decided by questions."""
    vendor = spec.labeling.vendor(str(rows["vendor"].iloc[0])) or spec.labeling.production
    price, settle = vendor.price_per_label, spec.price_of_settling
    of, tasks = pd.factorize(rows["task_id"])
    first = np.searchsorted(of, np.arange(len(tasks))) if (np.diff(of) >= 0).all() else np.unique(of, return_index=True)[1]
    is_open = ~rows["is_gold"].to_numpy(dtype=bool)[first]
    has_label = rows["label"].notna().to_numpy()[first]
    posterior = np.where(has_label, sure[first], 0.0)
    believed = np.zeros(len(first), dtype=bool)
    target, confidence = spec.brief.accuracy_target, spec.brief.confidence
    believed[is_open], needed = decisions.accepted(posterior[is_open], target, confidence, spec.quality.least_posterior, held)
    # what is needed of the labels there are is too much where few are sure yet: once others are, one that is wrong twice as often as
    # the target allows is accepted among them
    likely = min(needed, max(1 - 2 * (1 - target), spec.quality.least_posterior))
    gain = np.zeros(len(first))
    doubtful = is_open & ~believed
    most = np.where(left[first] > 0, left[first] + missing[first] - 1, 0)
    gain[doubtful] = decisions.next_label(
        np.where(has_label, posterior, 0.5)[doubtful], n[first][doubtful], likely, skill=float(rows["skill"].iloc[0]),
        likeness=float(rows["likeness"].iloc[0]), price=price, settle=settle, most=most[doubtful],
    )  # fmt: skip
    again = doubtful & (most > 0) & (gain > price + _EPSILON)
    saved = np.where(doubtful, np.maximum(gain, 0), np.nan)
    return believed[of], again[of], np.full(len(rows), needed), saved[of], np.full(len(rows), price)


def _reasons(rows: pd.DataFrame, spec: ProjectSpec, has_round: npt.NDArray[np.bool_], is_ours: bool) -> npt.NDArray[np.object_]:
    """A sentence a row. Made once for all rows that read alike: a large batch has few of them."""
    facts = pd.DataFrame({
        "is_gold": rows["is_gold"].astype(bool), "decision": rows["decision"], "n": rows["n_labels"].astype(int),
        "wanted": rows["n_wanted"].astype(int), "sure": rows["whole"].astype(float).round(3), "needed": rows["needed"].round(3),
        "gain": rows["expected_gain"].astype(float).round(4).fillna(-1), "is_tie": rows["is_tie"].astype(bool), "round": has_round,
        "left_out": rows["left_out"].fillna(0).astype(int), "is_measured": rows["gold_correct"].notna(),
    })  # fmt: skip
    codes = facts.groupby(list(facts.columns), sort=False, dropna=False).ngroup().to_numpy()
    _, first = np.unique(codes, return_index=True)
    price = rows["price"].iloc[0]
    told = [_reason(row, float(price), spec.brief.currency, is_ours) for row in facts.iloc[first].to_dict("records")]
    return np.array(told, dtype=object)[codes]


def _reason(row: Mapping[Any, Any], price: float, currency: str, is_ours: bool) -> str:
    n, wanted, sure, needed = row["n"], row["wanted"], row["sure"], row["needed"]
    if row["is_gold"]:
        return f"gold: {n} of {wanted} answers measured" if row["is_measured"] else "gold that measures nobody here"
    left_out = f"; {row['left_out']} boxes that less than half drew are left out" if row["left_out"] else ""
    if is_ours:
        if n < wanted:
            return f"{n} of {wanted} answers"
        if row["is_tie"]:
            return f"a tie among {n} answers"
        return f"{sure:.0%} of {n} answers agree" + ("" if row["decision"] == ACCEPT else f", {needed:.0%} wanted") + left_out
    said = f"{n} of {wanted} answers, " if n < wanted else ""
    if row["decision"] == ACCEPT:
        return f"{said}{sure:.1%} sure after {n}, accepted from {needed:.1%} on{left_out}"
    said += f"{sure:.1%} sure after {n}, {needed:.1%} needed" if n else "nothing to go by"
    if not row["round"]:
        return f"{said}: no round of labels is left{left_out}"
    saves = f"another label saves {row['gain']:.3f} {currency} and costs {price:.3f}"
    return f"{said}: {saves}{'' if row['decision'] == REWORK else ', so our own people decide'}{left_out}"


def _audit(quality: pd.DataFrame, spec: ProjectSpec, severity: acceptance.Severity, key: bytes | None) -> pd.DataFrame:
    """Draw the questions that our own people answer without knowing it, from those that were accepted by themselves.

    A production batch has a sampling plan of its own. Batches that ask once more are small: the same share of them is drawn, one label at
    least, and as many may be wrong as labels that are as good as their posteriors say (or as the target allows) show nineteen times out of
    twenty.
    """
    quality = quality.assign(is_audit=False, inspection=None, most_wrong=None)
    is_bought = bool(len(quality)) and quality["kind"].isin(BOUGHT).all()
    if key is None or spec.quality.audit == "off" or not is_bought:
        return quality
    whole = ["task_id", "attribute"]
    accepted = quality.loc[auto_accepted(quality), [*whole, "posterior"]].astype({"posterior": "float64"})  # prod of objects is a loop
    units = accepted.groupby(whole, as_index=False, sort=True)["posterior"].prod()
    if units.empty:
        return quality
    chance = acceptance.drawn((f"{task}|{name}" for task, name in units[whole].itertuples(index=False)), key)
    expected = float(1 - units["posterior"].mean())
    if quality["kind"].iloc[0] == "production":
        made = sampling_plan(len(units), expected, spec, severity)
        chosen, most_wrong = units.iloc[np.argsort(chance, kind="stable")[: made.n]], made.most_wrong
    else:
        full = spec.labeling.batch_size * len(spec.ontology.attributes)
        made = sampling_plan(full, expected, spec, severity)
        chosen = units[(chance < made.n / full) | (chance == chance.min())]  # one at least: no batch is paid that nobody has looked at
        most_wrong = acceptance.allowance(len(units), len(chosen), min(made.limit, max(expected, 1 - spec.brief.accuracy_target)))
    drawn = pd.MultiIndex.from_frame(pd.DataFrame(chosen)[whole])
    is_audit = pd.MultiIndex.from_frame(quality[whole]).isin(drawn)
    return quality.assign(inspection=severity, most_wrong=most_wrong, is_audit=is_audit)


def auto_accepted(quality: pd.DataFrame) -> pd.Series:
    """Rows that were accepted by themselves and can become training labels."""
    is_gold = is_true(quality["is_gold"])
    is_label = quality["label"].notna() & ~quality["label"].isin([CANT_TELL, NOT_APPLICABLE])
    return (quality["decision"] == ACCEPT) & quality["kind"].isin(BOUGHT) & ~is_gold & is_label & (quality["attribute"] != SCREENING.name)


def sampling_plan(size: int, expected: float, spec: ProjectSpec, severity: acceptance.Severity) -> acceptance.Plan:
    """The plan for a batch with so many accepted labels."""
    limit = acceptance.LIMITS[severity] * (1 - spec.brief.accuracy_target)
    floor = acceptance.floor(size, spec.brief.accuracy_target, spec.brief.confidence, spec.quality.audit_floor, severity)
    most = max(int(spec.quality.audit_most * size), floor)
    return acceptance.plan(size, limit, 1 - spec.brief.confidence, expected, severity, most)


def _with_gold(rows: pd.DataFrame, once: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """The attribute's gold accuracy in this batch, on each of its rows; `once` has a row a question that is measured."""
    correct, n = (once[name].to_numpy(dtype=np.float64) for name in ("gold_correct", "n_labels"))
    if not n.sum():
        return rows.assign(gold_accuracy=None, gold_lower=None, gold_upper=None)
    lower, upper = agreement.clustered(correct, n, believed=spec.quality.likeness)
    return rows.assign(gold_accuracy=correct.sum() / n.sum(), gold_lower=float(lower[0]), gold_upper=float(upper[0]))
