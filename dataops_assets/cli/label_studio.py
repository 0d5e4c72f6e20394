"""`dataops labelstudio`: the server on this machine, and the batches that are in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dataops_assets.cli.terminal import AnyProject, Home, Json, Project, finish, operations_of, report, stop

labelstudio = typer.Typer(help="Label Studio on this machine, and the batches that are in it.", no_args_is_help=True)


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
    report(told, _studio_lines(told), json)


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
    report(told, _studio_lines(told), json)
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
    with operations_of(home, project) as work:
        done = work.sync_label_studio(project, as_it_is)
    finish(done, json)


@labelstudio.command()
def remove(
    project: Project, batch: Annotated[str, typer.Argument(help="An approved batch.")], home: Home = None, json: Json = False
) -> None:
    """Delete a batch's projects in Label Studio, a pilot's before others answer its gold; our copies stay."""
    with operations_of(home, project) as work:
        done = work.remove_from_label_studio(project, batch)
    finish(done, json)


@contextmanager
def _studio_server(home: Path | None) -> Iterator[tuple[Any, Any]]:
    from dataops_assets.home import Home as Home_
    from dataops_assets.labels import studio_server

    try:
        yield studio_server, Home_.at(home)
    except studio_server.ServerError as error:
        stop(1, str(error))


def _studio_lines(told: dict[str, Any]) -> list[str]:
    if not told["is_up"]:
        return [told["why"][0].upper() + told["why"][1:]]
    lines = [f"Label Studio {told['version']} on {told['url']}", f"Annotators make an account at {told['invitation']}"]
    return lines if told["is_elsewhere"] else [*lines, f"Your account is {told['user']}; its password and token are in {told['secrets']}"]
