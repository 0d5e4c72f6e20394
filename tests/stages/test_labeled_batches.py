from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets import manifest
from dataops_assets.home import pseudonym
from dataops_assets.stages.labeled_batches import accept
from tests.labels.world import COLOUR, KEY, MARKS, PARTS, answer_all, make_csv, make_spec, make_tasks

SPEC = make_spec(COLOUR, MARKS, PARTS)
TASKS = make_tasks(SPEC)
ITEM, OTHER = TASKS["task_id"]
WHEN = "2026-01-02T00:00:00Z"


def returned(*rows: str, vendor: str = "acme", received_before: datetime | None = None) -> pd.DataFrame:
    data = make_csv(*rows)
    seen = {(vendor, hashlib.sha256(data).hexdigest()): received_before} if received_before else None
    frame = accept([(vendor, "a.csv", data)], TASKS, SPEC, KEY, seen)
    order = frame["row_id"].str.split(":").str[1].astype(int).sort_values().index
    return frame.loc[order].reset_index(drop=True)


def reasons(*rows: str, **options: object) -> list[str]:
    return list(returned(*rows, **options)["reason"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{ITEM},colour,red,,,,,ann,{WHEN},3.5", ""),
        (f"{ITEM},colour,NA,,,,,ann,,", ""),
        (f"{ITEM},marks,text|logo,,,,,ann,{WHEN},3", ""),
        (f"{ITEM},parts,bag,1,2,10,8,ann,{WHEN},3", ""),
        (f"{ITEM},parts,none,,,,,ann,{WHEN},3", ""),
        (f"{ITEM},parts,bag,-0.5,0,41,30,ann,{WHEN},3", ""),
        (f"nobody,colour,red,,,,,ann,{WHEN},3", "UNKNOWN_ITEM"),
        (f",colour,red,,,,,ann,{WHEN},3", "UNKNOWN_ITEM"),
        (f"{ITEM},size,red,,,,,ann,{WHEN},3", "SCHEMA"),
        (f"{ITEM},,red,,,,,ann,{WHEN},3", "SCHEMA"),
        (f"{ITEM},colour,red,,,,,,{WHEN},3", "SCHEMA"),
        (f"{ITEM},colour,red,,,,,ann,{WHEN}", "SCHEMA"),
        (f"{ITEM},colour,red,,,,,ann,{WHEN},3,more", "SCHEMA"),
        (f"{ITEM},colour,Red,,,,,ann,{WHEN},3", "UNKNOWN_LABEL"),
        (f"{ITEM},colour,,,,,,ann,{WHEN},3", "UNKNOWN_LABEL"),
        (f"{ITEM},colour,red|blue,,,,,ann,{WHEN},3", "UNKNOWN_LABEL"),
        (f"{ITEM},colour,none,,,,,ann,{WHEN},3", "UNKNOWN_LABEL"),
        (f"{ITEM},marks,text|,,,,,ann,{WHEN},3", "UNKNOWN_LABEL"),
        (f"{ITEM},parts,bag,nan,2,10,8,ann,{WHEN},3", "NOT_FINITE"),
        (f"{ITEM},parts,bag,1,2,1e999,8,ann,{WHEN},3", "NOT_FINITE"),
        (f"{ITEM},parts,bag,1,2,10,,ann,{WHEN},3", "SCHEMA"),
        (f"{ITEM},parts,bag,1,2,ten,8,ann,{WHEN},3", "SCHEMA"),
        (f"{ITEM},parts,bag,-2,2,10,8,ann,{WHEN},3", "OUT_OF_BOUNDS"),
        (f"{ITEM},parts,bag,1,2,41,8,ann,{WHEN},3", "OUT_OF_BOUNDS"),
        (f"{ITEM},parts,bag,1,2,0,8,ann,{WHEN},3", "OUT_OF_BOUNDS"),
        (f"{ITEM},parts,bag,1e308,2,1e308,8,ann,{WHEN},3", "OUT_OF_BOUNDS"),
        (f"{ITEM},colour,red,,,,,ann,yesterday,3", "BAD_TIME"),
        (f"{ITEM},colour,red,,,,,ann,now,3", "BAD_TIME"),
        (f"{ITEM},colour,red,,,,,ann,2026-02-30,3", "BAD_TIME"),
        (f"{ITEM},colour,red,,,,,ann,9999999-01-01,3", "BAD_TIME"),
        (f"{ITEM},colour,red,,,,,ann,{WHEN},-1", "BAD_TIME"),
        (f"{ITEM},colour,red,,,,,ann,{WHEN},soon", "BAD_TIME"),
        (f"{ITEM},colour,red,,,,,ann,{WHEN},inf", "NOT_FINITE"),
        (f"{ITEM},colour,red,,,,,ann,2030-01-01T00:00:00Z,3", "CLOCK_SKEW"),
        (f"{ITEM},colour,red,,,,,ann,2026-06-01T01:03:00+01:00,3", ""),
    ],
)
def test_verdict_on_a_row(row, reason):
    frame = returned(row, received_before=datetime(2026, 6, 1, tzinfo=UTC))
    assert list(frame["reason"]) == [reason]
    assert list(frame["status"]) == ["rejected" if reason else "accepted"]


