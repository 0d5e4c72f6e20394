"""Labelling vendors beside each other: who has passed, who is better on the same pictures, what a right answer costs and takes."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dataops_assets.flow import history
from dataops_assets.manifest import records
from dataops_assets.reports.bars import Bar, bars
from dataops_assets.reports.panels import Picture, Points, Table, table_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import qualification, ramp
from dataops_assets.store import Store


def path(spec: ProjectSpec) -> str:
    """Address of the page below `reports/`; it is written anew whenever a bought batch is judged."""
    return f"{spec.name}/vendors.html"


def parts(store: Store, spec: ProjectSpec) -> dict[str, Any]:
    """What the qualification batches and production batches judged so far say of each external vendor."""
    quality = history.judged_on(store, spec, "qualification")
    found = qualification.verdicts(quality, spec)
    tried = {batch: version for batch, version in store.released("labeled_batches", spec.name).items() if batch in set(found["batch_id"])}
    pairs = qualification.compare(quality, spec)
    external = [vendor.name for vendor in spec.labeling.vendors if not vendor.internal]
    return {
        "who may have production batches": Points([f"{qualification.sentence(name, found, spec)}." for name in external])
        if external
        else None,
        "price and speed beside it": _offers(qualification.offers(found, store.read_all("labeled_batches", spec.name, tried), spec)),
        "lower bounds on gold": _bounds(found, spec),
        "accuracy on gold": _accuracy(found),
        "on the same items": Points(list(pairs.loc[pairs["attribute"] == "all", "sentence"])) if len(pairs) else None,
        "by attribute": table_of(pairs.drop(columns="sentence")) if len(pairs) else None,
        "production batches": _batches(store, spec, external),
    }


def write(store: Store, spec: ProjectSpec) -> None:
    """Write the page anew."""
    from dataops_assets.reports import pages

    where = f"what {spec.brief.confidence:.0%} certainty allows to say, from qualification on hidden gold"
    pages.write_parts(store, path(spec), f"Labelling vendors of {spec.name}", where, parts(store, spec))


def _offers(made: pd.DataFrame) -> Table | None:
    if made.empty:
        return None
    return table_of(made.assign(passed=["yes" if yes else "no" for yes in made["passed"]]))


def _bounds(found: pd.DataFrame, spec: ProjectSpec) -> Picture | None:
    """The bound is what a vendor is judged by; the paler part is what it got right in fact, the mark is what is wanted."""
    lines = [
        Bar(
            f"{row['vendor']} {row['attribute']}", [row["lower"], row["accuracy"] - row["lower"]],
            f"{row['lower']:.0%} / {row['accuracy']:.0%}", row["wanted"],
        )
        for row in records(found) if row["n"]
    ]  # fmt: skip
    return bars("lower bounds on gold", lines, ("lower bound", "seen"), most=1.0)


def _accuracy(found: pd.DataFrame) -> Table | None:
    if found.empty:
        return None
    shown = found.assign(
        accuracy=found["accuracy"].round(3), lower=found["lower"].round(3), passed=["yes" if yes else "no" for yes in found["is_passed"]],
        matters=["yes" if yes else "no" for yes in found["matters"]],
    )  # fmt: skip
    return table_of(shown[["vendor", "attribute", "correct", "n", "accuracy", "lower", "wanted", "matters", "passed", "batch_id"]])


def _batches(store: Store, spec: ProjectSpec, vendors: list[str]) -> Table | None:
    planned, quality, audits = history.plans(store, spec), history.judged_on(store, spec, "production"), history.audit_rows(store, spec)[0]
    words = {True: "good", False: "not good", None: "not known yet"}
    rows = [
        {
            "vendor": name, "batch": batch.batch_id, "images": batch.images,
            "quality": words[batch.is_good] if batch.is_measured or not batch.is_good else "not measured", "seen": batch.told or None,
        }
        for name in vendors
        for batch in ramp.history(planned, quality, spec, name, audits)
    ]  # fmt: skip
    return Table(rows[-30:]) if rows else None
