from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform
from dataops_assets.stages import batch_verdict
from dataops_assets.stages.label_quality import assess
from dataops_assets.stages.labeled_batches import accept
from tests.conftest import changed
from tests.labels.world import COLOUR, KEY, make_csv, make_spec, make_tasks

SPEC = make_spec(COLOUR)


def judged(n: int = 40, drawn: int = 10, most_wrong: int | None = 0, batch: str = "production-001", **columns: object) -> pd.DataFrame:
    """Quality of a batch in which all was accepted and some was drawn."""
    rows = pd.DataFrame({"image_id": [f"{batch}-{number:03d}" for number in range(n)], "is_audit": [place < drawn for place in range(n)]})
    return conform(
        rows.assign(
            **{
                "batch_id": batch, "kind": batch.split("-")[0], "task_id": "t" + rows["image_id"], "attribute": "colour", "object_id": "",
                "label": "red", "posterior": 0.99, "n_labels": 2, "n_wanted": 2, "decision": "accept", "is_gold": False, "vendor": "acme",
                "n_more": 0, "inspection": "normal", "most_wrong": most_wrong, **columns,
            }
        ),
        CONTRACTS["label_quality"],
    )  # fmt: skip


def answered(quality: pd.DataFrame, n: int, wrong: int = 0, batch: str = "adjudication-001") -> pd.DataFrame:
    """What our own people said of the first of those drawn."""
    rows = quality[quality["is_audit"].astype(bool)].head(n)
    labels = ["blue" if place < wrong else "red" for place in range(len(rows))]
    return rows.assign(batch_id=batch, kind="adjudication", label=labels, is_audit=False)


def verdict(quality: pd.DataFrame, answers: pd.DataFrame, spec=SPEC, **other: object) -> batch_verdict.Verdict:
    rows = batch_verdict.audits(quality, batch_verdict.audited(quality, answers))
    return batch_verdict.verdict(str(quality["batch_id"].iloc[0]), quality, rows, spec, **other)  # type: ignore[arg-type]


