"""What annotators work from: the project's questions, definitions and examples, as a table, Markdown and one HTML page."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import pandas as pd

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import changes
from dataops_assets.labels.examples import Example
from dataops_assets.ontology import CANT_TELL, Attribute
from dataops_assets.spec import ProjectSpec

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
ANSWER_CANNOT_TELL = (
    f"Where `{CANT_TELL}` is among the answers, choose it if the picture does not show enough; it is an answer like any other and is paid. "
    "Do not choose it because a question is hard: read the definitions and the close calls first."
)
PAGE_BYTES = 2_100_000  # of pictures: with their base64 the page stays below 3 MB
MARKDOWN_BYTES = 100_000  # the UI's dialog takes 150 kB of text
_KIND = {"single": "Choose exactly one value.", "multi": "Choose every value that applies.", "box": "Draw a tight box round every object."}
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:.4em .6em;text-align:left;vertical-align:top}"
    "td:first-child{white-space:nowrap;font-weight:bold}"
    "figure{display:inline-block;margin:.4em .6em .4em 0;vertical-align:top;max-width:176px}"
    "figcaption{font-size:.8em}img{border:3px solid #2a7d3f}.wrong img{border-color:#b3261e}.small{font-size:.9em;color:#555}"
)


@dataclass(frozen=True)
class Evidence:
    """Examples, the most needed first, and their pictures: sha256 -> JPEG, faces covered, for the page and for the UI."""

    examples: Sequence[Example] = ()
    large: Mapping[str, bytes] = field(default_factory=dict)
    small: Mapping[str, bytes] = field(default_factory=dict)


NO_EVIDENCE = Evidence()


def build(spec: ProjectSpec, blobs: Blobs, evidence: Evidence = NO_EVIDENCE) -> pd.DataFrame:
    """One row a value of each attribute; the page and the UI's Markdown go into the blob store, their sha256s into every row."""
    shown = markdown(spec, evidence=evidence)
    return rows(spec).assign(
        document_sha256=blobs.put(html(spec, evidence=evidence).encode()),
        markdown_sha256=blobs.put(shown.encode()),
        text_sha256=text_digest(spec),
    )


def text_digest(spec: ProjectSpec) -> str:
    """sha256 of the page without pictures, and of what the table says beside it: it changes when the YAML's questions do."""
    return hashlib.sha256((html(spec) + rows(spec).to_json()).encode()).hexdigest()


def rows(spec: ProjectSpec) -> pd.DataFrame:
    """One row a value of each attribute, `cant_tell` included, without the documents' sha256s."""
    told = json.dumps([change.model_dump(mode="json") for change in spec.ontology.changes], sort_keys=True)
    table = [
        {
            "attribute": attribute.name,
            "value": value,
            "kind": attribute.kind,
            "question": ask(attribute),
            "definition": definition,
            "ontology_version": spec.ontology.version,
            "applies_when": "&".join(f"{name}={'|'.join(values)}" for name, values in attribute.when.items()) or None,
            "is_required": attribute.required,
            "synonyms": "|".join(attribute.details[value].synonyms) or None if value in attribute.details else None,
            "sensitive_to": "|".join(attribute.sensitive_to) or None,
            "changes": told,
        }
        for attribute in spec.ontology.attributes
        for value, definition in attribute.definitions.items()
    ]
    return manifest.conform(pd.DataFrame(table), CONTRACTS["guidelines"])


def ask(attribute: Attribute) -> str:
    """The question in words; an attribute without one is asked by its name."""
    return attribute.question or f"{attribute.name.replace('_', ' ').capitalize()}?"


def markdown(spec: ProjectSpec, attributes: list[Attribute] | None = None, evidence: Evidence = NO_EVIDENCE) -> str:
    """The guidelines as Markdown; text of the spec is escaped, so it can't become markup."""
    asked = list(attributes or spec.ontology.attributes)
    fitting = _fitting(evidence.examples, evidence.small, MARKDOWN_BYTES)
    lines = [f"# Labelling guidelines: {_md(spec.name)}", "", f"Ontology version {spec.ontology.version}.", ""]
    lines += ["## Goal", "", _md(spec.brief.goal), ""]
    lines += ["## How to work", "", *(f"- {line}" for line in HOW_TO_WORK), ""]
    for attribute in asked:
        lines += [f"## {_md(attribute.name)}", "", f"{_md(ask(attribute))} {_KIND[attribute.kind]}", ""]
        lines += [f"- {_md(line)}" for line in _rules(attribute)] + [""]
        lines += ["| value | definition |", "|---|---|"]
        lines += [
            f"| {_md(value)} | {' '.join(_md(line) for line in [definition, *_more(attribute, value)])} |"
            for value, definition in attribute.definitions.items()
        ]
        lines += [""]
        for example in [one for one in fitting if one.attribute == attribute.name]:
            lines += [f"![{_md(example.value)}]({_data(evidence.small[example.sha256])}) {_md(_caption(example))}", ""]
        if attribute.edge_cases:
            lines += ["Close calls:", "", *(f"- {_md(line)}" for line in attribute.edge_cases), ""]
    lines += ["## When you can't tell", "", *(line + "\n" for line in _cannot_tell(asked))]
    for step, sentences in changes.told(spec.ontology):
        lines += [f"## What changed {_md(step)}", "", *(f"- {_md(line)}" for line in sentences or ["Nothing that touches labels."]), ""]
    return "\n".join(lines)


