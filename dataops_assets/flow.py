"""The flow, one function an artifact: released inputs from the store, through a stage, to a candidate manifest.

Here is what an artifact is made from and what is entered into a ledger on the way. How it is made lies in `stages/`; when, in
`runs.py` and `sensors.py`; what Dagster shows, in `assets.py`. No Dagster here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dataops_assets import atomic, drops
from dataops_assets.contracts import CONTRACTS, LEDGERS
from dataops_assets.manifest import UNPARTITIONED, Inputs, Manifest, records
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import NotReleased, Store

if TYPE_CHECKING:
    from dataops_assets.stages import training_export as training_export_

Progress = Callable[[int, int], None]
Steps = Callable[[str, int, int], None]  # what is being done, how much of it is, of how much
RELEASE_INPUTS = ("approved_labels", "augmented_set", "cleaned_set")
INTAKE_LOCKS = 64  # so many drops can be read at once; two that share a lock wait for each other
NOT_TRAINED_ON = ("screening", "preservation")  # kinds of batches whose answers aren't about the training labels


def _quiet(done: int, total: int) -> None: ...


def _quiet_steps(what: str, done: int, total: int) -> None: ...


# ---- agreement


def brief(store: Store, spec: ProjectSpec) -> Manifest:
    """What was agreed, added up."""
    from dataops_assets.stages import brief as stage

    return Manifest("brief", spec.name, UNPARTITIONED, stage.check(spec))


def guidelines(store: Store, spec: ProjectSpec, agreed: Manifest) -> Manifest:
    """The annotators' handbook."""
    from dataops_assets.stages import guidelines as stage

    return Manifest("guidelines", spec.name, UNPARTITIONED, stage.build(spec, store.blobs), agreed.input)


# ---- images


def raw_images(store: Store, spec: ProjectSpec, drop_id: str, run_id: str = "", progress: Steps = _quiet_steps) -> Manifest:
    """One delivery, file by file; enters it into the `drops` ledger. Killed half-way, it goes on from its journal."""
    from dataops_assets.intake import landing
    from dataops_assets.intake.journal import Journal
    from dataops_assets.stages import raw_images as stage

    with exclusive(store, f"{spec.name}.intake.{int(digest_of([drop_id]), 16) % INTAKE_LOCKS}"):
        store.blobs.sweep()
        atomic.sweep(store.home.tmp)
        known = _rows_of(store.drops.rows(), spec.name)
        delivery = landing.find(store.home.root / "landing", spec.name, drop_id, known)
        identity = landing.identify(delivery, known)
        journal = Journal(store.home.scratch / "intake" / f"{spec.name}.{drop_id}.{identity.fingerprint}.jsonl")
        receipt = stage.receive(delivery, drop_id, spec, store.blobs, journal, progress)
        inputs = {"landing": {drop_id: receipt.content_sha256[:16]}}
        made = Manifest("raw_images", spec.name, drop_id, receipt.frame, inputs, receipt.facts)
        store.write(made)  # before the ledger speaks of it, and before the journal goes
        row = {
            "project": spec.name,
            "vendor": delivery.vendor,
            "drop_id": drop_id,
            "name": delivery.name,
            "status": receipt.status,
            "reason": receipt.reason or None,
            "files_seen": receipt.files_seen,
            "bytes_seen": receipt.bytes_seen,
            "supersedes": identity.supersedes,
            "fingerprint": identity.fingerprint,
            "listing": landing.listing(delivery),
            "content_sha256": receipt.content_sha256,
        }
        drops.enter_drop(store, row, run_id)
        journal.discard()
    return made


