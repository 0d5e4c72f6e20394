"""The brief adds up, says so in sentences, and holds back what can't be paid or done in time."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import brief
from tests.conftest import changed


def figures(spec: ProjectSpec) -> dict[str, dict[str, Any]]:
    rows = conform(brief.check(spec), CONTRACTS["brief"]).to_dict("records")
    return {row["check"]: row for row in rows}


def test_the_sum_can_be_followed_by_hand(dresses: ProjectSpec) -> None:
    seen = figures(dresses)
    answers = (120 + 18) * 6 * 3  # images and 15 % gold, six questions, three answers each
    rework = 373  # 15 % of 2,484, rounded up
    assert seen["images_wanted"]["value"] == 120
    assert seen["labels_wanted"]["value"] == answers
    assert seen["image_cost"]["value"] == pytest.approx(120 * 0.05)  # the dearest vendor's price
    assert seen["label_cost"]["value"] == pytest.approx(answers * 0.04)
    assert seen["cost_total"]["value"] == pytest.approx(6 + (answers + rework) * 0.04)
    assert seen["days_needed"]["value"] == 2  # one of the vendor's, one of our own people's
    parts = ("image_cost", "label_cost", "own_cost", "rework_cost")
    assert seen["cost_total"]["value"] == pytest.approx(sum(seen[part]["value"] for part in parts))


@pytest.mark.parametrize("project", ["dresses", "garments"])
def test_the_examples_fit_their_budget_and_date(project: str, request: pytest.FixtureRequest) -> None:
    seen = figures(request.getfixturevalue(project))
    assert all(seen[check]["is_met"] for check in brief.CRITICAL)
    assert seen["cost_total"]["value"] <= seen["cost_total"]["limit"]
    assert all(row["sentence"].endswith(".") for row in seen.values())


def test_too_dear_and_too_late_are_told_apart(dresses: ProjectSpec) -> None:
    dear = figures(changed(dresses, brief={"budget": 50}))
    assert (dear["cost_total"]["is_met"], dear["days_needed"]["is_met"]) == (False, True)
    assert "of 50.00 EUR" in dear["cost_total"]["sentence"]
    late = figures(changed(dresses, brief={"deadline": "2026-11-03"}))
    assert (late["cost_total"]["is_met"], late["days_needed"]["is_met"]) == (True, False)


def test_more_answers_an_image_cost_more(dresses: ProjectSpec) -> None:
    assert figures(changed(dresses, labeling={"overlap": 5}))["cost_total"]["value"] > figures(dresses)["cost_total"]["value"]


def test_our_own_people_are_paid_too(dresses: ProjectSpec) -> None:
    vendors = dresses.model_dump(mode="json")["labeling"]["vendors"]
    vendors = [{**vendor, "price_per_label": 0.5} if vendor["internal"] else vendor for vendor in vendors]
    seen = figures(changed(dresses, labeling={"vendors": vendors}))
    assert seen["own_cost"]["value"] == pytest.approx(24 * 6 * 0.5)
    assert seen["cost_total"]["value"] == pytest.approx(figures(dresses)["cost_total"]["value"] + 72)


def test_a_production_batch_needs_gold_from_a_pilot(dresses: ProjectSpec) -> None:
    enough, few = figures(dresses), figures(changed(dresses, labeling={"gold_share": 0.01}))
    assert few["gold_precision"]["value"] > enough["gold_precision"]["value"]
    assert not few["gold_precision"]["is_met"]


def test_a_lopsided_volume_is_advised_against_by_name(dresses: ProjectSpec) -> None:
    seen = figures(changed(dresses, brief={"volume": {"style": {"casual": 100, "evening": 3}}}))
    assert not seen["class_balance"]["is_met"]
    assert "style evening" in seen["class_balance"]["sentence"]
    assert "class_balance" not in brief.CRITICAL


def test_nothing_wanted_is_not_met(dresses: ProjectSpec) -> None:
    seen = figures(changed(dresses, brief={"volume": {}}))
    assert not seen["images_wanted"]["is_met"]


def test_the_same_spec_gives_the_same_rows(dresses: ProjectSpec) -> None:
    pd.testing.assert_frame_equal(brief.check(dresses), brief.check(dresses))
