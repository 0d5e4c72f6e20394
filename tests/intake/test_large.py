"""A very large delivery streams: bounded memory, and a killed intake goes on where it was. A process of its own each, really killed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import REPO

INTAKE = """
import json, re, sys
from pathlib import Path
from dataops_assets.flow import images
from dataops_assets import blobs, gates
from dataops_assets.home import Home
from dataops_assets.intake.identity import drop_id_of
from dataops_assets.projects import load_project
from dataops_assets.store import Store
written, real, told = [0], blobs.Batch.put_stream, set()
def counted(self, chunks):
    written[0] += 1
    return real(self, chunks)
blobs.Batch.put_stream = counted
store, spec = Store(Home.at(sys.argv[1])), load_project(Path(sys.argv[2]))
drop = drop_id_of("acme", "lot")
made = images.raw_images(store, spec, drop, progress=lambda what, done, total: told.add((what, total)))
verdict = gates.pass_through(store, spec, "raw_images", drop, made.version)
# not getrusage: that begins with the peak of the process which started this one
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps({"outcome": verdict.outcome, "version": made.version, "rows": len(made.frame), "written": written[0], "peak_mb": peak,
                  "told": sorted(told)}))
"""
SPEC = REPO / "dataops_assets/defs/garments/defs.yaml"
LARGE_BYTES = 40 << 20
LARGE, MOST_MB = {3000: 18, 100_000: 30}, {3000: 640, 100_000: 1024}  # of the process, imports and all


def deliver(root: Path, files: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 40, 200)).save(buffer, "JPEG")
    for number in range(files):
        path = root / "landing/garments/acme/lot" / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue() + number.to_bytes(8, "big"))
        if number % (files // LARGE[files]) == 0:  # together more than may be held in memory; they take no room until they are kept
            os.truncate(path, LARGE_BYTES)


def start(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", INTAKE, str(root), str(SPEC)]
    return subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("files", [3000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_large_delivery_is_taken_in_bounded_memory_and_goes_on_after_a_kill(tmp_path: Path, files: int) -> None:
    deliver(tmp_path, files)
    killed = start(tmp_path)
    journals = tmp_path / "scratch" / "intake"
    deadline = time.monotonic() + 900
    while not any(path.stat().st_size > 170 * files * 0.3 for path in journals.glob("*.jsonl")):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    kept = sum(1 for line in next(journals.glob("*.jsonl")).read_text().split("\n") if line)

    told = json.loads(start(tmp_path).communicate(timeout=1200)[0].splitlines()[-1])
    assert (told["outcome"], told["rows"]) == ("pass", files)
    assert told["written"] <= files - kept + 1
    assert told["peak_mb"] < MOST_MB[files] and LARGE[files] * LARGE_BYTES > MOST_MB[files] << 20
    assert ["files read", files] in told["told"]
    assert not list(journals.glob("*")) and not list((tmp_path / "store" / "tmp").glob("*"))
