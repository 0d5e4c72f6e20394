"""Sensors: list what waits, add its partition, ask for a run. No parsing, and nothing escapes as an exception.

A failed run is asked for again under a new attempt number with a growing pause, at most five times; then the work is parked
where people see it. A gate's no is an answer, not a failure: it isn't tried again.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from dataops_assets import drops, waiting
from dataops_assets.assets import Keys
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

MAX_RUNS_A_TICK = 50
MAX_ATTEMPTS = 5
FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 1800.0
WORK_TAG = "dataops/work"  # project/partition/fingerprint: what a run works on, whoever started it
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
RUNNING = dg.DefaultSensorStatus.RUNNING

Tick = dg.SensorResult | dg.SkipReason


def build(spec: ProjectSpec, keys: Keys, jobs: Mapping[str, Any]) -> list[dg.SensorDefinition]:
    """The sensors of one project."""

    @dg.sensor(
        name=f"{spec.name}_vendor_drop_sensor",
        job=jobs["drop"],
        minimum_interval_seconds=15,
        default_status=RUNNING,
        description="Takes in deliveries under landing/ once they are complete.",
    )
    def vendor_drop(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        def look(looks: waiting.Looks, now: float) -> waiting.Found:
            return waiting.drops(store, spec, looks, now)

        return tick(context, store, spec, keys.drops, look, lambda item, why: drops.park_drop(store, spec, item.partition, why))

    @dg.sensor(
        name=f"{spec.name}_label_return_sensor",
        job=jobs["returns"],
        minimum_interval_seconds=15,
        default_status=RUNNING,
        description="Reads labels that vendors put under returns/.",
    )
    def label_return(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        def look(looks: waiting.Looks, now: float) -> waiting.Found:
            return waiting.returns(store, spec, looks, now)

        return tick(context, store, spec, keys.batches, look, lambda item, why: None)

    @dg.sensor(
        name=f"{spec.name}_model_feedback_sensor",
        job=jobs["feedback"],
        minimum_interval_seconds=30,
        default_status=RUNNING,
        description="Reads model results that the technical team puts under predictions/.",
    )
    def model_feedback(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        def look(looks: waiting.Looks, now: float) -> waiting.Found:
            return waiting.predictions(store, spec, looks, now)

        return tick(context, store, spec, keys.releases, look, lambda item, why: None)

    @dg.sensor(
        name=f"{spec.name}_plan_sensor",
        jobs=[jobs["setup"], jobs["plan_batches"], jobs["tasks"]],
        minimum_interval_seconds=30,
        default_status=RUNNING,
        description="Keeps brief and guidelines as the YAML says, cuts a batch when enough new images are released, and makes "
        "the request folder of each planned batch.",
    )
    def plan(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        changed = waiting.setup(store, spec)
        if changed:  # tasks need the guidelines
            tags = {"dataops/project": spec.name}
            return dg.SensorResult(run_requests=[dg.RunRequest(job_name=f"{spec.name}_setup", run_key=f"setup:{changed}", tags=tags)])
        batches = waiting.batches(store, spec)
        found = waiting.Found(ready=[waiting.Waiting(batch, "planned", batch) for batch in batches])
        result = requests(context, store, spec, found, time.time(), lambda item, why: None)
        runs = [request._replace(job_name=f"{spec.name}_tasks") for request in result]
        runs += [
            dg.RunRequest(job_name=f"{spec.name}_plan_batches", run_key=f"plan:{images}", tags={"dataops/project": spec.name})
            for images in waiting.plannable(store, spec)
        ]
        return dg.SensorResult(run_requests=runs, dynamic_partitions_requests=[keys.batches.build_add_request(batches)] if batches else [])

    @dg.sensor(
        name=f"{spec.name}_screening_decision_sensor",
        job=jobs["rescreen"],
        minimum_interval_seconds=30,
        default_status=RUNNING,
        description="Asks for a drop again when people have decided about its doubtful pictures.",
    )
    def screening_decision(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        found = waiting.Found(ready=waiting.rescreens(store, spec))
        return dg.SensorResult(run_requests=requests(context, store, spec, found, time.time(), lambda item, why: None))

    @dg.run_status_sensor(
        name=f"{spec.name}_release_sensor",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[jobs["release"]],
        request_job=jobs["reports"],
        default_status=RUNNING,
        description="Renews scorecard and lineage audit when a release is out.",
    )
    def release(context: dg.RunStatusSensorContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=context.dagster_run.run_id, tags={"dataops/project": spec.name})

    return [vendor_drop, label_return, model_feedback, plan, screening_decision, release]


def tick(
    context: dg.SensorEvaluationContext,
    store: Store,
    spec: ProjectSpec,
    partitions: dg.DynamicPartitionsDefinition,
    look: Callable[[waiting.Looks, float], waiting.Found],
    park: Callable[[waiting.Waiting, str], None],
) -> Tick:
    """One look at a folder: requests for what is complete, the cursor for what isn't yet."""
    now = time.time()
    looks = {name: (str(seen[0]), float(seen[1])) for name, seen in json.loads(context.cursor or "{}").items()}
    found = look(looks, now)
    wanted = requests(context, store, spec, found, now, park)
    cursor = json.dumps(found.looks, sort_keys=True)
    if not wanted:
        held = "; ".join(f"{name}: {reason}" for name, reason in sorted(found.held.items())[:10])
        context.update_cursor(cursor)
        return dg.SkipReason(f"Held: {held}" if held else "Nothing new.")
    names = [request.partition_key for request in wanted if request.partition_key]
    return dg.SensorResult(run_requests=wanted, dynamic_partitions_requests=[partitions.build_add_request(names)], cursor=cursor)


