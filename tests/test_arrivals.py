"""One look of many: bounded, fair to every vendor and name, and nothing is forgotten that it didn't reach."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dataops_assets import arrivals, drops, outcomes, redeliveries
from dataops_assets.arrivals import Round
from dataops_assets.intake import identity, landing
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now

THROUGH = dict.fromkeys(outcomes.DROP_CHAIN, "pass")


class Clock:
    """A clock that each look at a delivery puts forward by a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self.looked: list[str] = []
        real = landing.look

        def look(delivery: landing.Delivery) -> landing.Look:
            self.seconds += 1
            self.looked.append(f"{delivery.vendor}/{delivery.name}")
            return real(delivery)

        monkeypatch.setattr(landing, "look", look)

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def deliver(store: Store, vendor: str, name: str, is_marked: bool = True) -> Path:
    folder = store.home.landing("dresses") / vendor / name
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.jpg").write_bytes(name.encode())
    if is_marked:
        (folder / "_COMPLETE").touch()
    return folder


def take(store: Store, *folders: Path) -> None:
    """Ledger rows as runs leave them that went through."""
    rows = []
    for folder in folders:
        given = landing.Delivery("dresses", folder.parent.name, folder.name, folder, folder.is_file())
        drop_id = identity.drop_id_of(given.vendor, given.name)
        seen = landing.look(given)
        rows.append(
            {
                "project": "dresses", "vendor": given.vendor, "name": given.name, "drop_id": drop_id, "status": "accepted",
                "fingerprint": seen.fingerprint, "listing": seen.listing, "content_sha256": landing.content_sha256(given),
                "received_at": now(),
            }
        )  # fmt: skip
    store.drops.append(lambda held: rows)
    gates = [
        {"project": "dresses", "asset": asset, "partition": row["drop_id"], "version": "v", "outcome": outcome, "at": now()}
        for row in rows
        for asset, outcome in THROUGH.items()
    ]
    store.gates.append(lambda held: gates)


def names(found: arrivals.Found) -> list[str]:
    return [item.name for item in found.ready]


def test_a_look_ends_in_time_and_the_next_goes_on_until_each_had_its_turn(store: Store, dresses: ProjectSpec, clock: Clock) -> None:
    folders = [deliver(store, "atelier", f"{number:02d}") for number in range(20)]
    folders += [deliver(store, "bazaar", f"{number}") for number in range(3)]
    take(store, *folders)
    turns: dict[str, dict[str, str]] = {}
    reached: list[list[str]] = []
    for _ in range(8):
        clock.looked.clear()
        round_ = Round(6, turns, clock=clock)
        assert names(arrivals.drops(store, dresses, {}, 0, round_=round_)) == []
        turns = round_.turns
        reached.append(list(clock.looked))
        assert len(clock.looked) <= 6
    assert any(name.startswith("bazaar/") for name in reached[0])  # the vendor with few isn't behind the one with many
    everything = {f"{folder.parent.name}/{folder.name}" for folder in folders}
    assert {name for looked in reached for name in looked} == everything


def test_what_is_new_or_changed_at_its_top_comes_first_and_a_deep_change_when_its_turn_comes(
    store: Store, dresses: ProjectSpec, clock: Clock
) -> None:
    folders = [deliver(store, "atelier", f"{number:02d}") for number in range(20)]
    take(store, *folders)
    deep, top = folders[13], folders[17]
    for changed in (deep, top):
        (changed / "deep" / "a.jpg").write_bytes(b"longer than it was")
        (changed / "_COMPLETE").touch()
    (top / "b.jpg").write_bytes(b"b")
    (top / "_COMPLETE").touch()
    deliver(store, "zenith", "new")
    turns: dict[str, dict[str, str]] = {}
    looks: arrivals.Looks = {}
    seen: list[list[str]] = []
    for _ in range(8):
        round_ = Round(4, turns, clock=clock)
        found = arrivals.drops(store, dresses, looks, 0, round_=round_)
        turns, looks = round_.turns, found.looks
        seen.append(names(found))
    assert seen[0] == ["atelier/17", "zenith/new"]
    assert seen[-1] == ["atelier/13", "atelier/17", "zenith/new"]


def test_what_a_look_did_not_reach_stands_as_it_was_seen_last(store: Store, dresses: ProjectSpec, clock: Clock) -> None:
    for number in range(6):
        deliver(store, "atelier", f"ready-{number}")
        deliver(store, "atelier", f"slow-{number}", is_marked=False)
    everything = arrivals.drops(store, dresses, {}, 0)
    assert len(everything.ready) == len(everything.held) == 6
    clock.looked.clear()
    short = arrivals.drops(store, dresses, everything.looks, 15, round_=Round(2, {}, everything.held, clock))
    assert len(clock.looked) == 2
    assert short.ready == everything.ready
    assert [item.facts for item in short.ready] == [item.facts for item in everything.ready]
    assert (short.held, short.looks) == (everything.held, everything.looks)


