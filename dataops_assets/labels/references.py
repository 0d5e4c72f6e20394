"""Answers beside what was settled: which of them were right, on hidden gold and elsewhere."""

from __future__ import annotations

import pandas as pd

from dataops_assets.labels import boxes, dependent
from dataops_assets.labels.questions import question
from dataops_assets.manifest import is_true
from dataops_assets.spec import ProjectSpec

_UNIT = ["task_id", "attribute"]
_WHO = ["batch_id", "vendor", "worker_id", "attribute", "task_id"]
COLUMNS = [*_WHO, "image_id", "label", "seconds", "submitted_at", "right", "on_gold", "is_judged", "is_right"]


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
        hidden gold.
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
    choices = choices[COLUMNS]
    if not names:
        return choices.reset_index(drop=True)
    both = pd.concat([choices, _drawn(rows[is_box], known)], ignore_index=True) if len(choices) else _drawn(rows[is_box], known)
    return both[COLUMNS]


def _drawn(rows: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    references = dict(list(known.groupby(_UNIT)))
    found = []
    for key, group in rows.groupby(_WHO, sort=True):
        reference = references.get((key[4], key[3]))
        is_judged = reference is not None
        is_right = reference is not None and boxes.is_same(boxes.answer(group), boxes.answer(reference))
        on_gold = reference is not None and bool(is_true(reference["is_gold"]).any())
        first = group.iloc[0]
        # the time is of the submission: each of its boxes carries it
        found.append((*key, first["image_id"], None, group["seconds"].max(), first["submitted_at"], None, on_gold, is_judged, is_right))
    return pd.DataFrame(found, columns=COLUMNS)
