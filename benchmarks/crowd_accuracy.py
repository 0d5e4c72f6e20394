"""How often each method is right on real crowd labels: python benchmarks/crowd_accuracy.py [FOLDER]

FOLDER (default ../shared/data/crowd) holds a folder a set with `labels.csv` (task, worker, label) and `truth.csv` (task, truth). Then:
what `auto` settled on; whether it does as well where its own settings were chosen without the set (leave one out); what gold adds; and
made-up answers whose structure is known, where the right method is known too.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from dataops_assets.labels import inference
from dataops_assets.labels.inference import Result
from dataops_assets.labels.inference.answers import read
from dataops_assets.labels.inference.pooling import LEARNT, fit, foretell, nearness, settle

FOLDER = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "crowd"
NAMES = ("majority_vote", "dawid_skene", "one_coin", "mace", "glad", "bwa", "ibcc", "auto")
METHODS: dict[str, Callable[..., Result]] = {name: getattr(inference, name) for name in NAMES}
SETS = ("dog", "face_sentiment", "product", "d_sentiment", "rte", "web", "cf_weather", "music_ms")
# crowd-kit 1.4.2 (majority, Dawid-Skene, one-coin, MACE, GLAD), then the code of the authors of BWA and EBCC (BWA, iBCC, EBCC). Its MACE
# mixes up the habits of workers that don't first appear in sorted order, so what it finds depends on the order of the rows
THEIRS = {
    "dog": (0.812, 0.843, 0.830, 0.830, 0.834, 0.832, 0.839, 0.839),
    "face_sentiment": (0.635, 0.640, 0.611, 0.634, 0.630, 0.618, 0.640, 0.620),
    "product": (0.897, 0.940, 0.908, 0.930, 0.928, 0.919, 0.938, 0.935),
    "d_sentiment": (0.932, 0.960, 0.949, 0.956, 0.948, 0.956, 0.960, 0.961),
    "rte": (0.875, 0.928, 0.925, 0.925, 0.925, 0.928, 0.928, 0.931),
    "web": (0.688, 0.829, 0.749, 0.830, 0.822, 0.823, 0.751, 0.743),
    "cf_weather": (0.880, 0.830, 0.887, 0.887, 0.880, 0.893, 0.883, 0.877),
    "music_ms": (0.707, 0.769, 0.793, 0.804, 0.789, 0.786, 0.790, 0.787),
}
STRENGTH_GRIDS = ((2, 8, 32, 128), (4, 16, 64), (2, 4, 8, 16, 32, 64, 128), (8, 32), (1, 4, 16, 64, 256))
CLEARLY, AS_GOOD = (0.0, 1.0, 2.0, 3.0), (0.0, 1.0, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    if folder.is_dir():
        sets = {name: load(folder / name) for name in SETS if (folder / name).is_dir()}
        accuracies(sets)
        leave_one_out(sets)
        with_gold(sets)
    else:
        print(f"the real sets are not at {folder}: name their folder")
    made_up()


def load(folder: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Answers, and the truth by task."""
    answers, truth = (pd.read_csv(folder / name, dtype=str, keep_default_na=False) for name in ("labels.csv", "truth.csv"))
    truth = truth.set_index("task")["truth"]
    return answers, truth[truth.index.isin(answers["task"])]


def accuracy(result: Result, truth: pd.Series) -> float:
    return float((result.labels.reindex(truth.index) == truth).mean())


def accuracies(sets: dict[str, tuple[pd.DataFrame, pd.Series]]) -> None:
    """Each method on each set; the best is marked."""
    print(f"accuracy; * is the best of ours; below, what crowd-kit 1.4.2 and the authors of BWA and EBCC got\n{'':15s}", end="")
    print(*(f"{name[:11]:>12s}" for name in (*NAMES, "EBCC", "auto - best")), sep="")
    chosen, missed = {}, []
    for name, (answers, truth) in sets.items():
        found = {method: run(answers) for method, run in METHODS.items()}
        share = {method: accuracy(result, truth) for method, result in found.items()}
        chosen[name] = found["auto"]
        theirs = THEIRS[name]
        lead = share["auto"] - max(*share.values(), *theirs)
        rivals = max(*theirs, *(value for method, value in share.items() if method != "auto"))
        print(f"{name:15s}", *(f"{value:11.4f}{'*' if value == max(share.values()) else ' '}" for value in share.values()), sep="", end="")
        print(f"{'':11s} {share['auto'] - rivals:+11.4f}")
        print(f"{'  theirs':15s}", *(f"{value:11.3f} " for value in theirs[:7]), f"{'':12s}{theirs[7]:11.3f}", sep="")
        missed += [name] if lead < -0.003 else []
        missed += [f"{method} on {name}" for method, value in zip(NAMES, theirs, strict=False) if share[method] < value - 0.0031]
    print("\nevery method is within .003 of theirs, and auto of the best" if not missed else f"\nbehind: {', '.join(missed)}")
    for name, result in chosen.items():
        print(f"  {name:15s} {result.chosen}" + "".join(f"; {note}" for note in result.notes))


