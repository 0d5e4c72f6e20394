"""Cutting batches: from the pictures that wait and the budget that is left to plans that never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dataops_assets.flow import gold as flow_gold
from dataops_assets.flow import history, images, shared
from dataops_assets.manifest import Manifest, is_true
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store


@dataclass(frozen=True)
class Planned:
    """New batches, and a sentence about what was left out; `is_refused`: nothing may be cut before something else is done."""

    batch_ids: list[str]
    amount: float
    reason: str
    is_refused: bool = False


def plan_batches(
    store: Store,
    spec: ProjectSpec,
    kind: str,
    limit: int | None = None,
    vendor: str | None = None,
    like: str | None = None,
    is_anyway: bool = False,
) -> Planned:
    """Cut what waits into batches that the budget left pays for, commit their cost and keep their plans.

    `is_anyway` cuts a production batch all the same where `may_plan` refuses one. What holds it then:

    - The vendor hasn't passed its qualification, or buying from it is stopped: the gate of the batch says no, so that nothing is sent,
      until the vendor has passed a qualification or somebody waives it.
    - The vendor's last batch isn't judged yet, and batches grow step by step: nothing. It is sent.

    It never spends more than the budget left, takes a vendor that the project doesn't have, or, where batches grow step by step, cuts more
    than one of the vendor's next size. What it cuts is committed in the costs ledger, held or not.

    Raises:
        ValueError: for a kind or vendor that can't be.
    """
    from dataops_assets.labels.changes import outdated
    from dataops_assets.stages import approved_labels, gold
    from dataops_assets.stages import label_tasks as stage

    with shared.exclusive(store, f"{spec.name}.plan_batches"):
        planned = history.plans(store, spec)
        for batch_id, rows in planned.groupby("batch_id"):  # a plan that was kept before its cost was entered
            _commit(store, spec, str(batch_id), rows)
        may = may_plan(store, spec, planned, vendor) if kind == "production" else May(vendor, None, "", False)
        if may.is_refused and not is_anyway:
            return Planned([], 0.0, may.reason, is_refused=True)
        found, _ = flow_gold.registry(store, spec)
        approved = approved_labels.current(store.load_all("approved_labels", spec.name)[0])
        judged = store.load_all("label_quality", spec.name)[0]
        quality = history.sampled(store, spec, judged) if kind == "adjudication" else judged
        cut = stage.plan(
            kind,  # type: ignore[arg-type]  # any text; the stage refuses what is no kind
            spec,
            images.showable(store, spec, kind),
            planned,
            gold=gold.usable(found),
            quality=quality,
            outdated=outdated(approved, planned, spec.ontology),
            budget_left=spec.brief.budget - store.spent(spec.name),
            vendor=may.vendor,
            limit=limit if may.most is None else min(may.most, limit or may.most),
            like=like,
            again=_asked_again(store, spec, planned) if kind == "screening" else (),
            gold_of=spec.labeling.batch_size if spec.labeling.ramp_start is not None else None,
            key=store.home.worker_key(),
        )
        batch_ids = []
        for rows in cut.batches:
            batch_id = str(rows["batch_id"].iloc[0])
            store.write(Manifest("batch_plans", spec.name, batch_id, rows))
            _commit(store, spec, batch_id, rows)
            batch_ids.append(batch_id)
    anew = _drawn_anew(judged, quality, cut.batches)
    told = f"{anew} audited labels are drawn in place of those whose pictures are gone" if anew else ""
    reason = "; ".join(filter(None, (may.reason, cut.reason, _worn(found, kind), told)))
    return Planned(batch_ids, round(sum(float(rows["amount"].sum()) for rows in cut.batches), 2), reason)


def _drawn_anew(judged: pd.DataFrame, quality: pd.DataFrame, batches: Sequence[pd.DataFrame]) -> int:
    """Questions of new batches that are audited, and weren't when their batch was judged."""
    if not batches or quality is judged:
        return 0
    unit = ["batch_id", "image_id", "attribute"]
    rows = pd.concat(batches)[["parent_batch_id", "image_id", "attributes"]]
    rows = rows.assign(batch_id=rows["parent_batch_id"], attribute=rows["attributes"].str.split("|")).explode("attribute")
    drawn = quality.loc[is_true(quality["is_audit"]) & ~is_true(judged["is_audit"]), unit].drop_duplicates()
    return len(drawn.merge(rows[unit].drop_duplicates(), on=unit))


