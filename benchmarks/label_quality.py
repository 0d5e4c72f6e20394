"""A large batch through all of label_quality: python benchmarks/label_quality.py [--answers 1000000] [--boxes] [--flow]

Made-up answers of 60 people, three to a question; seconds and peak memory of `stages.label_quality.assess`, against 60 s and 2 GiB. With
`--flow` as the platform does it: the batch and one before it are read from the store, assessed, written, and pass the gate, which writes
the batch's page; the parts by themselves, too. With `--boxes` every answer is one of the boxes that three people drew round two objects
a picture, so that there is one attribute.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from dataops_assets import gates, manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import labels as flow
from dataops_assets.home import Home
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import label_quality
from dataops_assets.store import Store, now

OVERLAP, WORKERS, VALUES, OBJECTS = 3, 60, 6, 2
SECONDS, GIB = 60.0, 2.0


def project(n_attributes: int, kind: str = "single") -> ProjectSpec:
    values = {f"v{number}": "A value." for number in range(VALUES)}
    attributes = [{"name": f"a{number}", "kind": kind, "values": values} for number in range(n_attributes)]
    return ProjectSpec.model_validate({
        "name": "large",
        "brief": {"goal": "g", "requester": "r", "budget": 1e6, "start": "2026-01-01", "deadline": "2027-01-01", "volume": {}},
        "sources": {"vendors": [{"name": "shop"}]},
        "ontology": {"version": "1", "attributes": attributes},
        "labeling": {"vendors": [{"name": "acme", "price_per_label": 0.04}, {"name": "us", "internal": True}], "overlap": OVERLAP},
    })  # fmt: skip


def made(spec: ProjectSpec, n_answers: int, gold_share: float) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tasks, answers and gold."""
    names = [attribute.name for attribute in spec.ontology.attributes]
    n = n_answers // (OVERLAP * len(names))
    rng = np.random.default_rng(0)
    ids = np.array([f"{number:064x}" for number in range(n)], dtype=object)
    task_ids = np.array([f"t{number:015x}" for number in range(n)], dtype=object)
    is_gold = np.arange(n) < gold_share * n
    tasks = pd.DataFrame({"task_id": task_ids, "image_id": ids, "is_gold": is_gold}).assign(
        batch_id="production-001", kind="production", vendor="acme", overlap=OVERLAP, attributes="|".join(names), round=0,
        ontology_version="1",
    )  # fmt: skip
    skill = rng.beta(18, 3, WORKERS)
    people = np.array([f"w-{number:016x}" for number in range(WORKERS)], dtype=object)
    labels = np.array([f"v{number}" for number in range(VALUES)], dtype=object)
    frames, gold = [], []
    for name in names:
        truth = rng.integers(VALUES, size=n)
        of = np.repeat(np.arange(n), OVERLAP)
        who = (np.repeat(rng.integers(WORKERS, size=n), OVERLAP) + np.tile(np.arange(OVERLAP), n) * 7) % WORKERS
        is_right = rng.random(len(of)) < skill[who]
        given = np.where(is_right, truth[of], (truth[of] + rng.integers(1, VALUES, size=len(of))) % VALUES)
        frames.append(
            pd.DataFrame({"task_id": task_ids[of], "image_id": ids[of], "worker_id": people[who], "label": labels[given]}).assign(
                attribute=name
            )
        )
        gold.append(pd.DataFrame({"image_id": ids[is_gold], "label": labels[truth[is_gold]]}).assign(attribute=name))
    answers = pd.concat(frames, ignore_index=True).assign(status="accepted", vendor="acme", leaves_out=None, ontology_version="1")
    return tasks, answers, pd.concat(gold, ignore_index=True)


