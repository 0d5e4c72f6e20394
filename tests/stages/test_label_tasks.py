from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import handbook
from dataops_assets.labels.examples import Example
from dataops_assets.labels.request import replace_documents
from dataops_assets.manifest import conform, empty
from dataops_assets.stages import approved_labels, label_quality, label_tasks
from dataops_assets.stages.labeled_batches import accept
from tests.conftest import changed
from tests.labels.world import COLOUR, KEY, MARKS, PARTS, answer_all, make_csv, make_sources, make_spec

NONE = empty("batch_plans")
SIZE = {"name": "size", "values": {"s": "Small.", "l": "Large."}}


def after_pilot(n: int = 12, **labeling: object):
    """A project whose pilot is done: spec, sources, plans, gold."""
    spec = make_spec(COLOUR, SIZE, **labeling)
    sources = make_sources(n)
    (pilot,) = label_tasks.plan("pilot", spec, sources, NONE).batches
    tasks = label_tasks.build(pilot, sources, spec)
    labeled = accept([("us", "a.csv", answer_all(tasks, spec, ("me",)))], tasks, spec, KEY)
    quality = label_quality.assess(labeled, tasks, None, spec)
    gold = approved_labels.gold_of(approved_labels.approve(quality, tasks, spec, "me"))
    return spec, sources, pilot, gold


def test_a_pilot_is_drawn_evenly_and_done_by_our_own_people():
    spec = make_spec(pilot_size=6)
    sources = make_sources(30)
    (pilot,) = label_tasks.plan("pilot", spec, sources, NONE).batches
    assert (set(pilot["batch_id"]), set(pilot["vendor"]), set(pilot["overlap"])) == ({"pilot-001"}, {"us"}, {1})
    drawn = sources[sources["image_id"].isin(pilot["image_id"])]
    assert (drawn.groupby(["category", "vendor"]).size() == 1).all() and len(drawn) == 6


def test_production_takes_every_other_source_once_with_hidden_gold():
    spec, sources, pilot, gold = after_pilot(16)
    batches, reason = label_tasks.plan("production", spec, sources, pilot, gold=gold)
    assert reason == ""
    assert [batch["batch_id"].iloc[0] for batch in batches] == ["production-001", "production-002", "production-003"]
    rows = pd.concat(batches)
    bought = rows[~rows["is_gold"].astype(bool)]
    assert sorted(bought["image_id"]) == sorted(set(sources["image_id"]) - set(pilot["image_id"]))
    assert [int((~batch["is_gold"].astype(bool)).sum()) for batch in batches] == [5, 5, 2]
    assert [int(batch["is_gold"].sum()) for batch in batches] == [1, 1, 1]
    assert set(rows.loc[rows["is_gold"].astype(bool), "image_id"]) <= set(pilot["image_id"])
    assert rows.loc[rows["is_gold"].astype(bool), "image_id"].is_unique  # the least used first
    assert set(rows["vendor"]) == {"acme"} and set(rows["attributes"]) == {"colour|size"}
    assert rows["amount"].sum() == pytest.approx(15 * 3 * 2 * 0.1)
    again = label_tasks.plan("production", spec, sources, pd.concat([pilot, *batches]), gold=gold)
    assert again == ([], "nothing waits for production")


