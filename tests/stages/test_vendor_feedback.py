from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets import manifest
from dataops_assets.home import pseudonym
from dataops_assets.stages.label_quality import assess
from dataops_assets.stages.labeled_batches import accept
from dataops_assets.stages.vendor_feedback import feedback, markdown
from tests.labels.world import COLOUR, KEY, MARKS, PARTS, answer_all, make_csv, make_spec, make_tasks

SPEC = make_spec(COLOUR)
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


def test_no_picture_is_named():
    tasks, frame = told()
    text = markdown(frame, SPEC) + frame.to_csv()
    assert not any(name in text for name in [*tasks["task_id"], *tasks["image_id"]])
    assert "| " + BAD + " | 10 | 0% | 0% of 5 | 2.0 |" in text


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
    assert markdown(manifest.empty("vendor_feedback"), SPEC) == "No accepted answers yet.\n"
