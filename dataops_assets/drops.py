"""The `drops` ledger: one row a delivery and outcome, entered by whoever learns of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.intake import landing
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now


def enter_drop(store: Store, row: Mapping[str, Any], run_id: str = "") -> None:
    """One row a delivery and outcome; the same outcome again changes nothing."""

    def build(rows: pd.DataFrame) -> list[dict[str, Any]]:
        mine = rows[(rows["project"] == row["project"]) & (rows["drop_id"] == row["drop_id"])]
        if len(mine):
            last = mine.iloc[-1]
            if all(_same(last[name], row.get(name)) for name in ("status", "reason", "fingerprint", "content_sha256")):
                return []
        attempt = row.get("attempt") or int((mine["status"] != "held").sum()) + 1
        return [{**row, "attempt": attempt, "received_at": now(), "run_id": run_id or None}]

    store.drops.append(build)


def hold_drop(store: Store, spec: ProjectSpec, delivery: landing.Delivery, identity: landing.Identity, reason: str) -> None:
    """Enter a delivery that isn't complete yet, once for each reason: a copy in progress must not fill the ledger."""
    row = {
        "project": spec.name, "vendor": delivery.vendor, "drop_id": identity.drop_id, "name": delivery.name, "status": "held",
        "reason": reason, "supersedes": identity.supersedes, "fingerprint": None, "content_sha256": None, "attempt": 0,
    }  # fmt: skip
    enter_drop(store, row)


def park_drop(store: Store, spec: ProjectSpec, drop_id: str, reason: str) -> None:
    """Stop trying a drop and say so in the ledger, where `dataops status` and the UI show it."""
    rows = store.drops.rows()
    rows = rows[rows["project"] == spec.name]
    delivery = landing.find(store.home.root / "landing", spec.name, drop_id, rows)
    row = {
        "project": spec.name, "vendor": delivery.vendor, "drop_id": drop_id, "name": delivery.name, "status": "parked",
        "reason": reason, "fingerprint": landing.fingerprint(delivery), "content_sha256": None,
    }  # fmt: skip
    enter_drop(store, row)


def _same(left: Any, right: Any) -> bool:
    return bool((pd.isna(left) and pd.isna(right)) or left == right)
