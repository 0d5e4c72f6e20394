"""The assets of a project, in the order of the flow. A body is one call into `flow`; the docstring is what people read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from dataops_assets.flow import delivery, handbook, images, labels, shared
from dataops_assets.manifest import Manifest
from dataops_assets.progress import Progress
from dataops_assets.reports import shown
from dataops_assets.resources import metadata_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

Partitions = dg.DynamicPartitionsDefinition
StoreParam = dg.ResourceParam[Store]


@dataclass(frozen=True)
class Keys:
    """Partitions of a project: a drop, a batch or a release each."""

    drops: Partitions
    batches: Partitions
    releases: Partitions

    @classmethod
    def of(cls, project: str) -> "Keys":
        return cls(*(Partitions(name=f"{project}_{kind}") for kind in ("drops", "batches", "releases")))


class Approval(dg.Config):
    """Who takes responsibility for the labels. Dagster's webserver has no login: the name is a claim."""

    by: str


def output(store: Store, spec: ProjectSpec, made: Manifest) -> dg.Output[Manifest]:
    """A candidate with what people see beside it: numbers that plot over time, tables, pictures, links."""
    parts: dict[str, Any] = {"version": made.version, "dagster/row_count": len(made.frame)}
    parts |= shown.parts(store, spec, made)
    return dg.Output(made, metadata=metadata_of(parts), data_version=dg.DataVersion(made.version))


