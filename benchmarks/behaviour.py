"""How often honest workers are flagged, and how often those who don't work as asked are, in simulated batches.

Honest people differ in skill, speed and habits, pictures in difficulty, and mistakes go where the right value is easily taken for
another: what makes honest people look alike. Beside them a tenth of the crew, at least one, cheats in one way at a time.

    python benchmarks/behaviour.py [--quick]
"""

from __future__ import annotations

import sys
import time
from collections import Counter

import numpy as np
import pandas as pd

from dataops_assets.labels import behaviour

CREWS = (
    (6, 150, 40, 6),
    (20, 2000, 12, 20),
    (20, 10_000, 3, 20),
    (200, 10_000, 2, 10),
)  # workers, pictures, batches, people who share pictures; the third is the second over five batches
CHEATS = ("too_fast", "same_answer", "copies", "gets_worse", "follows_prelabel", "leaked_gold", "spammer")
EXPECTED = {
    "too_fast": {"too_fast"}, "same_answer": {"same_answer"}, "copies": {"copies"}, "gets_worse": {"gets_worse"},
    "follows_prelabel": {"follows_prelabel"}, "leaked_gold": {"better_on_gold", "fast_on_gold"}, "spammer": {"too_fast", "same_answer"},
}  # fmt: skip
VALUES, ATTRIBUTES, OVERLAP, GOLD = 4, 3, 3, 0.12


