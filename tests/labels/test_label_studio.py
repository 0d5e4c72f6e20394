from __future__ import annotations

import json

import pytest
from defusedxml import ElementTree

from dataops_assets.labels import label_studio, tables
from dataops_assets.spec import Attribute
from tests.labels.world import COLOUR, MARKS, PARTS

SIZES = {"t1": (200, 100)}


def export(*results: dict, data: dict | None = None, **annotation: object) -> bytes:
    head = {"id": 1, "completed_by": 5, "created_at": "2026-01-02T03:04:05.123456Z", "lead_time": 4.5, "was_cancelled": False}
    return json.dumps(
        [{"id": 9, "data": data or {"item_id": "t1"}, "annotations": [head | {"result": list(results)} | annotation]}]
    ).encode()


def choice(name: str, *values: str) -> dict:
    return {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": list(values)}}


def rectangle(label: str, **value: float) -> dict:
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": [label]} | value
    return {"from_name": "parts", "to_name": "image", "type": "rectanglelabels", "original_width": 50, "original_height": 50, "value": box}


def read(data: bytes, *asked: dict) -> list[dict]:
    return tables.read(data, SIZES, [Attribute.model_validate(given) for given in asked]).to_dict("records")


def test_choices_single_and_multiple():
    one, several = read(export(choice("colour", "red"), choice("marks", "logo", "text")))
    assert (one["item_id"], one["attribute"], one["label"], one["annotator"]) == ("t1", "colour", "red", "5")
    assert (one["submitted_at"], one["seconds"], one["row"], one["part"]) == ("2026-01-02T03:04:05.123456Z", 4.5, 1, 1)
    assert (several["label"], several["part"]) == ("logo|text", 2)


def test_percents_become_pixels_of_the_picture_sent_out():
    (row,) = read(export(rectangle("bag")), PARTS)
    assert [row[side] for side in "xywh"] == [20.0, 20.0, 60.0, 40.0]


@pytest.mark.parametrize("who", [5, "5", {"id": 5, "email": "a@b.c"}])
def test_the_annotator_is_known_in_every_form(who):
    assert read(export(choice("colour", "red"), completed_by=who))[0]["annotator"] == "5"


@pytest.mark.parametrize(
    "image", ["/data/upload/3/0a1b2c3d-t1.png", "/data/local-files/?d=images/t1.jpg", "images/t1.png", "s3://b/t1.jpeg"]
)
def test_the_item_is_known_by_its_file(image):
    assert read(export(choice("colour", "red"), data={"image": image}))[0]["item_id"] == "t1"


def test_several_annotations_a_task_are_several_answers():
    document = json.loads(export(choice("colour", "red")))
    document[0]["annotations"] += json.loads(export(choice("colour", "blue"), completed_by=6))[0]["annotations"]
    assert [(row["annotator"], row["answer"], row["part"]) for row in read(json.dumps(document).encode())] == [("5", 0, 1), ("6", 1, 2)]


def test_cancelled_and_empty_annotations_are_rows_with_a_reason():
    assert read(export(choice("colour", "red"), was_cancelled=True))[0]["fault"] == "NO_ROWS"
    assert read(export())[0]["fault"] == "NO_ROWS"


def test_no_rectangle_says_that_there_is_nothing():
    (row,) = read(export(), PARTS)
    assert (row["attribute"], row["label"], row["x"], row["fault"]) == ("parts", "none", "", tables.IMPLIED)


@pytest.mark.parametrize(
    "result",
    [
        rectangle("bag", rotation=10),
        {"type": "brushlabels", "from_name": "parts", "value": {"brushlabels": ["bag"]}},
        {"type": "choices", "from_name": "colour", "value": {"choices": "red"}},
        {"type": "choices", "from_name": "colour", "value": {"choices": [1]}},
        {"type": "choices"},
        7,
    ],
)
def test_results_of_another_form_are_rows_with_a_reason(result):
    assert [row["fault"] for row in read(export(result))] == ["SCHEMA"]


def test_the_page_holds_every_value_and_escapes_text():
    attributes = [Attribute.model_validate(given) for given in (COLOUR, MARKS, PARTS)]
    attributes[0] = attributes[0].model_copy(update={"values": {'a"<b': "x & y"}})
    root = ElementTree.fromstring(label_studio.config(attributes, {"colour": "<1>?", "marks": "2?", "parts": "3?"}))
    assert root.find(".//Choices[@name='colour']/Choice").attrib == {"value": 'a"<b', "hint": "x & y"}
    assert root.find(".//Choices[@name='colour']").get("choice") == "single"
    assert [value.get("value") for value in root.find(".//Choices[@name='marks']")] == ["logo", "text", "dots"]
    assert root.find(".//Choices[@name='marks']").get("choice") == "multiple"
    assert [value.get("value") for value in root.find(".//RectangleLabels")] == ["bag", "hat"]


def test_an_edited_answer_counts_from_its_edit():
    (row,) = read(export(choice("colour", "red"), updated_at="2026-01-03T00:00:00Z"))
    assert row["submitted_at"] == "2026-01-03T00:00:00Z"


def test_where_everything_is_asked_of_every_picture_no_single_answer_can_be_left_out():
    attributes = [Attribute.model_validate(given) for given in (COLOUR, MARKS, PARTS)]
    words = dict.fromkeys(("colour", "marks", "parts"), "?")
    for is_whole in (True, False):
        root = ElementTree.fromstring(label_studio.config(attributes, words, is_whole))
        needed = {tag.get("name") for tag in root.iter() if tag.get("required") == "true"}
        assert needed == ({"colour"} if is_whole else set())
