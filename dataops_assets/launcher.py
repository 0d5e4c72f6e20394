"""Dagster's run launcher: runs are forked from a server that has imported everything, instead of each importing it again.

`dagster.yaml` names it. The server (`preload.py`) starts at the first launch, in the daemon as a rule. Where it can't, runs
are launched as Dagster does by default, and the log says so.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from dagster import DagsterRun, DagsterRunStatus, DefaultRunLauncher
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import ConfigurableClassData, serialize_value

from dataops_assets.preload import PROCESS_TAG, Order, Ready, fingerprint, process_name

START_S = 240.0  # importing everything takes 5 s on an idle core; a run may take 300 s to start
ANSWER_S = 60.0
RETRY_S = 300.0
TAG_S = 5.0

log = logging.getLogger("dagster.dataops_launcher")


@dataclass(frozen=True)
class Server:
    """A fork server and what it has imported."""

    process: subprocess.Popen[bytes]
    connection: Connection
    ready: Ready

    @classmethod
    def start(cls) -> Server:
        """Start one and wait until it has imported everything.

        Raises:
            OSError: when it doesn't start; its own words are on stderr.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "dataops_assets.preload", str(theirs.fileno())]
            # a session of its own: who ends the daemon's group shall not end its runs
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={"OPENBLAS_NUM_THREADS": "1", **os.environ},  # its threads would be there before the fork
                start_new_session=True,
            )
        connection = Connection(ours.detach())
        try:
            if not connection.poll(START_S):
                raise TimeoutError(f"the fork server was not ready after {START_S:.0f} s")
            return cls(process, connection, connection.recv())
        except (OSError, EOFError) as error:
            connection.close()
            process.kill()
            raise OSError(f"the fork server ended with code {process.wait()}: {error or 'see above'}") from error

    def fork(self, order: Order) -> int:
        """Have the run forked; returns its pid.

        Raises:
            OSError: when the server is gone or doesn't answer.
        """
        try:
            self.connection.send(order)
            if not self.connection.poll(ANSWER_S):
                raise TimeoutError(f"the fork server didn't answer for {ANSWER_S:.0f} s")
            answer = self.connection.recv()
        except EOFError as error:
            raise ConnectionError("the fork server is gone") from error
        if not isinstance(answer, int):
            raise OSError(f"the fork server could not fork: {answer}")
        return answer


class PreloadedRunLauncher(DefaultRunLauncher):
    """Launches runs as children of a fork server on this host; each is a process, group and session of its own."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._left: list[subprocess.Popen[bytes]] = []  # servers that finish their last runs
        self._not_before = 0.0

    def launch_run(self, context: LaunchRunContext) -> None:
        order = Order(context.dagster_run.run_id, serialize_value(self._instance.get_ref()))
        with self._lock:
            is_launched = self._fork(order)
        if not is_launched:
            super().launch_run(context)

    def _fork(self, order: Order) -> bool:
        """True when the run has its process; False where there is no fork server."""
        if not sys.platform.startswith("linux"):
            log.warning("Runs import everything anew: there is no safe fork on %s.", sys.platform)
            return False
        for _ in range(2):  # the server may have died since the last run
            try:
                server = self._fresh()
            except OSError as error:
                log.warning("Runs import everything anew for the next %.0f s: %s", RETRY_S, error)
                self._not_before = time.monotonic() + RETRY_S
                return False
            if server is None:
                return False
            try:
                server.fork(order)
                return True
            except TimeoutError:
                self._leave()
                raise  # it may have the order: launched twice would be worse
            except OSError as error:
                log.warning("Starting another fork server: %s", error)
                self._leave()
        return False

    def _fresh(self) -> Server | None:
        """A server that has imported the files as they are now; None while it is too early to try again."""
        if self._server is not None and fingerprint(self._server.ready.watched) != self._server.ready.fingerprint:
            log.info("Code or settings changed; starting another fork server.")
            self._leave()
        if self._server is None and time.monotonic() >= self._not_before:
            started = time.monotonic()
            self._server = Server.start()
            log.info("Fork server %d is ready after %.1f s.", self._server.process.pid, time.monotonic() - started)
        return self._server

    def _leave(self) -> None:
        """Let the server go: it finishes its runs and ends."""
        if self._server is not None:
            self._server.connection.close()
            self._left.append(self._server.process)
            self._server = None
        self._left = [process for process in self._left if process.poll() is None]

    def dispose(self) -> None:
        with self._lock:
            self._leave()
        super().dispose()

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run, from any process on its host; Dagster ends it as canceled."""
        name = self._process_of(run_id)
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if name is None:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        host, pid, _ = name.split("/")
        if process_name(int(pid)) != name:
            what = f"runs on {host}, not here" if host != socket.gethostname() else "is gone"
            self._instance.report_engine_event(f"Can't interrupt the run: its process {pid} {what}.", run, cls=self.__class__)
            return False
        self._instance.report_run_canceling(run)
        os.kill(int(pid), signal.SIGINT)
        return True

    def _process_of(self, run_id: str) -> str | None:
        """The name of a run's process; a run that was launched a moment ago tells it a little later."""
        deadline = time.monotonic() + TAG_S
        while run := self._instance.get_run_by_id(run_id):
            if name := run.tags.get(PROCESS_TAG):
                return name
            if run.status is not DagsterRunStatus.STARTING or GRPC_INFO_TAG in run.tags or time.monotonic() > deadline:
                return None
            time.sleep(0.1)
        return None

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process that started the run still is that process."""
        name = run.tags.get(PROCESS_TAG)
        if name is None:  # launched by Dagster's code server, which doesn't tell
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        host, pid, _ = name.split("/")
        if process_name(int(pid)) == name:
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=name)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"process {pid} of {host} is gone", run_worker_id=name)

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        name = run.tags.get(PROCESS_TAG)
        return f"The run's process: {name} (host/pid/start)." if name else None
