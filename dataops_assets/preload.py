"""The fork server of Dagster's runs: it pays for the imports once, then forks one process a run.

`python -m dataops_assets.preload FD`, started by `launcher.py`, which sends an `Order` a run over the socket FD and is answered
with a pid. The server stays single-threaded and opens neither connection nor database: what is forked from it must find
nothing half done. When the socket closes it takes no more work, lets the runs finish and ends. Linux only.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import multiprocessing
import os
import pkgutil
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import dagster as dg

PROCESS_TAG = "dataops/process"  # host/pid/start time, by which a run's process is known again
LOCATION = "dataops_assets.definitions"
STOPPING = (signal.SIGINT, signal.SIGTERM)
LOOK_S = 1.0
# what runs import late, beside our own modules
LATE = (
    "albumentations",
    "alembic.context",
    "cv2",
    "dagster._cli.api",
    "dagster._core.executor.in_process",
    "dagster._core.instance.factory",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.migration.utils",
    "dagster._core.storage.root",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.workspace.autodiscovery",
    "dagster._daemon.controller",
    "deltalake.fs",
    "fsspec.implementations.chained",
    "great_expectations",
    "pandas.core.methods.to_dict",
    "PIL.ImageCms",
    "PIL.ImageFont",
    "PIL.ImageOps",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.sparse.csgraph",
    "simplejpeg",
    "watchdog.observers.polling",
)
NOT_FOR_RUNS = ("dataops_assets.cli", "dataops_assets.defs", "dataops_assets.demo", "dataops_assets.serve")


@dataclass(frozen=True)
class Order:
    """A run to execute, and the Dagster instance (serialized `InstanceRef`) that knows it."""

    run_id: str
    instance: str


@dataclass(frozen=True)
class Ready:
    """What the server says once it can fork: the files it stands for, and their state before it imported them."""

    watched: tuple[str, ...]
    fingerprint: str


# ---- which code a server stands for


def watched() -> tuple[str, ...]:
    """Folders and files that a run's outcome depends on: code, suites, projects' YAML, `.env`."""
    from dataops_assets.projects import defs_root

    suites = importlib.util.find_spec("quality_suites")
    folders = list(suites.submodule_search_locations or ()) if suites is not None else []
    return (str(Path(__file__).parent), *folders, str(defs_root()), str(Path(".env").absolute()))


def fingerprint(paths: Sequence[str]) -> str:
    """Digest of the files' paths, sizes and times of change."""
    from hashlib import sha256

    digest = sha256()
    for path in paths:
        found = [Path(path)] if os.path.isfile(path) else sorted(Path(path).rglob("*"))
        for file in found:
            if "__pycache__" in file.parts or not file.is_file():
                continue
            known = file.stat()
            digest.update(f"{file}\0{known.st_size}\0{known.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


# ---- processes


def process_name(pid: int) -> str | None:
    """`host/pid/start`, which no other process has had since the machine started; None when it isn't running."""
    try:
        # the command's name, in parentheses, may hold anything; the state follows it, the start is field 22
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{socket.gethostname()}/{pid}/{fields[19]}"


def serve(connection: Connection, work: Callable[[Any], None], bury: Callable[[Any, int], None]) -> None:
    """Fork a process for each order that comes, until the connection closes; then wait for those that still run.

    SIGTERM or SIGINT end it too: it takes no more orders and interrupts (SIGINT) what runs.

    Args:
        connection: Orders in, pids out; in place of a pid, why no process could be forked.
        work: Executes one order, in a process and session of its own.
        bury: Told the exit code of an order's process that failed or was killed; in a process of its own, too.
    """
    running: dict[ForkProcess, Any] = {}
    is_asked = threading.Event()
    for number in STOPPING:
        signal.signal(number, lambda number, frame: is_asked.set())
    is_open = True
    while is_open or running:
        sources: list[Any] = [process.sentinel for process in running]
        ready = wait([*sources, connection] if is_open else sources, LOOK_S)
        for process in [process for process in running if not process.is_alive()]:
            order = running[process]
            if process.exitcode and order is not None:
                try:
                    running[_fork(connection, bury, order, process.exitcode)] = None
                except OSError:  # no process to be had now: it is buried a little later
                    time.sleep(LOOK_S)
                    continue
            del running[process]
        if is_asked.is_set():
            is_asked.clear()
            is_open = False
            connection.close()
            for process in [process for process, order in running.items() if order is not None]:
                os.kill(process.pid or 0, signal.SIGINT)
        elif is_open and connection in ready:
            try:
                order = connection.recv()
                try:
                    process = _fork(connection, work, order)
                except OSError as error:  # no process or memory to be had: the launcher takes another way
                    connection.send(str(error))
                    continue
                running[process] = order
                connection.send(process.pid)
            except (EOFError, ConnectionError):
                is_open = False
                connection.close()


def _fork(connection: Connection, task: Callable[..., None], *arguments: Any) -> ForkProcess:
    process = multiprocessing.get_context("fork").Process(target=_live, args=(connection, task, arguments))
    # a signal that came between fork and new handlers would be lost in the child
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    open_before = set(os.listdir("/proc/self/fd"))
    try:
        process.start()
    except OSError:
        for descriptor in set(os.listdir("/proc/self/fd")) - open_before:  # multiprocessing leaves its pipes open
            with contextlib.suppress(OSError):
                os.close(int(descriptor))
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    return process


def _live(connection: Connection, task: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """A forked process, from its first moment: nobody's group, nobody's signals, nobody's random numbers."""
    connection.close()
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    task(*arguments)


# ---- Dagster's runs


def load() -> None:
    """Import what runs import, and build the definitions, in this process."""
    from dataops_assets.imaging import workers

    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    for name in LATE:
        importlib.import_module(name)
    for package in ("dataops_assets", "quality_suites"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.startswith(NOT_FOR_RUNS):
                importlib.import_module(module.name)
    workers.warm_up()
    location = importlib.import_module(LOCATION)
    # Dagster finds definitions where it would build them: a run needn't read the YAML again
    built = location.defs()
    built.get_repository_def().load_all_definitions()
    vars(location)["defs"] = dg.definitions(lambda: built)


def execute(order: Order) -> None:
    """Execute a run as `dagster api execute_run` does; exits with 1 when it didn't end."""
    from dagster._cli.api import _execute_run_command_body
    from dagster._utils.interrupts import capture_interrupts

    from dataops_assets.imaging import nursery, workers

    nursery.start(workers.serve)  # before there are threads
    with capture_interrupts(), _instance(order) as instance:
        instance.add_run_tags(order.run_id, {PROCESS_TAG: process_name(os.getpid()) or ""})
        _execute_run_command_body(order.run_id, instance, lambda event: None, set_exit_code_on_failure=False)
        nursery.stop()
        run = instance.get_run_by_id(order.run_id)
        if run is not None and not run.is_finished:
            sys.exit(1)


def report_death(order: Order, code: int) -> None:
    """Mark a run whose process ended before it: failed, or canceled where someone asked for that."""
    with _instance(order) as instance:
        run = instance.get_run_by_id(order.run_id)
        if run is None or run.is_finished:
            return
        how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
        message = f"The process of this run ended by {how} before the run did."
        if run.status is dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message)
        else:
            instance.report_run_failed(run, message)


def _instance(order: Order) -> dg.DagsterInstance:
    from dagster._core.instance import InstanceRef
    from dagster._serdes import deserialize_value

    return dg.DagsterInstance.from_ref(deserialize_value(order.instance, InstanceRef))


def main(descriptor: int) -> None:
    """Life of the server."""
    from dagster._core.secrets.env_file import get_env_var_dict

    connection = Connection(descriptor)
    os.environ.update(get_env_var_dict(os.getcwd()))
    paths = watched()
    seen = fingerprint(paths)
    load()
    if threading.active_count() > 1:
        raise RuntimeError(f"imports started threads, a fork would break them: {threading.enumerate()}")
    gc.collect()
    gc.freeze()
    connection.send(Ready(paths, seen))
    serve(connection, execute, report_death)


if __name__ == "__main__":
    # under its own name, or what it pickles could not be read elsewhere
    from dataops_assets import preload

    preload.main(int(sys.argv[1]))
