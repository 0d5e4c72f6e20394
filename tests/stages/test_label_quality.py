from __future__ import annotations

import pandas as pd
import pytest
from scipy.stats import hypergeom

from dataops_assets import manifest
from dataops_assets.labels.agreement import clustered, wilson
from dataops_assets.reports import batch
from dataops_assets.stages.label_quality import assess, sampling_plan
from dataops_assets.stages.labeled_batches import accept
from tests.conftest import changed
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
    ("labels", "round_", "winner", "agreement", "decision", "more", "reason"),
    [
        (["red"] * 3, 0, "red", 1.0, "accept", 0, "99.2% sure after 3, accepted from 99.2% on"),
        (["red", "red", "blue"], 0, "red", 1 / 3, "rework", 1, "87.0% sure after 3, 95.0% needed: another label saves"),
        (["red", "red", "blue"], 2, "red", 1 / 3, "adjudicate", 0, "87.0% sure after 3, 95.0% needed: no round of labels is left"),
        (["red", "blue", "NA"], 0, "NA", 0.0, "adjudicate", 0, "another label saves 0.000 EUR and costs 0.100, so our own people decide"),
        (["red", "red"], 0, "red", 1.0, "accept", 0, "2 of 3 answers, 97.9% sure after 2"),
        (["red"], 0, "red", None, "rework", 2, "1 of 3 answers, 90.0% sure after 1, 95.0% needed: another label saves"),
        ([], 0, None, None, "rework", 3, "0 of 3 answers, nothing to go by"),
        ([], 2, None, None, "adjudicate", 0, "0 of 3 answers, nothing to go by: no round of labels is left"),
    ],
)
def test_decision_on_a_choice(labels, round_, winner, agreement, decision, more, reason):
    (row,) = judge(COLOUR, says(*labels), round_=round_)
    assert (row["label"], row["decision"], row["n_more"], row["n_labels"]) == (winner, decision, more, len(labels))
    assert reason in row["reason"]
    assert row["agreement"] == pytest.approx(agreement) if agreement is not None else pd.isna(row["agreement"])
    assert (row["object_id"], row["n_wanted"], row["price"]) == ("", 3, 0.1) and pd.isna(row["gold_accuracy"])
    assert (row["expected_gain"] > row["price"]) == (decision == "rework")


def test_a_label_that_costs_more_than_it_saves_is_not_bought():
    split = says("red", "red", "blue")
    assert judge(COLOUR, split)[0]["decision"] == "rework"
    spec = make_spec(COLOUR)
    cheap = spec.model_copy(update={"quality": spec.quality.model_copy(update={"adjudication_price": 0.12})})
    tasks = make_tasks(cheap, 1)
    labeled = accept(
        [("acme", "a.csv", make_csv(*(row.replace("T0,", f"{tasks['task_id'][0]},colour,") for row in split)))], tasks, cheap, KEY
    )
    (row,) = assess(labeled, tasks, None, cheap).to_dict("records")
    assert row["decision"] == "adjudicate" and row["expected_gain"] < row["price"]


def rounds(first: list[str], second: list[str], gold: str | None = None):
    """Quality of one question after a batch and one more of it, and the spec."""
    spec = make_spec(COLOUR)
    tasks = make_tasks(spec, 1)
    again = tasks.assign(batch_id="rework-001", kind="rework", round=1, overlap=1, task_id="again", parent_batch_id="production-001")

    def answered(rows: pd.DataFrame, labels: list[str], start: int) -> pd.DataFrame:
        lines = [f"{rows['task_id'][0]},colour,{label},,,,,w{start + place},," for place, label in enumerate(labels)]
        return accept([("acme", "a.csv", make_csv(*lines))], rows, spec, KEY)

    before = answered(tasks, first, 0)
    return assess(answered(again, second, len(first)), again, None, spec, before=before).to_dict("records")[0], spec, again, before


