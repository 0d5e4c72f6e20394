"""Bytes at random: spoiled files are refused or read as rows, and nothing raises."""

from __future__ import annotations

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets.labels import returned, tables
from tests.labels.formats.made import ASKED, SIZES, WRITERS, answer, files_of
from tests.labels.formats.one_box import CLASSES, ITEM, judged

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
