"""A live Dagster: webserver, daemon and report pages, started as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dataops_assets.home import Home
from dataops_assets.store import Store

START_S = 180


@dataclass
class Live:
    """A running `dataops ui` and its GraphQL."""

    home: Path
    port: int
    log: Path

    @property
    def store(self) -> Store:
        return Store(Home.at(self.home))

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = json.load(answer)
        assert "errors" not in body, body["errors"]
        data: dict[str, Any] = body["data"]
        return data

    def launch(self, project: str, assets: list[str], partition: str) -> str:
        """Materialize assets of one partition, as the UI's button does; returns how the run ended."""
        selector = {
            "repositoryLocationName": "dataops_assets.definitions",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [project, asset]} for asset in assets],
        }
        tags = [{"key": "dagster/partition", "value": partition}]
        params = {"selector": selector, "mode": "default", "runConfigData": {}, "executionMetadata": {"tags": tags}}
        data = self.ask(LAUNCH, params=params)["launchRun"]
        assert data["__typename"] == "LaunchRunSuccess", data
        return self.ended(data["run"]["runId"])

    def ended(self, run_id: str, seconds: float = 300) -> str:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.ask("query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)["runOrError"]["status"]
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return str(status)
            time.sleep(0.5)
        raise TimeoutError(f"run {run_id} did not end; see {self.log}")

    def failure(self, run_id: str) -> str:
        """Text of a run's step failures."""
        query = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { ... on ExecutionStepFailureEvent
            { error { message } failureMetadata { description } } } } } }"""
        events = self.ask(query, id=run_id)["logsForRun"]["events"]
        return json.dumps([event for event in events if event])

    def wait(self, what: str, is_there: Any, seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if is_there():
                return
            time.sleep(1)
        raise TimeoutError(f"{what} did not happen within {seconds:.0f} s:\n{self.log.read_text()[-3000:]}")


LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } ... on RunConfigValidationInvalid { errors { message } } } }"""


def free_ports() -> int:
    """A port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with started(tmp_path_factory.mktemp("live")) as server:
        yield server


@contextmanager
def started(home: Path, **settings: str) -> Iterator[Live]:
    """`dataops ui` in that home, with environment variables of its own."""
    port = free_ports()
    log = home / "ui.log"
    command = [sys.executable, "-m", "dataops_assets.cli", "ui", "--home", str(home), "--port", str(port)]
    environment = {**os.environ, "GX_ANALYTICS_ENABLED": "false", **settings}
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    server = Live(home, port, log)
    try:
        server.wait("the UI", lambda: process.poll() is not None or answers(server), START_S)
        assert process.poll() is None, log.read_text()[-3000:]
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def answers(server: Live) -> bool:
    try:
        locations = server.ask("{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }")["workspaceOrError"]
    except OSError:
        return False
    entries = locations.get("locationEntries", [])
    return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)
