"""From approved labels to a release, and what comes back from the model; the reports across them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dataops_assets.flow import history, images, policies, refused
from dataops_assets.flow.shared import listing, plain_files, rows_of
from dataops_assets.intake import inside
from dataops_assets.manifest import UNPARTITIONED, Inputs, Manifest, records
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import NotReleased, Store

if TYPE_CHECKING:
    from dataops_assets.stages import training_export as training_export_


RELEASE_INPUTS = ("approved_labels", "augmented_set", "cleaned_set")


MOST_BYTES = 128 << 20  # of a release's predictions, over a million rows; once parsed they take some ten times as much
NOT_TRAINED_ON = ("screening", "preservation")  # kinds of batches whose answers aren't about the training labels


def training_export(store: Store, spec: ProjectSpec, release: str) -> Manifest:
    """One release of the training set: what is approved when it is opened. Once released it never changes."""
    held = store.released("training_export", spec.name).get(release)
    inputs = store.read("training_export", spec.name, release, held).inputs if held else _release_inputs(store, spec)
    assembly = assemble(store, spec, release, inputs)
    return Manifest("training_export", spec.name, release, assembly.frame, inputs, facts={"left_out": len(assembly.left_out)})


def _release_inputs(store: Store, spec: ProjectSpec) -> Inputs:
    drops, images = store.withdrawn(spec.name)
    inputs: dict[str, Mapping[str, str]] = {asset: store.released(asset, spec.name) for asset in (*RELEASE_INPUTS, "training_export")}
    failed = history.failed_since(store, spec)
    inputs["audits"] = history.adjudicated(store, spec)[1]  # what was known of these labels when it was opened
    inputs["approved_labels"] = {batch: version for batch, version in inputs["approved_labels"].items() if batch not in failed}
    superseded = store.superseded(spec.name)
    for asset in ("augmented_set", "cleaned_set"):
        inputs[asset] = {drop: version for drop, version in inputs[asset].items() if drop not in superseded}
    # what screening said of a withdrawn drop's pictures says nothing of the same ones in another drop
    inputs["cleaned_set"] = {drop: version for drop, version in inputs["cleaned_set"].items() if drop not in drops}
    if hidden := refused.not_drawn(store, spec.name):
        sources = store.read_all("augmented_set", spec.name, inputs["augmented_set"], ("image_id", "source_image_id"))
        inputs["not_drawn"] = dict.fromkeys(sorted(hidden & set(sources["source_image_id"])), "image")
    inputs |= policies.named(store, spec)
    return {**inputs, "withdrawals": dict.fromkeys(sorted(drops), "drop") | dict.fromkeys(sorted(images), "image")}


def assemble(store: Store, spec: ProjectSpec, release: str, inputs: Inputs) -> training_export_.Assembly:
    """What a release holds and leaves out, from the versions named."""
    from dataops_assets.stages import approved_labels, training_export

    frames = {asset: store.read_all(asset, spec.name, inputs[asset]) for asset in RELEASE_INPUTS}
    gone = inputs["withdrawals"]
    withdrawn = {name for name, kind in gone.items() if kind == "drop"}, {name for name, kind in gone.items() if kind == "image"}
    labels = frames["approved_labels"]
    labels = approved_labels.current(labels[~labels["kind"].isin(NOT_TRAINED_ON)])
    earlier = store.read_all("training_export", spec.name, inputs["training_export"])
    cleaned, policy = frames["cleaned_set"], policies.of_inputs(store, spec, inputs)  # a release keeps to the policy it was opened under
    is_refused = policies.refused(store, spec, cleaned, inputs["cleaned_set"], policy) if policy is not None else cleaned["status"].isna()
    forbidden = set(zip(cleaned.loc[is_refused, "drop_id"], cleaned.loc[is_refused, "image_id"], strict=True))
    return training_export.assemble(
        labels, frames["augmented_set"], cleaned, spec, release, withdrawn, earlier, forbidden, inputs.get("not_drawn", {}).keys()
    )


def model_feedback(store: Store, spec: ProjectSpec, export: Manifest) -> Manifest:
    """What a model predicted, row by row: on the release, and on pictures that are not labelled yet.

    Files are read as those of vendors, never through a link, and so many bytes in all.

    Raises:
        NotReleased: when there are none.
        OSError: when one can't be read, or is something else by now; another run finds what it is.
    """
    from dataops_assets.stages import model_feedback as stage

    folder = store.home.predictions(spec.name) / export.partition
    files = _read(folder)
    if not files:
        raise NotReleased(f"no predictions for release {export.partition}: {folder} holds no file")
    given = {name: "TOO_LARGE" if data is None else store.blobs.put(data)[:16] for name, data in files}
    usable, used = images.usable_images(store, spec)
    frame = stage.accept(files, export.frame, spec, usable["image_id"])
    inputs = {**export.input, "predictions": given, **(used if (frame["status"] == stage.UNLABELLED).any() else {})}
    made = Manifest("model_feedback", spec.name, export.partition, frame, inputs)
    store.pin("predictions", spec.name, f"{export.partition}.{listing(plain_files(folder))}", {"version": made.version})
    return made


def _read(folder: Path) -> list[tuple[str, bytes | None]]:
    """Names and bytes of a folder's files; nothing of one with more bytes than are left of MOST_BYTES."""
    files, left = list[tuple[str, bytes | None]](), MOST_BYTES
    for path in plain_files(folder):
        data = b"".join(inside.pieces(path, left + 1))
        is_small = len(data) <= left
        files.append((path.name, data if is_small else None))
        left -= len(data) * is_small
    return files