def test_one_more_answer_counts_with_those_before():
    row, *_ = rounds(["red", "red", "blue"], ["red"])
    assert (row["label"], row["n_labels"], row["n_wanted"]) == ("red", 4, 1)
    assert row["posterior"] > judge(COLOUR, says("red", "red", "blue"))[0]["posterior"]


def test_an_answer_under_another_ontology_doesnt_count():
    _, spec, again, before = rounds(["red", "red", "blue"], ["red"])
    labeled = accept([("acme", "a.csv", make_csv("again,colour,red,,,,,w9,,"))], again, spec, KEY)
    (row,) = assess(labeled, again, None, spec, before=before.assign(ontology_version="6")).to_dict("records")
    assert row["n_labels"] == 1


def test_an_answer_given_again_is_no_second_one():
    _, spec, again, before = rounds(["red", "red", "blue"], ["red"])
    labeled = accept([("acme", "a.csv", make_csv("again,colour,red,,,,,w0,,"))], again, spec, KEY)
    (row,) = assess(labeled, again, None, spec, before=before).to_dict("records")
    assert row["n_labels"] == 3


def test_earlier_batches_tell_what_workers_are_worth():
    """A pair that gold has shown to be wrong doesn't outvote the one who is right."""
    spec = make_spec(COLOUR, batch_size=40)
    tasks = make_tasks(spec, 40)
    rows = [f"{task},colour,{'blue' if who in 'xy' else 'red'},,,,,{who},," for task in tasks["task_id"] for who in "xyabc"]
    before = accept([("acme", "a.csv", make_csv(*rows))], tasks, spec, KEY)
    gold = tasks.iloc[:20][["image_id"]].assign(attribute="colour", label="red")
    new = tasks.tail(1).assign(batch_id="production-002", image_id="new", task_id="new")
    labeled = accept(
        [("acme", "b.csv", make_csv(*(f"new,colour,{label},,,,,{who},," for who, label in (("x", "blue"), ("y", "blue"), ("a", "red")))))],
        new,
        spec,
        KEY,
    )
    assert assess(labeled, new, gold, spec)["label"].tolist() == ["blue"]
    assert assess(labeled, new, gold, spec, before=before)["label"].tolist() == ["red"]


def test_the_audit_is_drawn_by_a_key_and_only_from_what_was_accepted():
    spec = make_spec(COLOUR, batch_size=100)
    tasks = make_tasks(spec, 100).assign(is_gold=[place < 10 for place in range(100)])
    rows = [f"{task},colour,red,,,,,{who},," for task in tasks["task_id"][:90] for who in "abc"]
    labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, spec, KEY)
    gold = tasks.iloc[:10][["image_id"]].assign(attribute="colour", label="red")
    one, same, other = (assess(labeled, tasks, gold, spec, key=key) for key in (b"1", b"1", b"2"))
    assert one.equals(same) and not one["is_audit"].equals(other["is_audit"])
    drawn = one[one["is_audit"]]
    assert len(drawn) == other["is_audit"].sum() and set(drawn["decision"]) == {"accept"} and not drawn["is_gold"].any()
    assert set(one["inspection"]) == {"normal"} and set(one["most_wrong"]) == {0}
    assert hypergeom.cdf(0, 80, 12, len(drawn)) <= 0.05 < hypergeom.cdf(0, 80, 12, len(drawn) - 1)  # 15 % of 80 wrong
    tightened = assess(labeled, tasks, gold, spec, key=b"1", severity="tightened")
    assert tightened["is_audit"].sum() > len(drawn)
    assert not assess(labeled, tasks, gold, spec)["is_audit"].any()


@pytest.mark.parametrize("size", [20, 60, 130, 200, 360, 1200])
@pytest.mark.parametrize("expected", [0.02, 0.03, 0.04, 0.05])
def test_good_work_passes_nineteen_times_in_twenty_at_every_usual_size(size, expected):
    made = sampling_plan(size, expected, make_spec(COLOUR), "normal")
    assert made.consumers_risk <= 0.05 and made.producers_risk <= 0.05 and made.n <= 100


