"""The brief adds up, and says in a sentence what doesn't fit."""

from __future__ import annotations

import pytest

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.brief import CRITICAL, check
from tests.conftest import changed


def test_the_figures_of_dresses_add_up(dresses: ProjectSpec) -> None:
    value = check(dresses).set_index("check")["value"]
    assert value["images_wanted"] == 120
    assert value["labels_wanted"] == (120 + 18) * 6 * 3  # 15 % gold
    assert value["image_cost"] == pytest.approx(120 * 0.05)
    assert value["label_cost"] == pytest.approx(2484 * 0.04)
    assert value["rework_cost"] == pytest.approx(373 * 0.04)
    assert value["cost_total"] == pytest.approx(value["image_cost"] + value["label_cost"] + value["rework_cost"])
    assert value["days_needed"] == 2


@pytest.mark.parametrize(
    ("sections", "fails"),
    [
        ({"brief": {"budget": 50}}, "cost_total"),
        ({"brief": {"deadline": "2026-11-03"}}, "days_needed"),
        ({"brief": {"volume": {}}}, "images_wanted"),
    ],
)
def test_what_does_not_fit_is_named(dresses: ProjectSpec, sections: dict[str, dict[str, object]], fails: str) -> None:
    frame = check(changed(dresses, **sections))
    assert {row["check"] for row in frame.to_dict("records") if row["check"] in CRITICAL and not row["is_met"]} == {fails}


def test_more_overlap_costs_more_and_gold_narrows_the_estimate(dresses: ProjectSpec) -> None:
    def value(name: str, **labeling: object) -> float:
        return float(check(changed(dresses, labeling=labeling)).set_index("check")["value"][name])

    assert value("cost_total", overlap=5) > value("cost_total", overlap=3)
    assert value("gold_precision", gold_share=0.5) < value("gold_precision", gold_share=0.1)
