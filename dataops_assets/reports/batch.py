"""Whether to pay for a batch, in one look."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dataops_assets.flow import history
from dataops_assets.flow.shared import rows_of
from dataops_assets.labels import acceptance
from dataops_assets.manifest import Manifest, is_true, records
from dataops_assets.reports import curve
from dataops_assets.reports.bars import Bar, bars
from dataops_assets.reports.panels import Points, table_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import auditing
from dataops_assets.stages import batch_verdict as stage
from dataops_assets.stages.label_quality import ACCEPT, ADJUDICATE, REWORK, auto_accepted
from dataops_assets.store import Store

TITLES = {"pay": "pay", "don't pay": "don't pay", "not yet": "don't pay yet"}


def path(spec: ProjectSpec, batch: str) -> str:
    """Address of a batch's page below `reports/`."""
    return f"{spec.name}/batches/{batch}.html"


def is_told(batch: str) -> bool:
    """Whether a batch has such a page: those that are bought from vendors."""
    return batch.startswith(history.AUDITED)


def verdict(store: Store, spec: ProjectSpec, batch: str, quality: pd.DataFrame) -> stage.Verdict:
    """What speaks for paying a batch, and what against, as things are now."""
    audits, _ = history.audit_rows(store, spec, {batch: quality})
    plans = history.plans(store, spec)
    asked = plans[plans["parent_batch_id"].isin({batch, *history.children_of(plans, batch)})]
    spent = _spent(rows_of(store.costs.rows(), spec.name), plans, pd.concat([plans[plans["batch_id"] == batch], asked]))
    quality = history.sampled(store, spec, quality, history.adjudicated(store, spec)[0])
    judged, parents = store.released("label_quality", spec.name), history.parents_of(plans, batch)
    before = store.read_all("label_quality", spec.name, {name: judged[name] for name in sorted(parents & judged.keys())})
    settled = None
    if not auto_accepted(quality).any():  # nothing to audit: what became of its questions is what there is to see
        later = store.read_all("label_quality", spec.name, history.settling(store, spec, batch))
        settled = auditing.left_open(quality, later, history.gone(store, spec))
    return stage.verdict(batch, quality, audits, spec, spent, _refused(store, spec, batch), asked, before, settled)


def parts(said: stage.Verdict, spec: ProjectSpec, quality: pd.DataFrame) -> dict[str, Any]:
    """What is shown of a batch (`label_quality` rows): the verdict first."""
    target = 1 - spec.brief.accuracy_target
    plan = said.plan
    return {
        "pay?": said.sentence,
        "accepted": said.counts[ACCEPT],
        "one more label": said.counts[REWORK],
        "our own people decide": said.counts[ADJUDICATE],
        **({"expected error": round(said.expected_error, 4)} if said.expected_error is not None else {}),
        **{f"{name}, {spec.brief.currency}": value for name, value in said.money.items()},
        "wrong among accepted labels": curve.intervals("wrong among accepted labels", _estimates(said), target),
        "decisions by attribute": _decisions(quality),
        "audit": Points(_audit(said, plan)),
        "operating characteristic": curve.characteristic(plan, spec.brief.accuracy_target) if plan is not None else None,
        **met(quality),
        "how it was decided": table_of(_methods(quality)) if len(quality) else None,
    }


def write(store: Store, spec: ProjectSpec, judged: Manifest) -> None:
    """Write the pages of all batches that a judged one has a bearing on: itself, and those that its questions come from."""
    from dataops_assets.reports import pages

    about = {judged.partition} | history.parents_of(history.plans(store, spec), judged.partition)
    for batch in sorted(filter(is_told, about)):
        if batch == judged.partition and judged.asset == "label_quality":
            frame = judged.frame
        elif batch in store.released("label_quality", spec.name):
            frame = store.load("label_quality", spec.name, batch).frame
        else:
            continue
        said = verdict(store, spec, batch, frame)
        shown = parts(said, spec, frame)
        pages.write_parts(store, path(spec, batch), f"{batch}: {TITLES[said.pay]}", str(shown.pop("pay?")), shown)


