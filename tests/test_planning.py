"""Who gets production batches, and how large: what the store says decides, for planning and for the gate alike."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from dataops_assets import gates, measured, planning, waiting
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import delivery, gating, handbook, history, labels
from dataops_assets.flow import gold as flow_gold
from dataops_assets.home import Home
from dataops_assets.manifest import Inputs, Manifest, conform
from dataops_assets.operations import Operations, Refused
from dataops_assets.reports import brief as brief_page
from dataops_assets.reports import panels, status, vendors
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import brief, label_tasks
from dataops_assets.store import Store, now
from tests.conftest import changed
from tests.labels.world import make_sources, make_spec

SPEC = changed(make_spec(qualification="required", pilot_size=8, batch_size=6, gold_share=0.5), brief={"budget": 500})
SOURCES = make_sources(40)


def put(
    store: Store, asset: str, partition: str, frame: pd.DataFrame, outcome: str = "pass", inputs: str = "{}",
    frame_inputs: Inputs | None = None,
) -> None:  # fmt: skip
    """A version that was judged; `inputs` as the ledger says, `frame_inputs` as the version itself."""
    made = Manifest(asset, SPEC.name, partition, frame, frame_inputs or {})
    store.write(made)
    row = {"project": SPEC.name, "asset": asset, "partition": partition, "version": made.version, "outcome": outcome, "by": "gate"}
    store.gates.append(lambda rows: [row | {"at": now(), "inputs": inputs, "files": "{}"}])


def judged(plan: pd.DataFrame, right: int) -> pd.DataFrame:
    """Quality of a planned batch: `right` of three answers on each gold picture."""
    rows = plan[["batch_id", "kind", "image_id", "vendor", "is_gold"]].assign(
        task_id="t" + plan["image_id"].str[:12], attribute="colour", object_id="", decision="accept", label="red", n_labels=3
    )
    return conform(
        rows.assign(gold_correct=pd.Series(right, index=rows.index).where(rows["is_gold"].astype(bool))), CONTRACTS["label_quality"]
    )


def answer(store: Store, batch: str, right: int, outcome: str = "pass", inputs: str = "{}") -> None:
    put(store, "label_quality", batch, judged(store.only("batch_plans", SPEC.name, batch).frame, right), outcome, inputs)


def after_pilot(store: Store) -> list[str]:
    """Pictures, and a pilot that is approved; returns its images."""
    put(store, "augmented_set", "d1", SOURCES)
    planning.plan_batches(store, SPEC, "pilot")
    pilot = store.only("batch_plans", SPEC.name, "pilot-001").frame
    approved = pilot[["batch_id", "kind", "image_id"]].assign(attribute="colour", object_id="", label="red", n_labels=1, task_id="t")
    put(store, "approved_labels", "pilot-001", approved)
    return sorted(pilot["image_id"])


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


def bought(name: str, n: int, drawn: int, most_wrong: int = 0) -> pd.DataFrame:
    """Quality of a batch of pictures of `SOURCES` in which all was accepted, and the first ones were drawn."""
    images = sorted(SOURCES["image_id"])[:n]
    rows = pd.DataFrame({"image_id": images, "is_audit": [place < drawn for place in range(n)]}).assign(
        batch_id=name, kind=name.split("-")[0], task_id=[f"t{image[:15]}" for image in images], attribute="colour", object_id="",
        label="red", n_labels=3, posterior=0.99, decision="accept", is_gold=False, vendor="acme", method="auto", inspection="normal",
        most_wrong=most_wrong,
    )  # fmt: skip
    return conform(rows, CONTRACTS["label_quality"])


def settled_by(quality: pd.DataFrame, name: str = "adjudication-001", label: str = "red") -> pd.DataFrame:
    return quality.assign(batch_id=name, kind="adjudication", is_audit=False, label=label, inspection=None, most_wrong=None)


def approval(store: Store, spec: ProjectSpec, name: str) -> Manifest:
    """What approving a batch now would make."""
    from dataops_assets.stages import approved_labels, batch_verdict

    version = store.released("label_quality", spec.name)[name]
    quality = store.read("label_quality", spec.name, name, version)
    audits, settled = history.audit_rows(store, spec)
    row = audits[audits["batch_id"] == name].to_dict("records")[0]
    tasks = pd.DataFrame({"task_id": quality.frame["task_id"], "ontology_version": spec.ontology.version})
    frame = approved_labels.approve(quality.frame, tasks, spec, "eve", batch_verdict.error_told(row))
    return Manifest("approved_labels", spec.name, name, frame, {**quality.input, "audits": settled})


def said_of(store: Store, spec: ProjectSpec, made: Manifest) -> tuple[list[str], list[str]]:
    """What the gate holds it back for, and what it warns of."""
    said, _ = gates.judge(made, spec, gating.input_frames(store, spec, made))
    return [finding.name for finding in said.failed], [finding.name for finding in said.warned]


def withdraw(store: Store, **what: str) -> None:
    store.withdrawals.append(lambda rows: [{"project": SPEC.name, "reason": "asked for", "by": "ann", "at": now()} | what])


@pytest.mark.parametrize("by", ["image", "drop"])
def test_a_batch_waits_for_no_audit_of_a_withdrawn_picture_but_for_that_of_another(store: Store, by: str) -> None:
    spec = changed(SPEC, quality={"audit": "required"})
    quality = bought("production-001", 2, 1)
    first, second = quality["image_id"]
    put(store, "raw_images", "d1", pd.DataFrame([{"image_id": first, "drop_id": "d1", "path": "a.png"}]))
    put(store, "label_quality", "production-001", quality)
    assert "sample_answered" in said_of(store, spec, approval(store, spec, "production-001"))[0]
    withdraw(store, **({"image_id": first} if by == "image" else {"drop_id": "d1"}))
    assert "sample_answered" in said_of(store, spec, approval(store, spec, "production-001"))[0]  # the other picture is drawn
    put(store, "label_quality", "adjudication-001", settled_by(quality[quality["image_id"] == second]))
    made = approval(store, spec, "production-001")
    assert said_of(store, spec, made) == ([], []) and set(made.frame["audit"]) == {"0 of 1 audited labels are wrong, 0 may be"}


def test_what_a_later_screening_or_delivery_leaves_out_is_gone_as_well_unless_another_drop_holds_it(store: Store) -> None:
    rows = [("d1", "kept"), ("d2", "kept"), ("d3", "rejected"), ("d4", "review"), ("d4", "rejected"), ("d3", "kept")]
    images = ["i1", "i2", "i3", "i4", "i5", "i5"]
    frame = pd.DataFrame(rows, columns=["drop_id", "status"]).assign(image_id=images)
    for drop, mine in frame.groupby("drop_id"):
        put(store, "cleaned_set", str(drop), conform(mine, CONTRACTS["cleaned_set"]))
    assert history.gone(store, SPEC) == {"i3"}
    withdraw(store, drop_id="d1")
    withdraw(store, image_id="i5")
    assert history.gone(store, SPEC) == {"i1", "i3", "i5"}
    put(store, "augmented_set", "d9", SOURCES)
    store.drops.append(lambda _: [{"project": SPEC.name, "drop_id": "d9", "supersedes": "d2", "status": "received"}])
    assert history.gone(store, SPEC) == {"i1", "i2", "i3", "i5"}


def test_a_sample_that_was_withdrawn_is_asked_anew_in_another_batch(world: Store) -> None:
    quality = bought("production-001", 20, 6)
    put(world, "label_quality", "production-001", quality)
    plan = quality[["batch_id", "image_id", "vendor", "kind"]].assign(
        attributes="colour", overlap=3, round=0, is_gold=False, amount=0.1, sha256=quality["image_id"]
    )
    world.write(Manifest("batch_plans", SPEC.name, "production-001", conform(plan, CONTRACTS["batch_plans"])))
    assert planning.plan_batches(world, SPEC, "adjudication").batch_ids == ["adjudication-001"]
    asked = world.only("batch_plans", SPEC.name, "adjudication-001").frame
    drawn = sorted(quality["image_id"])[:6]
    assert sorted(asked["image_id"]) == drawn
    put(world, "label_quality", "adjudication-001", settled_by(quality[quality["image_id"].isin(drawn[:2])]))
    for image in drawn[1:]:  # one was answered before
        withdraw(world, image_id=image)
    planned = planning.plan_batches(world, SPEC, "adjudication")
    assert planned.batch_ids == ["adjudication-002"] and planned.reason.startswith("4 audited labels are drawn in place")
    again = world.only("batch_plans", SPEC.name, "adjudication-002").frame
    assert len(again) == 4 and not set(again["image_id"]) & set(drawn)
    assert planning.plan_batches(world, SPEC, "adjudication").batch_ids == []  # once
    strict = changed(SPEC, quality={"audit": "required"})
    assert "sample_answered" in said_of(world, strict, approval(world, strict, "production-001"))[0]
    answers = settled_by(quality[quality["image_id"].isin(again["image_id"])], "adjudication-002")
    put(world, "label_quality", "adjudication-002", answers)
    made = approval(world, strict, "production-001")
    assert said_of(world, strict, made) == ([], []) and set(made.frame["audit"]) == {"0 of 6 audited labels are wrong, 0 may be"}
    assert made.version == approval(world, strict, "production-001").version
    put(world, "label_quality", "adjudication-002", answers.assign(label="blue"))
    assert "sample_passed" in said_of(world, strict, approval(world, strict, "production-001"))[0]  # what was drawn anew counts


@pytest.mark.parametrize("audit", ["required", "optional", "off"])
def test_a_batch_whose_audit_failed_is_held_whatever_was_agreed(store: Store, audit: str) -> None:
    spec, quality = changed(SPEC, quality={"audit": audit}), bought("production-001", 20, 4, most_wrong=1)
    put(store, "label_quality", "production-001", quality)
    put(store, "label_quality", "adjudication-001", settled_by(quality.head(2), label="blue"))
    assert "sample_passed" in said_of(store, spec, approval(store, spec, "production-001"))[0]


def test_without_its_audit_a_batch_is_approved_on_its_gold_alone_and_its_labels_say_so(store: Store) -> None:
    quality = bought("production-001", 20, 4)
    gold = quality.head(3).assign(task_id=["g1", "g2", "g3"], is_audit=False, is_gold=True, gold_label="red", gold_correct=3)
    put(store, "label_quality", "production-001", quality)
    assert said_of(store, SPEC, approval(store, SPEC, "production-001"))[0] == ["measured"]  # nobody has looked at anything
    put(store, "label_quality", "production-001", pd.concat([quality, gold]))
    made = approval(store, SPEC, "production-001")
    assert said_of(store, SPEC, made) == ([], ["sample_answered"])
    assert set(made.frame["audit"]) == {"not measured: none of 4 audited labels is answered"}
    put(store, "label_quality", "adjudication-001", settled_by(quality.head(2)))
    assert set(approval(store, SPEC, "production-001").frame["audit"]) == {
        "not measured as planned: 2 of 4 audited labels are answered, 0 of them wrong"
    }


def test_a_releases_card_says_of_which_labels_nobody_measured_the_error(store: Store) -> None:
    cleaned = pd.DataFrame({"image_id": SOURCES["image_id"].unique(), "drop_id": "d1", "status": "kept"})
    put(store, "cleaned_set", "d1", conform(cleaned, CONTRACTS["cleaned_set"]))
    for name, n in (("production-001", 20), ("production-002", 30)):
        put(store, "label_quality", name, bought(name, n, 4))
        made = approval(store, SPEC, name)
        put(store, "approved_labels", name, made.frame, frame_inputs=made.inputs)
    answers = bought("production-001", 20, 4).head(4)
    put(store, "label_quality", "adjudication-001", settled_by(answers.head(3)))

    def card(release: str) -> tuple[str, str]:
        made = delivery.training_export(store, SPEC, release)
        put(store, "training_export", release, made.frame, frame_inputs=made.inputs)
        held = store.read("training_export", SPEC.name, release, made.version)
        facts = measured.facts(store, held)
        return facts["wrong among labels accepted by themselves"], facts["batches whose labels accepted by themselves nobody has measured"]

    # both batches have the same pictures, so what is answered of them is answered of both
    wrong, unmeasured = card("r001")
    assert wrong.startswith("0 of 6 audited labels are wrong")
    assert (
        unmeasured.startswith("production-001, 20 labels (not measured as planned: 3 of 4") and "production-002, 30 labels (" in unmeasured
    )
    put(store, "label_quality", "adjudication-001", settled_by(answers))
    assert card("r002")[1] == "none"
    assert card("r001")[1] == unmeasured  # what it said stands
    for image in answers["image_id"][:2]:
        withdraw(store, image_id=image)
    assert card("r003")[1] == "none"  # what was answered counts


@pytest.mark.parametrize("kind", ["production", "rework"])
@pytest.mark.parametrize(("outcome", "is_out"), [("pass", True), ("waived", False)])
def test_what_the_audit_finds_after_the_approval_keeps_a_batch_out_of_releases(store: Store, outcome: str, is_out: bool, kind: str) -> None:
    name = f"{kind}-001"
    base = {"image_id": "i1", "attribute": "colour", "object_id": "", "label": "red", "n_labels": 3, "task_id": "t1", "decision": "accept"}
    batch = base | {"batch_id": name, "kind": kind, "is_gold": False, "inspection": "normal", "most_wrong": 0}
    put(store, "label_quality", name, conform(pd.DataFrame([batch | {"is_audit": True}]), CONTRACTS["label_quality"]))
    rows = pd.DataFrame([base | {"batch_id": name, "kind": kind}])
    approved = conform(rows[[name for name in rows if name in CONTRACTS["approved_labels"].columns]], CONTRACTS["approved_labels"])
    put(store, "approved_labels", name, approved, outcome)
    assert history.failed_since(store, SPEC) == []  # nobody has answered yet
    found = base | {"batch_id": "adjudication-001", "kind": "adjudication", "label": "NA", "is_gold": False}
    put(store, "label_quality", "adjudication-001", conform(pd.DataFrame([found]), CONTRACTS["label_quality"]))
    assert history.failed_since(store, SPEC) == ([name] if is_out else [])
    taken = delivery.training_export(store, SPEC, "r001").inputs["approved_labels"]
    assert (name in taken) is not is_out
    assert any(status.AUDIT_FAILED in line for line in status.of(store, SPEC).lines()) is is_out


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
