"""What lies under the name of a delivery that was taken: the same content again, or what is left of it.

Names, sizes and times don't always tell; then content does. What is too much to be read at a look, a run reads and notes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets import atomic, claims
from dataops_assets.home import Home
from dataops_assets.intake import landing
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store


def compare(store: Store, spec: ProjectSpec, vendor: str, name: str) -> str:
    """Read a delivery's content and note its digest, by which the next look tells whether it was delivered before.

    Returns:
        What came of it, in a sentence.
    """
    landed = landing.list_deliveries(store.home.root / "landing", spec.name)
    delivery = next((one for one in landed if (one.vendor, one.name) == (vendor, name)), None)
    if delivery is None:
        return f"{vendor}/{name} no longer lies in landing"
    before = landing.look(delivery)
    content = landing.content_sha256(delivery, before)
    if landing.look(delivery).fingerprint != before.fingerprint:
        return f"{vendor}/{name} changed while it was read"
    path = _content_path(store.home, delivery)
    atomic.write(path, json.dumps({"fingerprint": before.fingerprint, "content": content}).encode(), store.home.tmp)
    return f"{vendor}/{name}: {before.bytes:,} bytes in {before.count:,} files were read"


def read_content(home: Home, delivery: landing.Delivery, fingerprint: str) -> str:
    """The digest that `compare` noted of a delivery as it is; empty when there is none."""
    held = claims.read(_content_path(home, delivery))
    return str(held["content"]) if held.get("fingerprint") == fingerprint and held.get("content") else ""


def _content_path(home: Home, delivery: landing.Delivery) -> Path:
    name = hashlib.sha256(f"{delivery.vendor}\0{delivery.name}".encode()).hexdigest()[:32]
    return home.scratch / "contents" / delivery.project / f"{name}.json"


def is_cleared(store: Store, delivery: landing.Delivery, row: Mapping[str, Any], seen: landing.Look | None = None) -> bool:
    """Whether a folder that was taken, as the ledger's row says, has lost files since, and nothing was put there."""
    if delivery.is_archive or row["status"] not in ("accepted", "partial") or row["received_at"] is None:
        return False
    try:
        seen = seen or landing.look(delivery)
        if seen.fingerprint == row["fingerprint"] or (seen.changed_ns or 0) > row["received_at"].timestamp() * 1e9:
            return False
        version = store.released("raw_images", delivery.project).get(row["drop_id"])
        return version is not None and landing.holds_less(delivery, _sizes(store, delivery.project, row["drop_id"], version))
    except OSError:  # somebody is at work in there
        return False


def _sizes(store: Store, project: str, drop_id: str, version: str) -> dict[str, int | None]:
    """Path -> size in bytes, where it is known, of the files that were there."""
    rows = store.read_all("raw_images", project, {drop_id: version}, ("drop_id", "path", "size_bytes", "status", "reason"))
    rows = rows[(rows["status"] != "held") | (rows["reason"] != "MANIFEST_FILE_MISSING")]
    return {path: None if pd.isna(size) else int(size) for path, size in zip(rows["path"], rows["size_bytes"], strict=True)}
