"""What a drop is judged beside: the pictures of other drops, in the versions that count for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import policies
from dataops_assets.flow.refused import of_others, unseen
from dataops_assets.flow.shared import digest_of, rows_of, verdicts
from dataops_assets.manifest import Inputs, Manifest, digest, empty
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.copies import NEAR_REFUSED
from dataops_assets.store import RELEASING, Store

COLUMNS = ("image_id", "drop_id", "status", "phash", "colour_grid", "near_duplicate_group", "personal_data")
GIVEN_WAY = ("image_id", "drop_id", "status", "duplicate_of")


@dataclass(frozen=True, eq=False)
class Beside:
    """What a drop is judged beside at one moment.

    Attributes:
        pin: The drop's number and what it is compared with, as it stands or will stand.
        earlier: Kept pictures of the drops it is compared with, in the versions `pinned`.
        later: Those of other drops in use, in the versions `versions`.
        before: The drop's own released version; null where nothing depends on it.
        lasting: Its rows of pictures that nobody can look at again, and what they are `missing`, by `stages.lasting.missing`.
        refused: Pictures of other drops that people refused for what they show of people, by `refused.of_others`.
        inputs: What its version will name, `cleaned_set` and `refused` apart.
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
    refused: pd.DataFrame
    inputs: Inputs

    @property
    def standing(self) -> frozenset[str]:
        rows = self.before.frame if self.before is not None else empty("cleaned_set")
        return frozenset(rows.loc[rows["status"] == "kept", "image_id"])

    @property
    def facts(self) -> tuple[object, ...]:
        """All that the judgement depends on: where these are equal, it is the same."""
        decided = self.decided.to_json() if self.decided is not None else None
        before = self.before.version if self.before else None
        return self.pin, self.pinned, self.versions, before, self.inputs, decided, tuple(self.refused["image_id"])


def beside(store: Store, spec: ProjectSpec, raw: Manifest, decided: pd.DataFrame | None, inputs: Inputs) -> Beside:
    """What a drop would be judged beside now.

    Args:
        store: The store.
        spec: The project.
        raw: `raw_images` of the drop.
        decided: What people decided about its pictures.
        inputs: What its version will name of these and of other things.
    """
    from dataops_assets.stages import lasting as stage

    pin = _pin(store, spec, raw.partition)
    pinned = _standing(store, spec, pin["with"])
    earlier = _kept(store, spec, pinned)
    later, versions = _later(store, spec, raw.partition, pinned)
    later = later[~later["image_id"].isin(earlier["image_id"])]
    purged = store.apart(spec.name).purged()
    gone = purged & set(raw.frame.loc[raw.frame["status"] == "accepted", "image_id"])
    before = _before(store, spec, raw) if len(later) or gone else None
    rows = before.frame if before is not None else empty("cleaned_set")
    then = policies.of_inputs(store, spec, before.inputs if before is not None else {})
    lasting = stage.rows_of(rows, raw.frame, gone, spec.cleaning, then, unseen(store, spec, raw.partition, gone, decided))
    missing = stage.missing(lasting, spec.cleaning, then)
    if len(lasting):  # named by its content: the version it is read from differs each time
        searches = {"missing": missing} if missing else {}
        inputs = {**inputs, "lasting": {raw.partition: digest(lasting, CONTRACTS["cleaned_set"], searches)}}
    refused = of_others(store, spec, raw.partition)
    return Beside(pin, earlier, pinned, later, versions, decided, before, lasting, missing, refused, inputs)


def followed(frame: pd.DataFrame) -> Inputs:
    """What a version names of the refused pictures that some of its own show the same as."""
    drop, ids = frame["drop_id"].head(1), sorted(frame.loc[frame["reason"] == NEAR_REFUSED, "duplicate_of"])
    return {"refused": {str(drop.iloc[0]): digest_of(ids)}} if ids else {}


