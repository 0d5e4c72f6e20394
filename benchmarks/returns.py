"""Reading and judging a large returned CSV beside a plain pandas.read_csv of it: python benchmarks/returns.py [rows]

A return of six questions a picture (one with several answers, one with boxes) and five answers each; one row in a hundred is wrong in
some way. Each measure runs in a process of its own, whose peak of resident memory counts; imports and the file's bytes are in it, as
they are in a run. The million has a limit: 60 s and 1 GiB.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 1_000_000
MAX_SECONDS, MAX_GIB = 60.0, 1.0
ATTRIBUTES, ANSWERS = 6, 5
KEY = b"benchmark"


def spec():  # type: ignore[no-untyped-def]
    """A project with six questions."""
    from dataops_assets.spec import ProjectSpec

    values = {f"value {number}": "Means this." for number in range(8)}
    kinds = ["single"] * (ATTRIBUTES - 2) + ["multi", "box"]
    attributes = [{"name": f"question_{number}", "kind": kind, "values": values} for number, kind in enumerate(kinds)]
    vendors = [{"name": "acme"}, {"name": "us", "internal": True}]
    brief = {"goal": "Find it.", "requester": "r", "budget": 10, "start": "2026-01-01", "deadline": "2026-02-01", "volume": {}}
    return ProjectSpec.model_validate({
        "name": "large", "brief": brief, "sources": {"vendors": [{"name": "shop"}]}, "ontology": {"attributes": attributes},
        "labeling": {"vendors": vendors},
    })  # fmt: skip


def items(rows: int) -> list[str]:
    return [f"t{number:015x}" for number in range(-(-rows // (ATTRIBUTES * ANSWERS)))]


def tasks(rows: int):  # type: ignore[no-untyped-def]
    """The batch's tasks."""
    import pandas as pd

    names = items(rows)
    asked = "|".join(attribute.name for attribute in spec().ontology.attributes)
    facts = {
        "batch_id": "production-001",
        "vendor": "acme",
        "attributes": asked,
        "ontology_version": "1",
        "width_px": 640,
        "height_px": 480,
    }
    return pd.DataFrame({"task_id": names, "image_id": [f"{number:064x}" for number in range(len(names))]}).assign(**facts)


def make(path: Path, rows: int) -> None:
    """The file, row after row."""
    import random

    chance = random.Random(0)
    done = 0
    with open(path, "w", encoding="utf-8") as file:
        file.write("item_id,attribute,label,x,y,w,h,annotator,submitted_at,seconds\n")
        for item in items(rows):
            for question in range(ATTRIBUTES):
                for _ in range(ANSWERS):
                    if done == rows:
                        return
                    label, box = f"value {chance.randrange(8)}", ",,,"
                    if question == ATTRIBUTES - 2:
                        label += f"|value {chance.randrange(8)}"
                    elif question == ATTRIBUTES - 1:
                        x, y = chance.random() * 300, chance.random() * 200
                        box = f"{x:.3f},{y:.3f},{50 + x / 2:.3f},{50 + y / 2:.3f}"
                    if chance.random() < 0.01:
                        label = chance.choice(["", "Value 1", "nothing"])
                    who = f"annotator {chance.randrange(200)}"
                    day, second = chance.randrange(1, 28), chance.randrange(86400)
                    when = f"2026-01-{day:02d}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
                    file.write(f"{item},question_{question},{label},{box},{who},{when},{chance.random() * 60:.2f}\n")
                    done += 1


def accept(path: Path, rows: int) -> int:
    """What the flow does with it: bytes in, judged rows out."""
    from dataops_assets.stages import labeled_batches

    return len(labeled_batches.accept([("acme", path.name, path.read_bytes())], tasks(rows), spec(), KEY))


def plain(path: Path, rows: int) -> int:
    """pandas alone, all cells text."""
    import pandas as pd

    return len(pd.read_csv(path, dtype=str, keep_default_na=False))


def measure(name: str, path: Path, rows: int) -> tuple[float, float]:
    """Seconds and GiB of one way, in a process of its own."""
    command = [sys.executable, __file__, "--one", name, str(path), str(rows)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    if int(answer[0]) != rows:
        raise SystemExit(f"{name} gave {answer[0]} rows for {rows}")
    return float(answer[1]), float(answer[2])


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        _, _, name, path, rows = sys.argv
        started = time.perf_counter()
        count = {"accept": accept, "plain": plain}[name](Path(path), int(rows))
        seconds = time.perf_counter() - started
        print(count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        make(path, rows)
        print(f"{rows} rows, {path.stat().st_size / 2**20:.0f} MiB")
        bare, least = measure("plain", path, rows)
        seconds, most = measure("accept", path, rows)
    for name, took, peak in (("pandas.read_csv", bare, least), ("accept", seconds, most)):
        print(f"{name:>16}: {took:6.2f} s, {rows / took:9.0f} rows/s, peak {peak:.2f} GiB")
    print(f"accept takes {seconds / bare:.1f} x the time and {most / least:.1f} x the memory of pandas.read_csv alone")
    if rows >= ROWS and (seconds > MAX_SECONDS or most > MAX_GIB):
        raise SystemExit(f"missed: at most {MAX_SECONDS:.0f} s and {MAX_GIB:.0f} GiB")


if __name__ == "__main__":
    main()
