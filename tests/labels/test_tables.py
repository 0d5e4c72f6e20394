from __future__ import annotations

import json
import time

import pytest

from dataops_assets.labels import tables

GOOD_CSV = "item_id,attribute,label,annotator\n0001,colour,NA,007\n"


def read(data: bytes) -> list[dict]:
    return tables.read(data, {}, ()).to_dict("records")


def test_csv_cells_stay_text():
    (row,) = read(GOOD_CSV.encode())
    assert (row["item_id"], row["label"], row["annotator"], row["x"]) == ("0001", "NA", "007", "")


@pytest.mark.parametrize(
    "data", [GOOD_CSV.encode("utf-8-sig"), GOOD_CSV.replace(",", ";").encode(), GOOD_CSV.replace("\n", "\r\n").encode()]
)
def test_csv_as_spreadsheets_save_it(data):
    assert read(data) == read(GOOD_CSV.encode())


def test_rows_are_numbered_as_they_lie_and_blank_ones_are_none():
    rows = read(b'item_id,label\na,x\n\n,\n"b",y\n')
    assert [(row["row"], row["item_id"]) for row in rows] == [(1, "a"), (4, "b")]


def test_a_row_of_wrong_length_is_kept_without_its_cells():
    rows = read(b"item_id,label\na,x,anna@example.com\nb,y\n")
    assert [(row["fault"], row["label"]) for row in rows] == [("SCHEMA", ""), ("", "y")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "NO_ROWS"),
        (b"item_id,label\n", "NO_ROWS"),
        (b"id,label\na,x\n", "SCHEMA"),
        (b"item_id,label,label\na,x,y\n", "SCHEMA"),
        (b'item_id,label\n"a"b,x\n', "SCHEMA"),
        (b"item_id,label\na,\xff\n", "ENCODING"),
        (GOOD_CSV.encode("utf-16"), "ENCODING"),
        (b"PK\x03\x04\xff\xfe", "ENCODING"),
        (b"[", "SCHEMA"),
        (b"[{}]", "SCHEMA"),
        (b"[]", "NO_ROWS"),
        (b'{"images": []}', "SCHEMA"),
        (b'[{"a": 1, "a": 2}]', "SCHEMA"),
        (b'[{"a": NaN}]', "NOT_FINITE"),
        (b'[{"a": -Infinity}]', "NOT_FINITE"),
        (b'[{"a": "\\ud800"}]', "ENCODING"),
        (b'[{"a": "\xff"}]', "ENCODING"),
        (b"[" * 100_000, "TOO_DEEP"),
        (b"[" * 65 + b"]" * 65, "TOO_DEEP"),
        (b"[" * 33 + b" " * (1 << 20) + b"[" * 32 + b"]" * 65, "TOO_DEEP"),
        (b"[" + b"[]," * 2_600_000 + b"[]]", "TOO_LARGE"),
        (b'[{"a": ' + b"9" * 5000 + b"}]", "SCHEMA"),
        (b"<annotations/>", "SCHEMA"),
        (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x/>', "XML_FORBIDDEN"),
    ],
)
def test_files_that_cannot_be_used(data, code):
    with pytest.raises(tables.Refused) as refused:
        read(data)
    assert refused.value.code == code


def test_brackets_in_text_are_no_depth_and_a_pair_of_surrogates_is_a_sign():
    assert tables.strict_json(json.dumps(["[" * 100, "\U0001f600"]).encode()) == ["[" * 100, "\U0001f600"]


@pytest.mark.parametrize("data", [b'["' + b'\\"' * 500_000, b'["' + b'\\"' * 500_000 + b"\\", b'["' * 300_000])
def test_unclosed_strings_are_refused_in_linear_time(data):
    start = time.process_time()
    with pytest.raises(tables.Refused):
        tables.strict_json(data)
    assert time.process_time() - start < 5
