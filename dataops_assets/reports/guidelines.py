"""The guidelines beside their asset: what is new, a sheet of the pictures in them, and a link to the page annotators read."""

from __future__ import annotations

from typing import Any

from dataops_assets.flow import handbook
from dataops_assets.labels.handbook import Edition
from dataops_assets.manifest import Manifest
from dataops_assets.reports.panels import Page, Picture, Points, table_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

SHOWN = 24


def path(spec: ProjectSpec) -> str:
    """Address of the page below `reports/`."""
    return f"{spec.name}/guidelines/-.html"


def parts(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Any]:
    """What is shown of a version, with the pictures as they may be shown now."""
    frame, edition = made.frame, handbook.edition(store, spec, made.frame)
    answers = {(one.attribute, one.value.split("|")[0]) for one in edition.examples if not one.given and one in edition.pictures}
    without = [f"{name} {value}" for name, value in zip(frame["attribute"], frame["value"], strict=True) if (name, value) not in answers]
    lacking = f"No picture shows {', '.join(without)}." if without and answers else None
    return {
        "edition": edition.number,
        "questions": int(frame["attribute"].nunique()),
        "answers": len(frame),
        "pictures": len(edition.pictures),
        "ontology version": "|".join(sorted(set(frame["ontology_version"]))),
        "guidelines page": Page(path(spec)),
        "new in this edition": Points(edition.changes) if edition.changes else None,
        "right answers": _sheet("right answers", edition, given=False),
        "wrong answers": _sheet("wrong answers", edition, given=True),
        "without a picture": Points([lacking]) if lacking else None,
        "answers and definitions": table_of(frame[["attribute", "value", "definition", "applies_when", "synonyms", "sensitive_to"]]),
    }


def _sheet(title: str, edition: Edition, *, given: bool) -> Picture | None:
    from dataops_assets.imaging.contact_sheet import contact_sheet

    shown = [one for one in edition.examples if one in edition.pictures and bool(one.given) == given][:SHOWN]
    words = [f"{one.attribute} {one.value}" if not one.is_mixed_up else f"{one.value}, not {one.given}" for one in shown]
    words = [f"not {word}" if one.given and not one.is_mixed_up else word for word, one in zip(words, shown, strict=True)]
    if not shown:
        return None
    return Picture(contact_sheet([(edition.pictures[one], word) for one, word in zip(shown, words, strict=True)]), title)
