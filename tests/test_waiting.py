"""What waits, by the ledgers and folders alone: the same for sensors and commands."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dataops_assets import arrivals, claims, drops, gates, redeliveries, waiting, warehouse
from dataops_assets.flow import images
from dataops_assets.intake import identity, inside, landing, readiness
from dataops_assets.reports import status
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now
from tests.conftest import changed


def deliver(store: Store, name: str, marked: bool = True) -> Path:
    folder = store.home.landing("dresses") / "atelier" / name
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(name.encode())
    if marked:
        (folder / "_COMPLETE").touch()
    return folder


def enter(store: Store, name: str, **outcomes: str) -> str:
    """Ledger rows as a run leaves them: the drop, and a gate for each asset named."""
    given = landing.Delivery("dresses", "atelier", name, store.home.landing("dresses") / "atelier" / name, False)
    drop = identity.drop_id_of("atelier", name)
    row = {
        "project": "dresses", "vendor": "atelier", "drop_id": drop, "name": name, "status": "accepted", "attempt": 1, "received_at": now(),
        "fingerprint": landing.fingerprint(given), "content_sha256": landing.content_sha256(given), "listing": landing.listing(given),
    }  # fmt: skip
    store.drops.append(lambda rows: [row])
    gates = [{"project": "dresses", "asset": a, "partition": drop, "version": "v", "outcome": o, "at": now()} for a, o in outcomes.items()]
    store.gates.append(lambda rows: gates)
    return drop


def deliver_and_enter(store: Store, name: str, **outcomes: str) -> Path:
    folder = deliver(store, name)
    enter(store, name, **outcomes)
    return folder


def names(found: waiting.Found) -> list[str]:
    return [item.name.split("/")[1] for item in found.ready]


def test_a_drop_waits_until_its_chain_is_through_or_a_gate_said_no(store: Store, dresses: ProjectSpec) -> None:
    for name in ("new", "done", "refused", "half", "broken", "waived"):
        deliver(store, name)
    through = {"raw_images": "pass", "cleaned_set": "pass", "augmented_set": "pass"}
    enter(store, "done", **through)
    enter(store, "refused", raw_images="pass", cleaned_set="fail")
    enter(store, "half", raw_images="pass")
    enter(store, "broken", raw_images="pass", cleaned_set="error")
    enter(store, "waived", raw_images="pass", cleaned_set="waived")
    assert names(waiting.drops(store, dresses, {}, 0)) == ["broken", "half", "new", "waived"]


def test_a_half_copied_drop_is_held_and_entered_once(store: Store, dresses: ProjectSpec) -> None:
    deliver(store, "slow", marked=False)
    looks: waiting.Looks = {}
    for at in (0.0, 30.0):
        found = waiting.drops(store, dresses, looks, at)
        looks = found.looks
        assert (names(found), found.held) == ([], {"atelier/slow": "INCOMPLETE"})
    rows = store.drops.rows()
    assert list(rows["status"]) == ["held"]
    assert names(waiting.drops(store, dresses, looks, 60.0)) == ["slow"]


def test_a_redelivery_of_the_same_bytes_is_noted_and_not_taken_again(store: Store, dresses: ProjectSpec) -> None:
    folder = deliver(store, "done")
    enter(store, "done", raw_images="pass", cleaned_set="pass", augmented_set="pass")
    (folder / "a.jpg").touch()
    (folder / "_COMPLETE").touch()
    assert names(waiting.drops(store, dresses, {}, 0)) == []
    assert len(store.drops.rows()) == 2
    assert names(waiting.drops(store, dresses, {}, 0)) == []
    assert len(store.drops.rows()) == 2


def test_what_was_taken_comes_back_over_what_was_given_up(store: Store, dresses: ProjectSpec) -> None:
    through = {"raw_images": "pass", "cleaned_set": "pass", "augmented_set": "pass"}
    folder = deliver_and_enter(store, "lot", **through)
    first = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(b"other content")
    (found,) = waiting.drops(store, dresses, {}, 0, is_settled=True).ready
    assert found.partition.endswith("-r2")
    drops.park(store, dresses, [{**found.facts, "reason": "5 runs failed"}])
    (folder / "a.jpg").write_bytes(first)
    assert waiting.drops(store, dresses, {}, 0, is_settled=True).ready == []
    last = store.drops.rows().iloc[-1]
    assert (last["drop_id"], last["status"]) == (identity.drop_id_of("atelier", "lot"), "accepted")
    with pytest.raises(LookupError, match="other content"):
        drops.retry(store, dresses, found.partition)


def test_a_drop_parked_twice_is_still_known_by_its_bytes(store: Store, dresses: ProjectSpec) -> None:
    folder = deliver(store, "lot")
    drop = enter(store, "lot", raw_images="error")
    for _ in range(2):
        (found,) = waiting.drops(store, dresses, {}, 0).ready
        drops.park(store, dresses, [{**found.facts, "reason": "5 runs failed"}])
        assert store.drops.rows()["content_sha256"].iloc[-1] is not None
        drops.retry(store, dresses, drop)
    (found,) = waiting.drops(store, dresses, {}, 0).ready
    drops.park(store, dresses, [{**found.facts, "reason": "5 runs failed"}])
    os.utime(folder / "a.jpg", (1, 1))
    assert waiting.drops(store, dresses, {}, 0, is_settled=True).ready == []
    drops.retry(store, dresses, drop)


def test_a_withdrawn_or_parked_drop_does_not_wait(store: Store, dresses: ProjectSpec) -> None:
    for name in ("gone", "parked"):
        deliver(store, name)
    drop = enter(store, "gone")
    store.withdrawals.append(lambda rows: [{"project": "dresses", "drop_id": drop, "reason": "r", "by": "b", "at": now()}])
    enter(store, "parked")
    last = store.drops.rows().iloc[-1]
    again = {name: last[name] for name in ("project", "vendor", "drop_id", "name", "fingerprint", "content_sha256")}
    store.drops.append(lambda rows: [{**again, "status": "parked", "received_at": now()}])
    assert names(waiting.drops(store, dresses, {}, 0)) == []


def test_returns_of_an_unknown_batch_are_held_with_a_sentence(store: Store, dresses: ProjectSpec) -> None:
    folder = store.home.returns("dresses") / "production-009" / "labelworks"
    folder.mkdir(parents=True)
    (folder / "labels.csv").write_text("item_id\n")
    found = waiting.returns(store, dresses, {}, 0)
    assert found.ready == []
    assert "no batch production-009" in found.held["production-009"]


def test_a_delivery_that_cannot_be_read_does_not_stop_the_others(
    store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad", "good"):
        deliver(store, name)
    real = readiness.of

    def of(delivery: landing.Delivery, *rest: Any) -> readiness.Readiness:
        if delivery.name == "bad":
            raise PermissionError(13, "Permission denied")
        return real(delivery, *rest)

    monkeypatch.setattr(readiness, "of", of)
    found = waiting.drops(store, dresses, {}, 0)
    assert names(found) == ["good"]
    assert found.held == {"atelier/bad": "can't be read: Permission denied"}


def test_whatever_one_delivery_holds_the_others_go_on(store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bad", "good"):
        deliver(store, name)
    real = landing.look

    def look(delivery: landing.Delivery) -> landing.Look:
        if delivery.name == "bad":
            raise ValueError("nobody thought of this")
        return real(delivery)

    monkeypatch.setattr(landing, "look", look)
    looks: waiting.Looks = {}
    for at in (0.0, 15.0, 60.0, 75.0):
        found = waiting.drops(store, dresses, looks, at)
        looks = found.looks
        assert (names(found), found.held) == (["good"], {"atelier/bad": "can't be read: ValueError"})
        assert list(store.drops.rows()["reason"]) == (["UNREADABLE"] if at >= 60 else [])
    monkeypatch.setattr(landing, "look", real)
    assert names(waiting.drops(store, dresses, looks, 90.0)) == ["bad", "good"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_with_millions_of_files_does_not_take_the_others_time(
    store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(landing, "MOST_ENTRIES", 3)
    deliver(store, "good")
    many = deliver(store, "many")
    for number in range(2):
        if kind == "file":
            (many / f"{number}.jpg").touch()
        else:
            (many / f"{number}").mkdir()
    looks: waiting.Looks = {}
    for at in (0.0, 60.0, 75.0):
        found = waiting.drops(store, dresses, looks, at)
        looks = found.looks
        assert (names(found), found.held) == (["good"], {"atelier/many": "can't be read: more than 3 files and folders"})
    rows = store.drops.rows()
    assert list(zip(rows["name"], rows["status"], rows["reason"], strict=True)) == [("many", "rejected", "TOO_MANY_MEMBERS")]
    shutil.rmtree(many)
    deliver(store, "many")
    assert names(waiting.drops(store, dresses, looks, 90.0)) == ["good", "many"]


def test_what_is_no_delivery_is_said_and_entered_once_it_has_rested(store: Store, dresses: ProjectSpec) -> None:
    vendor = store.home.landing("dresses") / "atelier"
    vendor.mkdir(parents=True)
    for name in ("a.jpg", "photos.rar"):
        (vendor / name).write_bytes(b"x")
    (vendor / "linked").symlink_to(vendor)
    (vendor.parent / "elsewhere").symlink_to(vendor)
    looks: waiting.Looks = {}
    for at in (0.0, 30.0, 60.0, 75.0):
        found = waiting.drops(store, dresses, looks, at)
        looks = found.looks
        assert len(found.held) == 4
        assert "put it into a folder" in found.held["atelier/a.jpg"]
        rows = store.drops.rows()
        assert len(rows) == (4 if at >= 60 else 0)
    assert dict(zip(rows["name"], zip(rows["status"], rows["reason"], strict=True), strict=True)) == {
        "a.jpg": ("held", "LOOSE_FILE"),
        "photos.rar": ("rejected", "UNSUPPORTED_ARCHIVE"),
        "linked": ("rejected", "LINK_MEMBER"),
        "(folder)": ("rejected", "LINK_MEMBER"),
    }
    (vendor / "linked").unlink()
    deliver(store, "linked")
    assert names(waiting.drops(store, dresses, looks, 90.0)) == ["linked"]


def test_two_names_with_one_id_are_never_taken_for_one_another(store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "drop_id_of", lambda vendor, name: f"{vendor}-1")
    deliver(store, "one")
    deliver(store, "two")
    found = waiting.drops(store, dresses, {}, 0)
    assert (names(found), found.held) == (["one"], {"atelier/two": "its id atelier-1 is that of atelier/one: rename it"})
    enter(store, "two", **TestRedelivery.THROUGH)  # now it is the one that the ledger knows
    found = waiting.drops(store, dresses, {}, 0)
    assert (names(found), found.held) == ([], {"atelier/one": "its id atelier-1 is that of atelier/two: rename it"})
    assert identity.find(store.home.root / "landing", "dresses", "atelier-1", store.drops.rows()).name == "two"


def test_a_whole_zip_is_looked_into_once(store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = store.home.landing("dresses") / "atelier"
    vendor.mkdir(parents=True)
    with zipfile.ZipFile(vendor / "whole.zip", "w") as archive:
        archive.writestr("a.jpg", b"a")
    (vendor / "half.zip").write_bytes((vendor / "whole.zip").read_bytes()[:50])
    found = waiting.drops(store, dresses, {}, 1000)
    assert (names(found), found.held) == (["whole.zip"], {"atelier/half.zip": "INCOMPLETE"})
    monkeypatch.setattr(inside, "open_plain", None)
    found = waiting.drops(store, dresses, found.looks, 1015)
    assert (names(found), found.held) == (["whole.zip"], {"atelier/half.zip": "INCOMPLETE"})


def test_a_number_beyond_all_bounds_in_a_manifest_is_only_held(store: Store, dresses: ProjectSpec) -> None:
    folder = deliver(store, "evil", marked=False)
    (folder / "manifest.json").write_text('{"files": [{"path": "a.jpg", "bytes": 1' + "0" * 400 + "}]}")
    found = waiting.drops(store, dresses, {}, 0.0)
    assert found.held == {"atelier/evil": "INCOMPLETE"}
    assert names(waiting.drops(store, dresses, found.looks, 60.0)) == ["evil"]


class TestRedelivery:
    THROUGH = dict.fromkeys(waiting.DROP_CHAIN, "pass")

    @pytest.fixture
    def read(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Names of the deliveries whose content was read."""
        names: list[str] = []
        real = landing.content_sha256

        def content_sha256(delivery: landing.Delivery, *how: Any) -> str:
            names.append(delivery.name)
            return real(delivery, *how)

        monkeypatch.setattr(landing, "content_sha256", content_sha256)
        return names

    def redeliver(self, store: Store, name: str, data: bytes) -> None:
        folder = deliver(store, name)
        enter(store, name, **self.THROUGH)
        (folder / "a.jpg").write_bytes(data)
        os.utime(folder / "a.jpg", ns=(1, 1))
        (folder / "_COMPLETE").touch()

    def test_other_sizes_are_other_content_and_nothing_is_read(self, store: Store, dresses: ProjectSpec, read: list[str]) -> None:
        self.redeliver(store, "lot", b"longer than it was")
        read.clear()
        found = waiting.drops(store, dresses, {}, 0)
        first = identity.drop_id_of("atelier", "lot")
        assert [(item.partition, item.facts["supersedes"]) for item in found.ready] == [(f"{first}-r2", first)]
        assert read == []

    def test_same_sizes_are_read_once_and_remembered(self, store: Store, dresses: ProjectSpec, read: list[str]) -> None:
        self.redeliver(store, "lot", b"LOT")
        read.clear()
        found = waiting.drops(store, dresses, {}, 0)
        assert [item.partition[-3:] for item in found.ready] == ["-r2"]
        again = waiting.drops(store, dresses, found.looks, 1)
        assert [item.partition[-3:] for item in again.ready] == ["-r2"]
        assert read == ["lot"]

    def test_a_look_reads_so_much_and_a_run_reads_a_large_one(
        self, store: Store, dresses: ProjectSpec, read: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("aaaa", "bbbb", "cc", "enormous"):
            self.redeliver(store, name, name.upper().encode())
        monkeypatch.setattr(arrivals, "READ_BYTES", 6)
        monkeypatch.setattr(arrivals, "FILE_BYTES", 0)
        read.clear()
        found = waiting.drops(store, dresses, {}, 0)
        assert (read, names(found)) == (["cc", "aaaa"], ["aaaa", "cc"])
        assert found.held["atelier/bbbb"] == "waits to be read (4 bytes): delivered before with the same names and sizes"
        assert [item.name for item in found.unread] == ["atelier/enormous"]
        found = waiting.drops(store, dresses, found.looks, 1)
        assert (read[2:], found.held.keys()) == (["bbbb"], {"atelier/enormous"})
        assert redeliveries.compare(store, dresses, "atelier", "enormous") == "atelier/enormous: 8 bytes in 2 files were read"
        found = waiting.drops(store, dresses, found.looks, 2)
        assert (read[3:], found.held, found.unread) == (["enormous"], {}, [])
        assert len(names(found)) == 4

    def test_rows_from_before_listings_were_kept_are_told_by_content(self, store: Store, dresses: ProjectSpec) -> None:
        folder = deliver(store, "old")
        enter(store, "old", **self.THROUGH)
        rows = store.drops.rows().drop(columns="listing")
        known = rows[["vendor", "name", "drop_id", "status", "supersedes", "fingerprint", "content_sha256"]]
        (folder / "a.jpg").touch()
        given = landing.Delivery("dresses", "atelier", "old", folder, False)
        assert identity.identify(given, known).is_redelivery

    def test_what_replaced_what_is_shown_both_ways(self, store: Store, dresses: ProjectSpec) -> None:
        self.redeliver(store, "lot", b"longer than it was")
        item = waiting.drops(store, dresses, {}, 0).ready[0]
        row = {**item.facts, "project": "dresses", "status": "parked", "reason": "5 runs failed: no room"}
        store.drops.append(lambda rows: [row])
        first, second = identity.drop_id_of("atelier", "lot"), item.partition
        asked = warehouse.query(store, "SELECT drop_id, supersedes, superseded_by FROM drops ORDER BY seq")
        assert [tuple(row.values()) for row in asked] == [(first, None, second), (second, first, None)]
        shown = "\n".join(status.of(store, dresses).lines())
        assert f"drop {first} (atelier/lot): accepted, delivered again as {second} (parked)" in shown
        assert f"drop {second} (atelier/lot): parked, replaces {first}" in shown
        assert f"PARKED {second} (atelier/lot): 5 runs failed: no room" in shown
        assert f"dataops retry dresses {second}" in shown


def test_checksums_are_compared_once_and_only_within_the_budget(
    store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = deliver(store, "listed", marked=False)
    digest = hashlib.sha256(b"listed").hexdigest()
    (folder / "manifest.json").write_text(json.dumps({"schema_version": 1, "files": [{"path": "a.jpg", "sha256": digest}]}))
    monkeypatch.setattr(arrivals, "READ_BYTES", 5)
    assert waiting.drops(store, dresses, {}, 0).held == {"atelier/listed": "INCOMPLETE"}  # it must rest instead
    monkeypatch.setattr(arrivals, "READ_BYTES", 6)
    found = waiting.drops(store, dresses, {}, 0)
    assert names(found) == ["listed"]
    monkeypatch.setattr(inside, "sha256_of", None)
    assert names(waiting.drops(store, dresses, found.looks, 1000)) == ["listed"]


def test_a_ledger_from_before_a_column_was_added_still_holds_and_goes_on(
    store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = store.drops.contract
    columns = {name: kind for name, kind in contract.columns.items() if name != "listing"}
    monkeypatch.setattr(store.drops, "contract", dataclasses.replace(contract, columns=columns))
    store.drops.append(lambda rows: [{"project": "dresses", "drop_id": "atelier-1", "status": "accepted", "received_at": now()}])
    later = Store(store.home)
    later.drops.append(lambda rows: [{"project": "dresses", "drop_id": "atelier-2", "status": "accepted", "listing": "l"}])
    assert Store(store.home).drops.verify() == []
    assert list(later.drops.rows()["listing"]) == [None, "l"]
    assert len(warehouse.query(later, "SELECT * FROM drops")) == 2


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (number * 9, 8, 9)).save(buffer, "JPEG")
    return buffer.getvalue()


def put(store: Store, name: str, *numbers: int) -> Path:
    """A delivery of pictures, uploaded anew."""
    folder = store.home.landing("dresses") / "atelier" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / f"{number:02}.jpg").write_bytes(picture(number))
    (folder / "_COMPLETE").touch()
    return folder


def take(store: Store, spec: ProjectSpec, is_settled: bool = True) -> list[tuple[str, str | None]]:
    """Take in what waits, as a run does, and say of each that its chain is through; the drops, and what they supersede."""
    asked = waiting.drops(store, spec, {}, 1e9, is_settled).ready
    for item in asked:
        made = images.raw_images(store, spec, item.partition)
        if gates.pass_through(store, spec, "raw_images", item.partition, made.version).outcome == "pass":
            row = {"project": spec.name, "partition": item.partition, "version": made.version, "outcome": "pass", "at": now()}
            rows = [{**row, "asset": asset} for asset in waiting.DROP_CHAIN[1:]]
            store.gates.append(lambda ledger, rows=rows: rows)
    return [(item.partition, item.facts["supersedes"]) for item in asked]


def test_what_a_disk_did_not_give_for_a_moment_is_taken_when_the_same_bytes_come_again(
    store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "lot", 1, 2, 3)
    real, failed = inside.Entry.open, list[str]()

    def opened(entry: inside.Entry) -> int:
        if entry.name == "02.jpg" and not failed:
            failed.append(entry.name)
            raise OSError(errno.EIO, "Input/output error", entry.name)
        return real(entry)

    monkeypatch.setattr(inside.Entry, "open", opened)
    drop = identity.drop_id_of("atelier", "lot")
    assert take(store, dresses) == [(drop, None)]
    assert store.drops.rows().iloc[-1][["status", "reason"]].tolist() == ["partial", "UNREADABLE"]
    assert take(store, dresses) == []
    put(store, "lot", 1, 2, 3)
    assert take(store, dresses) == [(f"{drop}-r2", drop)]
    assert store.drops.rows().iloc[-1][["status", "files_seen"]].tolist() == ["accepted", 4]
    put(store, "lot", 1, 2, 3)
    assert take(store, dresses) == []


@pytest.mark.parametrize("is_killed", [True, False])
@pytest.mark.parametrize("is_archive", [True, False])
def test_what_is_replaced_once_it_is_known_which_drop_it_is_is_not_taken_for_that_drop(
    store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch, is_archive: bool, is_killed: bool
) -> None:
    place = store.home.landing("dresses") / "atelier" / ("lot.zip" if is_archive else "lot")

    def upload(*numbers: int) -> None:
        folder = put(store, "lot", *numbers)
        if is_archive:
            with zipfile.ZipFile(new := place.with_suffix(".part"), "w") as archive:
                for position, path in enumerate(sorted(folder.glob("*.jpg"))):
                    archive.writestr(f"{position}.jpg", path.read_bytes())
            shutil.rmtree(folder)
            new.rename(place)

    upload(1, 2)
    drop = identity.drop_id_of("atelier", place.name)
    if is_killed:  # its journal stays
        monkeypatch.setattr(store, "write", None)
        with pytest.raises(TypeError):
            images.raw_images(store, dresses, drop)
        monkeypatch.undo()
    real = identity.identify

    def identify(*given: Any) -> identity.Identity:
        which = real(*given)
        upload(3, 4)
        return which

    monkeypatch.setattr(identity, "identify", identify)
    monkeypatch.setattr(identity, "find", lambda *given: landing.list_deliveries(store.home.root / "landing", "dresses")[0])
    with pytest.raises(LookupError, match=f"drop {drop}: atelier/{place.name} changed since it was looked at"):
        images.raw_images(store, dresses, drop)
    monkeypatch.undo()
    assert store.drops.rows().empty
    assert take(store, dresses) == [(drop, None)]
    made = store.read("raw_images", "dresses", drop, store.released("raw_images", "dresses")[drop]).frame
    assert set(made["sha256"].dropna()) >= {hashlib.sha256(picture(number)).hexdigest() for number in (3, 4)}
    assert store.drops.rows().iloc[-1]["content_sha256"] == landing.content_sha256(
        landing.list_deliveries(store.home.root / "landing", "dresses")[0]
    )


class TestHeldByARun:
    """A run read a delivery and found that it has to wait."""

    DROP = identity.drop_id_of("atelier", "lot")

    @pytest.fixture
    def faults(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """While something is in it, no file can be read (UNREADABLE), or a folder is moved away and back while others are (INCOMPLETE)."""
        folder, faults = put(store, "lot", 1, 2), list[str]()
        (folder / "sub").mkdir()
        (folder / "sub" / "c.jpg").write_bytes(picture(3))
        real, sub = inside.Entry.open, folder / "sub"

        def opened(entry: inside.Entry) -> int:
            if "UNREADABLE" in faults:
                raise OSError(errno.EIO, "Input/output error", entry.name)
            if "INCOMPLETE" in faults and entry.name == "01.jpg":
                sub.rename(folder / "away")
            return real(entry)

        monkeypatch.setattr(inside.Entry, "open", opened)
        seen = landing.look

        def look(delivery: landing.Delivery) -> landing.Look:
            if (folder / "away").exists():
                (folder / "away").rename(sub)
            return seen(delivery)

        monkeypatch.setattr(landing, "look", look)
        (folder / "_COMPLETE").unlink()
        (folder / "_COMPLETE").touch()
        return faults

    @pytest.mark.parametrize("is_settled", [True, False])
    @pytest.mark.parametrize("fault", ["UNREADABLE", "INCOMPLETE"])
    def test_what_may_pass_is_tried_again_by_itself(
        self, store: Store, dresses: ProjectSpec, faults: list[str], fault: str, is_settled: bool
    ) -> None:
        faults.append(fault)
        for _ in range(2):
            assert take(store, dresses, is_settled) == [(self.DROP, None)]
            assert store.drops.rows().iloc[-1][["status", "reason"]].tolist() == ["held", fault]
        faults.clear()
        assert take(store, dresses, is_settled) == [(self.DROP, None)]
        assert store.drops.rows().iloc[-1]["status"] == "accepted"
        assert take(store, dresses, is_settled) == []

    @pytest.mark.parametrize("is_settled", [True, False])
    def test_five_times_and_then_when_a_person_says_so(
        self, store: Store, dresses: ProjectSpec, faults: list[str], is_settled: bool
    ) -> None:
        faults.append("UNREADABLE")
        assert [len(take(store, dresses, is_settled)) for _ in range(7)] == [1, 1, 1, 1, 1, 0, 0]
        assert list(store.drops.rows()["status"]) == ["held"]  # the same is said once
        told = "\n".join(status.of(store, dresses).lines())
        assert "held, UNREADABLE" in told and "dataops retry dresses DROP --by WHO" in told
        with pytest.raises(LookupError, match=rf"gate of raw_images \(UNREADABLE\).*dataops retry dresses {self.DROP} --by WHO"):
            drops.retry(store, dresses, self.DROP)
        drops.retry(store, dresses, self.DROP, by="ann@example.org", why="the disk was changed")
        assert [len(take(store, dresses, is_settled)) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
        faults.clear()
        os.utime(store.home.landing("dresses") / "atelier" / "lot" / "_COMPLETE")  # or when anything about it changes
        assert take(store, dresses, is_settled) == [(self.DROP, None)]
        assert store.drops.rows().iloc[-1][["status", "supersedes"]].tolist() == ["accepted", None]

    def test_what_somebody_has_to_bring_is_not_and_a_person_may_settle_for_less(self, store: Store, dresses: ProjectSpec) -> None:
        (put(store, "lot", 1, 2) / "_COMPLETE").touch()
        vendors = [{**vendor, "manifest": "required"} for vendor in dresses.model_dump(mode="json")["sources"]["vendors"]]
        strict = changed(dresses, sources={"vendors": vendors})
        assert take(store, strict) == [(self.DROP, None)]
        assert store.drops.rows().iloc[-1][["status", "reason"]].tolist() == ["held", "MANIFEST_MISSING"]
        assert take(store, strict) == []
        drops.retry(store, strict, self.DROP, by="ann@example.org", why="they have none")
        assert take(store, dresses) == [(self.DROP, None)]
        assert store.drops.rows().iloc[-1]["status"] == "accepted"


class TestClearedUp:
    """Files of a delivery that was taken are removed, and nothing is put there."""

    DROP = identity.drop_id_of("atelier", "lot")

    @pytest.fixture
    def folder(self, store: Store, dresses: ProjectSpec) -> Path:
        folder = put(store, "lot", 1, 2, 3)
        assert take(store, dresses) == [(self.DROP, None)]
        return folder

    @pytest.mark.parametrize("gone", [["01.jpg"], ["_COMPLETE"], ["01.jpg", "_COMPLETE"], ["01.jpg", "02.jpg", "03.jpg", "_COMPLETE"]])
    def test_nothing_is_done_and_that_is_said(
        self, store: Store, dresses: ProjectSpec, folder: Path, gone: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in gone:
            (folder / name).unlink()
        for is_settled in (False, True):
            found = waiting.drops(store, dresses, {}, 1e9, is_settled)
            assert (found.ready, found.held) == ([], {"atelier/lot": arrivals.CLEARED})
        monkeypatch.setattr(landing, "holds_less", None)  # it is looked into once, as it is
        found = waiting.drops(store, dresses, found.looks, 2e9)
        assert (found.ready, found.held) == ([], {"atelier/lot": arrivals.CLEARED})
        claims.remember(store.home, "dresses", "drops", {"held": found.held, "at": 2e9})
        assert f"atelier/lot: {arrivals.CLEARED}" in "\n".join(status.of(store, dresses).lines())
        assert list(store.drops.rows()["status"]) == ["accepted"]

    def test_what_is_put_there_is_a_correction(self, store: Store, dresses: ProjectSpec, folder: Path) -> None:
        (folder / "01.jpg").unlink()
        held = waiting.drops(store, dresses, {}, 1e9)
        time.sleep(0.02)
        (folder / "_COMPLETE").touch()
        (item,) = waiting.drops(store, dresses, held.looks, 1e9).ready
        assert (item.partition, item.facts["supersedes"]) == (f"{self.DROP}-r2", self.DROP)
        put(store, "lot", 1, 2, 3)
        assert take(store, dresses) == []  # and what is put back is what it was

    @pytest.mark.parametrize("name", ["02.jpg", "new.jpg"])
    def test_what_has_another_size_or_name_is_too_whatever_its_times_say(
        self, store: Store, dresses: ProjectSpec, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        (folder / "01.jpg").unlink()
        (folder / name).write_bytes(b"other")
        (folder / "_COMPLETE").touch()
        real = landing.look
        monkeypatch.setattr(landing, "look", lambda delivery: dataclasses.replace(real(delivery), changed_ns=1))
        assert take(store, dresses) == [(f"{self.DROP}-r2", self.DROP)]

    def test_one_that_a_gate_refused_is_corrected_so(self, store: Store, dresses: ProjectSpec, folder: Path) -> None:
        row = {"project": "dresses", "asset": "cleaned_set", "partition": self.DROP, "version": "v", "outcome": "fail", "at": now()}
        store.gates.append(lambda rows: [row])
        (folder / "01.jpg").unlink()
        assert take(store, dresses) == [(f"{self.DROP}-r2", self.DROP)]

    def test_one_that_is_in_work_goes_on_from_what_was_taken(self, store: Store, dresses: ProjectSpec) -> None:
        folder = put(store, "early", 1, 2)
        drop = identity.drop_id_of("atelier", "early")
        version = images.raw_images(store, dresses, drop).version
        assert gates.pass_through(store, dresses, "raw_images", drop, version).outcome == "pass"
        assert [item.partition for item in waiting.drops(store, dresses, {}, 1e9).ready] == [drop]
        assert waiting.rescreens(store, dresses) == []
        (folder / "01.jpg").unlink()
        assert waiting.drops(store, dresses, {}, 1e9).ready == []
        assert [item.partition for item in waiting.rescreens(store, dresses)] == [drop]


class TestTriedAgain:
    """A drop was taken and parked, and a person has it tried again."""

    @pytest.fixture
    def folder(self, store: Store, dresses: ProjectSpec) -> Path:
        folder = deliver_and_enter(store, "lot", raw_images="pass")
        item = waiting.drops(store, dresses, {}, 0).ready[0]
        drops.park(store, dresses, [{**item.facts, "reason": "5 runs failed"}])
        drops.retry(store, dresses, item.partition)
        return folder

    def found(self, store: Store, spec: ProjectSpec) -> list[tuple[str, str | None]]:
        looks: waiting.Looks = {}
        for at in (0, 1):
            found = waiting.drops(store, spec, looks, at)
            looks = found.looks
        return [(item.partition, item.facts["supersedes"]) for item in found.ready]

    def test_as_it_was_it_is_the_same_drop(self, store: Store, dresses: ProjectSpec, folder: Path) -> None:
        drop = identity.drop_id_of("atelier", "lot")
        assert self.found(store, dresses) == [(drop, None)]
        os.utime(folder / "a.jpg", ns=(1, 1))
        assert self.found(store, dresses) == []  # its marker is older than a file: somebody is at work in there
        (folder / "_COMPLETE").touch()
        assert self.found(store, dresses) == [(drop, None)]
        assert identity.find(store.home.root / "landing", "dresses", drop, store.drops.rows()).path == folder

    @pytest.mark.parametrize("data", [b"LOT", b"longer than it was"])
    def test_other_content_is_a_delivery_of_its_own(self, store: Store, dresses: ProjectSpec, folder: Path, data: bytes) -> None:
        drop = identity.drop_id_of("atelier", "lot")
        (folder / "a.jpg").write_bytes(data)
        (folder / "_COMPLETE").touch()
        assert self.found(store, dresses) == [(f"{drop}-r2", drop)]

    def test_what_was_never_taken_may_be_mended(self, store: Store, dresses: ProjectSpec) -> None:
        folder = deliver(store, "bad")
        item = waiting.drops(store, dresses, {}, 0).ready[0]
        drops.park(store, dresses, [{**item.facts, "reason": "5 runs failed"}])
        drops.retry(store, dresses, item.partition)
        (folder / "a.jpg").write_bytes(b"mended")
        (folder / "_COMPLETE").touch()
        assert self.found(store, dresses) == [(item.partition, None)]


class TestLeftLanding:
    """A delivery was taken, its chain is not through, and the vendor has cleared its folder."""

    def asked(self, store: Store, spec: ProjectSpec) -> list[str]:
        return [item.name.split("/")[1] for item in waiting.rescreens(store, spec)]

    def test_it_goes_on_from_what_was_taken(self, store: Store, dresses: ProjectSpec) -> None:
        through = dict.fromkeys(waiting.DROP_CHAIN, "pass")
        chains = {
            "killed": {"raw_images": "pass"}, "broken": {"raw_images": "pass", "cleaned_set": "error"},
            "screened": {"raw_images": "pass", "cleaned_set": "waived"}, "done": through, "new": {}, "unjudged": {"raw_images": "error"},
            "refused": {"raw_images": "pass", "cleaned_set": "fail"}, "here": {"raw_images": "pass"},
        }  # fmt: skip
        for name, outcomes in chains.items():
            folder = deliver(store, name)
            enter(store, name, **outcomes)
            if name != "here":
                shutil.rmtree(folder)
        assert sorted(self.asked(store, dresses)) == ["broken", "killed", "screened"]
        assert names(waiting.drops(store, dresses, {}, 0)) == ["here"]
        first, again = waiting.rescreens(store, dresses), waiting.rescreens(store, dresses)
        assert first == again  # the same work: its attempts are counted, and it is not asked for without end

    def test_a_parked_or_withdrawn_one_does_not(self, store: Store, dresses: ProjectSpec) -> None:
        for name in ("parked", "gone"):
            shutil.rmtree(deliver_and_enter(store, name, raw_images="pass"))
        row = {"project": "dresses", "drop_id": identity.drop_id_of("atelier", "gone"), "reason": "r", "by": "b", "at": now()}
        store.withdrawals.append(lambda rows: [row])
        item = next(item for item in waiting.rescreens(store, dresses) if item.name == "atelier/parked")
        drops.park(store, dresses, [{**item.facts, "reason": "5 runs failed"}])
        assert self.asked(store, dresses) == []

    def test_a_parked_one_is_tried_again_when_a_person_says_so(self, store: Store, dresses: ProjectSpec) -> None:
        shutil.rmtree(deliver_and_enter(store, "parked", raw_images="pass"))
        item = waiting.rescreens(store, dresses)[0]
        drops.park(store, dresses, [{**item.facts, "reason": "5 runs failed"}])
        assert drops.retry(store, dresses, item.partition) == "atelier/parked"
        again = waiting.rescreens(store, dresses)
        assert [one.partition for one in again] == [item.partition]
        assert again[0].since > item.since == 0  # what failed before doesn't count

    def test_one_that_is_corrected_waits_for_what_comes_of_the_correction(self, store: Store, dresses: ProjectSpec) -> None:
        folder = deliver_and_enter(store, "lot", raw_images="pass")
        first = identity.drop_id_of("atelier", "lot")
        (folder / "a.jpg").write_bytes(b"longer than it was")
        (folder / landing.MARKERS[0]).touch()
        assert self.asked(store, dresses) == []  # nobody has looked at the folder yet
        item = waiting.drops(store, dresses, {}, 0).ready[0]
        store.drops.append(lambda rows: [{**item.facts, "project": "dresses", "status": "accepted", "received_at": now()}])
        judged = {"project": "dresses", "asset": "raw_images", "partition": item.partition, "version": "v", "at": now()}
        store.gates.append(lambda rows: [{**judged, "outcome": "pass"}])
        assert waiting.rescreens(store, dresses) == []
        store.gates.append(lambda rows: [{**judged, "asset": "cleaned_set", "outcome": "fail"}])
        assert [item.partition for item in waiting.rescreens(store, dresses)] == [first]
