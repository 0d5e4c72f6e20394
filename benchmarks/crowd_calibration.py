"""Whether posteriors can be acted on, on real crowd labels: python benchmarks/crowd_calibration.py [FOLDER]

FOLDER (default ../shared/data/crowd) holds the sets of benchmarks/crowd_accuracy.py. For each, with 3 and 5 answers a task and with all:
how alike errors are by the truth (`decisions.likeness`); the expected calibration error (ten bins) of posteriors as they come,
discounted by what the other sets say, and discounted by what 30 gold tasks say; and of tasks that are 95 % sure or more, how many there
are and how many are right.
"""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from dataops_assets.labels import decisions, inference

CROWD = runpy.run_path(str(Path(__file__).with_name("crowd_accuracy.py")))
OVERLAPS, GOLD, SURE = (3, 5, 99), 30, 0.95
Case = tuple[np.ndarray, np.ndarray, np.ndarray]  # posteriors, answers a task, number of the true label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=CROWD["FOLDER"])
    folder = parser.parse_args().folder
    show(dict(cases(folder)))


def cases(folder: Path) -> Iterable[tuple[tuple[str, int], Case]]:
    for name in CROWD["SETS"]:
        answers, truth = CROWD["load"](folder / name)
        answers = answers.drop_duplicates(["task", "worker"])
        for overlap in OVERLAPS:
            if overlap == OVERLAPS[-1] and answers.groupby("task").size().max() <= OVERLAPS[-2]:
                continue
            order = np.random.default_rng(1).random(len(answers))
            some = answers.assign(order=order).sort_values("order").groupby("task").head(overlap)[["task", "worker", "label"]]
            posteriors = inference.pooled(some).posteriors.reindex(truth.index).dropna()
            n = some.groupby("task").size().reindex(posteriors.index)
            yield (name, overlap), (posteriors.to_numpy(), n.to_numpy(), posteriors.columns.get_indexer(truth.reindex(posteriors.index)))


def show(found: dict[tuple[str, int], Case]) -> None:
    alike = {key: decisions.likeness(*case) for key, case in found.items()}
    print(f"likeness over all: median {np.median(list(alike.values())):.2f}, {min(alike.values()):.2f} to {max(alike.values()):.2f}")
    print(f"{'set':16s}{'answers':>8s}{'alike':>7s} | ", end="")
    print(f"calibration error: raw, others' likeness, {GOLD} gold | {SURE:.0%} sure: raw, then with {GOLD} gold")
    for (name, overlap), (posteriors, n, truth) in found.items():
        others = float(np.median([value for (other, _), value in alike.items() if other != name]))
        gold = np.random.default_rng(2).permutation(len(truth))[:GOLD]
        learnt = decisions.likeness(posteriors[gold], n[gold], truth[gold], others)
        rest = np.setdiff1d(np.arange(len(truth)), gold)
        told = [of(decisions.discounted(posteriors[rest], n[rest], by), truth[rest]) for by in (0.0, others, learnt)]
        errors = ", ".join(f"{error:.3f}" for error, *_ in told)
        sure = ", ".join(f"{share:4.0%} of tasks, {right:.1%} right" for _, share, right in (told[0], told[2]))
        print(f"{name:16s}{overlap if overlap < 99 else 'all':>8}{alike[name, overlap]:7.2f} | {errors:>34s} | {sure}")


def of(posteriors: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Expected calibration error; share of tasks that are sure; share of these that are right."""
    top, is_right = posteriors.max(axis=1), posteriors.argmax(axis=1) == truth
    bins = pd.Series(np.clip((top * 10).astype(int), 0, 9))
    gaps = pd.DataFrame({"top": top, "right": is_right}).groupby(bins).agg(["mean", "size"])
    error = float(((gaps["top", "mean"] - gaps["right", "mean"]).abs() * gaps["top", "size"]).sum() / len(top))
    sure = top >= SURE
    return error, float(sure.mean()), float(is_right[sure].mean()) if sure.any() else float("nan")


if __name__ == "__main__":
    main()
