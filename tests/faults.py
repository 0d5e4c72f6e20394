"""A process that breaks intake and screening on purpose, many times over: a child a case, then another that goes on to the end.

    python -m tests.faults PLACE CASES.json     # -> one JSON line a case

Everything is imported once and each case is forked, so a case costs what the work costs. A case is one of

    {"kill": "<step>", "when": "before"|"after", "nth": 1}    SIGKILL at the nth call of a named step (STEPS)
    {"kill_after_s": 0.4}                                      SIGKILL of the whole group after so many seconds
    {"fail": "<operation>", "nth": 7}                          the nth call of an operation (OPERATIONS) fails, in whatever process
    {"fail": "<operation>", "every": 3}                        a case for every third call there is
    {"kill": ..., "is_decided": true}                          going on is left to what catches up: every verdict was entered
    {"free_kib": 200}                                          only so much room is left on the disk (PLACE is a small file system)
    {}                                                         nothing: the state to compare with

The line says how the case ended, whether what lay on the disk then was whole, and whether going on ended in the same state.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dataops_assets import gates
from dataops_assets.contracts import CONTRACTS
from dataops_assets.drops import NO_SPACE
from dataops_assets.flow import images
from dataops_assets.home import Home
from dataops_assets.manifest import digest, records
from dataops_assets.projects import load_project
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.breaking.sitecustomize import COUNT, FAULT, break_operations

# Functions of the product between which a process may die: module, owner within it, name.
STEPS = {
    "sweep": ("dataops_assets.atomic", "", "sweep"),
    "find the delivery": ("dataops_assets.intake.identity", "", "find"),
    "identify it": ("dataops_assets.intake.identity", "", "identify"),
    "write a member": ("dataops_assets.blobs", "", "_spool"),
    "sync a batch": ("dataops_assets.atomic", "", "sync"),
    "name a file": ("dataops_assets.atomic", "", "rename"),
    "write the journal": ("dataops_assets.intake.journal", "Journal", "write"),
    "read headers": ("dataops_assets.imaging.headers", "HeaderReader", "read"),
    "apply the manifest": ("dataops_assets.stages.raw_images", "", "_apply_manifest"),
    "write rows": ("dataops_assets.store", "Store", "_overwrite"),
    "write a record": ("dataops_assets.store", "Store", "_put_json"),
    "append to a ledger": ("dataops_assets.ledger", "Ledger", "append"),
    "discard the journal": ("dataops_assets.intake.journal", "Journal", "discard"),
    "judge": ("dataops_assets.gates", "", "judge"),
    "enter a verdict": ("dataops_assets.gates", "", "enter"),
    "show it": ("dataops_assets.gates", "", "_publish"),
    "write a page": ("dataops_assets.reports.pages", "", "put"),
    "charge": ("dataops_assets.store", "Store", "charge"),
    "pin the comparison": ("dataops_assets.store", "Store", "pin"),
    "look at pictures": ("dataops_assets.stages.looking", "Eyes", "look"),
    "keep what was seen": ("dataops_assets.checkpoint", "Checkpoint", "flush"),
    "forget what was seen": ("dataops_assets.checkpoint", "Checkpoint", "discard"),
    "set apart": ("dataops_assets.apart", "Apart", "set_apart"),
    "mark duplicates": ("dataops_assets.stages.cleaned_set", "", "mark_near_duplicates"),
}
ELSEWHERE = {"delete": ("dataops_assets.apart", "Apart", "purge")}  # steps of other work, armed by other tests
OPERATIONS = ("write", "fsync", "replace", "link", "syncfs", "commit")
DROP_CHAIN = ("raw_images", "cleaned_set")
IMPORTED = (
    "great_expectations", "quality_suites.raw_images", "quality_suites.cleaned_set", "dataops_assets.stages.raw_images",
    "dataops_assets.stages.cleaned_set", "dataops_assets.reports.pages", "dataops_assets.imaging.contact_sheet",
)  # fmt: skip
SPEC = Path(__file__).resolve().parents[1] / "dataops_assets/defs/dresses/defs.yaml"


def work(root: Path, spec: ProjectSpec, drop_id: str) -> None:
    """Intake and screening of one drop with their gates, as a run does them."""
    store = Store(Home.at(root))
    for asset in DROP_CHAIN:
        if asset == "raw_images":
            made = images.raw_images(store, spec, drop_id)
        else:
            made = images.cleaned_set(store, spec, store.load("raw_images", spec.name, drop_id))
        store.write(made)
        gates.pass_through(store, spec, asset, drop_id, made.version)


def state(root: Path, project: str) -> dict[str, Any]:
    """Everything that lasts, without times: what must be equal however often the work was broken off."""
    store = Store(Home.at(root))
    files = {}
    for folder in ("blobs", "apart", "records", "pins", "suites"):
        for path in sorted((root / "store" / folder).rglob("*")):
            if path.is_file():
                files[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted((root / "reports").rglob("*")):
        if path.is_file():
            text = re.sub(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?", b"", path.read_bytes())  # when it was received
            files[str(path.relative_to(root))] = hashlib.sha256(text).hexdigest()
    released = {f"{row['asset']}/{row['partition']}": row["version"] for row in records(store.releases(project))}
    kept = ("drop_id", "name", "status", "reason", "files_seen", "bytes_seen", "content_sha256", "attempt")
    return {
        "files": files,
        "released": released,
        "rows": {key: written(store, project, key, version) for key, version in released.items()},
        "verdicts": sorted(
            {f"{row['asset']}/{row['partition']}/{row['version']}: {row['outcome']}" for row in records(store.gates.rows())}
        ),
        "drops": _outcomes([{name: row[name] for name in kept} for row in records(store.drops.rows())]),
        "costs": [[row["kind"], row["ref"], row["quantity"], row["amount"]] for row in records(store.costs.rows())],
    }


def written(store: Store, project: str, key: str, version: str) -> str:
    """The version that the rows on the disk make, whatever the table says theirs is."""
    asset, partition = key.split("/")
    held = store.read(asset, project, partition, version)
    return digest(held.frame, CONTRACTS[asset], held.inputs)


def _outcomes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A drop's rows but for those that say it found no room, and a try more."""
    told: list[dict[str, Any]] = []
    for row in rows:
        if row["reason"] != NO_SPACE and not (told and told[-1] == row | {"attempt": told[-1]["attempt"]}):
            told.append(row)
    return told


