"""Sensors: list what waits, add its partition, ask for a run. No parsing, and nothing escapes as an exception.

A failed run is asked for again under a new attempt number with a growing pause, at most five times; then the work is parked
where people see it. A gate's no is an answer, not a failure: it isn't tried again.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from deltalake.exceptions import DeltaError

from dataops_assets import claims, notices, waiting
from dataops_assets.arrivals import Round
from dataops_assets.assets import Keys
from dataops_assets.flow import studio
from dataops_assets.notices import end_of, reason_of, text_line
from dataops_assets.reports import delivery
from dataops_assets.room import Room, unpacked_bytes
from dataops_assets.spec import IntakeLimits, ProjectSpec
from dataops_assets.store import Store

MAX_RUNS_A_TICK = 50  # and in the queue: what comes later doesn't wait behind thousands
MAX_ATTEMPTS = 5
LOOK_S = 3.0  # of a tick for looking at deliveries; the rest of a tick is ledgers and the list of names
FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 1800.0
TAGS_A_QUERY = 200
REPORTS_S = 2.0  # for reports of what was held or parked, a tick; the next one goes on
STUDIO_S = 20.0  # a look at Label Studio; a tick may take 60 s, and one answer 30 s
REMEMBER_S = 60.0  # a look that saw nothing else is noted so often
SHOWN = 10  # held deliveries named in a skip message
WORK_TAG = "dataops/work"  # project/partition/fingerprint: what a run works on, whoever started it
SIZE_TAG = "dataops/size"  # dagster.yaml lets one large delivery, or list of addresses, run at a time, so that others find a free place
LARGE_BYTES = 1 << 30
PRIORITY_TAG = "dagster/priority"  # of the queue: what never failed goes first, however many tries of what did wait there
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
RUNNING = dg.DefaultSensorStatus.RUNNING

Tick = dg.SensorResult | dg.SkipReason


def build(spec: ProjectSpec, keys: Keys, jobs: Mapping[str, Any]) -> list[dg.SensorDefinition]:
    """The sensors of one project."""

    @dg.sensor(
        name=f"{spec.name}_vendor_drop_sensor",
        jobs=[jobs["drop"], jobs["compare"]],
        minimum_interval_seconds=15,
        default_status=RUNNING,
        description="Takes in deliveries under landing/ once they are complete.",
    )
    def vendor_drop(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        told = calmly(context, f"{spec.name}'s drops", lambda: look_at_landing(context, store, spec, keys))
        delivery.catch_up(store, spec, REPORTS_S, delivery.UNJUDGED)
        return told

    @dg.sensor(
        name=f"{spec.name}_label_return_sensor",
        job=jobs["returns"],
        minimum_interval_seconds=15,
        default_status=RUNNING,
        description="Reads labels that vendors put under returns/.",
    )
    def label_return(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        def look(looks: waiting.Looks, now: float, round_: Round) -> waiting.Found:
            return waiting.returns(store, spec, looks, now)

        return calmly(context, f"{spec.name}'s returns", lambda: tick(context, store, spec, "returns", keys.batches, look))

    @dg.sensor(
        name=f"{spec.name}_model_feedback_sensor",
        job=jobs["feedback"],
        minimum_interval_seconds=30,
        default_status=RUNNING,
        description="Reads model results that the technical team puts under predictions/.",
    )
    def model_feedback(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        def look(looks: waiting.Looks, now: float, round_: Round) -> waiting.Found:
            return waiting.predictions(store, spec, looks, now)

        return calmly(context, f"{spec.name}'s predictions", lambda: tick(context, store, spec, "predictions", keys.releases, look))

    @dg.sensor(
        name=f"{spec.name}_plan_sensor",
        jobs=[jobs["setup"], jobs["plan_batches"], jobs["tasks"]],
        minimum_interval_seconds=30,
        default_status=RUNNING,
        description="Keeps brief and guidelines as the YAML says, cuts a batch when enough new images are released or people "
        "have to decide about some, and makes the request folder of each planned batch.",
    )
    def plan(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        return calmly(context, f"{spec.name}'s plans", lambda: planned(context, store, spec, keys))

    @dg.sensor(
        name=f"{spec.name}_screening_decision_sensor",
        job=jobs["rescreen"],
        minimum_interval_seconds=30,
        default_status=RUNNING,
        description="Asks for a drop again when people have decided about its doubtful pictures.",
    )
    def screening_decision(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        def look() -> Tick:
            found = waiting.Found(ready=waiting.rescreens(store, spec))
            return dg.SensorResult(run_requests=alone(context, store, spec, "rescreens", found))

        return calmly(context, f"{spec.name}'s screenings", look)

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

    @dg.sensor(
        name=f"{spec.name}_label_studio_sensor",
        minimum_interval_seconds=30,
        default_status=RUNNING,
        description="Sends released batches to Label Studio, copies their answers, and puts complete ones under returns/.",
    )
    def label_studio(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]) -> Tick:
        return calmly(context, "Label Studio", lambda: look_at_studio(context, store, spec))

    made = [vendor_drop, label_return, model_feedback, plan, screening_decision, release]
    return [*made, label_studio] if studio.is_used(spec) else made


def look_at_studio(context: dg.SensorEvaluationContext, store: Store, spec: ProjectSpec) -> dg.SkipReason:
    """One look at Label Studio; it asks for no run: what comes back lies in returns, where another sensor finds it."""
    with claims.alone(store.home, studio.LOCK) as is_alone:
        if not is_alone:
            return dg.SkipReason("Somebody else looks at Label Studio at this moment.")
        done = studio.sync(store, spec, STUDIO_S)
    for batch, why in sorted(done.held.items()):
        context.log.warning(f"Label Studio, {batch}: {text_line(why, 300)}")
    return dg.SkipReason(text_line(str(done), 1000))


def planned(context: dg.SensorEvaluationContext, store: Store, spec: ProjectSpec, keys: Keys) -> Tick:
    """Runs that follow from the YAML and from what is released: brief and guidelines, batches to cut, tasks of those cut."""
    changed = waiting.setup(store, spec)
    tags = {"dataops/project": spec.name}
    if changed:  # tasks need the guidelines
        return dg.SensorResult(run_requests=[dg.RunRequest(job_name=f"{spec.name}_setup", run_key=f"setup:{changed}", tags=tags)])
    batches = waiting.batches(store, spec)
    found = waiting.Found(ready=[waiting.Waiting(batch, "planned", batch) for batch in batches])
    runs = [request._replace(job_name=f"{spec.name}_tasks") for request in alone(context, store, spec, "tasks", found)]
    runs += [
        dg.RunRequest(job_name=f"{spec.name}_plan_batches", run_key=f"plan:{images}", tags=tags)
        for images in waiting.plannable(store, spec)
    ]
    screening = {"ops": {f"{spec.name}__plan_batches": {"config": {"kind": "screening"}}}}
    runs += [
        dg.RunRequest(job_name=f"{spec.name}_plan_batches", run_key=f"screen:{images}", run_config=screening, tags=tags)
        for images in waiting.screenable(store, spec, time.time())
    ]
    return dg.SensorResult(run_requests=runs, dynamic_partitions_requests=[keys.batches.build_add_request(batches)] if batches else [])


def look_at_landing(context: dg.SensorEvaluationContext, store: Store, spec: ProjectSpec, keys: Keys) -> Tick:
    """One look at landing: requests for what is complete, and for reading what is too large to be told from an earlier delivery here."""

    def look(looks: waiting.Looks, now: float, round_: Round) -> waiting.Found:
        return waiting.drops(store, spec, looks, now, round_=round_)

    return tick(context, store, spec, "drops", keys.drops, look)


def tick(
    context: dg.SensorEvaluationContext,
    store: Store,
    spec: ProjectSpec,
    kind: str,
    partitions: dg.DynamicPartitionsDefinition,
    look: Callable[[waiting.Looks, float, Round], waiting.Found],
) -> Tick:
    """One look at a folder: requests for what is complete. What hasn't settled is remembered in scratch, not in the cursor."""
    now = time.time()
    with claims.alone(store.home, f"{spec.name}.{kind}.sensor") as is_alone:
        if not is_alone:
            return dg.SkipReason(f"Another daemon looks at {spec.name}'s {kind} at this moment.")
        memory = claims.memory(store.home, spec.name, kind)
        round_ = Round(LOOK_S, _turns(memory.get("turns")), _texts(memory.get("held")))
        found = look(_looks(memory.get("looks")), now, round_)
        wanted = requests(context, store, spec, kind, found, now)
        if kind == "drops":
            wanted = [request._replace(job_name=f"{spec.name}_drop") for request in wanted]
            try:
                wanted += readings(context, store, spec, found, now, MAX_RUNS_A_TICK - len(wanted))
            except Exception:
                context.log.exception("Large deliveries can't be read now; the next look tries again.")
        # nothing from here on may fail: what was asked for is claimed
        shown = notices.show_landing(context, store, spec, found.held, memory, now) if kind == "drops" else {}
        _remember(context, store, spec, kind, memory, {"looks": found.looks, "turns": round_.turns, "held": found.held, **shown}, now)
    held = "; ".join(f"{text_line(name, 80)}: {text_line(reason, 160)}" for name, reason in sorted(found.held.items())[:SHOWN])
    held += f"; and {len(found.held) - SHOWN} more" if len(found.held) > SHOWN else ""
    cursor = json.dumps({"held": len(found.held), "asked": len(wanted)})
    if not wanted:
        context.update_cursor(cursor)
        return dg.SkipReason(f"Held: {held}" if held else "Nothing new.")
    if held:
        context.log.info(f"Held: {held}")
    names = [request.partition_key for request in wanted if request.partition_key]
    return dg.SensorResult(run_requests=wanted, dynamic_partitions_requests=[partitions.build_add_request(names)], cursor=cursor)


