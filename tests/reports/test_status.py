"""What a person sees at a glance: what arrived, what waits or was refused, and what to tell whom."""

from __future__ import annotations

import re

import pandas as pd

from dataops_assets import claims
from dataops_assets.reports import shown, status
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now


def enter(store: Store, drop_id: str, **facts: str) -> None:
    row = {"project": "garments", "vendor": "acme", "drop_id": drop_id, "name": drop_id, "received_at": now(), **facts}
    store.drops.append(lambda rows: [row])


def test_each_vendor_and_reason_is_told_once_with_what_to_do(store: Store, garments: ProjectSpec) -> None:
    enter(store, "d1", status="accepted")
    enter(store, "d2", status="partial", reason="CORRUPT")  # its report tells of the file
    enter(store, "d3", status="rejected", reason="LINK_MEMBER|BOMB")
    enter(store, "d4", status="rejected", reason="LINK_MEMBER")
    enter(store, "d5", status="held", reason="INCOMPLETE", vendor="zenith")
    enter(store, "d6", status="held", reason="RETRY")  # our own business
    enter(store, "d7", status="rejected", reason="BOMB")
    enter(store, "d7-r2", status="accepted", supersedes="d7")  # it came again: nothing to tell
    (store.home.landing("garments") / "zenith" / "d5").mkdir(parents=True)
    lines = status.of(store, garments).lines()
    assert "  8 drops: 2 accepted, 1 partial, 2 held, 3 rejected; what to send the vendors is in reports/garments/deliveries/" in lines
    told = [line.strip() for line in lines if line.startswith("  tell ")]
    assert [re.match(r"tell \w+: \d+ drops? \w+", line)[0] for line in told] == [  # type: ignore[index]
        "tell acme: 1 drop BOMB", "tell acme: 2 drops LINK_MEMBER", "tell zenith: 1 drop INCOMPLETE",
    ]  # fmt: skip
    assert "Put the file itself in its place and deliver again." in told[1]


def test_what_a_gate_found_wrong_with_a_delivery_is_told_too(store: Store, garments: ProjectSpec) -> None:
    for drop, failed in (
        ("d1", "accepted_share|share_of_BLURRY"),
        ("d2", "accepted_share"),
        ("d3", "rows_conserved"),
        ("d4", "keep_share"),
    ):
        enter(store, drop, status="partial", reason="CORRUPT")
        row = {"project": "garments", "asset": "raw_images", "partition": drop, "version": "v", "outcome": "fail", "at": now()}
        row["failed"] = failed
        store.gates.append(lambda rows, row=row: [row])
    enter(store, "d4-r2", status="accepted", supersedes="d4")  # it came again: nothing to tell
    gone = {"project": "garments", "drop_id": "d5", "reason": "r", "by": "b", "at": now()}
    store.withdrawals.append(lambda rows: [gone])
    told = [line for line in status.of(store, garments).lines() if line.startswith("  tell ")]
    again = "Correct it and deliver it again under the same name."
    assert told == [
        f"  tell acme: 2 drops not accepted as a whole: too many of its files can't be used. {again}",
        f"  tell acme: 1 drop not accepted as a whole: too many of its pictures are left out for one reason (blurry). {again}",
    ]


def test_of_very_many_drops_the_newest_are_listed_and_the_rest_is_counted(store: Store, garments: ProjectSpec) -> None:
    rows = [{"project": "garments", "vendor": "acme", "drop_id": f"d{number}", "name": "n", "status": "accepted"} for number in range(60)]
    store.drops.append(lambda held: rows)
    seen = status.of(store, garments)
    listed = [line for line in seen.lines() if line.startswith("  drop ")]
    assert len(listed) == status.SHOWN
    assert "d59 " in listed[-1]
    assert "  10 more drops before these; all of them: dataops status garments --json" in seen.lines()
    assert len(seen.as_dict()["drops"]) == 60


def test_what_is_held_is_shown_as_it_stands(store: Store, garments: ProjectSpec) -> None:
    there = store.home.landing("garments") / "acme"
    for name in ("slow", "lot"):
        (there / name).mkdir(parents=True)
    enter(store, "slow", status="held", reason="INCOMPLETE", name="slow")
    first = store.drops.rows()["received_at"].iloc[-1]
    enter(store, "moved", status="held", reason="INCOMPLETE", name="moved")  # the vendor has cleared it away
    enter(store, "lot", status="held", reason="MANIFEST_FILE_MISSING", name="lot")
    enter(store, "lot-r2", status="accepted", name="lot", supersedes="lot")  # other content came under its name
    enter(store, "elsewhere", status="held", reason="INCOMPLETE", vendor="zenith")  # with no folder of that vendor
    seen = status.of(store, garments)
    shown = seen.lines()
    assert {row["drop_id"]: row["is_gone"] for row in seen.as_dict()["drops"]} == {
        "slow": False, "moved": True, "lot": True, "lot-r2": False, "elsewhere": True,
    }  # fmt: skip
    assert any(line.startswith("  5 drops: 1 accepted, 1 held, 3 gone before they were taken;") for line in shown)
    assert f"  held: 1 INCOMPLETE since {first:%Y-%m-%d %H:%M} UTC" in shown
    assert f"  drop slow (acme/slow): held, INCOMPLETE since {first:%Y-%m-%d %H:%M} UTC" in shown
    assert "  drop moved (acme/moved): held, INCOMPLETE, no longer there" in shown
    assert [line.split(".")[0] for line in shown if line.startswith("  tell ")] == ["  tell acme: 1 drop INCOMPLETE"]