def problems(root: Path, project: str, whole: dict[str, Any] | None, is_killed: bool, is_final: bool = False) -> list[str]:
    """What is torn on the disk right after a case, or left over at the end: nothing may be."""
    store = Store(Home.at(root))
    found = []
    for path in sorted((root / "store" / "blobs").rglob("*")):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            found.append(f"blob {path.name[:12]} holds other bytes")
    if is_final:
        kept = [path for folder in ("scratch", "unfinished") for path in (root / folder).rglob("*") if path.is_file()]
        found += [f"left over: {path.relative_to(root)}" for path in kept]
    if not is_killed:
        found += [f"temporary file {path.name}" for path in sorted((root / "store" / "tmp").glob("*"))]
    for ledger in (store.gates, store.drops, store.costs):
        found += ledger.verify()
    for row in records(store.releases(project)):
        key = f"{row['asset']}/{row['partition']}"
        if whole is not None and whole["released"].get(key) != row["version"]:
            found.append(f"{key} was released in a version that is not the whole one")
        if written(store, project, key, row["version"]) != row["version"]:
            found.append(f"the rows of {key} are not those of version {row['version']}")
    return found


def arm(case: dict[str, Any]) -> None:
    """Set the trap of a case in this process."""
    if "kill" in case:
        module, owner, name = (STEPS | ELSEWHERE)[case["kill"]]
        place: Any = importlib.import_module(module)
        place = getattr(place, owner) if owner else place
        real, calls = getattr(place, name), [0]

        def trapped(*args: Any, **kwargs: Any) -> Any:
            calls[0] += 1
            if calls[0] == case["nth"] and case["when"] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **kwargs)
            if calls[0] == case["nth"] and case["when"] == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(place, name, trapped)
        for user in [held for held in list(sys.modules.values()) if held.__name__.startswith("dataops_assets")]:
            if getattr(user, name, None) is real:
                setattr(user, name, trapped)
    elif "fail" in case:
        os.environ[FAULT] = f"{case['fail']}:{case['nth']}"
        break_operations()


