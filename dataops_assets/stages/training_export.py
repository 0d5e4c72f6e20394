"""The delivery to the model team: which pictures, with which labels, in which split, and what was left out.

Split by group: source images that share a near-duplicate group or a vendor's product group go to one split together, else
the test set would measure memory (Kaufman et al., Leakage in Data Mining, 2012). Variants serve training only.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.exports import card, checksums, coco, image_folder, parquet, sheets
from dataops_assets.imaging.sensitivity import broken as broken_by
from dataops_assets.labels.changes import restate
from dataops_assets.labels.dependent import applies
from dataops_assets.ontology import CANT_TELL, NOT_APPLICABLE
from dataops_assets.spec import Export, ProjectSpec

SPLITS = ("train", "val", "test")
NO_OBJECT = "none"  # answer to a box question: looked, and there is nothing to box
NO_LABEL = (CANT_TELL, NOT_APPLICABLE)  # answers that are no labels to train on
KINDS = ("adjudication", "rework", "production", "qualification", "pilot", "screening", "preservation")


@dataclass(frozen=True)
class Assembly:
    """What a release holds.

    Attributes:
        frame: Rows of `training_export`, one a picture.
        left_out: image_id, source_image_id, kind, reason, detail. Together with `frame` it has every row of
            `augmented_set` once, and every labelled image that isn't in `augmented_set`.
    """

    frame: pd.DataFrame
    left_out: pd.DataFrame


def assemble(
    approved: pd.DataFrame,
    augmented: pd.DataFrame,
    cleaned: pd.DataFrame,
    spec: ProjectSpec,
    release: str,
    withdrawn: tuple[Collection[str], Collection[str]] = ((), ()),
    earlier: pd.DataFrame | None = None,
    forbidden: Collection[tuple[str, str]] = (),
    hidden: Collection[str] = (),
) -> Assembly:
    """Put a release together.

    A source image is in when it is kept, not withdrawn, its cleaned file is still that of the last screening, and it has an approved
    answer for every required attribute that applies to it, given under the present ontology or still good under it. `cant_tell` and
    `not_applicable` are answers but no labels: such an attribute is absent from `labels`. Its variants in train inherit the labels, except
    those their recipe breaks and boxes (a recipe may move them): these are absent from the variant's `labels` too. Where several batches
    approved a label, adjudication goes before rework before the rest.

    Args:
        approved: Rows of `approved_labels`.
        augmented: Rows of `augmented_set`, sources and variants.
        cleaned: Rows of `cleaned_set`.
        spec: Its ontology says which labels are needed, its export section the splits.
        release: Name of the release.
        withdrawn: (drop ids, image ids) that must not be delivered any more.
        earlier: Rows of `training_export` of earlier releases: an image stays in the split it was in, as long as the
            salt is the same.
        forbidden: Kept pictures, by drop and image_id, that the policy for personal data doesn't let pass as they were screened there.
        hidden: Pictures, by image_id, in which a person saw what can't be covered, or in what shows the same.
    """
    drops, images = {str(drop) for drop in withdrawn[0]}, {str(image) for image in withdrawn[1]}
    cleaned = cleaned.drop_duplicates(["drop_id", "image_id"]).set_index(["drop_id", "image_id"])
    augmented = _one_of_each(augmented, cleaned, drops)
    labels = _labels(approved, spec)
    sources = augmented[augmented["kind"] == "source"]
    reasons = {
        str(image): _why_not(str(image), drop, file, cleaned, drops, images, labels, spec)
        for image, drop, file in zip(sources["image_id"], sources["drop_id"], sources["sha256"], strict=True)
    }
    kept = {image: drop for image, drop in _pairs(sources, "image_id", "drop_id") if not reasons[image][0]}
    unsafe = [image for image, drop in kept.items() if (drop, image) in forbidden]
    reasons |= dict.fromkeys(unsafe, ("personal_data", "the project's policy has changed since it was screened: screen its drop again"))
    seen = [image for image in kept if image in hidden]
    reasons |= dict.fromkeys(seen, ("personal_data", "in it, or in what shows the same, a person saw what can't be covered"))
    usable = sources[sources["image_id"].map(lambda image: not reasons[image][0]).astype(bool)]
    placed, groups, bridges = split(usable, spec.export, earlier)
    reasons |= {str(image): ("bridges_splits", detail) for image, detail in bridges.items()}

    rows: list[dict[str, Any]] = []
    out: list[dict[str, str]] = []
    breakable = {attribute.name for attribute in spec.ontology.attributes if attribute.kind == "box"}
    breaks = {recipe.name: set(broken_by(recipe, spec.ontology)) for recipe in spec.augmentation.recipes}
    for row in augmented.to_dict("records"):
        image, source = row["image_id"], row["source_image_id"] or row["image_id"]
        reason, detail = reasons.get(source, ("source_missing", f"augmented_set has no source {source}"))
        if row["kind"] == "variant":
            if reason:
                reason, detail = "source_left_out", reason
            elif image in images:
                reason, detail = "withdrawn", "the variant itself was withdrawn"
            elif placed[source] != "train":
                reason, detail = "variant_outside_train", f"its source is in {placed[source]}"
        held = labels.get(source, NO_LABELS)
        broken = set((row["breaks"] or "").split("|")) | breakable | breaks.get(row["recipe"], set()) if row["kind"] == "variant" else set()
        given = {name: value for name, value in held.values.items() if name not in broken}
        if not reason and not given:
            why = "breaks every attribute that has one" if row["kind"] == "variant" else ""
            reason, detail = "no_label_kept", f"recipe {row['recipe']} {why}" if why else "nothing could be told, or nothing applies"
        if reason:
            out.append({"image_id": image, "source_image_id": source, "kind": row["kind"], "reason": reason, "detail": detail})
            continue
        rows.append({
            "release": release, "image_id": image, "source_image_id": source, "kind": row["kind"], "split": placed[source],
            "labels": json.dumps(given, sort_keys=True, ensure_ascii=False),
            "file": f"images/{image}.jpg", "sha256": row["sha256"], "width_px": row["width_px"], "height_px": row["height_px"],
            "split_group": groups[source], "drop_id": row["drop_id"], "vendor": row["vendor"],
            "batch_ids": "|".join(held.batches), "ontology_version": "|".join(held.versions),
            "unlabelled": json.dumps(held.unlabelled, sort_keys=True) if held.unlabelled else None,
        })  # fmt: skip
    for image in sorted(labels.keys() - set(augmented["image_id"])):
        out.append(
            {"image_id": image, "source_image_id": image, "kind": "source", "reason": "not_in_augmented_set", "detail": "labelled only"}
        )
    left_out = pd.DataFrame(out, columns=["image_id", "source_image_id", "kind", "reason", "detail"], dtype="object")
    frame = manifest.conform(pd.DataFrame(rows), CONTRACTS["training_export"])
    return Assembly(frame, left_out.sort_values("image_id", ignore_index=True))


def _one_of_each(augmented: pd.DataFrame, cleaned: pd.DataFrame, withdrawn: Collection[str]) -> pd.DataFrame:
    """Each picture once, by image_id: of several drops that hold it, as it came with one that keeps it and isn't withdrawn, if any does."""
    kept = cleaned.index[cleaned["status"] == "kept"]
    is_kept = pd.MultiIndex.from_frame(augmented[["drop_id", "source_image_id"]]).isin(kept)
    ranked = augmented.assign(_is_withdrawn=augmented["drop_id"].isin(withdrawn), _is_out=~is_kept)
    ranked = ranked.sort_values(["image_id", "_is_withdrawn", "_is_out"], kind="stable").drop_duplicates("image_id")
    return ranked.drop(columns=["_is_withdrawn", "_is_out"]).reset_index(drop=True)


