"""The platform as people use it: a live daemon and webserver, drops that arrive, gates that hold."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from dataops_assets.projects import load_project
from dataops_assets.simulate import dresses, vendors, workers
from tests.conftest import REPO
from tests.services.conftest import Live

pytestmark = pytest.mark.services


def outcome(live: Live, asset: str, partition: str) -> str:
    rows = live.store.gates.rows()
    rows = rows[(rows["asset"] == asset) & (rows["partition"] == partition)]
    return str(rows["outcome"].iloc[-1]) if len(rows) else "none"


def drop_of(live: Live, name: str) -> str:
    rows = live.store.drops.rows()
    rows = rows[rows["name"] == name]
    return str(rows["drop_id"].iloc[-1]) if len(rows) else "none"


def command(live: Live, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dataops_assets.cli", *arguments, "--home", str(live.home)], capture_output=True, text=True, timeout=300
    )


def test_a_folder_and_a_zip_come_to_augmented_set_with_nobody_touching_anything(live: Live, dresses_spec_pictures: list[bytes]) -> None:
    landing = live.home / "landing" / "dresses" / "atelier"
    landing.mkdir(parents=True)
    folder = landing / ".arriving"
    folder.mkdir()
    for number, data in enumerate(dresses_spec_pictures[:6]):
        (folder / f"{number}.jpg").write_bytes(data)
    (folder / "_COMPLETE").touch()
    folder.rename(landing / "a-folder")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, data in enumerate(dresses_spec_pictures[6:12]):
            archive.writestr(f"{number}.jpg", data)
    (landing / ".arriving.zip").write_bytes(packed.getvalue())
    (landing / ".arriving.zip").rename(landing / "a-zip.zip")

    for name in ("a-folder", "a-zip.zip"):
        live.wait(f"{name} in augmented_set", lambda name=name: outcome(live, "augmented_set", drop_of(live, name)) == "pass")

    def statuses() -> list[str]:
        runs = live.ask("""{ runsOrError(filter: {pipelineName: "dresses_drop"}) { ... on Runs { results { status } } } }""")
        return [run["status"] for run in runs["runsOrError"]["results"]]

    live.wait("the end of the runs", lambda: set(statuses()) == {"SUCCESS"})
    time.sleep(35)  # two further looks of the sensor
    assert statuses() == ["SUCCESS", "SUCCESS"]  # each drop once


def test_labels_put_into_returns_are_read_and_judged_by_the_sensor(live: Live) -> None:
    planned = command(live, "plan", "dresses", "--kind", "pilot", "--limit", "6")
    assert planned.returncode == 0, planned.stderr + planned.stdout
    spec = load_project(REPO / "dataops_assets/defs/dresses/defs.yaml")
    values = {attribute.name: list(attribute.values) for attribute in spec.ontology.attributes}
    request = live.home / "requests" / "dresses" / "pilot-001"
    known = {task.item_id: {name: values[name][0] for name in values} for task in workers.read_tasks(request)}
    folder = live.home / "returns" / "dresses" / "pilot-001" / "dataops"
    folder.mkdir(parents=True)
    (folder / "labels.csv").write_text(workers.label(request, known, workers.EXPERTS, 1, datetime(2026, 11, 5, tzinfo=UTC), values))
    (folder / "_COMPLETE").touch()
    live.wait("judged labels", lambda: outcome(live, "vendor_feedback", "pilot-001") == "pass")
    assert outcome(live, "label_quality", "pilot-001") == "pass"


def test_promotion_holds_for_whoever_presses_materialize(live: Live, tmp_path: Path) -> None:
    """The four runs: the gate fails in a run; downstream alone is refused; the gate passes; downstream runs."""
    spec = load_project(REPO / "dataops_assets/defs/dresses/defs.yaml")
    arriving = tmp_path / "spoilt"
    vendors.bad_drop(spec, arriving, "bazaar", 12, seed=3)
    target = live.home / "landing" / "dresses" / "bazaar"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(arriving, target / ".arriving")
    (target / ".arriving").rename(target / "spoilt")

    live.wait("the gate", lambda: outcome(live, "cleaned_set", drop_of(live, "spoilt")) == "fail")
    drop = drop_of(live, "spoilt")
    assert live.launch("dresses", ["augmented_set"], drop) == "FAILURE"
    assert outcome(live, "augmented_set", drop) == "none"
    shown = live.ask("{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }")["runsOrError"]["results"][0]["runId"]
    assert "is not released: its gate failed" in live.failure(shown)

    waived = command(
        live, "waive", "dresses", "cleaned_set", drop, "--reason", "for the test", "--by", "ann@example.org", "--until", "2099-01-01"
    )
    assert waived.returncode == 0, waived.stderr
    assert outcome(live, "cleaned_set", drop) == "waived"
    # the sensor may carry on by itself meanwhile; pressing the button works either way
    assert live.launch("dresses", ["augmented_set"], drop) == "SUCCESS"
    assert outcome(live, "augmented_set", drop) == "pass"


def test_the_failure_sensor_says_what_failed(live: Live) -> None:
    log = live.home / "reports" / "failures.log"
    live.wait("the failure log", lambda: log.exists() and "is not released" in log.read_text())


def test_report_pages_are_served_read_only_without_scripts(live: Live) -> None:
    page = next((live.home / "reports" / "dresses" / "cleaned_set").glob("*.html"))
    with urllib.request.urlopen(f"http://127.0.0.1:{live.port + 1}/dresses/cleaned_set/{page.name}", timeout=10) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert b"<h1>" in answer.read()


@pytest.fixture(scope="module")
def dresses_spec_pictures() -> list[bytes]:
    spec = load_project(REPO / "dataops_assets/defs/dresses/defs.yaml")
    pictures = []
    for attributes, seed in dresses.specimens(12, 5, spec):
        buffer = io.BytesIO()
        dresses.draw(attributes, seed).convert("RGB").save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    assert all(Image.open(io.BytesIO(data)).size[0] > 200 for data in pictures)
    return pictures