def test_plans_are_deterministic_whatever_the_order_of_their_inputs():
    spec, sources, pilot, gold = after_pilot()
    first = label_tasks.plan("production", spec, sources, pilot, gold=gold)
    second = label_tasks.plan("production", spec, sources[::-1], pilot[::-1], gold=gold[::-1])
    for one, other in zip(first.batches, second.batches, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_without_a_pilot_production_says_that_gold_is_missing():
    plan = label_tasks.plan("production", make_spec(), make_sources(3), NONE)
    assert len(plan.batches) == 1 and plan.reason == "no hidden gold: label and approve a pilot"


def test_production_hides_gold_that_was_in_no_qualification_and_a_test_leaves_some():
    spec, sources, pilot, gold = after_pilot(40, gold_share=0.4, batch_size=5, pilot_size=10, worker_accuracy=0.99, ramp_start=None)
    spec = changed(spec, labeling={"batch_size": 10, "qualification_accuracy": 0.5})  # 3 pictures are a fair test; a batch hides 4
    (test,), reason = label_tasks.plan("qualification", spec, sources, pilot, gold=gold, vendor="acme")
    assert (len(test), reason) == (6, "")
    planned = pd.concat([pilot, test])
    batches, reason = label_tasks.plan("production", spec, sources, planned, gold=gold, vendor="acme", limit=10)
    hidden = set(batches[0].loc[batches[0]["is_gold"].astype(bool), "image_id"])
    assert (len(hidden), hidden & set(test["image_id"]), reason) == (4, set(), "")
    two, reason = label_tasks.plan("production", spec, sources, planned, gold=gold, vendor="acme", limit=20)
    assert [len(hidden & set(batch["image_id"])) for batch in two] == [4, 4]  # rather those again than what the test showed
    few = changed(spec, labeling={"gold_sights": 2})  # answers to what was seen twice count no more: then rather what the test showed
    three, reason = label_tasks.plan("production", few, sources, planned, gold=gold, vendor="acme", limit=30)
    assert [len(hidden & set(batch["image_id"])) for batch in three] == [4, 4, 0]
    assert reason.startswith("4 of 12 hidden gold pictures were in a qualification of acme")


def test_a_vendor_that_knows_all_gold_is_told():
    spec, sources, pilot, gold = after_pilot(16)
    (test,), reason = label_tasks.plan("qualification", spec, sources, pilot, gold=gold, vendor="acme")
    assert set(test["image_id"]) == set(gold["image_id"])  # four are too few for a fair test already
    assert reason.startswith("0 of 4 gold pictures stay unknown to acme, and a production batch hides 1")
    planned = pd.concat([pilot, test])
    _, reason = label_tasks.plan("production", spec, sources, planned, gold=gold, vendor="acme", limit=5)
    assert reason.startswith("1 of 1 hidden gold pictures were in a qualification of acme")
    assert label_tasks.plan("production", spec, sources, planned, gold=gold, vendor="other", limit=5).reason == ""


def test_limit_and_budget_leave_the_rest_waiting():
    spec = make_spec(gold_share=0)
    plan = label_tasks.plan("production", spec, make_sources(9), NONE, budget_left=2.1, limit=8)
    assert [len(batch) for batch in plan.batches] == [5, 2]  # an image costs 3 x 0.10
    assert plan.reason == "1 images wait: the budget left, 2.10 EUR, doesn't pay for them"
    assert label_tasks.plan("production", spec, make_sources(9), NONE, budget_left=0.2).batches == []


DONE = after_pilot(20)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 20),
    budget=st.floats(0, 12),
    share=st.floats(0, 1),
    overlap=st.integers(1, 4),
    size=st.integers(1, 7),
)
def test_a_plan_never_costs_more_than_is_left(n, budget, share, overlap, size):
    _, sources, pilot, gold = DONE
    spec = make_spec(COLOUR, SIZE, gold_share=share, overlap=overlap, batch_size=size)
    batches, reason = label_tasks.plan("production", spec, sources, pilot, gold=gold, budget_left=budget, limit=n)
    assert sum(batch["amount"].sum() for batch in batches) <= budget + 1e-6
    bought = sum(int((~batch["is_gold"].astype(bool)).sum()) for batch in batches)
    assert bought == min(n, 16) or "wait" in reason


