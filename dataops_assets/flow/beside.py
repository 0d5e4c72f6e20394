"""What a drop is judged beside: the pictures of other drops, in the versions that count for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import policies
from dataops_assets.flow.shared import rows_of
from dataops_assets.manifest import Inputs, Manifest, digest, empty
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

COLUMNS = ("image_id", "drop_id", "status", "phash", "colour_grid", "near_duplicate_group", "personal_data")


@dataclass(frozen=True, eq=False)
class Beside:
    """What a drop is judged beside at one moment.

    Attributes:
        pin: The drop's number and what it is compared with, as it stands or will stand.
        earlier: Kept pictures of the drops it is compared with, in the versions `pinned`.
        later: Those of other drops in use, in the versions `versions`.
        before: The drop's own released version; null where nothing depends on it.
        lasting: Its rows of pictures that nobody can look at again, and what they are `missing`, by `stages.cleaned_set.missing`.
        inputs: What its version will name, `cleaned_set` apart.
    """

    pin: Mapping[str, Any]
    earlier: pd.DataFrame
    pinned: Mapping[str, str]
    later: pd.DataFrame
    versions: Mapping[str, str]
    decided: pd.DataFrame | None
    before: Manifest | None
    lasting: pd.DataFrame
    missing: Mapping[str, str]
    inputs: Inputs

    @property
    def standing(self) -> frozenset[str]:
        rows = self.before.frame if self.before is not None else empty("cleaned_set")
        return frozenset(rows.loc[rows["status"] == "kept", "image_id"])

    @property
    def facts(self) -> tuple[object, ...]:
        """All that the judgement depends on: where these are equal, it is the same."""
        decided = self.decided.to_json() if self.decided is not None else None
        return self.pin, self.pinned, self.versions, self.before.version if self.before else None, self.inputs, decided


def beside(store: Store, spec: ProjectSpec, raw: Manifest, decided: pd.DataFrame | None, inputs: Inputs) -> Beside:
    """What a drop would be judged beside now.

    Args:
        store: The store.
        spec: The project.
        raw: `raw_images` of the drop.
        decided: What people decided about its pictures.
        inputs: What its version will name of these and of other things.
    """
    from dataops_assets.stages import cleaned_set as stage

    pin = _pin(store, spec, raw.partition)
    pinned = _standing(store, spec, pin["with"])
    earlier = _kept(store, spec, pinned)
    later, versions = _later(store, spec, raw.partition, pinned)
    later = later[~later["image_id"].isin(earlier["image_id"])]
    purged = store.apart(spec.name).purged()
    before = _before(store, spec, raw) if len(later) or purged & set(raw.frame["image_id"]) else None
    rows = before.frame if before is not None else empty("cleaned_set")
    lasting = stage.lasting(rows, raw.frame, purged, spec.cleaning)
    missing = stage.missing(lasting, spec.cleaning, policies.of_inputs(store, spec, before.inputs if before is not None else {}))
    if len(lasting):  # named by its content: the version it is read from differs each time
        searches = {"missing": missing} if missing else {}
        inputs = {**inputs, "lasting": {raw.partition: digest(lasting, CONTRACTS["cleaned_set"], searches)}}
    return Beside(pin, earlier, pinned, later, versions, decided, before, lasting, missing, inputs)


def first_used(
    store: Store, spec: ProjectSpec, winners: pd.DataFrame, versions: Mapping[str, str], before: Manifest | None
) -> dict[str, str]:
    """The versions of the drops that pictures gave way to: as named before where that still holds, so that the same answer has one name."""
    known = before.inputs.get("cleaned_set", {}) if before is not None else {}
    named = {}
    for drop, ids in ((str(name), set(rows["image_id"])) for name, rows in winners.groupby("drop_id")):
        held = _kept(store, spec, {drop: known[drop]}) if drop in known else winners.head(0)
        named[drop] = known[drop] if ids <= set(held["image_id"]) else versions[drop]
    return named


def _pin(store: Store, spec: ProjectSpec, drop_id: str) -> Mapping[str, Any]:
    """A drop's number, and the versions of drops with a lower one that it is compared with.

    Both are fixed when it is first judged, so that screening an old drop again gives the same answer whatever came later, unless one of
    those is out of use by then. Until then this is what they would be.
    """
    held = store.pins("screening", spec.name)
    if drop_id in held:
        fixed: Mapping[str, Any] = held[drop_id]
        return fixed
    gone = store.withdrawn(spec.name)[0] | store.superseded(spec.name) | set(store.replaced_by(spec.name, drop_id))
    versions = {name: version for name, version in _screened(store, spec).items() if name in held and name not in gone}
    return {"number": 1 + max((pin["number"] for pin in held.values()), default=0), "with": versions}


def _kept(store: Store, spec: ProjectSpec, versions: Mapping[str, str]) -> pd.DataFrame:
    """What pictures are compared with: the kept ones of several drops, without the columns that don't matter there."""
    rows = store.read_all("cleaned_set", spec.name, versions, COLUMNS)
    return rows[rows["status"] == "kept"].sort_values("drop_id", kind="stable", ignore_index=True)