def html(spec: ProjectSpec, attributes: list[Attribute] | None = None, evidence: Evidence = NO_EVIDENCE) -> str:
    """The guidelines as one self-contained page: no scripts, nothing loaded, every text escaped."""
    asked = list(attributes or spec.ontology.attributes)
    fitting = _fitting(evidence.examples, evidence.large, PAGE_BYTES)
    parts = [
        head(f"Labelling guidelines: {spec.name}"),
        f"<p>Ontology version {escape(spec.ontology.version)}.</p>",
        f"<h2>Goal</h2><p>{escape(spec.brief.goal)}</p>",
        "<h2>How to work</h2>" + _list(HOW_TO_WORK),
    ]
    for attribute in asked:
        mine = [one for one in fitting if one.attribute == attribute.name]
        parts.append(f"<h2>{escape(attribute.name)}</h2><p>{escape(ask(attribute))} {_KIND[attribute.kind]}</p>{_list(_rules(attribute))}")
        cells = "".join(_row(attribute, value, text, mine, evidence.large) for value, text in attribute.definitions.items())
        parts.append(f"<table><tr><th>value</th><th>definition</th></tr>{cells}</table>")
        mixed = "".join(figure(evidence.large[one.sha256], _caption(one), is_right=False) for one in mine if one.given and one.answers)
        parts.append(f"<h3>Often mixed up</h3>{mixed}" if mixed else "")
        parts.append(f"<h3>Close calls</h3>{_list(attribute.edge_cases)}" if attribute.edge_cases else "")
    parts.append("<h2>When you can't tell</h2>" + "".join(f"<p>{escape(line)}</p>" for line in _cannot_tell(asked)))
    for step, sentences in changes.told(spec.ontology):
        parts.append(f"<h2>What changed {escape(step)}</h2>{_list(sentences or ['Nothing that touches labels.'])}")
    return "\n".join([*filter(None, parts), "</body></html>\n"])


def head(title: str) -> str:
    """The beginning of a page, in the handbook's style."""
    shown = escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{shown}</title><style>{_STYLE}</style></head><body>\n'
        f"<h1>{shown}</h1>"
    )


def figure(jpeg: bytes, caption: str, *, is_right: bool = True) -> str:
    """A picture with its caption; framed green, or red where it shows a mistake."""
    kind = "" if is_right else ' class="wrong"'
    return f'<figure{kind}><img alt="" src="{_data(jpeg)}"><figcaption>{escape(caption)}</figcaption></figure>'


def _row(attribute: Attribute, value: str, definition: str, examples: Sequence[Example], pictures: Mapping[str, bytes]) -> str:
    more = "".join(f'<br><span class="small">{escape(line)}</span>' for line in _more(attribute, value))
    mine = [one for one in examples if (one.given if one.given and not one.answers else one.value) == value and not one.answers]
    shown = "".join(figure(pictures[one.sha256], _caption(one), is_right=not one.given) for one in mine)
    return f"<tr><td>{escape(value)}</td><td>{escape(definition)}{more}{f'<br>{shown}' if shown else ''}</td></tr>"


def _rules(attribute: Attribute) -> list[str]:
    """When the question is to be answered, and when not."""
    conditions = [f"{name} is {' or '.join(values)}" for name, values in attribute.when.items()]
    lines = [f"Only asked where {' and '.join(conditions)}; otherwise leave it out."] if conditions else []
    return lines + ([] if attribute.required else ["May be left open."])


def _more(attribute: Attribute, value: str) -> list[str]:
    told = attribute.details.get(value)
    if told is None:
        return []
    lines = [f"Also called {', '.join(told.synonyms)}."] if told.synonyms else []
    return [*lines, *(f"Close call: {line}" for line in told.edge_cases)]


def _caption(example: Example) -> str:
    if not example.given:
        return example.value
    if not example.answers:
        return f"not {example.given}"
    return f"{example.value}; {example.answers} {'answer' if example.answers == 1 else 'answers'} said {example.given} of such pictures"


def _cannot_tell(asked: Sequence[Attribute]) -> list[str]:
    offered = [attribute for attribute in asked if attribute.cant_tell]
    skipping = [CANNOT_TELL] if len(offered) < len(asked) else []
    return ([ANSWER_CANNOT_TELL] if offered else []) + skipping


def _fitting(examples: Sequence[Example], pictures: Mapping[str, bytes], room: int) -> list[Example]:
    """As many examples, from the first, as have a picture and fit."""
    found = []
    for example in examples:
        room -= len(pictures.get(example.sha256, b""))
        if room < 0:
            break
        if example.sha256 in pictures:
            found.append(example)
    return found


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def _data(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _md(text: str) -> str:
    """Text on one line in which nothing is Markdown or HTML."""
    text = escape(" ".join(text.split()), quote=False)
    for sign in "\\`*_[]|#":
        text = text.replace(sign, f"\\{sign}")
    return text