def forked(task: Callable[[], Any], seconds: float = 120.0, kill_after_s: float | None = None) -> tuple[str, Any]:
    """Run a task in a child process group; how it ended ("done", "error", "killed") and what it returned."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(reader)
        try:
            answer = ["done", task()]
        except BaseException as error:
            answer = ["error", f"{type(error).__name__}: {error}" + ("" if isinstance(error, OSError) else "\n" + traceback.format_exc())]
        with os.fdopen(writer, "w") as file:
            json.dump(answer, file)
            file.flush()
        os._exit(0)
    os.close(writer)
    signal.setitimer(signal.ITIMER_REAL, kill_after_s or seconds)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    with os.fdopen(reader) as file:
        text = file.read()
    signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        os.killpg(child, signal.SIGKILL)  # worker processes that are still there
    except ProcessLookupError:
        pass
    os.waitpid(child, 0)
    return tuple(json.loads(text)) if text else ("killed", None)


def run(case: dict[str, Any], place: Path, delivery: Path, spec: ProjectSpec, whole: dict[str, Any] | None) -> dict[str, Any]:
    """One case from an empty home to the end."""
    from dataops_assets.intake import identity

    root = place / "home"
    shutil.rmtree(root, ignore_errors=True)
    landed = root / "landing" / spec.name / "atelier" / "lot"
    shutil.copytree(delivery, landed)
    (root / "scratch").mkdir()
    drop_id = identity.drop_id_of("atelier", "lot")
    counter = place / "count"
    counter.unlink(missing_ok=True)
    os.environ[COUNT] = str(counter)

    def broken() -> None:
        arm(case)
        work(root, spec, drop_id)

    def go_on() -> None:
        if not case.get("is_decided"):
            work(root, spec, drop_id)
        gates.catch_up(Store(Home.at(root)), spec)

    ballast = place / "ballast"
    if "free_kib" in case:
        fill(ballast, case["free_kib"])
    started = time.monotonic()
    ended, said = forked(broken, kill_after_s=case.get("kill_after_s"))
    seconds = time.monotonic() - started
    ballast.unlink(missing_ok=True)
    is_killed = ended == "killed"
    checked, torn = forked(lambda: problems(root, spec.name, whole, is_killed))
    rerun, error = forked(go_on)
    _, final = forked(lambda: state(root, spec.name))
    _, held = forked(lambda: int((Store(Home.at(root)).drops.rows()["reason"] == NO_SPACE).sum()))
    _, after = forked(lambda: problems(root, spec.name, whole, False, True))
    return {
        "case": case, "ended": ended, "said": said, "seconds": round(seconds, 2),
        "calls": counter.stat().st_size if counter.exists() else 0,
        "held": held, "torn": torn if checked == "done" else [str(torn)], "rerun": [rerun, error], "after": after,
        "differs": difference(final, whole) if whole is not None else [], "state": final if whole is None else None,
    }  # fmt: skip


def difference(final: Any, whole: dict[str, Any]) -> list[str]:
    """Where two states differ, in a few words each."""
    if not isinstance(final, dict):
        return [str(final)]
    told = [
        f"{part}: {final[part]} instead of {whole[part]}"[:2000]
        for part in ("released", "rows", "verdicts", "drops", "costs")
        if final[part] != whole[part]
    ]
    names = sorted(final["files"].items() ^ whole["files"].items())
    return told + [f"file {name}" for name in sorted({name for name, _ in names})]


def fill(ballast: Path, free_kib: int) -> None:
    """Leave so much room on the file system of `ballast`."""
    facts = os.statvfs(ballast.parent)
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, facts.f_bavail * facts.f_frsize - free_kib * 1024))


def main() -> None:
    place, cases = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    delivery = Path(sys.argv[3])
    document = load_project(SPEC).model_dump(mode="json")
    document["cleaning"] |= {"workers": 2}
    document["gates"] |= {"min_accepted_file_share": 0.5, "min_keep_share": 0.1}  # the delivery has a few faults
    spec = ProjectSpec.model_validate(document)
    for name in IMPORTED:
        importlib.import_module(name)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent / "breaking"), *sys.path])
    told = run({}, place, delivery, spec, None)
    whole = told.pop("state")
    print(json.dumps(told), flush=True)
    for case in cases:
        for single in each(case, lambda one: run(one, place, delivery, spec, whole)["calls"]):
            print(json.dumps(run(single, place, delivery, spec, whole)), flush=True)


def each(case: dict[str, Any], calls: Callable[[dict[str, Any]], int]) -> Iterator[dict[str, Any]]:
    """A case with `every` stands for one of every so many calls there are, beginning with number `first`."""
    if "every" not in case:
        yield case
        return
    count = calls({**case, "nth": 10**9})
    for nth in range(case.get("first", 1), count + 1, case["every"]):
        yield {"fail": case["fail"], "nth": nth}


if __name__ == "__main__":
    main()