def leave_one_out(sets: dict[str, tuple[pd.DataFrame, pd.Series]]) -> None:
    """Settings chosen by mean accuracy on the other sets, and what they give on the set left out."""
    right = {name: _by_setting(*loaded) for name, loaded in sets.items()}
    frame = pd.DataFrame(right)
    shipped = frame.loc[[(STRENGTH_GRIDS[0], 2.0, 1.0)]].iloc[0]
    print(f"\nleave one out: {len(frame)} settings of auto (strengths, class shares when clearly better, strengths as good as the best)")
    print(f"{'':15s} {'shipped':>8s} {'left out':>9s} {'worst':>7s} {'best':>7s} {'rivals':>7s}  chosen on the other sets")
    for name in frame:
        setting = frame.drop(columns=name).mean(axis=1).idxmax()
        grid, clearly, as_good = setting
        row = f"{name:15s} {shipped[name]:8.4f} {frame.loc[[setting], name].iloc[0]:9.4f} {frame[name].min():7.4f} {frame[name].max():7.4f}"
        print(f"{row} {max(THEIRS[name]):7.3f}  {'/'.join(map(str, grid))}, {clearly:g}, {as_good:g}")


def _by_setting(answers: pd.DataFrame, truth: pd.Series) -> pd.Series:
    votes = read(answers)
    near = nearness(votes)
    strengths = sorted({float(k) for grid in STRENGTH_GRIDS for k in grid})
    found = foretell(votes, near, strengths)
    fits = {key: [part[0] for part in fit(votes, key[1], key[0] == LEARNT, near)] for key in found}
    answer = votes.labels.get_indexer(truth)
    rows = votes.tasks.get_indexer(truth.index)
    right = {}
    for setting in itertools.product(STRENGTH_GRIDS, CLEARLY, AS_GOOD):
        some = {key: values for key, values in found.items() if key[1] in setting[0]}
        evidence = settle(some, *setting[1:])
        used = evidence[evidence["is_used"]]
        mean = np.mean([part for key in zip(used["class_shares"], used["strength"], strict=True) for part in fits[key]], axis=0)
        right[setting] = float((mean[rows].argmax(axis=1) == answer).mean())
    series = pd.Series(list(right.values()), dtype=float)
    series.index = pd.Index(list(right), tupleize_cols=False)
    return series


def with_gold(sets: dict[str, tuple[pd.DataFrame, pd.Series]]) -> None:
    """Accuracy on the tasks that aren't gold."""
    print(f"\nauto with gold, on the other tasks: the same tasks without and with\n{'':15s}{'5 %':>18s}{'20 %':>20s}")
    for name, (answers, truth) in sets.items():
        row, without = f"{name:15s}", inference.auto(answers)
        for share in (0.05, 0.2):
            gold = truth.sample(frac=share, random_state=0)
            rest = truth.drop(gold.index)
            result = inference.auto(answers, gold)
            row += f"   {accuracy(without, rest):.4f} -> {accuracy(result, rest):.4f}"
            how = result.chosen.split(",")[0]
            row += "" if how == "pooled" else f" ({how})"
        print(row)


def made_up() -> None:
    """Answers of known structure."""
    print("\nmade-up answers, mean of three: accuracy of each method, and of whoever knows the workers' true confusion matrices")
    print(f"{'':34s}", *(f"{name[:11]:>12s}" for name in (*NAMES, "knows all")), sep="")
    for name, build in WORLDS.items():
        rows = []
        for seed in range(3):
            answers, truth, ideal = build(np.random.default_rng(seed))
            rows.append([*(accuracy(run(answers), truth) for run in METHODS.values()), ideal])
        mean = np.mean(rows, axis=0)
        best = mean[:-1].max()
        print(f"{name:34s}", *(f"{value:11.4f}{'*' if value == best else ' '}" for value in mean), sep="")


