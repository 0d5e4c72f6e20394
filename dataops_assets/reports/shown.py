"""What is shown of each artifact, in the Dagster UI and on its report page: one function an asset."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from dataops_assets.manifest import Manifest, is_true, records
from dataops_assets.reports import batch, brief, feedback_panels, guidelines, pictures, pilot, scorecard, screened, status, vendors
from dataops_assets.reports.panels import Page, Points, Table, counts, sheet, table_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import qualification
from dataops_assets.store import Store

PICTURES = 24


def parts(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    """Numbers (they plot over time), tables, contact sheets and links for one manifest, in reading order."""
    shower = globals().get(f"_{made.asset}", _table)
    found: dict[str, Any] = {**made.facts, **shower(store, spec, made)}
    found["report"] = Page(f"{spec.name}/{made.asset}/{made.partition}.html")
    return found


def _table(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    return {"rows": len(made.frame), "table": table_of(made.frame.head(60)) if len(made.frame) else None}


def _brief(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    numbers = {row["check"]: row["value"] for row in records(made.frame) if row["value"] is not None and "." not in row["check"]}
    told = made.frame[["check", "value", "limit", "unit", "is_met", "sentence"]]
    return {
        **brief.parts(store, spec, made),
        **numbers,
        "what it adds up to": table_of(told),
        "brief": Page(brief.path(spec)),
    }


def _guidelines(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    return guidelines.parts(store, spec, made)


def _raw_images(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    frame = made.frame
    accepted, refused = frame[frame["status"] == "accepted"], frame[frame["status"].isin(["quarantined", "held"])]
    seen = pictures.as_taken(store, spec.name, _spread(pictures.in_use(store, spec.name, accepted)))
    unusable = pictures.as_taken(store, spec.name, refused)
    return {
        "files": len(frame),
        **_statuses(frame, ("accepted", "duplicate", "ignored", "quarantined", "held")),
        "megabytes": round(float(frame["size_bytes"].fillna(0).sum()) / 1e6, 3),
        "files by status and reason": counts(frame, "status", "reason"),
        "accepted by category": counts(accepted, "category"),
        "pictures accepted": sheet(store.apart(spec.name), seen, "accepted", caption="category", is_screened=False),
        "pictures refused": sheet(store.apart(spec.name), unusable.head(PICTURES), "refused", is_screened=False),
        "landing": store.home.landing(spec.name),
        "delivery report": Page(f"{spec.name}/deliveries/{made.partition}.html"),
    }


def _cleaned_set(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    frame = made.frame
    kept = frame[frame["status"] == "kept"]
    return {
        "images": len(frame),
        **_statuses(frame, ("kept", "rejected", "review")),
        "keep_share": _share(len(kept), len(frame)),
        "left out by reason": counts(frame[frame["status"] != "kept"], "status", "reason"),
        "kept by category": counts(kept, "category"),
        "personal data": counts(frame[frame["personal_data"].notna()], "personal_data", "status"),
        **screened.sheets(frame, spec, pictures.of_drop(store, spec, made)),
        "screening report": Page(f"{spec.name}/screening/{made.partition}.html"),
    }


def _augmented_set(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    frame = made.frame
    variants = frame[frame["kind"] == "variant"]
    return {
        "sources": int((frame["kind"] == "source").sum()),
        "variants": len(variants),
        "images by recipe": counts(frame, "kind", "recipe"),
        "class balance": counts(frame, "category", "kind"),
        "variants made": sheet(store.blobs, _spread(pictures.in_use(store, spec.name, variants), "recipe"), "variants", caption="recipe"),
    }


def _label_tasks(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    frame = made.frame
    questions = frame["attributes"].str.count(r"\|") + 1
    vendor = spec.labeling.vendor(str(frame["vendor"].iloc[0])) if len(frame) else None
    answers = int((frame["overlap"] * questions).sum())
    return {
        "tasks": len(frame),
        "gold": int(frame["is_gold"].sum()),
        "answers_wanted": answers,
        "amount": round(answers * (spec.price_of_answer(str(frame["kind"].iloc[0]), vendor) if vendor else 0), 2),
        "batch": counts(frame, "kind", "vendor", "overlap", "round"),
        "pictures": sheet(store.blobs, pictures.in_use(store, spec.name, frame).head(PICTURES), "tasks", caption="kind"),
        "request folder": store.home.requests(spec.name) / made.partition,
    }


def _labeled_batches(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    frame = made.frame
    accepted = frame[frame["status"] == "accepted"]
    return {
        "rows": len(frame),
        **_statuses(frame, ("accepted", "rejected")),
        "workers": int(accepted["worker_id"].nunique()),
        "rejected by reason": counts(frame[frame["status"] == "rejected"], "reason"),
        "answers by worker": counts(accepted, "worker_id"),
        "answers": counts(accepted, "attribute", "label"),
        "returned to": store.home.returns(spec.name) / made.partition,
    }


def _label_quality(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    frame = made.frame
    work = frame[~is_true(frame["is_gold"])]
    tally = Counter(work["decision"])
    by_attribute = frame.groupby("attribute", sort=True).agg(
        tasks=("task_id", "count"), agreement=("agreement", "mean"), gold_accuracy=("gold_accuracy", "first"),
        gold_lower=("gold_lower", "first"), gold_upper=("gold_upper", "first"),
    )  # fmt: skip
    open_ = work[work["decision"] != "accept"]
    seen = pictures.in_use(store, spec.name, open_.drop_duplicates("image_id"))
    return {
        **_of_kind(store, spec, made),
        "accept": tally["accept"],
        "rework": tally["rework"],
        "adjudicate": tally["adjudicate"],
        "accept_share": _share(tally["accept"], len(work)),
        "agreement": _mean(frame["agreement"]),
        "gold_accuracy": _mean(frame["gold_accuracy"]),
        "gold_lower": _mean(frame["gold_lower"]),
        **batch.met(frame),
        "by attribute": table_of(by_attribute.round(4).reset_index()) if len(frame) else None,
        "not accepted": counts(open_, "attribute", "decision", "reason"),
        "pictures not accepted": sheet(store.blobs, pictures.as_sent(store, spec.name, seen.head(PICTURES)), caption="attribute"),
    }


def _of_kind(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    """What a batch of some kinds is labelled for."""
    if batch.is_told(made.partition):
        said = batch.verdict(store, spec, made.partition, made.frame)
        return {**batch.parts(said, spec, made.frame), "batch page": Page(batch.path(spec, made.partition))}
    if made.partition.startswith("qualification-"):
        found = qualification.verdicts(made.frame, spec)
        told = [f"{qualification.sentence(name, found, spec)}." for name in sorted(found["vendor"].unique())]
        return {"has the vendor passed?": Points(told), "vendor comparison": Page(vendors.path(spec))}
    if made.partition.startswith("pilot-"):
        version = made.inputs.get("labeled_batches", {}).get(made.partition)
        if version is not None:
            labeled = store.read("labeled_batches", spec.name, made.partition, version).frame
            return {**pilot.parts(store, spec, labeled), "pilot report": Page(pilot.path(spec, made.partition))}
    return {}


def _vendor_feedback(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    return feedback_panels.parts(store, spec, made)


def _approved_labels(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    frame = made.frame
    seen = pictures.in_use(store, spec.name, frame.drop_duplicates("image_id"))
    return {
        "labels": len(frame),
        "images": int(frame["image_id"].nunique()),
        "mean_posterior": _mean(frame["posterior"]),
        **({"wrong among those accepted by themselves": told} if (told := next(iter(frame["audit"].dropna()), None)) else {}),
        "class balance": counts(frame, "attribute", "label"),
        "pictures": sheet(store.blobs, pictures.as_sent(store, spec.name, _spread(seen, "label")), caption="label"),
    }


def _training_export(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    frame = made.frame
    balance: Counter[tuple[str, str, str]] = Counter()
    for split, labels in zip(frame["split"], frame["labels"], strict=True):
        for attribute, value in json.loads(labels).items():
            for one in value if isinstance(value, list) else [value]:
                balance[attribute, one["label"] if isinstance(one, dict) else one, split] += 1
    rows = [
        {"attribute": attribute, "label": label, **{split: balance[attribute, label, split] for split in ("train", "val", "test")}}
        for attribute, label in sorted({key[:2] for key in balance})
    ]
    return {
        "images": len(frame),
        "sources": int((frame["kind"] == "source").sum()),
        "variants": int((frame["kind"] == "variant").sum()),
        **{split: int((frame["split"] == split).sum()) for split in ("train", "val", "test")},
        "class balance": Table(rows) if rows else None,
        "pictures": sheet(store.blobs, _spread(pictures.in_use(store, spec.name, frame), "split"), caption="split"),
        "export folder": store.home.exports(spec.name) / made.partition,
    }


def _vendor_scorecard(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    return {**scorecard.parts(store, spec, made), **vendors.parts(store, spec), "vendor comparison": Page(vendors.path(spec))}


def _lineage_audit(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    frame = made.frame
    broken = frame[~is_true(frame["is_complete"])]
    return {
        "rows": len(frame),
        "complete": len(frame) - len(broken),
        "incomplete": table_of(broken.head(30)) if len(broken) else None,
        "by vendor and drop": counts(frame, "release", "vendor", "drop_id"),
    }


def _statuses(frame: pd.DataFrame, names: tuple[str, ...]) -> dict[str, int]:
    tally = Counter(frame["status"])
    return {name: tally[name] for name in names}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _mean(column: pd.Series) -> float | None:
    value = column.mean()
    return None if pd.isna(value) else round(float(value), 4)


def _spread(frame: pd.DataFrame, column: str = "category") -> pd.DataFrame:
    """A few rows of every value of a column, so that a contact sheet shows the whole range."""
    if frame.empty:
        return frame
    turn = frame.groupby(frame[column].fillna("-")).cumcount()
    order = pd.DataFrame({"turn": turn, "value": frame[column].fillna("-")}).sort_values(["turn", "value"], kind="stable").index
    return frame.loc[order[:PICTURES]].sort_values(column, kind="stable", na_position="last")


def program(store: Store, specs: Sequence[ProjectSpec], report: pd.DataFrame) -> dict[str, Any]:
    """All projects: stages, money, and what is held back."""
    states = [status.of(store, spec) for spec in specs]
    money = [
        {"project": state.project, "spent": state.spent, "budget": state.budget, "currency": state.currency, "held back": len(state.held)}
        for state in states
    ]
    held = [{"project": state.project, **row} for state in states for row in state.held]
    came = [{"project": state.project, "deliveries": how, "count": count} for state in states for how, count in state.tally().items()]
    waiting = [{"project": state.project, **row} for state in states for row in state.waiting()]
    told = [{"project": state.project, "tell": line} for state in states for line in status.to_tell(state.drops)]
    return {
        "projects": len(specs),
        "held_back": len(held),
        "money": Table(money) if money else None,
        "stages": table_of(report) if len(report) else None,
        "deliveries": Table(came) if came else None,
        "deliveries that wait": Table(waiting) if waiting else None,
        "what to tell the vendors": Table(told) if told else None,
        "gates that said no": Table(held) if held else None,
        "classes wanted and approved": Table([{"project": state.project, **row} for state in states for row in state.classes]),
        "report": Page("program.html"),
    }
