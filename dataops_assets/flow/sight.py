"""What lies in everybody's sight, and what a project takes out of it: what nobody has searched, and what was found."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from dataops_assets.flow.beside import Beside
from dataops_assets.flow.shared import verdicts
from dataops_assets.manifest import Manifest
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.copies import NOT_DRAWN, is_refused
from dataops_assets.store import Store

SHOWN = ("status", "reason", "clean_sha256")  # what decides how a picture is shown


def take_out(store: Store, spec: ProjectSpec, shas: Iterable[str]) -> None:
    """Set files apart. What another project has in use stays there too: it lies apart for this project alone."""
    files = set(shas)
    store.apart(spec.name).set_apart(sorted(files), used_by_others(store, spec.name, files))


def used_by_others(store: Store, project: str, shas: Collection[str]) -> set[str]:
    """Those of some files that other projects have in use, as cleaned files or variants."""
    releases = store.releases()
    return _in_use(store, releases[releases["project"] != project], shas)


def used_by_drops(store: Store, project: str, shas: Collection[str], drop_id: str) -> set[str]:
    """Those that other drops of the project than this one have in use."""
    releases = store.releases(project)
    return _in_use(store, releases[releases["partition"] != drop_id], shas)


def _in_use(store: Store, releases: pd.DataFrame, shas: Collection[str]) -> set[str]:
    found: set[str] = set()
    for asset, columns in (("cleaned_set", ("image_id", "status", "clean_sha256")), ("augmented_set", ("image_id", "sha256"))):
        for name, mine in releases[releases["asset"] == asset].groupby("project") if shas else ():
            rows = store.read_all(asset, str(name), dict(zip(mine["partition"], mine["version"], strict=True)), columns)
            rows = rows[rows["status"] == "kept"] if "status" in rows else rows
            found |= set(rows.loc[rows[columns[-1]].isin(shas), columns[-1]])
    return found


def after_intake(store: Store, spec: ProjectSpec, raw: pd.DataFrame) -> None:
    """Files that the intake refuses lie apart, where the project looks for personal data: no screening will say what they show.

    The same bytes may be accepted too, here or with another drop: then its screening decides.
    """
    refused = raw.loc[raw["status"] == "quarantined", "sha256"].dropna()
    take_out(store, spec, _never_searched(store, spec, set(refused) - set(raw.loc[raw["status"] == "accepted", "sha256"])))


def after_refusal(store: Store, spec: ProjectSpec, raw: pd.DataFrame) -> None:
    """So do the files that it accepts of a delivery which the gate refuses, until somebody lets it pass and a search finds nothing."""
    take_out(store, spec, _never_searched(store, spec, set(raw.loc[raw["status"] == "accepted", "sha256"])))


def _never_searched(store: Store, spec: ProjectSpec, files: set[str]) -> set[str]:
    """Those of a drop's files that no screening of this project looks at. Cleaned files of ours that come back are in use, and stay."""
    if not files or not spec.cleaning.personal_data.look_for:
        return set()
    others = store.read_all("raw_images", spec.name, store.released("raw_images", spec.name), ("drop_id", "path", "sha256", "status"))
    made = store.read_all("cleaned_set", spec.name, store.released("cleaned_set", spec.name), ("image_id", "clean_sha256"))
    return files - set(others.loc[others["status"] == "accepted", "sha256"]) - set(made["clean_sha256"].dropna())


def after_screening(store: Store, spec: ProjectSpec, made: Manifest, by: Beside) -> None:
    """Originals of a screened drop that are confidential lie apart, and so do cleaned files that showed what a person couldn't cover.

    Not those that are cleaned files of ours, delivered, and in use, nor those that another drop keeps because a person said so.
    What lay apart because nobody had searched it comes back into sight when nothing is found in it, whichever delivery it lay apart with,
    and so do cleaned files that the drop keeps. Doing it again changes nothing.
    """
    from dataops_assets.stages import cleaned_set as stage

    frame, others = made.frame, pd.concat([by.earlier, by.later])
    drops = set(others.loc[others["image_id"].isin(frame["duplicate_of"].dropna()), "drop_id"])
    versions = {drop: version for drop, version in {**by.versions, **by.pinned}.items() if drop in drops}
    kept = store.read_all("cleaned_set", spec.name, versions, ("image_id", "clean_sha256"))
    hidden = set(stage.confidential(frame, others, spec.cleaning))
    seen = set(_made_of(store, spec, made, set(frame.loc[frame["reason"].isin(NOT_DRAWN), "image_id"])))  # at once, whatever the gate says
    seen -= used_by_drops(store, spec.name, seen, made.partition)
    take_out(store, spec, hidden - set(kept["clean_sha256"].dropna()) | seen)
    in_order = set(frame.loc[stage.is_searched(frame) & (frame["reason"] != "exact_duplicate"), "image_id"]) - hidden - seen
    apart = store.apart(spec.name)
    apart.bring_back(sorted(_never_found(store, spec, made, apart.taken_out(in_order))))
    apart.bring_back(sorted(frame.loc[frame["status"] == "kept", "clean_sha256"].dropna()))