def test_rework_and_adjudication_follow_the_decisions_once():
    spec, sources, pilot, gold = after_pilot(6, batch_size=2)
    (batch,) = label_tasks.plan("production", spec, sources, pilot, gold=gold).batches
    tasks = label_tasks.build(batch, sources, spec)
    first, second_ = (task for _, task in tasks[~tasks["is_gold"].astype(bool)].iterrows())
    rows = [f"{first.task_id},size,s,,,,,{who},," for who in "abc"]
    rows += [f"{first.task_id},colour,red,,,,,a,,"]
    rows += [f"{second_.task_id},size,s,,,,,{who},," for who in "abc"]
    rows += [f"{second_.task_id},colour,{label},,,,,{who},," for who, label in (("a", "red"), ("b", "blue"), ("c", "NA"))]
    labeled = accept([("acme", "a.csv", make_csv(*rows))], tasks, spec, KEY)
    quality = label_quality.assess(labeled, tasks, None, changed(spec, quality={"adjudication_price": 2.0}))
    planned = pd.concat([pilot, batch])
    (again,) = label_tasks.plan("rework", spec, sources, planned, quality=quality).batches
    sent = again.set_index("image_id")
    assert len(again) == 1 and not again["is_gold"].any()  # a tie of three isn't worth another label
    assert sent.loc[first.image_id, ["attributes", "vendor", "overlap", "round", "parent_batch_id"]].tolist() == [
        "colour", "acme", 2, 1, "production-001"
    ]  # fmt: skip
    planned = pd.concat([planned, again])
    assert label_tasks.plan("rework", spec, sources, planned, quality=quality).batches == []
    second = label_tasks.build(again, sources, spec)
    late = label_quality.assess(empty("labeled_batches"), second.assign(round=2), None, spec)
    quality = pd.concat([quality, late])
    decide = pd.concat(label_tasks.plan("adjudication", spec, sources, planned, quality=quality).batches)
    assert (set(decide["vendor"]), set(decide["overlap"]), set(decide["attributes"])) == ({"us"}, {1}, {"colour"})
    assert set(decide["amount"]) == {spec.price_of_settling} == {5 * 0.1}  # our own people's time has a price though nobody bills it
    priced = changed(spec, quality={"adjudication_price": 2.0})
    assert label_tasks.plan("adjudication", priced, sources, planned, quality=quality, budget_left=3.9).batches[0]["amount"].tolist() == [
        2.0
    ]
    assert set(zip(decide["parent_batch_id"], decide["image_id"], strict=True)) == {
        ("production-001", second_.image_id), ("rework-001", first.image_id)
    }  # fmt: skip
    assert label_tasks.plan("adjudication", spec, sources, pd.concat([planned, decide]), quality=quality).batches == []
    drawn = quality.assign(is_audit=(quality["image_id"] == first.image_id) & (quality["attribute"] == "size"))
    audit = pd.concat(label_tasks.plan("adjudication", spec, sources, planned, quality=drawn).batches)
    assert ("production-001", "size") in set(zip(audit["parent_batch_id"], audit["attributes"], strict=True))  # among the others, unmarked
    withdrawn = sources[sources["image_id"] != first.image_id]
    left = pd.concat(label_tasks.plan("adjudication", spec, withdrawn, planned, quality=quality).batches)
    assert first.image_id not in set(left["image_id"])


def test_gold_comes_back_as_often_as_what_was_answered_alike():
    """Where half of the questions on which people split come back, so does half of the gold on which they split: none is told by it."""
    spec, sources = make_spec(COLOUR, batch_size=600), make_sources(600)
    planned = sources[["image_id", "sha256"]].assign(
        batch_id="production-001", kind="production", vendor="acme", attributes="colour", overlap=2, round=0, parent_batch_id=None,
        is_gold=np.arange(600) % 3 == 0,
    )  # fmt: skip
    is_split, is_sent = np.arange(600) % 2 == 0, np.arange(600) % 4 == 0
    quality = planned[["batch_id", "kind", "image_id", "vendor", "is_gold"]].assign(
        task_id="t" + planned["image_id"].str[:15], attribute="colour", object_id="", n_labels=2, agreement=np.where(is_split, 0.0, 1.0),
        decision=np.where(is_sent & ~planned["is_gold"], "rework", "accept"), n_more=np.where(is_sent & ~planned["is_gold"], 1, 0),
    )  # fmt: skip
    planned, quality = conform(planned, CONTRACTS["batch_plans"]), conform(quality, CONTRACTS["label_quality"])
    (again,) = label_tasks.plan("rework", spec, sources, planned, quality=quality, key=KEY).batches
    golden = set(again.loc[again["is_gold"].astype(bool), "image_id"])
    could = set(quality.loc[quality["is_gold"].astype(bool) & is_split, "image_id"])
    assert golden <= could and len(golden) == pytest.approx(len(could) / 2, abs=20)
    assert set(again["overlap"]) == {1} and set(again["round"]) == {1} and set(again["parent_batch_id"]) == {"production-001"}
    (other,) = label_tasks.plan("rework", spec, sources, planned, quality=quality, key=b"other").batches
    assert set(other.loc[other["is_gold"].astype(bool), "image_id"]) != golden  # nobody without the key can tell which
    bought = again[~again["is_gold"].astype(bool)]
    late = label_tasks.plan("rework", spec, sources, pd.concat([planned, bought]), quality=quality, key=KEY)
    assert late.batches == []  # a batch of gold alone would tell all of it

    tasks = label_tasks.build(again, sources, spec)
    labeled = accept([("acme", "a.csv", answer_all(tasks, spec, ("ann",)))], tasks, spec, KEY)
    known = pd.DataFrame({"image_id": sorted(golden), "attribute": "colour", "label": "blue"})
    judged = label_quality.assess(labeled, tasks, known, spec)
    assert judged["gold_correct"].isna().all() and judged["gold_lower"].isna().all()  # those on which people split measure nobody
    assert set(judged.loc[judged["is_gold"].astype(bool), "decision"]) == {"accept"}