def batch(workers: int, pictures: int, seed: int, cheat: str | None, team: int) -> tuple[pd.DataFrame, set[str]]:
    """Answers as `references.compare` has them, and the workers who cheat."""
    rng = np.random.default_rng((seed, workers, pictures))
    who = np.argsort(rng.random((pictures, team)), axis=1)[:, :OVERLAP] + team * rng.integers(0, workers // team, (pictures, 1))
    n_cheats = 0 if cheat is None else max(2 if cheat == "copies" else 1, workers // 10)
    cheats = np.arange(n_cheats - n_cheats % 2 if cheat == "copies" else n_cheats)
    error = rng.beta(2, 14, workers)  # an eighth of the answers wrong, from 2 to 30 %
    speed = np.exp(rng.normal(0, 0.3, workers))
    order = np.argsort(np.argsort(rng.random((pictures, workers)), axis=0), axis=0)  # each one's own order
    gold = rng.random(pictures) < GOLD
    pace = np.exp(rng.normal(0, 0.25, pictures))
    frames = []
    for attribute in range(ATTRIBUTES):
        truth = rng.choice(VALUES, pictures, p=rng.dirichlet([3] * VALUES))
        hard = rng.gamma(1.0, 1.0, pictures)  # most are easy, some are very hard
        taken_for = np.array([rng.choice([other for other in range(VALUES) if other != value]) for value in range(VALUES)])
        habit = rng.integers(0, VALUES, workers)
        prelabel = np.where(rng.random(pictures) < np.clip(0.12 * hard, 0, 0.8), taken_for[truth], truth)
        risk = np.clip(error[None, :] * hard[:, None], 0, 0.9)
        wrong = rng.random((pictures, workers)) < risk
        else_ = np.where(rng.random((pictures, workers)) < 0.6, taken_for[truth][:, None], rng.integers(0, VALUES, (pictures, workers)))
        else_ = np.where(rng.random((pictures, workers)) < 0.1, habit[None, :], else_)
        label = np.where(wrong, else_, truth[:, None])
        seconds = 6 * speed[None, :] * pace[:, None] * np.exp(rng.normal(0, 0.5, (pictures, workers)))
        for worker in cheats:
            if cheat in ("too_fast", "spammer"):
                seconds[:, worker] *= 0.15
            if cheat in ("same_answer", "spammer"):
                label[:, worker] = habit[worker]
            if cheat == "copies" and worker % 2:
                copied = rng.random(pictures) < 0.9
                label[copied, worker] = label[copied, worker - 1]
            if cheat == "gets_worse":
                lost = rng.random(pictures) < 0.4 * order[:, worker] / pictures
                label[lost, worker] = rng.integers(0, VALUES, int(lost.sum()))
            if cheat == "follows_prelabel":
                label[:, worker] = np.where(rng.random(pictures) < 0.9, prelabel, label[:, worker])
            if cheat == "leaked_gold":  # careless elsewhere, because gold is known
                label[:, worker] = np.where(rng.random(pictures) < 0.3, rng.integers(0, VALUES, pictures), label[:, worker])
                label[gold, worker] = truth[gold]
                seconds[gold, worker] *= 0.35
        rows, columns = np.repeat(np.arange(pictures), who.shape[1]), who.ravel()
        given = label[rows, columns]
        votes = np.zeros((pictures, VALUES))
        np.add.at(votes, (rows, given), 1)
        settled = votes.max(axis=1) * 3 >= 2 * who.shape[1]
        right = np.where(gold, truth, votes.argmax(axis=1))
        known = gold | settled
        frames.append(pd.DataFrame({
            "worker_id": [f"w{number:04d}" for number in columns], "task_id": [f"t{number:06d}" for number in rows],
            "attribute": f"a{attribute}", "label": [f"v{value}" for value in given], "seconds": seconds[rows, columns],
            "submitted_at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(order[rows, columns] * 30 + attribute, unit="s"),
            "right": [f"v{value}" if is_known else None for value, is_known in zip(right[rows], known[rows], strict=True)],
            "on_gold": gold[rows], "is_judged": known[rows], "is_right": known[rows] & (given == right[rows]),
            "prelabel": [f"v{value}" for value in prelabel[rows]],
        }))  # fmt: skip
    answers = pd.concat(frames, ignore_index=True)
    if cheat != "follows_prelabel":
        answers = answers.drop(columns="prelabel") if seed % 2 else answers  # every second batch shows pre-labels
    return answers, {f"w{worker:04d}" for worker in cheats}


def main() -> None:
    quick = "--quick" in sys.argv
    print(f"flags with q <= {behaviour.FALSE_DISCOVERY}; a look is asked for with signs of two groups\n")
    for workers, pictures, batches, team in CREWS:
        repeats = max(1, batches // (6 if quick else 1))
        honest, flagged, looks, struck, took = 0, Counter[str](), 0, 0, 0.0
        for seed in range(repeats * 3):
            answers, _ = batch(workers, pictures, seed, None, team)
            started = time.perf_counter()
            found = behaviour.flags(answers)
            took += time.perf_counter() - started
            honest += answers["worker_id"].nunique()
            flagged.update(found.drop_duplicates(["worker_id", "signal"])["signal"])
            struck += found["worker_id"].nunique()
            looks += len(behaviour.asks_for_a_look(found))
        told = ", ".join(f"{signal} {count}" for signal, count in sorted(flagged.items())) or "none"
        print(f"{workers} workers, {pictures:,} pictures: {struck / honest:.2%} of {honest:,} honest workers flagged ({told}); "
              f"{looks / honest:.2%} asked for a look; {took / repeats / 3:.2f} s a batch of {len(answers):,} answers")  # fmt: skip
        for cheat in CHEATS:
            caught, looked, wrongly, all_, cheaters = 0, 0, 0, 0, 0
            for seed in range(repeats):
                answers, cheats = batch(workers, pictures, 1000 + seed, cheat, team)
                found = behaviour.flags(answers)
                caught += found.loc[found["worker_id"].isin(cheats) & found["signal"].isin(EXPECTED[cheat]), "worker_id"].nunique()
                looked += len(behaviour.asks_for_a_look(found) & cheats)
                wrongly += found.loc[~found["worker_id"].isin(cheats), "worker_id"].nunique()
                cheaters += len(cheats)
                all_ += answers["worker_id"].nunique() - len(cheats)
            print(f"  {cheat:<17} {caught / cheaters:>6.1%} of {cheaters:>3} found, {looked / cheaters:>6.1%} asked for a look; "
                  f"{wrongly / all_:.2%} of the honest beside them flagged")  # fmt: skip
        print()


if __name__ == "__main__":
    main()
