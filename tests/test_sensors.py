"""Sensors: they ask once, again after a failed run with a growing pause, and park what keeps failing."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pandas as pd
import pytest

from benchmarks import sensor as crowd
from dataops_assets import arrivals, assets, claims, drops, gates, runs, sensors, waiting
from dataops_assets.flow import handbook, labels
from dataops_assets.home import Home
from dataops_assets.intake import identity, landing
from dataops_assets.io import manifest_io_manager
from dataops_assets.manifest import Manifest
from dataops_assets.project import project_defs
from dataops_assets.reports import delivery, status
from dataops_assets.room import SPARE_BYTES
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


def deliver(home: Home, name: str, marked: bool = True, vendor: str = "atelier") -> None:
    folder = home.landing("dresses") / vendor / name
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


def test_no_manifest_stops_the_sensor(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    deliver(home, "good")
    deliver(home, "evil", marked=False)
    manifest = '{"files": [{"path": "a.jpg", "bytes": 1' + "0" * 400 + "}]}"
    (home.landing("dresses") / "atelier" / "evil" / "manifest.json").write_text(manifest)
    result = tick(dresses, instance, Store(home), "vendor_drop")
    assert [request.tags["dataops/name"] for request in requests(result)] == ["atelier/good"]


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
    assert requests(tick(dresses, instance, store, "vendor_drop")) == []  # the good one was asked for, the bad one is parked


def test_a_planned_batch_gets_its_request_folder_made(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    store = Store(home)
    plan = pd.DataFrame(
        {"batch_id": ["pilot-001"], "kind": "pilot", "image_id": "0" * 64, "vendor": "dataops", "overlap": 1, "attributes": "colour"}
    )
    store.write(Manifest("batch_plans", "dresses", "pilot-001", plan))
    setup = requests(tick(dresses, instance, store, "plan"))
    assert [one.job_name for one in setup] == ["dresses_setup"]  # tasks need guidelines: those first
    for made in (labels.brief(store, dresses), handbook.guidelines(store, dresses, labels.brief(store, dresses))):
        store.write(made)
        assert gates.pass_through(store, dresses, made.asset, made.partition, made.version).is_released
    wanted = requests(tick(dresses, instance, store, "plan"))
    assert [(one.job_name, one.partition_key) for one in wanted] == [("dresses_tasks", "pilot-001")]


def test_nothing_to_do_is_no_error_in_any_sensor(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    for name in ("vendor_drop", "label_return", "model_feedback", "screening_decision"):
        assert requests(tick(dresses, instance, Store(home), name)) == []


def fail(instance: dg.DagsterInstance, name: str, times: int) -> None:
    """Runs of a drop that failed just now."""
    given = landing.Delivery("dresses", "atelier", name, Home.at().landing("dresses") / "atelier" / name, False)
    work = f"dresses/{identity.drop_id_of('atelier', name)}/{landing.fingerprint(given)}"
    for _ in range(times):
        end(instance, dg.RunRequest(tags={sensors.WORK_TAG: work}), dg.DagsterRunStatus.FAILURE)


def asked(result: dg.SensorResult | dg.SkipReason) -> list[str]:
    return [request.tags["dataops/name"].split("/")[1] for request in requests(result)]


def look_through(home: Home, dresses: ProjectSpec, known: int, new: int) -> float:
    """Ticks over known and new drops; returns the longest in seconds of work."""
    with dg.DagsterInstance.ephemeral() as held:
        crowd.enter(Store(home), [crowd.deliver(home, f"known-{number}") for number in range(known)])
        for number in range(new):
            crowd.deliver(home, f"new-{number}")
        wanted: list[str] = []
        longest = 0.0
        for _ in range(-(-new // sensors.MAX_RUNS_A_TICK) + 1):
            result, seconds = crowd.tick(dresses, held, Store(home))
            longest = max(longest, seconds)
            assert len(result.run_requests or []) <= sensors.MAX_RUNS_A_TICK
            assert len(result.cursor or "") < crowd.MOST_BYTES
            wanted += asked(result)
        assert sorted(wanted) == sorted(f"new-{number}" for number in range(new))
        changed = home.landing("dresses") / "atelier" / "known-7" / "3.jpg"
        changed.write_bytes(b"other")
        (changed.parent / "_COMPLETE").touch()
        noticed: list[str] = []
        for _ in range(10):  # on a machine that is busy not every tick gets through all of them
            noticed += asked(crowd.tick(dresses, held, Store(home))[0])
            if noticed:
                break
        assert noticed == ["known-7"]  # a file changed in place, deep inside: no folder's time tells
    return longest


def test_among_a_thousand_known_drops_the_new_ones_are_found(home: Home, dresses: ProjectSpec) -> None:
    look_through(home, dresses, 1000, 10)


@pytest.mark.long
def test_ten_thousand_known_drops_are_looked_through_within_five_seconds(home: Home, dresses: ProjectSpec) -> None:
    assert look_through(home, dresses, 10_000, 100) < crowd.MOST_S


def test_five_hundred_failing_drops_do_not_delay_a_good_one(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "FIRST_PAUSE_S", 0.0)
    lying = [waiting.Waiting(f"bad-{number:03d}", "f", f"atelier/bad-{number:03d}", 1) for number in range(500)]
    monkeypatch.setattr(waiting, "drops", lambda *_, **__: waiting.Found(ready=list(lying)))
    for number in range(500):  # sixty are tried again at this moment, more than may be asked for
        tags = {sensors.WORK_TAG: sensors.work_of("dresses", lying[number])}
        times = 2 if number < 490 else 1
        for status_ in [dg.DagsterRunStatus.FAILURE] * times + [dg.DagsterRunStatus.STARTED] * (number < 60):
            end(instance, dg.RunRequest(tags=tags), status_)
    assert asked(tick(dresses, instance, Store(home), "vendor_drop")) == []
    lying.append(waiting.Waiting("good", "f", "atelier/good", 1))
    assert asked(tick(dresses, instance, Store(home), "vendor_drop")) == ["good"]

    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):  # those sixty have failed, too
        instance.report_run_failed(run)
    lying.append(waiting.Waiting("better", "f", "atelier/better", 1))
    wanted = asked(tick(dresses, instance, Store(home), "vendor_drop"))
    assert wanted[:11] == ["better", *(f"bad-{number}" for number in range(490, 500))]  # then what failed least, and longest ago
    assert len(wanted) == sensors.MAX_RUNS_A_TICK


@pytest.mark.parametrize("broken", ["park", "remember", "read", "tidy", "show"])
def test_nothing_that_fails_after_the_claims_loses_what_was_asked_for(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    for name in ("bad", "good"):
        deliver(home, name)
    fail(instance, "bad", sensors.MAX_ATTEMPTS)
    where: dict[str, tuple[Any, str]] = {
        "park": (drops, "park"), "remember": (claims, "remember"), "read": (sensors, "readings"), "tidy": (claims.Claims, "tidy"),
        "show": (status, "deliveries"),
    }  # fmt: skip
    monkeypatch.setattr(*where[broken], fails)
    assert asked(tick(dresses, instance, Store(home), "vendor_drop")) == ["good"]


def test_where_no_more_can_be_claimed_what_was_claimed_is_asked_for(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        deliver(home, name)
    real, taken = claims.Claims.take, list[str]()

    def take(self: claims.Claims, work: str, attempt: int, at: float) -> bool:
        if len(taken) == 2:
            raise OSError(28, "No space left on device")
        taken.append(work)
        return real(self, work, attempt, at)

    monkeypatch.setattr(claims.Claims, "take", take)
    assert asked(tick(dresses, instance, Store(home), "vendor_drop")) == ["a", "b"]


@pytest.mark.parametrize(
    "kept",
    [
        '{"at": "x", "looks": 3, "turns": [], "held": "y", "shown_at": {}}',
        '{"at": NaN}',
        '{"at": 1e300}',
        '{"looks": {"a": [1, 2]}, "turns": {"open": 3}}',
        "[",
        "",
    ],
)
def test_whatever_a_damaged_note_holds_deliveries_are_asked_for(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, kept: str
) -> None:
    deliver(home, "good")
    path = home.scratch / "looks" / "dresses.drops.json"
    path.parent.mkdir(parents=True)
    path.write_text(kept)
    status.of(Store(home), dresses).lines()
    (request,) = requests(tick(dresses, instance, Store(home), "vendor_drop"))
    (claim,) = (home.scratch / "claims" / "dresses" / "drops").iterdir()
    claim.write_text('{"at": "x", "attempt": []}')
    assert [one.run_key for one in requests(tick(dresses, instance, Store(home), "vendor_drop"))] == [request.run_key]


def test_a_claim_from_a_clock_that_was_ahead_is_no_claim_for_ever(tmp_path: Path) -> None:
    held = claims.Claims(Home.at(tmp_path), "dresses", "drops")
    assert held.take("a", 1, time.time() + 1e6)
    assert held.take("a", 1, time.time())
    assert not held.take("a", 1, time.time() + 2)


def test_a_large_redelivery_is_read_by_a_run_and_not_by_a_look(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(home)
    crowd.enter(store, [crowd.deliver(home, "lot")])
    (given,) = landing.list_deliveries(home.root / "landing", "dresses")
    os.utime(given.path / "3.jpg", (1, 1))
    (given.path / "_COMPLETE").touch()
    monkeypatch.setattr(arrivals, "READ_BYTES", 2)
    result = tick(dresses, instance, store, "vendor_drop")
    assert isinstance(result, dg.SensorResult)
    (request,) = requests(result)
    assert (request.job_name, request.partition_key) == ("dresses_compare", None)
    assert request.tags[sensors.SIZE_TAG] == "large"  # it may read gigabytes: never two at a time
    assert result.dynamic_partitions_requests == [assets.Keys.of("dresses").drops.build_add_request([])]
    assert requests(tick(dresses, instance, store, "vendor_drop")) == []  # it is claimed
    shown = "\n".join(status.of(store, dresses).lines())
    assert "atelier/lot: waits to be read" in shown

    everything = dg.Definitions.merge(project_defs(dresses), dg.Definitions(resources={"store": store, "manifests": manifest_io_manager}))
    job = everything.resolve_job_def("dresses_compare")
    assert job.execute_in_process(instance=instance, run_config={**request.run_config, **runs.QUIET}, tags=dict(request.tags)).success
    wanted = requests(tick(dresses, instance, store, "vendor_drop"))
    assert [(one.job_name, str(one.partition_key)[-3:]) for one in wanted] == [("dresses_drop", "-r2")]


def test_what_has_to_be_read_and_what_is_new_share_the_runs_of_a_look(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(home)
    known = [crowd.deliver(home, f"known-{number}") for number in range(5)]
    crowd.enter(store, known)
    for given in known:
        os.utime(given.path / "3.jpg", (1, 1))
        (given.path / "_COMPLETE").touch()
    for number in range(4):
        crowd.deliver(home, f"new-{number}")
    monkeypatch.setattr(arrivals, "READ_BYTES", 2)
    monkeypatch.setattr(sensors, "MAX_RUNS_A_TICK", 6)

    def jobs() -> list[str]:
        return [request.job_name or "" for request in requests(tick(dresses, instance, store, "vendor_drop"))]

    assert jobs() == ["dresses_drop"] * 4 + ["dresses_compare"] * 2
    assert jobs() == ["dresses_compare"] * 3  # the next look asks for what was left, as the others are claimed


def test_what_lies_in_landing_is_told_in_the_ui_once_it_changed(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    store = Store(home)

    def told() -> list[Any]:
        seen = instance.fetch_observations(dg.AssetKey(["dresses", "raw_images"]), limit=10).records
        return [record.asset_observation.metadata for record in seen if record.asset_observation and not record.partition_key]

    tick(dresses, instance, store, "vendor_drop")
    assert told() == []  # there is nothing to tell
    deliver(home, "slow", marked=False)
    for _ in range(3):
        tick(dresses, instance, store, "vendor_drop")
    (shown,) = told()
    assert shown["held"].value == shown["waits"].value == 1
    assert shown["what waits"].records[0].data == {"delivery": "atelier/slow", "why": "INCOMPLETE"}
    assert "atelier: 1 drop INCOMPLETE" in shown["tell the vendors"].value


def test_in_the_queue_too_what_never_failed_goes_first(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

    monkeypatch.setattr(sensors, "FIRST_PAUSE_S", 0.0)
    for name, times in (("a-bad", 3), ("b-bad", 1), ("good", 0)):
        deliver(home, name)
        fail(instance, name, times)
    for request in reversed(requests(tick(dresses, instance, Store(home), "vendor_drop"))):  # queued in the other order
        end(instance, request, dg.DagsterRunStatus.STARTED)
    queued = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]), ascending=True)
    taken = QueuedRunCoordinatorDaemon(1)._priority_sort(queued)
    assert [run.tags["dataops/name"] for run in taken] == ["atelier/good", "atelier/b-bad", "atelier/a-bad"]


def test_large_drops_run_one_at_a_time_so_that_others_find_a_place(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "LARGE_BYTES", 6)
    for name in ("large-1", "large-2", "small"):
        deliver(home, name)
    tags = {request.tags["dataops/name"]: request.tags for request in requests(tick(dresses, instance, Store(home), "vendor_drop"))}
    assert [name for name, given in tags.items() if sensors.SIZE_TAG in given] == ["atelier/large-1", "atelier/large-2"]
    with runs.instance() as held:
        limits = held.get_concurrency_config().run_queue_config
        assert limits is not None
        assert {"key": sensors.SIZE_TAG, "value": "large", "limit": 1} in limits.tag_concurrency_limits


def test_a_look_writes_the_reports_of_what_it_holds(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(home, "half", marked=False)
    store = Store(home)
    tick(dresses, instance, store, "vendor_drop")
    (drop,) = store.drops.rows()["drop_id"]
    assert "Waiting for you" in (home.reports("dresses") / "deliveries" / f"{drop}.html").read_text()
    monkeypatch.setattr(delivery, "_news", lambda *given: 1 / 0)
    deliver(home, "whole")
    assert asked(tick(dresses, instance, store, "vendor_drop")) == ["whole"]  # a report that fails holds up no run


def test_lists_of_addresses_count_as_large(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    """Their runs wait for hosts: all at once they would hold every place."""
    for name in ("list-1", "list-2", "small"):
        deliver(home, name)
    for name in ("list-1", "list-2"):
        folder = home.landing("dresses") / "atelier" / name
        (folder / "urls.csv").write_text("url\nhttps://cdn.example.org/1\n")
        (folder / "_COMPLETE").unlink(missing_ok=True)
        (folder / "_COMPLETE").touch()
    tags = {request.tags["dataops/name"]: request.tags for request in requests(tick(dresses, instance, Store(home), "vendor_drop"))}
    assert [name for name, given in tags.items() if sensors.SIZE_TAG in given] == ["atelier/list-1", "atelier/list-2"]
    assert "atelier/small" in tags


def test_a_vendor_with_many_drops_does_not_hold_up_another(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    for number in range(70):
        deliver(home, f"{number:02d}")
    first = requests(tick(dresses, instance, Store(home), "vendor_drop"))
    for request in first[:45]:
        end(instance, request, dg.DagsterRunStatus.STARTED)
    for request in first[45:]:
        end(instance, request, dg.DagsterRunStatus.SUCCESS)
    deliver(home, "late", vendor="bazaar")
    wanted = requests(tick(dresses, instance, Store(home), "vendor_drop"))
    assert len(wanted) == sensors.MAX_RUNS_A_TICK - 45  # no more than so many are in the queue
    assert "bazaar/late" in [request.tags["dataops/name"] for request in wanted[:2]]


def test_what_is_no_delivery_is_parked_while_it_stays_as_it_is(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, lies = Store(home), {"fingerprint": "one"}

    def returns(*_: Any, **__: Any) -> waiting.Found:
        return waiting.Found(ready=[waiting.Waiting("production-001", lies["fingerprint"], "production-001")])

    monkeypatch.setattr(waiting, "returns", returns)
    for _ in range(sensors.MAX_ATTEMPTS):
        end(instance, dg.RunRequest(tags={sensors.WORK_TAG: "dresses/production-001/one"}), dg.DagsterRunStatus.FAILURE)
    for _ in range(2):
        result = tick(dresses, instance, store, "label_return")
        assert isinstance(result, dg.SkipReason)
        assert result.skip_message == "Held: production-001: parked: 5 runs failed"
    shown = "\n".join(status.of(store, dresses).lines())
    assert "PARKED returns of production-001: 5 runs failed" in shown
    assert "dataops run dresses" in shown
    seen = instance.fetch_observations(dg.AssetKey(["dresses", "labeled_batches"]), limit=5).records
    assert [record.partition_key for record in seen] == ["production-001"]  # once, not at each look
    claims.forget(home, "dresses", "dresses/production-001/one")  # a command tried it
    assert status.of(store, dresses).parked == []
    assert requests(tick(dresses, instance, store, "label_return")) == []
    assert len(status.of(store, dresses).parked) == 1
    lies["fingerprint"] = "two"
    assert len(requests(tick(dresses, instance, store, "label_return"))) == 1
    assert status.of(store, dresses).parked == []


def test_a_parked_drop_is_shown_and_tried_again_when_a_person_says_so(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "FIRST_PAUSE_S", 0.0)
    store = Store(home)
    deliver(home, "bad")
    drop = identity.drop_id_of("atelier", "bad")
    with pytest.raises(LookupError, match="has no drop"):
        drops.retry(store, dresses, drop)
    fail(instance, "bad", 5)
    assert asked(tick(dresses, instance, store, "vendor_drop")) == []
    shown = instance.fetch_observations(dg.AssetKey(["dresses", "raw_images"]), limit=5).records
    shown = [record for record in shown if record.partition_key]
    assert [(record.partition_key, record.asset_observation.metadata["attempts"].value) for record in shown] == [(drop, 5)]  # type: ignore[union-attr]
    assert asked(tick(dresses, instance, store, "vendor_drop")) == []
    assert len(store.drops.rows()) == 1

    assert drops.retry(store, dresses, drop) == "atelier/bad"
    again = requests(tick(dresses, instance, store, "vendor_drop"))
    assert [str(one.run_key)[-2:] for one in again] == [":6"]  # a key Dagster has not seen
    end(instance, again[0], dg.DagsterRunStatus.FAILURE)
    assert [str(one.run_key)[-2:] for one in requests(tick(dresses, instance, store, "vendor_drop"))] == [":7"]
    with pytest.raises(LookupError, match="is not parked but held"):
        drops.retry(store, dresses, drop)


def test_a_drop_that_left_landing_can_be_parked_all_the_same(home: Home, dresses: ProjectSpec) -> None:
    gone = {"drop_id": "atelier-1", "vendor": "atelier", "name": "gone", "supersedes": None, "fingerprint": "f", "listing": "l"}
    drops.park(Store(home), dresses, [{**gone, "reason": "5 runs failed"}])
    assert list(Store(home).drops.rows()["status"]) == ["parked"]
    with pytest.raises(LookupError, match="no longer lies in"):
        drops.retry(Store(home), dresses, "atelier-1")


def test_what_has_not_settled_is_remembered_outside_the_cursor(home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec) -> None:
    for number in range(100):
        deliver(home, f"{number:03d}" + "slow" * 60, marked=False)
    result = tick(dresses, instance, Store(home), "vendor_drop")
    assert isinstance(result, dg.SkipReason)
    assert len(str(result.skip_message)) < 3000
    assert len(Store(home).drops.rows()) == 100
    memory = home.scratch / "looks" / "dresses.drops.json"
    seen = json.loads(memory.read_text())
    assert len(seen["looks"]) == 100
    aged = {name: [print_, at - 61, *rest] for name, (print_, at, *rest) in seen["looks"].items()}
    memory.write_text(json.dumps(seen | {"looks": aged}))
    assert len(asked(tick(dresses, instance, Store(home), "vendor_drop"))) == 50
    assert len(asked(tick(dresses, instance, Store(home), "vendor_drop"))) == 50  # those that waited needn't rest again
    memory.write_text('{"atelier/x": 3, "half')
    assert requests(tick(dresses, instance, Store(home), "vendor_drop")) == []


def test_without_room_a_drop_is_held_at_no_cost_and_goes_on_by_itself(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    free = {"bytes": SPARE_BYTES + 1}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free["bytes"]))
    deliver(home, "large")
    result = tick(dresses, instance, Store(home), "vendor_drop")
    assert isinstance(result, dg.SkipReason)
    assert "atelier/large: NO_SPACE: 256 MiB must be free" in str(result.skip_message)
    assert len(Store(home).drops.rows()) == 0
    free["bytes"] += 100
    assert asked(tick(dresses, instance, Store(home), "vendor_drop")) == ["large"]


def test_two_daemons_ask_for_a_drop_once(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(home, "one")
    with dg.DagsterInstance.ephemeral() as other:
        first = requests(tick(dresses, instance, Store(home), "vendor_drop"))
        assert len(first) == 1
        assert requests(tick(dresses, instance, Store(home), "vendor_drop")) == []  # its run is about to be made
        assert requests(tick(dresses, other, Store(home), "vendor_drop")) == []
        end(instance, first[0], dg.DagsterRunStatus.STARTED)
        clock = time.time()
        for passed in (200, 400, 600):  # while the run is alive its claim is renewed
            monkeypatch.setattr(time, "time", lambda passed=passed: clock + passed)
            assert requests(tick(dresses, instance, Store(home), "vendor_drop")) == []
            assert requests(tick(dresses, other, Store(home), "vendor_drop")) == []
        monkeypatch.setattr(time, "time", lambda: clock + 901)  # the first daemon is gone: another takes over
        assert asked(tick(dresses, other, Store(home), "vendor_drop")) == ["one"]
        with claims.alone(home, "dresses.drops.sensor") as is_alone:
            assert is_alone
            held = tick(dresses, other, Store(home), "vendor_drop")
            assert isinstance(held, dg.SkipReason)
            assert "Another daemon looks" in str(held.skip_message)


def test_claims_of_what_no_longer_waits_are_removed(tmp_path: Path) -> None:
    held = claims.Claims(Home.at(tmp_path), "dresses", "drops")
    assert held.take("a", 1, time.time())
    assert held.take("b", 1, time.time())
    held.tidy(["a"], time.time() + claims.CLAIM_S + 1)
    assert len(list(held.folder.iterdir())) == 1
    assert not held.take("a", 1, time.time())
    assert held.take("a", 2, time.time())


@pytest.mark.parametrize("spoil", ["file", "vendor-link", "vendor-file", "not-utf-8", "deep"])
def test_whatever_lies_in_landing_nothing_escapes(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, request: pytest.FixtureRequest, spoil: str
) -> None:
    root = home.landing("dresses")
    if spoil == "file":
        root.write_bytes(b"")
        result = tick(dresses, instance, Store(home), "vendor_drop")
        assert isinstance(result, dg.SkipReason)
        assert "landing/dresses: can't be read: Not a directory" in str(result.skip_message)
        return
    deliver(home, "good")
    wanted = ["good"]
    if spoil == "vendor-link":
        (root / "elsewhere").symlink_to(root / "atelier")
    elif spoil == "vendor-file":
        (root / "stray.jpg").write_bytes(b"")
    elif spoil == "not-utf-8":
        for name, marker in ((b"bad-\xff", b"_COMPLETE"), (b"slow-\xfe", b"a.jpg")):
            os.makedirs(os.fsencode(root / "atelier") + b"/" + name)
            with open(os.fsencode(root / "atelier") + b"/" + name + b"/" + marker, "wb"):
                pass
        wanted = ["bad-\\xff", "good"]
    else:
        deliver(home, "deep")
        folders = [os.fspath(root / "atelier" / "deep")]
        for _ in range(1200):  # deeper than Python's stack
            folders.append(folders[-1] + "/d")
            os.mkdir(folders[-1])
        request.addfinalizer(lambda: [os.rmdir(folder) for folder in folders[:0:-1]])
        wanted = ["deep", "good"]
    result = tick(dresses, instance, Store(home), "vendor_drop")
    assert asked(result) == wanted
    if spoil == "not-utf-8":
        assert list(Store(home).drops.rows()["name"]) == ["slow-\\xfe"]
        json.dumps([dict(one.tags) for one in requests(result)], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("name", "asks"),
    [("vendor_drop", "drops"), ("label_return", "returns"), ("model_feedback", "predictions"), ("plan", "setup"),
     ("screening_decision", "rescreens")],
)  # fmt: skip
def test_no_sensor_raises_whatever_goes_wrong(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch, name: str, asks: str
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(waiting, asks, broken)
    result = tick(dresses, instance, Store(home), name)
    assert isinstance(result, dg.SkipReason)
    assert "the next look tries again: KeyError: 'nobody thought of this'" in str(result.skip_message)


def test_a_ledger_that_cannot_be_read_now_is_no_exception(
    home: Home, instance: dg.DagsterInstance, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(home)

    def rows() -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.drops, "rows", rows)
    result = tick(dresses, instance, store, "vendor_drop")
    assert isinstance(result, dg.SkipReason)
    assert "No space left on device" in str(result.skip_message)
