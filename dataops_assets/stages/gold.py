"""The gold there is: pictures whose answers our own people settled, where each answer came from, and whether it may still measure anybody.

An answer is `active`, `disputed` (somebody says it is wrong: it measures nobody until it is settled) or `retired` (its picture is known: it
isn't hidden in batches any more, and what it measured stands). What people say is an append-only ledger; the rest follows from it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.approved_labels import current

ACTIVE, DISPUTED, RETIRED = "active", "disputed", "retired"
ACTIONS = ("dispute", "settle", "retire")
COLUMNS = [
    "image_id", "attribute", "label", "object_id", "x", "y", "w", "h", "votes", "decided_by", "batch_id", "status", "reason", "by",
    "exposures", "most_exposed", "workers", "pace",
]  # fmt: skip
_UNIT = ["image_id", "attribute"]


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
        spec: The project; `labeling.gold_exposures` retires a picture.

    Returns:
        Columns of COLUMNS: `votes` of our own people behind the answer, `exposures` in all, `most_exposed` to one vendor, `workers`
        who saw it, `pace` (their time on it as a share of their time on the rest of the batch: far below 1 may be a leak), `status`, and
        for what isn't active who said why. A settled answer carries the label it was settled to.
    """
    source = current(approved).drop_duplicates(_UNIT).set_index(_UNIT)
    made = gold.join(source[["n_labels", "decided_by", "batch_id"]], on=_UNIT).rename(columns={"n_labels": "votes"})
    shown = planned[planned["is_gold"].astype("boolean").fillna(False).astype(bool)]
    by_vendor = shown.groupby(["image_id", "vendor"]).size()
    made["exposures"] = made["image_id"].map(shown.groupby("image_id").size()).fillna(0).astype("int64")
    made["most_exposed"] = made["image_id"].map(by_vendor.groupby(level=0).max()).fillna(0).astype("int64")
    seen = labeled[labeled["batch_id"].isin(set(shown["batch_id"])) & (labeled["status"] == "accepted")]
    made["workers"] = made["image_id"].map(seen.groupby("image_id")["worker_id"].nunique()).fillna(0).astype("int64")
    made["pace"] = made["image_id"].map(_pace(seen)).astype("float64").round(2)
    made = _said(made, entries)
    worn = (made["status"] == ACTIVE) & (made["most_exposed"] >= spec.labeling.gold_exposures)
    made.loc[worn, "status"] = RETIRED
    made.loc[worn, "reason"] = [f"shown {n} times to one vendor" for n in made.loc[worn, "most_exposed"]]
    return made[COLUMNS].sort_values([*_UNIT, "object_id"], ignore_index=True)


def _pace(labeled: pd.DataFrame) -> pd.Series:
    """image_id -> median over people and questions of the seconds on it, divided by the person's median for that question."""
    rows = labeled[labeled["seconds"].notna() & (labeled["seconds"] > 0)]
    usual = rows.groupby(["batch_id", "worker_id", "attribute"])["seconds"].transform("median")
    return (rows["seconds"] / usual).groupby(rows["image_id"]).median()


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


def _said(made: pd.DataFrame, entries: pd.DataFrame) -> pd.DataFrame:
    """What people entered, in order: the last word on an answer stands, a retired picture stays retired."""
    made = made.assign(status=ACTIVE, reason=None, by=None).astype({"reason": "object", "by": "object", "label": "object"})
    for row in entries.sort_values("seq").to_dict("records"):
        hit = made["image_id"] == row["image_id"]
        if isinstance(row["attribute"], str):
            hit &= made["attribute"] == row["attribute"]
        hit &= made["status"] != RETIRED
        status = {"dispute": DISPUTED, "settle": ACTIVE, "retire": RETIRED}[str(row["action"])]
        made.loc[hit, ["status", "reason", "by"]] = [status, row["reason"], row["by"]]
        if row["action"] == "settle" and isinstance(row["label"], str):
            made.loc[hit, "label"] = row["label"]
            made.loc[hit, "decided_by"] = "adjudication"
    return made
