"""Guidelines and training packs: questions from the YAML, examples from what is released, and which gold that gives away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dataops_assets.flow import images, labels
from dataops_assets.manifest import UNPARTITIONED, Inputs, Manifest
from dataops_assets.spec import ProjectSpec, defs_root
from dataops_assets.store import NotReleased, Store

if TYPE_CHECKING:
    from dataops_assets.labels.examples import Example
    from dataops_assets.stages.guidelines import Evidence

EXPOSED = "exposed"  # kind of pins: gold pictures that were shown with their answers, for good
SIDE_PX = 176
_AN_ID = re.compile(r"[0-9a-f]{12,64}")


def guidelines(store: Store, spec: ProjectSpec, agreed: Manifest) -> Manifest:
    """The annotators' handbook. Gold that it shows is pinned as exposed before anybody can see it."""
    from dataops_assets.stages import guidelines as stage

    gold, _ = labels.gold_labels(store, spec)
    examples, used = _examples(store, spec, gold)
    for image in sorted({one.image_id for one in examples} & set(gold["image_id"])):
        store.pin(EXPOSED, spec.name, image, {"for": "guidelines", "ontology_version": spec.ontology.version})
    frame = stage.build(spec, store.blobs, _drawn(store, spec, examples))
    facts = {"examples": len(examples), "gold_exposed": len(exposed(store, spec)), "gold": int(gold["image_id"].nunique())}
    return Manifest("guidelines", spec.name, UNPARTITIONED, frame, {**agreed.input, **used}, facts=facts)


def is_current(store: Store, spec: ProjectSpec, agreed: Manifest) -> bool:
    """Whether the released guidelines ask what the YAML asks now. New gold alone doesn't make them old: a person asks for that."""
    from dataops_assets.stages import guidelines as stage

    try:
        held = store.load("guidelines", spec.name)
    except NotReleased:
        return False
    same_brief = held.inputs.get("brief", {}).get(agreed.partition) == agreed.version
    return same_brief and set(held.frame["text_sha256"]) == {stage.text_digest(spec)}


def exposed(store: Store, spec: ProjectSpec) -> set[str]:
    """Gold pictures that vendors were shown with their answers."""
    return set(store.pins(EXPOSED, spec.name))


def page(store: Store, project: str, inputs: Inputs) -> bytes | None:
    """The handbook of the version that a batch was made with."""
    version = inputs.get("guidelines", {}).get(UNPARTITIONED)
    if version is None or not store.row_count("guidelines", project, UNPARTITIONED, version):
        return None
    frame = store.read("guidelines", project, UNPARTITIONED, version).frame
    return store.blobs.read(str(frame["document_sha256"].iloc[0]))


def training_pack(store: Store, spec: ProjectSpec, n: int) -> tuple[Path, int, int]:
    """Write the handbook with `n` practice tasks and their answers to `requests/<project>/training-<ontology version>`.

    Practice pictures are gold, those that were shown before first; they are never hidden gold again.

    Returns:
        The folder, how many tasks it holds, and how many gold pictures stay hidden.

    Raises:
        ValueError: when there is no gold, or no hidden gold would be left.
        NotReleased: when no guidelines are released.
    """
    from dataops_assets.labels import training
    from dataops_assets.stages import label_tasks

    handbook = store.load("guidelines", spec.name)
    gold, _ = labels.gold_labels(store, spec)
    sources = images.showable(store, spec, "pilot")
    plans = labels.plans(store, spec)
    whole = label_tasks.whole_gold(gold, spec, sources, plans)
    shown, busy = exposed(store, spec), _busy(store, spec, plans)
    chosen = training.practice(whole, shown, busy, n)
    left = len(whole) - len(set(whole["image_id"]) & (shown | set(chosen["image_id"])))
    if chosen.empty:
        raise ValueError("there is no gold to practise on: label and approve a pilot first, or wait for the batches that it is hidden in")
    if not left:
        raise ValueError(f"{n} practice tasks would leave no hidden gold of {len(whole)} pictures: ask for fewer, or label another pilot")
    name = f"training-{spec.ontology.version}"
    for image in chosen["image_id"]:
        store.pin(EXPOSED, spec.name, image, {"for": name, "ontology_version": spec.ontology.version})
    batch = chosen.assign(batch_id=name, kind="qualification", vendor=spec.labeling.production.name, is_gold=False)
    tasks = label_tasks.build(batch.assign(amount=0.0, currency=spec.brief.currency), sources, spec, store.blobs)
    pictures = _thumbnails(store, spec, list(tasks["sha256"]))
    folder = store.home.requests(spec.name) / name
    training.write(tasks, gold, spec, folder, store.blobs, pictures, page(store, spec.name, handbook.input))
    return folder, len(tasks), left


