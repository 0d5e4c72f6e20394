"""Intake as a state machine: whatever vendors do in their folder, in whatever order, each content is one drop and nothing is lost."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from PIL import Image

from dataops_assets import waiting
from dataops_assets.flow import images
from dataops_assets.home import Home
from dataops_assets.imaging.headers import header
from dataops_assets.spec import load_project
from dataops_assets.stages import raw_images
from dataops_assets.store import Store, now
from tests.conftest import REPO

SPEC = load_project(REPO / "dataops_assets/defs/dresses/defs.yaml")
NAMES = st.sampled_from(["lot", "Lot 2", "l\u00f6t"])
FILES = st.dictionaries(st.sampled_from(["a.jpg", "b.jpg", "sub/c.jpg", ".DS_Store", "d.txt"]), st.integers(0, 4), min_size=1, max_size=4)
Content = dict[str, bytes]


def picture(number: int) -> bytes:
    if number == 4:
        return b"no picture"
    buffer = io.BytesIO()
    Image.new("RGB", (12 + number, 12), (50 * number, 80, 20)).save(buffer, "JPEG")
    return buffer.getvalue()


PICTURES = [picture(number) for number in range(5)]


class Here:
    """Reads headers in this process: children are tested elsewhere, and cost a second an example."""

    def __init__(self, blobs: Any, max_pixels: int, **_: Any) -> None:
        self.blobs, self.max_pixels, self.found = blobs, max_pixels, {}

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self, shas: Iterable[str]) -> None:
        for sha256 in shas:
            with self.blobs.open(sha256) as file:
                self.found[sha256] = header(file, self.max_pixels)


class Landing(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.store = Store(Home.at(self.root))
        self.vendor = self.store.home.landing("dresses") / "atelier"
        self.vendor.mkdir(parents=True)
        self.there: dict[str, Content] = {}
        self.taken: dict[str, list[Content]] = {}  # by name, each content that was taken, one after the other
        self.looks: waiting.Looks = {}
        self.clock = 0.0

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(name=NAMES, files=FILES, is_marked=st.booleans())
    def deliver(self, name: str, files: dict[str, int], is_marked: bool) -> None:
        folder = self.vendor / name
        shutil.rmtree(folder, ignore_errors=True)
        self.there[name] = {path: PICTURES[number] for path, number in files.items()}
        for path, data in self.there[name].items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        if is_marked:
            (folder / "_COMPLETE").touch()

    @rule(name=NAMES)
    def touch(self, name: str) -> None:
        for path in (self.vendor / name).rglob("*.jpg"):
            path.touch()

    @rule(name=NAMES, number=st.integers(0, 3))
    def add(self, name: str, number: int) -> None:
        if name in self.there:
            (self.vendor / name / "late.jpg").write_bytes(PICTURES[number])
            self.there[name] = {**self.there[name], "late.jpg": PICTURES[number]}

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        shutil.rmtree(self.vendor / name, ignore_errors=True)
        self.there.pop(name, None)

    @rule(seconds=st.sampled_from([15.0, 61.0]))
    def look(self, seconds: float) -> None:
        self.clock += seconds
        found = waiting.drops(self.store, SPEC, self.looks, self.clock)
        self.looks = found.looks
        for item in found.ready:
            name = item.name.partition("/")[2]
            version = images.raw_images(self.store, SPEC, item.partition).version
            passed = [
                {"project": "dresses", "asset": asset, "partition": item.partition, "version": version, "outcome": "pass", "at": now()}
                for asset in waiting.DROP_CHAIN
            ]
            self.store.gates.append(lambda rows: passed)  # noqa: B023
            history = self.taken.setdefault(name, [])
            if not history or history[-1] != self.there[name]:
                history.append(self.there[name])

    @rule()
    def wait_until_all_is_taken(self) -> None:
        for seconds in (15.0, 61.0, 15.0):
            self.look(seconds)
        assert waiting.drops(self.store, SPEC, self.looks, self.clock).ready == []
        for name, content in self.there.items():
            assert self.taken[name][-1] == content

    @invariant()
    def each_content_is_one_drop_and_the_next_supersedes_it(self) -> None:
        if not hasattr(self, "store"):
            return
        rows = self.store.drops.rows()
        assert self.store.drops.verify() == []
        done = rows[rows["files_seen"].notna()]
        for name, history in self.taken.items():
            drops = list(done.loc[done["name"] == name, "drop_id"].unique())
            assert len(drops) == len(history)
            before = None
            for drop, content in zip(drops, history, strict=True):
                mine = done[done["drop_id"] == drop]
                assert mine["supersedes"].dropna().unique().tolist() in ([], [before] if before else [])
                assert before is None or mine["supersedes"].iloc[0] == before
                before = drop
                frame = self.store.load("raw_images", "dresses", drop).frame
                frame = frame[frame["path"] != "_COMPLETE"]
                assert set(frame["path"]) == content.keys()
                for path, sha256 in zip(frame["path"], frame["sha256"], strict=True):
                    assert sha256 == hashlib.sha256(content[path]).hexdigest()
                    if not path.startswith("."):
                        assert self.store.blobs.read(sha256) == content[path]

    @invariant()
    def nothing_is_left_lying_about(self) -> None:
        if hasattr(self, "root"):
            left = [*(self.root / "store" / "tmp").glob("*"), *(self.root / "scratch" / "intake").glob("*")]
            assert left == []
            assert set(os.listdir(self.root)) <= {"landing", "scratch", "store"}


class TestLanding(Landing.TestCase):
    settings = settings(max_examples=12, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))

    def runTest(self) -> None:
        held, raw_images.HeaderReader = raw_images.HeaderReader, Here  # type: ignore[misc,assignment]
        try:
            super().runTest()
        finally:
            raw_images.HeaderReader = held  # type: ignore[misc]
