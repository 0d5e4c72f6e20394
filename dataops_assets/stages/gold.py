"""The gold there is: pictures whose answers our own people settled, where each answer came from, and whether it may still measure anybody.

An answer is `active`, `unconfirmed` (one person alone gave it: it is hidden in no batch until another one has looked), `disputed` (somebody
says it is wrong: it measures nobody until it is settled) or `retired` (its picture is known: it isn't hidden in batches any more, and what
it measured stands). What people say, and which pictures guidelines and training packs show with
their answers, is an append-only ledger; the rest follows from it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from dataops_assets.labels import references
from dataops_assets.labels.agreement import clustered, wilson
from dataops_assets.labels.decisions import LIKENESS
from dataops_assets.labels.questions import NO_OBJECT
from dataops_assets.manifest import is_true
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.approved_labels import current

ACTIVE, UNCONFIRMED, DISPUTED, RETIRED = "active", "unconfirmed", "disputed", "retired"
VOTES = 2  # experts that gold wants, unless the project asks one person only
ACTIONS = ("dispute", "settle", "retire")  # of people
SHOW, PRACTISE = "show", "practise"  # in guidelines, in a training pack: entered before anybody can see it
MEASURING = ("dispute", "settle")  # what changes whom an answer measures, and how
COLUMNS = [
    "image_id", "attribute", "label", "object_id", "x", "y", "w", "h", "votes", "decided_by", "batch_id", "status", "reason", "by",
    "exposures", "most_exposed", "workers", "pace", "suspicion",
]  # fmt: skip
_UNIT = ["image_id", "attribute"]
FAST = 0.5  # of the usual time: a picture that is known needs no look


def registry(
    gold: pd.DataFrame, approved: pd.DataFrame, planned: pd.DataFrame, labeled: pd.DataFrame, entries: pd.DataFrame, spec: ProjectSpec
) -> pd.DataFrame:
    """One row for each gold answer (several for a picture's boxes), with what stands against it.

    Args:
        gold: `approved_labels.gold_of` rows.
        approved: `approved_labels` rows they come from: votes, batch, who decided.
        planned: `batch_plans` rows: how often each picture was shown to each vendor as gold.
        labeled: `labeled_batches` rows: how many people have seen it. May be left empty.
        entries: Rows of the `gold` ledger of this project.
        spec: The project; `labeling.gold_exposures` retires a picture, `pilot_overlap` of 1 lets one vote do.

    Returns:
        Columns of COLUMNS: `votes`, how many of our own people looked at it (in the pilot, adjudicating, settling), `exposures` in all
        (with its answers or hidden), `most_exposed` to one vendor as hidden gold, `workers` who saw it so, `pace` (their time on it as a
        share of their time on the rest of the batch: far below 1 may be a leak), `suspicion` (a sentence where so many were so fast on it
        that chance doesn't explain it), `status`, and for what isn't active who said why. A settled answer carries the label it was
        settled to.
    """
    source = current(approved).drop_duplicates(_UNIT).set_index(_UNIT)
    made = gold.join(source[["n_labels", "decided_by", "batch_id"]], on=_UNIT).rename(columns={"n_labels": "votes"})
    made["votes"] += _looked_before(made, planned, entries)
    shown = planned[is_true(planned["is_gold"])]
    by_vendor = shown.groupby(["image_id", "vendor"]).size()
    told = entries[entries["action"].isin([SHOW, PRACTISE])]
    seen_at_all = pd.concat([shown["image_id"], told["image_id"]]).value_counts()
    made["exposures"] = made["image_id"].map(seen_at_all).fillna(0).astype("int64")
    made["most_exposed"] = made["image_id"].map(by_vendor.groupby(level=0).max()).fillna(0).astype("int64")
    seen = labeled[labeled["batch_id"].isin(set(shown["batch_id"])) & (labeled["status"] == "accepted")]
    made["workers"] = made["image_id"].map(seen.groupby("image_id")["worker_id"].nunique()).fillna(0).astype("int64")
    paces = _paces(seen)
    made["pace"] = made["image_id"].map(paces["pace"]).astype("float64").round(2)
    made["suspicion"] = made["image_id"].map(_suspicions(paces, set(made["image_id"]))).astype("object")
    made = _said(made, entries)
    worn = (made["status"] == ACTIVE) & (made["most_exposed"] >= spec.labeling.gold_exposures)
    made.loc[worn, "status"] = RETIRED
    made.loc[worn, "reason"] = [f"shown {n} times to one vendor" for n in made.loc[worn, "most_exposed"]]
    alone = (made["status"] == ACTIVE) & (made["votes"] < min(VOTES, spec.labeling.pilot_overlap))
    made.loc[alone, "status"] = UNCONFIRMED
    made.loc[alone, "reason"] = [f"{n:.0f} of {VOTES} votes" for n in made.loc[alone, "votes"]]
    return made[COLUMNS].sort_values([*_UNIT, "object_id"], ignore_index=True)


def _looked_before(made: pd.DataFrame, planned: pd.DataFrame, entries: pd.DataFrame) -> pd.Series:
    """How many looked at each answer beside those it was approved with: who labelled the pilot it was adjudicated from, who settled it."""
    plan = planned.drop_duplicates(["batch_id", "image_id"]).set_index(["batch_id", "image_id"])
    asked = made[["batch_id", "image_id"]].join(plan[["kind", "parent_batch_id"]], on=["batch_id", "image_id"])
    before = asked.join(plan["overlap"], on=["parent_batch_id", "image_id"])["overlap"].where(asked["kind"] == "adjudication")
    settled = entries[entries["action"] == "settle"].groupby(_UNIT).size().rename("settled")
    return before.fillna(0).astype("int64") + made[_UNIT].join(settled, on=_UNIT)["settled"].fillna(0).astype("int64")


def _paces(labeled: pd.DataFrame) -> pd.DataFrame:
    """By image_id: `pace`, the median over people and questions of the seconds on it divided by the person's median for that question;
    `n` people with a usual time, and how many of them were `fast`, in less than half of it.
    """  # fmt: skip
    rows = labeled[labeled["seconds"].notna() & (labeled["seconds"] > 0)]
    usual = rows.groupby(["batch_id", "worker_id", "attribute"])["seconds"].transform("median")
    ratio = rows["seconds"] / usual
    each = ratio.groupby([rows["image_id"], rows["batch_id"], rows["worker_id"]]).median()
    told = pd.DataFrame({"n": each.groupby(level=0).size(), "fast": (each < FAST).groupby(level=0).sum()})
    return told.assign(pace=ratio.groupby(rows["image_id"]).median())


def _suspicions(paces: pd.DataFrame, gold: set[str]) -> dict[str, str]:
    """image_id -> a sentence, for gold on which more people were fast than on other pictures, which chance doesn't explain.

    A picture that somebody knows is answered at once by all who know it. Exact binomial test against the share of fast visits to
    pictures that aren't gold; Benjamini and Hochberg 1995 over the gold pictures.
    """
    from dataops_assets.labels.behaviour import FALSE_DISCOVERY, false_discovery

    known, others = paces[paces.index.isin(gold)], paces[~paces.index.isin(gold)]
    if known.empty or others.empty:
        return {}
    from scipy.stats import binom

    usual = (others["fast"].sum() + 1) / (others["n"].sum() + 2)
    p_values = binom.sf(known["fast"] - 1, known["n"], usual)
    flagged = known[false_discovery(p_values) <= FALSE_DISCOVERY]
    return {
        str(image): f"{row.fast:,} of {row.n:,} people took less than half of their usual time on it, {usual:.0%} do elsewhere"
        for image, row in zip(flagged.index, flagged.itertuples(), strict=True)
    }


def hidden(tasks: pd.DataFrame) -> set[str]:
    """Task ids of a batch's hidden gold."""
    return set(tasks.loc[is_true(tasks["is_gold"]), "task_id"])


def worn(labeled: pd.DataFrame, gold_tasks: set[str], before: pd.DataFrame, spec: ProjectSpec) -> pd.Series:
    """Which rows of a batch answer gold that the same person has seen so often that it stops counting.

    Args:
        labeled: `labeled_batches` rows of one batch.
        gold_tasks: Its tasks that are hidden gold.
        before: worker_id, image_id, batch_id of answers to gold in batches that were planned earlier.
        spec: The project: `labeling.gold_sights`.

    Returns:
        True for such rows, by the index of `labeled`.
    """
    is_gold = labeled["task_id"].isin(gold_tasks)
    if before.empty or not is_gold.any():
        return pd.Series(False, index=labeled.index)
    who = ["worker_id", "image_id"]
    sights = before.drop_duplicates([*who, "batch_id"]).groupby(who).size().rename("sights")
    times = labeled.loc[is_gold, who].join(sights, on=who)["sights"]
    return (times >= spec.labeling.gold_sights).reindex(labeled.index, fill_value=False)


def sights(answers: pd.DataFrame, order: Mapping[str, int]) -> pd.Series:
    """How many batches before had shown the same person the same gold picture, by the index of `answers`; 0 elsewhere than on gold.

    Args:
        answers: `references.compare` rows of several batches.
        order: batch_id -> its place in the order in which batches were planned.
    """
    rows = answers.loc[is_true(answers["on_gold"]), ["worker_id", "image_id", "batch_id"]]
    if rows.empty:
        return pd.Series(0, index=answers.index, dtype="int64")
    visits = rows.drop_duplicates()
    visits = visits.assign(place=visits["batch_id"].map(order).fillna(-1)).sort_values(["place", "batch_id"], kind="stable")
    visits["sight"] = visits.groupby(["worker_id", "image_id"]).cumcount()
    nth = rows.join(visits.set_index(["worker_id", "image_id", "batch_id"])["sight"], on=["worker_id", "image_id", "batch_id"])
    return nth["sight"].reindex(answers.index).fillna(0).astype("int64")


def accuracy(answers: pd.DataFrame, by: Sequence[str], believed: float = LIKENESS) -> pd.DataFrame:
    """How often answers to gold are right, with bounds (95 %) that know that several people's answers to one question err alike.

    Args:
        answers: `references.compare` rows; those on gold count.
        by: What to group by, e.g. `["vendor", "worker_id"]` or `["attribute"]`.
        believed: How alike, until the answers show it (`agreement.clustered`).

    Returns:
        By `by`: n, correct, accuracy, lower, upper.
    """
    rows = answers[is_true(answers["on_gold"]) & is_true(answers["is_judged"])]
    keys = list(by)
    per_question = rows.groupby([*keys, *(name for name in _UNIT if name not in keys)], sort=True)["is_right"].agg(["size", "sum"])
    made = rows.groupby(keys, sort=True).agg(n=("is_right", "size"), correct=("is_right", "sum"))
    lower, upper = _bounds(made, per_question["sum"], per_question["size"], keys, believed)
    return made.assign(accuracy=made["correct"] / made["n"], lower=lower, upper=upper)


def _bounds(made: pd.DataFrame, correct: pd.Series, n: pd.Series, keys: list[str], believed: float) -> tuple[Any, Any]:
    """For each row of `made`, indexed by `keys`, the bounds over its questions."""
    of = n.index.to_frame(index=False)[keys]
    groups = pd.MultiIndex.from_frame(made.index.to_frame(index=False)[keys]).get_indexer(pd.MultiIndex.from_frame(of))
    return clustered(correct, n, groups, len(made), believed)


def errors_by_class(answers: pd.DataFrame, by: Sequence[str] = ("attribute",), believed: float = LIKENESS) -> pd.DataFrame:
    """Each class's false negatives (it was right and something else was given) and false positives (given, and not right).

    Args:
        answers: `references.compare` rows; judged ones count. A label `a|b` is right or wrong value by value, boxes object by object.
        by: What to group by beside the class.
        believed: See `accuracy`.

    Returns:
        By `by` and `label`: `n` answers where the class is right, `missed` of them and `missed_share` with its bounds; `others` where it
        isn't, `false` of them and `false_share` with its bounds. Of boxes, `n` is objects and `others` boxes drawn with the class, so
        that the shares are what recall and precision lack of 1.
    """
    keys = list(by)
    units = [*keys, *(name for name in _UNIT if name not in keys)]  # a question each
    drawn = references.objects(answers)
    rows = answers[is_true(answers["is_judged"]) & answers["right"].notna() & answers["label"].notna()]
    total = rows.groupby(units, sort=True).size()
    if (total == 1).all():  # of one person each: nothing is alike, and what nobody gave need not be listed question by question
        units, total = keys, rows.groupby(keys, sort=True).size()
    plain, several = rows[~_holds_several(rows)], rows[_holds_several(rows)]
    counted = [_tally(plain[units], plain["right"], plain["label"], units)]
    if len(several):
        held = several.assign(right=several["right"].str.split("|"), label=several["label"].str.split("|"))
        pairs = [
            (place, value, value in right, value in given)
            for place, (right, given) in enumerate(zip(held["right"], held["label"], strict=True))
            for value in sorted({*right, *given})
        ]
        places, values, is_right, is_given = (list(column) for column in zip(*pairs, strict=True))
        of = several[units].iloc[places].reset_index(drop=True)
        value = pd.Series(values)
        right_ = value.where(pd.Series(is_right), "")
        given_ = value.where(pd.Series(is_given), "")
        counted.append(_tally(of, right_, given_, units))
    found = _of_questions(pd.concat(counted).groupby([*units, "label"], sort=True).sum(), total, keys)
    if len(drawn):
        found = pd.concat([found, _of_objects(drawn, units)]).sort_index()
    made = found.groupby([*keys, "label"], sort=True).sum()
    for name, of_ in (("missed", "n"), ("false", "others")):
        made[f"{name}_share"] = made[name] / made[of_].where(made[of_] > 0)
        bounds = wilson(made[name], made[of_]) if units == keys else _bounds(made, found[name], found[of_], [*keys, "label"], believed)
        made[f"{name}_lower"], made[f"{name}_upper"] = bounds
    return made[
        [
            "n", "missed", "missed_share", "missed_lower", "missed_upper",
            "others", "false", "false_share", "false_lower", "false_upper",
        ]
    ]  # fmt: skip


def _of_questions(counted: pd.DataFrame, total: pd.Series, keys: list[str]) -> pd.DataFrame:
    """Every class of a group at every question of it: where a class was neither right nor given, all answers are `others`."""
    counted = counted[counted.index.get_level_values("label") != ""]
    classes = counted.reset_index()[[*keys, "label"]].drop_duplicates()
    every = total.rename("whole").reset_index().merge(classes, on=keys)
    names = list(counted.index.names)
    made = every.set_index(names).join(counted).fillna(0).astype("int64")
    return made.assign(others=made["whole"] - made["n"]).drop(columns="whole")


def _of_objects(objects: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    made = _tally(objects[keys], objects["right"], objects["label"], keys)
    made = made[made.index.get_level_values("label") != NO_OBJECT]
    given = objects.groupby([*keys, "label"], sort=True).size().reindex(made.index, fill_value=0)
    return made.assign(others=given)


def _holds_several(rows: pd.DataFrame) -> pd.Series:
    both = pd.concat([rows["right"], rows["label"]])
    several = {value for value in both.unique() if "|" in value}
    return rows["right"].isin(several) | rows["label"].isin(several)


def _tally(of: pd.DataFrame, right: pd.Series, given: pd.Series, keys: list[str]) -> pd.DataFrame:
    """By keys and label: how often it was right, missed, and given falsely."""
    pairs = of.reset_index(drop=True).assign(right=right.to_numpy(), given=given.to_numpy())
    counts = pairs.groupby([*keys, "right", "given"], sort=True).size().rename("times").reset_index()
    is_wrong = counts["right"] != counts["given"]
    as_right = counts.assign(label=counts["right"], n=counts["times"], missed=counts["times"].where(is_wrong, 0), false=0)
    as_given = counts[is_wrong].assign(label=counts["given"], n=0, missed=0, false=counts["times"])
    columns = [*keys, "label", "n", "missed", "false"]
    return pd.concat([as_right[columns], as_given[columns]]).groupby([*keys, "label"], sort=True).sum()


def measuring(found: pd.DataFrame) -> pd.DataFrame:
    """`gold_of` rows that answers are compared with: all but the disputed ones."""
    return found.loc[found["status"] != DISPUTED, [*_UNIT, "label", "object_id", "x", "y", "w", "h"]].reset_index(drop=True)


def usable(found: pd.DataFrame) -> pd.DataFrame:
    """`gold_of` rows that may be hidden in new batches: answers that are active, of pictures none of whose answers is retired."""
    gone = set(found.loc[found["status"] == RETIRED, "image_id"])
    rows = found[(found["status"] == ACTIVE) & ~found["image_id"].isin(gone)]
    return rows[[*_UNIT, "label", "object_id", "x", "y", "w", "h"]].reset_index(drop=True)


def entry(found: pd.DataFrame, action: str, image_id: str, attribute: str | None, label: str | None, spec: ProjectSpec) -> dict[str, Any]:
    """What the ledger shall say of a gold answer: image_id, attribute, action, label.

    Args:
        found: `registry` rows.
        action: One of ACTIONS.
        image_id: The picture, or the beginning of its id.
        attribute: Which answer; None: the whole picture, to retire only.
        label: The right answer, to settle only.
        spec: The project.

    Raises:
        ValueError: when there is no such gold, or it isn't disputed and is to be settled, or the label isn't a value.
    """
    pictures = sorted({name for name in found["image_id"] if name.startswith(image_id)})
    if len(pictures) != 1:
        raise ValueError(f"{len(pictures) or 'no'} gold pictures begin with {image_id!r}; `dataops gold list {spec.name}` shows them")
    mine = found[found["image_id"] == pictures[0]]
    if attribute is not None and attribute not in set(mine["attribute"]):
        raise ValueError(f"picture {pictures[0][:12]} has no gold for {attribute!r}, it has {', '.join(sorted(set(mine['attribute'])))}")
    if action != "retire" and attribute is None:
        raise ValueError(f"name the attribute to {action}")
    if action == "settle":
        asked = spec.ontology.attribute(str(attribute))
        if set(mine.loc[mine["attribute"] == attribute, "status"]) != {DISPUTED}:
            raise ValueError(f"{attribute} of picture {pictures[0][:12]} is not disputed: there is nothing to settle")
        if asked is not None and asked.kind == "box" and label is not None:
            raise ValueError(f"{attribute} is drawn, not chosen: settle it without a label, or retire the picture and label it again")
        wrong = set((label or "").split("|")) - set(asked.values) if asked is not None and label is not None else set()
        if wrong:
            raise ValueError(f"{label!r} is no value of {attribute}: {', '.join(asked.values) if asked else ''}")
    return {"image_id": pictures[0], "attribute": attribute, "action": action, "label": label}


def exposure(found: pd.DataFrame, entries: pd.DataFrame, images: Collection[str], action: str, where: str) -> list[dict[str, Any]]:
    """What the ledger shall say before pictures are shown with their answers: a row each, of those that are gold and not entered so yet.

    Args:
        found: `registry` rows.
        entries: Rows of the `gold` ledger of this project.
        images: Pictures to be shown; those that are no gold are passed over.
        action: SHOW or PRACTISE.
        where: In what they are shown.
    """
    known = entries[entries["action"] == action]
    if action == PRACTISE:
        known = known[known["reason"] == where]
    new = sorted(set(images) & set(found["image_id"]) - set(known["image_id"]))
    return [{"image_id": image, "attribute": None, "action": action, "label": None, "reason": where, "by": "dataops"} for image in new]


def _said(made: pd.DataFrame, entries: pd.DataFrame) -> pd.DataFrame:
    """What was entered, in order: the last word on an answer stands, a picture that is known stays known, also while it is disputed."""
    made = made.assign(status=ACTIVE, reason=None, by=None).astype({"reason": "object", "by": "object", "label": "object"})
    known = pd.Series(False, index=made.index)
    for row in entries.sort_values("seq").to_dict("records"):
        hit = made["image_id"] == row["image_id"]
        if isinstance(row["attribute"], str):
            hit &= made["attribute"] == row["attribute"]
        if row["action"] not in MEASURING:
            first = hit & ~known & (made["status"] != DISPUTED)
            made.loc[first, "reason"] = row["reason"] if row["action"] == "retire" else f"shown with its answers: {row['reason']}"
            made.loc[first, "by"] = row["by"]
            known |= hit
            continue
        made.loc[hit, "status"] = DISPUTED if row["action"] == "dispute" else ACTIVE
        made.loc[hit, ["reason", "by"]] = [row["reason"], row["by"]]
        if row["action"] == "settle" and isinstance(row["label"], str):
            made.loc[hit, "label"] = row["label"]
            made.loc[hit, "decided_by"] = "adjudication"
    made.loc[known & (made["status"] == ACTIVE), "status"] = RETIRED
    return made
