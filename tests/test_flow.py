"""Landing to export through Dagster, and the promise that nothing passes a gate's no."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from dataops_assets import lineage, runs, waiting
from dataops_assets.flow import images
from dataops_assets.home import Home
from dataops_assets.intake import identity
from dataops_assets.io import manifest_io_manager
from dataops_assets.operations import Operations
from dataops_assets.project import project_defs
from dataops_assets.resources import store_resource
from dataops_assets.simulate import vendors, workers
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.conftest import changed

SEED = 11


def defs_of(spec: ProjectSpec) -> dg.Definitions:
    return dg.Definitions.merge(project_defs(spec), dg.Definitions(resources={"store": store_resource, "manifests": manifest_io_manager}))


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with runs.instance() as held:
        yield held


def run(spec: ProjectSpec, instance: dg.DagsterInstance, assets: list[str], partition: str) -> dg.ExecuteInProcessResult:
    """Materialize assets of a partition with their gates, as the UI's button does."""
    definitions = defs_of(spec)
    keys = [dg.AssetKey([spec.name, asset]) for asset in assets]
    graph = definitions.resolve_asset_graph()
    chosen = dg.AssetSelection.assets(*keys)
    job = dg.define_asset_job("chosen", chosen).resolve(asset_graph=graph)
    del job
    implicit = definitions.resolve_implicit_global_asset_job_def()
    checks = {key for key in graph.asset_check_keys if key.asset_key in keys}
    subset = implicit.get_subset(asset_selection=set(keys), asset_check_selection=checks)
    instance.add_dynamic_partitions(f"{spec.name}_drops", [partition])
    return subset.execute_in_process(instance=instance, partition_key=partition, run_config=runs.QUIET, raise_on_error=False)


def outcomes(store: Store, asset: str) -> list[str]:
    rows = store.gates.rows()
    return list(rows.loc[rows["asset"] == asset, "outcome"])


