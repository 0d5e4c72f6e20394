"""What a tool's labels mean: question, answer, picture."""

from __future__ import annotations

import json

import pytest

from dataops_assets.stages.labeled_batches import accept
from tests.labels.formats.one_box import ITEM, judged, reasons
from tests.labels.world import COLOUR, KEY, MARKS, make_spec, make_tasks


@pytest.mark.parametrize(
    "tag",
    [
        '<tag label="colour=red"/>', '<tag label="colour: red"/>', '<tag label="red"/>',
        '<tag label="colour"><attribute name="value">red</attribute></tag>',
        '<tag label="dress"><attribute name="colour">red</attribute></tag>',
        '<box label="dress" xtl="1" ytl="1" xbr="9" ybr="9"><attribute name="colour">red</attribute></box>',
    ],
)  # fmt: skip
def test_every_way_to_tag_a_picture_in_cvat(tag):
    image = f'<image id="0" name="{ITEM}.jpg">{tag}</image>'
    spec = make_spec(COLOUR, MARKS)
    frame = accept([("acme", "a.xml", f"<annotations><version>1.1</version>{image}</annotations>".encode())], make_tasks(spec), spec, KEY)
    assert frame[["attribute", "label", "reason"]].to_dict("records") == [{"attribute": "colour", "label": "red", "reason": ""}]


def test_tags_that_contradict_each_other_do_not_count():
    tags = '<tag label="colour=red"/><tag label="colour=blue"/><tag label="marks=logo"/><tag label="marks=text"/>'
    data = f'<annotations><version>1.1</version><image id="0" name="{ITEM}.jpg">{tags}</image></annotations>'
    frame = judged(("a.xml", data.encode())).set_index("label")["reason"].to_dict()
    assert frame == {"red": "LABEL_CONFLICT", "blue": "LABEL_CONFLICT", "logo|text": ""}


@pytest.mark.parametrize("shape", ["polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton"])
def test_shapes_that_are_no_boxes_are_rejected_rows(shape):
    data = (
        f'<annotations><version>1.1</version><image id="0" name="{ITEM}.jpg"><{shape} label="bag" points="1,2;3,4"/></image></annotations>'
    )
    assert reasons(("a.xml", data.encode())) == ["SCHEMA"]


def test_a_coco_category_may_have_the_question_above_it():
    image = {"id": 1, "file_name": f"{ITEM}.jpg", "width": 40, "height": 30}
    whole = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 40, 30], "is_image_level": True}
    lost = {"id": 2, "image_id": 9, "category_id": 7, "bbox": [0, 0, 4, 3]}
    document = {"images": [image], "annotations": [whole, lost], "categories": [{"id": 7, "name": "red", "supercategory": "colour"}]}
    frame = judged(("a.json", json.dumps(document).encode()))
    told = {(row["attribute"], row["label"], row["reason"]) for row in frame.to_dict("records")}
    assert told == {("colour", "red", ""), ("colour", "red", "UNKNOWN_ITEM")}
