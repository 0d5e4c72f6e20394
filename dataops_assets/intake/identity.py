"""Which drop a delivery is: a new one, one that is known, or other content under a known name, which supersedes.

Content is read only where a name was delivered before with the same names and sizes inside.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets.intake import landing
from dataops_assets.manifest import records


@dataclass(frozen=True)
class Identity:
    """Which drop a delivery is."""

    drop_id: str
    supersedes: str | None
    is_redelivery: bool
    fingerprint: str


def drop_id_of(vendor: str, name: str, generation: int = 1) -> str:
    """Our own slug for a delivery: `<vendor>-<16 hex of vendor and name>`, with `-r2` for the second content under a name."""
    head = re.sub(r"[^a-z0-9]+", "-", vendor.lower()).strip("-")[:40] or "vendor"
    digits = hashlib.sha256(f"{vendor}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{head}-{digits}" + (f"-r{generation}" if generation > 1 else "")


def identify(delivery: landing.Delivery, drops: pd.DataFrame) -> Identity:
    """Which drop a delivery is, from the rows of the `drops` ledger of its project. Reads content where nothing else tells."""
    mine = drops[(drops["vendor"] == delivery.vendor) & (drops["name"] == delivery.name)]
    try:
        seen = landing.look(delivery)
    except OSError:
        seen = landing.VANISHED
    history = records(mine)
    return of(delivery, seen, history) or _told(delivery, seen, history)


def _told(delivery: landing.Delivery, seen: landing.Look, history: Sequence[Mapping[str, Any]]) -> Identity:
    told = of(delivery, seen, history, landing.content_sha256(delivery))
    assert told is not None  # content tells in the end
    return told


def of(delivery: landing.Delivery, seen: landing.Look, history: Sequence[Mapping[str, Any]], content: str | None = None) -> Identity | None:
    """Which drop a delivery is, from the ledger's rows of its name; nothing where only its `content_sha256` could tell."""
    history = _without_given_up(history, seen)
    if not history:
        return Identity(drop_id_of(delivery.vendor, delivery.name), None, False, seen.fingerprint)
    last = history[-1]
    if last["status"] == "held":  # tried again is what was judged or given up before, and nothing put in its place
        last = next((row for row in reversed(history) if _is_judged(row, last["drop_id"])), last)
    if last["fingerprint"] == seen.fingerprint or last["status"] == "held":
        return Identity(last["drop_id"], last["supersedes"], False, seen.fingerprint)
    is_other = not last["content_sha256"] or last.get("listing") not in (None, seen.listing)
    if content is None and not is_other:
        return None
    if not is_other and content == last["content_sha256"]:
        return Identity(last["drop_id"], None, True, seen.fingerprint)
    generation = len({row["drop_id"] for row in history}) + 1
    return Identity(f"{history[0]['drop_id']}-r{generation}", last["drop_id"], False, seen.fingerprint)  # ids once had 8 digits


def _is_judged(row: Mapping[str, Any], drop_id: str) -> bool:
    """Whether a row tells of a drop's content, and not only that some of it was there."""
    return bool(row["drop_id"] == drop_id and row["status"] != "held" and row["content_sha256"])


def _without_given_up(history: Sequence[Mapping[str, Any]], seen: landing.Look) -> Sequence[Mapping[str, Any]]:
    """The rows without a drop that was parked before its content was ever read, once something else, or the same anew, lies there.

    Nobody knows what it held, so there is nothing to compare with and nothing to supersede: what lies there now is tried under its id.
    """
    last = history[-1] if history else None
    if last is None or last["status"] != "parked" or last["fingerprint"] == seen.fingerprint:
        return history
    is_known = any(row["content_sha256"] for row in history if row["drop_id"] == last["drop_id"])
    return history if is_known else [row for row in history if row["drop_id"] != last["drop_id"]]


def find(root: Path, project: str, drop_id: str, drops: pd.DataFrame) -> landing.Delivery:
    """The delivery that is a drop.

    Raises:
        LookupError: when landing holds it no longer, or another content has taken its name.
    """
    first = re.sub(r"-r\d+$", "", drop_id)
    known = drops[drops["drop_id"].isin({first, drop_id})]
    owners = set(zip(known["vendor"], known["name"], strict=True))  # they stay the owners, however ids are made
    for delivery in landing.list_deliveries(root, project):
        if (delivery.vendor, delivery.name) not in owners if owners else drop_id_of(delivery.vendor, delivery.name) != first:
            continue
        now = identify(delivery, drops).drop_id
        if now != drop_id:
            raise LookupError(
                f"drop {drop_id}: {delivery.vendor}/{delivery.name} was delivered again with other content ({now}); "
                "its released version stays in use"
            )
        return delivery
    raise LookupError(f"drop {drop_id} no longer lies in {root / project}; its released version stays in use")
