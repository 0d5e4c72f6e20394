"""Pages that lie in `reports/`, without the pictures that were withdrawn or deleted since they were written.

A page stays what it was, the gate's words included; only its pictures are drawn anew. Where they can't be drawn they are taken out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets import unfinished
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import handbook, images, sight
from dataops_assets.manifest import Manifest
from dataops_assets.reports import delivery, feedback, guidelines, pages, panels, pictures, pilot, screening, shown
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

OF_PARTITION = {  # assets whose pages show pictures -> the column that names the partition
    "raw_images": "drop_id", "cleaned_set": "drop_id", "augmented_set": "drop_id", "label_tasks": "batch_id",
    "label_quality": "batch_id", "approved_labels": "batch_id", "training_export": "release",
}  # fmt: skip
NAMES = ("image_id", "source_image_id", "duplicate_of", "sha256", "clean_sha256")


def redraw(store: Store, spec: ProjectSpec, gone: Collection[str], drop_ids: Collection[str] = ()) -> list[str]:
    """Draw every page anew that may show one of some pictures, and take them out of guidelines and packs that lie in `requests/`.

    Vendors' delivery reports are written anew by their own module.

    Args:
        store: The store, whose withdrawals and deletions are entered already.
        spec: The project.
        gone: sha256s of originals or of cleaned files.
        drop_ids: Drops all of whose pictures are gone too.

    Returns:
        Addresses, below `reports/`, of pages that still show what they showed.
    """
    pictures.forget()
    panels.forget()
    gates = store.gates.rows()
    gates = gates[gates["project"] == spec.name].drop_duplicates(["asset", "partition"], keep="last")
    lost, failed = set(gone), []
    for asset, column in OF_PARTITION.items():
        versions = _judged(gates, asset)
        contract = CONTRACTS[asset]
        rows = store.read_all(asset, spec.name, versions, [name for name in contract.columns if name in (column, *NAMES, *contract.key)])
        if asset == "raw_images":
            lost |= set(rows.loc[rows["drop_id"].isin(drop_ids), "image_id"].dropna())
        shows = rows[[name for name in NAMES if name in rows]].isin(lost).any(axis=1)
        for partition in sorted(rows.loc[shows, column].unique()):
            failed += _anew(store, spec, store.read(asset, spec.name, partition, versions[partition]))
    for partition, version in _judged(gates, "guidelines").items():
        failed += _anew(store, spec, store.read("guidelines", spec.name, partition, version))
    handbook.take_out(store, spec, lost)
    return failed


def _judged(gates: pd.DataFrame, asset: str) -> dict[str, str]:
    rows = gates[gates["asset"] == asset]
    return dict(zip(rows["partition"], rows["version"], strict=True))


def purged(store: Store, spec: ProjectSpec, gone: Collection[str]) -> list[str]:
    """As `redraw`, for what was deleted; vendors' delivery reports are written anew too."""
    if not gone:
        return []
    told = delivery.rewrite(store, spec, delivery.showing(store, spec, gone))
    return [f"{spec.name}/deliveries/{name}.html" for name in told] + redraw(store, spec, gone)


def purge(store: Store, spec: ProjectSpec, now_s: float) -> tuple[list[str], list[str]]:
    """Delete what lies apart and is due, and take it off the pages; killed half-way, `finish` goes on.

    Returns:
        sha256s of what was deleted; addresses of pages that still show what they showed.
    """
    due = images.due(store, spec, now_s)
    if not due:
        return images.purge(store, spec, now_s), []
    with unfinished.noted(store.home, spec.name, {"kind": "deletion", "gone": due, "drop_ids": []}) as note:
        gone = images.purge(store, spec, now_s)
        failed = purged(store, spec, gone)
        note.stays = bool(failed)
    return gone, failed