def _examples(store: Store, spec: ProjectSpec, gold: pd.DataFrame) -> tuple[list[Example], Inputs]:
    """What is shown, and the versions of the batches it comes from."""
    from dataops_assets.labels.changes import restate
    from dataops_assets.labels.examples import choose, mixed_up

    sources, _ = images.usable_images(store, spec)
    sources = sources[sources["kind"] == "source"]
    shas = dict(zip(sources["image_id"], sources["sha256"], strict=True))
    approved, approved_versions = store.load_all("approved_labels", spec.name)
    settled, _ = restate(approved, spec.ontology)
    mixed = mixed_up(store.load_all("labeled_batches", spec.name)[0], store.load_all("label_quality", spec.name)[0])
    busy = _busy(store, spec, labels.plans(store, spec))
    found = choose(spec, gold, settled, mixed, shas, _stated(store, spec, shas), exposed(store, spec), busy)
    shown = {one.image_id for one in found}
    versions = approved_versions.get("approved_labels", {})
    named = set(approved.loc[approved["image_id"].isin(shown), "batch_id"]) & versions.keys()
    return found, {"approved_labels": {name: versions[name] for name in sorted(named)}} if named else {}


def _stated(store: Store, spec: ProjectSpec, shas: dict[str, str]) -> list[Example]:
    """Pictures that the YAML names; ids of pictures that are out of use are passed over.

    Raises:
        ValueError: for a file that isn't there.
    """
    from dataops_assets.labels.examples import Example

    found = []
    for attribute in spec.ontology.attributes:
        for value, told in attribute.details.items():
            for given, names in (("", told.examples), (value, told.counterexamples)):
                for name in names:
                    if _AN_ID.fullmatch(name):
                        ids = sorted(image for image in shas if image.startswith(name))
                        found += [Example(attribute.name, value, shas[image], image, given) for image in ids[:1]]
                        continue
                    path = defs_root() / spec.name / name
                    if not path.is_file():
                        raise ValueError(f"{attribute.name} {value} has the example {name}, but {path} is no file")
                    found.append(Example(attribute.name, value, store.blobs.put(path.read_bytes()), "", given))
    return found


def _busy(store: Store, spec: ProjectSpec, plans: pd.DataFrame) -> set[str]:
    """Gold that is hidden in batches whose answers aren't judged yet."""
    judged = store.released("label_quality", spec.name)
    golden = plans["is_gold"].astype("boolean").fillna(False).astype(bool)
    return set(plans.loc[golden & ~plans["batch_id"].isin(list(judged)), "image_id"])


def _drawn(store: Store, spec: ProjectSpec, examples: list[Example]) -> Evidence:
    from dataops_assets.imaging.thumbnails import smaller
    from dataops_assets.stages.guidelines import Evidence

    large = _thumbnails(store, spec, [one.sha256 for one in examples])
    return Evidence(examples, large, {sha256: smaller(jpeg) for sha256, jpeg in large.items()})


def _thumbnails(store: Store, spec: ProjectSpec, shas: list[str]) -> dict[str, bytes]:
    from dataops_assets.imaging.thumbnails import thumbnails

    unique = list(dict.fromkeys(shas))
    return thumbnails(unique, store.blobs, spec.sources.limits.pixels, SIDE_PX) if unique else {}