def requests(
    context: dg.SensorEvaluationContext,
    store: Store,
    spec: ProjectSpec,
    found: waiting.Found,
    now: float,
    park: Callable[[waiting.Waiting, str], None],
) -> list[dg.RunRequest]:
    """A request for each thing that no run works on; one whose runs keep failing waits, and after five is parked."""
    wanted: list[dg.RunRequest] = []
    for item in found.ready:
        if len(wanted) == MAX_RUNS_A_TICK:
            break
        work = work_of(spec.name, item)
        records = context.instance.get_run_records(dg.RunsFilter(tags={WORK_TAG: work}), limit=50)
        if any(record.dagster_run.status not in ENDED for record in records):
            continue
        tries = len(records)
        if tries >= MAX_ATTEMPTS:
            park(item, f"{tries} runs failed")
            continue
        if tries and now - max(record.end_time or now for record in records) < min(FIRST_PAUSE_S * 2 ** (tries - 1), LONGEST_PAUSE_S):
            continue
        tags = {WORK_TAG: work, "dataops/project": spec.name, "dataops/name": item.name[:120]}
        wanted.append(dg.RunRequest(run_key=f"{item.partition}:{item.fingerprint}:{tries + 1}", partition_key=item.partition, tags=tags))
    return wanted


def work_of(project: str, item: waiting.Waiting) -> str:
    """The tag by which runs of the same work find each other."""
    return f"{project}/{item.partition}/{item.fingerprint}"


@dg.run_failure_sensor(
    name="run_failure_sensor", default_status=RUNNING, description="Says in reports/failures.log, in one sentence each, what failed."
)
def run_failure(context: dg.RunFailureSensorContext, store: dg.ResourceParam[Store]) -> None:
    """Append what failed, where and why to `reports/failures.log`; people and mail programs watch that file."""
    run = context.dagster_run
    steps = [event.step_key or "" for event in context.get_step_failure_events()]
    words = " ".join((context.failure_event.message or "").split())
    reasons = [_reason(event) for event in context.get_step_failure_events()]
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "job": run.job_name,
        "partition": run.tags.get("dagster/partition", "-"),
        "steps": steps,
        "reason": "; ".join(reasons) or words,
        "run_id": run.run_id,
    }
    path = store.home.root / "reports" / "failures.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return " ".join(error.message.split())[:500] if error is not None else "unknown"