def _standing(store: Store, spec: ProjectSpec, pinned: Mapping[str, str]) -> dict[str, str]:
    """The versions to compare with now: the pinned ones, unless a drop among them is out of use: withdrawn or replaced.

    A picture that was rejected as a copy of one that is out of use comes back, then. For the drop that was replaced the one in its
    place counts, and the others as they were screened last: a copy that came back there must not come back here too.
    """
    replaced = store.superseded(spec.name)
    gone = store.withdrawn(spec.name)[0] | replaced
    if not gone & pinned.keys():
        return dict(pinned)
    released = store.released("cleaned_set", spec.name)
    drops = rows_of(store.drops.rows(), spec.name)
    newer = set(drops.loc[drops["supersedes"].notna(), "drop_id"]) & store.released("augmented_set", spec.name).keys()
    stand = {drop for drop in newer if replaced & pinned.keys() & set(store.replaced_by(spec.name, drop))}
    return {drop: released[drop] for drop in (pinned.keys() | stand) - gone if drop in released}


def _later(store: Store, spec: ProjectSpec, drop_id: str, compared: Mapping[str, str]) -> tuple[pd.DataFrame, Mapping[str, str]]:
    """Kept pictures of the drops in use that a drop isn't compared with as they are now, and their versions.

    They came later, were screened beside it, or have kept more since they were compared with.
    """
    gone = store.withdrawn(spec.name)[0] | store.superseded(spec.name) | set(store.replaced_by(spec.name, drop_id))
    versions = {
        drop: version
        for drop, version in _screened(store, spec).items()
        if drop not in gone and drop != drop_id and compared.get(drop) != version
    }
    return _kept(store, spec, versions), versions


def _screened(store: Store, spec: ProjectSpec) -> dict[str, str]:
    """The version of each drop that is in use, or will be when its gate, which it is on its way to, lets it."""
    made = store.candidates("cleaned_set", spec.name)  # listed before the verdicts are read: what is judged in between is known as such
    gates = rows_of(store.gates.rows(), spec.name)
    gates = gates[(gates["asset"] == "cleaned_set") & (gates["outcome"] != "error")]
    judged = {drop: set(rows["version"]) for drop, rows in gates.groupby("partition")}
    last = dict(zip(gates["partition"], gates["at"], strict=True))
    found = store.released("cleaned_set", spec.name)
    for drop, versions in made.items():
        times = {name: store.made_at("cleaned_set", spec.name, drop, name) for name in set(versions) - judged.get(drop, set())}
        pending = {name: at for name, at in times.items() if drop not in last or at > last[drop]}
        if pending:
            found[drop] = max(pending, key=lambda name: (pending[name], name))
    return found


def _before(store: Store, spec: ProjectSpec, raw: Manifest) -> Manifest | None:
    """The drop's own released version."""
    version = store.released("cleaned_set", spec.name).get(raw.partition)
    return store.read("cleaned_set", spec.name, raw.partition, version) if version is not None else None
