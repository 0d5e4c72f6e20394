"""`dataops demo`: the whole flow on drawn dresses, with simulated people where people are needed.

Each step looks at what is there first, so a demo that was stopped carries on when it is run again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets import lineage, runs
from dataops_assets.operations import Done, Operations
from dataops_assets.reports import status
from dataops_assets.simulate import vendors, workers
from dataops_assets.store import RELEASING

PROJECT = "dresses"
SEED = 7
PRACTICE = 4  # practice tasks in the training pack
PERSON = "demo@example.org"
START = datetime(2026, 11, 2, 9, tzinfo=UTC)
DELIVERIES = (
    # vendor, drop, pictures, what it is
    ("atelier", "spring-collection", 96, "good"),
    ("bazaar", "lot-1", 24, "bad"),  # three quarters unusable: its gate says no
    ("bazaar", "lot-2.zip", 48, "good"),
)
CANDIDATES = {"labelworks": workers.GOOD, "pixelcrew": workers.CHEAP}  # whom a vendor lets take the test


@dataclass
class Outcome:
    """What happened, as the summary tells it."""

    is_complete: bool
    seconds: float
    stages: Sequence[dict[str, Any]]
    gates: dict[str, int]
    held: Sequence[dict[str, Any]]
    cleaning: dict[str, int]
    accuracy: dict[str, float]
    accuracy_target: float
    labels_checked: int
    release: dict[str, Any]
    spent: str
    look: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def lines(self) -> list[str]:
        mean = self.accuracy.get("all", 0.0)
        verdict = "reached" if mean >= self.accuracy_target else "missed"
        return [
            "",
            f"The demo took {self.seconds:.0f} s. Pictures are drawn, workers are simulated; everything else is the real platform.",
            "",
            "Stage              released       rows",
            *(f"  {row['stage']:<16} {row['released']:>8} {row['rows']:>10,}" for row in self.stages if row["partitions"]),
            "",
            "Gates              " + ", ".join(f"{count} {outcome}" for outcome, count in self.gates.items()),
            *(f"  held back        {row['asset']} of {row['partition']}: {row['why']}" for row in self.held),
            "Cleaning           " + ", ".join(f"{count} {reason}" for reason, count in self.cleaning.items()),
            "",
            f"Label accuracy     {mean:.1%} of {self.labels_checked:,} delivered labels are right, by the known truth "
            f"(target {self.accuracy_target:.0%}: {verdict})",
            *(f"  {name:<16} {value:.1%}" for name, value in self.accuracy.items() if name != "all"),
            "",
            "Release            " + ", ".join(f"{value} {name}" for name, value in self.release.items()),
            f"Cost               {self.spent}",
            "",
            "Where to look next",
            *(f"  {what:<16} {where}" for what, where in self.look.items()),
        ]


def run(work: Operations, print_: Callable[[str], None]) -> Outcome:
    """Run or carry on the demo in a home."""
    started = time.monotonic()
    spec = work.specs[PROJECT]
    store = work.store
    home = store.home
    teller = _Teller(print_)
    truth = _Truth(home.root / "demo" / "truth.json")

    with teller.step("Two vendors deliver dresses, some of them spoilt"):
        for number, (vendor, drop, pictures, quality) in enumerate(DELIVERIES):
            folder = home.landing(PROJECT) / vendor / drop
            if not folder.exists():
                make = vendors.bad_drop if quality == "bad" else vendors.deliver
                truth.add(make(spec, folder, vendor, pictures, SEED + number), [attribute.name for attribute in spec.ontology.attributes])
    with teller.step("Receive, clean and augment them; a gate after each"):
        teller.tell(work.run(PROJECT))
    with teller.step("Label a pilot ourselves; approved, it becomes hidden gold"):
        if not _batches(work, "pilot"):
            teller.tell(work.plan(PROJECT, "pilot"))
        _label(work, truth, teller, "pilot")
        _approve(work, teller, "pilot")
    with teller.step("Put pictures from the pilot into the guidelines, and make a training pack; what they show is hidden gold no more"):
        if not list(home.requests(PROJECT).glob("training-*")):
            teller.tell(work.guidelines(PROJECT))
            teller.tell(work.training_pack(PROJECT, PRACTICE))
    with teller.step("Two labelling vendors take the same test: production is for those that pass on the hidden gold"):
        candidates = [vendor.name for vendor in spec.labeling.vendors if not vendor.internal]
        for vendor in candidates[len(_batches(work, "qualification")) :]:
            teller.tell(work.plan(PROJECT, "qualification", vendor=vendor))
        _label(work, truth, teller, "qualification")
    with teller.step("Send production batches to simulated workers: four good, one hasty, one spammer; a small one first"):
        while True:
            _label(work, truth, teller, "production")
            done = work.plan(PROJECT, "production")
            teller.tell(done)
            if not done.steps or not done.is_success:
                break
    with teller.step("One more label where it is worth its price, without the spammer; our own people settle the rest and audit a sample"):
        for kind in ("rework",) * spec.labeling.rework_rounds + ("adjudication",):
            teller.tell(work.plan(PROJECT, kind))
            _label(work, truth, teller, kind)
    with teller.step("Approve, and deliver a release"):
        for kind in ("production", "rework", "adjudication"):
            _approve(work, teller, kind)
        teller.tell(work.guidelines(PROJECT))  # with what was mixed up by then
        if not store.released("training_export", PROJECT):
            teller.tell(work.release(PROJECT))
        runs.run_shared(work.instance, "program_reports")
    return _outcome(work, truth, time.monotonic() - started)


def _label(work: Operations, truth: _Truth, teller: _Teller, kind: str) -> None:
    """Answer every sent batch of a kind that nobody has answered yet."""
    spec, store = work.specs[PROJECT], work.store
    values = {attribute.name: list(attribute.values) for attribute in spec.ontology.attributes}
    crews = {"production": workers.SPAMMED_CREW, "rework": workers.CREW}
    for number, batch in enumerate(_batches(work, kind)):
        if batch in store.released("label_quality", PROJECT):
            continue
        tasks = store.load("label_tasks", PROJECT, batch).frame
        vendor = str(tasks["vendor"].iloc[0])
        crew = crews.get(kind, CANDIDATES.get(vendor, workers.EXPERTS))
        known = {task: truth.of(image) for task, image in zip(tasks["task_id"], tasks["image_id"], strict=True)}
        at = START + timedelta(days=number + 1)
        text = workers.label(store.home.requests(PROJECT) / batch, known, crew, SEED, at, values)
        file = store.home.root / "demo" / f"{batch}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        teller.tell(work.import_labels(PROJECT, batch, file, vendor))


def _approve(work: Operations, teller: _Teller, kind: str) -> None:
    for batch in _batches(work, kind):
        if batch not in work.store.released("label_quality", PROJECT) or batch in work.store.released("approved_labels", PROJECT):
            continue
        teller.tell(work.approve(PROJECT, batch, PERSON))


def _batches(work: Operations, kind: str) -> list[str]:
    return sorted(name for name in work.store.released("label_tasks", PROJECT) if name.startswith(f"{kind}-"))


class _Truth:
    """What the drawn pictures really show: image id -> attribute -> value. Lies outside landing; the platform never reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}

    def add(self, rows: pd.DataFrame, attributes: Sequence[str]) -> None:
        for row in rows.to_dict("records"):
            self.known.setdefault(str(row["image_id"]), {name: str(row[name]) for name in attributes})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.known, sort_keys=True))

    def of(self, image_id: str) -> dict[str, str]:
        return self.known.get(image_id, {})


