"""From the brief to approved labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.flow.images import showable
from dataops_assets.flow.shared import listing, plain_files, rows_of
from dataops_assets.labels import returned
from dataops_assets.labels.questions import SCREENING
from dataops_assets.manifest import UNPARTITIONED, Inputs, Manifest
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import NotReleased, Store

RETURN_LEVELS = 16  # of folders below a vendor's that returned files may lie in


def brief(store: Store, spec: ProjectSpec) -> Manifest:
    """What was agreed, added up."""
    from dataops_assets.stages import brief as stage

    return Manifest("brief", spec.name, UNPARTITIONED, stage.check(spec))


def guidelines(store: Store, spec: ProjectSpec, agreed: Manifest) -> Manifest:
    """The annotators' handbook."""
    from dataops_assets.stages import guidelines as stage

    return Manifest("guidelines", spec.name, UNPARTITIONED, stage.build(spec, store.blobs), agreed.input)


def label_tasks(store: Store, spec: ProjectSpec, batch_id: str, handbook: Manifest) -> Manifest:
    """The questions of one batch, as its plan says."""
    from dataops_assets.stages import label_tasks as stage

    plan = store.only("batch_plans", spec.name, batch_id)
    shown = may_show(store, spec, plan.frame)
    planned = plan.frame[plan.frame["image_id"].isin(shown["image_id"])]  # what was withdrawn or screened out since stays here
    frame = stage.build(planned, shown, spec, blobs_of(store, spec, plan.frame))
    return Manifest("label_tasks", spec.name, batch_id, frame, {**plan.input, **handbook.input})


def may_show(store: Store, spec: ProjectSpec, batch: pd.DataFrame) -> pd.DataFrame:
    """The pictures that a planned batch may show as things are now: doubtful ones only to those who screen."""
    return showable(store, spec, "rework" if _is_screening(batch) else "production")


def blobs_of(store: Store, spec: ProjectSpec, batch: pd.DataFrame) -> Blobs:
    """What a batch may show: those who screen see pictures that lie apart. The plan gives such batches to nobody else."""
    return store.apart(spec.name) if _is_screening(batch) else store.blobs


def _is_screening(batch: pd.DataFrame) -> bool:
    return bool(batch["attributes"].str.split("|").explode().eq(SCREENING.name).any())


def labeled_batches(store: Store, spec: ProjectSpec, tasks: Manifest) -> Manifest:
    """Everything a vendor returned for a batch, each row accepted or rejected."""
    from dataops_assets.stages import labeled_batches as stage

    folder = store.home.returns(spec.name) / tasks.partition
    found = return_files(folder)
    places = [path.relative_to(folder) for path in found]
    files = [(place.parts[0], "/".join(place.parts[1:]), path.read_bytes()) for place, path in zip(places, found, strict=True)]
    if not files:
        raise NotReleased(f"nothing was returned for {tasks.partition}: {folder}/<vendor>/ holds no file")
    key = store.home.worker_key()
    sent = _once((vendor, name, store.blobs.put(data)) for vendor, name, data in files)
    names = {f"{vendor}/{stage.shown(name, vendor, key)}": sha256[:16] for vendor, name, sha256 in sent}
    frame = stage.accept(files, tasks.frame, spec, key)
    made = Manifest("labeled_batches", spec.name, tasks.partition, frame, {**tasks.input, "returns": names})
    store.pin("returns", spec.name, f"{tasks.partition}.{listing(found, folder)}", {"version": made.version})
    return made


def _once(files: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Files (vendor, path, sha256) without those that a vendor sent before: the same batch again is no other version.

    Text files are named in any case: two of YOLO may be equal and mean two pictures.
    """
    first: dict[tuple[str, ...], tuple[str, str, str]] = {}
    for vendor, name, sha256 in sorted(files, key=lambda file: (file[0], *returned.rank(file[1]))):
        sent = (vendor, returned.annotator_of(name) or "", sha256, name if name.endswith(".txt") else "")
        first.setdefault(sent, (vendor, name, sha256))
    return list(first.values())


def return_files(folder: Path) -> list[Path]:
    """Files of a batch's returns, `<vendor>/<file>` or up to `RETURN_LEVELS` folders deep."""
    vendors = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for vendor in vendors if not vendor.is_symlink() for file in plain_files(vendor, levels=RETURN_LEVELS)]