def _never_found(store: Store, spec: ProjectSpec, made: Manifest, files: set[str]) -> set[str]:
    """Those of a drop's originals in which no version of it found anything: what a stricter policy set apart goes when its time is over."""
    for version in store.candidates("cleaned_set", spec.name).get(made.partition, ()) if files else ():
        rows = store.read_all("cleaned_set", spec.name, {made.partition: version}, ("image_id", "personal_data", "reason"))
        files = files - set(rows.loc[rows["personal_data"].notna() | rows["reason"].isin(NOT_DRAWN), "image_id"])
    return files


def outdated(store: Store, spec: ProjectSpec, cleaned: Manifest) -> tuple[list[str], list[str]]:
    """What lies in everybody's sight of a drop's earlier versions and its released one, and the policy of today doesn't let pass.

    Those are cleaned files of pictures that show something personal, or that people had covered, other than those now kept, and variants
    made of them. Files that another project or drop has in use stay where they are; this project's pages lose them all the same.

    Returns:
        sha256s of the files that may go; image_ids of all their pictures.
    """
    from dataops_assets.stages import cleaned_set as stage

    compared = {drop: version for drop, version in cleaned.inputs.get("cleaned_set", {}).items() if drop != cleaned.partition}
    others = store.read_all("cleaned_set", spec.name, compared, ("image_id", "personal_data"))
    is_decided = (cleaned.frame["status"] == "kept") & cleaned.frame["decided_by"].notna()
    ids = {*stage.confidential(cleaned.frame, others, spec.cleaning), *cleaned.frame.loc[is_decided, "image_id"]}
    found = {sha256: image for sha256, image in _made_of(store, spec, cleaned, ids).items() if store.blobs.has(sha256)}
    used = used_by_others(store, spec.name, found) | used_by_drops(store, spec.name, found, cleaned.partition)
    return sorted(found.keys() - used), sorted(set(found.values()))


def decided_anew(store: Store, spec: ProjectSpec, cleaned: Manifest) -> list[str]:
    """Pictures that people refused, or had covered, since the version that was judged before this one: they are to be drawn anew."""
    gates = verdicts(store, spec.name, "cleaned_set")
    gates = gates[(gates["partition"] == cleaned.partition) & (gates["version"] != cleaned.version)].tail(1)
    before = store.read_all("cleaned_set", spec.name, dict(zip(gates["partition"], gates["version"], strict=True)), ("image_id", *SHOWN))
    frame = cleaned.frame
    both = frame.merge(before, how="left", on="image_id", suffixes=("", "_before"))
    differs = pd.DataFrame({name: both[name].fillna("") != both[f"{name}_before"].fillna("") for name in SHOWN})
    is_out = (is_refused(frame) | frame["reason"].isin(NOT_DRAWN)).to_numpy() & differs.any(axis=1)
    is_covered = frame["decided_by"].notna().to_numpy() & both["clean_sha256_before"].notna() & differs["clean_sha256"]
    return sorted(both.loc[is_out | is_covered, "image_id"])


def _made_of(store: Store, spec: ProjectSpec, cleaned: Manifest, ids: set[str]) -> dict[str, str]:
    """Cleaned files that a drop's versions have of some pictures, other than those now kept, and variants made of them: file -> picture."""
    held = set(cleaned.frame.loc[cleaned.frame["status"] == "kept", "clean_sha256"].dropna())
    found: dict[str, str] = {}
    for version in store.candidates("cleaned_set", spec.name).get(cleaned.partition, ()) if ids else ():
        rows = store.read_all("cleaned_set", spec.name, {cleaned.partition: version}, ("image_id", "clean_sha256")).dropna()
        rows = rows[rows["image_id"].isin(ids) & ~rows["clean_sha256"].isin(held)]
        found |= dict(zip(rows["clean_sha256"], rows["image_id"], strict=True))
    for version in store.candidates("augmented_set", spec.name).get(cleaned.partition, ()) if found else ():
        rows = store.read_all("augmented_set", spec.name, {cleaned.partition: version}, ("image_id", "source_image_id", "kind", "sha256"))
        made = rows[rows["source_image_id"].isin(rows.loc[rows["sha256"].isin(found), "image_id"])]
        found |= dict(zip(made["sha256"], made["source_image_id"], strict=True))
    return found
