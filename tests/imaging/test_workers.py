"""Children cost only their own picture, whatever they die of, and end with their parent."""

import faulthandler
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from dataops_assets.blobs import BlobMissing, Blobs
from dataops_assets.imaging import nursery, workers
from dataops_assets.imaging.workers import Died, Unfinished, WorkerError, map_blobs, serve

REPO = Path(__file__).parents[2]
HOW = "TEST_WORKERS_START"
# Python 3.12 counts every library's threads; a run starts its nursery before there are any
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def act(blobs: Blobs, item: object) -> object:
    """A task that does what its item says."""
    if item == "sleep":
        time.sleep(60)
    if item == "nap":
        time.sleep(1)
    if item == "spin":
        while True:
            pass
    if item == "eat":
        return len(np.ones(3 * 2**30, dtype=np.uint8))
    if item == "raise":
        raise ValueError("broken")
    if item == "pid":
        return os.getpid()
    if isinstance(item, signal.Signals):
        faulthandler.disable()
        os.kill(os.getpid(), item)
    if isinstance(item, str) and len(item) == 64:
        return blobs.read(item)
    return item


def nap_and_tell(blobs: Blobs, item: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def die_once(blobs: Blobs, item: int, marker: Path) -> int:
    if item == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def tell_when(blobs: Blobs, item: int) -> float:
    return time.monotonic()


@pytest.fixture(autouse=True)
def started() -> Iterator[str]:
    """How the nursery came to be: an interpreter of its own, or, in the process of the last test, a fork of this one."""
    how = os.environ.get(HOW, "spawned")
    if how == "forked":
        nursery.start(serve)
    yield how
    nursery.stop()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "store"))


def test_results_come_in_order(blobs: Blobs) -> None:
    assert list(map_blobs(act, range(40), blobs, workers=2)) == [(n, n) for n in range(40)]
    assert list(map_blobs(act, [], blobs)) == []


def test_a_child_reads_the_store(blobs: Blobs) -> None:
    sha256 = blobs.put(b"bytes")
    assert list(map_blobs(act, [sha256], blobs)) == [(0, b"bytes")]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("sleep", "TOO_LARGE"),
        ("spin", "TOO_LARGE"),
        ("eat", "TOO_LARGE"),
        (signal.SIGSEGV, "CORRUPT"),
        (signal.SIGABRT, "CORRUPT"),
        (signal.SIGKILL, "TOO_LARGE"),
    ],
)
def test_a_death_costs_one_item(blobs: Blobs, item: object, reason: str) -> None:
    results = [result for _, result in map_blobs(act, [1, item, 2, 3], blobs, workers=1, memory_bytes=2**30, seconds=0.3)]
    assert [results[0], *results[2:]] == [1, 2, 3]
    assert isinstance(results[1], Died)
    assert results[1].reason == reason


def test_waiting_for_a_busy_machine_costs_nothing(blobs: Blobs) -> None:
    assert list(map_blobs(act, ["nap", 1], blobs, workers=1, seconds=0.3)) == [(0, "nap"), (1, 1)]  # processor time counts


def test_a_child_killed_from_outside_costs_nothing(blobs: Blobs, tmp_path: Path) -> None:
    task = partial(die_once, marker=tmp_path / "marker")
    assert list(map_blobs(task, range(12), blobs, workers=2)) == [(n, n) for n in range(12)]
    assert (tmp_path / "marker").exists()


def test_what_a_task_raises_is_raised_here_with_its_traceback(blobs: Blobs) -> None:
    with pytest.raises(ValueError, match="broken") as raised:
        list(map_blobs(act, [1, "raise"], blobs))
    assert "in act" in str(raised.value.__cause__)
    with pytest.raises(BlobMissing):
        list(map_blobs(act, ["0" * 64], blobs))


def test_children_go_on_while_the_caller_does_something_else(blobs: Blobs) -> None:
    results = map_blobs(tell_when, range(4), blobs, workers=1)
    next(results)
    time.sleep(0.3)
    back = time.monotonic()
    assert [when < back for _, when in results] == [True, False, False]


def test_neither_side_waits_for_the_other_to_read(blobs: Blobs) -> None:
    items = [bytes(2**20)] * 5  # more than a socket holds, both ways
    assert [result for _, result in map_blobs(act, items, blobs, workers=1)] == items


