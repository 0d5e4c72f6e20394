"""The brief adds up, says so in sentences, and holds back what can't be paid or done in time."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
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
    answers = (120 + 3 * 18) * 6 * 3  # batches of 32, 60 and 28 with the gold of a full one each, six questions, three answers each
    rework = 470  # 15 % of 3,132, rounded up
    tried = 36 * 6 * 3  # each vendor's qualification on the pilot
    assert seen["images_wanted"]["value"] == 120
    assert seen["labels_wanted"]["value"] == answers
    assert seen["image_cost"]["value"] == pytest.approx(120 * 0.05)  # the dearest vendor's price
    assert seen["label_cost"]["value"] == pytest.approx(answers * 0.04)
    assert seen["cost_total"]["value"] == pytest.approx(6 + (answers + rework) * 0.04 + tried * (0.04 + 0.03) + 482 * 0.2)  # audit
    assert seen["days_needed"]["value"] == 3  # two of the vendor's, one of our own people's
    assert seen["cost_total"]["value"] == pytest.approx(sum(seen[part]["value"] for part in brief.COSTS))


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
    assert seen["own_cost"]["value"] == pytest.approx(36 * 6 * 2 * 0.5)  # two of them look at each picture
    assert seen["audit_cost"]["value"] == pytest.approx(482 * 0.5)
    free = figures(dresses)  # their time has a price at audits though nobody bills it: five of the vendor's answers
    assert free["audit_cost"]["value"] == pytest.approx(482 * 5 * 0.04)
    assert seen["cost_total"]["value"] == pytest.approx(free["cost_total"]["value"] + 216 + 241 - 482 * 5 * 0.04)


def test_a_production_batch_needs_gold_from_a_pilot(dresses: ProjectSpec) -> None:
    enough, few = figures(dresses), figures(changed(dresses, labeling={"gold_share": 0.01}))
    assert few["gold_precision"]["value"] > enough["gold_precision"]["value"]
    assert not few["gold_precision"]["is_met"]


def test_a_pilot_that_gives_less_gold_than_a_batch_hides_is_held_back_and_told_how_large_it_must_be(dresses: ProjectSpec) -> None:
    few = figures(changed(dresses, labeling={"pilot_size": 20}))["gold_available"]
    assert (few["value"], few["limit"], few["is_met"]) == (15, 18, False)  # 5 of 20 may be shown in the guidelines
    assert "18 different ones are needed, 3 more than there are. A pilot of 23 pictures would do." in few["sentence"]
    enough = changed(dresses, labeling={"pilot_size": 23})
    assert figures(enough)["gold_available"]["is_met"]
    assert not figures(changed(enough, labeling={"shown_gold": 0.3}))["gold_available"]["is_met"]
    existing = conform(brief.check(changed(dresses, labeling={"pilot_size": 20}), 23), CONTRACTS["brief"]).set_index("check")
    assert existing.loc["gold_available", "is_met"]  # a second pilot was labelled
    hopeless = figures(changed(dresses, labeling={"shown_gold": 1.0}))["gold_available"]
    assert not hopeless["is_met"] and "A smaller `shown_gold`" in hopeless["sentence"]
    assert figures(changed(dresses, labeling={"gold_share": 0.0}))["gold_available"]["is_met"]


def test_gold_wears_out_by_being_shown(dresses: ProjectSpec) -> None:
    large = changed(dresses, brief={"volume": {"style": {"casual": 60_000}}}, labeling={"ramp_start": None})
    row = figures(large)["gold_available"]
    shown = 1000 * 18  # batches of 60; rework shows 15 % of them once more, the qualification each of 27 pictures
    assert row["limit"] == -(-(shown * 1.15 + 27) // 25) and not row["is_met"]
    assert figures(changed(large, labeling={"gold_exposures": 1000}))["gold_available"]["limit"] == 21


def test_gold_measures_as_exactly_as_it_has_different_pictures(dresses: ProjectSpec) -> None:
    row = figures(dresses)["gold_precision"]
    assert row["value"] == pytest.approx(1.96 * (0.95 * 0.05 / 27) ** 0.5, abs=1e-4)
    assert "to within 5% takes 73, and production shows gold only 54 times" in row["sentence"]
    often = figures(changed(dresses, labeling={"gold_share": 0.5}))["gold_precision"]
    assert "to within 5% takes 73. A pilot of 97 pictures would do" in often["sentence"]
    assert figures(changed(dresses, labeling={"pilot_size": 97}))["gold_precision"]["value"] > 0.05  # 54 pictures are shown in all
    assert figures(changed(dresses, labeling={"pilot_size": 97, "gold_share": 0.5}))["gold_precision"]["is_met"]
    surer = figures(changed(dresses, brief={"confidence": 0.99}))["gold_precision"]
    assert surer["value"] > row["value"]


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


def test_a_requester_reads_how_much_is_too_much(dresses: ProjectSpec) -> None:
    (told,) = brief.unmet(changed(dresses, brief={"budget": 60}))
    assert told.startswith("All in all 291.84 of 60.00 EUR: 231.84 too much; the budget pays for about 24 of 120 images")
    (late,) = brief.unmet(changed(dresses, brief={"deadline": "2026-11-03"}))
    assert "all is done on 2026-11-04" in late and "2 too many" in late
    assert brief.unmet(dresses) == []


def test_work_rests_on_days_off_and_on_the_vendors_own(dresses: ProjectSpec) -> None:
    thursday = date(2026, 12, 24)
    assert brief.finish(thursday, 2, 5, (date(2026, 12, 25), date(2026, 12, 28))) == date(2026, 12, 29)
    done = figures(dresses)["days_needed"]["value"]
    off = ["2026-11-04"]  # the third day of three: the planned vendor's production
    assert figures(changed(dresses, brief={"days_off": off}))["days_needed"]["value"] == done + 1
    vendors = dresses.model_dump(mode="json")["labeling"]["vendors"]
    other = [{**vendor, "days_off": off if vendor["name"] == "pixelcrew" else []} for vendor in vendors]
    own = [{**vendor, "days_off": off if vendor["name"] == "labelworks" else []} for vendor in vendors]
    assert figures(changed(dresses, labeling={"vendors": other}))["days_needed"]["value"] == done
    assert figures(changed(dresses, labeling={"vendors": own}))["days_needed"]["value"] == done + 1


def test_every_candidate_is_waited_for_and_other_vendors_dates_stand_beside_the_planned_one(dresses: ProjectSpec) -> None:
    def with_pace(name: str, pace: int) -> dict[str, dict[str, Any]]:
        vendors = dresses.model_dump(mode="json")["labeling"]["vendors"]
        return figures(changed(dresses, labeling={"vendors": [{**v, "labels_per_day": pace} if v["name"] == name else v for v in vendors]}))

    usual, slow = figures(dresses), with_pace("pixelcrew", 100)
    assert usual["days_needed"]["value"] == 3 and usual["pace.pixelcrew"]["value"] == 3
    assert slow["days_needed"]["value"] == 11  # its test of 648 answers takes 7 working days, over a weekend
    assert slow["pace.pixelcrew"]["value"] > 40 and "At pixelcrew's 100 answers a day" in slow["pace.pixelcrew"]["sentence"]
    assert "pace.labelworks" not in usual


@pytest.mark.parametrize("count", [10**9, 10**12])
def test_an_absurd_volume_is_told_in_a_sentence(dresses: ProjectSpec, count: int) -> None:
    row = figures(changed(dresses, brief={"volume": {"style": {"casual": count}}}))["days_needed"]
    assert not row["is_met"] and "not done before the calendar ends" in row["sentence"]


def test_a_volume_that_is_no_number_of_images_is_refused(dresses: ProjectSpec) -> None:
    with pytest.raises(ValueError, match="less than or equal to 1000000000000"):
        changed(dresses, brief={"volume": {"style": {"casual": 10**400}}})


@pytest.mark.parametrize(
    ("start", "workdays", "days_a_week", "end"),
    [
        ("2026-11-02", 1, 5, "2026-11-02"),  # a Monday
        ("2026-11-02", 5, 5, "2026-11-06"),
        ("2026-11-02", 6, 5, "2026-11-09"),
        ("2026-11-02", 6, 6, "2026-11-07"),
        ("2026-11-02", 8, 7, "2026-11-09"),
        ("2026-11-07", 1, 5, "2026-11-09"),  # nobody begins on a Saturday
        ("2026-11-06", 0, 5, "2026-11-06"),
    ],
)
def test_work_rests_at_weekends_unless_the_brief_says_otherwise(start: str, workdays: int, days_a_week: int, end: str) -> None:
    assert brief.finish(date.fromisoformat(start), workdays, days_a_week) == date.fromisoformat(end)


def test_the_overlap_is_weighed_against_the_target(dresses: ProjectSpec) -> None:
    fine = figures(dresses)["consensus_accuracy"]
    assert fine["is_met"] and fine["value"] == pytest.approx(0.972)
    high = figures(changed(dresses, brief={"accuracy_target": 0.99}))["consensus_accuracy"]
    assert not high["is_met"] and "5 answers would do" in high["sentence"]
    hopeless = figures(changed(dresses, labeling={"worker_accuracy": 0.5}))["consensus_accuracy"]
    assert "better people or clearer definitions" in hopeless["sentence"]


def test_an_audit_is_as_large_as_its_certainty_needs_and_never_larger_than_what_is_delivered(dresses: ProjectSpec) -> None:
    sure = figures(dresses)["audit_labels"]
    assert "482 delivered labels are looked at again and 466 must be right" in sure["sentence"]
    surer = figures(changed(dresses, brief={"confidence": 0.99}))["audit_labels"]
    assert surer["value"] == 720  # 120 images x 6 questions: all of them
    assert "all of them are looked at again" in surer["sentence"]
    blind = figures(changed(dresses, labeling={"worker_accuracy": 0.8}))["audit_labels"]
    assert blind["value"] == 720 and blind["sentence"].startswith("Nothing can show with 95% confidence")


def test_a_pilot_too_small_to_qualify_anybody_is_advised_against(dresses: ProjectSpec) -> None:
    small = figures(changed(dresses, labeling={"qualification": "required", "pilot_size": 8}))["qualification_gold"]
    assert not small["is_met"] and "A pilot of 15 images would give them a fair chance" in small["sentence"]
    enough = figures(changed(dresses, labeling={"qualification": "required", "pilot_size": 24}))["qualification_gold"]
    assert enough["is_met"] and "61 of 72 gold answers" in enough["sentence"]


def test_versions_differ_in_sentences_cost_and_date_first(dresses: ProjectSpec) -> None:
    new = changed(dresses, brief={"volume": {"style": {"casual": 9000, "evening": 40}}, "budget": 20000})
    told = brief.difference(brief.check(new), brief.check(dresses))
    assert told[0].startswith("It costs 10,")
    assert told[0].split(":")[0].endswith("EUR more")
    assert "The budget: 900 EUR -> 20,000 EUR." in told
    assert any(line.startswith("It takes") and "days longer" in line for line in told)
    assert "Volume of style casual: 40 -> 9,000 images." in told
    assert "Volume of style work: 40 -> not there." in told
    assert not any("evening" in line for line in told)
    assert brief.difference(brief.check(dresses), brief.check(dresses)) == []


def test_other_numbers_of_answers_stand_beside_the_one_agreed(dresses: ProjectSpec) -> None:
    rows = brief.choices(dresses)
    assert [row["answers"] for row in rows if row["note"]] == [3]
    assert [row["answers"] for row in rows] == [1, 3, 5, 7]
    for less, more in pairwise(rows):
        assert less["right"] < more["right"] and less["cost"] < more["cost"]  # type: ignore[operator]
    assert [row["answers"] for row in brief.choices(changed(dresses, labeling={"overlap": 2}))] == [1, 2, 3, 5, 7]


def test_the_sample_of_a_batch_is_told_with_what_it_costs(dresses: ProjectSpec) -> None:
    usual = figures(dresses)["batch_audit"]
    assert (usual["value"], usual["is_met"]) == (81, True) and "answer 81 for its audit, which costs 16.20 EUR a batch" in usual["sentence"]
    high = changed(dresses, brief={"accuracy_target": 0.98})
    grown = figures(high)["batch_audit"]
    assert (grown["value"], grown["is_met"]) == (150, True) and "just reaches 98.0% passes nineteen times in twenty" in grown["sentence"]
    few = figures(changed(high, quality={"audit_floor": 100}))["batch_audit"]
    assert (few["limit"], few["is_met"]) == (150, False) and few["value"] < 100
    assert "is refused 25% of the time" in few["sentence"] and "`quality.audit_floor: 150`" in few["sentence"]
    set_ = figures(changed(high, quality={"audit_floor": 150}))["batch_audit"]
    assert set_["is_met"]  # what it says helps
    assert grown["sentence"].endswith(
        "under normal inspection (`quality.audit_floor`). Tightened, after batches that were refused, it takes 230."
    )
    for one in (few, set_):
        assert "of the time: without `quality.audit_floor` it takes 230." in one["sentence"]
    off = figures(changed(dresses, quality={"audit": "off"}))["batch_audit"]
    assert off["value"] == 0 and "stays unmeasured" in off["sentence"]


def test_samples_of_many_batches_are_paid_where_they_are_more_than_certifies_the_target(dresses: ProjectSpec) -> None:
    many = changed(dresses, brief={"volume": {"style": {"casual": 60 * 40}}}, labeling={"ramp_start": None})
    one, row = figures(many)["batch_audit"]["value"], figures(many)["audit_labels"]
    assert 10 * one < row["value"] < 40 * one  # forty batches, inspection is reduced after ten
    assert "The samples of 40 batches come to" in row["sentence"]
    assert figures(many)["audit_cost"]["value"] == pytest.approx(row["value"] * 0.2)
    assert figures(changed(many, quality={"audit": "off"}))["audit_labels"]["value"] == 482
