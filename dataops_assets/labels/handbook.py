"""The guidelines as annotators read them: one HTML page without scripts, or Markdown. Every foreign word in it stays text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from types import MappingProxyType

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
SKIP = (
    "If the picture does not show enough to answer, leave the answer out rather than guess. "
    "It comes back to us and costs you nothing; a guess is counted as an answer."
)
ASK = "Tell your contact when the same doubt comes again and again: the definition may be at fault."
KIND = {
    "single": "Choose exactly one value.",
    "multi": "Choose every value that applies, and no other.",
    "box": "Draw a tight box round every object.",
}
RULES = {
    "multi": ("A value counts as soon as it can be seen, however small.",),
    "box": (
        "The box touches the outermost visible parts of the object on all four sides, and holds nothing else.",
        "One box an object, also where objects overlap; what is hidden behind something else is not guessed.",
        "Where the picture cuts an object, the box ends at the picture's edge.",
        "Nothing to box is an answer too: say `none`.",
    ),
}
FOLDER = "guidelines"  # beside the Markdown, with the pictures it links to
PAGE_BYTES = 600_000  # of pictures: the page is also shown in labelling tools
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52em;margin:2em auto;padding:0 1em;color:#1c2430;background:#fff}"
    "h1{font-size:1.6em;margin-bottom:.1em}h2{margin:2em 0 .3em;border-bottom:2px solid #d9dee6;padding-bottom:.15em}"
    "h3{font-size:1em;margin:1.2em 0 .3em}.where,.small{color:#5a6676}.small{font-size:.9em}.where{margin-top:0}"
    "table{border-collapse:collapse;width:100%;margin:.6em 0}"
    "td,th{border:1px solid #d9dee6;padding:.45em .7em;text-align:left;vertical-align:top}"
    "td:first-child{white-space:nowrap;font-weight:bold}"
    ".news{background:#fff7e0;border:1px solid #ecd9a0;border-radius:6px;padding:.1em 1em}"
    "figure{display:inline-block;margin:.5em .6em .2em 0;vertical-align:top;width:min-content;min-width:96px}"
    "figure img{border:3px solid #1b8a4a;border-radius:4px;display:block}figure.wrong img{border-color:#c82828}"
    "figcaption{font-size:.82em;line-height:1.35;font-weight:normal;white-space:normal}.yes{color:#1b8a4a}.no{color:#c82828}"
)


@dataclass(frozen=True)
class Edition:
    """What the page has beside the YAML's words: its number, what is new in it, and examples with their pictures as they may be shown."""

    number: int = 0
    changes: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    pictures: Mapping[Example, bytes] = field(default_factory=lambda: MappingProxyType({}))

    def without(self, images: set[str]) -> Edition:
        """Without what shows some pictures: a batch's guidelines don't answer the batch."""
        return Edition(self.number, self.changes, tuple(one for one in self.examples if one.image_id not in images), self.pictures)


PLAIN = Edition()


def html(spec: ProjectSpec, attributes: Sequence[Attribute] | None = None, edition: Edition = PLAIN) -> str:
    """The guidelines as one self-contained page: no scripts, nothing loaded, every text escaped."""
    asked = list(attributes or spec.ontology.attributes)
    shown = _shown(asked, edition)
    version = f"Ontology version {escape(spec.ontology.version)}."
    parts = [
        head(f"Labelling guidelines: {spec.name}"),
        f'<p class="where">{f"Edition {edition.number}. " if edition.number else ""}{version}</p>',
    ]
    if edition.changes:
        parts.append(f'<div class="news"><h3>New since edition {edition.number - 1}</h3>{_list(edition.changes)}</div>')
    parts += ["<h2>Goal</h2>", f"<p>{escape(spec.brief.goal)}</p>", "<h2>How to work</h2>" + _list(HOW_TO_WORK)]
    for attribute in asked:
        mine = [one for one in shown if one.attribute == attribute.name]
        parts.append(
            f'<h2 id="{escape(place(attribute.name))}">{escape(attribute.name)}</h2>'
            f"<p>{escape(ask(attribute))} {KIND[attribute.kind]}</p>{_list(rules(attribute, asked))}"
        )
        cells = "".join(_row(attribute, value, mine, edition.pictures) for value in attribute.definitions)
        parts.append(f"<table><tr><th>value</th><th>definition</th></tr>{cells}</table>")
        mixed = "".join(figure(edition.pictures[one], _mixed_up(one), is_right=False) for one in mine if one.is_mixed_up)
        parts.append(f"<h3>Often mixed up</h3>{mixed}" if mixed else "")
        parts.append(f"<h3>Close calls</h3>{_list(attribute.edge_cases)}" if attribute.edge_cases else "")
    parts.append("<h2>When you can't tell</h2>" + "".join(f"<p>{escape(line)}</p>" for line in doubts(asked)))
    told = [
        f"<h3>{escape(step.capitalize())}</h3>{_list(lines or ['Nothing that touches labels.'])}"
        for step, lines in changes.told(spec.ontology)
    ]
    parts.append("<h2>What changed in the questions</h2>" + "".join(told) if told else "")
    return "\n".join([*filter(None, parts), "</body></html>\n"])