def readings(
    context: dg.SensorEvaluationContext, store: Store, spec: ProjectSpec, found: waiting.Found, now: float, most: int
) -> list[dg.RunRequest]:
    """Requests, at most so many, for reading deliveries that only their content tells from what was delivered before."""
    unread = {work_of(spec.name, item): item.name.partition("/") for item in found.unread}
    held = waiting.Found(found.unread)
    asked = requests(context, store, spec, "contents", held, now, most)
    found.held |= held.held
    return [
        request._replace(
            job_name=f"{spec.name}_compare",
            partition_key=None,
            tags={**request.tags, SIZE_TAG: "large"},
            run_config={"ops": {f"{spec.name}__compare": {"config": {"vendor": vendor, "name": name}}}},
        )
        for request in asked
        for vendor, _, name in [unread[request.tags[WORK_TAG]]]
    ]


def _remember(
    context: dg.SensorEvaluationContext,
    store: Store,
    spec: ProjectSpec,
    kind: str,
    before: Mapping[str, Any],
    told: Mapping[str, Any],
    now: float,
) -> None:
    """Keep what the next look needs and `dataops status` shows. Where it can't be kept, what hasn't settled rests anew."""
    if all(before.get(name) == value for name, value in told.items()) and abs(now - claims.number(before, "at")) < REMEMBER_S:
        return
    try:
        claims.remember(store.home, spec.name, kind, {**told, "at": now})
    except OSError as error:
        context.log.warning(f"What was seen of {spec.name}'s {kind} can't be kept: {error}")