def investigation(store: Store, spec: ProjectSpec, feedback: Manifest, export: Manifest) -> Manifest:
    """Where the model is wrong and why, as far as the data tells."""
    from dataops_assets.stages import investigation as stage

    approved = store.read_all("approved_labels", spec.name, export.inputs.get("approved_labels", {}))
    frame = stage.investigate(feedback.frame, export.frame, approved)
    return Manifest("investigation", spec.name, feedback.partition, frame, {**feedback.input, **export.input})


def vendor_scorecard(store: Store, spec: ProjectSpec) -> Manifest:
    """Vendors compared on what is released now."""
    from dataops_assets.stages import vendor_scorecard as stage

    frames: dict[str, pd.DataFrame] = {}
    inputs: dict[str, Mapping[str, str]] = {}
    for asset in ("raw_images", "cleaned_set", "labeled_batches", "label_quality", "approved_labels", "vendor_feedback"):
        frames[asset], used = store.load_all(asset, spec.name)
        inputs.update(used)
    frames["label_quality"] = history.sampled(store, spec, frames["label_quality"])
    costs, drops = rows_of(store.costs.rows(), spec.name), rows_of(store.drops.rows(), spec.name)
    facts = stage.Facts(
        history.plans(store, spec), frames["approved_labels"], frames["vendor_feedback"], history.times(store, spec),
        rows_of(store.gold.rows(), spec.name),
        drops[drops["received_at"].notna()].drop_duplicates("drop_id")[["drop_id", "received_at"]],
        history.planned_order(store, spec),
    )  # fmt: skip
    frame = stage.score(frames["raw_images"], frames["cleaned_set"], frames["labeled_batches"], frames["label_quality"], costs, spec, facts)
    return Manifest("vendor_scorecard", spec.name, UNPARTITIONED, frame, inputs)


def lineage_audit(store: Store, spec: ProjectSpec) -> Manifest:
    """Every delivered row and the gates behind it."""
    from dataops_assets import lineage

    released = store.released("training_export", spec.name)
    frames = [lineage.audit_rows(store, spec.name, release) for release in sorted(released)]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Manifest("lineage_audit", spec.name, UNPARTITIONED, frame, {"training_export": released})


def program_report(store: Store, specs: Sequence[ProjectSpec]) -> pd.DataFrame:
    """How far every stage of every project is."""
    from dataops_assets.stages import program_report as stage

    gates = store.gates.rows()
    rows = {
        (row["project"], row["asset"], row["partition"]): store.row_count(row["asset"], row["project"], row["partition"], row["version"])
        for row in records(store.releases())
    }
    return stage.report([spec.name for spec in specs], gates, rows)