def test_an_accepted_row_says_what_was_answered_and_by_whom():
    (row,) = returned(f"{ITEM},marks,text|logo,,,,,ann,2026-01-02T01:00:00+01:00,3.5").to_dict("records")
    assert (row["task_id"], row["item_id"], row["label"]) == (ITEM, ITEM, "logo|text")
    assert row["image_id"] == TASKS["image_id"].iloc[0]
    assert row["worker_id"] == pseudonym(KEY, "acme", "ann")
    assert row["submitted_at"] == pd.Timestamp(WHEN)
    assert (row["seconds"], row["batch_id"], row["ontology_version"]) == (3.5, "production-001", "7")


def test_a_box_is_cut_at_the_edge():
    (row,) = returned(f"{ITEM},parts,bag,-0.5,0,41,30.5,ann,{WHEN},3").to_dict("records")
    assert [row[side] for side in "xywh"] == [0, 0, 40, 30]


def test_the_attribute_may_be_missing_where_one_is_asked():
    spec = make_spec(COLOUR)
    tasks = make_tasks(spec)
    frame = accept([("acme", "a.csv", f"item_id,label,annotator\n{tasks['task_id'][0]},red,ann\n".encode())], tasks, spec, KEY)
    assert list(frame["attribute"]) == ["colour"] and list(frame["status"]) == ["accepted"]


def test_items_of_another_vendor_are_unknown():
    assert reasons(f"{ITEM},colour,red,,,,,ann,{WHEN},3", vendor="other") == ["UNKNOWN_ITEM"]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([("red", WHEN), ("red", WHEN)], ["", "DUPLICATE_CONTENT"]),
        ([("red", ""), ("red", "")], ["", "DUPLICATE_CONTENT"]),
        ([("red", "2026-01-01"), ("blue", "2026-01-02")], ["LABEL_CONFLICT", ""]),
        ([("red", "2026-01-02"), ("blue", "2026-01-01")], ["", "LABEL_CONFLICT"]),
        ([("red", "2026-01-01"), ("red", "2026-01-02")], ["DUPLICATE_CONTENT", ""]),
        ([("red", WHEN), ("blue", WHEN)], ["LABEL_CONFLICT", "LABEL_CONFLICT"]),
        ([("red", ""), ("blue", WHEN)], ["LABEL_CONFLICT", "LABEL_CONFLICT"]),
        ([("red", "2026-01-01"), ("blue", "2026-01-02"), ("red", "2026-01-03")], ["DUPLICATE_CONTENT", "LABEL_CONFLICT", ""]),
        ([("red", "2026-01-01"), ("Blue", "2026-01-02")], ["", "UNKNOWN_LABEL"]),
    ],
)
def test_repeated_answers_of_one_worker(answers, expected):
    assert reasons(*(f"{ITEM},colour,{label},,,,,ann,{when},3" for label, when in answers)) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("colour", "red", "2026-01-01"), ("colour", "blue", "2026-01-02"), [True, False]),
        (("colour", "red", WHEN), ("colour", "red", WHEN), [False, True]),
        (("colour", "red", WHEN), ("colour", "blue", WHEN), [False, False]),
        (("marks", "logo", "2026-01-01"), ("colour", "blue", "2026-01-02"), [True, False]),
        (("marks", "logo", "2026-01-02"), ("colour", "blue", "2026-01-01"), [False, False]),
        (("marks", "logo", WHEN), ("colour", "blue", WHEN), [False, False]),
        (("marks", "logo", ""), ("colour", "blue", WHEN), [False, False]),
        (("parts", "none", "2026-01-01"), ("colour", "blue", "2026-01-02"), [True, False]),
    ],
)
def test_what_a_later_answer_stands_for_is_told_from_what_contradicts_it(first, second, expected):
    spec = make_spec(COLOUR, {**MARKS, "when": {"colour": ["red"]}}, {**PARTS, "when": {"marks": ["logo"]}})
    tasks = make_tasks(spec)
    rows = make_csv(*(f"{tasks['task_id'][0]},{name},{label},,,,,ann,{when},3" for name, label, when in (first, second)))
    assert list(accept([("acme", "a.csv", rows)], tasks, spec, KEY)["is_superseded"]) == expected


def test_other_workers_and_other_items_are_no_repetition():
    assert reasons(f"{ITEM},colour,red,,,,,ann,,", f"{ITEM},colour,blue,,,,,bob,,", f"{OTHER},colour,blue,,,,,ann,,") == ["", "", ""]


def test_boxes_of_one_submission_belong_together():
    rows = [f"{ITEM},parts,bag,{x},2,5,5,ann,{WHEN},3" for x in (1, 20, 1)]
    assert reasons(*rows) == ["", "", "DUPLICATE_CONTENT"]
    earlier = make_csv(f"{ITEM},parts,bag,9,9,5,5,ann,2026-01-01,3")
    frame = accept([("acme", "a.csv", make_csv(*rows)), ("acme", "b.csv", earlier)], TASKS, SPEC, KEY)
    assert frame.groupby("file")["reason"].apply(list).to_dict() == {"a.csv": ["", "", "DUPLICATE_CONTENT"], "b.csv": ["LABEL_CONFLICT"]}


