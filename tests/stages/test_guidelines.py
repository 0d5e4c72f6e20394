"""The guidelines as a table: a row an answer, and what an annotator who knows them must hear."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import handbook
from dataops_assets.labels.changes import unexplained
from dataops_assets.labels.examples import Example
from dataops_assets.manifest import conform
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import guidelines
from tests.labels.world import COLOUR, MARKS, PARTS, make_spec

SPEC = make_spec(COLOUR, MARKS, PARTS)
ADDED = {"from": "7", "to": "8", "attribute": "colour", "add": ["teal"], "redefine": ["red"]}
RED = Example("colour", "red", "a" * 64)


@pytest.fixture
def blobs(tmp_path) -> Blobs:
    return Blobs(str(tmp_path))


def asked(**changes: Any) -> ProjectSpec:
    """The colour question with something else."""
    ontology = changes.pop("ontology", {})
    spec = make_spec({**COLOUR, **changes}, MARKS, PARTS)
    return ProjectSpec.model_validate(
        {**spec.model_dump(mode="json"), "ontology": {**spec.ontology.model_dump(mode="json", by_alias=True), **ontology}}
    )


def test_a_row_an_answer_and_the_page_is_in_the_store(blobs: Blobs) -> None:
    spec = asked(cant_tell="Too dark.", sensitive_to=["colour"], edge_cases=["Take the ground."])
    frame = guidelines.build(spec, blobs, [RED])
    assert len(frame) == 9 and set(frame["ontology_version"]) == {"7"} and set(frame["edition"]) == {1}
    (sha256,) = set(frame["document_sha256"])
    assert blobs.read(sha256).decode() == handbook.html(spec)
    rows = frame.set_index(["attribute", "value"])
    assert rows.loc[("colour", "cant_tell"), "definition"] == "Too dark."
    assert rows.loc[("colour", "red"), "sensitive_to"] == "colour"
    assert json.loads(rows.loc[("colour", "red"), "edge_cases"]) == ["Take the ground."]
    assert guidelines.edition(frame).examples == (RED,)
    conform(frame, CONTRACTS["guidelines"])


def test_another_when_is_noticed(blobs: Blobs) -> None:
    spec = make_spec(COLOUR, {**MARKS, "when": {"colour": ["red"]}})
    rows = guidelines.rows(spec)
    assert set(rows.loc[rows["attribute"] == "marks", "applies_when"]) == {"colour=red"}
    other = make_spec(COLOUR, {**MARKS, "when": {"colour": ["red", "blue"]}})
    told = unexplained(rows, guidelines.rows(other), other.ontology)
    assert len(told) == 3 and told[0].startswith("marks dots is told otherwise and the version is 7 as before")
    before, now = guidelines.build(spec, blobs), guidelines.build(other, blobs)
    assert guidelines.difference(before, now, other) == [
        "marks is asked only where colour is red or blue now; before it was asked only where colour is red."
    ]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (asked(question="Which colour has it?"), ["colour: the question reads now: Which colour has it?"]),
        (asked(required=False), ["colour may be left open now."]),
        (asked(edge_cases=["Take the ground."]), ["colour: Take the ground."]),
        (
            asked(values={**COLOUR["values"], "red": {"definition": "Red | wine.", "synonyms": ["wine"]}}),  # type: ignore[dict-item]
            ["colour: red is also called wine."],
        ),
        (
            asked(
                values={**COLOUR["values"], "red": "Red alone.", "teal": "In between."},  # type: ignore[dict-item]
                ontology={"version": "8", "changes": [ADDED]},
            ),
            [
                "colour: teal is new.",
                "colour: red means something else now: read its definition, look again at every picture that was red.",
                "colour: red reads now: Red alone.",
            ],
        ),
        (make_spec(COLOUR, MARKS), ["parts isn't asked any more."]),
    ],
    ids=["question", "required", "edge case", "synonym", "stated", "attribute"],
)  # fmt: skip
def test_what_is_new_is_said_in_words_and_counts_as_an_edition(spec: ProjectSpec, told: list[str], blobs: Blobs) -> None:
    before = guidelines.build(SPEC, blobs)
    now = guidelines.build(spec, blobs, in_use=before)
    edition = guidelines.edition(now)
    assert list(edition.changes) == told and edition.number == 2


def test_the_same_keeps_its_edition_and_what_was_new_in_it(blobs: Blobs) -> None:
    first = guidelines.build(SPEC, blobs)
    second = guidelines.build(SPEC, blobs, [RED], first)
    assert guidelines.edition(second).changes == ("New pictures of colour red.",)
    again = guidelines.build(SPEC, blobs, [RED], conform(second, CONTRACTS["guidelines"]))
    assert again.equals(second)
    mixed = RED._replace(given="blue", answers=2)
    third = guidelines.build(SPEC, blobs, [RED, mixed], second)
    assert guidelines.edition(third).changes == ("New pictures of what is mixed up: colour red taken for blue.",)
    assert guidelines.edition(third).number == 3
