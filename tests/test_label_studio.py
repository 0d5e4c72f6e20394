"""Which batches go to Label Studio, and how they come back: by command and by sensor, with a server that may be down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from typer.testing import CliRunner

from dataops_assets import assets, claims, runs, sensors, waiting
from dataops_assets.cli.commands import app
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import delivery, labels
from dataops_assets.flow import studio as flow
from dataops_assets.labels import studio, studio_server
from dataops_assets.labels.questions import SCREENING
from dataops_assets.manifest import Inputs, Manifest, conform
from dataops_assets.operations import Operations, Refused
from dataops_assets.projects import ENV_DEFS
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import label_quality, label_tasks, labeled_batches
from dataops_assets.store import Store, now
from tests.labels.studio_fake import TOKEN, Fake, running
from tests.labels.world import COLOUR, make_sources, make_spec
from tests.labels.world import answer_all as answer_all_csv

VENDORS = [
    {"name": "acme", "tool": "label_studio", "prelabels": "consensus"},
    {"name": "other"},
    {"name": "us", "internal": True, "tool": "label_studio"},
]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectSpec:
    monkeypatch.setenv(ENV_DEFS, str(tmp_path / "no-other-projects"))
    return make_spec(COLOUR, vendors=VENDORS)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with running() as held:
        monkeypatch.setattr(
            studio_server, "find", lambda home: studio_server.Server(held.url, TOKEN, home.root / "labelstudio" / "pictures")
        )
        yield held


def release(store: Store, asset: str, batch: str, frame: pd.DataFrame, inputs: Inputs | None = None) -> None:
    """A version that passed its gate."""
    version = store.write(Manifest(asset, "demo", batch, conform(frame, CONTRACTS[asset]), inputs or {}))
    row = {"project": "demo", "asset": asset, "partition": batch, "version": version, "outcome": "pass", "at": now()}
    store.gates.append(lambda rows: [row])


def send_out(store: Store, spec: ProjectSpec, batch: str = "production-001", n: int = 2, **columns: Any) -> pd.DataFrame:
    """A released batch of two pictures, each wants two answers; returns its tasks."""
    sources = make_sources(n, store.blobs)
    plan = pd.DataFrame({"image_id": sources["image_id"], "sha256": sources["sha256"], "batch_id": batch, "kind": batch.rpartition("-")[0]})
    plan = plan.assign(
        **{
            "vendor": "acme",
            "attributes": "colour",
            "overlap": 2,
            "is_gold": False,
            "round": 0,
            "amount": 0.0,
            "currency": "EUR",
            **columns,
        }
    )
    tasks = label_tasks.build(conform(plan, CONTRACTS["batch_plans"]), sources, spec, store.blobs)
    release(store, "label_tasks", batch, tasks)
    label_tasks.write_request(tasks, spec, store.home.requests("demo") / batch, store.blobs)
    return tasks


def answer_all(fake: Fake, tasks: pd.DataFrame, label: str = "red") -> None:
    for slot in (1, 2):
        for task in tasks["task_id"]:
            fake.answer(f"demo/{tasks['batch_id'].iloc[0]} #{slot}", task, slot, label)


def tick(store: Store, spec: ProjectSpec) -> str:
    keys = assets.Keys.of("demo")
    made = {sensor.name: sensor for sensor in sensors.build(spec, keys, runs.jobs_of(spec, keys.batches))}
    with dg.DagsterInstance.ephemeral() as instance:
        result = made["demo_label_studio_sensor"](dg.build_sensor_context(instance=instance, resources={"store": store}))
    assert isinstance(result, dg.SkipReason)
    return str(result.skip_message)


def test_the_sensor_sends_waits_and_brings_back(store: Store, spec: ProjectSpec, fake: Fake) -> None:
    assert tick(store, spec) == "No batch is out."
    tasks = send_out(store, spec)
    assert tick(store, spec) == "sent production-001; production-001: 0 of 4 answers"
    assert waiting.returns(store, spec, {}, 0, is_settled=True).ready == []
    answer_all(fake, tasks)
    assert tick(store, spec) == "production-001 came back; production-001: 4 of 4 answers"
    assert [item.partition for item in waiting.returns(store, spec, {}, 0).ready] == ["production-001"]
    assert tick(store, spec) == "production-001: 4 of 4 answers"
    release(store, "approved_labels", "production-001", pd.DataFrame())
    assert tick(store, spec) == "No batch is out."


def test_who_returns_files_is_left_alone(store: Store, spec: ProjectSpec, fake: Fake) -> None:
    send_out(store, spec, vendor="other")
    assert tick(store, spec) == "No batch is out."
    assert fake.asked == []
    plain = make_spec(COLOUR)
    keys = assets.Keys.of("demo")
    assert not any("label_studio" in sensor.name for sensor in sensors.build(plain, keys, runs.jobs_of(plain, keys.batches)))


def test_a_server_that_is_down_is_said_and_tried_again(
    store: Store, spec: ProjectSpec, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_out(store, spec)
    up = studio_server.find
    monkeypatch.setattr(studio_server, "find", lambda home: None)
    assert tick(store, spec) == "no Label Studio runs for this home: dataops labelstudio up"
    monkeypatch.setattr(studio_server, "find", lambda home: studio_server.Server("http://127.0.0.1:9", TOKEN, home.root))
    assert "doesn't answer" in tick(store, spec)
    monkeypatch.setattr(studio_server, "find", up)
    assert tick(store, spec).startswith("sent production-001")


def test_one_batch_that_fails_holds_up_no_other(store: Store, spec: ProjectSpec, fake: Fake) -> None:
    for batch in ("production-001", "production-002", "production-003"):
        send_out(store, spec, batch)
    (store.home.requests("demo") / "production-001" / "tasks.csv").unlink()
    fake.before = lambda method, path: (500, b"") if method == "POST" and len(fake.projects) == 1 else None
    said = tick(store, spec)
    assert "production-001: the request folder" in said and "can't be read" in said
    assert "production-002: " in said and "answers 500" in said
    fake.before = lambda method, path: None
    assert "sent production-002, production-003" in tick(store, spec)
    assert sorted(one["title"] for one in fake.projects) == [f"demo/production-00{number} #{slot}" for number in (2, 3) for slot in (1, 2)]


def test_a_project_deleted_there_is_made_anew_and_what_was_answered_counts(store: Store, spec: ProjectSpec, fake: Fake) -> None:
    tasks = send_out(store, spec)
    tick(store, spec)
    fake.answer("demo/production-001 #1", tasks["task_id"].iloc[0], 1, "red")
    tick(store, spec)
    fake.projects.clear()
    assert "there is no project 'demo/production-001 #1' in Label Studio any more" in tick(store, spec)
    assert tick(store, spec) == "sent production-001; production-001: 1 of 4 answers"


def test_an_answer_corrected_later_comes_after(store: Store, spec: ProjectSpec, fake: Fake) -> None:
    tasks = send_out(store, spec)
    tick(store, spec)
    answer_all(fake, tasks)
    tick(store, spec)
    fake.answer("demo/production-001 #1", tasks["task_id"].iloc[0], 1, "blue")
    assert tick(store, spec).startswith("production-001 came back")
    assert len(list((store.home.returns("demo") / "production-001" / "acme").glob("*.json"))) == 2


def test_out_of_time_the_one_that_waited_longest_is_next(
    store: Store, spec: ProjectSpec, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for batch in ("production-001", "production-002"):
        send_out(store, spec, batch)
    flow.sync(store, spec)
    seen = []
    for _ in range(3):
        clock = iter([0.0, 0.0, 5.0, 5.0])
        monkeypatch.setattr(flow, "time", SimpleNamespace(monotonic=lambda clock=clock: next(clock)))
        seen += flow.sync(store, spec, seconds=1.0).answers
    assert seen == ["production-001", "production-002", "production-001"]


def test_two_lookers_do_not_meet(store: Store, spec: ProjectSpec, fake: Fake) -> None:
    send_out(store, spec)
    with claims.alone(store.home, flow.LOCK):
        assert tick(store, spec) == "Somebody else looks at Label Studio at this moment."
    assert fake.asked == []


def test_pictures_to_screen_meet_nobody_who_may_not_see_them(
    store: Store, spec: ProjectSpec, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_out(store, spec, "screening-001", vendor="us", attributes=SCREENING.name, overlap=1)
    said = tick(store, spec)
    assert "screening-001: it may hold personal data, and acme (demo), who may not see any, use Label Studio too" in said
    assert fake.projects == []
    ours = make_spec(COLOUR, vendors=[{"name": "acme"}, {"name": "us", "internal": True, "tool": "label_studio"}])
    elsewhere = studio_server.Server(fake.url, TOKEN, None)
    with monkeypatch.context() as patch:
        patch.setattr(studio_server, "find", lambda home: elsewhere)
        assert "could not delete on a server elsewhere" in tick(store, ours)
    assert tick(store, ours).startswith("sent screening-001")


def test_work_sent_back_starts_from_what_was_found_if_wanted(store: Store, spec: ProjectSpec, fake: Fake) -> None:
    tasks = send_out(store, spec, "production-001")
    found = tasks[["batch_id", "task_id", "image_id"]].assign(attribute="colour", label="blue", decision="rework", object_id="0")
    release(store, "label_quality", "production-001", found)
    again = send_out(store, spec, "rework-001", parent_batch_id="production-001", round=1)
    assert flow.prelabels(store, spec, again) == ({task: {"colour": "blue"} for task in again["task_id"]}, [])
    assert flow.prelabels(store, spec, tasks) == ({}, [])
    tick(store, spec)
    labels.keep_prelabels(store, spec, "rework-001", {task: {"colour": "red"} for task in again["task_id"]})  # what was shown first stands
    kept, used = labels.prelabels_of(store, spec, "rework-001")
    assert (
        set(kept["task_id"]) == set(again["task_id"]) and set(kept["prelabel"]) == {"blue"} and used["prelabels"].keys() == {"rework-001"}
    )
    assert labels.prelabels_of(store, spec, "production-001")[0].empty
    (project,) = [one for one in fake.projects if one["title"] == "demo/rework-001 #1"]
    assert all(task["predictions"][0]["result"][0]["value"] == {"choices": ["blue"]} for task in fake.rows[project["id"]])


def test_gold_that_is_sent_back_starts_from_what_people_said_of_it(store: Store, spec: ProjectSpec, fake: Fake) -> None:
    tasks = send_out(store, spec, "production-001", n=3, is_gold=[True, False, False], overlap=3)
    labeled = labeled_batches.accept([("acme", "l.csv", answer_all_csv(tasks, spec, value=1))], tasks, spec, store.home.worker_key())
    gold = tasks.loc[tasks["is_gold"], ["image_id"]].assign(attribute="colour", label="red")
    judged = label_quality.assess(labeled, tasks, gold, spec)
    release(store, "labeled_batches", "production-001", labeled)
    release(
        store,
        "label_quality",
        "production-001",
        judged,
        {name: store.released(name, "demo") for name in ("label_tasks", "labeled_batches")},
    )
    assert list(judged.loc[judged["is_gold"], "label"]) == ["red"]
    again = send_out(store, spec, "rework-001", n=3, parent_batch_id="production-001", round=1, is_gold=[True, False, False])
    assert flow.prelabels(store, spec, again) == ({task: {"colour": "blue"} for task in again["task_id"]}, [])


def test_a_models_answers_start_a_whole_batch_or_none_of_it(
    store: Store, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_DEFS, str(tmp_path / "no-other-projects"))
    spec = make_spec(COLOUR, vendors=[{"name": "acme", "tool": "label_studio", "prelabels": "model"}, {"name": "us", "internal": True}])
    stock = make_sources(3, store.blobs)
    release(store, "augmented_set", "d1", stock)
    gold, *others = stock["image_id"]
    exported = [{"release": "r1", "image_id": gold, "split": "test", "labels": '{"colour": "red"}'}]
    release(store, "training_export", "r1", pd.DataFrame(exported))
    folder = store.home.predictions("demo") / "r1"
    folder.mkdir(parents=True)

    def predict(images: list[str]) -> None:
        (folder / "p.csv").write_text("image_id,predicted\n" + "".join(f"{image},blue\n" for image in images))
        made = delivery.model_feedback(store, spec, store.load("training_export", "demo", "r1"))
        release(store, "model_feedback", "r1", made.frame)

    predict([gold, others[0]])
    tasks = send_out(store, spec, n=3, is_gold=[True, False, False])
    assert flow.prelabels(store, spec, tasks) == ({}, ["no prediction of colour is shown, 1 of 3 pictures have none"])
    assert "production-001: no prediction of colour is shown" in tick(store, spec)
    predict([gold, *others])
    assert flow.prelabels(store, spec, tasks) == ({task: {"colour": "blue"} for task in tasks["task_id"]}, [])


def test_the_command_says_what_it_did_and_what_it_can_not(
    store: Store, spec: ProjectSpec, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Operations(store, [spec], None)
    tasks = send_out(store, spec)
    assert work.sync_label_studio("demo").lines() == ["done  demo in Label Studio, production-001 sent: answers 0 of 4 answers"]
    with pytest.raises(Refused, match=r"No batch 'none' is out"):
        work.sync_label_studio("demo", "none")
    fake.answer("demo/production-001 #1", tasks["task_id"].iloc[0], 1, "red")
    assert "production-001 returned: answers 1 of 4" in work.sync_label_studio("demo", "production-001").lines()[0]
    assert (store.home.returns("demo") / "production-001" / "acme" / studio.MARKER).exists()
    monkeypatch.setattr(studio_server, "find", lambda home: None)
    done = work.sync_label_studio()
    assert (done.is_success, done.lines()[1].strip()) == (False, flow.DOWN)
    with pytest.raises(Refused, match="No vendor works in Label Studio"):
        Operations(store, [make_spec(COLOUR)], None).sync_label_studio()


def test_a_pilot_in_sight_of_those_who_answer_its_gold_is_warned_of_until_it_is_taken_out(
    store: Store, spec: ProjectSpec, fake: Fake
) -> None:
    work = Operations(store, [spec], None)
    pilot = send_out(store, spec, "pilot-001", vendor="us", overlap=1)
    tick(store, spec)
    with pytest.raises(Refused, match="Pilot-001 is still out: approve it first"):
        work.remove_from_label_studio("demo", "pilot-001")
    release(store, "approved_labels", "pilot-001", pd.DataFrame())
    send_out(store, spec, "production-001", is_gold=True)
    assert "acme can read gold's answers in pilot-001: dataops labelstudio remove demo pilot-001" in tick(store, spec)
    fake.answer("demo/pilot-001 #1", pilot["task_id"].iloc[0], 1, "red")  # after the last look
    assert work.remove_from_label_studio("demo", "pilot-001").notes[0].startswith("1 projects of pilot-001 were deleted")
    assert len(studio.latest(studio_server.folder_of(store.home) / "copies" / "demo" / "pilot-001")) == 1
    assert not (studio_server.folder_of(store.home) / "pictures" / "demo" / "pilot-001").exists()
    assert {one["title"] for one in fake.projects} == {"demo/production-001 #1", "demo/production-001 #2"}
    send_out(store, spec, "production-002", is_gold=True)
    assert "can read" not in tick(store, spec)
    assert work.remove_from_label_studio("demo", "pilot-001").notes[0].startswith("0 projects")


def test_status_without_a_server_says_how_to_get_one(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["labelstudio", "status", "--home", str(tmp_path)])
    assert (told.exit_code, told.output.strip()) == (1, "No Label Studio runs for this home: dataops labelstudio up")
    told = CliRunner().invoke(app, ["labelstudio", "down", "--home", str(tmp_path)])
    assert (told.exit_code, told.output.strip()) == (0, "It did not run.")