def test_an_unsettled_one_that_is_not_reached_has_not_rested(store: Store, dresses: ProjectSpec, clock: Clock) -> None:
    """It may have grown since it was seen: only a look tells."""
    for name in ("a", "b"):
        deliver(store, "atelier", name, is_marked=False)
    looks = arrivals.drops(store, dresses, {}, 0).looks
    found = arrivals.drops(store, dresses, looks, 100, round_=Round(0, {}, {}, clock))
    assert (names(found), found.held) == (["atelier/a"], {"atelier/b": arrivals.UNREACHED})


def test_what_waits_does_not_take_the_turn_of_what_is_done_with(store: Store, dresses: ProjectSpec, clock: Clock) -> None:
    take(store, *[deliver(store, "atelier", f"old-{number}") for number in range(4)])
    for number in range(50):
        deliver(store, "bazaar", f"slow-{number}", is_marked=False)
    turns: dict[str, dict[str, str]] = {}
    for _ in range(4):
        round_ = Round(3, turns, clock=clock)
        arrivals.drops(store, dresses, {}, 0, round_=round_)
        turns = round_.turns
    assert {f"atelier/old-{number}" for number in range(4)} <= set(clock.looked)


def test_one_that_was_taken_meanwhile_is_not_asked_for_from_memory(store: Store, dresses: ProjectSpec, clock: Clock) -> None:
    folders = [deliver(store, "atelier", name) for name in ("a", "b")]
    looks = arrivals.drops(store, dresses, {}, 0).looks
    take(store, *folders)
    found = arrivals.drops(store, dresses, looks, 0, round_=Round(0, {"open": {"": "atelier", "atelier": "a"}}, {}, clock))
    assert (found.ready, found.held, found.looks) == ([], {}, {})


def test_too_many_files_are_counted_once_until_their_folder_changes_or_an_hour_has_passed(
    store: Store, dresses: ProjectSpec, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "MOST_ENTRIES", 3)
    many = deliver(store, "atelier", "many")
    for number in range(3):
        (many / f"{number}.jpg").touch()
    looks: arrivals.Looks = {}

    def look(at: float) -> int:
        nonlocal looks
        clock.looked.clear()
        found = arrivals.drops(store, dresses, looks, at)
        looks = found.looks
        assert (
            found.held.get("atelier/many", "can't be read: more than 3 files and folders") == "can't be read: more than 3 files and folders"
        )
        return len(clock.looked)

    assert [look(at) for at in (0, 15, 60, 75, 3000)] == [1, 0, 0, 0, 0]
    assert list(store.drops.rows()["reason"]) == ["TOO_MANY_MEMBERS"]
    assert [look(at) for at in (3600, 3615)] == [1, 0]  # deep inside it may have changed
    for number in range(3):
        (many / f"{number}.jpg").unlink()
    (many / "_COMPLETE").touch()
    assert look(3630) == 1
    assert look(3645) == 1
    assert looks["atelier/many"].listing  # complete now
    assert arrivals.drops(store, dresses, {}, 0, is_settled=True).ready[0].name == "atelier/many"