@pytest.mark.parametrize("severity", ["normal", "tightened", "reduced"])
@pytest.mark.parametrize("target", [0.9, 0.95, 0.97, 0.98, 0.99, 0.995])
@pytest.mark.parametrize("size", [130, 360, 1200, 5000])
def test_a_sample_grows_to_what_its_target_and_inspection_need_unless_the_project_says_how_large_it_is(size, target, severity):
    """Else a good vendor that is looked at harder is refused until nothing is bought from it any more."""
    spec = changed(make_spec(COLOUR), brief={"accuracy_target": target})
    made = sampling_plan(size, 1 - target, spec, severity)
    assert made.severity == severity and made.consumers_risk <= 0.05 and made.producers_risk <= 0.05
    set_ = sampling_plan(size, 1 - target, changed(spec, quality={"audit_floor": 0, "audit_most": 0}), severity)
    assert set_.n <= made.n and set_.most_wrong == 0  # as few as find out a bad batch


def test_a_floor_of_a_hundred_refuses_good_work_at_a_high_target():
    spec = changed(make_spec(COLOUR), brief={"accuracy_target": 0.98}, quality={"audit_floor": 100})
    assert sampling_plan(360, 0.02, spec, "normal").producers_risk > 0.2


def test_the_audit_is_as_small_as_it_may_be_where_that_is_wanted():
    spec = make_spec(COLOUR)
    small, shared = (sampling_plan(360, 0.05, changed(spec, quality={"audit_floor": 0, "audit_most": most}), "normal") for most in (0, 0.1))
    assert small.most_wrong == 0 and small.n < shared.n <= 36 and small.consumers_risk <= 0.05
    assert sampling_plan(360, 0.05, changed(spec, quality={"audit_most": 0}), "normal").n > 36  # the floor is what small batches need


@pytest.mark.parametrize(("labels", "decision"), [(["red", "red"], "accept"), (["red", "blue"], "adjudicate"), (["red"], "rework")])
def test_where_two_experts_differ_on_a_pilot_a_third_decides(labels, decision):
    spec = make_spec(COLOUR, pilot_overlap=2)
    tasks = make_tasks(spec, 1, "pilot")
    rows = [f"{tasks['task_id'][0]},colour,{label},,,,,w{number},," for number, label in enumerate(labels)]
    labeled = accept([("us", "a.csv", make_csv(*rows))], tasks, spec, KEY)
    assert list(assess(labeled, tasks, None, spec)["decision"]) == [decision]


def test_one_answer_is_enough_where_its_worker_is_sure_enough():
    assert judge(COLOUR, says("red"), overlap=1, worker_accuracy=0.96)[0]["decision"] == "accept"
    assert judge(COLOUR, says("red"), overlap=1)[0]["decision"] == "rework"


def test_two_of_three_of_our_own_people_pass_a_threshold_of_two_thirds():
    spec = make_spec(COLOUR, pilot_overlap=3, accept_agreement=2 / 3)
    tasks = make_tasks(spec, 1, "pilot")
    rows = [f"{tasks['task_id'][0]},colour,{label},,,,,{who},," for who, label in (("a", "red"), ("b", "red"), ("c", "blue"))]
    (row,) = assess(accept([("us", "a.csv", make_csv(*rows))], tasks, spec, KEY), tasks, None, spec).to_dict("records")
    assert (row["decision"], row["reason"]) == ("accept", "67% of 3 answers agree")


def test_gold_measures_and_keeps_its_own_label():
    (row,) = judge(COLOUR, says("red", "blue", "blue"), gold=pd.DataFrame([{"label": "red"}]), golden=True)
    lower, upper = clustered([1], [3])
    assert lower < wilson(1, 3)[0] and wilson(1, 3)[1] < upper  # three answers to one picture tell less than three to three
    assert (row["label"], row["gold_label"], row["gold_correct"], row["decision"]) == ("red", "red", 1, "accept")
    assert row["posterior"] == row["gold_accuracy"] == pytest.approx(1 / 3)
    assert (row["gold_lower"], row["gold_upper"]) == (pytest.approx(lower[0]), pytest.approx(upper[0]))


