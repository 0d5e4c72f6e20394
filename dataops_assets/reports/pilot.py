"""What a pilot taught, with the pictures people differ on; and two pilots of the same pictures beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dataops_assets.flow import gold as flow_gold
from dataops_assets.manifest import records
from dataops_assets.reports import pictures
from dataops_assets.reports.bars import Bar, bars
from dataops_assets.reports.panels import Picture, Points, Table, table_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import pilot as stage
from dataops_assets.store import NotReleased, Store

PAIRS, IN_A_PAIR = 5, 8


def path(spec: ProjectSpec, batch: str) -> str:
    """Address of a pilot's page below `reports/`."""
    return f"{spec.name}/pilots/{batch}.html"


def parts(store: Store, spec: ProjectSpec, labeled: pd.DataFrame) -> dict[str, Any]:
    """The analysis of a pilot's answers (`labeled_batches` rows)."""
    clock, pairs = stage.times(labeled), stage.beyond_chance(labeled, spec)
    told = stage.forecast(labeled, spec)
    return {
        "what the pilot says": Points(stage.advice(labeled, spec)),
        "what it will take": Points(told) if told else None,
        "agreement by attribute": bars(
            "agreement by attribute",
            [
                Bar(row["attribute"], [row["agreement"]], f"{row['agreement']:.0%} of {row['pairs']}")
                for row in records(pairs)
                if row["pairs"]
            ],
            most=1.0,
        ),
        "agreement and what chance leaves of it": table_of(pairs.round(3)) if pairs["pairs"].sum() else None,
        "seconds": table_of(clock) if len(clock) else None,
        "confused": Table([_line(found) for found in stage.confused(labeled)[:30]]) if stage.confused(labeled) else None,
        **_sheets(store, spec, stage.confused(labeled)[:PAIRS], labeled),
        "values nobody used": _unused(labeled, spec),
    }


def write(store: Store, spec: ProjectSpec, batch: str) -> None:
    """Write a pilot's page."""
    from dataops_assets.reports import pages

    labeled = store.load("labeled_batches", spec.name, batch).frame
    pages.write_parts(store, path(spec, batch), f"Pilot {batch}", f"{spec.name}, labelled by our own people", parts(store, spec, labeled))


def compare(store: Store, spec: ProjectSpec, first: str, second: str) -> dict[str, Any]:
    """Two pilots beside each other, on a page of their own; returns what it shows and its `path`.

    Args:
        store: The store.
        spec: The project.
        first: A batch whose labels were read.
        second: Another one with the same pictures.

    Raises:
        ValueError: when a batch has no labels yet, or the two share no picture.
    """
    from dataops_assets.reports import pages
    from dataops_assets.stages import gold

    try:
        sides = [store.load("labeled_batches", spec.name, batch).frame for batch in (first, second)]
    except NotReleased as error:
        raise ValueError(str(error)) from error
    if not set(sides[0]["image_id"].dropna()) & set(sides[1]["image_id"].dropna()):
        again = f"dataops plan {spec.name} --kind pilot --like {first}"
        raise ValueError(f"{first} and {second} share no picture: cut the second one from the pictures of the first (`{again}`)")
    registry = flow_gold.registry(store, spec)[0]
    known = gold.measuring(registry[~registry["batch_id"].isin([first, second])])  # nobody is measured with his own answers
    table, told = stage.compare(sides[0], sides[1], _chosen(known, spec), (first, second))
    if known.empty:
        told.append("Which of them is right isn't known: no gold comes from anywhere but these two. Adjudicate where they differ.")
    found: dict[str, Any] = {"what follows": Points(told), "side by side": Table(records(table))}
    for batch, labeled in zip((first, second), sides, strict=True):
        pairs = stage.beyond_chance(labeled, spec)
        found[f"agreement within {batch}"] = table_of(pairs.round(4)) if pairs["pairs"].sum() else None
        found[f"rows of {batch} that could not be read"] = _rejected(labeled)
    found["what export formats lose"] = Table(stage.losses())
    where = f"{spec.name}, the same pictures labelled twice"
    place = pages.write_parts(store, path(spec, f"{first}-against-{second}"), f"{first} against {second}", where, found)
    return {**found, "path": str(place)}


def _chosen(gold: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    return gold[gold["attribute"].isin([attribute.name for attribute in spec.ontology.attributes if attribute.kind != "box"])]


def _line(found: stage.Confused) -> dict[str, Any]:
    return {"attribute": found.attribute, "one said": found.values[0], "another": found.values[1], "pictures": len(found.images)}


def _sheets(store: Store, spec: ProjectSpec, found: Sequence[stage.Confused], labeled: pd.DataFrame) -> dict[str, Picture]:
    """A contact sheet a pair; whatever is personal in the pictures is covered."""
    from dataops_assets.imaging.contact_sheet import contact_sheet

    wanted = {image for pair in found for image in pair.images[:IN_A_PAIR]}
    if not wanted:
        return {}
    cleaned, _ = store.load_all("cleaned_set", spec.name)
    drawn = pictures.drawn(store, spec, cleaned[cleaned["image_id"].isin(wanted)].drop_duplicates("image_id"))
    sheets = {}
    for pair in found:
        shown = [(drawn[image], image[:8]) for image in pair.images[:IN_A_PAIR] if image in drawn]
        if shown:
            title = f"{pair.attribute}: {pair.values[0]} or {pair.values[1]}?"
            sheets[title] = Picture(contact_sheet(shown, max_bytes=60_000), title)
    return sheets


def _unused(labeled: pd.DataFrame, spec: ProjectSpec) -> Table | None:
    rows = [{"attribute": name, "values": ", ".join(values)} for name, values in stage.unused(labeled, spec).items()]
    return Table(rows) if rows else None


def _rejected(labeled: pd.DataFrame) -> Table | None:
    lost = labeled[labeled["status"] != "accepted"]
    counted = lost.groupby("reason").size() if len(lost) else pd.Series(dtype="int64")
    return Table([{"reason": str(reason), "rows": int(count)} for reason, count in counted.items()]) if len(counted) else None
