"""Files that are wrong, by accident or on purpose: each fault has its code, every row is told, and nothing raises."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from dataops_assets.labels import returned, tables
from dataops_assets.labels.formats import yolo as yolo_format
from dataops_assets.stages.labeled_batches import accept
from tests.labels.formats.made import ASKED, SIZES
from tests.labels.formats.one_box import CLASSES, GOOD, ITEM, OTHER, SPEC, TASKS, coco, cvat, judged, labelbox, reasons, voc, yolo
from tests.labels.world import KEY


@pytest.mark.parametrize("name", GOOD)
def test_a_good_box_is_accepted(name):
    frame = judged(CLASSES, GOOD[name]())
    assert list(frame["reason"]) == [""]
    assert (frame["label"][0], frame["attribute"][0], frame["task_id"][0]) == ("bag", "parts", ITEM)


@pytest.mark.parametrize("name", GOOD)
def test_a_picture_that_was_not_sent_is_unknown(name):
    assert set(reasons(CLASSES, GOOD[name]("nobody"))) == {"UNKNOWN_ITEM"}


@pytest.mark.parametrize("name", GOOD)
def test_a_label_outside_the_ontology_is_unknown(name):
    assert reasons(CLASSES, GOOD[name](label="1" if name == "YOLO" else "cat")) == ["UNKNOWN_LABEL"]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (cvat(edges="nan 2 11 10"), "NOT_FINITE"),
        (cvat(edges="1 2 1e400 10"), "NOT_FINITE"),
        (cvat(edges="1 2 ten 10"), "SCHEMA"),
        (cvat(edges="1 2 11"), "SCHEMA"),
        (cvat(edges="1 2 1_1 10"), "SCHEMA"),
        (cvat(edges="11 2 1 10"), "OUT_OF_BOUNDS"),
        (cvat(edges="1 2 1 10"), "OUT_OF_BOUNDS"),
        (cvat(edges="1 2 400 300"), "OUT_OF_BOUNDS"),
        (cvat(edges="-1e308 2 1e308 10"), "NOT_FINITE"),
        (cvat(more=' rotation="30"'), "SCHEMA"),
        (voc(edges="NaN 2 11 10"), "NOT_FINITE"),
        (voc(edges="-inf 2 11 10"), "NOT_FINITE"),
        (voc(edges="1 2 11"), "SCHEMA"),
        (voc(edges="1 2 1 10"), "OUT_OF_BOUNDS"),
        (voc(edges="10 2 1 10"), "OUT_OF_BOUNDS"),
        (voc(edges="1 2 100 90"), "OUT_OF_BOUNDS"),
        (voc(size="80 60"), "SCHEMA"),
        (voc(more="<attributes><attribute><name>rotation</name><value>12.5</value></attribute></attributes>"), "SCHEMA"),
        (yolo(sides="nan 0.5 0.2 0.2"), "NOT_FINITE"),
        (yolo(sides="0.5 0.5 1e999 0.2"), "NOT_FINITE"),
        (yolo(sides="1e308 0.5 0.2 0.2"), "NOT_FINITE"),
        (yolo(sides="0.5 0.5 0 0.2"), "OUT_OF_BOUNDS"),
        (yolo(sides="0.5 0.5 -0.2 0.2"), "OUT_OF_BOUNDS"),
        (yolo(sides="0.9 0.5 0.5 0.2"), "OUT_OF_BOUNDS"),
        (yolo(sides="20 15 8 6"), "OUT_OF_BOUNDS"),  # pixels
        (yolo(sides="50 50 20 20"), "OUT_OF_BOUNDS"),  # percents
        (yolo(sides="0.5 0.5 0.2"), "SCHEMA"),
        (yolo(sides="0.5 0.5 0.2 0.2 0.99"), "SCHEMA"),  # a prediction
        (yolo(sides="0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2"), "SCHEMA"),  # a rotated box
        (yolo(sides="half 0.5 0.2 0.2"), "SCHEMA"),
        (yolo(label="2"), "UNKNOWN_LABEL"),
        (yolo(label="9" * 5000), "UNKNOWN_LABEL"),
        (yolo(label="-1"), "SCHEMA"),
        (yolo(label="٣"), "SCHEMA"),
        (coco(sides="1, 2, 1e400, 8"), "NOT_FINITE"),
        (coco(sides="1, 2, NaN, 8"), "NOT_FINITE"),
        (coco(sides='1, 2, "nan", 8'), "NOT_FINITE"),
        (coco(sides="1, 2, null, 8"), "SCHEMA"),
        (coco(sides="1, 2, true, 8"), "SCHEMA"),
        (coco(sides="1, 2, 10"), "SCHEMA"),
        (coco(sides="1, 2, 0, 8"), "OUT_OF_BOUNDS"),
        (coco(sides="1, 2, -10, 8"), "OUT_OF_BOUNDS"),
        (coco(sides="1, 2, 100, 80"), "OUT_OF_BOUNDS"),
        (coco(sides="0.25, 0.25, 0.5, 0.5"), "OUT_OF_BOUNDS"),  # shares
        (coco(more=', "iscrowd": 1'), "SCHEMA"),
        (coco(more=', "attributes": {"rotation": 5.0}'), "SCHEMA"),
        (coco(more=', "attributes": [1]'), "SCHEMA"),
        (coco(more=', "category_id": 2'), "SCHEMA"),  # a key twice
        (coco(size="80 60"), "SCHEMA"),
        (labelbox(sides="1, 2, 1e400, 8"), "NOT_FINITE"),
        (labelbox(sides="1, 2, Infinity, 8"), "NOT_FINITE"),
        (labelbox(sides="1, 2, 10"), "SCHEMA"),
        (labelbox(sides="1, 2, 10, 0"), "OUT_OF_BOUNDS"),
        (labelbox(sides="1, 2, 10, 80"), "OUT_OF_BOUNDS"),
        (labelbox(when="yesterday"), "BAD_TIME"),
        (labelbox(work='"seconds_to_create": -1'), "BAD_TIME"),
        (labelbox(work='"seconds_to_create": 1e400'), "NOT_FINITE"),
        (cvat(when="2026-13-01"), "BAD_TIME"),
    ],
)
def test_a_box_that_is_wrong(file, reason):
    assert reason in reasons(CLASSES, file)
    assert "" not in reasons(CLASSES, file)


@pytest.mark.parametrize("file", [cvat(when="2027-01-01"), labelbox(when="2027-01-01T00:00:00Z")])
def test_answers_from_the_future_are_a_clock_that_is_wrong(file):
    assert reasons(file, before=datetime(2026, 6, 1, tzinfo=UTC)) == ["CLOCK_SKEW"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l "lol"><!ENTITY m "&l;&l;&l;&l;">]><annotations>&m;</annotations>', "XML_FORBIDDEN"),
        (b'<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>', "XML_FORBIDDEN"),
        (b'<!doctype x><annotation/>', "XML_FORBIDDEN"),
        (b"<annotations>&lol;</annotations>", "SCHEMA"),
        (b"<annotations>" + b"<a>" * 100_000, "TOO_DEEP"),
        (b"<annotation>" + b"<a>" * 64 + b"</a>" * 64 + b"</annotation>", "TOO_DEEP"),
        (b"<annotation><object>" + b"<a/>" * 100_001 + b"</object></annotation>", "TOO_LARGE"),
        (b"<annotations><version>1.0</version></annotations>", "SCHEMA"),
        (b"<annotations><version>1.1</version></annotations>", "NO_ROWS"),
        (b"<annotations><version>1.1</version>", "SCHEMA"),
        (b"<annotations><image/><version>1.1</version></annotations>", "SCHEMA"),
        (b"<dataset/>", "SCHEMA"),
        (b"<annotation><filename>\xff</filename></annotation>", "ENCODING"),
        ("<annotation/>".encode("utf-16"), "ENCODING"),
        (b'<?xml version="1.0" encoding="utf-7"?><annotation/>', "ENCODING"),
        (b"<?xml version='1.0' encoding='latin-1'?><annotation><filename>\xe9</filename></annotation>", "ENCODING"),
        (b'{"images": [], "annotations": []}', "SCHEMA"),
        (b'{"images": [], "annotations": [], "categories": []}', "NO_ROWS"),
        (b'{"images": [{"id": 1}], "annotations": [], "categories": []}', "NO_ROWS"),
        (b'{"images": [], "annotations": [], "categories": [{"id": 1}]}', "NO_ROWS"),
        (b'{"images": [{"id": 1}, {"id": 1}], "annotations": [], "categories": [{"id": 1}]}', "SCHEMA"),
        (b'{"images": [{"id": [1]}], "annotations": [], "categories": [{"id": 1}]}', "SCHEMA"),
        (b'{"images": [{"id": 1, "id": 2}], "annotations": [], "categories": []}', "SCHEMA"),
        (b'{"images": [{"file_name": "\\ud800"}], "annotations": [], "categories": []}', "ENCODING"),
        (b'{"images": ' + b"[" * 5000 + b"}", "TOO_DEEP"),
        (b'{"data_row": ' + b"[" * 5000, "TOO_DEEP"),
        (b'{"data_row": NaN}', "NOT_FINITE"),
        (b'{"data_row": 1, "data_row": 1}', "SCHEMA"),
        (b'{"data_row": "\\udfff"}', "ENCODING"),
        (b'{"data_row": {}, "projects": {"p": {}}}', "SCHEMA"),
        (b'{"data_row": {}, "projects": {}}\n', "NO_ROWS"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_row_with_its_code(data, code):
    frame = judged(("a", data))
    assert list(frame["status"]) == ["rejected"]
    assert list(frame["reason"]) == [code]


def test_a_line_that_is_broken_does_not_spoil_the_others():
    _, good = labelbox()
    data = good + b'{"data_row": \n\n' + good.replace(ITEM.encode(), OTHER.encode()) + b"[]\n"
    assert reasons(("a.ndjson", data)) == ["", "", "SCHEMA", "SCHEMA"]


def test_what_is_said_of_a_box_and_was_not_asked_is_a_row_of_its_own():
    assert reasons(cvat(inside='<attribute name="size">big</attribute>')) == ["", "SCHEMA"]


@pytest.mark.parametrize("line", ["", "0 0.5 0.5 0.2", "7 0.5 0.5 0.2 0.2"])
def test_a_box_that_cannot_be_read_does_not_mean_that_there_is_none(line):
    frame = judged(CLASSES, (f"{ITEM}.txt", line.encode()))
    assert ("none" in set(frame["label"])) == (line == "")


@pytest.mark.parametrize("name", ["VOC", "YOLO", "COCO", "Labelbox", "Label Studio"])
def test_nothing_to_box_is_an_answer_only_where_boxes_were_asked_for(name):
    tasks = TASKS.assign(attributes=["parts", "colour"])
    files = {
        "VOC": [(f"{item}.xml", f"<annotation><filename>{item}.jpg</filename></annotation>".encode()) for item in (ITEM, OTHER)],
        "YOLO": [CLASSES, (f"{ITEM}.txt", b""), (f"{OTHER}.txt", b"\n")],
        "COCO": [("a.json", json.dumps({"images": [{"id": item, "file_name": f"{item}.jpg"} for item in (ITEM, OTHER)], "annotations": [],
                                        "categories": [{"id": 1, "name": "bag"}]}).encode())],
        "Labelbox": [(f"{item}.ndjson", labelbox(item)[1].replace(b'"objects": [', b'"objects": [], "no": [')) for item in (ITEM, OTHER)],
        "Label Studio": [("a.json", json.dumps([{"data": {"item_id": item}, "annotations": [{"completed_by": 1, "result": []}]}
                                                for item in (ITEM, OTHER)]).encode())],
    }[name]  # fmt: skip
    frame = accept([("acme", *file) for file in files], tasks, SPEC, KEY)
    told = frame.sort_values("reason")[["task_id", "label", "reason"]].to_dict("split")["data"]
    assert told == [[ITEM, "none", ""], [OTHER, None, "NO_ROWS"]]


def test_yaml_builds_nothing():
    with pytest.raises(tables.Refused):
        yolo_format.classes("data.yaml", b"names: !!python/object/apply:os.system {a: b}")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "SCHEMA"),
        (b"nc: 2", "SCHEMA"),
        (b"names: [a, a]", "SCHEMA"),
        (b"names: {0: a, 2: b}", "SCHEMA"),
        (b"names: {0: a, 0: b}", "SCHEMA"),
        (b"names: [a]\nnames: [b]", "SCHEMA"),
        (b"a: &x [lol, lol]\nnames: [*x, *x]", "SCHEMA"),
        (b"names: [[a]]", "SCHEMA"),
        (b"names: [a", "SCHEMA"),
        (b"\xff\xfe", "ENCODING"),
        (b"names: " + b"[" * 20_000, "TOO_DEEP"),
        (b"#" * (2 << 20), "TOO_LARGE"),
    ],
)
def test_without_a_class_list_that_holds_no_box_counts(data, code):
    read = [returned.read(document, SIZES, ASKED) for document in returned.documents([("data.yaml", data), yolo("t1"), yolo("t2")])]
    assert [list(rows["fault"]) for rows in read] == [[code]] * 3


def test_class_names_stay_text():
    asked = [
        attribute.model_copy(update={"values": {"NO": "n", "1.0": "o", "null": "p"}}) for attribute in ASKED if attribute.kind == "box"
    ][:1]
    lines = [("a/data.yaml", b"names: {0: NO, 1: 1.0, 2: null}"), ("a/labels/t1.txt", b"0 .5 .5 .1 .1\n1 .5 .5 .2 .2\n2 .5 .5 .3 .3")]
    (document,) = returned.documents(lines)
    assert list(returned.read(document, SIZES, asked)["label"]) == ["NO", "1.0", "null"]


def test_two_class_lists_that_contradict_each_other_are_refused():
    files = [("classes.txt", b"bag\ncat\n"), ("data.yaml", b"names: [cat, bag]"), yolo("t1")]
    assert [*(fault for document in returned.documents(files) for fault in returned.read(document, SIZES, ASKED)["fault"])] == [
        "SCHEMA"
    ] * 3
    agreeing = [("classes.txt", b"bag\ncat\n"), ("data.yaml", b"names: [bag, cat]"), yolo("t1")]
    assert [document.name for document in returned.documents(agreeing)] == ["t1.txt"]