def build(spec: ProjectSpec, keys: Keys) -> list[dg.AssetsDefinition]:
    """Every asset of a project."""
    owners = list(spec.brief.owners)

    def key(asset: str) -> dg.AssetKey:
        return dg.AssetKey([spec.name, asset])

    def asset(
        kinds: set[str],
        step: str,
        partitions: Partitions | None = None,
        ins: Sequence[str] = (),
        deps: Sequence[str] = (),
    ) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
        return dg.asset(
            key_prefix=spec.name,
            group_name=spec.name,
            partitions_def=partitions,
            ins={name: dg.AssetIn(key(name)) for name in ins},
            deps=[dg.AssetDep(key(name), partition_mapping=dg.AllPartitionMapping()) for name in deps],
            io_manager_key="manifests",
            owners=owners,
            kinds=kinds,
            tags={"dataops/step": step},
            code_version="1",
        )

    def progress(context: dg.AssetExecutionContext, what: str) -> shared.Progress:
        return Progress(f"{context.partition_key}: {what}", context.log.info)

    def steps(context: dg.AssetExecutionContext) -> shared.Steps:
        told: dict[str, shared.Progress] = {}
        return lambda what, done, total: told.setdefault(what, progress(context, what))(done, total)

    @asset({"pandas"}, "agree")
    def brief(store: StoreParam) -> dg.Output[Manifest]:
        """What was agreed with the technical team, added up: volume, labels, cost and days against budget and date."""
        return output(store, spec, labels.brief(store, spec))

    @asset({"html"}, "design", ins=["brief"])
    def guidelines(store: StoreParam, brief: Manifest) -> dg.Output[Manifest]:
        """The annotators' handbook: every question, its answers, how to tell them apart, with pictures of right and wrong ones."""
        return output(store, spec, handbook.guidelines(store, spec, brief))

    @asset({"image"}, "source", keys.drops)
    def raw_images(context: dg.AssetExecutionContext, store: StoreParam) -> dg.Output[Manifest]:
        """What a vendor delivered, file by file: accepted, or left out with the reason."""
        drop = context.partition_key
        return output(store, spec, images.raw_images(store, spec, drop, context.run.run_id, steps(context)))

    @asset({"image", "opencv"}, "clean", keys.drops, ins=["raw_images"])
    def cleaned_set(context: dg.AssetExecutionContext, store: StoreParam, raw_images: Manifest) -> dg.Output[Manifest]:
        """Usable, unique images of one drop; every other one with the reason it was left out."""
        return output(store, spec, images.cleaned_set(store, spec, raw_images, steps(context)))

    @asset({"image", "albumentations"}, "augment", keys.drops, ins=["cleaned_set"])
    def augmented_set(context: dg.AssetExecutionContext, store: StoreParam, cleaned_set: Manifest) -> dg.Output[Manifest]:
        """The kept images and the variants made from them; each variant knows its source and recipe."""
        return output(store, spec, images.augmented_set(store, spec, cleaned_set, progress(context, "images augmented")))

    @asset({"csv", "labelstudio"}, "label", keys.batches, ins=["guidelines"], deps=["augmented_set"])
    def label_tasks(context: dg.AssetExecutionContext, store: StoreParam, guidelines: Manifest) -> dg.Output[Manifest]:
        """One batch of questions for a labelling vendor, with hidden gold; released, it lies as a folder in requests/."""
        return output(store, spec, labels.label_tasks(store, spec, context.partition_key, guidelines))

    @asset({"csv", "labelstudio"}, "label", keys.batches, ins=["label_tasks"])
    def labeled_batches(store: StoreParam, label_tasks: Manifest) -> dg.Output[Manifest]:
        """Every answer a vendor returned for a batch: accepted, or rejected with the reason. Workers are pseudonyms."""
        return output(store, spec, labels.labeled_batches(store, spec, label_tasks))

    @asset({"pandas"}, "check", keys.batches, ins=["labeled_batches", "label_tasks"])
    def label_quality(store: StoreParam, labeled_batches: Manifest, label_tasks: Manifest) -> dg.Output[Manifest]:
        """How good a batch's labels are: consensus, agreement, accuracy on gold; accept, rework or adjudicate for each."""
        return output(store, spec, labels.label_quality(store, spec, labeled_batches, label_tasks))

    @asset({"html"}, "check", keys.batches, ins=["label_quality", "labeled_batches", "label_tasks"])
    def vendor_feedback(
        store: StoreParam, label_quality: Manifest, labeled_batches: Manifest, label_tasks: Manifest
    ) -> dg.Output[Manifest]:
        """What each worker of a batch should hear: accuracy, confusions, and the guideline that applies."""
        return output(store, spec, labels.vendor_feedback(store, spec, label_quality, labeled_batches, label_tasks))

    @asset({"pandas"}, "approve", keys.batches, ins=["label_quality", "labeled_batches", "label_tasks"])
    def approved_labels(
        config: Approval, store: StoreParam, label_quality: Manifest, labeled_batches: Manifest, label_tasks: Manifest
    ) -> dg.Output[Manifest]:
        """The labels of a batch that may be trained on, with the person who approved them."""
        return output(store, spec, labels.approved_labels(store, spec, label_quality, labeled_batches, label_tasks, config.by))

    @asset({"parquet", "image"}, "deliver", keys.releases, deps=["approved_labels", "augmented_set"])
    def training_export(context: dg.AssetExecutionContext, store: StoreParam) -> dg.Output[Manifest]:
        """One immutable release of the training set: split, with variants, as image folder, COCO and Parquet."""
        return output(store, spec, delivery.training_export(store, spec, context.partition_key))

    @asset({"csv"}, "learn", keys.releases, ins=["training_export"])
    def model_feedback(store: StoreParam, training_export: Manifest) -> dg.Output[Manifest]:
        """What a model trained on a release predicted, beside the labels it was given."""
        return output(store, spec, delivery.model_feedback(store, spec, training_export))

    @asset({"pandas"}, "learn", keys.releases, ins=["model_feedback", "training_export"])
    def investigation(store: StoreParam, model_feedback: Manifest, training_export: Manifest) -> dg.Output[Manifest]:
        """Where the model is wrong, and the likely cause: too few examples, doubtful labels, or a confusion."""
        return output(store, spec, delivery.investigation(store, spec, model_feedback, training_export))

    @asset({"pandas"}, "manage", deps=["approved_labels", "cleaned_set"])
    def vendor_scorecard(store: StoreParam) -> dg.Output[Manifest]:
        """Vendors compared: what they delivered, how much of it was good, and what a good one cost."""
        return output(store, spec, delivery.vendor_scorecard(store, spec))

    @asset({"pandas"}, "audit", deps=["training_export"])
    def lineage_audit(store: StoreParam) -> dg.Output[Manifest]:
        """For every delivered row: the vendor's file it came from, and whether a gate let it through at each step."""
        return output(store, spec, delivery.lineage_audit(store, spec))

    return [
        brief, guidelines, raw_images, cleaned_set, augmented_set, label_tasks, labeled_batches, label_quality, vendor_feedback,
        approved_labels, training_export, model_feedback, investigation, vendor_scorecard, lineage_audit,
    ]  # fmt: skip