def test_the_same_file_again_adds_nothing():
    data = make_csv(f"{ITEM},colour,red,,,,,ann,{WHEN},3")
    once = accept([("acme", "a.csv", data)], TASKS, SPEC, KEY)
    twice = accept([("acme", "a.csv", data), ("acme", "copy of a.csv", data), ("acme", "_COMPLETE", b"")], TASKS, SPEC, KEY)
    pd.testing.assert_frame_equal(once, twice)


def test_a_copy_in_another_vendors_folder_takes_nothing_from_the_right_one():
    data = answer_all(TASKS, SPEC)
    alone = accept([("acme", "a.csv", data)], TASKS, SPEC, KEY)
    frame = accept([(vendor, "a.csv", data) for vendor in ("aaa", "acme", "other")], TASKS, SPEC, KEY)
    assert frame.groupby("vendor")["reason"].apply(set).to_dict() == {"aaa": {"UNKNOWN_ITEM"}, "acme": {""}, "other": {"UNKNOWN_ITEM"}}
    assert frame["vendor"].value_counts().to_dict() == {"aaa": 18, "acme": 18, "other": 18}
    pd.testing.assert_frame_equal(frame[frame["vendor"] == "acme"].reset_index(drop=True), alone)


def test_the_order_of_the_files_does_not_matter():
    files = [("acme", f"{name}.csv", make_csv(f"{ITEM},colour,{label},,,,,ann,,")) for name, label in [("a", "red"), ("b", "red")]]
    pd.testing.assert_frame_equal(accept(files, TASKS, SPEC, KEY), accept(files[::-1], TASKS, SPEC, KEY))


def test_a_file_that_cannot_be_read_is_one_rejected_row():
    files = [("acme", "a.csv", b"\xff\xfe"), ("acme", "b.json", b"[" * 9999), ("acme", "c.csv", make_csv(f"{ITEM},colour,red,,,,,ann,,"))]
    frame = accept(files, TASKS, SPEC, KEY).set_index("file")
    assert frame["reason"].to_dict() == {"a.csv": "ENCODING", "b.json": "TOO_DEEP", "c.csv": ""}


def test_nobody_is_named():
    rows = [
        f"{ITEM},colour,red,,,,,Maria Gomez,,",
        f"{ITEM},colour,maria@example.com,,,,,Maria Gomez,,",
        f"{ITEM},Maria Gomez,red,,,,,Maria Gomez,,",
        "Maria Gomez,colour,red,,,,,Maria Gomez,,",
        f"{ITEM},colour,red,,,,,Maria Gomez,,,Maria",
    ]
    frame = accept([("acme", "labels of maria gomez.csv", make_csv(*rows))], TASKS, SPEC, KEY)
    assert len(frame) == 5
    assert "maria" not in frame.to_csv().lower()


def test_nothing_returned_is_an_empty_table():
    pd.testing.assert_frame_equal(accept([], TASKS, SPEC, KEY), manifest.empty("labeled_batches"))


cell = st.sampled_from(
    [ITEM, OTHER, "", "colour", "marks", "parts", "red", "blue", "logo|text", "bag", "none", "1", "5", "nan", "ann", WHEN, "x"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(cell, min_size=8, max_size=11).filter(any), min_size=1, max_size=30))
def test_every_csv_row_comes_out_once(rows):
    frame = accept([("acme", "a.csv", make_csv(*(",".join(row) for row in rows)))], TASKS, SPEC, KEY)
    assert len(frame) == len(rows)
    assert set(frame["status"]) <= {"accepted", "rejected"}
    assert ((frame["reason"] == "") == (frame["status"] == "accepted")).all()
    taken = frame[(frame["status"] == "accepted") & (frame["attribute"] != "parts")]
    assert not taken.duplicated(["task_id", "attribute", "worker_id"]).any()


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from([ITEM, "red", "colour", "choices", "bag"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "annotations", "result", "value", "type", "from_name", "choices", "item_id", "completed_by"]), inner
        )
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(json_value)
def test_no_json_document_raises(document):
    text = json.dumps([{"data": {"item_id": ITEM}, "annotations": [{"result": [document], "completed_by": document}, document]}, document])
    frame = accept([("acme", "a.json", text.encode())], TASKS, SPEC, KEY)
    assert len(frame) >= 1 and set(frame["status"]) <= {"accepted", "rejected"}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise(data):
    frame = accept([("acme", "a", data)], TASKS, SPEC, KEY)
    assert len(frame) >= 1


def test_whole_batch_is_accepted():
    frame = accept([("acme", "a.csv", answer_all(TASKS, SPEC))], TASKS, SPEC, KEY)
    assert len(frame) == 18 and (frame["status"] == "accepted").all()
