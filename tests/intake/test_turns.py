"""Runs in several processes agree on whose turn it is at a host."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from dataops_assets.intake.turns import LONGEST_PAUSE_S, Turns


def take_many(folder: str, count: int, waits: list[float]) -> None:
    turns = Turns(Path(folder), clock=lambda: 1000.0)
    waits += [turns.take("a.example", 1.0, 1e9) for _ in range(count)]


def test_two_processes_never_get_the_same_turn(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Manager() as manager:
        waits = manager.list()
        processes = [multiprocessing.get_context("spawn").Process(target=take_many, args=(str(tmp_path), 40, waits)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert sorted(waits) == [float(number) for number in range(80)]


def test_a_pause_that_one_run_was_asked_for_is_kept_by_the_others(tmp_path: Path) -> None:
    first, second = Turns(tmp_path, clock=lambda: 50.0), Turns(tmp_path, clock=lambda: 60.0)
    first.leave_alone("a.example", 100)
    assert second.take("a.example", 1.0, 10) == 90  # too long: the turn isn't taken
    assert second.take("a.example", 1.0, 100) == 90
    assert second.take("a.example", 1.0, 100) == 91
    assert second.take("b.example", 1.0, 0) == 0


def test_nobody_is_left_alone_for_ever(tmp_path: Path) -> None:
    turns = Turns(tmp_path, clock=lambda: 0.0)
    turns.leave_alone("a.example", 1e9)
    assert turns.take("a.example", 1.0, 0) == LONGEST_PAUSE_S


@pytest.mark.parametrize(
    "left", [b"", b'{"free_at": 9', b"[]", b'{"free_at": 900, "written_at": 800}', b'{"free_at": "x", "written_at": 0}']
)
def test_a_torn_file_and_one_of_a_clock_that_was_put_back_count_as_none(tmp_path: Path, left: bytes) -> None:
    turns = Turns(tmp_path, clock=lambda: 100.0)
    turns.leave_alone("a.example", 50)
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_bytes())["free_at"] == 150
    path.write_bytes(left)
    assert turns.take("a.example", 1.0, 0) == 0
    assert turns.take("a.example", 1.0, 0) == 1


def hold(path: str) -> None:
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        Path(f"{path}.held").touch()
        time.sleep(60)


def test_a_killed_run_holds_up_nobody(tmp_path: Path) -> None:
    turns = Turns(tmp_path)
    turns.take("a.example", 1.0, 0)
    (path,) = tmp_path.iterdir()
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(str(path),))
    process.start()
    ends = time.monotonic() + 30
    while not Path(f"{path}.held").exists() and time.monotonic() < ends:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert turns.take("a.example", 1.0, 10) < 10
