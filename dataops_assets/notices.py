"""What sensors tell people in the UI: work that is given up, and what lies in landing. Observations of the asset concerned, each once."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from dataops_assets import claims, drops, waiting
from dataops_assets.reports import status
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

PARKED_A_TICK = 20  # each costs a look into its last run's log, up to 0.1 s
SHOW_S = 300.0  # what lies in landing is told no more often: a copy in progress changes it at each look
ROWS = 50  # of a table
MADE = {
    "drops": "raw_images",
    "contents": "raw_images",
    "returns": "labeled_batches",
    "predictions": "model_feedback",
    "tasks": "label_tasks",
    "rescreens": "cleaned_set",
}
Spent = tuple[str, list[dg.RunRecord]]  # work, and its runs, all of which failed


def show_landing(
    context: dg.SensorEvaluationContext, store: Store, spec: ProjectSpec, held: Mapping[str, str], memory: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """Tell what arrived, what is held and what to tell the vendors, once that has changed, on `raw_images`.

    Args:
        context: Of the sensor.
        store: The store.
        spec: The project.
        held: What the look holds, and why.
        memory: What the last look left; its `shown` and `shown_at` are what was told last, and when.
        now: UNIX seconds.

    Returns:
        `shown` and `shown_at` for the next look. Raises nothing: what was asked for must not be lost.
    """
    last = claims.number(memory, "shown_at")
    told = {"shown": memory.get("shown"), "shown_at": last}
    try:
        entered = len(store.drops.rows())
        state = hashlib.sha256(json.dumps([entered, sorted(held.items())]).encode()).hexdigest()[:16]
        if state == told["shown"] or abs(now - last) < SHOW_S or not (entered or held):
            return told
        lying = status.deliveries(store, spec)
        rows = [dg.TableRecord({"delivery": text_line(name, 200), "why": text_line(why, 300)}) for name, why in sorted(held.items())[:ROWS]]
        columns = dg.TableSchema([dg.TableColumn("delivery"), dg.TableColumn("why")])
        metadata: dict[str, Any] = {name: dg.MetadataValue.int(count) for name, count in status.tally(lying).items()}
        metadata |= {
            "waits": dg.MetadataValue.int(len(held)),
            "what waits": dg.MetadataValue.table(rows, columns),
            "tell the vendors": dg.MetadataValue.text("\n".join(status.to_tell(lying)[:ROWS]) or "nothing"),
        }
        context.instance.report_runless_asset_event(dg.AssetObservation(asset_key=[spec.name, "raw_images"], metadata=metadata))
    except Exception:
        context.log.exception(f"What lies in {spec.name}'s landing can't be shown now.")
        return told
    return {"shown": state, "shown_at": now}


def park(
    context: dg.SensorEvaluationContext,
    store: Store,
    spec: ProjectSpec,
    kind: str,
    found: waiting.Found,
    works: Mapping[str, waiting.Waiting],
    spent: Sequence[Spent],
) -> None:
    """Stop trying what failed too often, and say so where people look: `dataops status`, and the asset that would have been made.

    A delivery is parked in the `drops` ledger until a person has it tried again; anything else while it waits and nothing about it
    changes, in a list that is written anew at each look.
    """
    known = claims.parked(store.home, spec.name, kind)
    kept = {work: known[work] for work, _ in spent if work in known}
    new = {
        work: {"kind": kind, "partition": works[work].partition, "name": works[work].name, **_failures(context.instance, tried)}
        for work, tried in [one for one in spent if one[0] not in known][:PARKED_A_TICK]
    }
    drops.park(store, spec, [{**works[work].facts, "reason": told["why"]} for work, told in new.items() if works[work].facts])
    kept |= {work: told for work, told in new.items() if not works[work].facts}
    if kept != known:
        claims.park(store.home, spec.name, kind, kept)
    for told in (*kept.values(), *new.values()):
        found.held[told["name"]] = f"parked: {told['why']}"
    for work, told in new.items():
        again = f"dataops retry {spec.name} {told['partition']}" if works[work].facts else f"dataops run {spec.name}"
        metadata = {
            "reason": dg.MetadataValue.text(told["why"]),
            "attempts": dg.MetadataValue.int(told["attempts"]),
            "last_error": dg.MetadataValue.text(told["error"] or "unknown"),
            "what to do": dg.MetadataValue.text(f"mend what is wrong, then: {again}"),
        }
        observation = dg.AssetObservation(asset_key=[spec.name, MADE[kind]], partition=told["partition"], metadata=metadata)
        context.instance.report_runless_asset_event(observation)


def _failures(instance: dg.DagsterInstance, tried: Sequence[dg.RunRecord]) -> dict[str, Any]:
    """How often and why something failed, from the log of its last run."""
    last = max(tried, key=end_of)
    error = ""
    for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        logged = instance.get_records_for_run(last.dagster_run.run_id, of_type=kind, limit=1).records
        event = logged[0].event_log_entry.dagster_event if logged else None
        if event is not None and not error:
            error = reason_of(event) if event.is_step_failure else event.message or ""
    error = text_line(error, 500)
    return {"why": f"{len(tried)} runs failed" + (f": {error}" if error else ""), "attempts": len(tried), "error": error}


def end_of(record: dg.RunRecord) -> float:
    """When a run ended, UNIX seconds."""
    return record.end_time or record.update_timestamp.timestamp()


def text_line(text: str, limit: int) -> str:
    """One line of valid text; a vendor's names may hold anything."""
    line = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def reason_of(event: dg.DagsterEvent) -> str:
    """Why a step failed, in its own words."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return " ".join(error.message.split())[:500] if error is not None else "unknown"
