from __future__ import annotations

import json

import pandas as pd
import pytest

from dataops_assets import manifest
from dataops_assets.home import pseudonym
from dataops_assets.labels.agreement import krippendorff
from dataops_assets.stages import vendor_feedback as stage
from dataops_assets.stages.gold import errors_by_class
from dataops_assets.stages.label_quality import assess
from dataops_assets.stages.labeled_batches import accept
from dataops_assets.stages.pilot import beyond_chance
from dataops_assets.stages.vendor_feedback import feedback
from tests.conftest import changed
from tests.labels.world import COLOUR, KEY, MARKS, PARTS, answer_all, make_csv, make_spec, make_tasks

SPEC = make_spec(COLOUR)
TRUSTING = changed(SPEC, brief={"accuracy_target": 0.6}, quality={"least_posterior": 0.5})  # two of three are believed
BAD = pseudonym(KEY, "acme", "bad")


def told() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ten tasks, five of them gold; `bad` says blue for everything red."""
    tasks = make_tasks(make_spec(COLOUR, batch_size=10), 10)
    tasks["is_gold"] = [place < 5 for place in range(10)]
    rows = [
        f"{task},colour,{'blue' if who == 'bad' else 'red'},,,,,{who},,{number}"
        for task in tasks["task_id"]
        for number, who in enumerate(("ann", "bob", "bad"))
    ]
    labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, SPEC, KEY)
    gold = tasks.loc[tasks["is_gold"], ["image_id"]].assign(attribute="colour", label="red")
    return tasks, feedback(labeled, assess(labeled, tasks, gold, SPEC), tasks, SPEC)


def test_a_row_a_worker_with_what_was_measured():
    _, frame = told()
    assert len(frame) == 3
    bad = frame.set_index("worker_id").loc[BAD]
    assert (bad["n_labels"], bad["n_gold"], bad["gold_correct"], bad["gold_accuracy"], bad["agreement"]) == (10, 5, 0, 0.0, 0.0)
    assert bad["gold_lower"] == 0 and bad["gold_upper"] == pytest.approx(0.4345, abs=1e-3)
    assert (bad["median_seconds"], bad["confused"]) == (2.0, "red>blue x10")
    good = frame[frame["worker_id"] != BAD]
    assert (good["agreement"] == 1).all() and (good["confused"] == "").all()


def test_advice_quotes_the_definitions_that_were_missed():
    _, frame = told()
    advice = frame.set_index("worker_id").loc[BAD, "advice"]
    assert "0 of 5 known answers on colour are right" in advice and "pause" in advice
    assert "red: Red | wine; blue: Sky to navy." in advice
    assert "NA: Not a colour" not in advice


def test_only_the_evidence_names_pictures():
    tasks, frame = told()
    text = frame.drop(columns="evidence").to_csv()
    assert not any(name in text for name in [*tasks["task_id"], *tasks["image_id"]])


def test_boxes_count_by_picture():
    spec = make_spec(PARTS)
    tasks = make_tasks(spec, 1)
    item = tasks["task_id"][0]
    rows = [f"{item},parts,bag,0,0,10,10,{who},,4" for who in "abcde"] + [f"{item},parts,hat,20,15,9,9,c,,4"]
    labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, spec, KEY)
    frame = feedback(labeled, assess(labeled, tasks, None, spec), tasks, spec).set_index("worker_id")
    assert frame["n_labels"].tolist() == [1] * 5
    assert frame.loc[pseudonym(KEY, "acme", "c"), "agreement"] == 0 and frame["agreement"].sum() == 4


def test_questions_of_every_kind_together():
    spec = make_spec(COLOUR, MARKS, PARTS)
    tasks = make_tasks(spec, 3)
    labeled = accept([("acme", "a.csv", answer_all(tasks, spec))], tasks, spec, KEY)
    frame = feedback(labeled, assess(labeled, tasks, None, spec), tasks, spec)
    assert len(frame) == 9 and set(frame["n_labels"]) == {3} and set(frame["agreement"]) == {1.0}
    assert set(frame["advice"]) == {"No mistakes found on colour.", "No mistakes found on marks.", "No mistakes found on parts."}


def test_without_answers_there_is_nothing_to_say():
    tasks = make_tasks(SPEC, 1)
    none = manifest.empty("labeled_batches")
    assert feedback(none, assess(none, tasks, None, SPEC), tasks, SPEC).empty


def batch(seen: pd.DataFrame | None = None, earlier: pd.DataFrame | None = None, right: int = 10) -> pd.DataFrame:
    """Ten tasks, five of them gold; everybody is right in the first `right` of them, `bad` alone errs in the others."""
    tasks = make_tasks(make_spec(COLOUR, batch_size=10), 10)
    tasks["is_gold"] = [place < 5 for place in range(10)]
    rows = [
        f"{task},colour,{'blue' if who == 'bad' and place >= right else 'red'},,,,,{who},2026-01-02T00:0{place}:00Z,{number + 1}"
        for place, task in enumerate(tasks["task_id"])
        for number, who in enumerate(("ann", "bob", "bad"))
    ]
    labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, SPEC, KEY)
    gold = tasks.loc[tasks["is_gold"], ["image_id"]].assign(attribute="colour", label="red")
    return feedback(labeled, assess(labeled, tasks, gold, TRUSTING), tasks, SPEC, earlier=earlier, seen=seen)


def test_gold_that_is_known_by_heart_counts_nowhere():
    tasks = make_tasks(make_spec(COLOUR, batch_size=10), 10)
    known = pd.DataFrame([(BAD, image, f"b{n}") for image in tasks["image_id"].head(4) for n in range(3)])
    frame = batch(seen=known.set_axis(["worker_id", "image_id", "batch_id"], axis=1)).set_index("worker_id")
    assert frame.loc[BAD, ["n_gold", "n_worn", "n_judged", "n_labels"]].tolist() == [1, 4, 5, 10]
    others = frame.drop(index=BAD)
    assert (others["n_gold"] == 5).all() and (others["n_worn"] == 0).all()


def test_the_trend_runs_over_the_batches_before_and_says_whether_a_change_is_clear():
    good = batch().assign(batch_id="production-001")
    before = pd.concat([good.assign(batch_id=f"production-00{n}") for n in range(1, 8)], ignore_index=True)
    bad = batch(earlier=before, right=2).set_index("worker_id").loc[BAD]
    assert bad["trend"] == "1.00|1.00|1.00|1.00|1.00|0.20"  # five before, and this one
    assert bad["change"] == pytest.approx(-0.8) and -1 <= bad["change_lower"] < bad["change_upper"] < -0.4
    same = batch(earlier=before).set_index("worker_id").loc[BAD]
    assert same["change"] == 0 and same["change_lower"] < 0 < same["change_upper"]
    first = batch().set_index("worker_id").loc[BAD]
    assert first["trend"] == "1.00" and pd.isna(first["change"])


def test_newcombes_interval_of_a_published_example():
    """56 of 70 against 48 of 80: 0.2 (0.0524 to 0.3339), Newcombe 1998, Statistics in Medicine 17:873-890, table II (a), method 10."""
    before = batch().head(1).assign(batch_id="b", n_gold=0, n_judged=80, right_share=48 / 80)
    rows = pd.DataFrame({"vendor": "acme", "worker_id": before["worker_id"].iloc[0], "attribute": "colour", "n_gold": [0], "n_judged": [70],
                         "gold_correct": [0], "judged_correct": [56]})  # fmt: skip
    made = stage._with_trend(rows, before).iloc[0]
    assert (made["change_lower"], made["change_upper"]) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_classes_that_are_missed_and_given_falsely_are_listed():
    _, frame = told()
    bad = frame.set_index("worker_id").loc[BAD]
    assert (bad["missed"], bad["falsely"]) == ("red 10/10", "blue 10/10")


def test_agreement_is_told_raw_and_beyond_chance():
    _, frame = told()
    assert set(frame["raw_agreement"].round(4)) == {0.3333}
    assert (frame["alpha"] < frame["raw_agreement"]).all()
    assert (frame["alpha_lower"] <= frame["alpha"]).all() and (frame["alpha"] <= frame["alpha_upper"]).all()


def test_signs_stand_with_their_evidence_and_change_no_figure():
    tasks = make_tasks(make_spec(COLOUR, batch_size=60), 60)
    rows = [
        f"{task},colour,{'blue' if who == 'bad' else ('red', 'blue', 'NA')[place % 3]},,,,,{who},,{0.5 if who == 'bad' else 6 + place % 5}"
        for place, task in enumerate(tasks["task_id"])
        for who in ("ann", "bob", "bad")
    ]
    labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, SPEC, KEY)
    quality = assess(labeled, tasks, None, SPEC)
    frame = feedback(labeled, quality, tasks, SPEC).set_index("worker_id")
    assert set(frame.loc[BAD, "flags"].split("|")) == {"too_fast", "same_answer"} and frame.loc[BAD, "needs_look"]
    evidence = {one["signal"]: one for one in json.loads(frame.loc[BAD, "evidence"])}
    assert evidence["too_fast"]["k"] == 60 and "blue on 60 of 60 pictures" in evidence["same_answer"]["sentence"]
    assert set(evidence["same_answer"]["examples"].split("|")) <= set(tasks["task_id"])
    assert set(frame.drop(index=BAD)["flags"]) == {""} and not frame.drop(index=BAD)["needs_look"].any()
    assert (quality["n_labels"] == 3).all() and frame.loc[BAD, "n_labels"] == 60  # the answers still count


def test_a_taken_over_prelabel_is_evidence():
    tasks = make_tasks(make_spec(COLOUR, batch_size=60), 60)
    shown = [("NA" if place % 3 == 0 else "red") for place in range(60)]  # a third is wrong
    rows = [
        f"{task},colour,{given if who == 'bad' else 'red'},,,,,{who},,5"
        for task, given in zip(tasks["task_id"], shown, strict=True)
        for who in ("ann", "bob", "bad")
    ]
    labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, SPEC, KEY)
    prelabels = pd.DataFrame({"task_id": tasks["task_id"], "attribute": "colour", "prelabel": shown})
    frame = feedback(labeled, assess(labeled, tasks, None, TRUSTING), tasks, SPEC, prelabels=prelabels).set_index("worker_id")
    assert frame.loc[BAD, "flags"] == "follows_prelabel" and not frame.loc[BAD, "needs_look"]
    assert "20 of 20 wrong pre-labels were taken over" in frame.loc[BAD, "evidence"]


def test_boxes_have_errors_by_class_object_by_object():
    """Three gold pictures with a bag and a hat: ann finds all, bob calls every hat a bag, cid misses bags and draws one too many."""
    spec = make_spec(PARTS, batch_size=10)
    tasks = make_tasks(spec, 3).assign(is_gold=True)
    bag, hat, nowhere = "0,0,10,10", "20,15,9,9", "30,0,5,5"
    says = {"ann": (f"bag,{bag}", f"hat,{hat}"), "bob": (f"bag,{bag}", f"bag,{hat}"), "cid": (f"hat,{hat}", f"bag,{nowhere}")}
    rows = [f"{task},parts,{box},{who},,2" for task in tasks["task_id"] for who, drawn in says.items() for box in drawn]
    labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, spec, KEY)
    gold = pd.DataFrame([
        {"image_id": image, "attribute": "parts", "object_id": f"00{number}", "label": label,
         **dict(zip("xywh", map(float, box.split(",")), strict=True))}
        for image in tasks["image_id"] for number, (label, box) in enumerate((("bag", bag), ("hat", hat)))
    ])  # fmt: skip
    quality = assess(labeled, tasks, gold, spec)
    answers = stage.compared(labeled, quality, tasks, spec)
    found = errors_by_class(answers)[["n", "missed", "others", "false"]]
    assert found.loc[("parts", "bag")].tolist() == [9, 3, 12, 6]  # of 9 bags 3 are missed; of 12 boxes called bag 6 are none
    assert found.loc[("parts", "hat")].tolist() == [9, 3, 6, 0]
    told = feedback(labeled, quality, tasks, spec).set_index("worker_id")
    who = {name: pseudonym(KEY, "acme", name) for name in says}
    assert told.loc[list(who.values()), "gold_correct"].tolist() == [3, 0, 0]
    assert told.loc[who["bob"], ["confused", "missed", "falsely"]].tolist() == ["hat>bag x3", "hat 3/3", "bag 3/6"]
    assert told.loc[who["cid"], ["confused", "missed", "falsely"]].tolist() == ["bag>none x3|none>bag x3", "bag 3/3", "bag 3/3"]
    assert "most often hat was called bag (3 times)" in told.loc[who["bob"], "advice"]
    assert "most often bag was not boxed, or too loosely (3 times)" in told.loc[who["cid"], "advice"]


GRADE = {"name": "wear", "cant_tell": True, "values": {"none": "New.", "some": "Worn.", "much": "Torn."}}


def test_where_values_have_an_order_an_answer_far_off_counts_for_more() -> None:
    """Two people differ by one degree in four of twelve cases: alpha of an order is far higher than of names."""
    degrees = ["none", "some", "much"]
    said = [(degrees[n % 3], degrees[1 if n in (0, 2, 3, 5) else n % 3]) for n in range(12)] + [("cant_tell", "cant_tell")]
    found = {}
    for kind in ("named", "ordered"):
        spec = make_spec(GRADE | {"ordered": kind == "ordered"}, batch_size=20, pilot_overlap=2)
        tasks = make_tasks(spec, 13)
        rows = [
            f"{task},wear,{label},,,,,{who},,2"
            for task, pair in zip(tasks["task_id"], said, strict=True)
            for who, label in zip("ab", pair, strict=True)
        ]
        labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, spec, KEY)
        told = feedback(labeled, assess(labeled, tasks, None, spec), tasks, spec)
        found[kind] = told["alpha"].iloc[0]
        assert told["raw_agreement"].iloc[0] == pytest.approx(9 / 13)
        assert beyond_chance(labeled, spec)["alpha"].iloc[0] == pytest.approx(found[kind])
        older = labeled.assign(label=labeled["label"].replace("some", "once a value"))  # as the scorecard meets it after a new version
        assert stage.agreed(older.loc[older["label"].notna()], spec)["raw_agreement"].notna().all()
    answers = pd.DataFrame(
        [(n, "wear", label) for n, pair in enumerate(said[:12]) for label in pair], columns=["task_id", "attribute", "label"]
    )
    assert found["ordered"] == pytest.approx(krippendorff(answers, "ordinal", degrees).alpha)  # none that can't tell
    assert found["ordered"] > found["named"] + 0.1
