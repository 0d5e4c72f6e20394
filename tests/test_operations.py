"""What a person's commands do beside running assets: see for room, and say why nothing was taken."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from dataops_assets import drops, gates, waiting
from dataops_assets.flow import gating, images
from dataops_assets.intake import identity, landing
from dataops_assets.operations import Operations, Refused
from dataops_assets.reports import status
from dataops_assets.room import SPARE_BYTES
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now
from tests.conftest import changed


class Usage(NamedTuple):
    free: int


@pytest.fixture
def work(store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch) -> Operations:
    """Operations that run nothing: here it is about what comes before."""
    monkeypatch.setattr(Operations, "_setup", lambda *_: None)
    return Operations(store, [dresses], None)


def lot(folder: Path, size: int = 100) -> Path:
    (folder / "lot").mkdir()
    (folder / "lot" / "a.jpg").write_bytes(b"a" * size)
    return folder / "lot"


def test_what_has_no_room_is_not_copied(work: Operations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"bytes": SPARE_BYTES + 299}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free["bytes"]))
    with pytest.raises(Refused, match=r"lot can't be taken in: NO_SPACE: 256 MiB must be free at"):
        work.ingest("dresses", "atelier", lot(tmp_path))
    assert not (work.store.home.root / "landing").exists()


def test_a_drop_without_room_is_said_and_the_next_is_tried(
    work: Operations, dresses: ProjectSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(Operations, "_run", lambda self, spec, job, item: ran.append(item.name) or waiting)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(SPARE_BYTES + 199))
    landing.place(lot(tmp_path), work.store.home.root / "landing", "dresses", "atelier")
    done = work.run("dresses")
    assert (done.is_success, ran) == (False, [])
    assert "NO_SPACE: 256 MiB must be free" in done.lines()[1]


def test_ingest_says_why_nothing_was_taken(work: Operations, dresses: ProjectSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = lot(tmp_path)
    landing.place(source, work.store.home.root / "landing", "dresses", "atelier")
    item = waiting.drops(work.store, dresses, {}, 0).ready[0]
    drops.park(work.store, dresses, [{**item.facts, "reason": "5 runs failed: no room"}])
    done = work.ingest("dresses", "atelier", source)
    assert not done.is_success
    assert done.steps[0]["error"].startswith("parked, it isn't tried any more: 5 runs failed: no room; mend what is wrong, then: dataops")
    monkeypatch.setattr(identity, "drop_id_of", lambda vendor, name: item.partition)
    other = source.rename(source.with_name("other"))
    assert "rename it" in work.ingest("dresses", "atelier", other).steps[0]["error"]


@pytest.mark.parametrize("name", [".hidden", "lot.part", "_COMPLETE"])
def test_what_landing_would_pass_over_is_not_taken_for_done(work: Operations, tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="left alone in landing; rename it"):
        work.ingest("dresses", "atelier", lot(tmp_path).rename(tmp_path / name))


def test_the_folder_above_has_a_name_too(work: Operations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = lot(tmp_path)
    (source / "inside").mkdir()
    monkeypatch.chdir(source / "inside")
    assert (
        landing.place(Path(".."), tmp_path / "landing", "dresses", "atelier").path == tmp_path / "landing" / "dresses" / "atelier" / "lot"
    )


class TestRetry:
    """What a gate or the intake refused is tried again on a person's word, once the reason is gone."""

    def take(self, store: Store, spec: ProjectSpec) -> str:
        """What lies in landing, through the intake and its gate; its drop id."""
        (item,) = waiting.drops(store, spec, {}, time.time(), is_settled=True).ready
        made = images.raw_images(store, spec, item.partition)
        gates.pass_through(store, spec, "raw_images", item.partition, made.version)
        return item.partition

    def fail(self, store: Store, drop: str, asset: str, outcome: str = "fail") -> None:
        row = {"project": "dresses", "asset": asset, "partition": drop, "version": "v", "outcome": outcome, "at": now()}
        store.gates.append(lambda held: [row])

    def deliver(self, work: Operations, vendor: str = "atelier", picture: str = "PNG") -> Path:
        folder = work.store.home.landing("dresses") / vendor / "lot"
        folder.mkdir(parents=True)
        Image.new("RGB", (300, 400), "red").save(folder / f"a.{picture.lower()}", picture)
        (folder / "_COMPLETE").touch()
        return folder

    @pytest.mark.parametrize("what", ["vendor", "format", "limit"])
    def test_settings_were_wrong(self, work: Operations, dresses: ProjectSpec, what: str) -> None:
        self.deliver(work)
        sources = dresses.model_dump(mode="json")["sources"]
        if what == "vendor":
            sources["vendors"] = [vendor for vendor in sources["vendors"] if vendor["name"] != "atelier"]
        elif what == "format":
            sources["vendors"] = [{**vendor, "formats": ["JPEG"]} for vendor in sources["vendors"]]
        else:
            sources["limits"]["members"] = 1
        wrong = changed(dresses, sources=sources)
        drop = self.take(work.store, wrong)
        assert gating.last_gate(work.store, "dresses", "raw_images", drop)["outcome"] == "fail"  # type: ignore[index]
        before = work.store.drops.rows()
        assert waiting.drops(work.store, dresses, {}, time.time(), is_settled=True).ready == []
        with pytest.raises(Refused, match=r'say who and why: dataops retry dresses atelier-\w+ --by WHO --reason "..."'):
            work.retry("dresses", drop)
        assert len(work.store.drops.rows()) == len(before)

        done = work.retry("dresses", drop, by="ann@example.org", reason="settings were wrong")
        assert done.notes == [f"atelier/lot ({drop}) waits again: the sensor takes it, or `dataops run dresses` does now."]
        row = work.store.drops.rows().iloc[-1]
        assert (row["asked_by"], row["asked_why"]) == ("ann@example.org", "settings were wrong")
        shown = "\n".join(status.of(work.store, dresses).lines())
        assert "held, RETRY since" in shown
        assert "tried again for ann@example.org: settings were wrong" in shown
        with pytest.raises(Refused, match="is being tried again already"):
            work.retry("dresses", drop, by="ann@example.org", reason="again")

        assert self.take(work.store, dresses) == drop
        frame = work.store.load("raw_images", "dresses", drop).frame
        assert list(frame.loc[frame["status"] == "accepted", "path"]) == ["a.png"]
        last = work.store.drops.rows().iloc[-1]
        assert (last["status"], last["drop_id"], last["supersedes"], last["asked_by"]) == ("accepted", drop, None, None)
        assert work.store.drops.verify() == work.store.gates.verify() == []
        with pytest.raises(Refused, match="is not parked but accepted, and is in work"):
            work.retry("dresses", drop, by="ann@example.org", reason="again")

    def test_it_is_refused_again_where_nothing_has_changed(self, work: Operations, dresses: ProjectSpec) -> None:
        self.deliver(work, "stranger")
        drop = self.take(work.store, dresses)
        for _ in range(2):
            work.retry("dresses", drop, by="ann@example.org", reason="looked at it")
            assert self.take(work.store, dresses) == drop
            assert waiting.drops(work.store, dresses, {}, time.time(), is_settled=True).ready == []
        assert list(work.store.drops.rows()["status"]) == ["rejected", "held", "rejected", "held", "rejected"]
        assert set(work.store.candidates("raw_images", "dresses")) == {drop}

    def test_a_later_gate_said_no_and_the_delivery_has_left_landing(self, work: Operations, dresses: ProjectSpec) -> None:
        folder = self.deliver(work)
        drop = self.take(work.store, dresses)
        self.fail(work.store, drop, "cleaned_set")
        shutil.rmtree(folder)
        assert waiting.rescreens(work.store, dresses) == []
        lines = status.of(work.store, dresses).lines()
        assert "  1 of those taken is held back by the gate of cleaned_set" in lines
        work.retry("dresses", drop, by="ann@example.org", reason="threshold changed")
        (again,) = waiting.rescreens(work.store, dresses)
        assert (again.partition, again.since > 0) == (drop, True)
        self.fail(work.store, drop, "cleaned_set", "pass")
        self.fail(work.store, drop, "augmented_set", "pass")
        assert waiting.rescreens(work.store, dresses) == []
        (row,) = status.deliveries(work.store, dresses)  # the trial is over: it stands as it was judged
        assert (row["status"], row["asked_by"], row["refused_by"]) == ("accepted", None, None)

    def test_what_is_needed_otherwise_is_said(self, work: Operations, dresses: ProjectSpec) -> None:
        folder = self.deliver(work, "stranger")
        drop = self.take(work.store, dresses)
        asked = {"by": "ann@example.org", "reason": "r"}
        shutil.move(folder, folder.with_name("elsewhere"))
        with pytest.raises(Refused, match="no longer lies in"):
            work.retry("dresses", drop, **asked)
        row = {"project": "dresses", "vendor": "atelier", "drop_id": "atelier-1", "name": "a.rar", "status": "rejected"}
        held = {**row, "drop_id": "atelier-2", "status": "held", "reason": "INCOMPLETE"}
        full = {**row, "drop_id": "atelier-3", "status": "held", "reason": drops.NO_SPACE}
        work.store.drops.append(lambda rows: [{**row, "reason": "UNSUPPORTED_ARCHIVE"}, held, full])
        with pytest.raises(Refused, match=r"refused as it lies in landing \(UNSUPPORTED_ARCHIVE\).*once it is mended there"):
            work.retry("dresses", "atelier-1", **asked)
        with pytest.raises(Refused, match=r"is held \(INCOMPLETE\) and goes on when it is complete"):
            work.retry("dresses", "atelier-2", **asked)
        with pytest.raises(Refused, match=r"is held \(NO_SPACE\) and goes on by itself when the disk has room"):
            work.retry("dresses", "atelier-3", **asked)
        work.store.withdrawals.append(lambda rows: [{"project": "dresses", "drop_id": drop, "reason": "r", "by": "b", "at": now()}])
        with pytest.raises(Refused, match="was withdrawn, and stays so"):
            work.retry("dresses", drop, **asked)
