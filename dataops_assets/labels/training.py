"""A vendor's training pack: the guidelines, and practice tasks with their answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path

import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.labels.request import write_request
from dataops_assets.ontology import NOT_APPLICABLE
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import guidelines

README = """Training pack of project {}

Read guidelines.html first. Then answer the practice tasks in tasks.csv, each person alone, with the tool of your choice
(label_config.xml and label_studio_tasks.json are for Label Studio), and only then compare with answers.html or answers.csv.
Nothing is returned. Ask your contact about every answer that you don't understand.
"""


def practice(gold: pd.DataFrame, exposed: Collection[str], busy: Collection[str], n: int) -> pd.DataFrame:
    """`n` gold pictures to practise on: those shown before, then others in the order of their ids; more adds to fewer.

    Args:
        gold: One row a picture (`label_tasks.whole_gold`).
        exposed: Pictures whose answers were shown before.
        busy: Pictures hidden in batches that aren't back yet; they stay hidden.
        n: How many.
    """
    rows = gold.assign(_new=~gold["image_id"].isin(list(exposed)))
    rows = rows[~(rows["_new"] & rows["image_id"].isin(list(busy)))]
    return rows.sort_values(["_new", "image_id"], ignore_index=True).head(n).drop(columns="_new")


def write(
    tasks: pd.DataFrame,
    gold: pd.DataFrame,
    spec: ProjectSpec,
    folder: Path,
    blobs: Blobs,
    pictures: Mapping[str, bytes],
    page: bytes | None = None,
) -> None:
    """Write the pack: a request folder like any other, and beside its tasks `answers.csv` and `answers.html`.

    Args:
        tasks: `label_tasks` rows of the practice pictures.
        gold: `approved_labels.gold_of` rows: the answers.
        spec: The project.
        folder: Where it shall lie.
        blobs: Where the pictures are.
        pictures: sha256 -> thumbnail, for the page of answers.
        page: The handbook with its pictures.
    """
    answers = _answers(tasks, gold, spec)
    columns = ["item_id", "attribute", "label", "x", "y", "w", "h", "definition"]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *answers[columns].itertuples(index=False, name=None)])
    more = {"answers.csv": text.getvalue(), "answers.html": _page(answers, spec, pictures), "README.txt": README.format(spec.name)}
    write_request(tasks, spec, folder, blobs, page, more)


def _answers(tasks: pd.DataFrame, gold: pd.DataFrame, spec: ProjectSpec) -> pd.DataFrame:
    both = tasks[["task_id", "image_id", "sha256", "file"]].merge(gold, on="image_id")
    definitions = {attribute.name: attribute.definitions for attribute in spec.ontology.attributes}
    both = both[both["attribute"].isin(definitions.keys())]
    both["definition"] = [
        "; ".join(definitions[name].get(value, "") for value in str(label).split("|"))
        if label != NOT_APPLICABLE
        else "Not asked here, or left open: no row."
        for name, label in zip(both["attribute"], both["label"], strict=True)
    ]
    order = {name: place for place, name in enumerate(definitions)}
    both = both.assign(_order=both["attribute"].map(order)).sort_values(["task_id", "_order", "object_id"])
    sides = ["x", "y", "w", "h"]
    both[sides] = both[sides].astype("object").where(both[sides].notna(), "")
    return both.rename(columns={"task_id": "item_id"})


def _page(answers: pd.DataFrame, spec: ProjectSpec, pictures: Mapping[str, bytes]) -> str:
    parts = [guidelines.head(f"Practice answers: {spec.name}"), f"<p>Ontology version {escape(spec.ontology.version)}.</p>"]
    for (item, file, sha256), rows in answers.groupby(["item_id", "file", "sha256"], sort=True):
        cells = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(label)}</td><td>{escape(why)}</td></tr>"
            for name, label, why in rows[["attribute", "label", "definition"]].astype(str).itertuples(index=False, name=None)
        )
        jpeg = pictures.get(str(sha256))
        shown = guidelines.figure(jpeg, str(file)) if jpeg else ""
        parts.append(f"<h2>{escape(str(item))}</h2>{shown}<table><tr><th>question</th><th>answer</th><th>because</th></tr>{cells}</table>")
    return "\n".join([*parts, "</body></html>\n"])
