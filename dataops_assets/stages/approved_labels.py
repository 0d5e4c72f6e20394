"""Labels that a person approved for training, and the gold that later batches are measured with."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.home import pseudonym
from dataops_assets.labels.changes import restate
from dataops_assets.manifest import is_true
from dataops_assets.ontology import Ontology
from dataops_assets.spec import ProjectSpec

_ANSWER = ["image_id", "attribute"]


def approve(quality: pd.DataFrame, tasks: pd.DataFrame, spec: ProjectSpec, by: str, audit: str | None = None) -> pd.DataFrame:
    """The accepted labels of one batch, without its hidden gold.

    Args:
        quality: `label_quality` rows of the batch.
        tasks: `label_tasks` rows of the batch: under which ontology its labels were given.
        spec: The project.
        by: Who approves.
        audit: What is known of the labels that were accepted by themselves (`auditing.error_told`).

    Returns:
        `approved_labels` rows.
    """
    is_gold = is_true(quality["is_gold"])
    rows = quality[(quality["decision"] == "accept") & ~is_gold & quality["label"].notna()]
    versions = tasks.set_index("task_id")["ontology_version"]
    rows = rows.assign(
        decided_by=np.select(
            [rows["kind"] == "adjudication", rows["method"].isna() | (rows["method"] == "majority vote")],
            ["adjudication", "majority_vote"],
            "posterior",
        ).astype("object"),
        approved_by=by,
        ontology_version=rows["task_id"].map(versions).fillna(spec.ontology.version),
    )
    rows["audit"] = rows["decided_by"].map({"posterior": audit})
    contract = CONTRACTS["approved_labels"]
    return manifest.conform(rows[[column for column in contract.columns if column in rows.columns]], contract)


def refuse_own(labeled: pd.DataFrame, by: str, vendors: Iterable[str], key: bytes) -> None:
    """Nobody approves labels that they gave themselves.

    Workers are known by pseudonyms (HMACs), so the approver's name goes the same way: as given, and in any usual case. Somebody who labels
    under another name isn't found.

    Args:
        labeled: `labeled_batches` rows behind the labels.
        by: Who approves.
        vendors: Whose people may have answered: pseudonyms differ by vendor.
        key: Of the pseudonyms.

    Raises:
        ValueError: when the approver answered some of these questions.
    """
    plain = " ".join(by.split())
    names = {by, by.strip(), plain, plain.casefold(), plain.lower(), plain.upper(), plain.title()}
    own = {pseudonym(key, vendor, name) for vendor in vendors for name in names}
    count = int((labeled["worker_id"].isin(own) & (labeled["status"] == "accepted")).sum())
    if count:
        raise ValueError(f"{by} gave {count} of the answers behind these labels: somebody else has to approve them")


def current(approved: pd.DataFrame) -> pd.DataFrame:
    """One answer for each image and attribute out of all batches: adjudication beats rework beats the first answer.

    Among batches of one kind the later number wins. Boxes of a picture are taken from one batch together.
    """
    if approved.empty:
        return approved
    standing = approved["kind"].map({"adjudication": 2, "rework": 1}).fillna(0).astype(int)
    number = approved["batch_id"].str.extract(r"-(\d+)$", expand=False).fillna("0").astype(int)
    ranked = approved.assign(_standing=standing, _number=number).sort_values(["_standing", "_number", "batch_id"], kind="stable")
    last = ranked.drop_duplicates(_ANSWER, keep="last").set_index(_ANSWER)["batch_id"]
    chosen = ranked.join(last.rename("_last"), on=_ANSWER)
    chosen = chosen[chosen["batch_id"] == chosen["_last"]]
    return chosen[approved.columns].sort_values([*_ANSWER, "object_id"], ignore_index=True)


def gold_of(approved: pd.DataFrame, plans: pd.DataFrame | None = None, ontology: Ontology | None = None) -> pd.DataFrame:
    """What our own people answered in pilots: `image_id, attribute, label, object_id, x, y, w, h`.

    Args:
        approved: `approved_labels` rows of every released batch.
        plans: `batch_plans` rows; with them, pilot pictures that were reworked or adjudicated count as well, with what
            was decided last.
        ontology: The present version: answers come in its words, and those that have to be given anew are left out.
    """
    is_ours = approved["kind"] == "pilot"
    if plans is not None:
        pilots = set(plans.loc[plans["kind"] == "pilot", "image_id"])
        is_ours |= approved["kind"].isin(["rework", "adjudication"]) & approved["image_id"].isin(pilots)
    found = current(approved[is_ours])
    found = restate(found, ontology)[0] if ontology is not None else found
    return found[[*_ANSWER, "label", "object_id", "x", "y", "w", "h"]].reset_index(drop=True)
