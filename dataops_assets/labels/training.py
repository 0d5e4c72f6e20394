"""A training pack: the guidelines, and practice tasks with their answers and why they are right."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path

import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.labels import handbook
from dataops_assets.labels.questions import NO_OBJECT
from dataops_assets.labels.request import write_request
from dataops_assets.ontology import NOT_APPLICABLE
from dataops_assets.spec import ProjectSpec

README = """{title} of project {project}, {where}

1. Read guidelines.html.
2. Answer the practice tasks in tasks.csv, each person alone, with the tool of your choice (label_config.xml and
   label_studio_tasks.json are for Label Studio; returns_template.csv is a sheet to fill in).
3. Only then compare with answers.html, or answers.csv: it says what is right, why, and what others answered instead.

Nothing is returned. Ask your contact about every answer that you don't understand. Don't pass the pictures on, and keep no copies.
checksums.txt holds the sha256 of every file.
"""
COLUMNS = ["item_id", "attribute", "label", "x", "y", "w", "h", "why"]


def practice(
    whole: pd.DataFrame, practised: Collection[str], hidden: Collection[str], busy: Collection[str], shown: Collection[str], n: int
) -> list[str]:
    """`n` gold pictures to practise on: practised ones first, then others that are known, then hidden ones; more adds to fewer.

    Args:
        whole: One row a picture (`label_tasks.whole_gold`).
        practised: Pictures that are in a pack already.
        hidden: Pictures whose answers nobody outside knows.
        busy: Those of them that are hidden in batches that aren't judged yet; they stay hidden.
        shown: Pictures that the guidelines show with their answers: no practice.
        n: How many.
    """
    rows = whole[~whole["image_id"].isin(list(busy)) & ~whole["image_id"].isin(set(shown) - set(practised))]
    order = rows.assign(_new=~rows["image_id"].isin(list(practised)), _hidden=rows["image_id"].isin(list(hidden)))
    return list(order.sort_values(["_new", "_hidden", "image_id"])["image_id"].head(n))


def batch(answers: pd.DataFrame, sources: pd.DataFrame, spec: ProjectSpec, name: str, vendor: str) -> pd.DataFrame:
    """`batch_plans` rows that ask what is answered, and nothing is paid for."""
    order = {attribute.name: place for place, attribute in enumerate(spec.ontology.attributes)}
    known = answers[answers["attribute"].isin(order.keys())].drop_duplicates(["image_id", "attribute"])
    known = known.assign(_place=known["attribute"].map(order)).sort_values(["image_id", "_place"])
    rows = known.groupby("image_id", as_index=False).agg(attributes=("attribute", "|".join))
    rows["sha256"] = rows["image_id"].map(sources.drop_duplicates("image_id").set_index("image_id")["sha256"])
    return rows.assign(
        batch_id=name, kind="qualification", vendor=vendor, is_gold=False, overlap=1, round=0, parent_batch_id=None,
        amount=0.0, currency=spec.brief.currency,
    )  # fmt: skip


def boxes(answers: pd.DataFrame) -> dict[str, tuple[tuple[float, ...], ...]]:
    """image_id -> boxes to draw, x, y, w, h."""
    drawn = answers[answers["x"].notna()]
    return {
        str(image): tuple(tuple(map(float, box)) for box in rows[["x", "y", "w", "h"]].itertuples(index=False, name=None))
        for image, rows in drawn.groupby("image_id")
    }


def write(
    tasks: pd.DataFrame,
    answers: pd.DataFrame,
    spec: ProjectSpec,
    folder: Path,
    blobs: Blobs,
    pictures: Mapping[str, bytes],
    edition: handbook.Edition = handbook.PLAIN,
    mixed: pd.DataFrame | None = None,
    title: str = "Training pack",
) -> None:
    """Write the pack: a request folder like any other, and beside its tasks `answers.csv` and `answers.html`.

    Args:
        tasks: `label_tasks` rows of the practice pictures.
        answers: image_id, attribute, label, object_id, x, y, w, h of what is right; `why`, where there is more to say than the definition.
        spec: The project.
        folder: Where it shall lie.
        blobs: Where the pictures are.
        pictures: task_id -> a small JPEG, for the page of answers.
        edition: The guidelines' examples.
        mixed: `examples.mixed_up` rows.
        title: Of the page of answers.
    """
    rows = explained(tasks, answers, spec, mixed)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows[COLUMNS].itertuples(index=False, name=None)])
    where = f"ontology version {spec.ontology.version}" + (f", guidelines edition {edition.number}" if edition.number else "")
    more = {
        "answers.csv": text.getvalue(),
        "answers.html": _page(rows, f"{title}: {spec.name}", where, pictures),
        "README.txt": README.format(title=title, project=spec.name, where=where),
    }
    write_request(tasks, spec, folder, blobs, edition, more)


def explained(tasks: pd.DataFrame, answers: pd.DataFrame, spec: ProjectSpec, mixed: pd.DataFrame | None = None) -> pd.DataFrame:
    """A row an answer (a box each where boxes are asked for): COLUMNS and `file`, in the order of tasks and questions."""
    asked = {attribute.name: place for place, attribute in enumerate(spec.ontology.attributes)}
    rows = tasks[["task_id", "image_id", "file"]].merge(answers[answers["attribute"].isin(asked.keys())], on="image_id")
    instead = {} if mixed is None else dict(list(mixed.groupby(["image_id", "attribute"])))
    extra = rows["why"] if "why" in rows.columns else pd.Series(None, index=rows.index, dtype="object")
    rows["why"] = [
        " ".join(filter(None, (_why(name, str(label), spec), _instead(instead.get((image, name))), more if isinstance(more, str) else "")))
        for image, name, label, more in zip(rows["image_id"], rows["attribute"], rows["label"], extra, strict=True)
    ]
    rows = rows.assign(_place=rows["attribute"].map(asked)).sort_values(["task_id", "_place", "object_id"], ignore_index=True)
    sides = ["x", "y", "w", "h"]
    rows[sides] = rows[sides].astype("object").where(rows[sides].notna(), "")
    rows["label"] = rows["label"].where(rows["label"] != NOT_APPLICABLE, "")
    return rows.rename(columns={"task_id": "item_id"})[[*COLUMNS, "file"]]


def _why(name: str, label: str, spec: ProjectSpec) -> str:
    attribute = spec.ontology.attribute(name)
    if attribute is None or label == NOT_APPLICABLE:
        return "Not asked here, or left open: no row."
    if label == NO_OBJECT and label not in attribute.values:
        return "There is nothing to box."
    told = []
    for value in label.split("|"):
        definition = attribute.definitions.get(value, "")
        told.append(definition if len(label.split("|")) == 1 else f"{value}: {definition}")
        told += attribute.details[value].edge_cases if value in attribute.details else ()
    return " ".join(told)


def _instead(mixed: pd.DataFrame | None) -> str:
    if mixed is None or mixed.empty:
        return ""
    parts = [f"{' and '.join(given.split('|'))} ({n})" for given, n in zip(mixed["given"], mixed["n"], strict=True)]
    return f"Others answered {', '.join(parts)}."


def _page(rows: pd.DataFrame, title: str, where: str, pictures: Mapping[str, bytes]) -> str:
    parts = [handbook.head(title), f'<p class="where">{escape(where[0].upper() + where[1:])}. Answer the tasks before you read on.</p>']
    for number, ((item, file), mine) in enumerate(rows.groupby(["item_id", "file"], sort=True), start=1):
        shown = mine[["attribute", "label", "why"]].astype(str).drop_duplicates()
        cells = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(' and '.join(label.split('|')) or 'no answer')}</td><td>{escape(why)}</td></tr>"
            for name, label, why in shown.itertuples(index=False, name=None)
        )
        jpeg = pictures.get(str(item))
        picture = handbook.figure(jpeg, escape(str(file))) if jpeg else f"<p>{escape(str(file))}</p>"
        parts.append(f"<h2>Task {number}</h2>{picture}<table><tr><th>question</th><th>answer</th><th>why</th></tr>{cells}</table>")
    return "\n".join([*parts, "</body></html>\n"])