class _Teller:
    """One line a step, and under it what was run."""

    def __init__(self, print_: Callable[[str], None]) -> None:
        self.print = print_

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        self.print(f"\n{what}")
        yield

    def tell(self, done: Done) -> None:
        for line in done.lines():
            self.print(f"  {line}")


def _outcome(work: Operations, truth: _Truth, seconds: float) -> Outcome:
    store, spec = work.store, work.specs[PROJECT]
    now = status.of(store, spec)
    gates = store.gates.rows()
    gates = gates[gates["project"] == PROJECT]
    cleaned, _ = store.load_all("cleaned_set", PROJECT)
    reasons = cleaned["reason"].where(cleaned["status"] != "kept", "kept").value_counts()
    export, _ = store.load_all("training_export", PROJECT)
    accuracy, checked = _accuracy(export, truth)
    name = str(export["release"].iloc[0]) if len(export) else "none"
    problems = lineage.verify(store, PROJECT, None)
    release = {
        f"images in {store.home.exports(PROJECT) / name}": len(export),
        **{split: int((export["split"] == split).sum()) for split in ("train", "val", "test")},
        "problems found by `dataops audit verify`": len(problems),
    }
    image = str(export["image_id"].iloc[0])[:12] if len(export) else ""
    root = _home_argument(store.home.root)
    look = {
        "the UI": f"make ui, then http://127.0.0.1:3000 (assets of {PROJECT}; the failed gate is red)",
        "one row's origin": f"dataops audit trace {image}{root}",
        "what stands where": f"dataops status{root}",
        "the dataset card": str(store.home.exports(PROJECT) / name / "README.md"),
        "a vendor's work": str(store.home.requests(PROJECT) / "production-001"),
        "pay for a batch?": str(store.home.reports(PROJECT) / "batches" / "production-001.html"),
        "the guidelines": str(store.home.reports(PROJECT) / "guidelines" / "-.html"),
        "who may label": str(store.home.reports(PROJECT) / "vendors.html"),
        "the brief": str(store.home.reports(PROJECT) / "brief.html"),
        "report pages": str(store.home.reports(PROJECT)),
    }
    return Outcome(
        is_complete=bool(len(export)) and not problems,
        seconds=round(seconds, 1),
        stages=now.stages,
        gates={str(outcome): int(count) for outcome, count in gates["outcome"].value_counts().items()},
        held=[{**row, "why": str(row["why"]).replace("|", ", ")} for row in now.held if row["outcome"] not in RELEASING],
        cleaning={str(reason): int(count) for reason, count in reasons.items()},
        accuracy=accuracy,
        accuracy_target=spec.brief.accuracy_target,
        labels_checked=checked,
        release=release,
        spent=f"{now.spent:,.2f} of {now.budget:,.2f} {now.currency}",
        look=look,
    )


def _home_argument(root: Path) -> str:
    return "" if root == Path("var").absolute() else f" --home {root}"


def _accuracy(export: pd.DataFrame, truth: _Truth) -> tuple[dict[str, float], int]:
    """Share of delivered source labels that are right, by attribute and in all, and how many were checked."""
    pairs = [
        (attribute, value == truth.of(str(row["image_id"])).get(attribute))
        for row in export[export["kind"] == "source"].to_dict("records")
        for attribute, value in json.loads(row["labels"]).items()
    ]
    frame = pd.DataFrame(pairs, columns=["attribute", "is_right"])
    shares = {str(name): round(float(share), 4) for name, share in frame.groupby("attribute", sort=False)["is_right"].mean().items()}
    return {"all": round(float(frame["is_right"].mean()), 4) if len(frame) else 0.0, **shares}, len(frame)
