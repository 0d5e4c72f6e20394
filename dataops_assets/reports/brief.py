"""The brief as a requester reads it: what it comes to, what doesn't fit, what changed, and which class is short."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dataops_assets.flow import history
from dataops_assets.manifest import Manifest, records
from dataops_assets.reports.bars import Bar, bars
from dataops_assets.reports.panels import Picture, Points, Table
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import brief as stage
from dataops_assets.stages import pace
from dataops_assets.store import RELEASING, Store, now

FIRST = (  # in the order a person asks
    "cost_total", "days_needed", "images_wanted", "labels_wanted", "consensus_accuracy", "audit_labels", "batch_audit",
    "qualification_gold", "gold_available", "gold_precision", "class_balance",
)  # fmt: skip
WORDS = {
    "image_cost": "images", "label_cost": "labels", "rework_cost": "rework", "own_cost": "own pilot",
    "qualification_cost": "qualification", "audit_cost": "audit",
}  # fmt: skip


def path(spec: ProjectSpec) -> str:
    """Address of the page below `reports/`; it is written anew when a batch is sent out, comes back or is approved."""
    return f"{spec.name}/brief.html"


def parts(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    """What is shown of a version of the brief, with the stock as it is now."""
    rows = {row["check"]: row for row in records(made.frame)}
    wrong = [rows[name]["sentence"] for name in sorted(stage.CRITICAL & rows.keys()) if not rows[name]["is_met"]]
    advice = [row["sentence"] for name, row in rows.items() if name not in stage.CRITICAL and row["is_met"] is False]
    costs = [name for name in stage.COSTS if name in rows]
    needs = _needs(store, spec)
    paces = [row["sentence"] for name, row in rows.items() if name.startswith(stage.PACE)]
    seen = pace.forecast(history.times(store, spec), spec, now().date())
    return {
        "what was agreed": Points([spec.brief.goal, *(rows[name]["sentence"] for name in FIRST if name in rows)]),
        "at other vendors' pace": Points(paces) if paces else None,
        "at the pace seen so far": Points(seen) if seen else None,
        "what doesn't fit": Points(wrong) if wrong else None,
        "what would be sounder": Points(advice) if advice else None,
        "what it costs": _split(rows, costs),
        "the sum": Points([rows[name]["sentence"] for name in (*costs, "cost_total") if name in rows]),
        "with more or fewer answers": Table(stage.choices(spec)),
        "classes": _classes(needs),
        "what is short": Points(list(needs.loc[needs["short"] > 0, "sentence"])[:20] or ["No class is short."]) if len(needs) else None,
        **_versions(store, spec, made),
    }


def write(store: Store, spec: ProjectSpec) -> None:
    """Write the page of the released brief anew."""
    from dataops_assets.reports import pages

    version = store.released("brief", spec.name).get("-")
    if version is not None:
        made = store.read("brief", spec.name, "-", version)
        pages.write_parts(
            store, path(spec), f"Brief: {spec.name}", f"version {version}, asked for by {spec.brief.requester}", parts(store, spec, made)
        )


def _needs(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    from dataops_assets.flow.delivery import NOT_TRAINED_ON
    from dataops_assets.flow.images import usable_images
    from dataops_assets.stages.approved_labels import current
    from dataops_assets.stages.shortfall import shortfall

    approved, _ = store.load_all("approved_labels", spec.name)
    usable, _ = usable_images(store, spec)
    stock = usable[usable["kind"] == "source"]
    mine = approved[~approved["kind"].isin(NOT_TRAINED_ON) & approved["image_id"].isin(stock["image_id"])]
    raw, _ = store.load_all("raw_images", spec.name)
    return shortfall(spec, current(mine), stock, raw)


def _split(rows: dict[str, dict[str, Any]], costs: list[str]) -> Picture | None:
    lines = [Bar(WORDS[name], [rows[name]["value"] or 0.0], f"{rows[name]['value'] or 0:,.2f}") for name in costs]
    total = rows.get("cost_total")
    if total is not None:
        lines.append(
            Bar("in all, of the budget", [total["value"] or 0.0], f"{total['value'] or 0:,.0f}/{total['limit'] or 0:,.0f}", total["limit"])
        )
    return bars("what it costs", lines)


def _classes(needs: pd.DataFrame) -> Picture | None:
    lines = [
        Bar(
            f"{row['attribute']} {row['value']}",
            [row["approved"], row["in_stock"]],
            f"{row['approved']}+{row['in_stock']}/{row['wanted']}",
            row["wanted"],
        )
        for row in needs.to_dict("records")
    ]
    return bars("classes", lines, ("approved", "expected in stock"))


def _versions(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    """Released versions, and how this one differs from the one before it."""
    gates = store.gates.rows()
    gates = gates[(gates["project"] == spec.name) & (gates["asset"] == "brief") & gates["outcome"].isin(RELEASING)]
    gates = gates[gates["version"] != gates["version"].shift()]
    names = list(gates["version"])
    before = names[: names.index(made.version)] if made.version in names else names
    found: dict[str, Any] = {}
    if before:
        old = store.read("brief", spec.name, "-", before[-1]).frame
        found["changed since the version before"] = Points(stage.difference(made.frame, old) or ["Nothing in its figures."])
    table = [{**_figures(store, spec, row["version"]), "released": f"{row['at']:%Y-%m-%d}", "by": row["by"]} for row in records(gates)]
    if len(table) > 1:
        found["versions"] = Table(table[-20:])
    return found


def _figures(store: Store, spec: ProjectSpec, version: str) -> dict[str, Any]:
    rows = store.read("brief", spec.name, "-", version).frame.set_index("check")["value"]
    found = {"images": rows.get("images_wanted"), "cost": rows.get("cost_total"), "days": rows.get("days_needed")}
    return {"version": version, **{name: None if value is None else round(float(value), 2) for name, value in found.items()}}