def outdate(store: Store, spec: ProjectSpec, cleaned: Manifest, is_released: bool = True) -> bool:
    """Take off the pages what a version of a drop says is to be hidden: what people refused or had covered since, whatever the gate says.

    Once it is released, what was made of its pictures under a laxer policy is set apart, and goes from the pages too. Doing it again
    changes nothing; killed half-way, `finish` mends the pages. Returns whether no page shows it any more.
    """
    files, ids = sight.outdated(store, spec, cleaned) if is_released else ([], [])
    gone = sorted({*files, *ids, *sight.decided_anew(store, spec, cleaned)})
    if not gone:
        return True
    with unfinished.noted(store.home, spec.name, {"kind": "deletion", "gone": gone, "drop_ids": []}) as note:
        store.apart(spec.name).set_apart(files)
        note.stays = bool(purged(store, spec, gone))
    return not note.stays


def withdraw(store: Store, spec: ProjectSpec, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Enter a withdrawal and take its pictures off the pages; killed half-way, `finish` goes on.

    Returns:
        Drops whose delivery report, and addresses of pages, that still show what they showed.
    """
    gone, drop_ids = [[name] if name is not None else [] for name in (row["image_id"], row["drop_id"])]
    with unfinished.noted(store.home, spec.name, {"kind": "withdrawal", "gone": gone, "drop_ids": drop_ids}) as note:
        store.withdrawals.append(lambda rows: [row])
        told, failed = _without(store, spec, gone, drop_ids)
        note.stays = bool(told or failed)
    return told, failed


def finish(store: Store, spec: ProjectSpec, what: unfinished.What) -> bool:
    """Take pictures off the pages by the note of a process that died; returns whether no page shows them any more."""
    images.purge(store, spec, 0.0)  # nothing is due at that time: copies of what was deleted go
    return not any(_without(store, spec, what["gone"], what["drop_ids"]))


def _without(store: Store, spec: ProjectSpec, gone: Collection[str], drop_ids: Collection[str]) -> tuple[list[str], list[str]]:
    told = delivery.rewrite(store, spec, [*drop_ids, *(delivery.showing(store, spec, gone) if gone else ())])
    return told, redraw(store, spec, gone, drop_ids)


def _anew(store: Store, spec: ProjectSpec, made: Manifest) -> list[str]:
    """Draw the pages of one manifest; returns the addresses of those that stayed as they were."""
    failed = []
    for address, draw in _pages(store, spec, made).items():
        path = store.home.root / "reports" / address
        try:
            if path.exists():
                draw(path)
        except Exception:  # one page must not keep the others from being mended
            logging.getLogger(__name__).exception("%s could not be drawn anew", address)
            try:
                pages.put(path, pages.without_pictures(path.read_text("utf-8")), store.home.tmp)
            except (OSError, UnicodeDecodeError):
                failed.append(address)
    return failed


def _pages(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, Callable[[Path], object]]:
    """Address -> how the page is drawn. Beside an artifact's own page there are some that stand for themselves."""

    def mended(path: Path) -> None:
        pages.put(path, pages.with_pictures(path.read_text("utf-8"), shown.parts(store, spec, made)), store.home.tmp)

    if made.asset == "guidelines":
        return {guidelines.path(spec): lambda path: pages.put(path, handbook.page(store, spec, made), store.home.tmp)}
    found: dict[str, Callable[[Path], object]] = {f"{spec.name}/{made.asset}/{made.partition}.html": mended}
    if made.asset == "cleaned_set":
        found[f"{spec.name}/screening/{made.partition}.html"] = lambda path: screening.write(store, spec, made)
    if made.asset == "label_quality":
        found[pilot.path(spec, made.partition)] = lambda path: pilot.write(store, spec, made.partition)
        told = store.released("vendor_feedback", spec.name).get(made.partition)
        found |= _pages(store, spec, store.read("vendor_feedback", spec.name, made.partition, told)) if told is not None else {}
    if made.asset == "vendor_feedback":
        vendors = sorted(made.frame["vendor"].unique())
        found |= {feedback.path(spec, vendor, made.partition): lambda path: _told(store, spec, made, path) for vendor in vendors}
    return found


def _told(store: Store, spec: ProjectSpec, made: Manifest, path: Path) -> None:
    """Write a vendor's folder anew; where that fails, the pages beside this one lose their pictures too."""
    try:
        feedback.write(store, spec, made)
    except Exception:
        for pack in (path.parent / "packs").glob("*.html"):
            pages.put(pack, pages.without_pictures(pack.read_text("utf-8")), store.home.tmp)
        raise
