from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets import manifest
from dataops_assets.labels.agreement import wilson
from dataops_assets.stages.label_quality import assess
from dataops_assets.stages.labeled_batches import accept
from tests.labels.world import COLOUR, KEY, MARKS, PARTS, make_csv, make_spec, make_tasks


def judge(
    attribute: dict, rows: list[str], n: int = 1, round_: int = 0, gold: pd.DataFrame | None = None, golden: bool = False, **labeling
):
    """Quality of one-attribute tasks; in the rows `T0,` stands for the first task's id."""
    spec = make_spec(attribute, **labeling)
    tasks = make_tasks(spec, n).assign(round=round_, is_gold=golden)
    for place, name in enumerate(tasks["task_id"]):
        rows = [row.replace(f"T{place},", f"{name},{attribute['name']},") for row in rows]
    labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, spec, KEY) if rows else manifest.empty("labeled_batches")
    assert (labeled["status"] == "accepted").all(), labeled["reason"]
    if gold is not None:
        gold = gold.assign(image_id=tasks["image_id"].iloc[0], attribute=attribute["name"])
    return assess(labeled, tasks, gold, spec).to_dict("records")


def says(*labels: str, task: int = 0) -> list[str]:
    return [f"T{task},{label},,,,,w{number},,2" for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "round_", "winner", "posterior", "agreement", "decision", "reason"),
    [
        (["red"] * 3, 0, "red", 1.0, 1.0, "accept", "100% of 3 answers agree"),
        (["red", "red", "blue"], 0, "red", 2 / 3, 1 / 3, "accept", "67% of 3 answers agree"),
        (["red", "blue", "NA"], 0, "NA", 1 / 3, 0.0, "rework", "a tie among 3 answers"),
        (["red", "blue", "NA"], 1, "NA", 1 / 3, 0.0, "adjudicate", "a tie among 3 answers"),
        (["red", "red"], 0, "red", 1.0, 1.0, "rework", "2 of 3 answers"),
        (["red", "red"], 1, "red", 1.0, 1.0, "adjudicate", "2 of 3 answers"),
        (["red", "red", "blue", "blue", "red"], 0, "red", 0.6, 0.4, "rework", "60% of 5 answers agree, 66% wanted"),
        ([], 0, None, 0.0, None, "rework", "0 of 3 answers"),
    ],
)
def test_decision_on_a_choice(labels, round_, winner, posterior, agreement, decision, reason):
    (row,) = judge(COLOUR, says(*labels), round_=round_)
    assert (row["label"], row["decision"], row["reason"], row["n_labels"]) == (winner, decision, reason, len(labels))
    assert row["posterior"] == pytest.approx(posterior)
    assert row["agreement"] == pytest.approx(agreement) if agreement is not None else pd.isna(row["agreement"])
    assert (row["object_id"], row["n_wanted"]) == ("", 3) and pd.isna(row["gold_accuracy"])


def test_two_of_three_pass_a_threshold_of_two_thirds():
    assert judge(COLOUR, says("red", "red", "blue"), accept_agreement=2 / 3)[0]["decision"] == "accept"


@pytest.mark.parametrize(("labels", "decision"), [(["red", "red"], "accept"), (["red", "blue"], "adjudicate"), (["red"], "rework")])
def test_where_two_experts_differ_on_a_pilot_a_third_decides(labels, decision):
    spec = make_spec(COLOUR, pilot_overlap=2)
    tasks = make_tasks(spec, 1, "pilot")
    rows = [f"{tasks['task_id'][0]},colour,{label},,,,,w{number},," for number, label in enumerate(labels)]
    labeled = accept([("us", "a.csv", make_csv(*rows))], tasks, spec, KEY)
    assert list(assess(labeled, tasks, None, spec)["decision"]) == [decision]


def test_one_answer_is_enough_where_one_is_wanted():
    assert judge(COLOUR, says("red"), overlap=1)[0]["decision"] == "accept"


