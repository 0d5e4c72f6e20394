"""Approvals: what is approved with and without its audit, what withdrawn pictures do to a sample, and what is found afterwards."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from dataops_assets import gates, measured, planning
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import delivery, gating, history, images
from dataops_assets.manifest import Manifest, conform
from dataops_assets.reports import status
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import approved_labels
from dataops_assets.store import Store, now
from tests.conftest import changed
from tests.labels.programme import SOURCES, SPEC, after_pilot, put
from tests.labels.world import COLOUR, make_spec


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
    from dataops_assets.stages import auditing

    version = store.released("label_quality", spec.name)[name]
    quality = store.read("label_quality", spec.name, name, version)
    audits, settled = history.audit_rows(store, spec)
    row = audits[audits["batch_id"] == name].to_dict("records")[0]
    tasks = pd.DataFrame({"task_id": quality.frame["task_id"], "ontology_version": spec.ontology.version})
    frame = approved_labels.approve(quality.frame, tasks, spec, "eve", auditing.error_told(row))
    return Manifest("approved_labels", spec.name, name, frame, {**quality.input, "audits": settled})


def said_of(store: Store, spec: ProjectSpec, made: Manifest) -> tuple[list[str], list[str]]:
    """What the gate holds it back for, and what it warns of."""
    said, _ = gates.judge(made, spec, gating.input_frames(store, spec, made))
    return [finding.name for finding in said.failed], [finding.name for finding in said.warned]


def screened(images: list[str] | None = None, **columns: object) -> pd.DataFrame:
    """The screening of `SOURCES`: all is kept and searched, but for these pictures, of which something else is said."""
    rows = SOURCES[["image_id", "drop_id", "vendor", "width_px", "height_px"]].assign(
        clean_sha256=SOURCES["sha256"], status="kept", faces=0
    )
    for name, value in columns.items():
        rows[name] = rows[name].astype("object") if name in rows else None
        rows.loc[rows["image_id"].isin(images or []), name] = value
    return conform(rows, CONTRACTS["cleaned_set"])


def planned(store: Store, quality: pd.DataFrame, name: str) -> None:
    units = quality.drop_duplicates(["image_id", "attribute"])
    plan = units.groupby(["batch_id", "image_id", "vendor", "kind"], as_index=False).agg(attributes=("attribute", "|".join))
    plan = plan.assign(overlap=3, round=0, is_gold=False, amount=0.1, sha256=plan["image_id"])
    store.write(Manifest("batch_plans", SPEC.name, name, conform(plan, CONTRACTS["batch_plans"])))


def asked_by(store: Store, name: str) -> list[str]:
    return sorted(store.only("batch_plans", SPEC.name, name).frame["image_id"])


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
    frame = pd.DataFrame(rows, columns=["drop_id", "status"]).assign(image_id=images, clean_sha256=images, faces=0)
    for drop, mine in frame.groupby("drop_id"):
        put(store, "cleaned_set", str(drop), conform(mine, CONTRACTS["cleaned_set"]))
    assert history.gone(store, SPEC) == {"i3"}
    withdraw(store, drop_id="d1")
    withdraw(store, image_id="i5")
    assert history.gone(store, SPEC) == {"i1", "i3", "i5"}
    put(store, "augmented_set", "d9", SOURCES)
    store.drops.append(lambda _: [{"project": SPEC.name, "drop_id": "d9", "supersedes": "d2", "status": "received"}])
    assert history.gone(store, SPEC) == {"i1", "i2", "i3", "i5"}


def test_a_sample_that_was_withdrawn_is_asked_anew_in_another_batch(store: Store) -> None:
    after_pilot(store)
    quality = bought("production-001", 20, 6)
    put(store, "label_quality", "production-001", quality)
    planned(store, quality, "production-001")
    assert planning.plan_batches(store, SPEC, "adjudication").batch_ids == ["adjudication-001"]
    asked = store.only("batch_plans", SPEC.name, "adjudication-001").frame
    drawn = sorted(quality["image_id"])[:6]
    assert sorted(asked["image_id"]) == drawn
    put(store, "label_quality", "adjudication-001", settled_by(quality[quality["image_id"].isin(drawn[:2])]))
    for image in drawn[1:]:  # one was answered before
        withdraw(store, image_id=image)
    made = planning.plan_batches(store, SPEC, "adjudication")
    assert made.batch_ids == ["adjudication-002"] and made.reason.startswith("4 audited labels are drawn in place")
    again = store.only("batch_plans", SPEC.name, "adjudication-002").frame
    assert len(again) == 4 and not set(again["image_id"]) & set(drawn)
    assert planning.plan_batches(store, SPEC, "adjudication").batch_ids == []  # once
    strict = changed(SPEC, quality={"audit": "required"})
    assert "sample_answered" in said_of(store, strict, approval(store, strict, "production-001"))[0]
    answers = settled_by(quality[quality["image_id"].isin(again["image_id"])], "adjudication-002")
    put(store, "label_quality", "adjudication-002", answers)
    made = approval(store, strict, "production-001")
    assert said_of(store, strict, made) == ([], []) and set(made.frame["audit"]) == {"0 of 6 audited labels are wrong, 0 may be"}
    assert made.version == approval(store, strict, "production-001").version
    put(store, "label_quality", "adjudication-002", answers.assign(label="blue"))
    assert "sample_passed" in said_of(store, strict, approval(store, strict, "production-001"))[0]  # what was drawn anew counts


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


def test_a_batch_of_which_no_answer_is_a_label_is_measured_by_nothing_and_waits_for_nothing(store: Store) -> None:
    quality = bought("production-001", 4, 0).assign(label="not_applicable", inspection=None, most_wrong=None)
    put(store, "label_quality", "production-001", quality)
    tasks = pd.DataFrame({"task_id": quality["task_id"], "ontology_version": SPEC.ontology.version})
    made = Manifest("approved_labels", SPEC.name, "production-001", approved_labels.approve(quality, tasks, SPEC, "eve"), {
        "label_quality": {"production-001": store.released("label_quality", SPEC.name)["production-001"]}, "audits": {},
    })  # fmt: skip
    assert said_of(store, SPEC, made) == ([], [])


def test_a_releases_card_says_of_which_labels_nobody_measured_the_error(store: Store) -> None:
    put(store, "cleaned_set", "d1", screened())
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
    held = store.load("training_export", SPEC.name, "r003")
    before = replace(held, inputs={asset: used for asset, used in held.inputs.items() if asset != "audits"})
    assert not any("accepted by themselves" in fact for fact in measured.facts(store, before))  # a card of before stays as it was


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


@pytest.mark.parametrize("why", ["shows a face", "was not searched", "was purged", "was left out"])
def test_what_planning_cannot_ask_of_is_replaced_and_needs_no_answer_when_it_comes_back(store: Store, why: str) -> None:
    spec, quality = changed(SPEC, quality={"audit": "required"}), bought("production-001", 20, 6)
    after_pilot(store)
    put(store, "label_quality", "production-001", quality)
    planned(store, quality, "production-001")
    drawn = sorted(quality["image_id"])[:6]
    file = store.apart(SPEC.name).put_apart(b"somebody")
    columns: dict[str, dict[str, object]] = {
        "shows a face": {"personal_data": "face", "open_personal_data": "face"},
        "was not searched": {"faces": None},
        "was purged": {"status": "review", "clean_sha256": file},
        "was left out": {"status": "rejected"},
    }
    put(store, "cleaned_set", "d1", screened(drawn[:1], **columns[why]))
    assert (drawn[0] in history.gone(store, spec)) is (why != "was purged")  # somebody may still decide on it, until it is
    store.apart(SPEC.name).purge(4e9)
    assert history.gone(store, spec) == {drawn[0]} and drawn[0] not in set(images.showable(store, spec, "adjudication")["image_id"])
    assert planning.plan_batches(store, spec, "adjudication").batch_ids == ["adjudication-001"]
    asked = asked_by(store, "adjudication-001")
    assert len(asked) == 6 and set(asked) & set(drawn) == set(drawn[1:])
    put(store, "label_quality", "adjudication-001", settled_by(quality[quality["image_id"].isin(asked)]))
    assert said_of(store, spec, approval(store, spec, "production-001")) == ([], [])
    put(store, "cleaned_set", "d1", screened())
    assert history.gone(store, spec) == set() and said_of(store, spec, approval(store, spec, "production-001")) == ([], [])
    assert planning.plan_batches(store, spec, "adjudication").batch_ids == []


def test_a_batch_that_failed_stays_failed_when_pictures_of_its_sample_come_back(store: Store) -> None:
    after_pilot(store)
    quality = bought("production-001", 20, 6, most_wrong=1)
    put(store, "label_quality", "production-001", quality)
    planned(store, quality, "production-001")
    drawn = sorted(quality["image_id"])[:6]
    put(store, "cleaned_set", "d1", screened(drawn[4:], status="rejected"))
    planning.plan_batches(store, SPEC, "adjudication")
    asked = asked_by(store, "adjudication-001")
    answers = settled_by(quality[quality["image_id"].isin(asked)])
    answers["label"] = ["red" if image in drawn else "blue" for image in answers["image_id"]]
    made = approval(store, SPEC, "production-001")
    put(store, "approved_labels", "production-001", made.frame, "pass", frame_inputs=made.inputs)
    put(store, "label_quality", "adjudication-001", answers)
    for frame in (None, screened(), screened(drawn[:2], status="rejected"), screened(drawn, status="rejected"), screened()):
        if frame is not None:
            put(store, "cleaned_set", "d1", frame)
        row = history.audit_rows(store, SPEC)[0].set_index("batch_id").loc["production-001"]
        assert (row["drawn"], row["n"], row["wrong"]) == (6, 6, 2)
        assert history.failed_since(store, SPEC) == ["production-001"]
        assert planning.plan_batches(store, SPEC, "adjudication").batch_ids == []


def test_a_plan_tells_what_is_drawn_anew_in_it_and_not_in_others_or_box_by_box(store: Store) -> None:
    after_pilot(store)
    quality = bought("production-001", 20, 6)
    quality = conform(pd.concat([quality, quality.assign(object_id="2")]), CONTRACTS["label_quality"])  # two objects a picture
    put(store, "label_quality", "production-001", quality)
    planned(store, quality, "production-001")
    assert planning.plan_batches(store, SPEC, "adjudication").reason == ""
    for image in sorted(quality["image_id"].unique())[:2]:
        withdraw(store, image_id=image)
    made = planning.plan_batches(store, SPEC, "adjudication")
    assert made.batch_ids == ["adjudication-002"] and made.reason.startswith("2 audited labels are drawn in place")
    other = bought("production-002", 30, 0).tail(1).assign(decision="adjudicate")
    put(store, "label_quality", "production-002", other)
    planned(store, other, "production-002")
    made = planning.plan_batches(store, SPEC, "adjudication")
    assert made.batch_ids == ["adjudication-003"] and made.reason == ""


def test_what_was_asked_of_a_batch_is_what_its_own_adjudication_asked_for_its_own_sake(store: Store) -> None:
    pockets = {"name": "pockets", "when": {"colour": ["red"]}, "values": {"yes": "Some.", "no": "None."}}
    spec = make_spec(COLOUR, pockets)
    rows = [("production-001", "i1", "colour|pockets"), ("production-001", "i2", "pockets"), ("rework-001", "i3", "colour")]
    plan = pd.DataFrame(rows, columns=["parent_batch_id", "image_id", "attributes"]).assign(
        batch_id="adjudication-001", kind="adjudication"
    )
    plan.loc[2, "batch_id"] = "adjudication-002"
    back = plan.head(1).assign(batch_id="rework-001", kind="rework", image_id="i4")
    for name, mine in pd.concat([plan, back]).groupby("batch_id"):
        store.write(Manifest("batch_plans", spec.name, str(name), conform(mine, CONTRACTS["batch_plans"])))
    found = history.asked(store, spec)[["batch_id", "image_id", "attribute"]]
    assert sorted(found.itertuples(index=False, name=None)) == [
        ("production-001", "i1", "colour"), ("production-001", "i2", "pockets"), ("rework-001", "i3", "colour"),
    ]  # fmt: skip
