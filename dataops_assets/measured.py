"""What a dataset card may say of a release: measured, and a function of the release's inputs alone, so it never changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import acceptance
from dataops_assets.manifest import Manifest, is_true, records
from dataops_assets.stages import auditing
from dataops_assets.store import RELEASING, Store


def facts(store: Store, release: Manifest) -> dict[str, Any]:
    """Quality of the labels, licences of the pictures, and the gates that what went in has passed."""
    quality, batches = _quality(store, release)
    gold = quality[is_true(quality["is_gold"]) & quality["gold_correct"].notna()]
    answers = int(gold["n_labels"].sum())
    return {
        "batches of labels": ", ".join(batches),
        "agreement of two answers to a question": round(float(quality["agreement"].mean()), 4) if len(quality) else None,
        "answers on hidden gold": answers,
        "single answers right on hidden gold": round(float(gold["gold_correct"].sum()) / answers, 4) if answers else None,
        **(_audits(store, release, quality) if "audits" in release.inputs else {}),  # releases of before don't name them
        "licenses": _licenses(store, release),
        "gates": _gates(store, release),
    }


def _quality(store: Store, release: Manifest) -> tuple[pd.DataFrame, list[str]]:
    """`label_quality` rows behind the release's labels, and the batches they judge."""
    approved = release.inputs.get("approved_labels", {})
    versions: dict[str, str] = {}
    for batch, version in approved.items():
        versions |= store.inputs("approved_labels", release.project, batch, version).get("label_quality", {})
    frame = store.read_all("label_quality", release.project, versions)
    return frame if len(frame) else pd.DataFrame(columns=list(CONTRACTS["label_quality"].columns)), sorted(approved)


def _audits(store: Store, release: Manifest, quality: pd.DataFrame) -> dict[str, str]:
    """What the audits that a release names say of the batches in it; and of which of these they say nothing, or not yet enough."""
    answers = store.read_all("label_quality", release.project, release.inputs.get("audits", {}))
    gone = release.inputs.get("withdrawals", {}).keys()
    held = store.read_all("cleaned_set", release.project, release.inputs.get("cleaned_set", {}), ("image_id", "drop_id", "status"))
    held = held[~held["drop_id"].isin(gone) & ~held["image_id"].isin(gone) & held["status"].isin(["kept", "review"])]
    sample = auditing.drawn_anew(quality, answers, set(quality["image_id"]) - set(held["image_id"]), store.home.worker_key())
    made = auditing.audits(sample, auditing.audited(sample, answers))
    rows = made.to_dict("records")
    open_ = [row for row in rows if not auditing.is_measured(row)]
    told = [f"{row['batch_id']}, {row['size']:,} labels ({auditing.error_told(row)})" for row in open_]
    return {
        "wrong among labels accepted by themselves": f"{acceptance.estimate(made).sentence}, 95 % interval",
        "batches whose labels accepted by themselves nobody has measured": "; ".join(told) or "none",
    }


def _licenses(store: Store, release: Manifest) -> dict[str, str]:
    """Licence -> how many of the release's source pictures came under it."""
    versions: dict[str, str] = {}
    for drop, version in release.inputs.get("cleaned_set", {}).items():
        versions |= store.inputs("cleaned_set", release.project, drop, version).get("raw_images", {})
    raw = store.read_all("raw_images", release.project, versions).drop_duplicates("image_id").set_index("image_id")
    sources = release.frame.loc[release.frame["kind"] == "source", "image_id"]
    tally = Counter(raw["license"].reindex(sources).fillna("none named"))
    return {str(name): f"{count} source pictures" for name, count in sorted(tally.items())}


def _gates(store: Store, release: Manifest) -> list[str]:
    """A sentence an artifact, by the ledger row that first released each version: later rows can't change it."""
    rows = store.gates.rows()
    rows = rows[(rows["project"] == release.project) & rows["outcome"].isin(RELEASING)].drop_duplicates(
        ["asset", "partition", "version"], keep="first"
    )
    held = {(row["asset"], row["partition"], row["version"]): row for row in records(rows)}
    told = []
    for asset, versions in release.inputs.items():
        seen = [held[asset, name, version] for name, version in sorted(versions.items()) if (asset, name, version) in held]
        if not seen:
            continue
        waived = [f"{row['partition']} waived by {row['by']}: {row['reason']}" for row in seen if row["outcome"] == "waived"]
        told.append(f"{asset}: {len(seen)} versions, {len(seen) - len(waived)} passed" + "".join(f"; {one}" for one in waived))
    return sorted(told)
