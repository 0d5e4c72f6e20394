"""What runs when: the jobs of a project, and running them headless, in this process, on the instance the UI shows."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import dagster as dg

from dataops_assets import planning, redeliveries
from dataops_assets.home import ENV_HOME, Home
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

JOBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "setup": ("Check the brief and write the guidelines.", ("brief", "guidelines")),
    "drop": ("Take in a delivery: receive, clean, augment.", ("raw_images", "cleaned_set", "augmented_set")),
    "rescreen": ("Screen a drop again with people's decisions.", ("cleaned_set", "augmented_set")),
    "tasks": ("Make the request folder of a planned batch.", ("label_tasks",)),
    "returns": ("Read a vendor's returned labels and judge them.", ("labeled_batches", "label_quality", "vendor_feedback")),
    "approve": ("Approve a batch's accepted labels; needs your name.", ("approved_labels",)),
    "release": ("Deliver a release of the training set.", ("training_export",)),
    "feedback": ("Read a model's predictions and look for causes.", ("model_feedback", "investigation")),
    "reports": ("Vendor scorecard and lineage audit.", ("vendor_scorecard", "lineage_audit")),
}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Plan(dg.Config):
    """What to cut: a kind of batch, and at most how many images."""

    kind: str = "production"
    limit: int | None = None
    vendor: str | None = None


class Which(dg.Config):
    """A delivery in landing."""

    vendor: str
    name: str


def jobs_of(spec: ProjectSpec, batches: dg.DynamicPartitionsDefinition) -> dict[str, Any]:
    """The jobs of one project by short name: its asset chains, the planning of batches, and reading what only its content tells."""
    made: dict[str, Any] = {}
    for name, (description, assets) in JOBS.items():
        selection = dg.AssetSelection.assets(*([spec.name, asset] for asset in assets))
        tags = {"dataops/project": spec.name}
        made[name] = dg.define_asset_job(
            f"{spec.name}_{name}", selection, description=description, executor_def=dg.in_process_executor, tags=tags
        )

    @dg.op(name=f"{spec.name}__plan_batches")
    def cut(context: dg.OpExecutionContext, config: Plan, store: dg.ResourceParam[Store]) -> None:
        planned = planning.plan_batches(store, spec, config.kind, config.limit, config.vendor)
        context.log.info(f"batches {planned.batch_ids} for {planned.amount} {spec.brief.currency}. {planned.reason}")
        context.add_output_metadata({"batches": planned.batch_ids, "amount": planned.amount, "left out": planned.reason or "nothing"})
        context.instance.add_dynamic_partitions(batches.name or "", planned.batch_ids)

    @dg.job(
        name=f"{spec.name}_plan_batches",
        description="Cut unlabelled images into batches, within size and the budget that is left.",
        executor_def=dg.in_process_executor,
        tags={"dataops/project": spec.name},
    )
    def plan_batches() -> None:
        cut()

    @dg.op(name=f"{spec.name}__compare")
    def read(context: dg.OpExecutionContext, config: Which, store: dg.ResourceParam[Store]) -> None:
        context.log.info(redeliveries.compare(store, spec, config.vendor, config.name))

    @dg.job(
        name=f"{spec.name}_compare",
        description="Read a large delivery that has names and sizes of an earlier one, to tell whether it is the same.",
        executor_def=dg.in_process_executor,
        tags={"dataops/project": spec.name},
    )
    def compare() -> None:
        read()

    return {**made, "plan_batches": plan_batches, "compare": compare}


@dataclass(frozen=True)
class Result:
    """How a headless run ended; `error` is the sentence of the step that failed."""

    is_success: bool
    error: str = ""
    run_id: str = ""


def prepare(home: Home) -> None:
    """Make the home's folders, Dagster's among them, and point this process and its children there."""
    for folder in ("landing", "returns", "requests", "predictions", "exports", "reports", "scratch", "dagster"):
        (home.root / folder).mkdir(parents=True, exist_ok=True)
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        with resources.as_file(resources.files("dataops_assets") / "dagster.yaml") as shipped:
            shutil.copyfile(shipped, settings)
    os.environ[ENV_HOME] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@contextmanager
def instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of the home that was prepared."""
    with dg.DagsterInstance.get() as held:
        yield held


@cache
def definitions() -> dg.Definitions:
    """The code location, as the UI loads it."""
    from dataops_assets.definitions import defs

    return defs()


def run(
    instance: dg.DagsterInstance,
    project: str,
    job: str,
    partition: str | None = None,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Result:
    """Run one of a project's jobs here and now; its history shows in the UI like any other run's."""
    made = definitions().resolve_job_def(f"{project}_{job}")
    if partition is not None:
        kind = {"drop": "drops", "rescreen": "drops", "release": "releases", "feedback": "releases"}.get(job, "batches")
        instance.add_dynamic_partitions(f"{project}_{kind}", [partition])
    outcome = made.execute_in_process(
        instance=instance,
        partition_key=partition,
        run_config={**QUIET, **(config or {})},
        tags={"dataops/project": project, **(tags or {})},
        raise_on_error=False,
    )
    return Result(outcome.success, "" if outcome.success else _why(outcome), outcome.run_id)


def run_shared(instance: dg.DagsterInstance, job: str) -> Result:
    """Run a job that spans projects."""
    outcome = definitions().resolve_job_def(job).execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
    return Result(outcome.success, "" if outcome.success else _why(outcome), outcome.run_id)


def _why(outcome: dg.ExecuteInProcessResult) -> str:
    """The sentence of the first step that failed: a gate's own words, or the innermost exception."""
    for event in outcome.all_events:
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if evaluation.blocking and not evaluation.passed:
                return f"{evaluation.asset_key.path[-1]}: {evaluation.description}"
    for event in outcome.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            error = data.error
            while error is not None and error.cause is not None:
                error = error.cause
            return error.message.strip() if error is not None else "the step failed"
    return "the run failed before its first step"
