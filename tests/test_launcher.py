"""The fork server: one process an order, deaths that are told, an orderly end; and Dagster's launcher over it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import WorkerStatus

from dataops_assets import preload
from dataops_assets.launcher import PreloadedRunLauncher, Server

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the fork server is for Linux")
REPO = Path(__file__).parents[1]
# a server of trivial work: `sleep N` lasts, everything else is written down
TOY = """
import os, random, signal, sys, time
from multiprocessing.connection import Connection
from pathlib import Path
from dataops_assets import preload

fork, full = os.fork, Path(sys.argv[2])

def fork_where_there_is_room():
    if full.exists():
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()

os.fork = fork_where_there_is_room

def work(order):
    kind, path = order
    Path(path).write_text(f"{os.getpid()} {os.getpgrp()} {signal.getsignal(signal.SIGTERM) is signal.SIG_DFL} {random.random()}")
    if kind == "fail":
        raise ValueError("broken")
    if kind == "sleep":
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            Path(path).write_text("interrupted")
    if kind == "short":
        time.sleep(1)
        Path(path).write_text("finished")

def bury(order, code):
    Path(order[1] + ".dead").write_text(str(code))

preload.serve(Connection(int(sys.argv[1])), work, bury)
"""


@dataclass
class Toy:
    """A running toy server."""

    server: Server
    folder: Path

    def order(self, kind: str) -> tuple[int, Path]:
        path = self.folder / f"{kind}-{len(list(self.folder.iterdir()))}"
        self.server.connection.send((kind, str(path)))
        assert self.server.connection.poll(10)
        pid = self.server.connection.recv()
        wait(path.exists)
        wait(lambda: path.read_text() != "")
        return pid, path


def wait(is_there: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    import socket
    from multiprocessing.connection import Connection

    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", TOY, str(theirs.fileno()), str(tmp_path / "full")],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": str(REPO)},
        )
    connection = Connection(ours.detach())
    yield Toy(Server(process, connection, preload.Ready((), "")), tmp_path)
    connection.close()
    process.kill()
    process.wait()


def test_each_order_is_a_process_group_of_its_own_with_its_own_random_numbers(toy: Toy) -> None:
    (first, one), (second, two) = toy.order("write"), toy.order("write")
    assert one.read_text().split()[:3] == [str(first), str(first), "True"]
    assert two.read_text().split()[:3] == [str(second), str(second), "True"]
    assert one.read_text().split()[3] != two.read_text().split()[3]


def test_without_room_for_a_process_it_says_so_and_goes_on(toy: Toy) -> None:
    _, running = toy.order("sleep")
    (toy.folder / "full").touch()
    with pytest.raises(OSError, match=r"could not fork: .*temporarily unavailable"):
        toy.server.fork(("write", str(toy.folder / "nothing")))  # type: ignore[arg-type]
    os.kill(int(running.read_text().split()[0]), signal.SIGKILL)  # there is no room to bury it either, yet
    time.sleep(1.5)
    assert not Path(f"{running}.dead").exists()
    (toy.folder / "full").unlink()
    wait(Path(f"{running}.dead").exists)
    assert toy.order("write")[1].exists()


def test_a_killed_process_is_buried_and_touches_nothing_else(toy: Toy) -> None:
    (pid, path), (other, spared) = toy.order("sleep"), toy.order("sleep")
    os.kill(pid, signal.SIGKILL)
    dead = Path(f"{path}.dead")
    wait(lambda: dead.exists() and dead.read_text() == "-9")
    assert preload.process_name(other) is not None
    _, failed = toy.order("fail")
    wait(lambda: Path(f"{failed}.dead").exists() and Path(f"{failed}.dead").read_text() == "1")
    assert not Path(f"{spared}.dead").exists()
    os.kill(other, signal.SIGKILL)


def test_when_the_daemon_is_gone_what_runs_is_finished(toy: Toy) -> None:
    _, path = toy.order("short")
    toy.server.connection.close()
    assert toy.server.process.wait(10) == 0
    assert path.read_text() == "finished"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_interrupts_what_runs(toy: Toy, number: signal.Signals) -> None:
    _, path = toy.order("sleep")
    toy.server.process.send_signal(number)
    assert toy.server.process.wait(10) == 0
    assert path.read_text() == "interrupted"


def test_a_process_is_known_by_more_than_its_pid() -> None:
    name = preload.process_name(os.getpid())
    assert name is not None and name.split("/")[1] == str(os.getpid())
    with subprocess.Popen(["true"]) as child:
        wait(lambda: "Z" in Path(f"/proc/{child.pid}/stat").read_text().split()[2])
        assert preload.process_name(child.pid) is None  # dead, though its pid is still taken


def test_a_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "defs.yaml").write_text("a")
    paths = (str(tmp_path), str(tmp_path / "no such file"))
    before = preload.fingerprint(paths)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("x")
    assert preload.fingerprint(paths) == before
    (tmp_path / "defs.yaml").write_text("ab")
    assert preload.fingerprint(paths) != before
    assert {Path(path).name for path in preload.watched()} >= {"dataops_assets", "quality_suites", "defs", ".env"}


def test_everything_is_imported_without_a_thread_that_a_fork_would_break() -> None:
    code = """
    import os, sys, threading
    from dataops_assets import preload
    preload.load()
    assert threading.active_count() == 1
    names = [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
    print(len([name for name in names if name != "jemalloc_bg_thd"]))
    late = "great_expectations cv2 albumentations dataops_assets.stages.cleaned_set quality_suites.cleaned_set".split()
    assert not [name for name in late if name not in sys.modules]
    """
    environment = os.environ | {"PYTHONPATH": str(REPO), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "1"  # jemalloc's own threads are restarted by it


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    settings = yaml.safe_load((REPO / "dataops_assets" / "dagster.yaml").read_text())
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=settings) as made:
        yield made


def test_the_shipped_settings_name_the_launcher_and_keep_two_runs_at_a_time(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, PreloadedRunLauncher)
    assert instance.run_coordinator.dequeue_interval_seconds == 1  # type: ignore[attr-defined]
    assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 2  # type: ignore[union-attr]


def test_a_recycled_pid_is_not_taken_for_the_run(instance: dg.DagsterInstance) -> None:
    launcher = instance.run_launcher
    name = preload.process_name(os.getpid())
    assert name is not None
    statuses = {}
    for case, tag in {"mine": name, "recycled": f"{name}0", "elsewhere": f"x{name}"}.items():
        run = dg.DagsterRun(job_name=case, status=dg.DagsterRunStatus.STARTED, tags={preload.PROCESS_TAG: tag})
        instance.add_run(run)
        statuses[case] = launcher.check_run_worker_health(run).status
        assert case == "mine" or not launcher.terminate(run.run_id)
    assert statuses == {"mine": WorkerStatus.RUNNING, "recycled": WorkerStatus.NOT_FOUND, "elsewhere": WorkerStatus.NOT_FOUND}


def test_a_death_before_the_end_of_the_run_is_a_failure_or_the_end_that_was_asked_for(instance: dg.DagsterInstance) -> None:
    from dagster._serdes import serialize_value

    ends = {}
    for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.SUCCESS):
        run = dg.DagsterRun(job_name="job", status=status)
        instance.add_run(run)
        preload.report_death(preload.Order(run.run_id, serialize_value(instance.get_ref())), -9)
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        ends[status.value] = ended.status.value
    assert ends == {"STARTED": "FAILURE", "CANCELING": "CANCELED", "SUCCESS": "SUCCESS"}


def test_without_a_server_dagsters_way_is_taken_and_said(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> Server:
        raise OSError("no more processes")

    monkeypatch.setattr(Server, "start", refuse)
    launcher = instance.run_launcher
    assert isinstance(launcher, PreloadedRunLauncher)
    assert launcher._fork(preload.Order("x", "")) is False
    assert "import everything anew" in caplog.text and "no more processes" in caplog.text
    monkeypatch.undo()
    assert launcher._fork(preload.Order("x", "")) is False  # not tried again at once
