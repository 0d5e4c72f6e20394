"""Files that belong together: zips, folders, class lists, and whose they are."""

from __future__ import annotations

import io
import zipfile

import pandas as pd
import pytest

from dataops_assets.home import pseudonym
from dataops_assets.labels import returned
from dataops_assets.stages.labeled_batches import UNNAMED_PREFIX, accept
from tests.labels.formats.made import ASKED, SIZES, WRITERS, answer, files_of
from tests.labels.formats.one_box import CLASSES, GOOD, ITEM, OTHER, SPEC, TASKS, judged, reasons, voc, yolo
from tests.labels.world import KEY


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