World = tuple[pd.DataFrame, pd.Series, float]


def _world(
    rng: np.random.Generator, matrices: np.ndarray, classes: np.ndarray, n_tasks: int, per_task: int, ease: np.ndarray | None = None
) -> World:
    """Answers of random workers with these matrices (workers x true x given)."""
    n_workers, n_labels, _ = matrices.shape
    truth = rng.choice(n_labels, n_tasks, p=classes)
    worker = np.argsort(rng.random((n_tasks, n_workers)), axis=1)[:, :per_task]
    rows = matrices[worker, truth[:, None]]
    if ease is not None:  # hard tasks are answered by chance more often
        rows = ease[:, None, None] * rows + (1 - ease[:, None, None]) / n_labels
    given = (rng.random((n_tasks, per_task, 1)) > rows.cumsum(axis=2)).sum(axis=2).clip(max=n_labels - 1)
    log_likelihood = np.log(matrices[worker[:, :, None], np.arange(n_labels), given[:, :, None]] + 1e-12).sum(axis=1)
    ideal = float(((log_likelihood + np.log(classes)).argmax(axis=1) == truth).mean())
    task = np.repeat(np.arange(n_tasks), per_task)
    frame = pd.DataFrame({"task": task, "worker": worker.ravel(), "label": given.ravel()})
    return frame, pd.Series(truth, index=pd.RangeIndex(n_tasks)), ideal


def _coins(rng: np.random.Generator, n_workers: int, n_labels: int, good: float = 6, bad: float = 3) -> np.ndarray:
    skill = rng.beta(good, bad, n_workers)[:, None, None]
    same = np.eye(n_labels)
    return skill * same + (1 - skill) * (1 - same) / (n_labels - 1)


def _grades(rng: np.random.Generator, n_workers: int, n_labels: int) -> np.ndarray:
    """Neighbouring grades are confused, and some workers are strict, others lenient."""
    place = np.arange(n_labels)
    shift, width = rng.normal(0, 0.5, n_workers)[:, None, None], rng.uniform(0.4, 1.1, n_workers)[:, None, None]
    matrix = np.exp(-0.5 * ((place - place[:, None] - shift) / width) ** 2)
    return matrix / matrix.sum(axis=2, keepdims=True)


def _spammers(rng: np.random.Generator, n_workers: int, n_labels: int) -> np.ndarray:
    matrix = _coins(rng, n_workers, n_labels, 8, 2)
    favourite = np.eye(n_labels)[rng.integers(0, n_labels, n_workers)][:, None, :]
    return np.where((rng.random(n_workers) < 0.4)[:, None, None], 0.9 * favourite + 0.1 / n_labels, matrix)


def _own(rng: np.random.Generator, n_workers: int, n_labels: int) -> np.ndarray:
    matrix = rng.dirichlet(np.full(n_labels, 0.4), (n_workers, n_labels)) + 1.2 * np.eye(n_labels) * rng.random((n_workers, n_labels, 1))
    return matrix / matrix.sum(axis=2, keepdims=True)


def _even(n_labels: int) -> np.ndarray:
    return np.full(n_labels, 1 / n_labels)


WORLDS: dict[str, Callable[[np.random.Generator], World]] = {
    "coins, 5 labels": lambda rng: _world(rng, _coins(rng, 40, 5), _even(5), 1000, 4),
    "coins, few answers a worker": lambda rng: _world(rng, _coins(rng, 300, 4), _even(4), 400, 5),
    "coins, skewed classes": lambda rng: _world(rng, _coins(rng, 40, 3, 6, 2), np.array([0.9, 0.07, 0.03]), 2000, 3),
    "own confusions, many answers": lambda rng: _world(rng, _own(rng, 25, 4), _even(4), 2000, 5),
    "own confusions, skewed classes": lambda rng: _world(rng, _own(rng, 25, 3), np.array([0.8, 0.15, 0.05]), 2000, 5),
    "grades, strict and lenient": lambda rng: _world(rng, _grades(rng, 60, 5), _even(5), 800, 5),
    "four in ten are spammers": lambda rng: _world(rng, _spammers(rng, 60, 4), _even(4), 800, 5),
    "hard and easy tasks": lambda rng: _world(rng, _coins(rng, 40, 3), _even(3), 1000, 5, rng.beta(2, 1, 1000)),
    "ten tasks, three workers": lambda rng: _world(rng, _coins(rng, 3, 3), _even(3), 10, 3),
}

if __name__ == "__main__":
    main()
