"""What another policy means for pictures that were screened: whether they pass, and whether it makes a difference."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.personal_data.policy import COLUMNS, differs, let_pass, policy_of
from dataops_assets.spec import PersonalData

SEARCHED = {"faces": 0, "text_regions": 0}


def policy(**fields: Any) -> dict[str, Any]:
    return policy_of(PersonalData(**{"look_for": ("face", "text", "metadata"), **fields}))


def rows(*pictures: dict[str, Any]) -> pd.DataFrame:
    made = [{"image_id": str(number), "drop_id": "d", "status": "kept", **SEARCHED, **one} for number, one in enumerate(pictures)]
    return manifest.conform(pd.DataFrame(made), CONTRACTS["cleaned_set"])[list(COLUMNS)]


OPEN = {"personal_data": "face", "open_personal_data": "face", "faces": 1}
COVERED = {"personal_data": "face", "faces": 1, "regions": '[["face", 1, 1, 9, 9, 0.9, true]]'}
KEEP = policy(policy={"face": "keep"})


@pytest.mark.parametrize(
    ("picture", "action", "passes"),
    [
        ({}, "reject", True), (OPEN, "keep", True), (OPEN, "redact", False), (OPEN, "review", False), (OPEN, "reject", False),
        (COVERED, "redact", True), (COVERED, "review", True), (COVERED, "reject", False),
        ({"faces": None}, "keep", False), ({"text_regions": None}, "keep", False),
    ],
)  # fmt: skip
def test_a_picture_passes_that_was_searched_and_shows_nothing_that_is_forbidden(picture: Any, action: str, passes: bool) -> None:
    assert list(let_pass(rows(picture, {}), policy(policy={"face": action}), KEEP)) == [passes, True]


@pytest.mark.parametrize(("was", "passes"), [("review", True), ("keep", False)])
def test_what_a_person_decided_counts_for_what_was_in_question_then(was: str, passes: bool) -> None:
    decided = rows({**OPEN, "decided_by": "ann"})
    assert list(let_pass(decided, policy(policy={"face": "review"}), policy(policy={"face": was}))) == [passes]
    assert list(let_pass(decided, policy(policy={"face": "redact"}), policy(policy={"face": was}))) == [False]


def test_plates_are_looked_for_where_the_earlier_policy_did_so() -> None:
    plates = policy(look_for=("face", "plate"))
    assert list(let_pass(rows({}), plates, KEEP)) == list(let_pass(rows({}), plates, None)) == [False]
    assert list(let_pass(rows({}), plates, plates)) == [True]


@pytest.mark.parametrize(
    "now",
    [
        policy(policy={"face": "keep"}, retention_days=3),
        policy(policy={"face": "keep"}, look_for=("metadata", "text", "face", "face")),
        policy(policy={"face": "keep", "gps": "redact"}),  # as by default
        policy(policy={"face": "keep", "e_mail": "reject", "artist": "review"}),  # there is none
        policy(policy={"face": "keep"}, cover="box"),  # nothing is covered
        policy(policy={"face": "keep"}, phone_regions=("DE",)),  # nothing was read
    ],
)
def test_what_makes_no_difference_to_a_drop_is_none(now: dict[str, Any]) -> None:
    assert not differs(rows(OPEN, {}), now, KEEP)


@pytest.mark.parametrize(
    ("pictures", "now"),
    [
        ([OPEN], policy(policy={"face": "redact"})),
        ([{**OPEN, "status": "rejected"}], policy(policy={"face": "review"})),  # a laxer one brings it back
        ([{}], policy(policy={"face": "keep"}, look_for=("face", "text", "metadata", "plate"))),
        ([COVERED], policy(policy={"face": "keep"}, cover="box")),
        ([{"text_regions": 3}], policy(policy={"face": "keep"}, phone_regions=("PL",))),
        ([OPEN], policy(look_for=("text", "metadata"))),
    ],
)
def test_what_makes_a_difference_is_one(pictures: list[dict[str, Any]], now: dict[str, Any]) -> None:
    assert differs(rows(*pictures), now, KEEP)
    assert not differs(rows({"status": "rejected", "faces": None, "text_regions": None}), KEEP, KEEP)


def test_where_nobody_knows_the_earlier_policy_the_pictures_tell() -> None:
    assert not differs(rows({}, COVERED), policy(), None)
    assert differs(rows({}, OPEN), policy(), None)
    assert differs(rows({"faces": None}), policy(), None)
