"""The ontology: what may be answered, what answers leave out, what becomes of labels when it changes, what a recipe may spoil."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from dataops_assets.imaging.sensitivity import broken
from dataops_assets.labels import changes
from dataops_assets.ontology import Ontology
from dataops_assets.spec import Recipe
from dataops_assets.stages import label_quality
from dataops_assets.stages.labeled_batches import accept
from tests.labels.world import KEY, make_csv, make_spec, make_tasks

COLOUR: dict[str, Any] = {
    "name": "colour", "cant_tell": True, "sensitive_to": ["colour"],
    "values": {"red": {"definition": "Red.", "synonyms": ["Crimson red"]}, "blue": "Blue."},
}  # fmt: skip
SLEEVES = {"name": "sleeves", "values": {"none": "No sleeves.", "some": "Sleeves."}, "sensitive_to": ["crop"]}
LENGTH = {"name": "length", "values": {"short": "Short.", "long": "Long."}, "when": {"sleeves": ["some"]}}


def ontology(*attributes: dict[str, Any], **more: Any) -> Ontology:
    return Ontology.model_validate({"attributes": attributes, **more})


def returned(*answers: tuple[str, str]) -> pd.DataFrame:
    """What becomes of one worker's answers to the first task."""
    spec = make_spec(COLOUR, SLEEVES, LENGTH)
    tasks = make_tasks(spec)
    item = tasks["task_id"].iloc[0]
    lines = [f"{item},{name},{label},,,,,ann,2026-01-02T00:00:00Z,3" for name, label in answers]
    return accept([("acme", "a.csv", make_csv(*lines))], tasks, spec, KEY).set_index("attribute")


GRADE = {"name": "wear", "ordered": True, "cant_tell": True, "values": {"none": "New.", "some": "Worn.", "much": "Torn."}}


@pytest.mark.parametrize("more", [{"kind": "multi"}, {"kind": "box", "cant_tell": False}, {"values": {"no": "No.", "yes": "Yes."}}])
def test_only_a_single_choice_of_three_or_more_values_has_an_order(more: dict[str, Any]) -> None:
    assert ontology(GRADE).attributes[0].ordered
    with pytest.raises(ValidationError, match="'wear' can't be `ordered`: only a single choice"):
        ontology(GRADE | more)


class TestAnswers:
    def test_a_synonym_is_taken_for_its_value_in_any_capitals(self) -> None:
        rows = returned(("colour", " crimson RED"))
        assert (rows.at["colour", "label"], rows.at["colour", "status"]) == ("red", "accepted")

    def test_cant_tell_is_an_answer_where_it_is_offered(self) -> None:
        rows = returned(("colour", "cant_tell"), ("sleeves", "cant_tell"))
        assert rows.at["colour", "status"] == "accepted"
        assert (rows.at["sleeves", "status"], rows.at["sleeves", "reason"]) == ("rejected", "UNKNOWN_LABEL")

    def test_an_answer_that_another_one_rules_out_is_refused(self) -> None:
        rows = returned(("colour", "red"), ("sleeves", "none"), ("length", "long"))
        assert (rows.at["length", "status"], rows.at["length", "reason"]) == ("rejected", "LABEL_CONFLICT")
        assert returned(("sleeves", "some"), ("length", "long")).at["length", "status"] == "accepted"

    def test_what_is_rightly_left_out_is_no_missing_answer(self) -> None:
        spec = make_spec(COLOUR, SLEEVES, LENGTH, overlap=1, worker_accuracy=0.99)
        tasks = make_tasks(spec, n=1)
        item = tasks["task_id"].iloc[0]
        lines = [f"{item},{name},{label},,,,,ann,2026-01-02T00:00:00Z,3" for name, label in (("colour", "red"), ("sleeves", "none"))]
        quality = label_quality.assess(accept([("acme", "a.csv", make_csv(*lines))], tasks, spec, KEY), tasks, None, spec)
        row = quality.set_index("attribute").loc["length"]
        assert (row["label"], row["decision"]) == ("not_applicable", "accept")


