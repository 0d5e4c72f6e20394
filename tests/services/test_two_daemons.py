"""Two Dagster installations that share one home: each delivery is taken once, whoever sees it first."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dataops_assets.projects import load_project
from dataops_assets.simulate import vendors
from tests.conftest import REPO
from tests.services.conftest import free_ports, started

pytestmark = pytest.mark.services
DRESSES = REPO / "dataops_assets" / "defs" / "dresses" / "defs.yaml"
DROPS = 4


def test_each_delivery_is_taken_once(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    projects = tmp_path / "projects" / "dresses"
    projects.mkdir(parents=True)
    shutil.copyfile(DRESSES, projects / "defs.yaml")
    shutil.copyfile(REPO / "dataops_assets" / "dagster.yaml", other / "dagster.yaml")
    defs = str(projects.parent)
    with started(home, DATAOPS_DEFS=defs) as live:
        command = [sys.executable, "-m", "dagster", "dev", "-m", "dataops_assets.definitions", "-p", str(free_ports())]
        environment = os.environ | {"DAGSTER_HOME": str(other), "DATAOPS_HOME": str(home), "DATAOPS_DEFS": defs}
        with open(tmp_path / "second.log", "w") as log:
            second = subprocess.Popen(command, env=environment, cwd=other, stdout=log, stderr=log, start_new_session=True)
        try:
            landing = home / "landing" / "dresses" / "atelier"
            landing.mkdir(parents=True, exist_ok=True)
            time.sleep(20)  # both daemons look by now
            for number in range(DROPS):
                hidden = home / "arriving" / f"lot-{number}"
                vendors.deliver(load_project(DRESSES), hidden, "atelier", 6, 100 + number, vendors.CLEAN)
                hidden.rename(landing / hidden.name)

            def released() -> int:
                return len(live.store.released("augmented_set", "dresses"))

            live.wait("release of all drops", lambda: released() == DROPS, 300)
            time.sleep(35)  # two more looks of each
        finally:
            os.killpg(second.pid, signal.SIGINT)
            try:
                second.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(second.pid, signal.SIGKILL)
                second.wait()
        gates = live.store.gates.rows()
        for asset in ("raw_images", "cleaned_set", "augmented_set"):
            judged = gates.loc[gates["asset"] == asset, "partition"]
            assert len(judged) == judged.nunique() == DROPS
        drops = live.store.drops.rows()
        assert len(drops[drops["status"] == "accepted"]) == drops["drop_id"].nunique() == DROPS
        assert live.store.drops.verify() == live.store.gates.verify() == []