def drawn(spec: ProjectSpec, n_rows: int, gold_share: float) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tasks, boxes and gold: what `made` has of one attribute, each answer as the labels of two objects, drawn some pixels off.

    One box in 20 is left out.
    """
    tasks, answers, gold = made(spec, n_rows // OBJECTS, gold_share)
    rng = np.random.default_rng(1)
    for_each = [frame.loc[frame.index.repeat(OBJECTS)].reset_index(drop=True) for frame in (answers, gold)]
    for rows in for_each:
        number = np.arange(len(rows)) % OBJECTS
        for side, value in (("x", 10 + 100 * number), ("y", 20), ("w", 60), ("h", 80)):
            rows[side] = value + (rng.normal(0, 4, len(rows)) if rows is for_each[0] else 0.0)
        rows["object_id"] = number.astype(str)
    answers, gold = for_each
    return tasks, answers[rng.random(len(answers)) > 0.05], gold


def keep(home: str, spec: ProjectSpec, given: argparse.Namespace) -> tuple[int, int]:
    """Enter the batch, and an earlier one of a tenth of its size by the same people; returns how many answers and how much gold."""
    store = Store(Home.at(Path(home)))
    tasks, answers, gold = (drawn if given.boxes else made)(spec, given.answers, given.gold)
    known = gold.assign(batch_id="pilot-001", kind="pilot", task_id=gold["image_id"], n_labels=2)
    if "object_id" not in known:
        known = known.assign(object_id="")
    released(store, spec, "approved_labels", "pilot-001", known)
    few = set(tasks["task_id"].head(len(tasks) // 10))
    for batch, some in (("production-001", few), ("production-002", None)):
        rows, rest = (frame if some is None else frame[frame["task_id"].isin(some)] for frame in (tasks, answers))
        if some is not None:
            rows, rest = (frame.assign(task_id="e" + frame["task_id"], image_id="e" + frame["image_id"].str[1:]) for frame in (rows, rest))
        rows, rest = rows.assign(batch_id=batch), rest.assign(batch_id=batch, row_id=[f"{place:07d}" for place in range(len(rest))])
        released(store, spec, "batch_plans", batch, rows)
        released(store, spec, "label_tasks", batch, rows)
        released(store, spec, "labeled_batches", batch, rest, {"label_tasks": {batch: store.released("label_tasks", spec.name)[batch]}})
    return len(answers), len(gold)


def through_flow(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """The batch's `label_quality`, with the earlier one weighed with it; prints the seconds of processor of each part."""
    steps = [("", time.process_time())]

    def done(what: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        steps.append((what, time.process_time()))
        print(f"  {what}: {steps[-1][1] - steps[-2][1]:.1f} s of processor, peak so far {peak:.2f} GiB")

    labeled, planned = (store.load(asset, spec.name, "production-002") for asset in ("labeled_batches", "label_tasks"))
    done("reading")
    made = flow.label_quality(store, spec, labeled, planned)
    del labeled, planned
    done("earlier answers, and assessing")
    store.write(made)
    done("writing")
    verdict = gates.pass_through(store, spec, "label_quality", "production-002", made.version, run_id="benchmark")
    done(f"gate and pages (it says {verdict.outcome})")
    return made.frame


def released(
    store: Store, spec: ProjectSpec, asset: str, partition: str, frame: pd.DataFrame, inputs: manifest.Inputs | None = None
) -> None:
    """Write a frame as a version that its gate let through."""
    held = [column for column in CONTRACTS[asset].columns if column in frame]
    made = manifest.Manifest(asset, spec.name, partition, manifest.conform(frame[held], CONTRACTS[asset]), inputs or {})
    store.write(made)
    row = {"project": spec.name, "asset": asset, "partition": partition, "version": made.version, "outcome": "pass", "by": "benchmark"}
    store.gates.append(lambda rows: [row | {"at": now(), "inputs": "{}", "files": "{}"}])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--attributes", type=int, default=6)
    parser.add_argument("--gold", type=float, default=0.02)
    parser.add_argument("--boxes", action="store_true")
    parser.add_argument("--flow", action="store_true")
    given = parser.parse_args()
    spec = project(1, "box") if given.boxes else project(given.attributes)
    with tempfile.TemporaryDirectory() as folder:
        home = str(Path(folder) / "home")
        if given.flow:  # entered by another process, so that its memory isn't counted
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
                n_answers, n_gold = other.submit(keep, home, spec, given).result()
        else:
            tasks, answers, gold = (drawn if given.boxes else made)(spec, given.answers, given.gold)
            n_answers, n_gold = len(answers), len(gold)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        started, used = time.monotonic(), time.process_time()
        if given.flow:
            quality = through_flow(Store(Home.at(Path(home))), spec)
        else:
            quality = label_quality.assess(answers, tasks, gold, spec, key=b"benchmark")
        seconds, cpu = time.monotonic() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{n_answers:,} answers to {len(quality):,} questions of {len(spec.ontology.attributes)} attributes, {n_gold:,} of them gold")
    print(f"{seconds:.1f} s ({cpu:.1f} s of processor), {SECONDS / seconds:.2f} x as fast as {SECONDS:.0f} s")
    print(f"peak {peak:.2f} GiB ({before:.2f} before), {GIB / peak:.2f} x below {GIB:.0f} GiB")
    print(quality["decision"].value_counts().to_string())


if __name__ == "__main__":
    main()
