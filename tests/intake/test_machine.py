"""Intake as a state machine: whatever vendors do in their folder, in whatever order, each content is one drop and nothing is lost."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from PIL import Image

from dataops_assets import drops, waiting
from dataops_assets.flow import images
from dataops_assets.home import Home
from dataops_assets.imaging.headers import header
from dataops_assets.projects import load_project
from dataops_assets.stages import raw_images
from dataops_assets.store import Store, now
from tests.conftest import REPO

SPEC = load_project(REPO / "dataops_assets/defs/dresses/defs.yaml")
NAMES = ["lot", "l\u00f6t 2", "packed.zip"]
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


class Killed(Exception):
    """The process ended here."""


class Landing(RuleBasedStateMachine):
    @initialize(first=st.lists(FILES, min_size=3, max_size=3))
    def begin(self, first: list[dict[str, int]]) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.store = Store(Home.at(self.root))
        self.vendor = self.store.home.landing("dresses") / "atelier"
        self.vendor.mkdir(parents=True)
        self.there: dict[str, Content] = {}
        self.taken: dict[str, list[Content]] = {}  # by name, each content that was taken, one after the other
        self.parked: dict[str, tuple[str, Content]] = {}  # by name, the drop that is given up and its content
        self.looks: waiting.Looks = {}
        self.clock = 0.0
        for name, files in zip(NAMES, first, strict=True):
            self.deliver(name, files, True)

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(name=st.sampled_from(NAMES), files=FILES, is_marked=st.booleans())
    def deliver(self, name: str, files: dict[str, int], is_marked: bool) -> None:
        path = self.vendor / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.there[name] = {path: PICTURES[number] for path, number in files.items()}
        if name.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                for file, data in self.there[name].items():
                    archive.writestr(file, data)
            return
        for file, data in self.there[name].items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_bytes(data)
        if is_marked:
            (path / "_COMPLETE").touch()

    @rule(name=st.sampled_from(NAMES), how=st.sampled_from(["touch", "add", "remove"]), number=st.integers(0, 3))
    def change(self, name: str, how: str, number: int) -> None:
        path = self.vendor / name
        if how == "touch":  # copied anew, for all anybody knows: tried again, too
            self.parked.pop(name, None)
            for file in [*self.vendor.glob(name), *path.rglob("*.jpg")]:
                file.touch()
        elif how == "remove":
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            self.there.pop(name, None)
        elif path.is_dir():
            (path / "late.jpg").write_bytes(PICTURES[number])
            self.there[name] = {**self.there[name], "late.jpg": PICTURES[number]}

    @rule(seconds=st.sampled_from([15.0, 61.0, 61.0]), then=st.sampled_from(["release", "release", "refuse", "die", "park"]))
    def look(self, seconds: float, then: str) -> None:
        """Two looks, as of a daemon whose queue was full at the first."""
        for passed in (15.0, seconds):
            self.clock += passed
            found = waiting.drops(self.store, SPEC, self.looks, self.clock)
            self.looks = found.looks
        for item in found.ready:
            name = item.name.partition("/")[2]
            assert name not in self.parked or self.there[name] != self.parked[name][1]
            if then == "park":
                drops.park(self.store, SPEC, [{**item.facts, "reason": "5 runs failed"}])
                self.parked[name] = item.partition, self.there[name]
            elif then == "die":
                self.die(item.partition)
            else:
                self.take(item.partition, name, then)
        if then != "die":  # what was taken, refused or given up isn't asked for again
            assert waiting.drops(self.store, SPEC, self.looks, self.clock).ready == []

    def take(self, drop_id: str, name: str, then: str) -> None:
        version = images.raw_images(self.store, SPEC, drop_id).version
        outcomes = {"raw_images": "pass", "cleaned_set": "fail"} if then == "refuse" else dict.fromkeys(waiting.DROP_CHAIN, "pass")
        rows = [
            {"project": "dresses", "asset": asset, "partition": drop_id, "version": version, "outcome": outcome, "at": now()}
            for asset, outcome in outcomes.items()
        ]
        self.store.gates.append(lambda held: rows)
        self.parked.pop(name, None)
        history = self.taken.setdefault(name, [])
        if not history or history[-1] != self.there[name]:
            history.append(self.there[name])

    def die(self, drop_id: str) -> None:
        """The run is killed when everything is written but its row in the ledger."""

        def killed(*_: Any) -> None:
            raise Killed

        real, drops.enter_drop = drops.enter_drop, killed  # type: ignore[assignment]
        try:
            with pytest.raises(Killed):
                images.raw_images(self.store, SPEC, drop_id)
        finally:
            drops.enter_drop = real
        shutil.rmtree(self.root / "scratch" / "intake", ignore_errors=True)  # a journal waits for the next run, which may never come

    @precondition(lambda self: self.parked)
    @rule()
    def retry(self) -> None:
        for name, (drop_id, given_up) in list(self.parked.items()):
            if given_up == self.there.get(name):
                drops.retry(self.store, SPEC, drop_id)
                del self.parked[name]

    @rule()
    def wait_until_all_is_taken(self) -> None:
        self.look(61.0, "release")
        for name, content in self.there.items():
            assert content in (self.taken.get(name, [None])[-1], self.parked.get(name, ("", None))[1])

    @invariant()
    def each_content_is_one_drop_and_the_next_supersedes_it(self) -> None:
        if not hasattr(self, "store"):
            return
        rows = self.store.drops.rows()
        assert self.store.drops.verify() == []
        done = rows[rows["files_seen"].notna() & (rows["status"] != "parked")]
        released = self.store.released("raw_images", "dresses")
        for name, history in self.taken.items():
            ids = list(done.loc[done["name"] == name, "drop_id"].unique())
            assert len(ids) == len(history)
            for place, (drop_id, content) in enumerate(zip(ids, history, strict=True)):
                assert [one for one in self.store.replaced_by("dresses", drop_id) if one in ids] == ids[:place][::-1]
                frame = self.store.read("raw_images", "dresses", drop_id, released[drop_id]).frame
                frame = frame[frame["path"] != "_COMPLETE"]
                assert set(frame["path"]) == content.keys()
                for path, sha256 in zip(frame["path"], frame["sha256"], strict=True):
                    assert sha256 == hashlib.sha256(content[path]).hexdigest()
                    if not path.startswith("."):
                        assert self.store.apart("dresses").read(sha256) == content[path]  # what is refused lies apart

    @invariant()
    def nothing_is_left_lying_about(self) -> None:
        if hasattr(self, "root"):
            left = [*(self.root / "store" / "tmp").glob("*"), *(self.root / "scratch" / "intake").glob("*")]
            assert left == []
            assert set(os.listdir(self.root)) <= {"landing", "scratch", "store"}


class TestLanding(Landing.TestCase):
    settings = settings(max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))

    def runTest(self) -> None:
        held, raw_images.HeaderReader = raw_images.HeaderReader, Here  # type: ignore[misc,assignment]
        try:
            super().runTest()
        finally:
            raw_images.HeaderReader = held  # type: ignore[misc]
