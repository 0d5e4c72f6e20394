"""A large batch through all of label_quality: python benchmarks/label_quality.py [--answers 1000000] [--attributes 6] [--gold]

Made-up answers of 60 people, three to a question; seconds and peak memory of `stages.label_quality.assess`, against 60 s and 2 GiB.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import pandas as pd

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import label_quality

OVERLAP, WORKERS, VALUES = 3, 60, 6
SECONDS, GIB = 60.0, 2.0


def project(n_attributes: int) -> ProjectSpec:
    values = {f"v{number}": "A value." for number in range(VALUES)}
    return ProjectSpec.model_validate({
        "name": "large",
        "brief": {"goal": "g", "requester": "r", "budget": 1e6, "start": "2026-01-01", "deadline": "2027-01-01", "volume": {}},
        "sources": {"vendors": [{"name": "shop"}]},
        "ontology": {"version": "1", "attributes": [{"name": f"a{number}", "values": values} for number in range(n_attributes)]},
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--attributes", type=int, default=6)
    parser.add_argument("--gold", type=float, default=0.02)
    given = parser.parse_args()
    spec = project(given.attributes)
    tasks, answers, gold = made(spec, given.answers, given.gold)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started, used = time.monotonic(), time.process_time()
    quality = label_quality.assess(answers, tasks, gold, spec, key=b"benchmark")
    seconds, cpu = time.monotonic() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(answers):,} answers to {len(quality):,} questions of {given.attributes} attributes, {len(gold):,} of them gold")
    print(f"{seconds:.1f} s ({cpu:.1f} s of processor), {SECONDS / seconds:.2f} x as fast as {SECONDS:.0f} s")
    print(f"peak {peak:.2f} GiB ({before:.2f} with the answers in memory), {GIB / peak:.2f} x below {GIB:.0f} GiB")
    print(quality["decision"].value_counts().to_string())


if __name__ == "__main__":
    main()
