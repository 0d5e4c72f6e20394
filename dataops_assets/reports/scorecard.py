"""Vendors beside each other in one look: what a good label or picture costs, how good it is, how fast it came, and what was wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from dataops_assets.flow import history
from dataops_assets.manifest import Manifest, records
from dataops_assets.reports.bars import Bar, bars
from dataops_assets.reports.panels import Picture, Points, Table, table_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import vendor_scorecard as stage
from dataops_assets.store import Store

ROWS, CLASSES = 40, 20
Row = dict[str, Any]


def parts(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    """What a lead reads of `vendor_scorecard`, best first."""
    rows = records(made.frame)
    ours = {vendor.name for vendor in spec.labeling.vendors if vendor.internal}
    people = [row for row in rows if row["role"] == "labels" and row["delivered"]]
    people.sort(key=lambda row: (row["vendor"] in ours, row["amount_per_accepted"] is None, row["amount_per_accepted"] or 0, row["vendor"]))
    images = [row for row in rows if row["role"] == "images" and row["delivered"]]
    quality = store.read_all("label_quality", spec.name, made.inputs.get("label_quality", {}))
    pairs = stage.paired(quality)
    loop = stage.loop(history.plans(store, spec), quality)
    currency = spec.brief.currency
    return {
        "what it says": Points(_sentences(people, images, spec)),
        "labelling vendors": _side_by_side(people, _label_lines(currency)),
        "cost of an accepted label": _costs(people, currency),
        "right on gold": _gold(people, spec),
        "on the same gold": Points(list(pairs.loc[pairs["attribute"] == "all", "sentence"])) if len(pairs) else None,
        "batches and their rework": table_of(loop.tail(ROWS).round(3)) if len(loop) else None,
        "signs of behaviour, all batches together": _signs(people),
        "by question": _by_attribute(people),
        "classes with most errors on gold": _by_class(people),
        "image vendors": _side_by_side(images, _image_lines(currency)),
        "yield of pictures": _yields(images),
        "pictures left out by reason": _reasons(images),
        "classes promised and kept": _mix(images),
        "on the same gold, by question": table_of(pairs[pairs["attribute"] != "all"].drop(columns="sentence").round(4).head(ROWS))
        if (pairs["attribute"] != "all").any() else None,
    }  # fmt: skip


def _sentences(people: Sequence[Row], images: Sequence[Row], spec: ProjectSpec) -> list[str]:
    said = []
    external = {vendor.name for vendor in spec.labeling.vendors if not vendor.internal}
    for row in people:
        if row["vendor"] not in external:
            continue
        told = [
            f"{row['vendor']}: {_percent(row['yield_share'])} accepted at once"
            if row["yield_share"] is not None
            else f"{row['vendor']}: no production yet"
        ]
        if row["gold_accuracy"] is not None:
            told.append(f"on gold {_percent(row['gold_accuracy'])} right, surely {_percent(row['gold_lower'])} or more")
        if row["amount_per_accepted"] is not None:
            told.append(f"an accepted label costs {row['amount_per_accepted']:.3f} {row['currency']} in all")
        if row["on_time_share"] is not None:
            told.append(f"{_percent(row['on_time_share'])} of {row['batches']} batches on time")
        if row["workers_to_look_at"]:
            told.append(f"{row['workers_to_look_at']} {'person' if row['workers_to_look_at'] == 1 else 'people'} to look at")
        said.append(", ".join(told) + ".")
    for row in images:
        told = [f"{row['vendor']}: {_percent(row['yield_share'])} of {row['delivered']:,} files kept"]
        if row["amount_per_accepted"] is not None:
            told.append(f"a kept picture costs {row['amount_per_accepted']:.3f} {row['currency']}")
        worst = next(iter(json.loads(row["by_reason"] or "{}").items()), None)
        if worst:
            told.append(f"most are lost as {worst[0]} ({worst[1]:,})")
        if row["mix_gap"] is not None:
            told.append(f"{_percent(row['mix_gap'])} of the kept ones are of another class than promised")
        said.append(", ".join(told) + ".")
    return said or ["Nothing was delivered yet."]


Line = tuple[str, Callable[[Row], Any]]


def _label_lines(currency: str) -> list[Line]:
    return [
        ("labels accepted", lambda row: _number(row["accepted"])),
        (f"cost of an accepted label, {currency}", lambda row: _money(row["amount_per_accepted"])),
        ("first-pass yield", lambda row: _percent(row["yield_share"])),
        ("sent back", lambda row: _percent(row["rework_share"])),
        ("wrong after approval, of those looked at again",
         lambda row: _span(row, "escape_share", "escape_lower", "escape_upper", row["looked_at_again"])),
        ("right on gold", lambda row: _span(row, "gold_accuracy", "gold_lower", "gold_upper", row["n_gold"])),
        ("agreement of its people", lambda row: _percent(row["agreement"])),
        ("back within: half of the batches, 95 % of them", lambda row: _hours(row)),
        ("on time", lambda row: f"{_percent(row['on_time_share'])} of {row['batches']}" if row["batches"] else "-"),
        ("answers a working day", lambda row: _number(row["answers_a_day"])),
        ("people, with signs, to look at", lambda row: f"{row['workers']}, {row['workers_flagged']}, {row['workers_to_look_at']}"),
        ("disputes of gold, upheld", lambda row: f"{row['disputes']}, {row['disputes_upheld']}"),
        (f"paid, {currency}: work, rework, gold; our review", lambda row: ", ".join(
            f"{row[f'amount_{part}']:,.2f}" for part in ("work", "rework", "gold")) + f"; {row['amount_review']:,.2f}"),
    ]  # fmt: skip


def _image_lines(currency: str) -> list[Line]:
    return [
        ("files delivered", lambda row: _number(row["delivered"])),
        ("pictures kept", lambda row: _number(row["accepted"])),
        ("yield", lambda row: _percent(row["yield_share"])),
        (f"cost of a kept picture, {currency}", lambda row: _money(row["amount_per_accepted"])),
        ("of the promise, in time", lambda row: _percent(row["on_time_share"])),
        ("of another class than promised", lambda row: _percent(row["mix_gap"])),
        (f"paid, {currency}", lambda row: f"{row['amount']:,.2f}"),
    ]


def _side_by_side(rows: Sequence[Row], lines: Sequence[Line]) -> Table | None:
    """A line a measure and a column a vendor: what is compared stands side by side."""
    return Table([{"": name, **{row["vendor"]: told(row) for row in rows}} for name, told in lines]) if rows else None


def _costs(rows: Sequence[Row], currency: str) -> Picture | None:
    lines = [
        Bar(row["vendor"], [row[f"amount_{part}"] / row["accepted"] for part in ("work", "rework", "gold", "review")],
            f"{row['amount_per_accepted']:.3f} {currency}")
        for row in rows if row["accepted"] and row["amount_per_accepted"]
    ]  # fmt: skip
    return bars("cost of an accepted label", lines, ("work", "rework", "gold", "our review"))


def _gold(rows: Sequence[Row], spec: ProjectSpec) -> Picture | None:
    lines = [
        Bar(row["vendor"], [row["gold_lower"], row["gold_accuracy"] - row["gold_lower"], row["gold_upper"] - row["gold_accuracy"]],
            f"{row['gold_accuracy']:.0%} of {row['n_gold']:,}", spec.gates.min_gold_accuracy)
        for row in rows if row["gold_accuracy"] is not None
    ]  # fmt: skip
    return bars("right on gold", lines, ("surely", "seen", "at most"), most=1.0)


def _signs(rows: Sequence[Row]) -> Table | None:
    told = []
    for row in rows:
        seen: dict[tuple[str, str, str], list[Row]] = {}
        for one in json.loads(row["signs"] or "[]"):
            seen.setdefault((one["worker_id"], one["signal"], one["other"]), []).append(one)
        for (worker, sign, other), (one, *more) in seen.items():
            also = f"; also on {', '.join(another['attribute'] for another in more)}" if more else ""
            told.append({
                "vendor": row["vendor"], "worker": worker, "look": "yes" if one["look"] else "", "sign": sign.replace("_", " "),
                "with": other or None, "what was seen": one["sentence"] + also,
            })  # fmt: skip
    told.sort(key=lambda line: line["look"] != "yes")
    return Table(told[:ROWS]) if told else None


def _by_attribute(rows: Sequence[Row]) -> Table | None:
    told = [
        {
            "question": name, "vendor": row["vendor"], "agree in pairs": _percent(one.get("raw_agreement")),
            "alpha": None if one.get("alpha") is None else f"{one['alpha']:.2f} ({one['alpha_lower']:.2f} to {one['alpha_upper']:.2f})",
            "right on gold": _span(one, "gold_accuracy", "gold_lower", "gold_upper", one.get("gold_n")),
        }
        for row in rows for name, one in json.loads(row["by_attribute"] or "{}").items()
    ]  # fmt: skip
    return Table(sorted(told, key=lambda line: (line["question"], line["vendor"]))[:ROWS]) if told else None


def _by_class(rows: Sequence[Row]) -> Table | None:
    told = [
        {
            "vendor": row["vendor"], "question": name, "class": value, "missed": f"{one['missed']} of {one['n']}",
            "95 %": _bounds(one, "missed"), "given falsely": f"{one['false']} of {one['others']}", "its 95 %": _bounds(one, "false"),
            "order": -(one["missed_lower"] or 0) - (one["false_lower"] or 0),
        }
        for row in rows for name, classes in json.loads(row["by_class"] or "{}").items() for value, one in classes.items()
        if one["missed"] or one["false"]
    ]  # fmt: skip
    told.sort(key=lambda line: (line["order"], line["vendor"], line["question"], line["class"]))
    return Table([{name: value for name, value in line.items() if name != "order"} for line in told[:CLASSES]]) if told else None


def _yields(rows: Sequence[Row]) -> Picture | None:
    lines = [
        Bar(row["vendor"], [row["accepted"], row["delivered"] - row["accepted"]], f"{row['accepted']:,} of {row['delivered']:,}")
        for row in rows
    ]
    return bars("yield of pictures", lines, ("kept", "left out"))


def _reasons(rows: Sequence[Row]) -> Table | None:
    told = {row["vendor"]: json.loads(row["by_reason"] or "{}") for row in rows}
    counts = Counter[str]()
    for reasons in told.values():
        counts.update(reasons)
    shown = [
        {"reason": name, **{row["vendor"]: _part(told[row["vendor"]].get(name, 0), row["delivered"]) for row in rows}}
        for name in sorted(counts, key=lambda name: (-counts[name], name))[:ROWS]
    ]
    return Table(shown) if shown else None


def _mix(rows: Sequence[Row]) -> Table | None:
    told = [
        {"vendor": row["vendor"], "class": name, **one}
        for row in rows for name, one in json.loads(row["by_class"] or "{}").items()
    ]  # fmt: skip
    return Table(told[:ROWS]) if told else None


def _part(count: int, whole: int) -> str:
    return f"{count:,} ({count / whole:.0%})" if count else "-"


def _bounds(row: Row, name: str) -> str | None:
    low, high = row.get(f"{name}_lower"), row.get(f"{name}_upper")
    return None if low is None else f"{low:.0%} to {high:.0%}"


def _span(row: Row, share: str, low: str, high: str, n: Any) -> str:
    value = row.get(share)
    return "-" if value is None else f"{value:.0%} ({row[low]:.0%} to {row[high]:.0%}) of {n:,}"


def _hours(row: Row) -> str:
    spans = [row["turnaround_p50_h"], row["turnaround_p95_h"]]
    if None in spans:
        return "-"
    return ", ".join(f"{span / 24:.1f} days" if span >= 48 else f"{span:.1f} h" if span >= 1 else f"{span * 60:.0f} min" for span in spans)


def _percent(share: Any) -> str:
    return "-" if share is None or pd.isna(share) else f"{share:.0%}"


def _money(amount: Any) -> str:
    return "-" if amount is None else f"{amount:.4g}"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:,.0f}"