def calmly(context: dg.SensorEvaluationContext, what: str, look: Callable[[], Tick]) -> Tick:
    """What a look gives; one that fails, for whatever reason, is told and tried again, and its trace is in the sensor's log."""
    try:
        return look()
    except Exception as error:
        context.log.exception(f"Can't look at {what} now.")
        why = str(error) if isinstance(error, (OSError, DeltaError)) else f"{type(error).__name__}: {error}"
        return dg.SkipReason(f"Can't look at {what} now, the next look tries again: {text_line(why, 300)}")


def alone(context: dg.SensorEvaluationContext, store: Store, spec: ProjectSpec, kind: str, found: waiting.Found) -> list[dg.RunRequest]:
    """Requests for what was found, unless another daemon makes them at this moment."""
    with claims.alone(store.home, f"{spec.name}.{kind}.sensor") as is_alone:
        return requests(context, store, spec, kind, found, time.time()) if is_alone else []


def requests(
    context: dg.SensorEvaluationContext,
    store: Store,
    spec: ProjectSpec,
    kind: str,
    found: waiting.Found,
    now: float,
    most: int = MAX_RUNS_A_TICK,
) -> list[dg.RunRequest]:
    """A request for each thing that no run works on and nobody else asked for, at most so many.

    What was never tried goes first, here and in the queue, vendors in turn; then what failed least and longest ago. One whose runs keep
    failing waits, and after five is parked; one that there is no room for is held and costs no attempt.
    """
    held = claims.Claims(store.home, spec.name, kind)
    works = {work_of(spec.name, item): item for item in found.ready}
    runs = runs_of(context.instance, works)
    room = Room(store)

    def size_of(item: waiting.Waiting) -> int:
        limits = spec.sources.limits_for(item.name.partition("/")[0])
        return _size_of(store.home.landing(spec.name) / item.name, item.fingerprint, item.bytes or 0, limits)

    due: list[tuple[int, float, int, str]] = []  # attempts so far, the last one's end, which of its vendor's it is, work
    spent: list[notices.Spent] = []
    busy, first_tries, turns = 0, 0, Counter[str]()
    for work, item in works.items():
        records = runs.get(work, [])
        tried = [record for record in records if record.create_timestamp.timestamp() > item.since]
        if any(record.dagster_run.status not in ENDED for record in records):
            _renew(context, held, work, len(records), now)
            room.take_rest(spec.name, item.partition, item.fingerprint, size_of(item))
            busy += 1
            first_tries += len(tried) <= 1
            continue
        ended = max((end_of(record) for record in tried), default=0.0)
        if len(tried) >= MAX_ATTEMPTS:
            spent.append((work, tried))
        elif not tried or abs(now - ended) >= min(FIRST_PAUSE_S * 2 ** (len(tried) - 1), LONGEST_PAUSE_S):  # a clock may have been set back
            vendor = item.name.partition("/")[0]
            turns[vendor] += 1
            due.append((len(tried), ended, turns[vendor], work))
    wanted: list[dg.RunRequest] = []
    for attempts, _, _, work in sorted(due, key=lambda one: one[:3]):
        # what failed before waits behind all that is queued; what is new only behind its like
        if len(wanted) >= most or len(wanted) + (busy if attempts else first_tries) >= MAX_RUNS_A_TICK:
            break
        item = works[work]
        size, lack = 0, ""
        if item.bytes is not None:  # archives are opened where there is room for as many bytes as they have
            lack = room.lack(item.bytes) or room.lack(size := size_of(item))
        lack = lack or room.lack_again(spec.name, item.partition)
        if lack:
            found.held[item.name] = lack
            continue
        number = len(runs.get(work, [])) + 1  # over all runs, those before a retry too: a run_key counts once
        try:
            if not held.take(work, number, now):
                continue
        except OSError as error:  # what is claimed so far is asked for
            context.log.warning(f"No more {kind} can be asked for now: {error}")
            break
        room.take(size)
        tags = {WORK_TAG: work, PRIORITY_TAG: str(-attempts), "dataops/project": spec.name, "dataops/name": item.name[:120]}
        if size >= LARGE_BYTES or item.has_addresses:
            tags[SIZE_TAG] = "large"
        wanted.append(dg.RunRequest(run_key=f"{item.partition}:{item.fingerprint}:{number}", partition_key=item.partition, tags=tags))
    try:
        notices.park(context, store, spec, kind, found, works, spent)
        held.tidy(works, now)
    except Exception:  # whatever it is: what was asked for is claimed, and would be lost for minutes
        context.log.exception(f"Can't park {kind} now; the next look tries again.")
    return wanted