def markdown(spec: ProjectSpec, attributes: Sequence[Attribute] | None = None, edition: Edition = PLAIN) -> str:
    """The guidelines as Markdown with links to the pictures of `linked`; text of the spec is escaped, so it can't become markup."""
    asked = list(attributes or spec.ontology.attributes)
    shown = _shown(asked, edition)
    numbered = f"Edition {edition.number}. " if edition.number else ""
    lines = [f"# Labelling guidelines: {_md(spec.name)}", "", f"{numbered}Ontology version {spec.ontology.version}.", ""]
    if edition.changes:
        lines += [f"## New since edition {edition.number - 1}", "", *_points(edition.changes), ""]
    lines += ["## Goal", "", _md(spec.brief.goal), "", "## How to work", "", *(f"- {line}" for line in HOW_TO_WORK), ""]
    for attribute in asked:
        lines += [
            f"## {_md(attribute.name)}",
            "",
            f"{_md(ask(attribute))} {KIND[attribute.kind]}",
            "",
            *_points(rules(attribute, asked)),
            "",
        ]
        mine = [one for one in shown if one.attribute == attribute.name]
        lines += ["| value | definition |", "|---|---|"]
        lines += [
            f"| {_md(value)} | {' '.join((*map(_md, (definition, *_more(attribute, value))), *_examples_md(value, mine, edition)))} |"
            for value, definition in attribute.definitions.items()
        ]
        mixed = [f"- {_picture_md(one, edition)} {_mixed_up_md(one)}" for one in mine if one.is_mixed_up]
        lines += ["", *(["Often mixed up:", "", *mixed, ""] if mixed else [])]
        lines += [*(["Close calls:", "", *_points(attribute.edge_cases), ""] if attribute.edge_cases else [])]
    lines += ["## When you can't tell", "", *(f"{_md(line)}\n" for line in doubts(asked))]
    told = changes.told(spec.ontology)
    lines += ["## What changed in the questions", ""] if told else []
    for step, sentences in told:
        lines += [f"{_md(step.capitalize())}:", "", *_points(sentences or ["Nothing that touches labels."]), ""]
    return "\n".join(lines)


def linked(spec: ProjectSpec, attributes: Sequence[Attribute] | None = None, edition: Edition = PLAIN) -> dict[str, bytes]:
    """The pictures that `markdown` links to: path from the document -> JPEG. A name tells nothing of the picture's own id."""
    asked = list(attributes or spec.ontology.attributes)
    return {_path(edition.pictures[one]): edition.pictures[one] for one in _shown(asked, edition)}


def place(attribute: str, value: str = "") -> str:
    """The id of a question, or of one of its answers, on the page: other pages link to it. No spaces, which an id may not hold."""
    return "_".join((f"{attribute}-{value}" if value else attribute).split())


def ask(attribute: Attribute) -> str:
    """The question in words; an attribute without one is asked by its name."""
    return attribute.question or f"{attribute.name.replace('_', ' ').capitalize()}?"


def rules(attribute: Attribute, asked: Sequence[Attribute] = ()) -> list[str]:
    """When the question is to be answered, and how; in a batch that doesn't ask what it depends on, it applies to what is sent."""
    here = {other.name for other in asked}
    conditions = [f"{name} is {' or '.join(values)}" for name, values in attribute.when.items() if not asked or name in here]
    lines = [f"Only asked where {' and '.join(conditions)}; otherwise leave it out."] if conditions else []
    lines += [] if attribute.required else ["May be left open."]
    return [*lines, *RULES.get(attribute.kind, ())]


