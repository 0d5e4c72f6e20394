"""Every prediction comes out once: right, wrong, or refused with a reason."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform
from dataops_assets.projects import load_project
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.model_feedback import accept
from tests.conftest import REPO, changed

GARMENTS = load_project(REPO / "dataops_assets/defs/garments/defs.yaml")


def export(**labels: object) -> pd.DataFrame:
    rows = [
        {"release": "r1", "image_id": name, "split": "test", "labels": json.dumps({"category": value})} for name, value in labels.items()
    ]
    return pd.DataFrame(rows, columns=["release", "image_id", "split", "labels"])


def read(text: str | bytes, spec: ProjectSpec = GARMENTS, held: pd.DataFrame | None = None) -> pd.DataFrame:
    data = text.encode() if isinstance(text, str) else text
    frame = accept([("p.csv", data)], export(a="hat", b="dress") if held is None else held, spec)
    return conform(frame, CONTRACTS["model_feedback"])


def reasons(text: str | bytes, **more: object) -> list[str | None]:
    return list(read(text, **more)["reason"])  # type: ignore[arg-type]


def test_right_and_wrong_are_told_against_the_exported_label() -> None:
    made = read("image_id,attribute,predicted,confidence,model\na,category,hat,0.9,m1\nb,category,hat,0.6,m1\n")
    assert list(made["is_correct"]) == [True, False]
    assert list(made["label"]) == ["hat", "dress"]
    assert list(made["confidence"]) == [0.9, 0.6]
    assert set(made["split"]) == {"test"} and set(made["model"]) == {"m1"} and set(made["release"]) == {"r1"}


def test_the_attribute_may_be_left_out_where_there_is_one_only(dresses: ProjectSpec) -> None:
    text = "image_id,predicted\na,hat\n"
    assert reasons(text) == [None]
    assert reasons(text, spec=dresses) == ["UNKNOWN_ITEM"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("zzz,category,hat,0.5", "UNKNOWN_ITEM"),
        ("a,colour,hat,0.5", "UNKNOWN_ITEM"),
        ("a,category,spaceship,0.5", "UNKNOWN_LABEL"),
        ("a,category,,0.5", "UNKNOWN_LABEL"),
        ("a,category", "UNKNOWN_LABEL"),
        ("a,category,hat,nan", "NOT_FINITE"),
        ("a,category,hat,inf", "NOT_FINITE"),
        ("a,category,hat,high", "NOT_FINITE"),
        ("a,category,hat,1.5", "OUT_OF_BOUNDS"),
        ("a,category,hat,-0.1", "OUT_OF_BOUNDS"),
        ("a,category,hat,", None),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: str, reason: str | None) -> None:
    made = read(f"image_id,attribute,predicted,confidence\n{row}\n")
    assert list(made["reason"]) == [reason]
    assert list(made["status"]) == ["accepted" if reason is None else "rejected"]
    assert list(made["release"]) == ["r1"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xfeimage_id,predicted\n", "ENCODING"),
        (b"", "SCHEMA"),
        (b"picture,guess\na,hat\n", "SCHEMA"),
        (b'image_id,predicted\na,"hat\n', "SCHEMA"),
        (b"image_id,predicted\n", "NO_ROWS"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_refused_row(data: bytes, reason: str) -> None:
    assert reasons(data) == [reason]


def test_a_picture_of_ours_without_a_released_label_is_kept_to_start_labelling_from() -> None:
    held = export(a="hat").assign(labels='{"other": "x"}')  # in the release, without an answer to this question
    rows = b"image_id,predicted,confidence\na,hat,0.9\nwaits,dress,0.6\nstranger,hat,0.9\nwaits,spaceship,0.9\n"
    made = conform(accept([("p.csv", rows)], held, GARMENTS, ["a", "waits"]), CONTRACTS["model_feedback"])
    assert list(made["status"]) == ["unlabelled", "unlabelled", "rejected", "rejected"]
    assert list(made["reason"]) == [None, None, "UNKNOWN_ITEM", "UNKNOWN_LABEL"]
    assert list(made["predicted"][:2]) == ["hat", "dress"] and made["is_correct"][:2].isna().all()


def test_several_choices_are_right_in_any_order() -> None:
    document = GARMENTS.model_dump(mode="json")["ontology"]
    document["attributes"][0]["kind"] = "multi"
    spec = changed(GARMENTS, ontology=document)
    held = export(a=["hat", "dress"])
    made = read("image_id,predicted\na,hat|dress\na,hat\n", spec=spec, held=held)
    assert list(made["is_correct"]) == [True, False]
    assert set(made["label"]) == {"dress|hat"}


def test_boxes_are_refused_not_compared() -> None:
    document = GARMENTS.model_dump(mode="json")["ontology"]
    document["attributes"][0]["kind"] = "box"
    boxes = [{"label": "hat", "x": 1, "y": 1, "w": 2, "h": 2}, {"label": "hat", "x": 5, "y": 5, "w": 2, "h": 2}]
    spec = changed(GARMENTS, ontology=document)
    assert reasons("image_id,predicted\na,hat\n", spec=spec, held=export(a=boxes)) == ["SCHEMA"]


def test_the_same_file_twice_adds_nothing_and_another_does() -> None:
    first, second = b"image_id,predicted\na,hat\n", b"image_id,predicted\na,dress\n"
    assert len(accept([("1", first), ("2", first)], export(a="hat"), GARMENTS)) == 1
    assert len(accept([("1", first), ("2", second)], export(a="hat"), GARMENTS)) == 2


def test_no_files_give_an_empty_table() -> None:
    assert conform(accept([], export(), GARMENTS), CONTRACTS["model_feedback"]).empty


@settings(max_examples=80, derandomize=True, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_come_out_as_rows_with_a_status(data: bytes, headed: bool) -> None:
    made = read(b"image_id,predicted,confidence\n" + data if headed else data)
    assert len(made) >= 1
    assert made["status"].isin(["accepted", "rejected"]).all()
    assert made.loc[made["status"] == "rejected", "reason"].notna().all()
