"""What decisions are worth in programmes whose truth is known: python benchmarks/programme.py [--seeds 20] [--batches 4] [--size 200]

Simulated people of known skill, some of them poor; then with a pair that copies; then all of them misled by a wrong guideline, with gold
that shows it and with gold that doesn't. Each is run with many seeds. For each: in how many runs what was accepted by itself reached the
target, how right it was, how many answers a label took beside fixed overlaps by majority vote, what our own people settled and audited, how
many batches were to be paid, and in how many runs the audit's interval held the true share of errors.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from dataops_assets.simulate import programme
from dataops_assets.spec import ProjectSpec

MISLED = {"boat": "round"}
FIXED = 5000  # pictures answered by a fixed overlap: enough for a tenth of a percent or two
PROGRAMMES = {
    "known skill": (programme.CREW, True),
    "a colluding pair": ((*programme.GOOD, *programme.COLLUDING), True),
    "wrong guideline, gold shows it": (programme.misled(programme.CREW, MISLED), True),
    "wrong guideline, gold doesn't": (programme.misled(programme.CREW, MISLED), False),
}


def project(method: str = "auto", target: float = 0.95) -> ProjectSpec:
    """One question with four answers; two answers to begin with, and two rounds of one more."""
    values = {value: f"{value}." for value in ("round", "v_neck", "square", "boat")}
    return ProjectSpec.model_validate({
        "name": "made_up",
        "brief": {
            "goal": "Tell necklines.", "requester": "nobody", "budget": 1e6, "start": "2026-01-01", "deadline": "2027-01-01", "volume": {},
            "accuracy_target": target,
        },
        "sources": {"vendors": [{"name": "shop"}]},
        "ontology": {"version": "1", "attributes": [{"name": "neckline", "values": values}]},
        "labeling": {"vendors": [{"name": "acme", "price_per_label": 0.04}, {"name": "us", "internal": True}], "overlap": 2,
                     "worker_accuracy": 0.85},
        "gates": {"min_gold_accuracy": 0.5},
        "quality": {"method": method, "adjudication_price": 0.2},
    })  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("batches", 4), ("size", 200), ("seeds", 20)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--method", default="one_coin")
    given = parser.parse_args()
    spec = project(given.method)
    target = spec.brief.accuracy_target
    print(f"target {target:.0%} at {spec.brief.confidence:.0%}; method {given.method}; {given.seeds} runs, each of ", end="")
    print(f"{given.batches} batches of {given.size} pictures")
    heads = ("reached", "right", "least", "accepted", "answers", "settled", "audited", "paid", "interval holds")
    print(f"{'programme':32s}" + "".join(f"{head:>{max(9, len(head) + 2)}s}" for head in heads))
    for name, (crew, shows) in PROGRAMMES.items():
        n_gold = max(20, given.size // 7)
        runs = [programme.run(spec, crew, given.batches, given.size, seed, n_gold, shows) for seed in range(given.seeds)]
        print(f"{name:32s}" + row(runs, target), flush=True)
        shares = {overlap: programme.fixed(spec, crew, FIXED, 0, overlap) for overlap in (2, 3, 4, 5, 7)}
        least = next((str(overlap) for overlap, share in shares.items() if share >= target), "none of them")
        print("    majority of a fixed overlap: " + ", ".join(f"{overlap}: {share:.1%}" for overlap, share in shares.items()), end="")
        print(f"; {least} reaches the target")


def row(runs: Sequence[programme.Outcome], target: float) -> str:
    """What became of the runs of a programme, as a row of the table; where nothing was accepted, there is nothing to be right."""
    automatic = [run.delivered - run.settled for run in runs]
    right = [run.automatic_accuracy for run, accepted in zip(runs, automatic, strict=True) if accepted]
    verdicts = [verdict.pay == "pay" for run in runs for verdict in run.verdicts]
    holds = sum(run.estimate[1] <= 1 - run.automatic_accuracy <= run.estimate[2] for run in runs)
    reached = f"{sum(share >= target for share in right)}/{len(right)}"
    return (
        f"{reached:>9s}{np.mean(right) if right else np.nan:9.1%}{min(right, default=np.nan):9.1%}{np.mean(automatic):10,.0f}"
        f"{np.mean([run.answers_each for run in runs]):9.2f}{np.mean([run.settled for run in runs]):9,.0f}"
        f"{np.mean([run.audited for run in runs]):9,.0f}{f'{sum(verdicts)}/{len(verdicts)}':>9s}{f'{holds}/{len(runs)}':>16s}"
    )


if __name__ == "__main__":
    main()
