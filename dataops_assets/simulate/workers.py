"""Simulated people: what comes back is made up by this file, not by anybody who looked at a picture.

A crew answers the requests of a batch with a known accuracy, so that a demo or a test can tell whether the platform finds
the good ones. The truth is given by the caller; of the request only `tasks.csv` is read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

COLUMNS = ("item_id", "attribute", "label", "x", "y", "w", "h", "annotator", "submitted_at", "seconds")

# what a person mistakes for what, where it isn't any value alike
CONFUSABLE: dict[str, dict[str, tuple[str, ...]]] = {
    "colour": {
        "red": ("yellow",), "blue": ("black", "green"), "green": ("blue",),
        "black": ("blue",), "white": ("yellow",), "yellow": ("white", "red"),
    },
    "pattern": {"plain": ("striped",), "striped": ("checked",), "dotted": ("checked",), "checked": ("striped",)},
    "sleeve_length": {"sleeveless": ("short",), "short": ("sleeveless", "long"), "long": ("short",)},
    "neckline": {"round": ("square",), "v_neck": ("round",), "square": ("round",)},
    "hemline": {"mini": ("knee",), "knee": ("mini", "maxi"), "maxi": ("knee",)},
    "style": {"casual": ("work",), "evening": ("work",), "work": ("casual",)},
}  # fmt: skip
LIKELY = 0.8  # share of mistakes that go to a confusable value


@dataclass(frozen=True)
class Worker:
    """One simulated person.

    Attributes:
        accuracy: Share of answers that are right; not used by a spammer.
        seconds: Median time for one answer.
        is_spammer: Gives the same answer to a question whatever the picture shows.
    """

    name: str
    accuracy: float
    seconds: float
    is_spammer: bool = False


GOOD = tuple(Worker(f"good-{number}", 0.97, 7.0) for number in (1, 2, 3))
HASTY = Worker("hasty-1", 0.80, 2.0)
SPAMMER = Worker("spammer-1", 0.0, 1.0, is_spammer=True)
CHEAP = tuple(Worker(f"cheap-{number}", 0.82, 4.0) for number in (1, 2, 3))
EXPERTS = (Worker("expert-1", 1.0, 12.0), Worker("expert-2", 1.0, 12.0))
CREW = (*GOOD, Worker("good-4", 0.97, 7.0), HASTY)
SPAMMED_CREW = (*CREW, SPAMMER)


@dataclass(frozen=True)
class Task:
    item_id: str
    attributes: tuple[str, ...]
    answers_wanted: int


def read_tasks(request: Path) -> list[Task]:
    """What a request folder asks for. The one place that knows the columns of its `tasks.csv`."""
    with (request / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        return [Task(row["item_id"], tuple(row["attributes"].split("|")), int(row["answers_wanted"])) for row in csv.DictReader(file)]


def label(
    request: Path,
    truth: Mapping[str, Mapping[str, str]],
    crew: Sequence[Worker],
    seed: int,
    at: datetime,
    values: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Answer a request as a crew would; each item by as many different workers as it wants.

    Args:
        request: Folder with `tasks.csv`.
        truth: item_id -> attribute -> value. Where it is silent the worker guesses. For a box attribute the value is
            `value@x,y,w,h`, several joined by `;`.
        crew: At least as many as any item wants answers.
        seed: The same arguments give the same text.
        at: When the last answer came in; the others came before it. With a time zone.
        values: attribute -> the answers allowed; default: those that `truth` holds.

    Returns:
        CSV text with the columns item_id, attribute, label, x, y, w, h, annotator, submitted_at, seconds.

    Raises:
        ValueError: when an item wants more answers than the crew has people, or `at` has no time zone.
        LookupError: when a question has no known answer at all.
    """
    if at.tzinfo is None:
        raise ValueError("at needs a time zone")
    allowed = {name: list(options) for name, options in (values or _values(truth)).items()}
    rng = np.random.default_rng((seed, 21))
    favourite = {worker.name: {name: options[int(rng.integers(len(options)))] for name, options in allowed.items()} for worker in crew}
    answers: list[tuple[Worker, str, str, str, float]] = []
    for task in read_tasks(request):
        if task.answers_wanted > len(crew):
            raise ValueError(f"item {task.item_id} wants {task.answers_wanted} answers, the crew has {len(crew)}")
        for index in sorted(rng.permutation(len(crew))[: task.answers_wanted]):
            worker = crew[int(index)]
            for attribute in task.attributes:
                if attribute not in allowed:
                    raise LookupError(f"no value of {attribute!r} is known; give values= or a truth that has one")
                right = truth.get(task.item_id, {}).get(attribute)
                given = (
                    favourite[worker.name][attribute] if worker.is_spammer else _answer(worker, attribute, right, allowed[attribute], rng)
                )
                seconds = round(float(worker.seconds * rng.lognormal(0, 0.35)), 1)
                answers.append((worker, task.item_id, attribute, given, seconds))
    return _csv(answers, at)


def _answer(worker: Worker, attribute: str, right: str | None, allowed: Sequence[str], rng: np.random.Generator) -> str:
    if right is None:
        return allowed[int(rng.integers(len(allowed)))]
    if "@" in right:
        return _shaken(right, worker, rng)
    if rng.random() < worker.accuracy:
        return right
    likely = [value for value in CONFUSABLE.get(attribute, {}).get(right, ()) if value in allowed]
    others = [value for value in allowed if value != right]
    pool = likely if likely and rng.random() < LIKELY else others
    return pool[int(rng.integers(len(pool)))] if pool else right


def _shaken(right: str, worker: Worker, rng: np.random.Generator) -> str:
    """Boxes drawn by hand: off by about a tenth of their size for an accuracy of 0.8, by nothing for 1."""
    boxes = []
    for box in right.split(";"):
        value, numbers = box.split("@")
        x, y, w, h = (float(number) for number in numbers.split(","))
        off = rng.normal(0, (1 - worker.accuracy) / 2, 4) * (w, h, w, h)
        x, y, w, h = max(0.0, x + off[0]), max(0.0, y + off[1]), max(1.0, w + off[2]), max(1.0, h + off[3])
        boxes.append(f"{value}@{x:.1f},{y:.1f},{w:.1f},{h:.1f}")
    return ";".join(boxes)


def _csv(answers: Sequence[tuple[Worker, str, str, str, float]], at: datetime) -> str:
    """Rows in the order of the tasks; each worker answers one after the other and all stop at `at`."""
    left: dict[str, float] = {}
    stamps = []
    for worker, *_, seconds in reversed(answers):
        stamps.append(at.astimezone(UTC) - timedelta(seconds=left.get(worker.name, 0.0)))
        left[worker.name] = left.get(worker.name, 0.0) + seconds
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (worker, item_id, attribute, given, seconds), stamp in zip(answers, reversed(stamps), strict=True):
        when = stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for part in given.split(";") if "@" in given else [given]:
            value, _, numbers = part.partition("@")
            box = numbers.split(",") if numbers else [""] * 4
            writer.writerow([item_id, attribute, value, *box, worker.name, when, seconds])
    return text.getvalue()


def _values(truth: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    held: dict[str, set[str]] = {}
    for answers in truth.values():
        for attribute, value in answers.items():
            held.setdefault(attribute, set()).update(part.partition("@")[0] for part in value.split(";"))
    return {name: sorted(options) for name, options in sorted(held.items())}