@pytest.mark.parametrize(
    ("labels", "winner", "decision"),
    [
        (["logo|text"] * 3, "logo|text", "accept"),
        (["logo|text", "text|logo", "logo"], "logo|text", "rework"),
        (["logo", "logo", "dots"], "logo", "rework"),
        (["logo", "text", "dots"], None, "adjudicate"),
    ],
)
def test_multi_choice_takes_each_value_by_itself(labels, winner, decision):
    (row,) = judge(MARKS, says(*labels))
    assert (row["label"], row["decision"]) == (winner, decision)


def test_our_own_peoples_choice_of_several_is_as_sure_as_they_agree():
    spec = make_spec(MARKS, pilot_overlap=3)
    tasks = make_tasks(spec, 1, "pilot")
    rows = [f"{tasks['task_id'][0]},marks,{label},,,,,{who},," for who, label in (("a", "logo|text"), ("b", "text|logo"), ("c", "logo"))]
    (row,) = assess(accept([("us", "a.csv", make_csv(*rows))], tasks, spec, KEY), tasks, None, spec).to_dict("records")
    assert (row["label"], row["decision"], row["posterior"]) == ("logo|text", "accept", pytest.approx(2 / 3))


def test_cant_tell_stands_alone():
    (row,) = judge(MARKS | {"cant_tell": True}, says("cant_tell", "cant_tell", "logo"))
    assert row["label"] == "cant_tell"


def draws(*boxes: str) -> list[str]:
    return [f"T0,{label},{corner},{who},,2" for who, label, corner in (box.split(" ") for box in boxes)]


def test_boxes_of_workers_become_one_box_an_object():
    rows = judge(
        PARTS, draws("a bag 0,0,10,10", "b bag 1,0,10,10", "c bag 2,1,10,10", "a hat 20,15,9,9", "c hat 20,15,9,9", "b hat 30,0,5,5")
    )
    assert [(row["object_id"], row["label"]) for row in rows] == [("001", "bag"), ("002", "hat")]
    assert [rows[0][side] for side in "xywh"] == [1, 0, 10, 10]
    assert rows[0]["posterior"] > 0.95 > rows[1]["posterior"] > 0.8 and rows[0]["n_labels"] == 3
    assert rows[1]["reason"].endswith("1 boxes that less than half drew are left out")


def test_a_picture_is_accepted_whole_or_not_at_all():
    sure = judge(PARTS, draws(*(f"{who} {box}" for who in "abc" for box in ("bag 0,0,10,10", "hat 20,15,9,9"))))
    assert {row["decision"] for row in sure} == {"accept"} and len(sure) == 2
    doubtful = draws("a bag 0,0,10,10", "b bag 0,0,10,10", "c bag 0,0,10,10", "a hat 20,15,9,9", "b bag 20,15,9,9", "c none ,,,")
    rows = judge(PARTS, doubtful)
    assert rows[0]["posterior"] > 0.95 and "accept" not in {row["decision"] for row in rows}


def test_nothing_to_box_is_an_answer():
    (row,) = judge(PARTS, draws("a none ,,,", "b none ,,,", "c none ,,,"))
    assert (row["label"], row["decision"], row["object_id"]) == ("none", "accept", "") and row["posterior"] > 0.95
    (row,) = judge(PARTS, draws("a none ,,,", "b none ,,,", "c bag 0,0,10,10"))
    assert (row["label"], row["decision"]) == ("none", "rework") and 0.8 < row["posterior"] < 0.95
    (row,) = judge(PARTS, [])
    assert (row["label"], row["decision"], row["n_labels"]) == (None, "rework", 0)


