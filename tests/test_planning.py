"""Who gets production batches, and how large: what the store says decides, for planning and for the gate alike."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from dagster._serdes import serialize_value

from dataops_assets import gates, planning, waiting
from dataops_assets.flow import gating, handbook, history, labels
from dataops_assets.flow import gold as flow_gold
from dataops_assets.home import Home
from dataops_assets.manifest import Manifest
from dataops_assets.operations import Operations, Refused
from dataops_assets.reports import brief as brief_page
from dataops_assets.reports import panels, vendors
from dataops_assets.resources import metadata_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import brief, label_tasks
from dataops_assets.store import Store
from tests.conftest import changed
from tests.labels.programme import SOURCES, SPEC, after_pilot, answer, judged, put
from tests.labels.world import make_spec


@pytest.fixture
def world(store: Store) -> Store:
    after_pilot(store)
    return store


def test_production_waits_until_a_vendor_has_passed(world: Store) -> None:
    refused = planning.plan_batches(world, SPEC, "production")
    assert refused.is_refused and refused.batch_ids == []
    assert "acme has not passed a qualification: plan one" in refused.reason
    assert waiting.plannable(world, SPEC) == []
    assert planning.plan_batches(world, SPEC, "qualification", vendor="acme").batch_ids == ["qualification-001"]
    answer(world, "qualification-001", right=1)
    failed = planning.plan_batches(world, SPEC, "production")
    assert failed.is_refused and "colour: 6 of 18 right" in failed.reason
    planning.plan_batches(world, SPEC, "qualification", vendor="other")
    answer(world, "qualification-002", right=3)
    assert waiting.plannable(world, SPEC) != []
    assert planning.plan_batches(world, SPEC, "production", vendor="acme").is_refused
    planned = planning.plan_batches(world, SPEC, "production", limit=6)
    assert set(world.only("batch_plans", SPEC.name, planned.batch_ids[0]).frame["vendor"]) == {"other"}


def test_a_later_failure_counts_even_where_its_gate_held_it_back(world: Store) -> None:
    for number, (right, outcome) in enumerate([(3, "pass"), (0, "fail")], start=1):
        planning.plan_batches(world, SPEC, "qualification", vendor="acme")
        answer(world, f"qualification-{number:03d}", right, outcome)
    assert planning.plan_batches(world, SPEC, "production").is_refused


def test_the_gate_says_who_must_pass_what_and_lets_it_through_once_it_is_passed(world: Store) -> None:
    assert planning.plan_batches(world, SPEC, "production", is_anyway=True, limit=6).batch_ids == ["production-001"]
    plan = world.only("batch_plans", SPEC.name, "production-001").frame
    tasks = Manifest("label_tasks", SPEC.name, "production-001", label_tasks.build(plan, SOURCES, SPEC), {
        "batch_plans": {"production-001": world.candidates("batch_plans", SPEC.name)["production-001"][0]}
    })  # fmt: skip
    said, _ = gates.judge(tasks, SPEC, gating.input_frames(world, SPEC, tasks))
    (finding,) = said.failed
    assert said.outcome == "fail" and finding.name == "vendor_qualified"
    assert finding.sentence == "Production is for vendors that have shown an accuracy of 75% on colour"
    assert "acme has not passed a qualification" in finding.observed
    planning.plan_batches(world, SPEC, "qualification", vendor="acme")
    answer(world, "qualification-001", right=3)
    assert gates.judge(tasks, SPEC, gating.input_frames(world, SPEC, tasks))[0].outcome == "pass"
    optional = changed(SPEC, labeling={"qualification": "optional"})
    answer(world, "qualification-001", right=0)
    advised, _ = gates.judge(tasks, optional, gating.input_frames(world, optional, tasks))
    assert advised.outcome == "pass" and [finding.name for finding in advised.warned] == ["vendor_qualified"]


def test_what_is_bought_all_the_same_from_a_stopped_vendor_is_held_until_it_has_mended_its_work(world: Store) -> None:
    spec = changed(SPEC, labeling={"qualification": "optional"})
    for number in range(1, 8):
        planning.plan_batches(world, spec, "production", limit=1)
        answer(world, f"production-{number:03d}", right=0, outcome="fail")
    refused = planning.plan_batches(world, spec, "production", limit=1)
    assert refused.is_refused and "5 batches were refused under tightened inspection" in refused.reason

    def judged_tasks(batch: str) -> gates.Verdict:
        plan, versions = world.only("batch_plans", spec.name, batch).frame, world.candidates("batch_plans", spec.name)[batch]
        frame = label_tasks.build(plan, SOURCES, spec)
        tasks = Manifest("label_tasks", spec.name, batch, frame, {"batch_plans": {batch: versions[0]}})
        return gates.judge(tasks, spec, gating.input_frames(world, spec, tasks))[0]

    assert planning.plan_batches(world, spec, "production", is_anyway=True, limit=1).batch_ids == ["production-008"]
    said = judged_tasks("production-008")
    assert said.outcome == "fail" and [finding.name for finding in said.failed] == ["vendor_not_stopped"]
    assert "buy nothing from this vendor" in said.failed[0].observed
    planning.plan_batches(world, spec, "qualification", vendor="acme")
    answer(world, "qualification-001", right=3)
    assert judged_tasks("production-008").outcome == "pass"
    assert planning.plan_batches(world, spec, "production", limit=1).batch_ids == ["production-009"]


def test_what_is_bought_all_the_same_goes_to_the_vendor_that_was_refused_and_is_as_small_as_its_first(world: Store) -> None:
    spec = changed(SPEC, labeling={"ramp_start": 2})
    for vendor in ("acme", "other"):
        planning.plan_batches(world, spec, "qualification", vendor=vendor)
    answer(world, "qualification-002", right=3)  # acme, which comes first, hasn't passed
    for number in range(1, 8):
        planning.plan_batches(world, spec, "production", limit=1, is_anyway=True)
        answer(world, f"production-{number:03d}", right=0, outcome="fail")
    refused = planning.plan_batches(world, spec, "production")
    assert refused.is_refused and refused.reason.startswith("other: 5 batches were refused")
    (batch,) = planning.plan_batches(world, spec, "production", is_anyway=True).batch_ids
    plan = world.only("batch_plans", spec.name, batch).frame
    assert set(plan["vendor"]) == {"other"} and int((~plan["is_gold"].astype(bool)).sum()) == 2


def test_one_more_of_the_same_size_may_be_bought_before_the_last_is_judged_and_nothing_holds_it(world: Store) -> None:
    spec = changed(SPEC, labeling={"qualification": "optional", "ramp_start": 2})
    planning.plan_batches(world, spec, "production")
    assert planning.plan_batches(world, spec, "production").is_refused
    (batch,) = planning.plan_batches(world, spec, "production", is_anyway=True).batch_ids
    plan, versions = world.only("batch_plans", spec.name, batch).frame, world.candidates("batch_plans", spec.name)[batch]
    assert int((~plan["is_gold"].astype(bool)).sum()) == 2
    tasks = Manifest("label_tasks", spec.name, batch, label_tasks.build(plan, SOURCES, spec), {"batch_plans": {batch: versions[0]}})
    assert gates.judge(tasks, spec, gating.input_frames(world, spec, tasks))[0].outcome == "pass"


def test_batches_grow_one_by_one_while_quality_holds(world: Store) -> None:
    spec = changed(SPEC, labeling={"qualification": "optional", "ramp_start": 2}, gates={"min_gold_accuracy": 0.5})

    def plan() -> list[int]:
        made = planning.plan_batches(world, spec, "production").batch_ids
        return [int((~world.only("batch_plans", SPEC.name, batch).frame["is_gold"].astype(bool)).sum()) for batch in made]

    assert plan() == [2]
    assert plan() == []  # nobody knows yet how good the first one is
    assert waiting.plannable(world, spec) == []
    answer(world, "production-001", right=3)
    assert waiting.plannable(world, spec) != []
    assert plan() == [4]
    answer(world, "production-002", right=0, outcome="fail")
    assert plan() == [2]
    answer(world, "production-003", right=3)
    assert plan() == [4]
    answer(world, "production-004", right=3)
    assert plan() == [6, 6, 6, 2]  # full size: all that is left


def test_what_the_audit_found_later_keeps_the_next_batch_small(world: Store) -> None:
    spec = changed(SPEC, labeling={"qualification": "optional", "ramp_start": 2})
    first = planning.plan_batches(world, spec, "production").batch_ids[0]
    quality = judged(world.only("batch_plans", SPEC.name, first).frame, 3).assign(inspection="normal", most_wrong=0)
    quality["is_audit"] = ~quality["is_gold"].astype(bool)
    put(world, "label_quality", first, quality)
    drawn = quality[quality["is_audit"]]
    settled = drawn.assign(batch_id="adjudication-001", kind="adjudication", label="blue", is_audit=False)
    put(world, "label_quality", "adjudication-001", settled)
    told = planning.plan_batches(world, spec, "production")
    assert len(world.only("batch_plans", SPEC.name, told.batch_ids[0]).frame) == 2 + 3  # with the gold of a full one
    assert "production-001 was not good enough" in told.reason and "2 of 2 audited labels wrong, 0 may be" in told.reason
    assert "not good" in json.dumps(vendors.parts(world, spec)["production batches"], default=str)


def test_nothing_is_bought_from_a_vendor_that_is_refused_again_and_again_until_it_passes_anew(world: Store) -> None:
    planning.plan_batches(world, SPEC, "qualification", vendor="acme")
    answer(world, "qualification-001", right=3)
    for number in range(1, 8):
        assert planning.plan_batches(world, SPEC, "production", vendor="acme", limit=2).batch_ids == [f"production-{number:03d}"]
        answer(world, f"production-{number:03d}", right=3, outcome="fail")
    refused = planning.plan_batches(world, SPEC, "production", limit=2)
    assert refused.is_refused and "acme: 5 batches were refused under tightened inspection: buy nothing" in refused.reason
    assert waiting.plannable(world, SPEC) == []
    assert planning.plan_batches(world, SPEC, "qualification", vendor="acme").batch_ids == ["qualification-002"]
    assert planning.plan_batches(world, SPEC, "production", limit=2).is_refused  # nobody knows yet how it did
    answer(world, "qualification-002", right=3)
    assert planning.plan_batches(world, SPEC, "production", limit=2).batch_ids == ["production-008"]


def test_disputed_gold_is_not_hidden_in_batches(home: Home) -> None:
    with Operations.open(home.root, [SPEC]) as work:
        store = work.store
        first, second = after_pilot(store)[:2]
        told = work.gold(SPEC.name, "dispute", first[:12], "colour", None, "it is blue", "ann").lines()
        assert "dataops gold settle demo" in told[0]
        work.gold(SPEC.name, "retire", second, None, None, "a worker posted it", "ann")
        planned = planning.plan_batches(store, SPEC, "qualification", vendor="acme")
        shown = set(store.only("batch_plans", SPEC.name, planned.batch_ids[0]).frame["image_id"])
        assert not shown & {first, second} and len(shown) == 6
        assert planned.reason.endswith("of 8 gold pictures 1 disputed and 1 retired")
        assert first not in set(flow_gold.measuring(store, SPEC)[0]["image_id"])
        work.gold(SPEC.name, "settle", first, "colour", "blue", "third look", "bob")
        settled = flow_gold.measuring(store, SPEC)[0].set_index("image_id")["label"]
        assert settled[first] == "blue"
        assert list(store.gold.rows()["by"]) == ["ann", "ann", "bob"] and store.gold.verify() == []
        with pytest.raises(Refused, match="is not disputed"):
            work.gold(SPEC.name, "settle", first, "colour", "red", "again", "bob")
        with pytest.raises(Refused, match="name a person"):
            work.gold(SPEC.name, "dispute", first, "colour", None, "x", " ")


def test_what_a_third_expert_decided_is_gold_too(world: Store) -> None:
    image = sorted(flow_gold.measuring(world, SPEC)[0]["image_id"])[0]
    decided = {
        "batch_id": "adjudication-001",
        "kind": "adjudication",
        "image_id": image,
        "attribute": "colour",
        "object_id": "",
        "label": "NA",
    }
    put(world, "approved_labels", "adjudication-001", pd.DataFrame([decided | {"n_labels": 1, "decided_by": "adjudication"}]))
    found, used = flow_gold.measuring(world, SPEC)
    assert found.set_index("image_id").loc[image, "label"] == "NA" and len(found) == 8
    assert set(used["approved_labels"]) == {"pilot-001", "adjudication-001"}  # what measured is named among what it is made from


def test_a_test_is_what_was_answered_first(world: Store) -> None:
    planning.plan_batches(world, SPEC, "qualification", vendor="acme")
    for right, version in ((1, "first"), (3, "corrected")):
        answer(world, "qualification-001", right, inputs=json.dumps({"labeled_batches": {"qualification-001": version}}))
    assert "acme" not in set(history.standing(world, SPEC).query("is_passed")["vendor"])
    answer(world, "qualification-001", 2, inputs=json.dumps({"labeled_batches": {"qualification-001": "first"}}))  # by other gold
    assert "12 of 18" in history.standing(world, SPEC).set_index("vendor").loc["acme", "sentence"]


def test_the_pages_read_like_a_letter(world: Store) -> None:
    for number, (vendor, right) in enumerate([("acme", 3), ("other", 1)], start=1):
        planning.plan_batches(world, SPEC, "qualification", vendor=vendor)
        answer(world, f"qualification-{number:03d}", right)
    vendors.write(world, SPEC)
    page = (world.home.reports(SPEC.name) / "vendors.html").read_text()
    assert "acme has passed qualification-001: at least 85% right on each of colour." in page
    assert "Of 6 items acme alone got 6 right and other alone 0: acme is better (p 0.031)." in page
    plan = world.only("batch_plans", SPEC.name, "qualification-001").frame
    put(world, "label_tasks", "qualification-001", plan.assign(task_id="t" + plan["image_id"])[["task_id", "batch_id", "image_id"]])
    given = plan.assign(row_id=plan["image_id"], status="accepted")[["row_id", "batch_id", "vendor", "status"]]
    put(world, "labeled_batches", "qualification-001", given)
    for spec in (SPEC, changed(SPEC, brief={"volume": {"colour": {"red": 50}}})):
        put(world, "brief", "-", brief.check(spec))
    shown = brief_page.parts(world, spec, world.load("brief", SPEC.name))
    changes = shown["changed since the version before"]
    assert isinstance(changes, panels.Points) and "Volume of colour red: not there -> 50 images." in changes.lines
    assert "acme brought 1 batch back in 1 working day, " in shown["at the pace seen so far"].lines[0]
    assert shown["what is short"].lines == ["colour red: 50 wanted, 8 approved, about 32 more in stock; 10 short: order more."]
    assert len(shown["versions"].rows) == 2
    assert all(serialize_value(value) for value in metadata_of(shown).values())  # Dagster's events carry Python's own numbers only
    brief_page.write(world, spec)
    assert "10 short: order more." in (world.home.reports(SPEC.name) / "brief.html").read_text()


def test_what_is_quoted_never_becomes_markup() -> None:
    points = panels.Points(["a <b>|*c*\n- d", "[x](http://y)"])
    assert points.markdown == "- a &lt;b&gt;\\|\\*c\\* - d\n- \\[x\\](http://y)"


def test_a_spec_is_what_it_was(dresses: ProjectSpec) -> None:
    assert make_spec().labeling.qualification == "optional" and make_spec().labeling.ramp_start is None
    assert dresses.labeling.is_qualified_first


def test_labels_that_a_changed_ontology_voids_are_asked_again(world: Store) -> None:
    change = {"from": "7", "to": "8", "attribute": "colour", "split": {"red": ["scarlet", "wine"]}}
    values = {"scarlet": "Bright.", "wine": "Dark.", "blue": "Sky to navy.", "NA": "Not a colour."}
    pilot = world.load("approved_labels", SPEC.name, "pilot-001").frame
    put(world, "approved_labels", "pilot-001", pilot.assign(ontology_version="7"))
    assert planning.plan_batches(world, SPEC, "rework").batch_ids == []
    spec = changed(SPEC, ontology={"version": "8", "attributes": [{"name": "colour", "values": values}], "changes": [change]})
    assert flow_gold.measuring(world, spec)[0].empty
    asked = [world.only("batch_plans", spec.name, batch).frame for batch in planning.plan_batches(world, spec, "rework").batch_ids]
    assert sorted(pd.concat(asked)["image_id"]) == sorted(pilot["image_id"])
    assert planning.plan_batches(world, spec, "rework").batch_ids == []  # once


class TestGuidelinesGate:
    def judge(self, store: Store, spec: ProjectSpec) -> gates.Verdict:
        made = handbook.guidelines(store, spec, labels.brief(store, spec))
        store.write(made)
        return gates.pass_through(store, spec, "guidelines", made.partition, made.version)

    def test_an_ontology_may_not_change_without_saying_so(self, store: Store) -> None:
        assert self.judge(store, SPEC).is_released
        values = {"red": "Red | wine.", "blue": "Sky to navy."}
        gone = changed(SPEC, ontology={"attributes": [{"name": "colour", "question": "Which <colour>?", "values": values}]})
        refused = self.judge(store, gone)
        assert not refused.is_released
        assert "colour NA is gone and the version is 7 as before" in str([finding.observed for finding in refused.failed])
        change = {"from": "7", "to": "8", "attribute": "colour", "remove": ["NA"]}
        said = changed(gone, ontology={"version": "8", "changes": [change]})
        assert self.judge(store, said).is_released
