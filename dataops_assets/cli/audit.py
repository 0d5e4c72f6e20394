"""`dataops audit`: where a row came from, and whether the records still hold."""

from __future__ import annotations

from typing import Annotated

import typer

from dataops_assets.cli.terminal import Home, Json, report, stop, store_of

audit = typer.Typer(help="Where a row came from, and whether the records still hold.", no_args_is_help=True)


@audit.command()
def trace(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An image's or a task's id, or its beginning.")],
    project: Annotated[str | None, typer.Option(help="Look in one project only.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Follow one row back to the vendor's file, with every gate it passed."""
    with store_of(home) as store:
        from dataops_assets import lineage

        try:
            found = lineage.trace(store, identifier, project)
        except LookupError as error:
            stop(1, str(error.args[0] if error.args else error))
    report(found.as_dict(), found.lines(), json)


@audit.command()
def verify(
    release: Annotated[str | None, typer.Argument(help="A release. Default: all.")] = None,
    project: Annotated[str | None, typer.Option(help="Look in one project only.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Check the ledgers' chains, the data files that gates judged, and the delivered files' checksums."""
    with store_of(home) as store:
        from dataops_assets import lineage

        problems = lineage.verify(store, project, release)
    report({"is_intact": not problems, "problems": problems}, problems or ["Intact: ledgers, data files and exports."], json)
    if problems:
        raise typer.Exit(1)