@dataclass(frozen=True)
class ToScreen:
    """Pictures in review, `cleaned_set` rows.

    Attributes:
        waiting: In no batch that could still decide about them.
        asked: In a screening batch that is out, with its `batch_id`.
    """

    waiting: pd.DataFrame
    asked: pd.DataFrame


def to_screen(store: Store, spec: ProjectSpec, planned: pd.DataFrame) -> ToScreen:
    """What waits for people who screen. What they have decided waits for nobody: its drop is screened again."""
    rows = images.showable(store, spec, "screening")
    rows = rows[(rows["status"] == "review") & rows["clean_sha256"].notna()].drop_duplicates("image_id")
    if rows.empty:
        return ToScreen(rows, rows.assign(batch_id=None))
    decided = images.decided_in_review(store, spec)
    rows = rows[~rows["image_id"].isin(decided.loc[decided["is_covered"].astype(bool), "image_id"])]
    asks = planned.loc[planned["kind"] == "screening", ["image_id", "batch_id"]].drop_duplicates("image_id", keep="last")
    asked = rows.merge(asks[~asks["image_id"].isin(_asked_again(store, spec, planned))], on="image_id")
    return ToScreen(rows[~rows["image_id"].isin(asked["image_id"])], asked)


def _asked_again(store: Store, spec: ProjectSpec, planned: pd.DataFrame) -> list[str]:
    """Pictures that wait for other reasons than those that people were asked about, unless the last batch that asks is still out."""
    decided = images.decided_in_review(store, spec)
    waits = set(decided.loc[~decided["is_covered"].astype(bool), "image_id"])
    asks = planned[(planned["kind"] == "screening") & planned["image_id"].isin(waits)]
    asks = asks.assign(number=asks["batch_id"].str.extract(r"-(\d+)$", expand=False).astype(int)).sort_values("number")
    closed = set(store.released("approved_labels", spec.name))
    last = asks.drop_duplicates("image_id", keep="last")
    return sorted(last.loc[last["batch_id"].isin(closed), "image_id"])


def _worn(found: pd.DataFrame, kind: str) -> str:
    """What is said of gold that isn't used, where gold is."""
    lost = found[found["status"] != "active"].groupby("status")["image_id"].nunique()
    listed = " and ".join(f"{count} {status}" for status, count in lost.items())
    return f"of {found['image_id'].nunique()} gold pictures {listed}" if listed and kind in ("production", "qualification") else ""


@dataclass(frozen=True)
class May:
    """Who may have production batches, at most how many images now (None: any), and why not more."""

    vendor: str | None
    most: int | None
    reason: str
    is_refused: bool


def may_plan(store: Store, spec: ProjectSpec, planned: pd.DataFrame, vendor: str | None = None) -> May:
    """Whether a production batch may be cut: for a vendor that has passed its qualification, and whose batches weren't refused too often
    since, as large as its quality so far allows.
    """
    from dataops_assets.stages import qualification, ramp

    if vendor is not None and spec.labeling.vendor(vendor) is None:
        return May(vendor, None, "", False)  # planning refuses it by name
    if spec.labeling.is_qualified_first:
        found = history.qualification(store, spec)
        reason = qualification.refusal(spec, found, vendor)
        if reason:
            return May(vendor, spec.labeling.ramp_start, reason, True)
        chosen = qualification.choose(spec, found)
    else:
        chosen = spec.labeling.production
    who = vendor or (chosen.name if chosen is not None else None)
    stop = history.stopped(store, spec, who) if who is not None else ""
    if stop:
        return May(who, spec.labeling.ramp_start, stop, True)
    if who is None or spec.labeling.ramp_start is None:
        return May(who, None, "", False)
    past = ramp.history(planned, history.judged_on(store, spec, "production"), spec, who, history.audit_rows(store, spec)[0])
    step = ramp.step(past, spec.labeling.ramp_start, spec.labeling.batch_size)
    if step.waits:
        return May(who, step.size, step.sentence, True)
    return May(who, None if step.is_full else step.size, step.sentence, False)


def _commit(store: Store, spec: ProjectSpec, batch_id: str, rows: pd.DataFrame) -> None:
    answers = int((rows["overlap"] * (rows["attributes"].str.count(r"\|") + 1)).sum())
    vendor = str(rows["vendor"].iloc[0])
    store.charge(spec.name, "labels", vendor, batch_id, answers, float(rows["amount"].sum()), spec.brief.currency)
