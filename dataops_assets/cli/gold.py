"""`dataops gold`: the settled answers that batches are measured with."""

from __future__ import annotations

from typing import Annotated

import typer

from dataops_assets.cli.terminal import By, Home, Json, Project, Reason, finish, grid, operations_of, report, specs_of, store_of

gold = typer.Typer(
    help="The settled answers that batches are measured with: where they come from, and what stands against them.", no_args_is_help=True
)

Image = Annotated[str, typer.Argument(help="A gold picture's id, or its beginning.")]
AttributeName = Annotated[str, typer.Argument(metavar="ATTRIBUTE", help="Which of its answers.")]


@gold.command("list")
def gold_list(project: Project, home: Home = None, json: Json = False) -> None:
    """Every gold answer: votes, source batch, how often it was shown, and whether it is active, unconfirmed, disputed or retired."""
    (spec,) = specs_of(project)
    with store_of(home) as store:
        from dataops_assets.flow.gold import registry
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
        "suspicion",
        "reason",
        "by",
    )
    report(rows, grid([{name: row[name][:12] if name == "image_id" else row[name] for name in short} for row in rows]), json)


@gold.command("dispute")
def gold_dispute(
    project: Project, image: Image, attribute: AttributeName, reason: Reason, by: By, home: Home = None, json: Json = False
) -> None:
    """Say that a gold answer is wrong: it measures nobody until it is settled."""
    with operations_of(home, project) as work:
        done = work.gold(project, "dispute", image, attribute, None, reason, by)
    finish(done, json)


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
    with operations_of(home, project) as work:
        done = work.gold(project, "settle", image, attribute, label, reason, by)
    finish(done, json)


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
    with operations_of(home, project) as work:
        done = work.gold(project, "retire", image, attribute, None, reason, by)
    finish(done, json)
