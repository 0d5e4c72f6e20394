"""What a person sees at a glance: what arrived, what waits or was refused, and what to tell whom."""

from __future__ import annotations

import re

from dataops_assets.reports import status
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
    lines = status.of(store, garments).lines()
    assert "  8 drops: 2 accepted, 1 partial, 2 held, 3 rejected; what to send the vendors is in reports/garments/deliveries/" in lines
    told = [line.strip() for line in lines if line.startswith("  tell ")]
    assert [re.match(r"tell \w+: \d+ drops? \w+", line)[0] for line in told] == [  # type: ignore[index]
        "tell acme: 1 drop BOMB", "tell acme: 2 drops LINK_MEMBER", "tell zenith: 1 drop INCOMPLETE",
    ]  # fmt: skip
    assert "Put the file itself in its place and deliver again." in told[1]


def test_of_very_many_drops_the_newest_are_listed_and_the_rest_is_counted(store: Store, garments: ProjectSpec) -> None:
    rows = [{"project": "garments", "vendor": "acme", "drop_id": f"d{number}", "name": "n", "status": "accepted"} for number in range(60)]
    store.drops.append(lambda held: rows)
    seen = status.of(store, garments)
    listed = [line for line in seen.lines() if line.startswith("  drop ")]
    assert len(listed) == status.SHOWN
    assert "d59 " in listed[-1]
    assert "  10 more drops before these; all of them: dataops status garments --json" in seen.lines()
    assert len(seen.as_dict()["drops"]) == 60