def test_screening_shows_doubtful_pictures_to_those_who_may_see_them():
    spec = make_spec()
    rows = [
        {"image_id": f"{n}", "status": status, "clean_sha256": sha}
        for n, (status, sha) in enumerate([("review", "a"), ("kept", "b"), ("review", None)])
    ]
    cleaned = conform(pd.DataFrame(rows), CONTRACTS["cleaned_set"])
    (batch,) = label_tasks.plan("screening", spec, cleaned, NONE).batches
    assert batch[["image_id", "sha256", "attributes", "vendor"]].values.tolist() == [["0", "a", "screening", "us"]]
    with pytest.raises(ValueError, match="may not see personal data"):
        label_tasks.plan("screening", spec, cleaned, NONE, vendor="acme")
    tasks = label_tasks.build(batch, cleaned, spec)
    labeled = accept([("us", "a.csv", f"item_id,label,annotator\n{tasks['task_id'][0]},keep,me\n".encode())], tasks, spec, KEY)
    (row,) = label_quality.assess(labeled, tasks, None, spec).to_dict("records")
    assert (row["attribute"], row["label"], row["decision"]) == ("screening", "keep", "accept")


def test_qualification_is_gold_alone_for_the_vendor_named():
    spec, sources, pilot, gold = after_pilot()
    (batch,) = label_tasks.plan("qualification", spec, sources, pilot, gold=gold, vendor="other").batches
    assert set(batch["image_id"]) == set(pilot["image_id"]) and batch["is_gold"].all() and set(batch["vendor"]) == {"other"}
    with pytest.raises(ValueError, match="name the vendor"):
        label_tasks.plan("qualification", spec, sources, pilot, gold=gold)
    with pytest.raises(ValueError, match="no labelling vendor"):
        label_tasks.plan("qualification", spec, sources, pilot, gold=gold, vendor="nobody")


def test_candidates_get_the_same_gold_and_one_that_tries_again_gets_what_it_has_not_seen():
    spec, sources, planned, gold = after_pilot(12, pilot_size=6, batch_size=3)
    shown = []
    for vendor in ("acme", "other", "acme"):
        (batch,) = label_tasks.plan("qualification", spec, sources, planned, gold=gold, vendor=vendor).batches
        planned = pd.concat([planned, batch])
        shown.append(set(batch["image_id"]))
    assert shown[0] == shown[1] and not shown[0] & shown[2] and len(shown[2]) == 3


def test_preservation_asks_of_variants_what_they_should_have_kept():
    sources = make_sources(6, variants=2)
    (batch,) = label_tasks.plan("preservation", make_spec(COLOUR, SIZE), sources, NONE).batches
    recipes = batch.merge(sources[["image_id", "recipe"]], on="image_id")
    assert recipes.groupby("recipe")["attributes"].agg(["size", "first"]).to_dict("index") == {
        "r0": {"size": 2, "first": "colour|size"},
        "r1": {"size": 2, "first": "size"},
    }


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="no batches of kind"):
        label_tasks.plan("party", make_spec(), make_sources(1), NONE)  # type: ignore[arg-type]


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def request_of_a_batch(tmp_path):
    spec = make_spec(COLOUR, MARKS, PARTS)
    blobs = Blobs(str(tmp_path / "store"))
    sources = make_sources(12, blobs)
    (pilot,) = label_tasks.plan("pilot", spec, sources, NONE).batches
    gold = pd.DataFrame(
        [{"image_id": image, "attribute": name, "label": "x"} for image in pilot["image_id"] for name in ("colour", "marks", "parts")]
    )
    batch = label_tasks.plan("production", spec, sources, pilot, gold=gold).batches[0]
    tasks = label_tasks.build(batch, sources, spec, blobs)
    label_tasks.write_request(tasks, spec, tmp_path / "request", blobs)
    return spec, tasks, tmp_path / "request", blobs


