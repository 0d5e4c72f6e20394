"""Time and memory of inference beside crowd-kit's, in turns in one run.

    python benchmarks/inference.py [--oracle PYTHON] [--tasks 1000000] [--small 20000] [--rounds 3]

Made-up answers: 3 a task, 10 classes, a worker for a thousand tasks. Dawid-Skene and one coin on `--tasks` (one coin on a tenth), MACE and
GLAD, which take crowd-kit minutes, on `--small`. Each fit runs in a process of its own, on one and the same file of answers; its time
starts with the frame in memory and ends with a label for each task, posteriors and skills of workers; its memory is the peak above what
the process had before. Medians of the rounds. Then how ours grows with the number of labels, at a fixed number of rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HOW = """crowd-kit isn't measured: name the Python of an environment with it by --oracle:
    python3 -m venv oracle && oracle/bin/pip install --no-deps crowd-kit==1.4.2
    oracle/bin/pip install numpy pandas attrs scikit-learn tqdm nltk pyyaml transformers"""
METHODS = ("dawid_skene", "one_coin", "mace", "glad")
PER_TASK, N_LABELS = 3, 10

# both children: load the answers, fit, say how long it took and what memory it took, write the labels
CHILD = """
import json, os, sys, time
import numpy as np, pandas as pd
method, path, out, options = sys.argv[1:]
options = json.loads(options)
{methods}
task, worker, label = np.load(path)
frame = pd.DataFrame(dict(task=task, worker=worker, label=label))
del task, worker, label
def memory(what):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024
try:
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts from here
except OSError:
    pass
before, start, work = memory("VmRSS"), time.perf_counter(), time.process_time()
labels = run(frame)
taken = time.perf_counter() - start, time.process_time() - work
np.save(out, labels.sort_index().to_numpy())
print(json.dumps(dict(seconds=taken[0], cpu=taken[1], peak=memory("VmHWM") - before)))
"""
OURS = """
from dataops_assets.labels import inference
run = lambda frame: getattr(inference, method)(frame, **options).labels
if method == "glad":
    import scipy.optimize
"""
THEIRS = """
from crowdkit.aggregation import DawidSkene, GLAD, MACE, OneCoinDawidSkene
run = dict(dawid_skene=DawidSkene, one_coin=OneCoinDawidSkene, mace=MACE, glad=GLAD)[method](**options).fit_predict
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", help="Python of an environment with crowd-kit")
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    sizes = {"dawid_skene": given.tasks, "one_coin": given.tasks // 10, "mace": given.small, "glad": given.small}
    with tempfile.TemporaryDirectory() as folder:
        if given.oracle is None:
            print(HOW)
        print(
            f"{'':12s}{'tasks':>10s}{'seconds':>19s}{'ratio':>8s}{'processor':>19s}{'ratio':>8s}{'peak MB':>17s}{'ratio':>7s}  same labels"
        )
        for method, n_tasks in sizes.items():
            compare(method, answers(Path(folder), n_tasks), n_tasks, given.oracle, given.rounds)
        growth(Path(folder), given.tasks, given.rounds)


def answers(folder: Path, n_tasks: int) -> Path:
    """A file of task, worker, label; made once."""
    path = folder / f"{n_tasks}.npy"
    if not path.exists():
        rng = np.random.default_rng(n_tasks)
        n_workers = max(n_tasks // 1000, 50)
        truth, skill = rng.integers(0, N_LABELS, n_tasks), rng.beta(6, 2, n_workers)
        task = np.repeat(np.arange(n_tasks), PER_TASK)
        # workers of a task are neighbours on a shuffled circle, so that none answers twice
        worker = (rng.integers(0, n_workers, n_tasks)[:, None] + np.arange(PER_TASK) * 7).ravel() % n_workers
        worker = rng.permutation(n_workers)[worker]
        wrong = (truth[task] + rng.integers(1, N_LABELS, len(task))) % N_LABELS
        label = np.where(rng.random(len(task)) < skill[worker], truth[task], wrong)
        np.save(path, np.stack([task, worker, label])[:, rng.permutation(len(task))])
    return path


def measure(python: str, methods: str, method: str, path: Path, **options: object) -> tuple[dict[str, float], np.ndarray]:
    """One fit in a process of its own."""
    out = path.with_suffix(".labels.npy")
    command = [python, "-W", "ignore", "-c", CHILD.replace("{methods}", methods), method, str(path), str(out), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1])
    if done.returncode:
        sys.exit(f"{method} failed in {python}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout), np.load(out)


def compare(method: str, path: Path, n_tasks: int, oracle: str | None, rounds: int) -> None:
    found: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    labels = {}
    for _ in range(rounds):
        for side, python, code in (("ours", sys.executable, OURS), ("theirs", oracle, THEIRS)):
            if python is not None:
                figures, labels[side] = measure(python, code, method, path)
                found[side].append(figures)
    row = f"{method:12s}{n_tasks:10,d}"
    for what, width, digits in (("seconds", 10, 2), ("cpu", 10, 2), ("peak", 9, 0)):
        ours, theirs = (float(np.median([figures[what] for figures in found[side]])) if found[side] else np.nan for side in found)
        row += f"{ours:{width - 1}.{digits}f}{theirs:{width}.{digits}f}" + f"{f'1/{theirs / ours:.1f}' if oracle else '-':>8s}"
    print(row + (f"  {(labels['ours'] == labels['theirs']).mean():.5f}" if oracle else ""), flush=True)


def growth(folder: Path, n_tasks: int, rounds: int) -> None:
    """Microseconds a label and round, as tasks double."""
    print("\nours: microseconds a label, 10 rounds each (MACE 10 rounds with uniform class shares, GLAD 1 round)")
    sizes = [n_tasks // 8, n_tasks // 4, n_tasks // 2, n_tasks]
    print(f"{'':12s}", *(f"{size * PER_TASK:>12,d}" for size in sizes), "  largest / smallest")
    fixed: dict[str, dict[str, object]] = {
        "dawid_skene": {"n_iter": 10, "tol": -1e9},
        "one_coin": {"n_iter": 10, "tol": -1e9},
        "mace": {"n_iter": 10, "class_prior": "uniform"},
        "glad": {"n_iter": 1, "m_step_iter": 10, "m_step_tol": 0.0},
    }
    for method in METHODS:
        times = []
        for size in sizes:
            path = answers(folder, size)
            took = min(measure(sys.executable, OURS, method, path, **fixed[method])[0]["seconds"] for _ in range(rounds))
            times.append(took / (size * PER_TASK) * 1e6)
        print(f"{method:12s}", *(f"{value:12.3f}" for value in times), f"  {times[-1] / times[0]:.2f}", flush=True)


if __name__ == "__main__":
    main()
