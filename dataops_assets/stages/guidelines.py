"""What annotators work from, as a table: every answer with its definition, and what is new since the edition before.

How it reads as a page is in `labels/handbook.py`, which pictures explain an answer in `labels/examples.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pandas as pd

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import changes, handbook
from dataops_assets.labels.examples import Example, dumped, loaded
from dataops_assets.ontology import Attribute
from dataops_assets.spec import ProjectSpec

OF_THE_EDITION = ["edition", "changes"]


def build(spec: ProjectSpec, blobs: Blobs, examples: Sequence[Example] = (), in_use: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row an answer of each attribute; the page in the YAML's words goes into the blob store and its sha256 into every row.

    Args:
        spec: The project.
        blobs: Where the page is kept.
        examples: Pictures to show.
        in_use: `guidelines` rows that are released. What tells and shows the same keeps their edition.
    """
    mine: dict[tuple[str, str], list[Example]] = {}
    answers = {attribute.name: list(attribute.definitions) for attribute in spec.ontology.attributes}
    for one in examples:  # a mix of several values is kept with the first of them
        mine.setdefault((one.attribute, next(value for value in one.value.split("|") if value in answers[one.attribute])), []).append(one)
    table = rows(spec)
    keys = zip(table["attribute"], table["value"], strict=True)
    table["examples"] = [dumped(mine[key]) if key in mine else None for key in keys]
    table["document_sha256"] = blobs.put(handbook.html(spec).encode())
    table["edition"], table["changes"] = 1, "[]"
    table = manifest.conform(table, CONTRACTS["guidelines"])
    if in_use is None or in_use.empty:
        return table
    if table.drop(columns=OF_THE_EDITION).equals(in_use.drop(columns=OF_THE_EDITION).reset_index(drop=True)):
        return in_use.reset_index(drop=True)
    before = in_use["edition"].iloc[0]
    table["edition"] = 2 if pd.isna(before) else int(before) + 1
    table["changes"] = json.dumps(difference(in_use, table, spec), ensure_ascii=False)
    return manifest.conform(table, CONTRACTS["guidelines"])


def rows(spec: ProjectSpec) -> pd.DataFrame:
    """One row an answer of each attribute, as the YAML has it."""
    table = [
        {
            "attribute": attribute.name,
            "value": value,
            "kind": attribute.kind,
            "question": handbook.ask(attribute),
            "definition": definition,
            "ontology_version": spec.ontology.version,
            "applies_when": "&".join(f"{name}={'|'.join(values)}" for name, values in attribute.when.items()) or None,
            "is_required": attribute.required,
            "synonyms": "|".join(attribute.details[value].synonyms) or None if value in attribute.details else None,
            "edge_cases": _edge_cases(attribute, value),
            "sensitive_to": "|".join(attribute.sensitive_to) or None,
        }
        for attribute in spec.ontology.attributes
        for value, definition in attribute.definitions.items()
    ]
    return manifest.conform(pd.DataFrame(table), CONTRACTS["guidelines"])


def edition(frame: pd.DataFrame) -> handbook.Edition:
    """What the page of a version has beside the YAML's words, without pictures."""
    if frame.empty or pd.isna(frame["edition"].iloc[0]):
        return handbook.PLAIN
    told = json.loads(frame["changes"].iloc[0] or "[]")
    return handbook.Edition(int(frame["edition"].iloc[0]), tuple(told), tuple(loaded(frame["examples"])))


def difference(before: pd.DataFrame, now: pd.DataFrame, spec: ProjectSpec) -> list[str]:
    """What an annotator who knows the guidelines must hear, a sentence each: the stated changes first, then what reads otherwise.

    Args:
        before: `guidelines` rows in use.
        now: The new ones.
        spec: The project, as it is now.
    """
    told, stated = changes.since(spec.ontology, str(before["ontology_version"].iloc[0]))
    old, new = _attributes(before), _attributes(now)
    told += [f"{name} is asked now." for name in new if name not in old]
    told += [f"{name} isn't asked any more." for name in old if name not in new]
    for name in (name for name in new if name in old):
        was, is_ = old[name].iloc[0], new[name].iloc[0]
        if was["question"] != is_["question"]:
            told.append(f"{name}: the question reads now: {is_['question']}")
        if _text(was["applies_when"]) != _text(is_["applies_when"]):
            told.append(f"{name} is asked {_when(is_['applies_when'])} now; before it was asked {_when(was['applies_when'])}.")
        if not pd.isna(was["is_required"]) and was["is_required"] != is_["is_required"]:
            told.append(f"{name} {'must be answered' if is_['is_required'] else 'may be left open'} now.")
        told += _values(name, old[name].set_index("value"), new[name].set_index("value"), stated)
    told += _pictures(edition(before).examples, edition(now).examples)
    return told or ["The goal or how to work is worded anew."]


def _values(name: str, was: pd.DataFrame, is_: pd.DataFrame, stated: set[tuple[str | None, str]]) -> list[str]:
    told = [f"{name}: {value} is new." for value in is_.index if value not in was.index and (name, value) not in stated]
    told += [f"{name}: {value} is gone." for value in was.index if value not in is_.index and (name, value) not in stated]
    for value in (value for value in is_.index if value in was.index):
        old, new = was.loc[value], is_.loc[value]
        if old["definition"] != new["definition"]:
            told.append(f"{name}: {value} reads now: {new['definition']}")
        if _text(old["synonyms"]) != _text(new["synonyms"]) and _text(new["synonyms"]):
            told.append(f"{name}: {value} is also called {', '.join(_text(new['synonyms']).split('|'))}.")
        known = json.loads(_text(old["edge_cases"]) or "[]")
        told += [f"{name}: {line}" for line in json.loads(_text(new["edge_cases"]) or "[]") if line not in known]
    return list(dict.fromkeys(told))  # a question's close calls are in each of its rows


def _pictures(before: Iterable[Example], now: Iterable[Example]) -> list[str]:
    had = {one._replace(answers=min(one.answers, 1)) for one in before}
    new = [one for one in now if one._replace(answers=min(one.answers, 1)) not in had]
    shown = dict.fromkeys(f"{one.attribute} {one.value}" for one in new if not one.is_mixed_up)
    mixed = dict.fromkeys(f"{one.attribute} {one.value} taken for {one.given}" for one in new if one.is_mixed_up)
    told = [f"New pictures of {', '.join(shown)}."] if shown else []
    return told + ([f"New pictures of what is mixed up: {', '.join(mixed)}."] if mixed else [])


def _edge_cases(attribute: Attribute, value: str) -> str | None:
    own = attribute.details[value].edge_cases if value in attribute.details else ()
    lines = [*own, *attribute.edge_cases]
    return json.dumps(lines, ensure_ascii=False) if lines else None


def _attributes(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(name): part for name, part in frame.groupby("attribute", sort=False)}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _when(text: object) -> str:
    parts = [part.partition("=") for part in _text(text).split("&") if part]
    joined = " and ".join(f"{name} is {' or '.join(values.split('|'))}" for name, _, values in parts)
    return f"only where {joined}" if joined else "always"