def cleaned_set(store: Store, spec: ProjectSpec, raw: Manifest, progress: Steps = _quiet_steps) -> Manifest:
    """Usable, unique images of a drop, judged beside the drops that came before it. Killed half-way, it goes on from its checkpoint."""
    from dataops_assets.checkpoint import Checkpoint
    from dataops_assets.imaging.screening import VERSION
    from dataops_assets.stages import cleaned_set as stage

    _pay(store, spec, raw)
    with exclusive(store, f"{spec.name}.cleaned_set"):
        earlier, compared = _earlier(store, spec, raw.partition)
        decided, decisions = _screening_decisions(store, spec, raw.partition)
        inputs = {**raw.input, **compared, **decisions}
        pixels = spec.sources.limits.pixels
        settings = digest_of([str(VERSION), str(pixels), spec.cleaning.model_dump_json()])
        checkpoint = Checkpoint(store.home.scratch / "screening" / f"{spec.name}.{raw.partition}@{settings}.jsonl")
        frame = stage.screen(raw.frame, earlier, spec.cleaning, pixels, store.blobs, decided, progress, checkpoint)
        made = Manifest("cleaned_set", spec.name, raw.partition, frame, inputs)
        store.write(made)  # before what was found is forgotten
        checkpoint.discard()
    return made


def _pay(store: Store, spec: ProjectSpec, raw: Manifest) -> None:
    """Enter what a drop's accepted files cost; those of a delivery that it replaces are paid already."""
    accepted = raw.frame[raw.frame["status"] == "accepted"]
    replaced = [name for name in store.replaced_by(spec.name, raw.partition) if name in store.released("raw_images", spec.name)]
    before, _ = store.load_all("raw_images", spec.name, replaced)
    new = accepted[~accepted["image_id"].isin(before.loc[before["status"] == "accepted", "image_id"])]
    vendor = str(raw.frame["vendor"].iloc[0]) if len(raw.frame) else ""
    store.charge(spec.name, "images", vendor, raw.partition, len(new), new["price"].fillna(0).sum(), spec.brief.currency)


def _earlier(store: Store, spec: ProjectSpec, drop_id: str) -> tuple[pd.DataFrame, Inputs]:
    """Released rows of the drops with a lower number, and their versions.

    A drop gets its number, and the versions it is compared with, when it is first screened. Both are kept, so that
    screening an old drop again gives the same answer whatever came later.
    """
    held = store.pins("screening", spec.name)
    if drop_id not in held:
        gone = store.withdrawn(spec.name)[0] | store.superseded(spec.name) | set(store.replaced_by(spec.name, drop_id))
        versions = {
            name: version for name, version in store.released("cleaned_set", spec.name).items() if name in held and name not in gone
        }
        store.pin(
            "screening", spec.name, drop_id, {"number": 1 + max((pin["number"] for pin in held.values()), default=0), "with": versions}
        )
        held = store.pins("screening", spec.name)
    versions = held[drop_id]["with"]
    # one look at the table: a look a drop made the hundredth drop take four times as long as the first
    rows = store.read_all("cleaned_set", spec.name, versions).sort_values("drop_id", kind="stable", ignore_index=True)
    return rows, {"cleaned_set": versions} if versions else {}


def _screening_decisions(store: Store, spec: ProjectSpec, drop_id: str) -> tuple[pd.DataFrame | None, Inputs]:
    """What people decided about this drop's doubtful pictures, from released screening batches."""
    approved, inputs = store.load_all("approved_labels", spec.name)
    approved = approved[approved["kind"] == "screening"]
    if approved.empty:
        return None, {}
    held = store.released("raw_images", spec.name).get(drop_id)
    ids = set(store.read("raw_images", spec.name, drop_id, held).frame["image_id"].dropna()) if held else set()
    approved = approved[approved["image_id"].isin(ids)]
    batches = set(approved["batch_id"])
    used = {name: version for name, version in inputs.get("approved_labels", {}).items() if name in batches}
    decided = approved.rename(columns={"label": "decision", "approved_by": "by"})[["image_id", "decision", "by"]]
    return (decided, {"approved_labels": used}) if used else (None, {})