def test_the_folder_is_whole_and_checks(request_of_a_batch):
    _, tasks, folder, _ = request_of_a_batch
    files = written(folder)
    documents = {
        "tasks.csv",
        "label_studio_tasks.json",
        "label_config.xml",
        "guidelines.html",
        "guidelines.md",
        "returns_template.csv",
        "README.txt",
    }
    assert files.keys() == documents | {"checksums.txt"} | set(tasks["file"])
    sums = dict(reversed(line.split("  ")) for line in files.pop("checksums.txt").decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert tasks["file"].str.endswith(".png").all() and set(tasks["width_px"]) == {40}
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_the_markdown_finds_its_pictures_in_the_folder(request_of_a_batch):
    spec, tasks, folder, blobs = request_of_a_batch
    one = Example("colour", "red", "elsewhere", given="blue", answers=2)
    edition = handbook.Edition(1, (), (one,), {one: b"a jpeg"})
    label_tasks.write_request(tasks, spec, folder, blobs, edition)
    files = written(folder)
    (link,) = re.findall(r"!\[\]\((.*?)\)", files["guidelines.md"].decode())
    assert files[link] == b"a jpeg" and f"{hashlib.sha256(b'a jpeg').hexdigest()}  {link}" in files["checksums.txt"].decode()
    replace_documents(folder, {"guidelines.md": "none"})  # its picture was withdrawn
    assert link not in written(folder) and link not in (folder / "checksums.txt").read_text()


def test_writing_again_changes_nothing_and_repairs_what_is_missing(request_of_a_batch):
    spec, tasks, folder, blobs = request_of_a_batch
    before, inode = written(folder), folder.stat().st_ino
    label_tasks.write_request(tasks[::-1], spec, folder, blobs)
    assert written(folder) == before and folder.stat().st_ino == inode
    (folder / "tasks.csv").unlink()
    label_tasks.write_request(tasks, spec, folder, blobs)
    assert written(folder) == before


def test_gold_cannot_be_told_from_the_folder(request_of_a_batch):
    spec, tasks, folder, blobs = request_of_a_batch
    assert tasks["is_gold"].any() and not tasks["is_gold"].all()
    others = tasks.assign(is_gold=~tasks["is_gold"].astype(bool))
    label_tasks.write_request(others, spec, folder.with_name("other"), blobs)
    assert written(folder) == written(folder.with_name("other"))
    assert not any(b"gold" in data.lower() for name, data in written(folder).items() if not name.startswith("images/"))
    rows = list(csv.DictReader((folder / "tasks.csv").read_text().splitlines()))
    assert [row["item_id"] for row in rows] == sorted(row["item_id"] for row in rows)
    assert {tuple(value for name, value in row.items() if name not in ("item_id", "file")) for row in rows} == {("colour|marks|parts", "3")}
    assert len({path.stat().st_mode for path in (folder / "images").iterdir()}) == 1


def test_round_trip_by_csv_and_by_label_studio(request_of_a_batch):
    spec, tasks, folder, _ = request_of_a_batch
    answers = {"colour": "NA", "marks": "dots|logo", "parts": "hat"}
    filled = list(csv.reader((folder / "returns_template.csv").read_text().splitlines()))
    for row in filled[1:]:
        row[2:] = [answers[row[1]], *(["4", "3", "20", "15"] if row[1] == "parts" else [""] * 4), "ann", "2026-01-02T00:00:00Z", "2.5"]
    by_csv = accept([("acme", "a.csv", "\n".join(",".join(row) for row in filled).encode())], tasks, spec, KEY)
    exported = json.loads((folder / "label_studio_tasks.json").read_text())
    box = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["hat"]}
    results = [{"from_name": name, "type": "choices", "value": {"choices": answers[name].split("|")}} for name in ("colour", "marks")]
    results.append({"from_name": "parts", "type": "rectanglelabels", "value": box, "original_width": 40, "original_height": 30})
    for task in exported:
        head = {"completed_by": {"id": "ann"}, "created_at": "2026-01-02T00:00:00Z", "lead_time": 7.5}
        task["annotations"] = [head | {"result": results}]
    by_studio = accept([("acme", "a.json", json.dumps(exported).encode())], tasks, spec, KEY)
    columns = ["task_id", "attribute", "label", "x", "y", "w", "h", "worker_id", "submitted_at", "seconds", "status"]
    assert len(by_csv) == 3 * len(tasks) and set(by_csv["status"]) == {"accepted"}
    order = ["task_id", "attribute"]
    pd.testing.assert_frame_equal(
        by_csv[columns].sort_values(order, ignore_index=True), by_studio[columns].sort_values(order, ignore_index=True)
    )


def test_the_built_in_question_is_not_an_attribute():
    with pytest.raises(ValueError, match="built-in question"):
        make_spec({"name": "screening", "values": {"a": ""}})
