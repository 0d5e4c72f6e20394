"""A large batch through all of label_quality: python benchmarks/label_quality.py [--answers 1000000] [--boxes] ...

Made-up answers of 60 people, three to a question; seconds and peak memory of `stages.label_quality.assess`, against 60 s and 2 GiB. With
`--boxes` every answer is one of the boxes that three people drew round two objects a picture, so that there is one attribute.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import pandas as pd

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import label_quality

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--attributes", type=int, default=6)
    parser.add_argument("--gold", type=float, default=0.02)
    parser.add_argument("--boxes", action="store_true")
    given = parser.parse_args()
    spec = project(1, "box") if given.boxes else project(given.attributes)
    tasks, answers, gold = (drawn if given.boxes else made)(spec, given.answers, given.gold)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started, used = time.monotonic(), time.process_time()
    quality = label_quality.assess(answers, tasks, gold, spec, key=b"benchmark")
    seconds, cpu = time.monotonic() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(answers):,} answers to {len(quality):,} questions of {len(spec.ontology.attributes)} attributes, {len(gold):,} of them gold"
    )
    print(f"{seconds:.1f} s ({cpu:.1f} s of processor), {SECONDS / seconds:.2f} x as fast as {SECONDS:.0f} s")
    print(f"peak {peak:.2f} GiB ({before:.2f} with the answers in memory), {GIB / peak:.2f} x below {GIB:.0f} GiB")
    print(quality["decision"].value_counts().to_string())


if __name__ == "__main__":
    main()
