"""The folder a labelling vendor works from: pictures, tasks, the tool's page, guidelines, how to return.

It says nothing of gold: every task looks like every other.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.labels import handbook, label_studio
from dataops_assets.labels.questions import questions
from dataops_assets.labels.tables import FIELDS
from dataops_assets.spec import Attribute, ProjectSpec

CHECKSUMS = "checksums.txt"


def write_request(
    tasks: pd.DataFrame,
    spec: ProjectSpec,
    folder: Path,
    blobs: Blobs,
    edition: handbook.Edition = handbook.PLAIN,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the request folder of one batch; the same tasks give the same bytes, and writing it again changes nothing.

    It appears whole: written beside and renamed. One that says something else (the guidelines changed) is replaced. The guidelines in it
    show no picture of the batch itself.

    Args:
        tasks: `label_tasks` rows of one batch.
        spec: The project.
        folder: Where it shall lie, e.g. `requests/<project>/<batch>`.
        blobs: Where the pictures are.
        edition: The guidelines' examples, and what is new in them.
        more: Further documents, by name; they take the place of those of the same name.

    Raises:
        BlobMissing: when a picture isn't in the store.
    """
    documents = _documents(tasks, spec, edition.without(set(tasks["image_id"]))) | {name: text.encode() for name, text in more.items()}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in documents.items()}
    sums |= dict(zip(tasks["file"], tasks["sha256"], strict=True))
    checksums = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
    if _is_there(folder, checksums, sums):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        (new / "images").mkdir(parents=True)
        for name, sha256 in zip(tasks["file"], tasks["sha256"], strict=True):
            (new / name).write_bytes(blobs.read(sha256))
        for name, data in documents.items():
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_bytes(data)
        (new / CHECKSUMS).write_bytes(checksums)
        if folder.exists():
            old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
            folder.rename(old)
            new.rename(folder)
            shutil.rmtree(old)
        else:
            new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def replace_documents(folder: Path, texts: Mapping[str, str], pictures: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Put other texts, and other pictures of the guidelines, into a request folder that lies there, and their sha256 into its checksums.

    Pictures to label stay as they are; those of the guidelines that aren't among the new ones are deleted.
    """
    path = folder / CHECKSUMS
    lines = {name: sha256 for sha256, _, name in (line.partition("  ") for line in path.read_text("utf-8").splitlines())}
    for name in [name for name in lines if name.startswith(f"{handbook.FOLDER}/") and name not in pictures]:
        (folder / name).unlink(missing_ok=True)
        del lines[name]
    known = {name: text.encode() for name, text in texts.items() if name in lines}
    for name, data in (known | dict(pictures)).items():
        lines[name] = hashlib.sha256(data).hexdigest()
        (folder / name).parent.mkdir(exist_ok=True)
        _replace(folder / name, data)
    _replace(path, "".join(f"{lines[name]}  {name}\n" for name in sorted(lines)).encode())


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    new.write_bytes(data)
    os.replace(new, path)


def _is_there(folder: Path, checksums: bytes, sums: dict[str, str]) -> bool:
    path = folder / CHECKSUMS
    return path.is_file() and path.read_bytes() == checksums and all((folder / name).is_file() for name in sums)


def _documents(tasks: pd.DataFrame, spec: ProjectSpec, edition: handbook.Edition) -> dict[str, bytes]:
    tasks = tasks.sort_values("task_id")
    asked = questions(spec, list(tasks["attributes"]))
    shown = list(zip(tasks["task_id"], tasks["file"], tasks["attributes"], strict=True))
    overlap = [str(int(n)) for n in tasks["overlap"]]
    words = {attribute.name: handbook.ask(attribute) for attribute in asked}
    blank = [[item, name] + [""] * (len(FIELDS) - 2) for item, _, joined in shown for name in joined.split("|")]
    texts = {
        "tasks.csv": _csv(
            [["item_id", "file", "attributes", "answers_wanted"], *([*row, n] for row, n in zip(shown, overlap, strict=True))]
        ),
        "returns_template.csv": _csv([list(FIELDS), *blank]),
        "label_studio_tasks.json": label_studio.tasks(shown),
        "label_config.xml": label_studio.config(_shown(asked, tasks), words, is_whole=tasks["attributes"].nunique() == 1),
        "guidelines.html": handbook.html(spec, asked, edition),
        "guidelines.md": handbook.markdown(spec, asked, edition),
        "README.txt": _readme(spec, str(tasks["batch_id"].iloc[0]), str(tasks["vendor"].iloc[0]), asked, len(tasks)),
    }
    return {name: text.encode() for name, text in texts.items()} | handbook.linked(spec, asked, edition)


def _shown(asked: list[Attribute], tasks: pd.DataFrame) -> list[Attribute]:
    """The questions, each hidden only by what every task that asks it asks as well: rework may ask it alone."""
    lists = [set(joined.split("|")) for joined in tasks["attributes"].unique()]
    return [
        attribute.model_copy(
            update={
                "when": {
                    name: values for name, values in attribute.when.items() if all(name in one for one in lists if attribute.name in one)
                }
            }
        )
        for attribute in asked
    ]


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _other_tools(asked: list[Attribute], has_box: bool) -> list[str]:
    label = f"{asked[0].name}={next(iter(asked[0].values))}"
    boxes_only = ["YOLO and Pascal VOC carry boxes and nothing else."] if has_box else []
    return [
        "With another tool: return what it exports as CVAT for images 1.1, COCO" + (", YOLO, Pascal VOC" if has_box else ""),
        f"or Labelbox NDJSON, as files or zipped. Name its labels <attribute>=<value>, such as {label}, and leave the",
        "pictures' file names as they are.",
        *boxes_only,
        "Such exports don't say who labelled (CVAT's name the task's assignee, Labelbox's everybody): put each person's files",
        "into a folder annotator=<name>, or they all count as one person's.",
    ]


def _readme(spec: ProjectSpec, batch_id: str, vendor: str, asked: list[Attribute], n_tasks: int) -> str:
    has_box = any(attribute.kind == "box" for attribute in asked)
    has_dependent = any(attribute.when for attribute in asked)
    offers = any(attribute.cant_tell for attribute in asked)
    has_multi = any(attribute.kind == "multi" for attribute in asked)
    lines = [
        f"Labelling request {batch_id} of project {spec.name}, for {vendor}",
        "",
        f"{n_tasks} pictures in images/. Read guidelines.html first. checksums.txt holds the sha256 of every file.",
        "tasks.csv says which attributes are asked for each picture and how many answers are wanted;",
        "each of them from another person.",
        "",
        "With Label Studio: new project, label_config.xml as labelling page, import label_studio_tasks.json. It looks for",
        "the pictures in its local storage: start it with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT set to this folder, and add images/ as local storage.",
        "Give each annotator a project of their own: in the free edition everybody sees everybody's answers. Return each",
        "project's export as JSON (not JSON_MIN).",
        "",
        *_other_tools(asked, has_box),
        "",
        "Or return CSV (UTF-8) with the columns of returns_template.csv, one row an answer:",
        "  item_id       as in tasks.csv",
        "  attribute     the question",
        "  label         one of its values, spelt as in the guidelines" + ("; several joined by |" if has_multi else ""),
        *(["                no row where the guidelines say that the question isn't asked"] if has_dependent else []),
    ]
    if has_box:
        lines += [
            "  x,y,w,h       a box in pixels of the picture as sent, from its top left corner; one row a box;",
            "                label `none` and no numbers: looked, and there is nothing to box",
        ]
    else:
        lines += ["  x,y,w,h       empty"]
    lines += [
        "  annotator     the same name for the same person everywhere; we keep only a pseudonym",
        "  submitted_at  ISO 8601, e.g. 2026-11-23T09:30:00Z; UTC where it has no offset",
        "  seconds       time spent on the answer (may be empty)",
        "Where a picture doesn't show enough to answer, "
        + ("the label is cant_tell; leave the row out where the question doesn't offer it." if offers else "leave the row out."),
        "Correct an answer by a row with a later submitted_at.",
        "",
        f"Put the files into returns/{spec.name}/{batch_id}/{vendor}/, and an empty file _COMPLETE when all is there.",
    ]
    return "\n".join(lines) + "\n"