def with_gold(quality: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """The same with five gold pictures, all answered right."""
    measured = {"gold_label": "red", "gold_correct": 2, "gold_accuracy": 1.0, "gold_lower": 0.9, "gold_upper": 1.0}
    gold = judged(5, 0, None, is_gold=True, **(measured | columns))
    return pd.concat([quality, gold.assign(task_id="g" + gold["image_id"])], ignore_index=True)


def test_a_batch_whose_sample_is_right_is_paid() -> None:
    quality = judged()
    said = verdict(quality, answered(quality, 10), spent=12.0)
    assert said.pay == "pay" and said.sentence.startswith("Pay: 40 of 40 labels are accepted, and 0 of 10 audited labels are wrong")
    assert (said.counts, said.audit.n, said.money["cost so far"]) == ({"accept": 40, "rework": 0, "adjudicate": 0}, 10, 12.0)
    assert said.plan is not None and (said.plan.n, said.plan.most_wrong) == (10, 0)


def test_one_wrong_label_too_many_and_it_is_not() -> None:
    quality = judged()
    assert verdict(quality, answered(quality, 10, wrong=1)).sentence == "Don't pay: 1 of 10 audited labels are wrong and 0 may be."
    assert verdict(judged(most_wrong=1), answered(quality, 10, wrong=1)).pay == "pay"


def test_the_audit_of_what_was_asked_again_decides_too() -> None:
    spec = make_spec(COLOUR, batch_size=40)
    tasks = make_tasks(spec, 40).assign(batch_id="rework-001", kind="rework")
    rows = [f"{task},colour,red,,,,,{who},," for task in tasks["task_id"] for who in "abc"]
    quality = assess(accept([("acme", "a.csv", make_csv(*rows))], tasks, spec, KEY), tasks, None, spec, key=KEY)
    drawn, most = int(quality["is_audit"].sum()), int(quality["most_wrong"].iloc[0])
    assert 0 < drawn < 40 and 1 <= most < drawn / 4
    said = verdict(quality, answered(quality, drawn, most))
    assert said.pay == "pay" and said.plan is not None and said.plan.consumers_risk > 0.05  # it says how little so few labels tell
    bad = verdict(quality, answered(quality, drawn, most + 1))
    assert bad.sentence == f"Don't pay: {most + 1} of {drawn} audited labels are wrong and {most} may be."


@pytest.mark.parametrize(("answers", "wrong", "pay"), [(4, 0, "not yet"), (4, 1, "don't pay"), (10, 0, "pay")])
def test_where_the_audit_is_required_its_answers_are_waited_for(answers: int, wrong: int, pay: str) -> None:
    quality = judged()
    strict = changed(SPEC, quality={"audit": "required"})
    assert verdict(with_gold(quality), answered(quality, answers, wrong), strict).pay == pay
    assert verdict(with_gold(quality), answered(quality, 4)).pay == "pay"


@pytest.mark.parametrize("gold", ["none", "all known"])
def test_a_batch_that_nothing_has_checked_is_not_paid_yet(gold: str) -> None:
    quality = judged() if gold == "none" else with_gold(judged(), gold_correct=None, gold_accuracy=None, gold_lower=None)
    said = verdict(quality, answered(quality, 4))
    assert said.sentence == (
        "Don't pay yet: no gold has measured it, and 6 of 10 audited labels are still to be answered by our own people."
    )
    assert verdict(quality, answered(quality, 10)).pay == "pay"
    assert verdict(judged(drawn=0, most_wrong=None, inspection=None), quality.head(0), changed(SPEC, quality={"audit": "off"})).pay == "pay"


def test_gold_and_few_accepted_labels_speak_against_a_batch() -> None:
    gold = judged(5, 0, None, is_gold=True, gold_label="red", gold_correct=1, gold_accuracy=0.5, gold_lower=0.3, gold_upper=0.7)
    quality = pd.concat([judged(), gold.assign(task_id="g" + gold["image_id"])])
    assert "answers on colour are right on 50% of gold, so at least 30%, and 70% is wanted" in verdict(quality, quality.head(0)).sentence
    open_ = judged(decision=["accept"] * 10 + ["rework"] * 30)
    assert "only 25% of its labels are accepted and 50% are wanted" in verdict(open_, open_.head(0)).sentence
    assert verdict(judged(), quality.head(0), refused=["its gate said no"]).sentence == "Don't pay: its gate said no."


def test_what_is_left_to_settle_is_priced() -> None:
    quality = judged(40, 10, decision=["accept"] * 36 + ["rework"] * 2 + ["adjudicate"] * 2, n_more=[0] * 36 + [1, 1, 0, 0])
    whole = {"cost so far": 8.0, "more labels": 0.2, "our own people": 6.0, "cost expected in all": 14.2}  # 2 and 10 at 0.5 each
    assert verdict(quality, quality.head(0), spent=8.0).money == whole
    ours = quality[(quality["decision"] == "adjudicate") | quality["is_audit"].astype(bool)]
    plan = [
        quality[quality["decision"] == "rework"].assign(kind="rework", attributes="colour"),
        ours.assign(kind="adjudication", attributes="shape|colour"),
    ]
    some, all_ = pd.concat([plan[0], plan[1].head(4)]), pd.concat(plan)
    money = verdict(quality, quality.head(0), spent=8.0 + 0.2 + 4 * 0.5, planned=some).money
    assert money == {"cost so far": 10.2, "more labels": 0.0, "our own people": 4.0, "cost expected in all": 14.2}
    money = verdict(quality, answered(quality, 10), spent=14.2, planned=all_).money
    assert money == {"cost so far": 14.2, "more labels": 0.0, "our own people": 0.0, "cost expected in all": 14.2}


def test_the_last_answer_of_our_own_people_counts() -> None:
    quality = judged()
    both = pd.concat([answered(quality, 10, wrong=1), answered(quality, 1, batch="adjudication-002")])
    assert batch_verdict.audited(quality, both)["is_wrong"].sum() == 0


def test_what_was_withdrawn_is_waited_for_no_longer() -> None:
    quality = judged()
    strict = changed(SPEC, quality={"audit": "required"})
    waiting = set(quality["image_id"][8:10])
    assert verdict(quality, answered(quality, 8), strict).pay == "not yet"
    for wrong, pay in ((0, "pay"), (1, "don't pay")):
        rows = batch_verdict.audits(quality, batch_verdict.audited(quality, answered(quality, 8, wrong), waiting | {"production-001-000"}))
        said = batch_verdict.verdict("production-001", quality, rows, strict)
        assert said.pay == pay and said.audit.n == 8  # what was answered before it was withdrawn counts
        assert said.plan is not None and said.plan.n == 8  # and the page states the risk of the sample that is left


def test_boxes_are_right_where_the_same_objects_are_there() -> None:
    quality = judged(2, 2, x=1.0, y=1.0, w=10.0, h=10.0, object_id="001", attribute="parts")
    answers = answered(quality, 2).assign(x=[2.0, 30.0])
    assert batch_verdict.audited(quality, answers)["is_wrong"].tolist() == [False, True]


def test_the_history_counts_refused_batches_and_leaves_open_ones_out() -> None:
    good, bad, open_ = (judged(batch=f"production-00{number}") for number in (1, 2, 3))
    answers = pd.concat([answered(good, 10), answered(bad, 10, wrong=3)])
    rows = batch_verdict.audits(pd.concat([good, bad, open_]), batch_verdict.audited(pd.concat([good, bad, open_]), answers))
    names = [f"production-00{number}" for number in (1, 2, 3, 4)]
    assert batch_verdict.history(rows, ["production-004"], names) == [True, False, False]