def first_used(
    store: Store, spec: ProjectSpec, winners: pd.DataFrame, versions: Mapping[str, str], before: Manifest | None
) -> dict[str, str]:
    """The versions of the drops that pictures gave way to: as named before where that still holds, so that the same answer has one name."""
    known = dict((before.inputs.get("cleaned_set", {}) if before is not None else {}).items() - _refused(store, spec))
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
    """The versions to compare with now: the pinned ones, unless one among them is out of use: withdrawn, replaced, refused or parked.

    A picture that was rejected as a copy of one that is out of use comes back, then. Of a drop whose version was refused or parked, what it
    has in use counts, if anything. For the drop that was replaced the one in its place counts, and the others as they were screened last: a
    copy that came back there must not come back here too.
    """
    replaced = store.superseded(spec.name)
    gone, refused = store.withdrawn(spec.name)[0] | replaced, _refused(store, spec)
    if not gone & pinned.keys() and not refused & pinned.items():
        return dict(pinned)
    released = store.released("cleaned_set", spec.name)
    if not gone & pinned.keys():
        held = {drop: released.get(drop) if (drop, version) in refused else version for drop, version in pinned.items()}
        return {drop: version for drop, version in held.items() if version is not None}
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
    gates = verdicts(store, spec.name, "cleaned_set")
    judged = {drop: set(rows["version"]) for drop, rows in gates.groupby("partition")}
    last = dict(zip(gates["partition"], gates["at"], strict=True))
    found = store.released("cleaned_set", spec.name)
    parked = _parked(store, spec)[0]
    for drop, versions in made.items():
        if drop in parked:  # nothing judges its candidates until somebody has it tried again
            continue
        times = {name: store.made_at("cleaned_set", spec.name, drop, name) for name in set(versions) - judged.get(drop, set())}
        pending = {name: at for name, at in times.items() if drop not in last or at > last[drop]}
        if pending:
            found[drop] = max(pending, key=lambda name: (pending[name], name))
    return found


def copies_of_gone(store: Store, spec: ProjectSpec) -> dict[str, list[str]]:
    """Drop -> what it was compared with that is out of use: drops, withdrawn or replaced, or drop@version that their gates refused, or
    never judged because the drop was parked.

    Named are drops that left pictures out as copies of those, or for which the drop has other pictures in use now; and drops compared with
    a version that a person let pass after they had been screened without it. Once a drop was screened anew it isn't named.

    A drop that is compared with another one named here has to wait for it.
    """
    gates = verdicts(store, spec.name, "cleaned_set")
    gone, refused = store.withdrawn(spec.name)[0] | store.superseded(spec.name), _refused(store, spec)
    if not gone and not refused and not (gates["outcome"] == "fail").any():
        return {}
    last = gates.drop_duplicates("partition", keep="last")
    versions = dict(zip(last["partition"], last["version"], strict=True))
    texts = {drop: text for drop, text in zip(last["partition"], last["inputs"], strict=True) if drop not in gone}
    suspect = texts if gone else {drop: text for drop, text in texts.items() if any(version in (text or "") for _, version in refused)}
    compared = {drop: _compared(text) for drop, text in suspect.items()}
    stale = {drop: with_ for drop, with_ in compared.items() if gone & with_.keys() or refused & with_.items()}
    why: dict[str, list[str]] = {}
    if stale:
        rows = store.read_all("cleaned_set", spec.name, {drop: versions[drop] for drop in stale}, GIVEN_WAY)
        rows = rows[(rows["status"] == "rejected") & rows["duplicate_of"].notna()]
        out = _kept_ids(store, spec, {drop: versions[drop] for drop in gone & versions.keys()})
        for drop, with_ in stale.items():
            lost = set(rows.loc[rows["drop_id"] == drop, "duplicate_of"])
            named = sorted(gone & with_.keys()) if lost & out else []
            for other, version in sorted(refused & with_.items()):
                was, now = (_kept_ids(store, spec, held) for held in ({other: version}, _in_use(store, spec, other)))
                named += [f"{other}@{version}"] if lost & (was - now) or now - was else []
            if named:
                why[drop] = named
    for drop, names in _let_pass_since(store, spec, gates, texts).items():
        why[drop] = why.get(drop, []) + names
    number = {drop: pin["number"] for drop, pin in store.pins("screening", spec.name).items()} if why else {}
    return {
        drop: names
        for drop, names in why.items()
        if not any(number.get(other, 0) < number.get(drop, 0) for other in _compared(texts[drop]).keys() & why.keys())
    }


