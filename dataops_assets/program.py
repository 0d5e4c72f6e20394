"""What spans projects: the program report and the warehouse, their job, and the schedule that renews them."""

import os
import time
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from dataops_assets import gates, unfinished, warehouse
from dataops_assets.flow import delivery, handbook
from dataops_assets.projects import defs_root, load_projects
from dataops_assets.reports import anew, pages, shown
from dataops_assets.resources import metadata_of
from dataops_assets.store import Store

GROUP = "program"
StoreParam = dg.ResourceParam[Store]


@dg.asset(group_name=GROUP, kinds={"html"}, tags={"dataops/step": "manage"}, key=["program", "program_report"])
def program_report(store: StoreParam) -> dg.MaterializeResult[None]:
    """All projects side by side: how far each stage is, which gates said no, what it cost against budget and date."""
    specs = list(load_projects(defs_root()))
    parts = shown.program(store, specs, delivery.program_report(store, specs))
    pages.put(store.home.root / "reports" / "program.html", pages.page("Program", "all projects", parts), store.home.tmp)
    return dg.MaterializeResult(metadata=metadata_of(parts))


@dg.asset(group_name=GROUP, kinds={"duckdb"}, tags={"dataops/step": "audit"}, key=["program", "warehouse"])
def warehouse_mart(store: StoreParam) -> dg.MaterializeResult[None]:
    """Read-only DuckDB file of every released table and all ledgers, for notebooks and BI tools."""
    path = store.home.warehouse
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        with DuckDBResource(database=str(temporary)).get_connection() as connection:
            try:
                warehouse.create(connection, store, kind="TABLE")
                tables = connection.execute("SELECT table_name, estimated_size FROM duckdb_tables() ORDER BY 1").fetchall()
            finally:
                connection.close()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    rows = {f"rows/{name}": int(size) for name, size in tables}
    return dg.MaterializeResult(metadata=metadata_of({"warehouse": Path(path), **rows}))


@dg.op
def delete_what_is_due(context: dg.OpExecutionContext, store: StoreParam) -> None:
    for spec in load_projects(defs_root()):
        gone, still = anew.purge(store, spec, time.time())
        context.log.info(f"{spec.name}: {len(gone)} pictures that lay apart deleted")
        for path in still:
            context.log.warning(f"reports/{path} may still show one of them: it could not be drawn anew; delete it")
        for sentence in handbook.sent_with(store, spec, gone):
            context.log.warning(sentence)


@dg.job(
    name="retention",
    description="Delete pictures that lie apart and whose retention period has passed, and take them off the report pages.",
    executor_def=dg.in_process_executor,
)
def retention_job() -> None:
    delete_what_is_due()


@dg.op
def finish_what_was_left(context: dg.OpExecutionContext, store: StoreParam) -> None:
    for spec in load_projects(defs_root()):
        for sentence in gates.catch_up(store, spec):
            context.log.info(sentence)


@dg.job(
    name="catch_up",
    description="Show what processes that died had decided and not shown yet: request and export folders, pages, reports.",
    executor_def=dg.in_process_executor,
)
def catch_up_job() -> None:
    finish_what_was_left()


@dg.sensor(
    job=catch_up_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for what a process that died had decided and not shown yet; what can't be shown is tried again each hour.",
)
def unfinished_sensor(store: StoreParam) -> dg.RunRequest | dg.SkipReason:
    left = [name for spec in load_projects(defs_root()) for name in unfinished.left(store.home, spec.name)]
    return dg.RunRequest(run_key=f"{max(left)}:{int(time.time() // 3600)}") if left else dg.SkipReason("Nothing was left half-way.")


reports_job = dg.define_asset_job(
    "program_reports",
    dg.AssetSelection.groups(GROUP),
    description="Renew the program report and the warehouse.",
    executor_def=dg.in_process_executor,
)
assets = [program_report, warehouse_mart]
jobs: list[Any] = [reports_job, retention_job, catch_up_job]
sensors = [unfinished_sensor]
schedules = [
    dg.ScheduleDefinition(
        name="program_reports_every_workday",
        job=reports_job,
        cron_schedule="0 6 * * 1-5",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Program report and warehouse, renewed before people start work.",
    ),
    dg.ScheduleDefinition(
        name="retention_every_night",
        job=retention_job,
        cron_schedule="0 3 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Pictures that lie apart, deleted when their retention period has passed.",
    ),
]
