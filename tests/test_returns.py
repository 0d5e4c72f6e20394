"""Returned files on their way into the store: the same again adds nothing, a correction is a new version."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from dataops_assets import gates, waiting
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import labels, shared
from dataops_assets.labels import tables
from dataops_assets.manifest import Manifest, conform
from dataops_assets.reports import status
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now
from tests.labels.world import COLOUR, PARTS, answer_all, make_csv, make_spec, make_tasks

BATCH = "production-001"
PLAN = CONTRACTS["batch_plans"]


@pytest.fixture
def spec() -> ProjectSpec:
    return make_spec(COLOUR, PARTS)


@pytest.fixture
def tasks(store: Store, spec: ProjectSpec) -> Manifest:
    made = Manifest("label_tasks", spec.name, BATCH, make_tasks(spec))
    pass_gate(store, made)
    return made


def pass_gate(store: Store, made: Manifest, outcome: str = "pass") -> None:
    place = {"project": made.project, "asset": made.asset, "partition": made.partition, "version": made.version}
    store.gates.append(lambda rows: [{**place, "outcome": outcome, "at": now()}])


def put(store: Store, path: str, data: bytes) -> Path:
    target = store.home.returns("demo") / BATCH / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return target


def returned(store: Store, spec: ProjectSpec, tasks: Manifest) -> Manifest:
    return labels.labeled_batches(store, spec, tasks)


def test_the_same_batch_returned_twice_adds_nothing(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    data = answer_all(tasks.frame, spec)
    put(store, "acme/labels.csv", data)
    once = returned(store, spec, tasks)
    assert returned(store, spec, tasks).version == once.version
    put(store, "acme/again/labels.csv", data)
    twice = returned(store, spec, tasks)
    assert (twice.version, twice.inputs) == (once.version, once.inputs)
    assert len(once.frame) == 12 and (once.frame["status"] == "accepted").all()


def test_what_was_read_is_not_read_again_until_a_file_changes(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    put(store, "acme/annotator=ann/labels.csv", answer_all(tasks.frame, spec))
    put(store, "acme/_COMPLETE", b"")
    assert [item.partition for item in waiting.returns(store, spec, {}, 0).ready] == [BATCH]
    pass_gate(store, returned(store, spec, tasks), "fail")
    assert waiting.returns(store, spec, {}, 0).ready == []
    put(store, "acme/annotator=ann/more/labels.csv", b"item_id,label\n")
    assert [item.partition for item in waiting.returns(store, spec, {}, 0).ready] == [BATCH]


def release(store: Store, made: Manifest) -> None:
    store.write(made)
    gates.enter(store, made, gates.Verdict("pass"), run_id="", until=None)


def judge(store: Store, spec: ProjectSpec, tasks: Manifest) -> Manifest:
    """Take in what was returned for a batch, and judge it; both are released."""
    labeled = returned(store, spec, tasks)
    quality = labels.label_quality(store, spec, labeled, tasks)
    for made in (labeled, quality):
        release(store, made)
    return quality


def test_what_our_own_people_settle_is_entered_at_the_price_that_decisions_are_made_at(
    store: Store, spec: ProjectSpec, tasks: Manifest
) -> None:
    ours = replace(tasks, partition="adjudication-001", frame=tasks.frame.assign(kind="adjudication", vendor="us"))
    labels.settle(store, spec, ours, 4)
    assert store.costs.rows().loc[0, ["kind", "vendor", "ref", "amount"]].tolist() == [
        "labels_settled", "us", "adjudication-001", pytest.approx(4 * spec.price_of_settling)
    ]  # fmt: skip
    assert spec.price_of_settling == pytest.approx(0.5) and spec.labeling.internal.price_per_label == 0


def test_a_correction_voids_the_approval_and_approved_anew_it_is_paid_as_it_is(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    def approve(quality: Manifest) -> None:
        made = labels.approved_labels(store, spec, quality, store.load("labeled_batches", "demo", BATCH), tasks, "eve@example.org")
        release(store, made)

    put(store, "acme/labels.csv", answer_all(tasks.frame, spec))
    approve(judge(store, spec, tasks))
    assert set(store.released("approved_labels", "demo")) == {BATCH}
    judge(store, spec, tasks)
    assert set(store.released("approved_labels", "demo")) == {BATCH}  # the same labels, judged again
    put(store, "acme/correction.csv", answer_all(tasks.frame, spec, value=1).replace(b"2026-01-02", b"2026-01-03"))
    corrected = judge(store, spec, tasks)
    assert store.released("approved_labels", "demo") == {} and BATCH not in set(store.load_all("approved_labels", "demo")[0]["batch_id"])
    assert [row["outcome"] for row in status.of(store, spec).held if row["asset"] == "approved_labels"] == ["void"]

    def spent() -> float:
        rows = store.costs.rows()
        return float(rows.loc[rows["ref"] == BATCH, "amount"].sum())

    before = spent()
    approve(corrected)
    assert spent() == pytest.approx(before)  # as many answers as before
    put(store, "acme/fewer.csv", answer_all(tasks.frame.head(1), spec, value=1).replace(b"2026-01-02", b"2026-01-04"))
    (store.home.returns("demo") / BATCH / "acme/labels.csv").unlink()
    (store.home.returns("demo") / BATCH / "acme/correction.csv").unlink()
    approve(judge(store, spec, tasks))
    assert spent() == pytest.approx(before / 2)  # one of two pictures was answered after all
    approve(store.load("label_quality", "demo", BATCH))
    assert spent() == pytest.approx(before / 2)
    put(store, "acme/correction.csv", answer_all(tasks.frame, spec, value=1).replace(b"2026-01-02", b"2026-01-05"))
    (store.home.returns("demo") / BATCH / "acme/fewer.csv").unlink()
    approve(judge(store, spec, tasks))
    assert spent() == pytest.approx(before)
    assert set(store.load("approved_labels", "demo", BATCH).frame.query("attribute == 'colour'")["label"]) == {"blue"}


def through_its_gate(store: Store, spec: ProjectSpec, tasks: Manifest) -> gates.Verdict:
    """Take in what was returned for a batch as it lies there, and let the gate decide."""
    store.write(tasks)
    made = returned(store, spec, tasks)
    store.write(made)
    return gates.pass_through(store, spec, made.asset, made.partition, made.version)


def test_a_correction_of_everything_passes_its_gate_and_voids_the_approval(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    def judged() -> Manifest:
        made = labels.label_quality(store, spec, store.load("labeled_batches", "demo", BATCH), tasks)
        release(store, made)
        return made

    put(store, "acme/labels.csv", answer_all(tasks.frame, spec))
    assert through_its_gate(store, spec, tasks).outcome == "pass"
    quality, labeled = judged(), store.load("labeled_batches", "demo", BATCH)
    release(store, labels.approved_labels(store, spec, quality, labeled, tasks, "eve@example.org"))
    put(store, "acme/correction.csv", answer_all(tasks.frame, spec, value=1).replace(b"2026-01-02", b"2026-01-03"))
    assert through_its_gate(store, spec, tasks).outcome == "pass"
    assert set(judged().frame.query("attribute == 'colour'")["label"]) == {"blue"}
    assert store.released("approved_labels", "demo") == {}


def test_the_same_answers_exported_again_pass_the_gate(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    data = answer_all(tasks.frame, spec)
    put(store, "acme/labels.csv", data)
    put(store, "acme/again.csv", data.replace(b"\n", b"\r\n"))
    assert through_its_gate(store, spec, tasks).outcome == "pass"
    labeled = store.load("labeled_batches", "demo", BATCH).frame
    assert labeled["status"].value_counts().to_dict() == {"accepted": 12, "rejected": 12}


def test_a_correction_beside_rows_that_nobody_can_use_is_held_back_for_these(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    put(store, "acme/labels.csv", answer_all(tasks.frame, spec))
    put(store, "acme/correction.csv", answer_all(tasks.frame, spec, value=1).replace(b"2026-01-02", b"2026-01-03"))
    put(store, "acme/stray.csv", make_csv("nobody,colour,red,,,,,ann,,"))
    verdict = through_its_gate(store, spec, tasks)
    assert (verdict.outcome, verdict.reason, verdict.failed_row_count) == ("fail", "accepted_share", 1)


def test_two_answers_of_which_nobody_knows_the_later_still_count(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    four = answer_all(tasks.frame, spec, workers=("ann", "bob", "cid", "dan"))
    other = [row.replace("red", "blue") for row in four.decode().splitlines() if "colour" in row and "dan" in row]
    assert len(other) == 2
    put(store, "acme/labels.csv", four + "\n".join(other).encode())
    verdict = through_its_gate(store, spec, tasks)
    assert (verdict.outcome, verdict.reason, verdict.failed_row_count) == ("fail", "accepted_share", 4)


def test_a_correction_is_a_new_version_and_the_old_one_stays(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    put(store, "acme/labels.csv", answer_all(tasks.frame, spec))
    first = returned(store, spec, tasks)
    store.write(first)
    later = answer_all(tasks.frame, spec, workers=("ann",), value=1).replace(b"2026-01-02", b"2026-01-03")
    put(store, "acme/correction.csv", later)
    second = returned(store, spec, tasks)
    store.write(second)
    assert second.version != first.version
    assert store.read("labeled_batches", spec.name, BATCH, first.version).frame.equals(first.frame)
    reasons = second.frame[second.frame["worker_id"].isin(set(second.frame.loc[second.frame["file"] == "correction.csv", "worker_id"]))]
    assert reasons.groupby("file")["reason"].apply(set).to_dict() == {"correction.csv": {""}, "labels.csv": {"LABEL_CONFLICT"}}


def test_answers_from_the_future_are_refused_and_again_so_when_it_has_come(
    store: Store, spec: ProjectSpec, tasks: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime(2026, 1, 3, tzinfo=UTC)

    def on(day: datetime) -> Manifest:
        monkeypatch.setattr(labels, "now", lambda: day)
        return returned(store, spec, tasks)

    put(store, "acme/labels.csv", answer_all(tasks.frame, spec, workers=("ann", "bob")))
    put(store, "acme/wild.csv", answer_all(tasks.frame, spec, workers=("cid",)).replace(b"2026-01-02", b"2199-01-02"))
    first = on(today)
    assert first.frame.groupby("file")["reason"].apply(set).to_dict() == {"labels.csv": {""}, "wild.csv": {"CLOCK_SKEW"}}
    assert on(datetime(2199, 2, 1, tzinfo=UTC)).version == first.version
    put(store, "acme/correction.csv", answer_all(tasks.frame, spec, workers=("cid",), value=1).replace(b"2026-01-02", b"2026-01-05"))
    later = on(today + timedelta(days=3)).frame
    assert set(later.loc[later["file"] == "correction.csv", "reason"]) == {""}
    assert set(later.loc[later["file"] == "wild.csv", "reason"]) == {"CLOCK_SKEW"}
    (store.home.returns("demo") / BATCH / "acme/correction.csv").rename(store.home.returns("demo") / BATCH / "acme/renamed.csv")
    assert set(on(today).frame.query("file == 'renamed.csv'")["reason"]) == {""}  # seen before, under another name


def test_a_file_too_large_to_be_read_is_a_row_and_the_good_one_beside_it_is_taken_in(
    store: Store, spec: ProjectSpec, tasks: Manifest
) -> None:
    put(store, "acme/labels.csv", answer_all(tasks.frame, spec))
    sizes = {"huge.csv": 1 << 40, "huge.json": tables.MAX_JSON_BYTES + 1, "huge.zip": tables.MAX_BYTES + 1, "set/classes.txt": 1 << 40}
    for name, size in sizes.items():
        os.truncate(put(store, f"acme/{name}", b"["), size)  # holes: nothing of it is on the disk, all of it would be in memory
    made = returned(store, spec, tasks)
    refused = made.frame[made.frame["status"] == "rejected"]
    assert dict(zip(refused["file"], refused["reason"], strict=True)) == dict.fromkeys(sizes, "TOO_LARGE")
    assert refused["file_sha256"].isna().all()
    assert (made.frame["status"] == "accepted").sum() == 12
    assert len(made.inputs["returns"]) == 5
    assert returned(store, spec, tasks).version == made.version


def test_the_annotator_named_by_a_folder_is_named_nowhere_else(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    put(store, "acme/annotator=Maria/labels.csv", answer_all(tasks.frame, spec, workers=("",)))
    made = returned(store, spec, tasks)
    assert (made.frame["status"] == "accepted").all()
    assert "Maria" not in str(made.inputs) + made.frame.to_csv()


def test_nothing_in_the_store_names_who_labelled(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    put(store, "acme/annotator=Maria/labels.csv", answer_all(tasks.frame, spec, workers=("",)))
    put(store, "acme/gomez@example.org.csv", answer_all(tasks.frame, spec, workers=("gomez@example.org",)))
    store.write(returned(store, spec, tasks))
    kept = [path for path in (store.home.root / "store").rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in kept)
    for path in kept:
        said = (path.read_bytes() if path.suffix != ".parquet" else pd.read_parquet(path).to_csv().encode()) + str(path).encode()
        assert not any(name in said for name in (b"Maria", b"gomez"))


def test_folders_hidden_or_linked_or_too_deep_are_not_looked_at(tmp_path: Path) -> None:
    for name in (
        "acme/a.csv",
        "acme/sub/b.csv",
        "acme/.hidden/c.csv",
        "acme/__MACOSX/d.csv",
        "acme/sub/e.part",
        "acme/" + "x/" * 16 + "f.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "acme/link").symlink_to(tmp_path / "acme/sub")
    assert [path.relative_to(tmp_path).as_posix() for path in labels.return_files(tmp_path)] == ["acme/a.csv", "acme/sub/b.csv"]


def test_files_in_a_vendors_folder_are_told_as_they_always_were(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/a.csv").write_bytes(b"x")
    files = labels.return_files(tmp_path)
    assert shared.listing(files, tmp_path) == shared.listing(files)


def test_nobody_approves_answers_of_his_own(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    put(store, "acme/labels.csv", answer_all(tasks.frame, spec))
    labeled = returned(store, spec, tasks)
    quality = labels.label_quality(store, spec, labeled, tasks)
    for made in (labeled, quality):
        store.write(made)
    with pytest.raises(ValueError, match="somebody else has to approve"):
        labels.approved_labels(store, spec, quality, labeled, tasks, " Ann ")
    assert len(labels.approved_labels(store, spec, quality, labeled, tasks, "eve").frame)


def test_a_batch_is_judged_by_what_was_released_before_it_and_again_so(store: Store, spec: ProjectSpec, tasks: Manifest) -> None:
    def plan(of: Manifest) -> None:
        rows = of.frame.assign(amount=0.0, currency="EUR")
        store.write(Manifest("batch_plans", "demo", of.partition, conform(rows[list(PLAN.columns)], PLAN)))

    plan(tasks)
    put(store, "acme/labels.csv", answer_all(tasks.frame, spec))
    first = judge(store, spec, tasks)
    frame = tasks.frame.assign(batch_id="production-002", task_id="u" + tasks.frame["task_id"], image_id="u" + tasks.frame["image_id"])
    later = Manifest("label_tasks", spec.name, "production-002", frame)
    pass_gate(store, later)
    plan(later)
    target = store.home.returns("demo") / "production-002" / "acme" / "labels.csv"
    target.parent.mkdir(parents=True)
    target.write_bytes(answer_all(later.frame, spec))
    second = judge(store, spec, later)
    answered = store.released("labeled_batches", "demo")
    assert second.inputs["earlier_answers"] == {BATCH: answered[BATCH]} and "earlier_answers" not in first.inputs
    assert second.inputs["earlier_quality"] == {BATCH: first.version}
    assert judge(store, spec, tasks).version == first.version and judge(store, spec, later).version == second.version
