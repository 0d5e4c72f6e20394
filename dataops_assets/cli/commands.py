"""The commands, in the order of the flow."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from dataops_assets.cli.audit import audit
from dataops_assets.cli.gold import gold
from dataops_assets.cli.label_studio import labelstudio
from dataops_assets.cli.terminal import (
    AnyProject,
    By,
    Home,
    Json,
    Project,
    Reason,
    bars,
    finish,
    grid,
    leave,
    operations_of,
    report,
    specs_of,
    stop,
    store_of,
)

app = typer.Typer(
    help="Labelling programmes as Dagster assets, each promoted by its Great Expectations gate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(audit, name="audit")
app.add_typer(labelstudio, name="labelstudio")
app.add_typer(gold, name="gold")


def main() -> None:
    """Entry point: errors a person can act on become one sentence on stderr."""
    from dataops_assets.projects import SpecError

    try:
        try:
            app()
        except SpecError as error:
            stop(2, str(error))
        except KeyboardInterrupt:
            stop(1, "Stopped. Run the same command again to carry on.")
    except SystemExit as ended:
        leave(ended.code)


@app.command()
def demo(home: Home = None, json: Json = False) -> None:
    """Draw dresses, deliver, clean, label with simulated workers, and export: the whole flow on made-up data."""
    with operations_of(home) as work:
        from dataops_assets import demo as demo_

        with bars(json):
            outcome = demo_.run(work, print_=lambda line: None if json else typer.echo(line))
    report(outcome.as_dict(), outcome.lines(), json)
    if not outcome.is_complete:
        raise typer.Exit(1)


@app.command()
def new(project: Project, home: Home = None) -> None:
    """Write a commented YAML for a new project."""
    from dataops_assets.scaffold import write

    try:
        path = write(project)
    except ValueError as error:
        stop(2, str(error))
    typer.echo(f"Wrote {path}\nEdit it, then: dataops check {project}")


@app.command()
def check(project: AnyProject = None, home: Home = None, json: Json = False) -> None:
    """Check projects' YAML, and whether what was agreed fits budget and date."""
    from dataops_assets.scaffold import check_projects

    reports = check_projects(project)
    lines = [line for report in reports for line in report.lines()]
    report([report.as_dict() for report in reports], lines, json)
    if not all(report.is_met for report in reports):
        raise typer.Exit(1)


@app.command()
def ingest(
    project: Project,
    vendor: Annotated[str, typer.Argument(help="Who delivers: a vendor of the project.")],
    path: Annotated[Path, typer.Argument(help="Folder or archive of images.", exists=True)],
    home: Home = None,
    json: Json = False,
) -> None:
    """Copy a delivery into landing and take it to the augmented set."""
    with operations_of(home, project) as work, bars(json):
        done = work.ingest(project, vendor, path)
    finish(done, json)


@app.command()
def run(project: AnyProject = None, home: Home = None, json: Json = False) -> None:
    """Run everything that waits: deliveries, planned batches, returned labels, model results."""
    with operations_of(home, project) as work, bars(json):
        done = work.run(project)
    finish(done, json)


@app.command()
def plan(
    project: Project,
    kind: Annotated[
        str, typer.Option(help="pilot, qualification, production, rework, adjudication, screening or preservation.")
    ] = "production",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many images.")] = None,
    vendor: Annotated[str | None, typer.Option(help="Who labels; needed for qualification.")] = None,
    like: Annotated[str | None, typer.Option(help="A pilot whose pictures are labelled again, e.g. in another tool.")] = None,
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway",
            help="Production also for a vendor that has not passed its qualification, or from which buying is stopped: the gate holds the "
            "batch until the vendor has passed one or somebody waives it. And while its last batch is not judged yet: that one is sent. "
            "Never beyond the budget, nor larger than its next step.",
        ),
    ] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Cut images into batches within the budget that is left, and make their request folders."""
    with operations_of(home, project) as work, bars(json):
        done = work.plan(project, kind, limit, vendor, like, anyway)
    finish(done, json)


@app.command()
def guidelines(project: Project, home: Home = None, json: Json = False) -> None:
    """Make the annotators' guidelines anew, with pictures of what is approved by now."""
    with operations_of(home, project) as work, bars(json):
        done = work.guidelines(project)
    finish(done, json)


@app.command("training-pack")
def training_pack(
    project: Project,
    tasks: Annotated[int, typer.Option(min=1, help="Practice tasks in it; the gold they come from is hidden no more.")] = 8,
    home: Home = None,
    json: Json = False,
) -> None:
    """Write a labelling vendor's training pack: the guidelines, and practice tasks with their answers."""
    with operations_of(home, project) as work, bars(json):
        done = work.training_pack(project, tasks)
    finish(done, json)


