"""The audit of labels that were accepted by themselves: what is drawn for it as things are now, and what our own people found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets.labels import acceptance, boxes
from dataops_assets.manifest import is_true
from dataops_assets.stages.label_quality import ACCEPT, auto_accepted

UNIT = ["image_id", "attribute"]
_WHOLE, _ASKED = ["batch_id", "task_id", *UNIT], ["batch_id", *UNIT]
_BEHIND = 1e6
READ = [  # columns of `label_quality` that audits are told from
    *_WHOLE, "kind", "object_id", *boxes.SIDES, "label", "is_gold", "decision", "is_audit", "inspection", "most_wrong",
]  # fmt: skip
NOT_MEASURED = "not measured"  # how many of the labels accepted by themselves are wrong


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
