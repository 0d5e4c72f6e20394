"""The `dataops` command. Heavy imports happen inside the commands: `--help` answers at once.

Exit codes: 0 done, 1 the data or a gate said no, 2 the command or a project's YAML can't be used.
"""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from dataops_assets.operations import Operations

app = typer.Typer(
    help="Labelling programmes as Dagster assets, each promoted by its Great Expectations gate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
audit = typer.Typer(help="Where a row came from, and whether the records still hold.", no_args_is_help=True)
app.add_typer(audit, name="audit")
labelstudio = typer.Typer(help="Label Studio on this machine, and the batches that are in it.", no_args_is_help=True)
app.add_typer(labelstudio, name="labelstudio")
gold = typer.Typer(
    help="The settled answers that batches are measured with: where they come from, and what stands against them.", no_args_is_help=True
)
app.add_typer(gold, name="gold")

Home = Annotated[Path | None, typer.Option("--home", help="Where everything lies. Default: $DATAOPS_HOME, else ./var.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Project = Annotated[str, typer.Argument(help="Name of a project.")]
AnyProject = Annotated[str | None, typer.Argument(help="Name of a project. Default: all.")]
By = Annotated[str, typer.Option("--by", help="Who says so; a claim, kept in the ledger.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")]


def main() -> None:
    """Entry point: errors a person can act on become one sentence on stderr."""
    from dataops_assets.spec import SpecError

    try:
        app()
    except SpecError as error:
        _stop(2, str(error))
    except KeyboardInterrupt:
        _stop(1, "Stopped. Run the same command again to carry on.")


@app.command()
def demo(home: Home = None, json: Json = False) -> None:
    """Draw dresses, deliver, clean, label with simulated workers, and export: the whole flow on made-up data."""
    with _operations(home) as work:
        from dataops_assets import demo as demo_

        with _bars(json):
            outcome = demo_.run(work, print_=lambda line: None if json else typer.echo(line))
    _report(outcome.as_dict(), outcome.lines(), json)
    if not outcome.is_complete:
        raise typer.Exit(1)


@app.command()
def new(project: Project, home: Home = None) -> None:
    """Write a commented YAML for a new project."""
    from dataops_assets.scaffold import write

    try:
        path = write(project)
    except ValueError as error:
        _stop(2, str(error))
    typer.echo(f"Wrote {path}\nEdit it, then: dataops check {project}")


@app.command()
def check(project: AnyProject = None, home: Home = None, json: Json = False) -> None:
    """Check projects' YAML, and whether what was agreed fits budget and date."""
    from dataops_assets.scaffold import check_projects

    reports = check_projects(project)
    lines = [line for report in reports for line in report.lines()]
    _report([report.as_dict() for report in reports], lines, json)
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
    with _operations(home, project) as work, _bars(json):
        done = work.ingest(project, vendor, path)
    _finish(done, json)


@app.command()
def run(project: AnyProject = None, home: Home = None, json: Json = False) -> None:
    """Run everything that waits: deliveries, planned batches, returned labels, model results."""
    with _operations(home, project) as work, _bars(json):
        done = work.run(project)
    _finish(done, json)


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
        bool, typer.Option("--anyway", help="Also for a vendor that has not passed; its batch is held back until somebody waives it.")
    ] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Cut images into batches within the budget that is left, and make their request folders."""
    with _operations(home, project) as work, _bars(json):
        done = work.plan(project, kind, limit, vendor, like, anyway)
    _finish(done, json)


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
    with _operations(home, project) as work, _bars(json):
        done = work.import_labels(project, batch, file, vendor)
    _finish(done, json)


@app.command()
def approve(
    project: Project, batch: Annotated[str, typer.Argument(help="The batch.")], by: By, home: Home = None, json: Json = False
) -> None:
    """Approve a batch's accepted labels."""
    with _operations(home, project) as work:
        done = work.approve(project, batch, by)
    _finish(done, json)


@app.command()
def release(
    project: Project,
    name: Annotated[str | None, typer.Option(help="Name of the release. Default: the next number.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Deliver the approved labels as an immutable release of the training set."""
    with _operations(home, project) as work, _bars(json):
        done = work.release(project, name)
    _finish(done, json)


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
        _stop(2, "Name either --drop or --image.")
    with _operations(home, project) as work:
        done = work.withdraw(project, drop, image, reason, by)
    _finish(done, json)


@app.command()
def purge(project: AnyProject = None, home: Home = None, json: Json = False) -> None:
    """Delete pictures that lie apart and whose retention period has passed; the daemon does so every night."""
    with _operations(home, project) as work:
        done = work.purge(project)
    _finish(done, json)


@app.command()
def status(project: AnyProject = None, home: Home = None, json: Json = False) -> None:
    """How far each stage is, what failed, what waits, and what it cost."""
    with _store(home) as store:
        from dataops_assets.reports import status as status_

        reports = [status_.of(store, spec) for spec in _specs(project)]
    _report([report.as_dict() for report in reports], [line for report in reports for line in report.lines()], json)


@app.command()
def retry(
    project: Project,
    drop: Annotated[str, typer.Argument(help="The id of a parked drop, as `dataops status` shows it.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Try a parked drop again, once what made it fail is mended."""
    with _operations(home, project) as work:
        done = work.retry(project, drop)
    _finish(done, json)


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
    with _operations(home, project) as work:
        done = work.waive(project, asset, partition, reason=reason, by=by, until=until.date())
    _finish(done, json)


@app.command()
def gate(
    project: Project,
    asset: Annotated[str, typer.Argument(help="The asset.")],
    partition: Annotated[str, typer.Argument(help="Drop, batch or release; - for an asset without.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Judge the last version again, after a threshold changed or a gate could not run."""
    with _operations(home, project) as work:
        done = work.gate(project, asset, partition)
    _finish(done, json)


@app.command("compare-pilots")
def compare_pilots(
    project: Project,
    first: Annotated[str, typer.Argument(help="A pilot batch whose labels were read.")],
    second: Annotated[str, typer.Argument(help="Another one of the same pictures: see `plan --like`.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Two tools or set-ups on the same pilot: time, agreement, accuracy on gold, what the exports spoil."""
    (spec,) = _specs(project)
    with _store(home) as store:
        from dataops_assets.reports import panels, pilot

        try:
            found = pilot.compare(store, spec, first, second)
        except ValueError as error:
            _stop(2, str(error))
    shown = {name: list(part.rows) for name, part in found.items() if isinstance(part, panels.Table)}
    told = list(found["what follows"].lines)
    lines = [*told, *_grid(shown["side by side"]), f"All of it: {found['path']}"]
    _report({"what follows": told, **shown, "page": found["path"]}, lines, json)


@app.command()
def query(sql: Annotated[str, typer.Argument(help="DuckDB SQL.")], home: Home = None, json: Json = False) -> None:
    """Ask the released tables and the ledgers, read-only. `SHOW TABLES` lists them."""
    with _store(home) as store:
        import duckdb

        from dataops_assets.warehouse import query as ask

        try:
            rows = ask(store, sql)
        except duckdb.Error as error:
            _stop(2, str(error))
    _report(rows, _grid(rows), json)


@gold.command("list")
def gold_list(project: Project, home: Home = None, json: Json = False) -> None:
    """Every gold answer: votes, source batch, how often it was shown, and whether it is active, disputed or retired."""
    (spec,) = _specs(project)
    with _store(home) as store:
        from dataops_assets.flow.labels import gold as registry
        from dataops_assets.manifest import records

        rows = records(registry(store, spec, with_workers=True)[0])
    short = (
        "image_id",
        "attribute",
        "label",
        "votes",
        "batch_id",
        "status",
        "exposures",
        "most_exposed",
        "workers",
        "pace",
        "reason",
        "by",
    )
    _report(rows, _grid([{name: row[name][:12] if name == "image_id" else row[name] for name in short} for row in rows]), json)


Image = Annotated[str, typer.Argument(help="A gold picture's id, or its beginning.")]
AttributeName = Annotated[str, typer.Argument(metavar="ATTRIBUTE", help="Which of its answers.")]


@gold.command("dispute")
def gold_dispute(
    project: Project, image: Image, attribute: AttributeName, reason: Reason, by: By, home: Home = None, json: Json = False
) -> None:
    """Say that a gold answer is wrong: it measures nobody until it is settled."""
    with _operations(home, project) as work:
        done = work.gold(project, "dispute", image, attribute, None, reason, by)
    _finish(done, json)


@gold.command("settle")
def gold_settle(
    project: Project,
    image: Image,
    attribute: AttributeName,
    reason: Reason,
    by: By,
    label: Annotated[str | None, typer.Option(help="The right answer. Left out: the disputed one was right.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Decide a dispute: with another label, or that the answer was right."""
    with _operations(home, project) as work:
        done = work.gold(project, "settle", image, attribute, label, reason, by)
    _finish(done, json)


@gold.command("retire")
def gold_retire(
    project: Project,
    image: Image,
    reason: Reason,
    by: By,
    attribute: Annotated[str | None, typer.Argument(metavar="[ATTRIBUTE]", help="Which of its answers; left out: all.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Take gold that leaked out of use: it isn't hidden in batches any more, and what it measured stands."""
    with _operations(home, project) as work:
        done = work.gold(project, "retire", image, attribute, None, reason, by)
    _finish(done, json)


@audit.command()
def trace(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An image's or a task's id, or its beginning.")],
    project: Annotated[str | None, typer.Option(help="Look in one project only.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Follow one row back to the vendor's file, with every gate it passed."""
    with _store(home) as store:
        from dataops_assets import lineage

        try:
            found = lineage.trace(store, identifier, project)
        except LookupError as error:
            _stop(1, str(error.args[0] if error.args else error))
    _report(found.as_dict(), found.lines(), json)


@audit.command()
def verify(
    release: Annotated[str | None, typer.Argument(help="A release. Default: all.")] = None,
    project: Annotated[str | None, typer.Option(help="Look in one project only.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Check the ledgers' chains, the data files that gates judged, and the delivered files' checksums."""
    with _store(home) as store:
        from dataops_assets import lineage

        problems = lineage.verify(store, project, release)
    _report({"is_intact": not problems, "problems": problems}, problems or ["Intact: ledgers, data files and exports."], json)
    if problems:
        raise typer.Exit(1)


@labelstudio.command()
def install(home: Home = None) -> None:
    """Install the server into an environment of its own, without starting it."""
    with _studio_server(home) as (server, place):
        server.install(server.environment_of(place), lambda line: typer.echo(line, err=True))
    typer.echo(f"Label Studio is installed in {server.environment_of(place)}.")


@labelstudio.command()
def up(
    home: Home = None,
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Port on 127.0.0.1.")] = 8080,
    json: Json = False,
) -> None:
    """Start Label Studio on this machine, or find the one that runs; the first time it is installed."""
    with _studio_server(home) as (server, place):
        told = server.start(place, port, lambda line: typer.echo(line, err=True))
    _report(told, _studio_lines(told), json)


@labelstudio.command()
def down(home: Home = None) -> None:
    """End the Label Studio of this home; what is in it stays."""
    with _studio_server(home) as (server, place):
        was_up = server.stop(place)
    typer.echo("Stopped." if was_up else "It did not run.")


@labelstudio.command("status")
def studio_status(home: Home = None, json: Json = False) -> None:
    """Whether Label Studio answers, where, and how annotators get an account."""
    with _studio_server(home) as (server, place):
        told = server.status(place)
    _report(told, _studio_lines(told), json)
    if not told["is_up"]:
        raise typer.Exit(1)


@labelstudio.command()
def sync(
    project: AnyProject = None,
    as_it_is: Annotated[str | None, typer.Option("--as-it-is", metavar="BATCH", help="Take this batch's answers as complete.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Send released batches to Label Studio, copy their answers, and put complete ones under returns/."""
    with _operations(home, project) as work:
        done = work.sync_label_studio(project, as_it_is)
    _finish(done, json)


@labelstudio.command()
def remove(
    project: Project, batch: Annotated[str, typer.Argument(help="An approved batch.")], home: Home = None, json: Json = False
) -> None:
    """Delete a batch's projects in Label Studio, a pilot's before others answer its gold; our copies stay."""
    with _operations(home, project) as work:
        done = work.remove_from_label_studio(project, batch)
    _finish(done, json)


@app.command()
def ui(
    home: Home = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; the report pages get the next one.")] = 3000,
) -> None:
    """Open Dagster's UI and daemon on this machine, with the report pages beside it."""
    with _store(home) as store:
        from dataops_assets.serve import serve

        raise typer.Exit(serve(store.home, port))


# ---- inside


@contextmanager
def _store(home: Path | None) -> Iterator[Any]:
    from dataops_assets.home import Home as Home_
    from dataops_assets.store import Store

    yield Store(Home_.at(home))


@contextmanager
def _studio_server(home: Path | None) -> Iterator[tuple[Any, Any]]:
    from dataops_assets.home import Home as Home_
    from dataops_assets.labels import studio_server

    try:
        yield studio_server, Home_.at(home)
    except studio_server.ServerError as error:
        _stop(1, str(error))


def _studio_lines(told: dict[str, Any]) -> list[str]:
    if not told["is_up"]:
        return [told["why"][0].upper() + told["why"][1:]]
    lines = [f"Label Studio {told['version']} on {told['url']}", f"Annotators make an account at {told['invitation']}"]
    return lines if told["is_elsewhere"] else [*lines, f"Your account is {told['user']}; its password and token are in {told['secrets']}"]


@contextmanager
def _operations(home: Path | None, project: str | None = None) -> Iterator[Operations]:
    """The operations of a home; what is wrong with the request ends the command with a sentence."""
    specs = _specs(project)  # a mistake in the YAML shows before anything heavy is loaded
    from dataops_assets.operations import Operations, Refused

    try:
        with Operations.open(home, specs) as work:
            yield work
    except Refused as error:
        _stop(2, str(error))


def _specs(project: str | None) -> list[Any]:
    from dataops_assets.spec import defs_root, load_projects

    specs = list(load_projects(defs_root()))
    if project is None:
        return specs
    chosen = [spec for spec in specs if spec.name == project]
    if not chosen:
        _stop(2, f"There is no project {project!r}; there are: {', '.join(spec.name for spec in specs) or 'none'} (in {defs_root()}).")
    return chosen


@contextmanager
def _bars(json: bool) -> Iterator[None]:
    """Progress bars on stderr while a person watches a terminal."""
    if json or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from dataops_assets import progress

    bars = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    stop = progress.listen(show)
    try:
        with bars:
            yield
    finally:
        stop()


def _finish(done: Any, json: bool) -> None:
    _report(done.as_dict(), done.lines(), json)
    if not done.is_success:
        raise typer.Exit(1)


def _report(value: Any, lines: list[str], json: bool) -> None:
    if json:
        typer.echo(json_.dumps(value, indent=2, default=str, ensure_ascii=False))
    else:
        for line in lines:
            typer.echo(line)


def _grid(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["(no rows)"]
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    console = Console(width=None if sys.stdout.isatty() else 240)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n").split("\n")


def _stop(code: int, sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