@app.command("import-labels")
def import_labels(
    project: Project,
    batch: Annotated[str, typer.Argument(help="The batch the labels answer.")],
    file: Annotated[
        Path, typer.Argument(help="CSV, Label Studio, CVAT, COCO, VOC, Labelbox; a zip for YOLO.", exists=True, dir_okay=False)
    ],
    vendor: Annotated[str, typer.Option("--vendor", help="Who labelled.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Put returned labels in place, read them and judge their quality."""
    with operations_of(home, project) as work, bars(json):
        done = work.import_labels(project, batch, file, vendor)
    finish(done, json)


@app.command()
def approve(
    project: Project, batch: Annotated[str, typer.Argument(help="The batch.")], by: By, home: Home = None, json: Json = False
) -> None:
    """Approve a batch's accepted labels."""
    with operations_of(home, project) as work:
        done = work.approve(project, batch, by)
    finish(done, json)


@app.command()
def release(
    project: Project,
    name: Annotated[str | None, typer.Option(help="Name of the release. Default: the next number.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Deliver the approved labels as an immutable release of the training set."""
    with operations_of(home, project) as work, bars(json):
        done = work.release(project, name)
    finish(done, json)


@app.command()
def withdraw(
    project: Project,
    reason: Reason,
    by: By,
    drop: Annotated[str | None, typer.Option("--drop", help="A drop's id.")] = None,
    image: Annotated[str | None, typer.Option("--image", help="An image's id.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Take a drop or an image out of everything that is made from now on."""
    if (drop is None) == (image is None):
        stop(2, "Name either --drop or --image.")
    with operations_of(home, project) as work:
        done = work.withdraw(project, drop, image, reason, by)
    finish(done, json)


@app.command()
def purge(project: AnyProject = None, home: Home = None, json: Json = False) -> None:
    """Delete pictures that lie apart and whose retention period has passed; the daemon does so every night."""
    with operations_of(home, project) as work:
        done = work.purge(project)
    finish(done, json)


@app.command()
def status(project: AnyProject = None, home: Home = None, json: Json = False) -> None:
    """How far each stage is, what failed, what waits, and what it cost."""
    with store_of(home) as store:
        from dataops_assets.reports import status as status_

        specs = specs_of(project)
        reports = [status_.of(store, spec) for spec in specs]
        lost = status_.strangers(store.home, {spec.name for spec in specs}) if project is None else []
    report([report.as_dict() for report in reports], [*(line for report in reports for line in report.lines()), *lost], json)


@app.command()
def retry(
    project: Project,
    drop: Annotated[str, typer.Argument(help="The id of a drop that was parked or refused, as `dataops status` shows it.")],
    by: Annotated[str, typer.Option(help="Who wants it tried again; needed where a gate refused it.")] = "",
    reason: Annotated[str, typer.Option(help="What has changed since; needed where a gate refused it.")] = "",
    home: Home = None,
    json: Json = False,
) -> None:
    """Try a drop again that was parked, or that a gate refused, once what made it fail is mended."""
    with operations_of(home, project) as work:
        done = work.retry(project, drop, by, reason)
    finish(done, json)


@app.command()
def waive(
    project: Project,
    asset: Annotated[str, typer.Argument(help="The asset whose gate failed.")],
    partition: Annotated[str, typer.Argument(help="Drop, batch or release; - for an asset without.")],
    reason: Reason,
    by: By,
    until: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day on which it may release this version again.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Release a version that its gate held back, on a person's word."""
    with operations_of(home, project) as work:
        done = work.waive(project, asset, partition, reason=reason, by=by, until=until.date())
    finish(done, json)


@app.command()
def gate(
    project: Project,
    asset: Annotated[str, typer.Argument(help="The asset.")],
    partition: Annotated[str, typer.Argument(help="Drop, batch or release; - for an asset without.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Judge the last version again, after a threshold changed or a gate could not run."""
    with operations_of(home, project) as work:
        done = work.gate(project, asset, partition)
    finish(done, json)


@app.command("compare-pilots")
def compare_pilots(
    project: Project,
    first: Annotated[str, typer.Argument(help="A pilot batch whose labels were read.")],
    second: Annotated[str, typer.Argument(help="Another one of the same pictures: see `plan --like`.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Two tools or set-ups on the same pilot: time, agreement, accuracy on gold, what the exports spoil."""
    (spec,) = specs_of(project)
    with store_of(home) as store:
        from dataops_assets.reports import panels, pilot

        try:
            found = pilot.compare(store, spec, first, second)
        except ValueError as error:
            stop(2, str(error))
    shown = {name: list(part.rows) for name, part in found.items() if isinstance(part, panels.Table)}
    told = list(found["what follows"].lines)
    lines = [*told, *grid(shown["side by side"]), f"All of it: {found['path']}"]
    report({"what follows": told, **shown, "page": found["path"]}, lines, json)


@app.command()
def query(sql: Annotated[str, typer.Argument(help="DuckDB SQL.")], home: Home = None, json: Json = False) -> None:
    """Ask the released tables and the ledgers, read-only. `SHOW TABLES` lists them."""
    with store_of(home) as store:
        import duckdb

        from dataops_assets.warehouse import query as ask

        try:
            rows = ask(store, sql)
        except duckdb.Error as error:
            stop(2, str(error))
    report(rows, grid(rows), json)


@app.command()
def ui(
    home: Home = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; the report pages get the next one.")] = 3000,
) -> None:
    """Open Dagster's UI and daemon on this machine, with the report pages beside it."""
    with store_of(home) as store:
        from dataops_assets.serve import serve

        raise typer.Exit(serve(store.home, port))
