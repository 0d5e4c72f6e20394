"""Sensors: they ask once, again after a failed run with a growing pause, and park what keeps failing."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pandas as pd
import pytest

from dataops_assets import assets, flow, gates, runs, sensors
from dataops_assets.home import Home
from dataops_assets.manifest import Manifest
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as held:
        yield held


def tick(
    spec: ProjectSpec, instance: dg.DagsterInstance, store: Store, name: str, cursor: str | None = None
) -> dg.SensorResult | dg.SkipReason:
    keys = assets.Keys.of(spec.name)
    made = {sensor.name: sensor for sensor in sensors.build(spec, keys, runs.jobs_of(spec, keys.batches))}
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store})
    result = made[f"{spec.name}_{name}_sensor"](context)
    assert isinstance(result, (dg.SensorResult, dg.SkipReason))
    return result


def deliver(home: Home, name: str, marked: bool = True) -> None:
    folder = home.landing("dresses") / "atelier" / name
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(name.encode())
    if marked:
        (folder / "_COMPLETE").touch()


def end(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
    """A run of a request, as the daemon leaves it."""
    from dagster._core.test_utils import create_run_for_test

    create_run_for_test(instance, job_name="dresses_drop", status=status, tags=dict(request.tags))


def requests(result: dg.SensorResult | dg.SkipReason) -> list[dg.RunRequest]:
    return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []


def test_many_drops_are_asked_for_in_one_tick_and_their_partitions_added(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec
) -> None:
    for number in range(60):
        deliver(home, f"d{number:02d}")
    result = tick(dresses, instance, Store(home), "vendor_drop")
    assert isinstance(result, dg.SensorResult)
    assert len(requests(result)) == sensors.MAX_RUNS_A_TICK
    assert result.dynamic_partitions_requests is not None
    assert len(result.dynamic_partitions_requests[0].partition_keys) == sensors.MAX_RUNS_A_TICK
    assert all(str(request.run_key).endswith(":1") for request in requests(result))


def test_an_unmarked_drop_rests_first_and_the_cursor_remembers_only_that(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec
) -> None:
    deliver(home, "slow", marked=False)
    result = tick(dresses, instance, Store(home), "vendor_drop")
    assert isinstance(result, dg.SkipReason)
    assert "atelier/slow: INCOMPLETE" in str(result.skip_message)


def test_a_failed_run_is_tried_again_after_a_pause_and_parked_in_the_end(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(home, "bad")
    store = Store(home)
    request = requests(tick(dresses, instance, store, "vendor_drop"))[0]
    end(instance, request, dg.DagsterRunStatus.STARTED)
    assert requests(tick(dresses, instance, store, "vendor_drop")) == []  # somebody works on it

    monkeypatch.setattr(sensors, "ENDED", {dg.DagsterRunStatus.STARTED, *sensors.ENDED})
    assert requests(tick(dresses, instance, store, "vendor_drop")) == []  # it has just failed: a pause first
    monkeypatch.setattr(sensors, "FIRST_PAUSE_S", 0.0)
    again = requests(tick(dresses, instance, store, "vendor_drop"))
    assert [str(one.run_key)[-2:] for one in again] == [":2"]
    for _ in range(4):
        end(instance, request, dg.DagsterRunStatus.FAILURE)
    deliver(home, "good")
    assert [one.tags["dataops/name"] for one in requests(tick(dresses, instance, store, "vendor_drop"))] == ["atelier/good"]
    rows = store.drops.rows()
    assert (rows["status"].iloc[-1], rows["reason"].iloc[-1]) == ("parked", "5 runs failed")
    assert [one.tags["dataops/name"] for one in requests(tick(dresses, instance, store, "vendor_drop"))] == ["atelier/good"]


def test_a_planned_batch_gets_its_request_folder_made(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    store = Store(home)
    plan = pd.DataFrame(
        {"batch_id": ["pilot-001"], "kind": "pilot", "image_id": "0" * 64, "vendor": "dataops", "overlap": 1, "attributes": "colour"}
    )
    store.write(Manifest("batch_plans", "dresses", "pilot-001", plan))
    setup = requests(tick(dresses, instance, store, "plan"))
    assert [one.job_name for one in setup] == ["dresses_setup"]  # tasks need guidelines: those first
    for made in (flow.brief(store, dresses), flow.guidelines(store, dresses, flow.brief(store, dresses))):
        store.write(made)
        assert gates.pass_through(store, dresses, made.asset, made.partition, made.version).is_released
    wanted = requests(tick(dresses, instance, store, "plan"))
    assert [(one.job_name, one.partition_key) for one in wanted] == [("dresses_tasks", "pilot-001")]


def test_nothing_to_do_is_no_error_in_any_sensor(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    for name in ("vendor_drop", "label_return", "model_feedback", "screening_decision"):
        assert requests(tick(dresses, instance, Store(home), name)) == []