def test_stopping_early_ends_the_children(blobs: Blobs) -> None:
    results = map_blobs(act, ["pid"] * 20, blobs, workers=2)
    _, pid = next(results)
    results.close()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")
def test_children_end_with_a_killed_parent(tmp_path: Path, started: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_workers import act\n"
        "from dataops_assets.blobs import Blobs\n"
        "from dataops_assets.imaging import nursery\n"
        "from dataops_assets.imaging.workers import map_blobs, serve\n"
        f"{'nursery.start(serve)' if started == 'forked' else ''}\n"
        "for _, result in map_blobs(act, ['pid', 'sleep'], Blobs(sys.argv[1]), workers=1, seconds=0.5):\n"
        "    print(result, flush=True)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(REPO)}) as parent:
        assert parent.stdout is not None
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        assert child.exists()
        parent.kill()
    deadline = time.monotonic() + 10
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_after_a_dead_nursery_comes_another(blobs: Blobs) -> None:
    results = map_blobs(act, range(12), blobs, workers=2)
    assert next(results) == (0, 0)
    first = nursery.held()
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    assert list(results) == [(n, n) for n in range(1, 12)]
    assert list(map_blobs(act, range(12), blobs, workers=2)) == [(n, n) for n in range(12)]
    assert nursery.held() not in (None, first)


def test_an_idle_nursery_ends_and_is_not_missed(blobs: Blobs) -> None:
    nursery.stop()
    code = (
        "import sys; from dataops_assets.imaging import nursery, workers\n"
        "nursery.IDLE_SECONDS = 0.3; nursery.keep(workers.serve, int(sys.argv[1]))"
    )
    idle = nursery.spawn([sys.executable, "-c", code], os.environ | {"PYTHONPATH": str(REPO)})
    assert list(map_blobs(act, ["nap", 1], blobs, workers=1)) == [(0, "nap"), (1, 1)]  # not while it has children
    assert nursery.held() is idle and idle.process is not None
    assert idle.process.wait(timeout=10) == 0
    assert list(map_blobs(act, range(12), blobs, workers=2)) == [(n, n) for n in range(12)]


def test_threads_share_a_nursery(blobs: Blobs) -> None:
    def look(number: int) -> list[object]:
        return [result for _, result in map_blobs(act, [number, signal.SIGSEGV, *range(20)], blobs, workers=2)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(look, range(24)))
    assert [results[0] for results in found] == list(range(24))
    assert all(isinstance(results[1], Died) and results[2:] == list(range(20)) for results in found)


def test_a_fork_of_this_process_leaves_its_nursery_alone(blobs: Blobs) -> None:
    assert list(map_blobs(act, [1], blobs)) == [(0, 1)]
    assert nursery.held() is not None
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        assert pool.submit(nursery.held).result() is None


def test_an_interrupted_question_is_no_answer_to_the_next(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*given: object) -> None:
        ask(*given)
        raise KeyboardInterrupt

    assert list(map_blobs(act, [1], blobs)) == [(0, 1)]
    ask = socket.send_fds
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(socket, "send_fds", interrupt)
        list(map_blobs(act, [1], blobs))
    assert list(map_blobs(act, range(12), blobs, workers=2)) == [(n, n) for n in range(12)]


def test_how_a_child_ended_can_be_asked_again(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*given: object) -> None:
        ask(*given)
        raise KeyboardInterrupt

    assert list(map_blobs(act, [1], blobs)) == [(0, 1)]
    kept, ask = nursery.held(), socket.send_fds
    assert kept is not None
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = kept.fork(theirs.fileno())
        child.kill()
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(socket, "send_fds", interrupt)
            child.wait()
        assert [kept.wait(child.pid) for _ in range(2)] == [-signal.SIGKILL] * 2
    assert child.wait() == -signal.SIGKILL  # as far as anybody knows
    assert nursery.held() is kept and list(map_blobs(act, [1], blobs)) == [(0, 1)]


def test_a_task_that_does_not_pickle_leaves_no_child(blobs: Blobs) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        list(map_blobs(lambda blobs, item: item, [1], blobs))
    assert list(map_blobs(act, [1], blobs)) == [(0, 1)]


def test_stopping_waits_for_no_fork_of_this_process(blobs: Blobs) -> None:
    assert list(map_blobs(act, [1], blobs)) == [(0, 1)]
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        nap = pool.submit(time.sleep, 3)
        while not nap.running():
            time.sleep(0.01)
        begun = time.monotonic()
        nursery.stop()
        assert time.monotonic() - begun < 2


def test_what_was_added_to_the_path_since_is_found(blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(map_blobs(act, [1], blobs)) == [(0, 1)]
    (tmp_path / "lately_added.py").write_text("def double(blobs, item):\n    return 2 * item\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(map_blobs(importlib.import_module("lately_added").double, [1, 2], blobs)) == [(0, 2), (1, 4)]


def test_where_nothing_may_fork_children_are_interpreters(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    nursery.stop()
    monkeypatch.setattr(workers, "FORKS", False)
    results = [result for _, result in map_blobs(act, [1, signal.SIGSEGV, 2], blobs, workers=2)]
    assert results[0] == 1 and isinstance(results[1], Died) and results[2] == 2
    assert nursery.held() is None


def test_children_that_do_not_start_are_told(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    nursery.stop()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="/bin/false ends before it is ready"):
        list(map_blobs(act, [1], blobs))


@pytest.mark.skipif(HOW in os.environ, reason="is what the other test started")
def test_all_of_this_holds_for_a_nursery_that_is_a_fork() -> None:
    """In a process of its own: only one with a single thread may fork, and this one has had other tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__))]
    environment = os.environ | {HOW: "forked", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]


def test_items_that_travel_together_die_alone(blobs: Blobs) -> None:
    items = [1, 2, 3, signal.SIGSEGV, 5, 6, "eat", *range(8, 80)]
    results = [result for _, result in map_blobs(act, items, blobs, workers=2, memory_bytes=2**30, items_per_message=8)]
    died = {index: result for index, result in enumerate(results) if isinstance(result, Died)}
    assert set(died) == {3, 6} and died[3].reason == "CORRUPT" and died[6].reason == "TOO_LARGE"
    assert [result for result in results if not isinstance(result, Died)] == [item for item in items if type(item) is int]


def test_so_many_children_as_one_may_have_at_the_moment(blobs: Blobs) -> None:
    may, pids = [1], []
    for index, pid in map_blobs(nap_and_tell, range(20_000), blobs, workers=lambda: may[0], items_per_child=1):
        pids.append(pid)
        if index == 20:
            assert len(set(pids)) == 1
            may[0] = 2
        if len(set(pids)) == 2:
            break
    assert len(set(pids)) == 2
    may[0], left = 2, []
    for index, pid in map_blobs(nap_and_tell, range(1000), blobs, workers=lambda: may[0], items_per_child=1):
        may[0] = 1 if index == 100 else may[0]
        left.append(pid)
        if index == 300:
            break
    assert len(set(left[200:])) == 1


class Begun(Unfinished):
    """An item that does what it says when it is finished, with how many others it was."""

    def __init__(self, item: object) -> None:
        self.item = item

    @classmethod
    def finish(cls, begun: Sequence["Begun"]) -> list[object]:
        return [(act(None, one.item), len(begun)) for one in begun]  # type: ignore[arg-type]


def begin(blobs: Blobs, item: object) -> object:
    return Begun(item) if item != "none" else "nothing to finish"


def test_what_was_begun_is_finished_together(blobs: Blobs) -> None:
    items = ["none" if number % 5 == 3 else number for number in range(64)]
    results = [result for _, result in map_blobs(begin, items, blobs, workers=2, items_per_message=8)]
    assert [result if result == "nothing to finish" else result[0] for result in results] == [
        "nothing to finish" if item == "none" else item for item in items
    ]
    assert max(result[1] for result in results if type(result) is tuple) > 5


def test_what_dies_when_it_is_finished_dies_alone(blobs: Blobs) -> None:
    items = [1, signal.SIGSEGV, 3, "eat", "spin", *range(6, 40)]
    options = {"workers": 2, "memory_bytes": 2**30, "seconds": 1.0, "items_per_message": 8}
    results = [result for _, result in map_blobs(begin, items, blobs, **options)]
    died = {index: result.reason for index, result in enumerate(results) if isinstance(result, Died)}
    assert died == {1: "CORRUPT", 3: "TOO_LARGE", 4: "TOO_LARGE"}
    assert [result[0] for result in results if type(result) is tuple] == [item for item in items if type(item) is int]


def test_what_finishing_raises_is_raised_here(blobs: Blobs) -> None:
    with pytest.raises(ValueError, match="broken"):
        list(map_blobs(begin, [1, "raise", 3], blobs, workers=1, items_per_message=3))
