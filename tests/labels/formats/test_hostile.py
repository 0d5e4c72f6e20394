"""Files that are wrong, by accident or on purpose: each fault has its code, every row is told, and nothing raises."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets.home import pseudonym
from dataops_assets.labels import returned, tables
from dataops_assets.labels.formats import yolo as yolo_format
from dataops_assets.stages.labeled_batches import UNNAMED_PREFIX, accept
from tests.labels.formats.made import ASKED, SIZES, WRITERS, answer, files_of
from tests.labels.world import COLOUR, KEY, MARKS, PARTS, make_spec, make_tasks

SPEC = make_spec(COLOUR, MARKS, PARTS)
TASKS = make_tasks(SPEC)
ITEM, OTHER = TASKS["task_id"]  # pictures of 40x30 pixels
WHEN = "2026-01-02T00:00:00Z"
CLASSES = ("data.yaml", b"names: [parts=bag, cat]")


def judged(*files: tuple[str, bytes], before: datetime | None = None) -> pd.DataFrame:
    return accept([("acme", name, data) for name, data in files], TASKS, SPEC, KEY, before)


def reasons(*files: tuple[str, bytes], before: datetime | None = None) -> list[str]:
    return sorted(judged(*files, before=before)["reason"])


# one box in each format: item, label, and the edges or sides as the format's text


def cvat(
    item: str = ITEM, label: str = "bag", edges: str = "1 2 11 10", more: str = "", when: str = WHEN, inside: str = ""
) -> tuple[str, bytes]:
    box = "".join(f' {name}="{edge}"' for name, edge in zip(("xtl", "ytl", "xbr", "ybr"), edges.split(), strict=False))
    image = f'<image id="0" name="{item}.jpg" width="40" height="30"><box label="{label}"{box}{more}>{inside}</box></image>'
    meta = f"<meta><task><updated>{when}</updated><assignee><username>ann</username></assignee></task></meta>"
    return "a.xml", f"<annotations><version>1.1</version>{meta}{image}</annotations>".encode()


def voc(item: str = ITEM, label: str = "bag", edges: str = "1 2 11 10", size: str = "40 30", more: str = "") -> tuple[str, bytes]:
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{name}>{edge}</{name}>" for name, edge in zip(names, edges.split(), strict=False))
    width, height = size.split()
    head = f"<filename>{item}.jpg</filename><size><width>{width}</width><height>{height}</height></size>"
    return "a.xml", f"<annotation>{head}<object><name>{label}</name><bndbox>{box}</bndbox>{more}</object></annotation>".encode()


def yolo(item: str = ITEM, label: str = "0", sides: str = "0.5 0.5 0.2 0.2") -> tuple[str, bytes]:
    return f"{item}.txt", f"{label} {sides}\n".encode()


def coco(item: str = ITEM, label: str = "bag", sides: str = "1, 2, 10, 8", more: str = "", size: str = "40 30") -> tuple[str, bytes]:
    width, height = size.split()
    image = f'{{"id": 1, "file_name": "{item}.jpg", "width": {width}, "height": {height}}}'
    box = f'{{"id": 1, "image_id": 1, "category_id": 1, "bbox": [{sides}]{more}}}'
    return "a.json", f'{{"images": [{image}], "annotations": [{box}], "categories": [{{"id": 1, "name": "{label}"}}]}}'.encode()


def labelbox(item: str = ITEM, label: str = "bag", sides: str = "1, 2, 10, 8", when: str = WHEN, work: str = "") -> tuple[str, bytes]:
    box = ", ".join(f'"{name}": {side}' for name, side in zip(("left", "top", "width", "height"), sides.split(", "), strict=False))
    given = f'{{"objects": [{{"name": "{label}", "bounding_box": {{{box}}}}}], "classifications": []}}'
    details = f'{{"created_by": "ann", "created_at": "{when}"}}'
    label_ = f'{{"label_details": {details}, "performance_details": {{{work}}}, "annotations": {given}}}'
    return "a.ndjson", f'{{"data_row": {{"global_key": "{item}"}}, "projects": {{"p": {{"labels": [{label_}]}}}}}}\n'.encode()


GOOD: dict[str, Callable[..., tuple[str, bytes]]] = {"CVAT": cvat, "VOC": voc, "YOLO": yolo, "COCO": coco, "Labelbox": labelbox}


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


# ---- zips and folders


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize("name", WRITERS)
def test_a_zip_stands_for_the_files_in_it(name):
    rows = [answer("t1", "parts", "bag", 1, 2, 10, 8), answer("t1", "holes", "none")]
    files = files_of(name, *rows)
    loose = [returned.read(document, SIZES, ASKED) for document in returned.documents(files.items())]
    packed = [returned.read(document, SIZES, ASKED) for document in returned.documents([("all.zip", zipped(files))])]
    pd.testing.assert_frame_equal(pd.concat(loose), pd.concat(packed))


def test_the_same_content_as_files_and_as_a_zip_counts_once():
    files = dict([CLASSES, yolo(), yolo(OTHER)])
    once = judged(*files.items())
    both = judged(*files.items(), ("again.zip", zipped(files)), ("copy/data.yaml", CLASSES[1]), (f"copy/{yolo()[0]}", yolo()[1]))
    assert len(once) == len(both) == 2
    assert list(once["reason"]) == list(both["reason"]) == ["", ""]


def test_equal_bytes_for_two_pictures_are_two_answers():
    frame = judged(CLASSES, yolo(), yolo(OTHER))
    assert sorted(frame["task_id"]) == sorted([ITEM, OTHER]) and list(frame["status"]) == ["accepted"] * 2


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"../evil.csv": b"x"}, "UNSAFE_PATH"),
        ({"a.csv": b"0" * (4 << 20)}, "BOMB"),
        ({}, "NO_ROWS"),
        ({"b.zip": zipped({"a.csv": b"x"})}, "NESTED_ARCHIVE"),
    ],
)
def test_a_zip_that_is_refused_is_one_row(files, code):
    frame = judged(("a.zip", zipped(files)), ("b.csv", b"item_id,label\n"))
    assert sorted(frame["file"].str.split("/").str[0]) == ["a.zip", "b.csv"]
    (fault,) = {
        fault for document in returned.documents([("a.zip", zipped(files))]) for fault in returned.read(document, SIZES, ASKED)["fault"]
    }
    assert fault == code


def test_pictures_and_lists_beside_the_labels_are_no_answers():
    files = {
        "Annotations/t.xml": voc()[1], "JPEGImages/t.jpg": b"\xff\xd8\xff\xe0rest", "ImageSets/Main/default.txt": b"t\n",
        "labelmap.txt": b"bag:1,2,3::\n", "__MACOSX/._t.xml": b"junk", ".DS_Store": b"x",
    }  # fmt: skip
    assert reasons(("voc.zip", zipped(files))) == [""]
    assert reasons(("voc.zip", zipped(files | {"notes.docx": b"what is this"}))) == ["", "SCHEMA"]


# ---- who answered


@pytest.mark.parametrize("name", ["VOC", "YOLO", "COCO"])
def test_the_annotator_is_named_by_a_folder(name):
    path, data = GOOD[name]()
    frame = judged(CLASSES, (f"annotator=Ann%20Lee/{path}", data), (f"annotator=Bob/{path}", data))
    assert set(frame["worker_id"]) == {pseudonym(KEY, "acme", "Ann Lee"), pseudonym(KEY, "acme", "Bob")}
    assert list(frame["status"]) == ["accepted"] * 2
    assert not frame["file"].str.contains("Ann|Bob|Lee").any()


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("a/b.txt", None), ("annotator=ann/b.txt", "ann"), ("x/annotator=j.doe/labels/b.txt", "j.doe"), ("annotator=a@b.c.json", "a@b.c"),
        ("annotator=ann.zip/labels/b.txt", "ann"), ("annotator=a%2Fb/b.txt", "a/b"), ("annotator=/b.txt", None),
        ("annotator=a/annotator=b/c.txt", "b"), ("myannotator=a/c.txt", None),
    ],
)  # fmt: skip
def test_paths_that_name_the_annotator(path, who):
    assert returned.annotator_of(path) == who


@pytest.mark.parametrize("name", ["VOC", "YOLO", "COCO"])
def test_files_that_name_nobody_are_one_opinion_however_many_there_are(name):
    path, data = GOOD[name]()
    _, other = GOOD[name](**({"sides": "0.4 0.5 0.2 0.2"} if name == "YOLO" else {"label": "hat"}))
    frame = judged(CLASSES, (f"one/{path}", data), (f"two/{path}", other))
    assert frame["worker_id"].nunique() == 1
    assert frame["worker_id"].str.match(f"^{UNNAMED_PREFIX}[0-9a-f]{{8}}$").all()
    assert list(frame["reason"]) == ["LABEL_CONFLICT"] * 2
    apart = accept([("acme", *CLASSES), ("acme", path, data), ("other", *CLASSES), ("other", path, data + b" ")], TASKS, SPEC, KEY)
    assert apart["worker_id"].nunique() == 2


def test_cvat_names_the_assignee_of_each_task():
    meta = "".join(
        f"<task><id>{number}</id><assignee><username>{who}</username></assignee></task>" for number, who in enumerate(["ann", "bob"])
    )
    images = "".join(f'<image id="{n}" name="{ITEM}.jpg" task_id="{n}"><tag label="colour=red"/></image>' for n in range(3))
    data = f"<annotations><version>1.1</version><meta><project><tasks>{meta}</tasks></project></meta>{images}</annotations>"
    frame = judged(("a.xml", data.encode()))
    named = frame[~frame["worker_id"].str.startswith(UNNAMED_PREFIX)]
    assert set(named["worker_id"]) == {pseudonym(KEY, "acme", "ann"), pseudonym(KEY, "acme", "bob")} and len(frame) == 3


# ---- what a tool's labels mean


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


# ---- bytes at random

VALID = [
    (name, path, data)
    for name in WRITERS
    for path, data in files_of(
        name,
        answer("t1", "parts", "bag", 1.5, 2, 10, 8), answer("t1", "holes", "none"), answer("t1", "colour", "red"),
        answer("t1", "marks", "logo|text"),
        answer("t2", "parts", "hat", 5, 6, 7, 8, annotator="Zoë"), answer("t2", "holes", "tear", 1, 1, 2, 2, annotator="Zoë"),
    ).items()
]  # fmt: skip


def _spoiled(data: bytes, seed: int) -> bytes:
    chance = random.Random(seed)
    spoiled = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at, kind = chance.randrange(len(spoiled) + 1), chance.randrange(4)
        if kind == 0:
            spoiled[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del spoiled[at : at + chance.randrange(1, 20)]
        elif kind == 2:
            spoiled[at:at] = chance.choice(
                [b'"', b"<", b">", b"[", b"{", b"null", b"1e400", b"\x00", b"\xff", b"&#0;", b"-", b"\\ud800", b"\n"]
            )
        else:
            spoiled[at:at] = spoiled[chance.randrange(len(spoiled) + 1) :][:30]
    return bytes(spoiled)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(VALID), st.integers(0, 2**32))
def test_spoiled_files_are_rows_or_refused_and_never_raise(valid, seed):
    _, path, data = valid
    beside = [file for name, *file in VALID if name == valid[0] and file[0] != path]
    documents = returned.documents([(path, _spoiled(data, seed)), *map(tuple, beside)])
    for document in documents:
        rows = returned.read(document, SIZES, ASKED)
        assert list(rows.columns) == list(tables.COLUMNS) and len(rows)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(VALID), st.integers(0, 2**32))
def test_spoiled_files_are_judged_row_by_row(valid, seed):
    _, path, data = valid
    frame = judged(CLASSES, (path, _spoiled(data.replace(b"t1", ITEM.encode()), seed)))
    assert set(frame["status"]) <= {"accepted", "rejected"} and ((frame["reason"] == "") == (frame["status"] == "accepted")).all()


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from([ITEM, "bag", "parts", "red", 1]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "image_id", "category_id", "bbox", "attributes", "name", "file_name", "global_key", "labels", "annotations",
                 "objects",
                 "classifications", "bounding_box", "left", "label_details", "radio_answer", "checklist_answers", "performance_details"]
            ),
            inner,
        )
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(json_value, st.lists(json_value, max_size=3))
def test_no_coco_or_labelbox_document_raises(value, values):
    coco_ = {"images": [{"id": 1, "file_name": f"{ITEM}.jpg"}], "annotations": [{"image_id": 1, "category_id": 1, "bbox": value}, *values],
             "categories": [{"id": 1, "name": "bag"}]}  # fmt: skip
    line = {"data_row": {"global_key": ITEM}, "projects": {"p": {"labels": [value, {"annotations": value}, *values]}}}
    for document in (coco_, coco_ | {"categories": values}, line, line | {"data_row": value}):
        frame = judged(("a.json", json.dumps(document).encode()))
        assert len(frame) >= 1 and set(frame["status"]) <= {"accepted", "rejected"}