def test_the_four_runs_that_prove_promotion_holds(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    store = Store(home)
    vendors.bad_drop(dresses, home.landing("dresses") / "bazaar" / "lot", "bazaar", 12, SEED)
    item = waiting.drops(store, dresses, {}, time.time()).ready[0]
    drop = item.partition

    # 1: the gate of cleaned_set says no, and augmented_set doesn't run
    first = run(dresses, instance, ["raw_images", "cleaned_set", "augmented_set"], drop)
    assert not first.success
    assert (outcomes(store, "raw_images"), outcomes(store, "cleaned_set"), outcomes(store, "augmented_set")) == (["pass"], ["fail"], [])
    # 2: downstream alone, which Dagster's blocking checks let through: refused, with the reason
    second = run(dresses, instance, ["augmented_set"], drop)
    assert not second.success
    told = [event.step_failure_data.user_failure_data for event in second.all_events if event.is_step_failure]
    assert told and told[0] and "its gate failed" in str(told[0].description)
    assert store.candidates("augmented_set", "dresses") == {}
    # 3: with another threshold the gate passes
    lenient = changed(dresses, gates={"min_keep_share": 0.05})
    assert run(lenient, instance, ["cleaned_set"], drop).success
    assert outcomes(store, "cleaned_set") == ["fail", "pass"]
    # 4: and downstream runs
    assert run(lenient, instance, ["augmented_set"], drop).success
    assert outcomes(store, "augmented_set") == ["pass"]
    assert store.gates.verify() == []


def test_a_failed_candidate_leaves_the_released_version_in_use(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    store = Store(home)
    vendors.deliver(dresses, home.landing("dresses") / "atelier" / "lot", "atelier", 40, SEED)
    drop = waiting.drops(store, dresses, {}, time.time()).ready[0].partition
    assert run(dresses, instance, ["raw_images", "cleaned_set"], drop).success
    released = store.released("cleaned_set", "dresses")
    strict = changed(dresses, gates={"min_keep_share": 1.0})
    assert not run(strict, instance, ["cleaned_set"], drop).success
    assert store.released("cleaned_set", "dresses") == released


def answering(work: Operations, spec: ProjectSpec, truth: pd.DataFrame) -> Callable[[str, tuple[workers.Worker, ...]], None]:
    """How a simulated crew returns a batch; the flow takes it up at once."""
    names = [attribute.name for attribute in spec.ontology.attributes]
    known = {row["image_id"]: {name: row[name] for name in names} for row in truth.to_dict("records")}
    values = {attribute.name: list(attribute.values) for attribute in spec.ontology.attributes}
    home = work.store.home

    def answer(batch: str, crew: tuple[workers.Worker, ...]) -> None:
        tasks = work.store.load("label_tasks", spec.name, batch).frame
        right = {task: known[image] for task, image in zip(tasks["task_id"], tasks["image_id"], strict=True)}
        text = workers.label(home.requests(spec.name) / batch, right, crew, SEED, datetime(2026, 11, 5, tzinfo=UTC), values)
        folder = home.returns(spec.name) / batch / str(tasks["vendor"].iloc[0])
        folder.mkdir(parents=True)
        (folder / "labels.csv").write_text(text)
        assert work.run(spec.name).is_success

    return answer


def test_from_landing_to_a_release_that_traces_back_to_the_vendors_files(home: Home, dresses: ProjectSpec) -> None:
    truth = vendors.deliver(dresses, home.landing("dresses") / "atelier" / "spring", "atelier", 40, SEED)
    with Operations.open(home.root, [dresses]) as work:
        store = work.store
        assert work.run("dresses").is_success
        answer = answering(work, dresses, truth)
        assert work.plan("dresses", "pilot", 8).is_success
        answer("pilot-001", workers.EXPERTS)
        assert work.approve("dresses", "pilot-001", "ann@example.org").is_success
        untried = work.plan("dresses")  # the vendor must show on the pilot's gold what it can do
        assert not untried.is_success and "labelworks has not passed a qualification" in untried.steps[0]["error"]
        assert waiting.plannable(store, dresses) == []
        assert work.plan("dresses", "qualification", vendor="labelworks").is_success
        answer("qualification-001", workers.EXPERTS + (workers.Worker("expert-3", 1.0, 9.0),))
        spent = store.spent("dresses")
        assert work.plan("dresses").is_success
        assert store.spent("dresses") > spent
        gold = store.load("label_tasks", "dresses", "production-001").frame["is_gold"]
        assert gold.sum() > 0
        answer("production-001", workers.GOOD)
        folder = home.reports("dresses") / "feedback" / "labelworks" / "production-001"  # what the vendor hears
        told = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
        tasks = store.load("label_tasks", "dresses", "production-001").frame
        assert "accepted at once" in told and (folder / "guidelines.html").exists()
        assert not [task for task in tasks.loc[tasks["is_gold"].astype(bool), "task_id"] if task in told]
        assert len((folder / "people.csv").read_text().splitlines()) == 1 + len(workers.GOOD) * len(dresses.ontology.attributes)
        assert work.approve("dresses", "production-001", "ann@example.org").is_success
        done = work.release("dresses")
        assert done.is_success, done.lines()

        export = store.load("training_export", "dresses", "r001").frame
        assert set(export["split"]) <= {"train", "val", "test"}
        assert set(export.loc[export["kind"] == "variant", "split"]) == {"train"}
        row = export[export["kind"] == "variant"].iloc[0]
        told = json.dumps(lineage.trace(store, row["image_id"]).as_dict(), default=str)
        for fact in ("atelier", row["source_image_id"], "production-001"):
            assert fact in told
        assert lineage.verify(store, "dresses", "r001") == []
        audit = store.load("lineage_audit", "dresses").frame
        assert len(audit) == len(export)
        assert audit["is_complete"].all()
        card = store.load("vendor_scorecard", "dresses").frame.set_index(["role", "vendor"]).loc[("labels", "labelworks")]
        assert card["amount_gold"] > 0 and card["amount"] == pytest.approx(
            card["amount_work"] + card["amount_rework"] + card["amount_gold"]
        )
        assert card["gold_lower"] < card["gold_accuracy"] and card["batches"] == 2 and card["yield_share"] > 0.8

        folder = home.exports("dresses") / "r001"
        assert (folder / "README.md").exists()
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        again = runs.run(work.instance, "dresses", "release", "r001")  # somebody presses Materialize
        assert again.is_success
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

        gone = str(export.loc[export["kind"] == "source", "image_id"].iloc[0])
        told_ = work.withdraw("dresses", None, gone, "consent revoked", "ann@example.org").lines()
        assert any("r001" in line for line in told_)
        assert work.release("dresses").is_success
        later = store.load("training_export", "dresses", "r002").frame
        assert gone not in set(later["image_id"]) | set(later["source_image_id"])
        stayed = export.set_index("image_id")["split"].drop(index=export.loc[export["source_image_id"] == gone, "image_id"])
        assert later.set_index("image_id")["split"].loc[stayed.index].equals(stayed)


def test_a_batch_that_our_own_people_settle_as_a_whole_gets_its_approval_and_its_verdict(
    home: Home, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sure enough to be accepted by itself: all goes to adjudication, and there is nothing to audit."""
    spec = changed(
        dresses, quality={"least_posterior": 1.0}, gates={"min_accept_share": 0.0, "min_gold_accuracy": 0.2},
        labeling={"qualification": "optional", "ramp_start": None, "rework_rounds": 0, "pilot_size": 8, "batch_size": 8},
        brief={"volume": {"style": {"casual": 8}}},
    )  # fmt: skip
    made = defs_of(spec)
    monkeypatch.setattr(runs, "definitions", lambda: made)
    truth = vendors.deliver(spec, home.landing("dresses") / "atelier" / "spring", "atelier", 16, SEED, vendors.CLEAN)
    with Operations.open(home.root, [spec]) as work:
        store = work.store
        assert work.run("dresses").is_success
        answer = answering(work, spec, truth)

        def page(batch: str) -> str:
            return (home.reports("dresses") / "batches" / f"{batch}.html").read_text()

        assert work.plan("dresses", "pilot").is_success
        answer("pilot-001", workers.EXPERTS)
        assert work.approve("dresses", "pilot-001", "ann@example.org").is_success
        planned = work.plan("dresses")
        assert planned.is_success, planned.lines()
        answer("production-001", workers.GOOD)
        quality = store.load("label_quality", "dresses", "production-001").frame
        work_ = quality[~quality["is_gold"].astype(bool)]
        assert set(work_["decision"]) == {"adjudicate"} and not work_["is_audit"].any()
        count = len(work_)
        assert f"none was accepted by itself: {count} of {count} questions are still to be settled" in page("production-001")
        early = work.approve("dresses", "production-001", "ann@example.org")
        assert not early.is_success  # its questions are open: nobody can answer for them
        assert work.plan("dresses", "adjudication").is_success
        answer("adjudication-001", workers.EXPERTS[:1])
        assert "Pay: 0 of" in page("production-001") and "so there is nothing to audit" in page("production-001")
        approved = work.approve("dresses", "production-001", "ann@example.org")
        assert approved.is_success and any("was accepted by itself" in line for line in approved.lines())
        assert outcomes(store, "approved_labels") == ["pass", "fail", "pass"]
        costs = store.costs.rows()
        assert (costs.loc[costs["ref"] == "production-001", "kind"] == "labels_settled").any()  # what was delivered is what is owed
        assert work.approve("dresses", "adjudication-001", "bob@example.org").is_success
        done = work.release("dresses")
        assert done.is_success, done.lines()
        assert len(store.load("training_export", "dresses", "r001").frame) > 0
        assert lineage.verify(store, "dresses", "r001") == [] and store.load("lineage_audit", "dresses").frame["is_complete"].all()
        card = (home.exports("dresses") / "r001" / "README.md").read_text()
        assert "batches whose labels accepted by themselves nobody has measured: none" in card


def released(root: Path) -> dict[tuple[str, str], str]:
    rows = Store(Home.at(root)).releases()
    return {(row["asset"], row["partition"]): row["version"] for row in rows.to_dict("records")}


def ingest(root: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dataops_assets.cli", "ingest", "dresses", "atelier", str(folder), "--home", str(root)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def test_killed_anywhere_and_run_again_ends_in_the_same_versions(tmp_path: Path, dresses: ProjectSpec) -> None:
    folder = tmp_path / "delivery"
    vendors.deliver(dresses, folder, "atelier", 40, SEED)
    whole = tmp_path / "whole"
    started = time.monotonic()
    assert ingest(whole, folder).wait(300) == 0
    seconds = time.monotonic() - started
    killed = tmp_path / "killed"
    for share in (0.45, 0.6, 0.75, 0.9):
        process = ingest(killed, folder)
        time.sleep(seconds * share)
        kill(process)
    inside = tmp_path / "inside"  # while pictures are screened: the lock on screening must go with the process
    process = ingest(inside, folder)
    while not Store(Home.at(inside)).pins("screening", "dresses"):
        assert process.poll() is None
        time.sleep(0.01)
    kill(process)
    for root in (killed, inside):
        process = ingest(root, folder)
        try:
            assert process.wait(120) == 0
        finally:
            kill(process)
    assert released(inside) == released(whole)
    assert released(killed) == released(whole)
    assert {asset for asset, _ in released(whole)} >= {"raw_images", "cleaned_set", "augmented_set"}
    ledger = Store(Home.at(killed))
    assert ledger.gates.verify() == ledger.drops.verify() == ledger.costs.verify() == []
    assert ledger.spent("dresses") == Store(Home.at(whole)).spent("dresses")


def test_a_drop_is_taken_once_and_a_redelivery_of_other_bytes_supersedes(home: Home, dresses: ProjectSpec) -> None:
    with Operations.open(home.root, [dresses]) as work:
        vendors.deliver(dresses, home.root / "a" / "lot", "atelier", 8, SEED, vendors.CLEAN)
        assert work.ingest("dresses", "atelier", home.root / "a" / "lot").is_success
        again = work.ingest("dresses", "atelier", home.root / "a" / "lot")
        assert again.steps == []
        vendors.deliver(dresses, home.root / "b" / "lot", "atelier", 8, SEED + 1, vendors.CLEAN)
        assert work.ingest("dresses", "atelier", home.root / "b" / "lot").is_success
        drops = work.store.drops.rows()
        assert list(drops["name"].unique()) == ["lot"]
        first, second = drops["drop_id"].unique()
        assert drops.loc[drops["drop_id"] == second, "supersedes"].iloc[-1] == first
        assert identity.find(home.root / "landing", "dresses", second, drops).name == "lot"

        (home.root / "b" / "lot").rename(home.root / "b" / "same-again")
        assert not work.ingest("dresses", "atelier", home.root / "b" / "same-again").is_success  # nothing new: the gate says no
        third = work.store.drops.rows()["drop_id"].iloc[-1]
        version = work.store.candidates("cleaned_set", "dresses")[third][0]
        frame = work.store.read("cleaned_set", "dresses", third, version).frame
        assert set(frame["reason"]) == {"exact_duplicate"}


def test_a_corrected_delivery_takes_the_place_of_the_first(home: Home, dresses: ProjectSpec) -> None:
    """The vendor sends the same lot again with one picture less and one more."""
    with Operations.open(home.root, [dresses]) as work:
        store = work.store
        vendors.deliver(dresses, home.root / "a" / "lot", "atelier", 8, SEED, vendors.CLEAN)
        vendors.deliver(dresses, home.root / "c" / "lot", "atelier", 8, SEED + 7, vendors.CLEAN)
        assert work.ingest("dresses", "atelier", home.root / "a" / "lot").is_success
        first = store.drops.rows()["drop_id"].iloc[-1]
        paid = store.costs.rows().query("kind == 'images'")["quantity"].sum()
        pictures = sorted((home.root / "a" / "lot").glob("*.jpg"))
        gone = hashlib.sha256(pictures[0].read_bytes()).hexdigest()
        pictures[0].unlink()
        more = sorted((home.root / "c" / "lot").glob("*.jpg"))[0]
        (home.root / "a" / "lot" / "one_more.jpg").write_bytes(more.read_bytes())
        (home.root / "a" / "lot" / "manifest.json").unlink()
        assert work.ingest("dresses", "atelier", home.root / "a" / "lot").is_success

        second = store.drops.rows()["drop_id"].iloc[-1]
        cleaned = store.load("cleaned_set", "dresses", second).frame
        assert "exact_duplicate" not in set(cleaned["reason"])
        assert store.superseded("dresses") == {first}
        usable, _ = images.usable_images(store, dresses)
        assert set(usable["drop_id"]) == {second}
        assert gone not in set(usable["image_id"])
        costs = store.costs.rows().query("kind == 'images'")
        assert costs["quantity"].sum() == paid + 1  # the others were paid with the first
        drops = work.store.drops.rows()
        assert drops.loc[drops["drop_id"] == second, "supersedes"].iloc[-1] == first
        assert "one_more.jpg" in (home.reports("dresses") / "deliveries" / f"{second}.csv").read_text()