def test_one_that_is_moved_away_while_it_is_counted_holds_up_nobody(
    store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, real = deliver(store, "atelier", "many"), landing.look
    deliver(store, "mill", "good")

    def look(delivery: landing.Delivery) -> landing.Look:
        if delivery.name == "many":
            many.rename(many.with_name(".many"))
            raise landing.TooMany(0, "more than 500,000 files and folders")
        return real(delivery)

    monkeypatch.setattr(landing, "look", look)
    found = arrivals.drops(store, dresses, {}, 0)
    assert names(found) == ["mill/good"]
    assert found.held["atelier/many"].startswith("can't be read: more than")


def test_a_clock_that_was_ahead_makes_nothing_rest_for_ever(store: Store, dresses: ProjectSpec) -> None:
    deliver(store, "atelier", "slow", is_marked=False)
    ahead = arrivals.drops(store, dresses, {}, 1e9).looks
    looks = arrivals.drops(store, dresses, ahead, 1000).looks
    assert names(arrivals.drops(store, dresses, looks, 1060)) == ["atelier/slow"]


@pytest.mark.parametrize("is_archive", [True, False])
def test_what_grows_after_a_look_is_read_no_further_than_it_was_seen(
    store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch, is_archive: bool
) -> None:
    folder = deliver(store, "atelier", "lot")
    file = folder / "deep" / "a.jpg"
    if is_archive:
        shutil.rmtree(folder)
        file = folder = folder.with_name("lot.tar")
        file.write_bytes(b"a tar")
    take(store, folder)
    known = store.drops.rows()["content_sha256"].iloc[-1]
    os.utime(file, (1, 1))
    if not is_archive:
        (folder / "_COMPLETE").touch()
    looks = arrivals.drops(store, dresses, {}, 0).looks if is_archive else {}
    real, told = landing.content_sha256, []

    def content_sha256(*given: Any) -> str:
        os.truncate(file, file.stat().st_size + 1000)
        (folder.parent / "more" if is_archive else folder / "more").touch()
        told.append(real(*given))
        return told[-1]

    monkeypatch.setattr(landing, "content_sha256", content_sha256)
    found = arrivals.drops(store, dresses, looks, 60)
    assert (told, found.held[f"atelier/{folder.name}"], found.ready) == ([known], "INCOMPLETE", [])


class TestLargeRedelivery:
    """Delivered again with the same names and sizes, and too large to be read at a look."""

    @pytest.fixture
    def folder(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = deliver(store, "atelier", "lot")
        take(store, folder)
        os.utime(folder / "deep" / "a.jpg", (1, 1))
        (folder / "_COMPLETE").touch()
        monkeypatch.setattr(arrivals, "READ_BYTES", 2)
        return folder

    def test_no_look_reads_it_and_what_a_run_read_tells(
        self, store: Store, dresses: ProjectSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = landing.content_sha256
        monkeypatch.setattr(landing, "content_sha256", None)
        found = arrivals.drops(store, dresses, {}, 0)
        again = arrivals.drops(store, dresses, found.looks, 15)
        assert (again.ready, again.unread) == ([], found.unread)
        assert [(item.name, item.partition) for item in found.unread] == [("atelier/lot", identity.drop_id_of("atelier", "lot"))]
        monkeypatch.setattr(landing, "content_sha256", real)
        redeliveries.compare(store, dresses, "atelier", "lot")
        monkeypatch.setattr(landing, "content_sha256", None)
        told = arrivals.drops(store, dresses, again.looks, 30)
        assert (told.ready, told.unread, told.held) == ([], [], {})
        assert len(store.drops.rows()) == 2  # delivered again, entered, and not taken again

    def test_other_content_supersedes(self, store: Store, dresses: ProjectSpec, folder: Path) -> None:
        (folder / "deep" / "a.jpg").write_bytes(b"LOT")
        (folder / "_COMPLETE").touch()
        redeliveries.compare(store, dresses, "atelier", "lot")
        (item,) = arrivals.drops(store, dresses, {}, 0).ready
        first = identity.drop_id_of("atelier", "lot")
        assert (item.partition, item.facts["supersedes"]) == (f"{first}-r2", first)

    def test_what_was_read_of_another_state_does_not_count(self, store: Store, dresses: ProjectSpec, folder: Path) -> None:
        redeliveries.compare(store, dresses, "atelier", "lot")
        (folder / "deep" / "a.jpg").write_bytes(b"LOT")
        (folder / "_COMPLETE").touch()
        found = arrivals.drops(store, dresses, {}, 0)
        assert ([item.name for item in found.unread], found.ready) == (["atelier/lot"], [])

    def test_one_that_is_gone_or_changes_is_said_and_no_failure(
        self, store: Store, dresses: ProjectSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert redeliveries.compare(store, dresses, "atelier", "other") == "atelier/other no longer lies in landing"
        real = landing.content_sha256

        def content_sha256(delivery: landing.Delivery, *how: Any) -> str:
            (folder / "deep" / "b.jpg").touch()
            return real(delivery, *how)

        monkeypatch.setattr(landing, "content_sha256", content_sha256)
        assert redeliveries.compare(store, dresses, "atelier", "lot") == "atelier/lot changed while it was read"
        assert not (store.home.scratch / "contents").exists()

    def test_a_person_s_command_reads_it_there_and_then(self, store: Store, dresses: ProjectSpec, folder: Path) -> None:
        found = arrivals.drops(store, dresses, {}, 0, is_settled=True)
        assert (found.ready, found.unread, found.held) == ([], [], {})
        assert len(store.drops.rows()) == 2


def test_a_trial_that_waits_for_more_files_still_knows_what_was_judged(store: Store, dresses: ProjectSpec) -> None:
    """Other content after a retry is a drop of its own, even where it was seen half-copied in between."""
    folder = deliver(store, "atelier", "lot")
    take(store, folder)
    store.gates.append(lambda held: [{**held.iloc[-1][["project", "asset", "partition", "version"]], "outcome": "fail", "at": now()}])
    first = identity.drop_id_of("atelier", "lot")
    drops.retry(store, dresses, first, by="me", why="threshold changed")
    (folder / "deep" / "a.jpg").write_bytes(b"longer than it was")
    looks = arrivals.drops(store, dresses, {}, 0).looks  # its marker is older: somebody is at work in there
    (folder / "_COMPLETE").touch()
    assert [(item.partition, item.facts["supersedes"]) for item in arrivals.drops(store, dresses, looks, 15).ready] == [
        (f"{first}-r2", first)
    ]


def test_a_landing_folder_that_leads_nowhere_is_said(store: Store, dresses: ProjectSpec) -> None:
    root = store.home.landing("dresses")
    root.parent.mkdir(parents=True)
    root.symlink_to(root.parent / "not-mounted")
    assert list(arrivals.drops(store, dresses, {}, 0).held.values()) == [
        "is a link to nothing: what it leads to isn't there, or not mounted"
    ]