class TestMistakesInYaml:
    @pytest.mark.parametrize(
        ("attributes", "told"),
        [
            ([{**COLOUR, "values": {"red": {"definition": "R", "synonyms": ["blue"]}, "blue": "B"}}], "stands for 'blue' already"),
            ([{**LENGTH}], "must be a choice that stands before it"),
            ([SLEEVES, {**LENGTH, "when": {"sleeves": ["puffed"]}}], "sleeves=puffed, which sleeves lacks"),
            ([{**SLEEVES, "values": {"cant_tell": "?"}}], "write `cant_tell: true` instead"),
        ],
    )
    def test_are_told(self, attributes: list[dict[str, Any]], told: str) -> None:
        with pytest.raises(ValidationError, match=told):
            ontology(*attributes)


class TestChanges:
    NOW = ontology(
        {"name": "colour", "values": {"wine": "Wine.", "navy": "Navy.", "sky": "Sky.", "gray": "Gray."}},
        version="3",
        changes=[
            {"from": "1", "to": "2", "attribute": "colour", "rename": {"red": "wine"}, "merge": {"silver": "gray"}},
            {"from": "2", "to": "3", "attribute": "colour", "split": {"blue": ["navy", "sky"]}, "redefine": ["gray"]},
        ],
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("label", "version", "now", "why"),
        [
            ("red", "1", "wine", ""),
            ("wine", "2", "wine", ""),
            ("blue", "1", None, "blue was split into navy and sky in version 3"),
            ("silver", "1", None, "gray was defined anew in version 3"),
            ("red", "3", "red", ""),  # given under the present version: not ours to judge
            ("blue", "0", None, "no change says what became of blue after version 0"),
        ],
    )
    def test_say_what_becomes_of_a_label(self, label: str, version: str, now: str | None, why: str) -> None:
        assert changes.fate(self.NOW, "colour", label, version) == (now, why)

    def test_part_labels_that_hold_from_those_to_give_anew(self) -> None:
        rows = pd.DataFrame({
            "image_id": ["a", "b", "c"], "attribute": "colour", "label": ["red", "blue", "sky"], "ontology_version": ["1", "1", "3"],
        })  # fmt: skip
        hold, anew = changes.restate(rows, self.NOW)
        assert dict(zip(hold["image_id"], hold["label"], strict=True)) == {"a": "wine", "c": "sky"}
        assert list(anew["image_id"]) == ["b"] and "split" in anew["why"].iloc[0]

    def test_that_cannot_be_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="no change leads on from 2 to 3"):
            ontology(COLOUR, version="3", changes=[{"from": "1", "to": "2", "attribute": "colour", "add": ["red"]}])
        with pytest.raises(ValidationError, match="which colour still has then"):
            ontology(COLOUR, version="2", changes=[{"from": "1", "to": "2", "attribute": "colour", "remove": ["red"]}])


class TestSensitivity:
    ALL = ontology(COLOUR, SLEEVES, LENGTH)

    @pytest.mark.parametrize(
        ("transforms", "breaks", "expected"),
        [
            ([{"HorizontalFlip": {}}], [], ()),
            ([{"ColorJitter": {}}], [], ("colour",)),
            ([{"RandomResizedCrop": {}}], [], ("sleeves", "length")),  # who can't tell sleeves can't tell their length
            ([{"HorizontalFlip": {}}], ["sleeves"], ("sleeves", "length")),
            ([{"SomethingNew": {}}], [], ("colour", "sleeves", "length")),
        ],
    )
    def test_a_recipe_breaks_what_it_may_change(self, transforms: list[Any], breaks: list[str], expected: tuple[str, ...]) -> None:
        assert broken(Recipe(name="r", transforms=tuple(transforms), breaks=tuple(breaks)), self.ALL) == expected