def augmented_set(store: Store, spec: ProjectSpec, cleaned: Manifest, progress: Progress = _quiet) -> Manifest:
    """Kept images and their variants."""
    from dataops_assets.stages import augmented_set as stage

    frame = stage.augment(cleaned.frame, spec.augmentation, store.blobs, spec.cleaning.workers, progress)
    return Manifest("augmented_set", spec.name, cleaned.partition, frame, cleaned.input)


# ---- labels


def usable_images(store: Store, spec: ProjectSpec) -> tuple[pd.DataFrame, Inputs]:
    """Released `augmented_set` rows of all drops, without what was withdrawn and drops that were delivered anew."""
    frame, inputs = store.load_all(
        "augmented_set", spec.name, store.released("augmented_set", spec.name).keys() - store.superseded(spec.name)
    )
    drops, images = store.withdrawn(spec.name)
    gone = frame["drop_id"].isin(drops) | frame["image_id"].isin(images) | frame["source_image_id"].isin(images)
    return frame[~gone].drop_duplicates("image_id").reset_index(drop=True), inputs


def showable(store: Store, spec: ProjectSpec, kind: str) -> pd.DataFrame:
    """Pictures that a batch of this kind may show: usable ones, and for people who screen the doubtful ones too."""
    usable, _ = usable_images(store, spec)
    if kind not in ("screening", "rework", "adjudication"):
        return usable
    drops, images = store.withdrawn(spec.name)
    cleaned, _ = store.load_all("cleaned_set", spec.name, store.released("cleaned_set", spec.name).keys() - store.superseded(spec.name))
    open_ = cleaned[(cleaned["status"] == "review") & ~cleaned["drop_id"].isin(drops) & ~cleaned["image_id"].isin(images)]
    return open_ if kind == "screening" else pd.concat([usable, open_], ignore_index=True)


def label_tasks(store: Store, spec: ProjectSpec, batch_id: str, handbook: Manifest) -> Manifest:
    """The questions of one batch, as its plan says."""
    from dataops_assets.stages import label_tasks as stage

    plan = store.only("batch_plans", spec.name, batch_id)
    frame = stage.build(plan.frame, showable(store, spec, "rework"), spec, store.blobs)
    return Manifest("label_tasks", spec.name, batch_id, frame, {**plan.input, **handbook.input})


def labeled_batches(store: Store, spec: ProjectSpec, tasks: Manifest) -> Manifest:
    """Everything a vendor returned for a batch, each row accepted or rejected."""
    from dataops_assets.stages import labeled_batches as stage

    folder = store.home.returns(spec.name) / tasks.partition
    found = return_files(folder)
    files = [(path.parent.name, path.name, path.read_bytes()) for path in found]
    if not files:
        raise NotReleased(f"nothing was returned for {tasks.partition}: {folder}/<vendor>/ holds no file")
    returned = {f"{vendor}/{name}": store.blobs.put(data)[:16] for vendor, name, data in files}
    frame = stage.accept(files, tasks.frame, spec, store.home.worker_key())
    made = Manifest("labeled_batches", spec.name, tasks.partition, frame, {**tasks.input, "returns": returned})
    store.pin("returns", spec.name, f"{tasks.partition}.{listing(found)}", {"version": made.version})
    return made


def return_files(folder: Path) -> list[Path]:
    """Files of a batch's returns, `<vendor>/<file>`."""
    vendors = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for vendor in vendors if not vendor.is_symlink() for file in plain_files(vendor)]


def plain_files(folder: Path) -> list[Path]:
    """Files directly in a folder, sorted, without markers, hidden and unfinished ones; links are not followed."""
    unfinished = (".part", ".tmp", ".crdownload")
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in found if p.is_file() and not p.is_symlink() and not p.name.startswith((".", "_")) and p.suffix not in unfinished]