def doubts(asked: Sequence[Attribute]) -> list[str]:
    """What to do where a picture doesn't show enough."""
    offered = [attribute.name for attribute in asked if attribute.cant_tell]
    others = [attribute.name for attribute in asked if not attribute.cant_tell]
    lines = []
    if offered:
        lines.append(
            f"{_names(offered)}: answer {CANT_TELL}. It is an answer like any other; a guess counts as a mistake, no answer as missing."
        )
    if others:
        lines.append(SKIP if not offered else f"{_names(others)}: {SKIP[0].lower()}{SKIP[1:]}")
    return [*lines, ASK]


def head(title: str) -> str:
    """The beginning of a page in the guidelines' style."""
    shown = escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{shown}</title><style>{STYLE}</style></head><body>\n'
        f"<h1>{shown}</h1>"
    )


def figure(jpeg: bytes, caption: str, *, is_right: bool = True) -> str:
    """A picture with its caption (which is HTML), framed green, or red where it shows a mistake."""
    kind = "" if is_right else ' class="wrong"'
    data = base64.b64encode(jpeg).decode()
    return f'<figure{kind}><img alt="" src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>'


def _row(attribute: Attribute, value: str, examples: Sequence[Example], pictures: Mapping[Example, bytes]) -> str:
    more = "".join(f'<br><span class="small">{escape(line)}</span>' for line in _more(attribute, value))
    mine = [one for one in examples if one.value == value and not one.is_mixed_up]
    shown = "".join(
        figure(
            pictures[one],
            f'<span class="no">not</span> {escape(value)}' if one.given else f'<span class="yes">{escape(value)}</span>',
            is_right=not one.given,
        )
        for one in mine
    )
    told = f"{escape(attribute.definitions[value])}{more}{f'<br>{shown}' if shown else ''}"
    return f'<tr id="{escape(place(attribute.name, value))}"><td>{escape(value)}</td><td>{told}</td></tr>'


def _more(attribute: Attribute, value: str) -> list[str]:
    told = attribute.details.get(value)
    if told is None:
        return []
    lines = [f"Also called {', '.join(told.synonyms)}."] if told.synonyms else []
    return [*lines, *(f"Close call: {line}" for line in told.edge_cases)]


def _mixed_up(one: Example) -> str:
    return f'<span class="yes">{escape(_set(one.value))}</span>. {_many(one)} said <span class="no">{escape(_set(one.given))}</span>'


def _mixed_up_md(one: Example) -> str:
    return f"{_md(_set(one.value))}. {_many(one)} said {_md(_set(one.given))}"


def _many(one: Example) -> str:
    return "1 answer to such a picture" if one.answers == 1 else f"{one.answers} answers to such pictures"


def _examples_md(value: str, examples: Sequence[Example], edition: Edition) -> list[str]:
    mine = [one for one in examples if one.value == value and not one.is_mixed_up]
    return [f"{_picture_md(one, edition)} {'not ' if one.given else ''}{_md(value)}" for one in mine]


def _picture_md(one: Example, edition: Edition) -> str:
    return f"![]({_path(edition.pictures[one])})"


def _path(jpeg: bytes) -> str:
    return f"{FOLDER}/{hashlib.sha256(jpeg).hexdigest()[:16]}.jpg"


def _set(label: str) -> str:
    return " and ".join(label.split("|"))


def _names(names: Sequence[str]) -> str:
    joined = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return joined[0].upper() + joined[1:]


def _shown(asked: Sequence[Attribute], edition: Edition) -> list[Example]:
    names = {attribute.name for attribute in asked}
    return _fitting([one for one in edition.examples if one.attribute in names], edition.pictures)


def _fitting(examples: Sequence[Example], pictures: Mapping[Example, bytes]) -> list[Example]:
    """As many examples as have a picture and fit; what is mixed up first, then the first of every answer."""
    found, room = set(), PAGE_BYTES
    for one in sorted(examples, key=lambda one: not one.is_mixed_up):
        size = len(pictures.get(one, b""))
        if size and size <= room:
            room -= size
            found.add(one)
    return [one for one in examples if one in found]


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def _points(lines: Sequence[str]) -> list[str]:
    return [f"- {_md(line)}" for line in lines]


def _md(text: str) -> str:
    """Text on one line in which nothing is Markdown or HTML."""
    text = escape(" ".join(text.split()), quote=False)
    for sign in "\\`*_[]|#":
        text = text.replace(sign, f"\\{sign}")
    return text