def label_quality(store: Store, spec: ProjectSpec, labeled: Manifest, tasks: Manifest) -> Manifest:
    """Consensus, agreement and gold accuracy of one batch, with a decision a task."""
    from dataops_assets.stages import label_quality as stage

    gold, used = gold_labels(store, spec)
    frame = stage.assess(labeled.frame, tasks.frame, gold, spec)
    return Manifest("label_quality", spec.name, labeled.partition, frame, {**labeled.input, **tasks.input, **used})


def plans(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """Rows of all batch plans. A plan is written once and never changes."""
    versions = {batch: held[0] for batch, held in store.candidates("batch_plans", spec.name).items()}
    return store.read_all("batch_plans", spec.name, versions)


def gold(store: Store, spec: ProjectSpec, with_workers: bool = False) -> tuple[pd.DataFrame, Inputs]:
    """Answers our own people settled in pilots with what stands against them (`gold.registry`), and the versions they come from."""
    from dataops_assets.stages import approved_labels
    from dataops_assets.stages import gold as stage

    approved, inputs = store.load_all("approved_labels", spec.name)
    planned = plans(store, spec)
    entries = rows_of(store.gold.rows(), spec.name)
    sent = set(planned.loc[planned["is_gold"].astype("boolean").fillna(False).astype(bool), "batch_id"])
    labeled = store.load_all("labeled_batches", spec.name, sent)[0] if with_workers else manifest.empty("labeled_batches")
    found = stage.registry(approved_labels.gold_of(approved, planned, spec.ontology), approved, planned, labeled, entries, spec)
    batches = set(found["batch_id"])
    used: dict[str, Mapping[str, str]] = {}
    if batches:
        used["approved_labels"] = {name: version for name, version in inputs.get("approved_labels", {}).items() if name in batches}
    if len(entries):
        used["gold"] = {"entries": str(entries["seq"].max())}
    return found, used


def gold_labels(store: Store, spec: ProjectSpec) -> tuple[pd.DataFrame, Inputs]:
    """Gold that answers are compared with, and the versions it comes from."""
    from dataops_assets.stages import gold as stage

    found, used = gold(store, spec)
    return stage.measuring(found), used


def judged_on(store: Store, spec: ProjectSpec, kind: str) -> pd.DataFrame:
    """`label_quality` rows of all batches of a kind as they were judged last, whether their gate released them or not."""
    rows = rows_of(store.gates.rows(), spec.name)
    rows = rows[(rows["asset"] == "label_quality") & (rows["outcome"] != "error") & rows["partition"].str.startswith(f"{kind}-")]
    last = rows.drop_duplicates("partition", keep="last")
    return store.read_all("label_quality", spec.name, dict(zip(last["partition"], last["version"], strict=True)))


def qualification(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """What each vendor's last qualification batch showed: `qualification.verdicts`."""
    from dataops_assets.stages import qualification as stage

    return stage.verdicts(judged_on(store, spec, "qualification"), spec)


def standing(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """Whether each labelling vendor may have production batches: `vendor, is_passed, sentence`."""
    from dataops_assets.stages import qualification as stage

    found = qualification(store, spec)
    allowed = stage.passed(found, spec)
    rows = [(vendor.name, vendor.name in allowed, stage.sentence(vendor.name, found, spec)) for vendor in spec.labeling.vendors]
    return pd.DataFrame(rows, columns=["vendor", "is_passed", "sentence"])


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
    rows = rows_of(store.costs.rows(), spec.name)
    committed = rows[(rows["kind"] == "labels") & (rows["ref"] == tasks.partition)]
    difference = answers * vendor.price_per_label - float(committed["amount"].sum())
    quantity = answers - float(committed["quantity"].sum())
    store.charge(spec.name, "labels_settled", vendor.name, tasks.partition, quantity, difference, spec.brief.currency)