def listing(files: Sequence[Path]) -> str:
    """16 hex digits that tell files by folder, name, size and time."""
    facts = []
    for file in files:
        stat = file.stat()
        facts.append([file.parent.name, file.name, stat.st_size, stat.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def label_quality(store: Store, spec: ProjectSpec, labeled: Manifest, tasks: Manifest) -> Manifest:
    """Consensus, agreement and gold accuracy of one batch, with a decision a task."""
    from dataops_assets.stages import label_quality as stage

    gold, used = gold_labels(store, spec)
    frame = stage.assess(labeled.frame, tasks.frame, gold, spec)
    return Manifest("label_quality", spec.name, labeled.partition, frame, {**labeled.input, **tasks.input, **used})


def gold_labels(store: Store, spec: ProjectSpec) -> tuple[pd.DataFrame, Inputs]:
    """Answers our own people settled in pilots, and the versions they come from."""
    from dataops_assets.stages import approved_labels as stage

    approved, inputs = store.load_all("approved_labels", spec.name)
    pilots = set(approved.loc[approved["kind"] == "pilot", "batch_id"])
    used = {name: version for name, version in inputs.get("approved_labels", {}).items() if name in pilots}
    return stage.gold_of(approved), {"approved_labels": used} if used else {}


def vendor_feedback(store: Store, spec: ProjectSpec, quality: Manifest, labeled: Manifest, tasks: Manifest) -> Manifest:
    """What each worker of a batch should hear."""
    from dataops_assets.stages import vendor_feedback as stage

    frame = stage.feedback(labeled.frame, quality.frame, tasks.frame, spec)
    return Manifest("vendor_feedback", spec.name, quality.partition, frame, {**quality.input, **labeled.input})


def approved_labels(store: Store, spec: ProjectSpec, quality: Manifest, labeled: Manifest, tasks: Manifest, by: str) -> Manifest:
    """The batch's accepted labels, on a person's word."""
    from dataops_assets.stages import approved_labels as stage

    answers = int((labeled.frame["status"] == "accepted").sum())
    settle(store, spec, tasks, answers)
    frame = stage.approve(quality.frame, tasks.frame, spec, by)
    return Manifest("approved_labels", spec.name, quality.partition, frame, quality.input)


def settle(store: Store, spec: ProjectSpec, tasks: Manifest, answers: int) -> None:
    """Correct a batch's committed cost to the answers that were delivered and accepted."""
    vendor = spec.labeling.vendor(str(tasks.frame["vendor"].iloc[0])) if len(tasks.frame) else None
    if vendor is None:
        return
    rows = _rows_of(store.costs.rows(), spec.name)
    committed = rows[(rows["kind"] == "labels") & (rows["ref"] == tasks.partition)]
    difference = answers * vendor.price_per_label - float(committed["amount"].sum())
    quantity = answers - float(committed["quantity"].sum())
    store.charge(spec.name, "labels_settled", vendor.name, tasks.partition, quantity, difference, spec.brief.currency)


# ---- delivery


def training_export(store: Store, spec: ProjectSpec, release: str) -> Manifest:
    """One release of the training set: what is approved when it is opened. Once released it never changes."""
    held = store.released("training_export", spec.name).get(release)
    inputs = store.read("training_export", spec.name, release, held).inputs if held else _release_inputs(store, spec)
    assembly = assemble(store, spec, release, inputs)
    return Manifest("training_export", spec.name, release, assembly.frame, inputs, facts={"left_out": len(assembly.left_out)})


def _release_inputs(store: Store, spec: ProjectSpec) -> Inputs:
    drops, images = store.withdrawn(spec.name)
    inputs = {asset: store.released(asset, spec.name) for asset in (*RELEASE_INPUTS, "training_export")}
    superseded = store.superseded(spec.name)
    for asset in ("augmented_set", "cleaned_set"):
        inputs[asset] = {drop: version for drop, version in inputs[asset].items() if drop not in superseded}
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
    return training_export.assemble(labels, frames["augmented_set"], frames["cleaned_set"], spec, release, withdrawn, earlier)


# ---- learning and managing


def model_feedback(store: Store, spec: ProjectSpec, export: Manifest) -> Manifest:
    """What a model predicted, row by row."""
    from dataops_assets.stages import model_feedback as stage

    folder = store.home.predictions(spec.name) / export.partition
    files = [(path.name, path.read_bytes()) for path in plain_files(folder)]
    if not files:
        raise NotReleased(f"no predictions for release {export.partition}: {folder} holds no file")
    given = {name: store.blobs.put(data)[:16] for name, data in files}
    made = Manifest(
        "model_feedback", spec.name, export.partition, stage.accept(files, export.frame, spec), {**export.input, "predictions": given}
    )
    store.pin("predictions", spec.name, f"{export.partition}.{listing(plain_files(folder))}", {"version": made.version})
    return made


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
    for asset in ("raw_images", "cleaned_set", "labeled_batches", "label_quality"):
        frames[asset], used = store.load_all(asset, spec.name)
        inputs.update(used)
    costs = _rows_of(store.costs.rows(), spec.name)
    frame = stage.score(frames["raw_images"], frames["cleaned_set"], frames["labeled_batches"], frames["label_quality"], costs, spec)
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


# ---- gates' neighbours


def input_frames(store: Store, candidate: Manifest) -> dict[str, pd.DataFrame]:
    """Frames of the versions a candidate was made from, by asset; for a drop also its last row in the `drops` ledger."""
    assets = CONTRACTS.keys() - set(LEDGERS)  # a release also names the withdrawals it heeded
    frames = {asset: store.read_all(asset, candidate.project, versions) for asset, versions in candidate.inputs.items() if asset in assets}
    if candidate.asset == "raw_images":
        rows = _rows_of(store.drops.rows(), candidate.project)
        rows = rows[(rows["drop_id"] == candidate.partition) & rows["files_seen"].notna()]
        frames["drops"] = rows.tail(1).reset_index(drop=True)
    return frames


def last_gate(store: Store, project: str, asset: str, partition: str) -> dict[str, Any] | None:
    """The newest row of the gates ledger for a partition."""
    rows = _rows_of(store.gates.rows(), project)
    rows = rows[(rows["asset"] == asset) & (rows["partition"] == partition)]
    return records(rows.tail(1))[0] if len(rows) else None


def waiver(store: Store, project: str, asset: str, partition: str, version: str, today: date) -> dict[str, Any] | None:
    """A waiver that may still release this very version."""
    rows = _rows_of(store.gates.rows(), project)
    rows = rows[(rows["asset"] == asset) & (rows["partition"] == partition) & (rows["version"] == version) & (rows["outcome"] == "waived")]
    rows = rows[rows["until"].fillna("") >= today.isoformat()]
    return records(rows.tail(1))[0] if len(rows) else None


def publish(store: Store, spec: ProjectSpec, released: Manifest) -> None:
    """Put what was just released where people outside the platform find it. Doing it again changes nothing."""
    from dataops_assets import measured
    from dataops_assets.stages import label_tasks, training_export

    if released.asset == "label_tasks":
        label_tasks.write_request(released.frame, spec, store.home.requests(spec.name) / released.partition, store.blobs)
    elif released.asset == "training_export":
        assembly = assemble(store, spec, released.partition, released.inputs)
        folder = store.home.exports(spec.name) / released.partition
        training_export.write(assembly, spec, folder, store.blobs, measured.facts(store, released))


@contextmanager
def exclusive(store: Store, name: str) -> Iterator[None]:
    """Hold a lock of this installation while the block runs; the kernel frees it when a process dies."""
    path = store.home.scratch / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _rows_of(frame: pd.DataFrame, project: str) -> pd.DataFrame:
    return frame[frame["project"] == project]


def digest_of(names: Sequence[str]) -> str:
    """16 hex digits of a list of names."""
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]
