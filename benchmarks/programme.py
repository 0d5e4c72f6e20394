"""What decisions are worth in a programme whose truth is known: python benchmarks/programme.py [--batches 6] [--size 200] [--seeds 2]

Simulated people of known skill, some of them poor; then with a pair that copies; then all of them misled by a wrong guideline, with gold
that shows it and with gold that doesn't. For each: how accurate what was accepted by itself is against the target, how many answers a
label took beside fixed overlaps by majority vote, what our own people settled and audited, how many batches were to be paid.
"""

from __future__ import annotations

import argparse

from dataops_assets.simulate import programme
from dataops_assets.spec import ProjectSpec

MISLED = {"boat": "round"}
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
    for name, value in (("batches", 6), ("size", 200), ("seeds", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--method", default="auto")
    given = parser.parse_args()
    spec = project(given.method)
    target = spec.brief.accuracy_target
    print(f"target {target:.0%} at {spec.brief.confidence:.0%}; {given.batches} batches of {given.size} pictures; method {given.method}")
    print(f"{'programme':32s}", end="")
    print(f"{'accepted':>9s}{'right':>7s}{'all':>7s}{'answers':>9s}{'settled':>9s}{'audited':>9s}{'paid':>6s}  audit says wrong")
    for name, (crew, shows) in PROGRAMMES.items():
        for seed in range(given.seeds):
            found = programme.run(spec, crew, given.batches, given.size, seed, max(20, given.size // 7), shows)
            paid = sum(verdict.pay == "pay" for verdict in found.verdicts)
            share, lower, upper = found.estimate
            print(
                f"{name:32s}{found.delivered - found.settled:9,}"
                f"{found.automatic_accuracy:7.1%}{found.accuracy:7.1%}{found.answers_each:9.2f}"
                f"{found.settled:9,}{found.audited:9,}{paid:4d}/{given.batches}  {share:.1%} ({lower:.1%} to {upper:.1%})",
                flush=True,
            )
        shares = {overlap: programme.fixed(spec, crew, given.batches * given.size, 0, overlap) for overlap in (2, 3, 4, 5, 7)}
        least = next((str(overlap) for overlap, share in shares.items() if share >= target), "none of them")
        print("    majority of a fixed overlap: " + ", ".join(f"{overlap}: {share:.1%}" for overlap, share in shares.items()), end="")
        print(f"; {least} reaches the target")


if __name__ == "__main__":
    main()
