"""Runs of a live daemon are forked from one server: each can be killed, terminated and sees today's YAML."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataops_assets.preload import PROCESS_TAG, process_name
from dataops_assets.projects import load_project
from dataops_assets.simulate import vendors
from tests.conftest import REPO
from tests.services.conftest import Live, started

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the fork server is for Linux"),
]
DRESSES = REPO / "dataops_assets" / "defs" / "dresses" / "defs.yaml"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Path]]:
    """A live platform, and the YAML of its only project."""
    root = tmp_path_factory.mktemp("launcher")
    yaml = root / "projects" / "dresses" / "defs.yaml"
    yaml.parent.mkdir(parents=True)
    shutil.copyfile(DRESSES, yaml)
    (root / "home").mkdir()
    with started(root / "home", DATAOPS_DEFS=str(root / "projects")) as live:
        yield live, yaml


def deliver(live: Live, name: str, pictures: int, seed: int) -> None:
    hidden = live.home / "arriving" / name
    vendors.deliver(load_project(DRESSES), hidden, "atelier", pictures, seed, vendors.CLEAN)
    landing = live.home / "landing" / "dresses" / "atelier"
    landing.mkdir(parents=True, exist_ok=True)
    hidden.rename(landing / name)


def runs(live: Live, name: str) -> list[dict[str, Any]]:
    """Runs of a delivery, the newest first, their tags as a dict."""
    query = """{ runsOrError(filter: {pipelineName: "dresses_drop"}) { ... on Runs { results { runId status tags { key value } } } } }"""
    found = [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in live.ask(query)["runsOrError"]["results"]]
    return [run for run in found if run["tags"]["dataops/name"].endswith(name)]


def working(live: Live, name: str) -> dict[str, Any]:
    """The delivery's run, once its process works."""
    live.wait(f"a run of {name}", lambda: any(run["status"] == "STARTED" and PROCESS_TAG in run["tags"] for run in runs(live, name)), 60)
    return runs(live, name)[0]


def recipes(live: Live, name: str) -> set[str] | None:
    """Recipes in the delivery's released `augmented_set`; None before there is one."""
    drops, gates = live.store.drops.rows(), live.store.gates.rows()
    mine = drops.loc[drops["name"] == name, "drop_id"]
    passed = gates[(gates["asset"] == "augmented_set") & (gates["outcome"] == "pass") & gates["partition"].isin(mine)]
    if passed.empty:
        return None
    frame = live.store.read("augmented_set", "dresses", str(passed["partition"].iloc[-1]), str(passed["version"].iloc[-1])).frame
    return set(frame["recipe"].dropna())


def test_a_killed_run_is_marked_failed_at_once_and_touches_nothing_else(place: tuple[Live, Path]) -> None:
    live, _ = place
    deliver(live, "killed", 40, seed=1)
    run = working(live, "killed")
    name = run["tags"][PROCESS_TAG]
    pid = int(name.split("/")[1])
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert b"dataops_assets.preload" in Path(f"/proc/{parent}/cmdline").read_bytes()
    assert os.getpgid(pid) == pid
    os.kill(pid, signal.SIGKILL)
    assert live.ended(run["runId"], seconds=15) == "FAILURE"  # monitoring looks every 30 s only
    assert process_name(pid) is None
    assert process_name(parent) is not None


def test_terminating_in_the_ui_interrupts_the_run(place: tuple[Live, Path]) -> None:
    live, _ = place
    deliver(live, "terminated", 40, seed=2)
    run = working(live, "terminated")
    answer = live.ask("mutation($id: String!) { terminateRun(runId: $id) { __typename } }", id=run["runId"])
    assert answer["terminateRun"]["__typename"] == "TerminateRunSuccess"
    assert live.ended(run["runId"], seconds=30) == "CANCELED"


def test_the_next_run_sees_a_changed_yaml(place: tuple[Live, Path]) -> None:
    live, yaml = place
    text = yaml.read_text()
    yaml.write_text(text.replace("name: mirror", "name: flipped"))
    assert yaml.read_text() != text
    deliver(live, "changed", 6, seed=3)
    live.wait("the release", lambda: recipes(live, "changed") is not None, 90)
    assert recipes(live, "changed") == {"flipped", "warm_light"}


def test_the_killed_delivery_is_tried_again_and_released(place: tuple[Live, Path]) -> None:
    live, _ = place
    live.wait("the release", lambda: recipes(live, "killed") is not None, 90)
    assert [run["status"] for run in runs(live, "killed")][-1] == "FAILURE"
