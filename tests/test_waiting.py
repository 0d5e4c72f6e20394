"""What waits, by the ledgers and folders alone: the same for sensors and commands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from dataops_assets import waiting
from dataops_assets.intake import landing
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now


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
    drop = landing.drop_id_of("atelier", name)
    row = {
        "project": "dresses", "vendor": "atelier", "drop_id": drop, "name": name, "status": "accepted", "attempt": 1, "received_at": now(),
        "fingerprint": landing.fingerprint(given), "content_sha256": landing.content_sha256(given),
    }  # fmt: skip
    store.drops.append(lambda rows: [row])
    gates = [{"project": "dresses", "asset": a, "partition": drop, "version": "v", "outcome": o, "at": now()} for a, o in outcomes.items()]
    store.gates.append(lambda rows: gates)
    return drop


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
    assert names(waiting.drops(store, dresses, {}, 0, limit=2)) == ["broken", "half"]


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
    assert names(waiting.drops(store, dresses, {}, 0)) == []
    assert len(store.drops.rows()) == 2
    assert names(waiting.drops(store, dresses, {}, 0)) == []
    assert len(store.drops.rows()) == 2


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


def test_a_thousand_known_drops_are_looked_through_in_no_time(store: Store, dresses: ProjectSpec) -> None:
    for number in range(300):
        deliver(store, f"d{number:04d}")
    rows, gates = [], []
    for number in range(300):
        name = f"d{number:04d}"
        given = landing.Delivery("dresses", "atelier", name, store.home.landing("dresses") / "atelier" / name, False)
        drop = landing.drop_id_of("atelier", name)
        base = {"project": "dresses", "vendor": "atelier", "drop_id": drop, "name": name, "status": "accepted"}
        rows.append({**base, "fingerprint": landing.fingerprint(given)})
        gates += [{"project": "dresses", "asset": asset, "partition": drop, "outcome": "pass"} for asset in waiting.DROP_CHAIN]
    store.drops.append(lambda frame: rows)
    store.gates.append(lambda frame: gates)
    started = time.monotonic()
    assert waiting.drops(store, dresses, {}, 0).ready == []
    assert time.monotonic() - started < 5


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
    real = landing.readiness

    def readiness(delivery: landing.Delivery, *rest: Any) -> landing.Readiness:
        if delivery.name == "bad":
            raise PermissionError(13, "Permission denied")
        return real(delivery, *rest)

    monkeypatch.setattr(landing, "readiness", readiness)
    found = waiting.drops(store, dresses, {}, 0)
    assert names(found) == ["good"]
    assert found.held == {"atelier/bad": "can't be read: Permission denied"}