def split(
    sources: pd.DataFrame, export: Export, earlier: pd.DataFrame | None = None
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Draw the split of each group of source images that belong together.

    A group's split depends on the salt and its smallest image_id alone, so adding other images moves nothing; with `earlier`
    neither does adding images to the group: one that ties groups of two splits together is not placed. Should no group be in
    train, all that are new go there.

    Args:
        sources: Columns image_id, vendor, group_id, near_duplicate_group.
        export: Shares and salt.
        earlier: Rows of `training_export` of earlier releases.

    Returns:
        (image -> split, image -> split group, image that bridges splits -> which ones).
    """
    before = _placed_before(earlier, export.salt)
    placed: dict[str, str] = {}
    groups: dict[str, str] = {}
    bridges: dict[str, str] = {}
    fresh: list[str] = []
    queue = components(sources)
    while queue:
        members = queue.pop()
        held = sorted({before[image] for image in members if image in before}, key=SPLITS.index)
        if len(held) > 1:  # without the newcomers they may fall apart again; if not, what is measured on stays
            stays = [image for image in members if image in before]
            if len(stays) == len(members):
                stays = [image for image in members if before[image] == held[-1]]
            bridges |= dict.fromkeys(set(members) - set(stays), f"belongs with images of {' and '.join(held)}")
            queue += components(sources[sources["image_id"].isin(stays)])
            continue
        groups |= dict.fromkeys(members, f"{export.salt}:{members[0]}")
        placed |= dict.fromkeys(members, held[0] if held else _drawn(members[0], export))
        fresh += [] if held else members
    if "train" not in placed.values():
        placed |= dict.fromkeys(fresh, "train")
    return placed, groups, bridges


def components(sources: pd.DataFrame) -> list[list[str]]:
    """Source images that belong together, each list sorted, the lists by their first image.

    Belonging is shared near-duplicate group, or shared product group of one vendor, taken transitively.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    images: Any = np.sort(sources["image_id"].to_numpy(dtype=object))
    ordered = sources.set_index("image_id").loc[images]
    product = ordered["vendor"].fillna("").astype(str) + "\0" + ordered["group_id"].fillna("").astype(str)
    ties = (product.where(ordered["group_id"].notna()), ordered["near_duplicate_group"])
    heads, tails = [], []
    for tie in ties:
        codes, names = pd.factorize(tie)
        first = np.full(len(names), -1)
        for index in np.flatnonzero(codes >= 0)[::-1]:
            first[codes[index]] = index
        members = np.flatnonzero(codes >= 0)
        heads.append(members)
        tails.append(first[codes[members]])
    head, tail = np.concatenate(heads), np.concatenate(tails)
    graph = coo_array((np.ones(len(head)), (head, tail)), shape=(len(images), len(images)))
    _, component = connected_components(graph, directed=False)
    found: dict[int, list[str]] = {}
    for image, number in zip(images, component, strict=True):
        found.setdefault(int(number), []).append(str(image))
    return sorted(found.values())


@dataclass(frozen=True)
class _Held:
    """Labels of an image that go out, attributes with an answer that is no label, and what must be asked again, with the reason."""

    values: dict[str, Any]
    batches: list[str]
    versions: list[str]
    unlabelled: dict[str, str]
    outdated: dict[str, str]


NO_LABELS = _Held({}, [], [], {}, {})


def _labels(approved: pd.DataFrame, spec: ProjectSpec) -> dict[str, _Held]:
    """image -> its approved labels, as they go into the export."""
    rank = approved["kind"].map({kind: index for index, kind in enumerate(KINDS)}).fillna(len(KINDS))
    approved = approved.assign(_rank=rank).sort_values(["image_id", "attribute", "_rank", "batch_id"], kind="stable")
    best = approved.drop_duplicates(["image_id", "attribute"])[["image_id", "attribute", "batch_id"]]
    approved = approved.merge(best, on=["image_id", "attribute", "batch_id"])
    approved, void = restate(approved, spec.ontology)
    outdated: dict[str, dict[str, str]] = {}
    for row in (
        void[["image_id", "attribute", "label", "ontology_version", "why"]].drop_duplicates(["image_id", "attribute"]).to_dict("records")
    ):
        outdated.setdefault(row["image_id"], {})[row["attribute"]] = row["why"]
    columns = ["image_id", "attribute", "label", "object_id", "x", "y", "w", "h", "batch_id", "ontology_version"]
    approved = approved[columns].sort_values(["image_id", "attribute", "object_id"], kind="stable").astype("object")
    answers: dict[str, dict[str, list[dict[Any, Any]]]] = {}
    for row in approved.where(approved.notna(), None).to_dict("records"):
        answers.setdefault(row["image_id"], {}).setdefault(row["attribute"], []).append(row)
    result: dict[str, _Held] = {}
    for image in answers.keys() | outdated.keys():
        by_attribute = answers.get(image, {})
        values, unlabelled = _applicable({name: _value(rows, spec) for name, rows in by_attribute.items()}, spec)
        rows = [row for rows in by_attribute.values() for row in rows]
        batches, versions = (sorted({row[key] for row in rows if row[key]}) for key in ("batch_id", "ontology_version"))
        result[image] = _Held(values, batches, versions, unlabelled, outdated.get(image, {}))
    return result


def _applicable(given: dict[str, Any], spec: ProjectSpec) -> tuple[dict[str, Any], dict[str, str]]:
    """(labels that go out, attribute -> answer that is no label), with nothing for a question that doesn't apply."""
    values = {name: value for name, value in given.items() if value is not None and value not in NO_LABEL}
    unlabelled = {name: value for name, value in given.items() if isinstance(value, str) and value == CANT_TELL}
    optional = [attribute.name for attribute in spec.ontology.attributes if not attribute.required]
    unlabelled |= {name: NOT_APPLICABLE for name in optional if given.get(name) == NOT_APPLICABLE}  # a required one is asked again
    said: dict[str, str | None] = {}
    for attribute in spec.ontology.attributes:
        label = given.get(attribute.name)
        said[attribute.name] = "|".join(label) if isinstance(label, list) and attribute.kind == "multi" else label
        if attribute.when and not applies(attribute, said):
            said[attribute.name] = unlabelled[attribute.name] = NOT_APPLICABLE
            values.pop(attribute.name, None)
    return values, unlabelled


def _value(rows: list[dict[Any, Any]], spec: ProjectSpec) -> Any:
    """The label of one attribute as it goes into `labels`; None when there is none, or the ontology doesn't ask."""
    label, attribute = rows[0]["label"], spec.ontology.attribute(rows[0]["attribute"])
    if attribute is None:
        return None
    if attribute.kind == "box":
        boxes = [row for row in rows if row["label"] not in (None, NO_OBJECT) and row["x"] is not None]
        return [{"label": row["label"]} | {side: float(row[side]) for side in "xywh"} for row in boxes]
    return sorted(label.split("|")) if label is not None and label not in NO_LABEL and attribute.kind == "multi" else label


def _why_not(
    image: str,
    drop: str | None,
    file: str,
    cleaned: pd.DataFrame,
    drops: set[str],
    images: set[str],
    labels: Mapping[str, _Held],
    spec: ProjectSpec,
) -> tuple[str, str]:
    """(reason, detail) a source image, whose cleaned picture is `file`, is left out for; ("", "") when it isn't."""
    if drop in drops or image in images:
        return "withdrawn", f"drop {drop}" if drop in drops else "the image itself"
    key: Any = (drop, image)
    if key not in cleaned.index:
        return "not_in_cleaned_set", ""
    status, why, now = cleaned.loc[key, ["status", "reason", "clean_sha256"]]
    if status != "kept":
        return "not_kept", f"{status}: {why or ''}"
    if isinstance(now, str) and now != file:
        return "screened_again", f"its cleaned picture is another one by now: make augmented_set of drop {drop} anew"
    if image not in labels:
        return "unlabelled", ""
    held = labels[image]
    values = held.values
    missing = [
        attribute.name
        for attribute in spec.ontology.attributes
        if attribute.required and attribute.name not in values and attribute.name not in held.unlabelled
    ]
    again = {name: held.outdated[name] for name in missing if name in held.outdated}
    if again:
        told = "; ".join(f"{name}: {why}" for name, why in again.items())
        return "label_outdated", f"{told}. `dataops plan {spec.name} --kind rework` asks again"
    if missing:
        return "partly_labelled", "no approved label for " + "|".join(missing)
    for attribute in spec.ontology.attributes:
        unknown = sorted(set(_given(values.get(attribute.name, []))) - attribute.values.keys())
        if unknown:
            return "label_not_in_ontology", f"{attribute.name}={'|'.join(unknown)}, ontology {spec.ontology.version}"
    return "", ""


def _given(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item["label"] if isinstance(item, dict) else item for item in value]


def _placed_before(earlier: pd.DataFrame | None, salt: str) -> dict[str, str]:
    if earlier is None or earlier.empty:
        return {}
    rows = earlier[(earlier["kind"] == "source") & earlier["split_group"].fillna("").str.startswith(f"{salt}:")]
    return dict(_pairs(rows.sort_values("release").drop_duplicates("image_id"), "image_id", "split"))


def _drawn(image: str, export: Export) -> str:
    """The split whose stretch of [0, 1) holds the hash of salt and image."""
    position = int(hashlib.sha256(f"{export.salt}:{image}".encode()).hexdigest()[:16], 16) / 2**64
    upto = 0.0
    for name in SPLITS:
        upto += export.splits.get(name, 0.0)  # type: ignore[call-overload]
        if position < upto:
            return name
    return "train"


def _pairs(frame: pd.DataFrame, left: str, right: str) -> list[tuple[str, Any]]:
    return list(zip(frame[left], frame[right], strict=True))


class ReleaseExists(RuntimeError):
    """A release of that name was delivered with another content; releases don't change."""


def write(assembly: Assembly, spec: ProjectSpec, folder: Path, blobs: Blobs, facts: Mapping[str, object] = MappingProxyType({})) -> None:
    """Deliver a release into `folder`: pictures, labels in the formats the spec names, card, checksums.

    It appears whole, by rename. Delivering the same again changes nothing.

    Args:
        assembly: What to deliver.
        spec: The project.
        folder: `exports/<project>/<release>`.
        blobs: Where the pictures are.
        facts: What was measured, for the card; see `exports.card.write`. The same release needs the same facts: no clock.

    Raises:
        ReleaseExists: when the folder holds something else.
        BlobMissing: when a picture isn't in the store.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        root = Path(name) / folder.name
        root.mkdir()
        _fill(root, assembly, spec, folder.name, blobs, facts)
        new = checksums.write(root)
        if not folder.exists():
            try:
                root.rename(folder)
                return
            except OSError:
                if not folder.exists():
                    raise
    old = folder / checksums.NAME
    problems = checksums.verify(folder)
    if problems or old.read_text(encoding="utf-8") != new:
        why = problems[0] if problems else "its checksums differ from what would be delivered now"
        raise ReleaseExists(f"{folder} is there already and a release never changes ({why}). Make another release under a new name.")


def _fill(root: Path, assembly: Assembly, spec: ProjectSpec, release: str, blobs: Blobs, facts: Mapping[str, object]) -> None:
    frame = assembly.frame
    (root / "images").mkdir()
    for file, sha256 in _pairs(frame, "file", "sha256"):
        (root / file).write_bytes(blobs.read(sha256))
    if "image_folder" in spec.export.formats:
        image_folder.write(root, frame, spec)
    if "coco" in spec.export.formats:
        coco.write(root, frame, spec, release)
    if "parquet" in spec.export.formats:
        parquet.write(root, frame, spec)
    names = [attribute.name for attribute in spec.ontology.attributes]
    first, last = ["image_id", "file", "split", "kind", "source_image_id"], ["vendor", "drop_id", "batch_ids", "ontology_version"]
    rows = []
    for row in frame.to_dict("records"):
        labels = json.loads(row["labels"])
        rows.append([*(row[key] for key in first), *(_cell(labels.get(name)) for name in names), *(row[key] for key in last)])
    sheets.write(root / "labels.csv", [*first, *names, *last], rows)
    sheets.write(root / "left_out.csv", list(assembly.left_out.columns), assembly.left_out.itertuples(index=False, name=None))
    card.write(root, frame, assembly.left_out, spec, release, facts)


def _cell(value: Any) -> str | None:
    """A label as one cell: a multiple choice as a|b, boxes as JSON."""
    if isinstance(value, list):
        return json.dumps(value, sort_keys=True) if not value or isinstance(value[0], dict) else "|".join(value)
    return None if value is None else str(value)