def _spent(costs: pd.DataFrame, plans: pd.DataFrame, mine: pd.DataFrame) -> float:
    """What the rows of some plans have cost: a batch that settles questions of several others is divided as its plan prices them."""
    parts, whole = (rows.groupby("batch_id")["amount"].sum() for rows in (mine, plans))
    share = (parts / whole.where(whole > 0).reindex(parts.index)).fillna(1.0)
    return float((costs.groupby("ref")["amount"].sum() * share).sum())


def _refused(store: Store, spec: ProjectSpec, batch: str) -> list[str]:
    """Gates that said no to the batch last."""
    rows = rows_of(store.gates.rows(), spec.name)
    rows = rows[(rows["partition"] == batch) & rows["asset"].isin(["labeled_batches", "label_quality"])]
    last = rows.drop_duplicates("asset", keep="last")
    return [f"the gate of {row['asset']} refused it ({row['failed']})" for row in records(last) if row["outcome"] == "fail"]


def _estimates(said: stage.Verdict) -> list[curve.Interval]:
    lines = []
    if said.expected_error is not None:
        lines.append(curve.Interval("by posteriors", said.expected_error))
    for name, found in (("audit, this batch", said.audit), ("audit, project", said.overall)):
        if found.share is not None:
            lines.append(curve.Interval(name, found.share, found.lower, found.upper))
    return lines


def _audit(said: stage.Verdict, plan: acceptance.Plan | None) -> list[str]:
    told = [f"{plan.sentence}."] if plan is not None else []
    told.append(
        f"{said.n_drawn} labels of this batch were drawn at random, with a key that vendors don't have; {said.audit.n} are answered."
    )
    told.append(f"This batch: {said.audit.sentence}.")
    if said.unmeasured:
        told.append(f"How many of its labels accepted by themselves are wrong is {said.unmeasured}.")
    told.append(f"All batches of the project: {said.overall.sentence}.")
    return told


def _decisions(quality: pd.DataFrame) -> Any:
    work = quality[~is_true(quality["is_gold"])].drop_duplicates(["task_id", "attribute"])
    counts = (
        work.groupby(["attribute", "decision"]).size().unstack(fill_value=0).reindex(columns=[ACCEPT, REWORK, ADJUDICATE], fill_value=0)
    )
    lines = [
        Bar(str(name), [float(value) for value in row], f"{row[0]:,} of {row.sum():,}")
        for name, row in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    return bars("decisions by attribute", lines, ("accepted", "one more label", "our own people"))


def met(quality: pd.DataFrame) -> dict[str, Any]:
    """What was met in the answers that somebody should know of, question by question: ties, repeated, single and nameless answers."""
    rows = quality.drop_duplicates("attribute")[["attribute", "notes"]].dropna()
    told = [f"{name}: {note}." for name, notes in rows.itertuples(index=False) for note in str(notes).split("; ")]
    words = Points([*told, "Answers of earlier batches count, as far as they were weighed with these."])
    return {"things met in the answers": len(told), "met in the answers": words} if told else {}


def _methods(quality: pd.DataFrame) -> pd.DataFrame:
    """A row an attribute: from which posterior on labels were accepted, and what the gold says."""
    accepted = quality[auto_accepted(quality)].groupby("attribute")["posterior"].mean()
    first = quality.drop_duplicates("attribute").set_index("attribute")
    made = first[["needed", "likeness", "gold_accuracy", "gold_lower", "gold_upper", "method"]].copy()
    made.insert(1, "expected_error", 1 - accepted.reindex(made.index).astype("float64"))
    numbers = made.select_dtypes("number").columns
    return made.assign(**{name: made[name].astype("float64").round(4) for name in numbers}).reset_index()
