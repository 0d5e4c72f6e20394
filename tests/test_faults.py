"""Intake and screening broken off anywhere: what lies on the disk is whole, and going on ends in the same bytes.

Real processes, really killed; a real disk that is really full (a small tmpfs in a mount namespace of its own). Failing writes, syncs
and renames are injected into Python's calls, in worker processes too; Delta Lake's commits, which are made in Rust, fail as a whole.
"""

from __future__ import annotations

import importlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataops_assets.simulate import vendors
from dataops_assets.spec import ProjectSpec
from tests.conftest import REPO
from tests.faults import OPERATIONS, STEPS

Case = dict[str, Any]
Break = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dataops_assets.projects import load_project

    spec: ProjectSpec = load_project(REPO / "dataops_assets/defs/dresses/defs.yaml")
    folder = tmp_path_factory.mktemp("vendor") / "lot"
    vendors.deliver(spec, folder, "atelier", 8, 5, vendors.CLEAN)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 and nothing more")
    (folder / ".DS_Store").write_bytes(b"junk")
    return folder


@pytest.fixture
def break_off(tmp_path: Path, delivery: Path) -> Break:
    """Run cases of tests/faults.py; what must hold for each is asserted here."""

    def run(cases: list[Case], on_a_disk_of: str = "", seconds: float = 500) -> list[dict[str, Any]]:
        (tmp_path / "cases.json").write_text(json.dumps(cases))
        place = tmp_path / "place"
        place.mkdir()
        command = [sys.executable, "-m", "tests.faults", str(place), str(tmp_path / "cases.json"), str(delivery)]
        if on_a_disk_of:
            mounted = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && shift 2 && exec "$@"'
            command = ["unshare", "-rm", "sh", "-c", mounted, "sh", on_a_disk_of, str(place), *command]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, done.stderr[-3000:]
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert told[0]["ended"] == "done", told[0]["said"]
        assert len(told) > len([case for case in cases if "every" not in case])
        for one in told[1:]:
            assert one["torn"] == [], one
            assert one["rerun"][0] == "done", one
            assert one["after"] == one["differs"] == [], one
            assert one["ended"] != "error" or ("fail" in one["case"] or "free_kib" in one["case"]), one
        return told[1:]

    return run


def kills(*numbers: int) -> list[Case]:
    return [{"kill": step, "when": when, "nth": nth} for step in STEPS for when in ("before", "after") for nth in numbers]


def at_random(count: int) -> list[Case]:
    draw = random.Random(20)
    return [{"kill_after_s": round(draw.uniform(0.01, 2.0), 3)} for _ in range(count)]


def test_killed_here_and_there_it_goes_on_to_the_same_end(break_off: Break) -> None:
    told = break_off([*kills(1)[::9], *at_random(2)])
    assert sum(one["ended"] == "killed" for one in told) > len(told) / 2


def test_killed_once_all_is_decided_what_catches_up_does_the_rest(break_off: Break) -> None:
    steps = [("enter a verdict", "after", 2), ("show it", "before", 2), ("show it", "after", 2), ("write a page", "before", 3)]
    told = break_off([{"kill": step, "when": when, "nth": nth, "is_decided": True} for step, when, nth in steps])
    assert {one["ended"] for one in told} == {"killed"}


def test_every_step_is_a_function_of_the_product() -> None:
    for step, (module, owner, name) in STEPS.items():
        place = importlib.import_module(module)
        assert callable(getattr(getattr(place, owner) if owner else place, name, None)), step


def test_an_operation_that_fails_leaves_the_state_before_or_after(break_off: Break) -> None:
    numbers = {"write": 9, "fsync": 3, "replace": 5, "link": 3, "commit": 2, "syncfs": 1}
    told = break_off([{"fail": name, "nth": nth} for name, nth in numbers.items()])
    assert {one["case"]["fail"]: one["ended"] for one in told} == dict.fromkeys(numbers, "error")
    assert all("injected" in one["said"] for one in told)


def need_a_small_disk() -> None:
    able = shutil.which("unshare") and subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
    if not able:
        pytest.skip("needs a mount namespace (unshare -rm), which this machine doesn't give")


def test_a_full_disk_is_said_and_survived(break_off: Break) -> None:
    need_a_small_disk()
    told = break_off([{"free_kib": 100}, {"free_kib": 700}], on_a_disk_of="24m")
    assert [one["ended"] for one in told] == ["error", "error"]
    assert "No space left on device" in told[0]["said"]
    assert "/store/tmp/" in told[0]["said"]
    assert any(one["held"] for one in told)  # in the drops ledger, where there is room for a row


@pytest.mark.long
@pytest.mark.timeout(3600)
class TestEverywhere:
    """The long form: every named step, fifty moments, every operation, a disk that is full at every few kilobytes."""

    def test_killed_at_every_step(self, break_off: Break) -> None:
        told = break_off(kills(1, 2, 3), seconds=3500)
        missed = {one["case"]["kill"] for one in told if one["case"]["nth"] == 1 and one["ended"] != "killed"}
        assert missed == set()  # each step is one that this work takes

    def test_killed_at_fifty_moments(self, break_off: Break) -> None:
        told = break_off(at_random(50), seconds=3500)
        assert sum(one["ended"] == "killed" for one in told) >= 35

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_every_operation_fails_once(self, break_off: Break, operation: str) -> None:
        told = break_off([{"fail": operation, "every": 1}], seconds=3500)
        assert sum(one["ended"] == "error" for one in told) > 0

    def test_a_disk_that_is_full_sooner_or_later(self, break_off: Break) -> None:
        need_a_small_disk()
        break_off([{"free_kib": room} for room in range(50, 1150, 50)], on_a_disk_of="24m", seconds=3500)
