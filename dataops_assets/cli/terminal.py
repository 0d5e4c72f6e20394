"""What every command shares: its options, the home it works in, and how it tells a person or a program what came of it."""

from __future__ import annotations

import atexit
import json as json_
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from dataops_assets.operations import Operations

Home = Annotated[Path | None, typer.Option("--home", help="Where everything lies. Default: $DATAOPS_HOME, else ./var.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Project = Annotated[str, typer.Argument(help="Name of a project.")]
AnyProject = Annotated[str | None, typer.Argument(help="Name of a project. Default: all.")]
By = Annotated[str, typer.Option("--by", help="Who says so; a claim, kept in the ledger.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")]


@contextmanager
def store_of(home: Path | None) -> Iterator[Any]:
    from dataops_assets.home import Home as Home_
    from dataops_assets.store import Store

    yield Store(Home_.at(home))


@contextmanager
def operations_of(home: Path | None, project: str | None = None) -> Iterator[Operations]:
    """The operations of a home; what is wrong with the request ends the command with a sentence."""
    specs = specs_of(project)  # a mistake in the YAML shows before anything heavy is loaded
    from dataops_assets.operations import Operations, Refused

    try:
        with Operations.open(home, specs) as work:
            yield work
    except Refused as error:
        stop(2, str(error))


def specs_of(project: str | None) -> list[Any]:
    from dataops_assets.projects import defs_root, load_projects

    specs = list(load_projects(defs_root()))
    if project is None:
        return specs
    chosen = [spec for spec in specs if spec.name == project]
    if not chosen:
        stop(2, f"There is no project {project!r}; there are: {', '.join(spec.name for spec in specs) or 'none'} (in {defs_root()}).")
    return chosen


@contextmanager
def bars(json: bool) -> Iterator[None]:
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


def finish(done: Any, json: bool) -> None:
    report(done.as_dict(), done.lines(), json)
    if not done.is_success:
        raise typer.Exit(1)


def report(value: Any, lines: list[str], json: bool) -> None:
    if json:
        typer.echo(json_.dumps(value, indent=2, default=str, ensure_ascii=False))
    else:
        for line in lines:
            typer.echo(line)


def grid(rows: list[dict[str, Any]]) -> list[str]:
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


def leave(code: object) -> NoReturn:
    """End the process in the interpreter's own order (threads, exit functions, streams), but without taking the interpreter apart.

    A native thread that asks for Python's lock meanwhile, as Arrow's readers do now and then, would abort it: the command has done its work
    and ends with -6 all the same (https://github.com/apache/arrow/issues/34314).
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    status = code if isinstance(code, int) else 0 if code is None else 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads it any more
            status = status or 1
    os._exit(status)


def stop(code: int, sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise SystemExit(code)