def test_gold_boxes_are_right_when_all_are_found():
    gold = pd.DataFrame([{"label": "bag", "object_id": "001", "x": 0.0, "y": 0.0, "w": 10.0, "h": 10.0}])
    rows = draws("a bag 1,0,10,10", "b hat 0,0,10,10", "c bag 0,0,10,10", "c bag 20,15,9,9")
    (row,) = judge(PARTS, rows, gold=gold, golden=True)
    assert (row["gold_correct"], row["n_labels"], row["label"], row["decision"]) == (1, 3, "bag", "accept")
    assert (row["n_missed"], row["n_extra"], row["gold_correct_75"]) == (1, 2, 1)  # b called it a hat, c drew one more
    assert row["gold_accuracy"] == pytest.approx(1 / 3)


def test_gold_boxes_are_judged_at_a_stricter_overlap_too():
    """Of 3 pixels off 10 the overlap is 7 of 13 = .54, of 1 pixel .82."""
    corners = ((1, "bag", 0.0), (2, "hat", 28.0))
    gold = pd.DataFrame([{"label": label, "object_id": f"00{n}", "x": x, "y": 0.0, "w": 10.0, "h": 10.0} for n, label, x in corners])
    rows = draws("a bag 3,0,10,10", "a hat 28,0,10,10", "b bag 1,0,10,10", "b hat 28,0,10,10", "b hat 15,20,5,5", "c bag 8,0,10,10")
    row, other = judge(PARTS, rows, gold=gold, golden=True)
    assert (row["gold_correct"], row["n_missed"], row["n_extra"]) == (1, 2, 2)  # c missed both, b drew one more
    assert (row["gold_correct_75"], row["n_missed_75"], row["n_extra_75"]) == (0, 3, 3)  # and a's bag is too far off
    assert (other["label"], other["n_missed_75"], other["x"]) == ("hat", 3, 28)


def test_every_question_has_a_row_answered_or_not():
    spec = make_spec(COLOUR, MARKS, PARTS)
    tasks = make_tasks(spec, 3)
    quality = assess(manifest.empty("labeled_batches"), tasks, None, spec)
    assert len(quality) == 9 and set(quality["decision"]) == {"rework"}


@pytest.mark.parametrize(("kind", "n_ties"), [("production", 0), ("pilot", 1)])  # where people are weighed one of two is the better
def test_what_was_met_in_the_answers_is_told_in_words(kind: str, n_ties: int) -> None:
    """Two answers that differ, one answer alone, and a worker who answers again: in the table, the metadata and on the batch's page."""
    spec = make_spec(COLOUR, pilot_overlap=2)
    tasks = make_tasks(spec, 4, kind)
    first, second, third, _ = tasks["task_id"]
    says_ = [(first, "red", "a"), (first, "blue", "b"), (second, "red", "a"), (third, "red", "a"), (third, "red", "b")]
    rows = [f"{task},colour,{label},,,,,{who},," for task, label, who in says_]
    labeled = accept([("us" if kind == "pilot" else "acme", "a.csv", make_csv(*rows))], tasks, spec, KEY)
    again = labeled.iloc[[3]].assign(row_id="again", task_id="again")  # the same person was asked about the picture before
    quality = assess(pd.concat([labeled, again]), tasks, None, spec)
    met = set(quality["notes"].iloc[0].split("; "))
    told = ["1 answers repeat a task for the same worker: they share its one vote"]
    told += ["1 of 3 tasks have a single answer: nobody else confirms it"]
    tied = [f"{n_ties} of 3 tasks have no single best label: the one with the better votes was taken"] if n_ties else []
    assert met == {*told, *tied}
    shown = batch.met(quality)
    assert shown["things met in the answers"] == len(met) and f"colour: {told[0]}." in shown["met in the answers"].lines
    assert batch.met(assess(labeled[labeled["task_id"] == third], tasks.iloc[[2]], None, spec)) == {}
