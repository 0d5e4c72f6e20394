"""What our own people see of a batch's answers: signs of behaviour, accuracy on gold, agreement, and the pictures of what is confused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets.flow import gold as flow_gold
from dataops_assets.labels import agreement, references
from dataops_assets.manifest import Manifest, is_true, records
from dataops_assets.reports import feedback, pictures
from dataops_assets.reports.bars import Bar, bars
from dataops_assets.reports.panels import Page, Picture, Points, Table, table_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import gold
from dataops_assets.stages import vendor_feedback as stage
from dataops_assets.store import Store

PAIRS, IN_A_PAIR, ROWS = 5, 8, 40
RESAMPLES = 200  # for classes, of which there are many


def parts(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    """Numbers first (they plot over time), then what to do, then the evidence."""
    frame = made.frame
    if frame.empty:
        return {"workers": 0}
    people = frame.drop_duplicates(["vendor", "worker_id"])
    looks = people[is_true(people["needs_look"])]
    told = _measured(store, spec, made)
    external = [vendor.name for vendor in spec.labeling.vendors if not vendor.internal]
    pages = {
        f"what {vendor} hears": Page(feedback.path(spec, vendor, made.partition))
        for vendor in sorted(frame["vendor"].unique()) if vendor in external
    }  # fmt: skip
    return {
        "workers": len(people),
        "flagged": int((people["flags"].fillna("") != "").sum()),
        "to look at": len(looks),
        "right_share": _share(frame),
        "gold_accuracy": _gold_share(frame),
        "what to do": Points(_advice(frame, looks, spec)),
        "signs of behaviour": signs(people),
        "on gold, by question": _bounds(told.on_gold, "accuracy on gold", spec),
        "gold by class": _rows(told.classes),
        "agreement by question": _rows(told.agreed),
        "agreement by class": _rows(told.by_class),
        "taken for another": _rows(told.confused),
        **_sheets(store, spec, told),
        "people": _people(frame),
        **pages,
    }


class _Measured:
    """What is counted again from the answers, because the table has no row for it."""

    def __init__(self, answers: pd.DataFrame, spec: ProjectSpec) -> None:
        given = answers.loc[answers["label"].notna(), ["task_id", "attribute", "label"]]
        on_gold = answers[answers["on_gold"]]
        self.on_gold = gold.accuracy(answers, ["vendor", "attribute"], spec.quality.likeness).reset_index()
        self.classes = _classes(on_gold, spec)
        columns = {"raw_agreement": "agree in pairs", "lower": "alpha from", "upper": "to"}
        made = stage.agreed(given, spec).rename(columns={"alpha_lower": "lower", "alpha_upper": "upper"})
        self.agreed = made[["attribute", "raw_agreement", "alpha", "lower", "upper", "n_tasks"]].rename(columns=columns).round(3)
        by_class = agreement.alpha_per_class(given, stage.levels(spec), RESAMPLES).reset_index()
        self.by_class = by_class[["attribute", "label", "alpha", "lower", "upper", "n_tasks"]].rename(columns=columns).round(3)
        wrong = references.mistakes(answers)
        pairs = wrong.groupby(["attribute", "right", "label"], sort=True).agg(
            answers=("task_id", "size"), people=("worker_id", "nunique"), pictures=("image_id", "nunique"), on_gold=("on_gold", "sum")
        )
        pairs = pairs.reset_index().rename(columns={"label": "given", "on_gold": "on gold"})
        self.confused = pairs.sort_values(["answers", "attribute", "right", "given"], ascending=[False, True, True, True]).head(ROWS)
        shown = wrong.merge(self.confused.head(PAIRS), left_on=["attribute", "right", "label"], right_on=["attribute", "right", "given"])
        shown = shown.drop_duplicates(["attribute", "right", "given", "image_id"])
        self.shown = shown.loc[
            shown.groupby(["attribute", "right", "given"]).cumcount() < IN_A_PAIR, ["attribute", "right", "given", "image_id"]
        ]


def _classes(answers: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    """False negatives and positives of each class on gold, worst first."""
    made = gold.errors_by_class(answers, believed=spec.quality.likeness).reset_index()
    spans = {
        name: [
            f"{low:.0%} to {high:.0%}" if not np.isnan(low) else None
            for low, high in zip(made[f"{name}_lower"], made[f"{name}_upper"], strict=True)
        ]
        for name in ("missed", "false")
    }  # fmt: skip
    made = made.sort_values(["missed_share", "attribute", "label"], ascending=[False, True, True])
    return pd.DataFrame({
        "attribute": made["attribute"], "class": made["label"], "answers": made["n"], "missed": made["missed"],
        "missed_share": made["missed_share"].round(3), "95 %": pd.Series(spans["missed"], dtype="object").reindex(made.index),
        "others": made["others"], "given falsely": made["false"], "false_share": made["false_share"].round(3),
        "its 95 %": pd.Series(spans["false"], dtype="object").reindex(made.index),
    })  # fmt: skip


_held: dict[tuple[str, str], _Measured] = {}


def _measured(store: Store, spec: ProjectSpec, made: Manifest) -> _Measured:
    """Counted once a version: a run shows it twice, in the UI and on the page."""
    key = (made.version, spec.digest)
    if key not in _held:
        labeled, quality, tasks = feedback.inputs(store, spec, made)
        seen, _ = flow_gold.seen_before(store, spec, feedback.tasks_of(made, spec, tasks))
        _held.clear()
        _held[key] = _Measured(stage.compared(labeled, quality, tasks, spec, seen), spec)
    return _held[key]


def signs(people: pd.DataFrame) -> Table | None:
    """Every sign with its counts, bounds and examples; those of whom a person should look at first."""
    rows = []
    for row in records(people):
        seen: dict[str, list[dict[str, Any]]] = {}
        for one in json.loads(row["evidence"] or "[]"):
            seen.setdefault(f"{one['signal']} {one['other']}", []).append(one)
        for one, *more in seen.values():
            also = f"; also on {', '.join(other['attribute'] for other in more)}" if more else ""
            rows.append(
                {
                    "worker": row["worker_id"], "look": "yes" if row["needs_look"] else "", "sign": one["signal"].replace("_", " "),
                    "what was seen": one["sentence"] + also, "cases": f"{one['k']:,.0f} of {one['n']:,}",
                    "95 %": f"{one['lower']:.0%} to {one['upper']:.0%}", "expected": one["expected"], "q": one["q_value"],
                    "with": one["other"] or None, "tasks": one["examples"].replace("|", " ") or None,
                }
            )  # fmt: skip
    rows.sort(key=lambda row: (row["look"] != "yes", row["worker"], row["q"]))
    return Table(rows[:ROWS]) if rows else None


def _advice(frame: pd.DataFrame, looks: pd.DataFrame, spec: ProjectSpec) -> list[str]:
    least = spec.gates.min_worker_gold_accuracy
    low = frame[(frame["gold_upper"] < least)]
    said = [
        f"Look at the work of {row['worker_id']} ({row['vendor']}): {row['flags'].replace('|', ', ').replace('_', ' ')}. "
        "Signs have innocent explanations; no label is touched by them."
        for row in records(looks)
    ]
    said += [
        f"{row['worker_id']} is clearly below {least:.0%} on {row['attribute']}: {row['gold_correct']} of {row['n_gold']} known answers "
        "right. Pause and train again."
        for row in records(low.head(12))
    ]
    worse = frame[frame["change_upper"] < 0].sort_values("change")
    said += [
        f"{row['worker_id']} got worse on {row['attribute']}: {row['change'] * 100:+.0f} points "
        f"(at least {-row['change_upper'] * 100:.0f})."
        for row in records(worse.head(8))
    ]
    return said or ["Nothing stands out: send the feedback and go on."]


def _people(frame: pd.DataFrame) -> Table | None:
    columns = [
        "worker_id",
        "attribute",
        "n_labels",
        "agreement",
        "gold_correct",
        "n_gold",
        "gold_lower",
        "n_worn",
        "trend",
        "confused",
        "missed",
        "advice",
    ]
    rows = frame.sort_values(["right_share", "worker_id", "attribute"])[columns].head(60).round(3)
    return table_of(rows) if len(rows) else None


def _bounds(rows: pd.DataFrame, title: str, spec: ProjectSpec) -> Picture | None:
    lines = [
        Bar(row["attribute"], [row["lower"], row["accuracy"] - row["lower"]], f"{row['lower']:.0%} / {row['accuracy']:.0%}",
            spec.gates.min_gold_accuracy)
        for row in records(rows)
    ]  # fmt: skip
    return bars(title, lines, ("lower bound", "seen"), most=1.0)


def _rows(frame: pd.DataFrame) -> Table | None:
    return table_of(frame.head(ROWS)) if len(frame) else None


def _sheets(store: Store, spec: ProjectSpec, told: _Measured) -> dict[str, Picture]:
    """A contact sheet for each of the most frequent confusions; whatever is personal is covered."""
    from dataops_assets.imaging.contact_sheet import contact_sheet

    if told.shown.empty:
        return {}
    cleaned, _ = store.load_all("cleaned_set", spec.name)
    wanted = cleaned[cleaned["image_id"].isin(set(told.shown["image_id"]))].drop_duplicates("image_id")
    drawn = pictures.drawn(store, spec, wanted)
    sheets = {}
    for (name, right, given), rows in told.shown.groupby(["attribute", "right", "given"], sort=False):
        seen = [(drawn[image], str(image)[:8]) for image in rows["image_id"] if image in drawn]
        if seen:
            title = f"{name}: {right} called {given}"
            sheets[title] = Picture(contact_sheet(seen, max_bytes=60_000), title)
    return sheets


def _share(frame: pd.DataFrame) -> float | None:
    n = (frame["n_gold"] + frame["n_judged"]).astype("float64")
    total = float(n[frame["right_share"].notna()].sum())
    return round(float((frame["right_share"] * n).sum()) / total, 4) if total else None


def _gold_share(frame: pd.DataFrame) -> float | None:
    n = int(frame["n_gold"].sum())
    return round(int(frame["gold_correct"].sum()) / n, 4) if n else None