@lru_cache(maxsize=1000)
def _size_of(path: Path, fingerprint: str, size: int, limits: IntakeLimits) -> int:
    """What a delivery unpacks to, found out once for each of its states: dozens of archives may wait or be in work at each look."""
    return unpacked_bytes(path, size, limits)


def _renew(context: dg.SensorEvaluationContext, held: claims.Claims, work: str, attempt: int, now: float) -> None:
    try:
        held.renew(work, attempt, now)
    except OSError as error:
        context.log.warning(f"The claim of {work} can't be renewed: {error}")


def runs_of(instance: dg.DagsterInstance, works: Iterable[str]) -> dict[str, list[dg.RunRecord]]:
    """Runs of each work, whoever started them; newest first."""
    names, found = list(works), dict[str, list[dg.RunRecord]]()
    for start in range(0, len(names), TAGS_A_QUERY):
        wanted: Any = names[start : start + TAGS_A_QUERY]  # a list of values is any of them
        for record in instance.get_run_records(dg.RunsFilter(tags={WORK_TAG: wanted})):
            found.setdefault(record.dagster_run.tags[WORK_TAG], []).append(record)
    return found


def _looks(held: Any) -> dict[str, waiting.Seen]:
    """What a file remembers; what isn't a look in it (of an older version, or damaged) is forgotten."""
    return {
        name: waiting.Seen(str(seen[0]), float(seen[1]), str(seen[2]), str(seen[3]), int(seen[4]))
        for name, seen in (held.items() if isinstance(held, dict) else ())
        if isinstance(seen, list) and len(seen) == 5 and isinstance(seen[1], (int, float)) and isinstance(seen[4], int)
    }


def _turns(held: Any) -> dict[str, dict[str, str]]:
    return {kind: _texts(last) for kind, last in held.items()} if isinstance(held, dict) else {}


def _texts(held: Any) -> dict[str, str]:
    return {name: str(text) for name, text in held.items()} if isinstance(held, dict) else {}


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
    reasons = [reason_of(event) for event in context.get_step_failure_events()]
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
