"""Locks between processes: one at a time, whoever tidies the file meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dataops_assets import claims, locks
from dataops_assets.flow.shared import exclusive
from dataops_assets.home import Home
from dataops_assets.store import Store
from tests.conftest import REPO

COUNTING = """
import sys
from pathlib import Path
from dataops_assets import locks
from dataops_assets.home import Home
home, number = Home.at(sys.argv[1]), Path(sys.argv[1]) / "number"
for _ in range(200):
    with locks.hold(home, "counter"):
        number.write_text(str(int(number.read_text()) + 1))
"""

SHARING = """
import os, sys
from contextlib import ExitStack
os.getpid = lambda: PID
from dataops_assets import locks
from dataops_assets.home import Home
with ExitStack() as held:
    for _ in range(20):
        sharing = held.enter_context(locks.share(Home.at(sys.argv[1]), "work"))
    print(sharing())
"""


def test_nobody_else_comes_in_and_nothing_is_left(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    with locks.hold(home, "a"):
        with claims.alone(home, "a") as is_alone:
            assert not is_alone
        with claims.alone(home, "b") as is_alone:
            assert is_alone
    with claims.alone(home, "a") as is_alone:
        assert is_alone
    assert list((home.scratch / "locks").iterdir()) == []


def test_processes_that_take_and_tidy_a_lock_come_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    counting = [subprocess.Popen([sys.executable, "-c", COUNTING, str(tmp_path)], cwd=REPO) for _ in range(4)]
    assert [process.wait(120) for process in counting] == [0] * 4
    assert (tmp_path / "number").read_text() == "800"


def test_who_waited_for_a_file_that_lost_its_name_doesnt_come_in_beside_the_next(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    path = home.scratch / "locks" / "a"
    descriptor = locks.take(path)
    assert descriptor is not None
    came = threading.Event()

    def wait_for_it() -> None:
        with locks.hold(home, "a"):
            came.set()

    waiting = threading.Thread(target=wait_for_it)
    waiting.start()
    path.unlink()
    with locks.hold(home, "a"):  # the name is another file's by now
        locks.let_go(tmp_path / "nothing", descriptor)
        assert not came.wait(0.5)
    waiting.join(10)
    assert came.is_set()


def test_drops_of_a_project_have_a_lock_each(store: Store) -> None:
    with exclusive(store, "dresses.d1.intake"), claims.alone(store.home, "dresses.d2.intake") as is_alone:
        assert is_alone


def test_how_many_share_something_without_those_that_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOOK_S", -1.0)
    home = Home.at(tmp_path)
    with locks.share(home, "work") as one:
        assert one() == 1
        with locks.share(home, "work") as other:
            assert (one(), other()) == (2, 2)
        (home.scratch / "locks" / "work" / "1.0").touch()  # as of one that was killed
        assert one() == 1
    assert list((home.scratch / "locks" / "work").iterdir()) == []


def test_processes_of_one_number_in_two_containers_share_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)
    script = SHARING.replace("PID", "7")
    with locks.share(Home.at(tmp_path), "work") as sharing:
        assert sharing() == 1
        there = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=REPO, capture_output=True, text=True, timeout=20)
    assert there.stdout.strip() == "21", there.stderr