def test_gold_measures_and_keeps_its_own_label():
    (row,) = judge(COLOUR, says("red", "blue", "blue"), gold=pd.DataFrame([{"label": "red"}]), golden=True)
    lower, upper = wilson(1, 3)
    assert (row["label"], row["gold_label"], row["gold_correct"], row["decision"]) == ("red", "red", 1, "accept")
    assert row["posterior"] == row["gold_accuracy"] == pytest.approx(1 / 3)
    assert (row["gold_lower"], row["gold_upper"]) == (pytest.approx(float(lower)), pytest.approx(float(upper)))


@pytest.mark.parametrize(
    ("labels", "winner", "posterior", "decision"),
    [
        (["logo|text", "text|logo", "logo"], "logo|text", 2 / 3, "accept"),
        (["logo", "logo", "dots"], "logo", 2 / 3, "accept"),
        (["logo", "text", "dots"], None, 2 / 3, "rework"),
    ],
)
def test_multi_choice_takes_each_value_by_its_majority(labels, winner, posterior, decision):
    (row,) = judge(MARKS, says(*labels))
    assert (row["label"], row["decision"], row["posterior"]) == (winner, decision, pytest.approx(posterior))


def draws(*boxes: str) -> list[str]:
    return [f"T0,{label},{corner},{who},,2" for who, label, corner in (box.split(" ") for box in boxes)]


def test_boxes_of_workers_become_one_box_an_object():
    rows = judge(
        PARTS, draws("a bag 0,0,10,10", "b bag 1,0,10,10", "c bag 2,1,10,10", "a hat 20,15,9,9", "c hat 20,15,9,9", "b hat 30,0,5,5")
    )
    assert [(row["object_id"], row["label"], row["decision"]) for row in rows] == [("001", "bag", "accept"), ("002", "hat", "accept")]
    assert [rows[0][side] for side in "xywh"] == [1, 0, 10, 10]
    assert rows[1]["posterior"] == pytest.approx(2 / 3) and rows[0]["n_labels"] == 3
    assert rows[0]["reason"].endswith("1 boxes that less than half drew are left out")


def test_a_picture_with_one_doubtful_object_is_sent_back_whole():
    rows = judge(PARTS, draws("a bag 0,0,10,10", "b bag 0,0,10,10", "c bag 0,0,10,10", "a hat 20,15,9,9", "b bag 20,15,9,9", "c none ,,,"))
    assert {row["decision"] for row in rows} == {"rework"}


def test_nothing_to_box_is_an_answer():
    (row,) = judge(PARTS, draws("a none ,,,", "b none ,,,", "c bag 0,0,10,10"))
    assert (row["label"], row["decision"], row["object_id"], row["posterior"]) == ("none", "accept", "", pytest.approx(2 / 3))
    (row,) = judge(PARTS, [])
    assert (row["label"], row["decision"], row["n_labels"]) == (None, "rework", 0)


def test_gold_boxes_are_right_when_all_are_found():
    gold = pd.DataFrame([{"label": "bag", "object_id": "001", "x": 0.0, "y": 0.0, "w": 10.0, "h": 10.0}])
    rows = draws("a bag 1,0,10,10", "b hat 0,0,10,10", "c bag 0,0,10,10", "c bag 20,15,9,9")
    (row,) = judge(PARTS, rows, gold=gold, golden=True)
    assert (row["gold_correct"], row["n_labels"], row["label"], row["decision"]) == (1, 3, "bag", "accept")
    assert row["gold_accuracy"] == pytest.approx(1 / 3)


def test_every_question_has_a_row_answered_or_not():
    spec = make_spec(COLOUR, MARKS, PARTS)
    tasks = make_tasks(spec, 3)
    quality = assess(manifest.empty("labeled_batches"), tasks, None, spec)
    assert len(quality) == 9 and set(quality["decision"]) == {"rework"}
