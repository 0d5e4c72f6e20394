"""Answers beside what was settled: which of them were right, on hidden gold and elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dataops_assets.labels import boxes, dependent
from dataops_assets.labels.questions import NO_OBJECT, question
from dataops_assets.manifest import is_true
from dataops_assets.spec import ProjectSpec

_UNIT = ["task_id", "attribute"]
_WHO = ["batch_id", "vendor", "worker_id", "attribute", "task_id"]
_BOXES = ["given_boxes", "right_boxes"]
COLUMNS = [*_WHO, "image_id", "label", "seconds", "submitted_at", "right", "on_gold", "is_judged", "is_right", *_BOXES]


def settled(quality: pd.DataFrame) -> pd.DataFrame:
    """`label_quality` rows that answers may be compared with: accepted ones with a label; of gold, those whose answer is known."""
    rows = quality[(quality["decision"] == "accept") & quality["label"].notna()]
    return rows[~is_true(rows["is_gold"]) | rows["gold_label"].notna()]


def compare(labeled: pd.DataFrame, known: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """One row for each worker's answer to a question; a picture's boxes are one answer.

    Args:
        labeled: `labeled_batches` rows; only accepted ones count, and what they imply by leaving a question out.
        known: Rows that say what is right (`settled`): task_id, attribute, label, is_gold, for boxes object_id, x, y, w, h.
        spec: The project.

    Returns:
        Columns of COLUMNS: `right` is the settled label (null for boxes), `is_judged` whether there is one, `on_gold` whether it is
        hidden gold; `given_boxes` and `right_boxes` are a `boxes.Answer` each, null for choices and the second where nothing is settled.
    """
    drawn = [attribute.name for attribute in spec.ontology.attributes if attribute.kind == "box"]
    rows = dependent.with_implied(labeled[labeled["status"] == "accepted"], drawn)
    names = {name for name in rows["attribute"].dropna().unique() if (found := question(spec, name)) is not None and found.kind == "box"}
    is_box = rows["attribute"].isin(names) if names else pd.Series(False, index=rows.index)
    choices = rows.loc[~is_box, [*_WHO, "image_id", "label", "seconds", "submitted_at"]]
    one = known.drop_duplicates(_UNIT).set_index(_UNIT)
    reference = pd.DataFrame({"right": one["label"], "is_gold": is_true(one["is_gold"])})
    choices = choices.join(reference, on=_UNIT)
    choices["is_judged"] = choices["right"].notna()
    choices["is_right"] = choices["is_judged"] & (choices["label"] == choices["right"])
    choices["on_gold"] = is_true(choices.pop("is_gold"))
    choices = choices.assign(**dict.fromkeys(_BOXES))[COLUMNS]
    if not names:
        return choices.reset_index(drop=True)
    both = pd.concat([choices, _drawn(rows[is_box], known)], ignore_index=True) if len(choices) else _drawn(rows[is_box], known)
    return both[COLUMNS]


def _drawn(rows: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """A row an answer; its number is its place in `given`."""
    given = boxes.read(rows.assign(of=rows.groupby(_WHO, sort=True).ngroup(), by=""), "of", "by")
    made = rows.groupby(_WHO, sort=True).agg(
        image_id=("image_id", "first"), seconds=("seconds", "max"), submitted_at=("submitted_at", "first")
    )
    made = made.reset_index()  # the time is of the submission: each of its boxes carries it
    units = known.groupby(_UNIT, sort=True)
    right = boxes.read(known.assign(of=units.ngroup(), by=""), "of", "by")
    is_gold = known.assign(is_gold=is_true(known["is_gold"])).groupby(_UNIT, sort=True)["is_gold"].any()
    beside = is_gold.index.get_indexer(pd.MultiIndex.from_frame(made[_UNIT]))
    judged = np.flatnonzero(beside >= 0)
    is_right, on_gold = np.zeros(len(made), dtype=bool), np.zeros(len(made), dtype=bool)
    is_right[judged] = boxes.same(given, judged, right, beside[judged])
    on_gold[judged] = is_gold.to_numpy(dtype=bool)[beside[judged]]
    made = made.assign(label=None, right=None, is_judged=beside >= 0, is_right=is_right, on_gold=on_gold)
    made["given_boxes"] = pd.Series([given.of(number) for number in range(len(made))], dtype="object")
    references: list[boxes.Answer | None] = [right.of(int(number)) if number >= 0 else None for number in beside]
    made["right_boxes"] = pd.Series(references, dtype="object")
    return made[COLUMNS]


def objects(answers: pd.DataFrame) -> pd.DataFrame:
    """Each object of judged answers with boxes: what it is, and what it was taken for.

    Args:
        answers: `compare` rows; without its columns of boxes there are none.

    Returns:
        A row for each box that is an object (IoU .5 or more), for each object that nobody's box is (`label` is `none`) and each box that
        is no object (`right` is `none`): the columns of `answers` with `right`, `label`, `is_right` of the object, and `given_box` and
        `right_box`, its sides or None.
    """
    rows = answers[is_true(answers["is_judged"]) & answers["right_boxes"].notna()] if "right_boxes" in answers else answers.head(0)
    if rows.empty:
        return rows.assign(given_box=None, right_box=None)
    given, known = boxes.stack(list(rows["given_boxes"])), boxes.stack(list(rows["right_boxes"]))
    i, j = boxes.matched(given.sides, known.sides, given.answer, known.answer, labels=(given.label, known.label))
    extra, missed = (np.setdiff1d(np.arange(len(one.sides)), found) for one, found in ((given, i), (known, j)))
    of = np.concatenate([given.answer[i], known.answer[missed], given.answer[extra]])
    nobody = [None] * len(missed), [None] * len(extra)
    made = rows.iloc[of].reset_index(drop=True)
    made["right"] = [*known.label[j], *known.label[missed], *[NO_OBJECT] * len(extra)]
    made["label"] = [*given.label[i], *[NO_OBJECT] * len(missed), *given.label[extra]]
    made["given_box"] = pd.Series([*given.sides[i], *nobody[0], *given.sides[extra]], dtype="object")
    made["right_box"] = pd.Series([*known.sides[j], *known.sides[missed], *nobody[1]], dtype="object")
    made["is_right"] = made["right"] == made["label"]
    return made.iloc[np.argsort(of, kind="stable")].reset_index(drop=True)


def by_class(answers: pd.DataFrame) -> pd.DataFrame:
    """Judged answers to choices, and `objects` of judged boxes: what was right and what was given."""
    choices = answers[is_true(answers["is_judged"]) & answers["right"].notna()]
    drawn = objects(answers)
    return pd.concat([choices, drawn], ignore_index=True) if len(choices) and len(drawn) else drawn if len(drawn) else choices


def mistakes(answers: pd.DataFrame) -> pd.DataFrame:
    """What of `by_class` is wrong."""
    made = by_class(answers[~is_true(answers["is_right"])])
    return made[~is_true(made["is_right"])]