def test_it_says_since_when_and_not_when_it_was_looked_at_last(store: Store, garments: ProjectSpec) -> None:
    (store.home.landing("garments") / "acme" / "slow").mkdir(parents=True)
    times = pd.to_datetime(["2026-01-01 10:00", "2026-01-01 11:00", "2026-01-01 12:00", "2026-01-01 13:00"], utc=True)
    for at, (state, why) in zip(times, [("held", "UNREADABLE"), ("held", "INCOMPLETE"), ("held", "INCOMPLETE")], strict=False):
        row = {"project": "garments", "vendor": "acme", "drop_id": "d", "name": "slow", "status": state, "reason": why, "received_at": at}
        store.drops.append(lambda rows, row=row: [row])
    assert status.deliveries(store, garments)[0]["since"] == "2026-01-01T11:00:00+00:00"


def test_what_the_sensor_holds_beside_the_ledger_is_shown_with_its_reason_and_time(store: Store, garments: ProjectSpec) -> None:
    (store.home.landing("garments") / "acme" / "slow").mkdir(parents=True)
    enter(store, "slow", status="held", reason="INCOMPLETE")
    held = {
        "acme/slow": "INCOMPLETE", "acme/large": "NO_SPACE: 900 MiB must be free at /srv", "acme/bad": "parked: 5 runs failed",
        "stray.jpg": "lies in no vendor's folder",
    }  # fmt: skip
    claims.remember(store.home, "garments", "drops", {"held": held, "at": 1767261600.0})
    seen = status.of(store, garments)
    assert [row["name"] for row in seen.as_dict()["waits"]] == ["acme/large", "stray.jpg"]
    assert seen.as_dict()["looked_at"] == "2026-01-01T10:00:00+00:00"
    shown = seen.lines()
    at = shown.index("  the sensor holds 2, as of 2026-01-01 10:00 UTC:")
    assert shown[at + 1 : at + 3] == ["    acme/large: NO_SPACE: 900 MiB must be free at /srv", "    stray.jpg: lies in no vendor's folder"]


def test_the_program_page_tells_of_deliveries_too(store: Store, garments: ProjectSpec) -> None:
    (store.home.landing("garments") / "acme" / "slow").mkdir(parents=True)
    enter(store, "slow", status="held", reason="INCOMPLETE")
    enter(store, "bad", status="parked", reason="5 runs failed")
    enter(store, "evil", status="rejected", reason="BOMB")
    claims.remember(store.home, "garments", "drops", {"held": {"acme/large": "NO_SPACE: 900 MiB must be free"}, "at": 1767261600.0})
    parts = shown.program(store, [garments], pd.DataFrame())
    assert [(row["deliveries"], row["count"]) for row in parts["deliveries"].rows] == [("held", 1), ("rejected", 1), ("parked", 1)]
    assert [(row["name"], row["reason"][:8]) for row in parts["deliveries that wait"].rows] == [
        ("acme/slow", "held: IN"), ("acme/bad", "parked: "), ("acme/large", "NO_SPACE"),
    ]  # fmt: skip
    assert [row["tell"].split(".")[0] for row in parts["what to tell the vendors"].rows] == ["acme: 1 drop BOMB", "acme: 1 drop INCOMPLETE"]


def test_a_folder_of_no_project_is_said(store: Store, garments: ProjectSpec) -> None:
    assert status.strangers(store.home, {"garments"}) == []
    for name in ("garments", "removed", ".hidden"):
        store.home.landing(name).mkdir(parents=True)
    assert status.strangers(store.home, {"garments"}) == ["landing/removed: no project of this name; nothing that lies there is looked at"]


def test_without_the_landing_folder_nothing_is_called_gone(store: Store, garments: ProjectSpec) -> None:
    enter(store, "slow", status="held", reason="INCOMPLETE")
    assert [row["is_gone"] for row in status.deliveries(store, garments)] == [False]  # it may not be mounted