def _let_pass_since(store: Store, spec: ProjectSpec, gates: pd.DataFrame, texts: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Drop -> versions it is to be compared with that their gates refused, so that it wasn't, and that were let pass after that."""
    keys = pd.MultiIndex.from_frame(gates[["partition", "version"]])
    failed = keys[gates["outcome"] == "fail"]
    late = gates[gates["outcome"].isin(RELEASING) & keys.isin(failed)]
    passed = dict(zip(zip(late["partition"], late["version"], strict=True), late["seq"], strict=True))
    if not passed:
        return {}
    seen = dict(zip(gates["partition"], gates["seq"], strict=True))
    found: dict[str, list[str]] = {}
    for drop, pin in store.pins("screening", spec.name).items():
        late_ones = [item for item in pin["with"].items() if item in passed and drop in texts and passed[item] > seen[drop]]
        names = [f"{other}@{version}" for other, version in late_ones if _compared(texts[drop]).get(other) != version]
        if names:
            found[drop] = names
    return found


def _compared(inputs: str | None) -> dict[str, str]:
    """What a version was compared with, by what a gate's row says of its inputs."""
    found: dict[str, str] = json.loads(inputs or "{}").get("cleaned_set", {})
    return found


def _refused(store: Store, spec: ProjectSpec) -> set[tuple[str, str]]:
    """(drop, version) of screenings that their gate said no to and nobody has let pass, or that no gate is going to judge."""
    gates = verdicts(store, spec.name, "cleaned_set")
    said = {outcome: set(zip(rows["partition"], rows["version"], strict=True)) for outcome, rows in gates.groupby("outcome")}
    return said.get("fail", set()).difference(*(said.get(outcome, set()) for outcome in RELEASING)) | _abandoned(store, spec, gates)


def _abandoned(store: Store, spec: ProjectSpec, gates: pd.DataFrame) -> set[tuple[str, str]]:
    """(drop, version) of screenings whose drop was parked before their gate spoke: while it is, and once a newer version was judged."""
    parked, ever = _parked(store, spec)
    if not ever:
        return set()
    judged = set(zip(gates["partition"], gates["version"], strict=True))
    last = dict(zip(gates["partition"], gates["at"], strict=True))
    candidates = store.candidates("cleaned_set", spec.name)
    left = {(drop, version) for drop in ever for version in candidates.get(drop, ())} - judged
    return {
        (drop, version)
        for drop, version in left
        if drop in parked or (drop in last and store.made_at("cleaned_set", spec.name, drop, version) < last[drop])
    }


def _parked(store: Store, spec: ProjectSpec) -> tuple[set[str], set[str]]:
    """Drops that are parked, and those that ever were."""
    rows = rows_of(store.drops.rows(), spec.name)
    last = rows.drop_duplicates("drop_id", keep="last")
    now, ever = (frame.loc[frame["status"] == "parked", "drop_id"] for frame in (last, rows))
    return set(now), set(ever)


def _in_use(store: Store, spec: ProjectSpec, drop_id: str) -> dict[str, str]:
    version = store.released("cleaned_set", spec.name).get(drop_id)
    return {drop_id: version} if version is not None else {}


def _kept_ids(store: Store, spec: ProjectSpec, versions: Mapping[str, str]) -> set[str]:
    rows = store.read_all("cleaned_set", spec.name, versions, GIVEN_WAY)
    return set(rows.loc[rows["status"] == "kept", "image_id"])


def _before(store: Store, spec: ProjectSpec, raw: Manifest) -> Manifest | None:
    """The drop's own released version."""
    version = store.released("cleaned_set", spec.name).get(raw.partition)
    return store.read("cleaned_set", spec.name, raw.partition, version) if version is not None else None
