"""What annotators work from: the project's questions and definitions, as a table, Markdown and one HTML page."""

from __future__ import annotations

from html import escape

import pandas as pd

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.spec import Attribute, ProjectSpec

HOW_TO_WORK = (
    "Look at the whole picture at full size before you answer.",
    "Answer every question from what the picture shows, not from what is likely.",
    "Work alone: do not discuss a picture with another annotator before you have answered it.",
    "Use the definitions below word by word; where two values fit, take the one whose definition fits the larger visible part.",
    "Do not upload the pictures anywhere else and do not keep copies.",
)
CANNOT_TELL = (
    "If the picture does not show enough to answer, skip it: leave the answer out rather than guess. "
    "A skipped picture comes back to us and costs you nothing; a guess is counted as an answer. "
    "Tell your contact when you skip the same kind of picture again and again: the definition may be at fault."
)
_KIND = {"single": "Choose exactly one value.", "multi": "Choose every value that applies.", "box": "Draw a tight box round every object."}
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:.4em .6em;text-align:left;vertical-align:top}"
    "td:first-child{white-space:nowrap;font-weight:bold}"
)


def build(spec: ProjectSpec, blobs: Blobs) -> pd.DataFrame:
    """One row a value of each attribute; the HTML page goes into the blob store and its sha256 into every row."""
    return rows(spec).assign(document_sha256=blobs.put(html(spec).encode()))


def rows(spec: ProjectSpec) -> pd.DataFrame:
    """One row a value of each attribute, without the document's sha256."""
    table = [
        {
            "attribute": attribute.name,
            "value": value,
            "kind": attribute.kind,
            "question": ask(attribute),
            "definition": definition,
            "ontology_version": spec.ontology.version,
        }
        for attribute in spec.ontology.attributes
        for value, definition in attribute.values.items()
    ]
    return manifest.conform(pd.DataFrame(table), CONTRACTS["guidelines"])


def ask(attribute: Attribute) -> str:
    """The question in words; an attribute without one is asked by its name."""
    return attribute.question or f"{attribute.name.replace('_', ' ').capitalize()}?"


def markdown(spec: ProjectSpec, attributes: list[Attribute] | None = None) -> str:
    """The guidelines as Markdown; text of the spec is escaped, so it can't become markup."""
    lines = [f"# Labelling guidelines: {_md(spec.name)}", "", f"Ontology version {spec.ontology.version}.", ""]
    lines += ["## Goal", "", _md(spec.brief.goal), ""]
    lines += ["## How to work", "", *(f"- {line}" for line in HOW_TO_WORK), ""]
    for attribute in attributes or spec.ontology.attributes:
        lines += [f"## {_md(attribute.name)}", "", f"{_md(ask(attribute))} {_KIND[attribute.kind]}", ""]
        lines += ["| value | definition |", "|---|---|"]
        lines += [f"| {_md(value)} | {_md(definition)} |" for value, definition in attribute.values.items()]
        lines += [""]
    lines += ["## When you can't tell", "", CANNOT_TELL, ""]
    return "\n".join(lines)


def html(spec: ProjectSpec, attributes: list[Attribute] | None = None) -> str:
    """The guidelines as one self-contained page: no scripts, nothing loaded, every text escaped."""
    title = f"Labelling guidelines: {escape(spec.name)}"
    parts = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head><body>',
        f"<h1>{title}</h1>",
        f"<p>Ontology version {escape(spec.ontology.version)}.</p>",
        f"<h2>Goal</h2><p>{escape(spec.brief.goal)}</p>",
        "<h2>How to work</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in HOW_TO_WORK) + "</ul>",
    ]
    for attribute in attributes or spec.ontology.attributes:
        cells = "".join(f"<tr><td>{escape(value)}</td><td>{escape(text)}</td></tr>" for value, text in attribute.values.items())
        parts.append(f"<h2>{escape(attribute.name)}</h2><p>{escape(ask(attribute))} {_KIND[attribute.kind]}</p>")
        parts.append(f"<table><tr><th>value</th><th>definition</th></tr>{cells}</table>")
    parts.append(f"<h2>When you can't tell</h2><p>{escape(CANNOT_TELL)}</p></body></html>\n")
    return "\n".join(parts)


def _md(text: str) -> str:
    """Text on one line in which nothing is Markdown or HTML."""
    text = escape(" ".join(text.split()), quote=False)
    for sign in "\\`*_[]|#":
        text = text.replace(sign, f"\\{sign}")
    return text
