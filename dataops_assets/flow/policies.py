"""Which policy for personal data drops were screened under, and what today's doesn't let pass of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from dataops_assets.flow.shared import verdicts
from dataops_assets.imaging.personal_data.policy import COLUMNS, Policy, differs, forbidden, let_pass, policy_of, unsearched
from dataops_assets.manifest import Inputs
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

DOCUMENTS = "policies"  # where the store keeps them


def named(store: Store, spec: ProjectSpec) -> Inputs:
    """What a version names that depends on the policy of today."""
    return {"policy": {spec.name: store.put_document(DOCUMENTS, today(spec))}}


def of_inputs(store: Store, spec: ProjectSpec, inputs: Inputs) -> Policy | None:
    """The policy that a version names; None: it was made before versions named any."""
    name = inputs.get("policy", {}).get(spec.name)
    policy: Policy | None = store.get_document(DOCUMENTS, name) if name is not None else None
    return policy


def refused(store: Store, spec: ProjectSpec, rows: pd.DataFrame, versions: Mapping[str, str], now: Policy | None = None) -> pd.Series:
    """Which kept rows of `cleaned_set` a policy, by default today's, doesn't let pass as they were screened: arguments of `judged`."""
    return ~judged(store, spec, rows, versions, now).all(axis=1)


def judged(store: Store, spec: ProjectSpec, rows: pd.DataFrame, versions: Mapping[str, str], now: Policy | None = None) -> pd.DataFrame:
    """What a policy, by default today's, says of kept rows of `cleaned_set` as they were screened.

    Args:
        store: The store.
        spec: The project.
        rows: Of several drops, with `policy.COLUMNS`.
        versions: The versions they are from, by drop.
        now: The policy.

    Returns:
        Columns `is_searched`, for all that the policy looks for, and `is_allowed`: nothing was found that keeps it from passing. Of
        rows that aren't kept both are true.
    """
    policy, then = now or today(spec), screened_under(store, spec, versions)
    found = pd.DataFrame(True, index=rows.index, columns=["is_searched", "is_allowed"])
    for drop, mine in rows[rows["status"] == "kept"].groupby("drop_id"):
        found.loc[mine.index, "is_searched"] = unsearched(mine, policy, then.get(str(drop))) == ""
        found.loc[mine.index, "is_allowed"] = ~forbidden(mine, policy, then.get(str(drop)))
    return found


def screened_under(store: Store, spec: ProjectSpec, versions: Mapping[str, str]) -> dict[str, Policy | None]:
    """The policy of each drop's version."""
    known = _names(store, spec)
    names = {drop: known.get((drop, version)) for drop, version in versions.items()}
    held: dict[str, Policy] = {name: store.get_document(DOCUMENTS, name) for name in {name for name in names.values() if name}}
    return {drop: held[name] if name else None for drop, name in names.items()}


@dataclass(frozen=True)
class Outdated:
    """A drop in use that could be screened otherwise under today's policy.

    Attributes:
        drop_id: Which.
        refused: How many of its kept pictures are out of use, as the policy doesn't let them pass as they are.
        is_answered: It was screened under today's policy and the gate said no: it isn't asked for again by itself.
    """

    drop_id: str
    refused: int
    is_answered: bool


def outdated(store: Store, spec: ProjectSpec) -> list[Outdated]:
    """Drops in use whose screening doesn't follow the policy of today."""
    policy, gone = today(spec), store.withdrawn(spec.name)[0] | store.superseded(spec.name)
    released = store.released("cleaned_set", spec.name)
    then = screened_under(store, spec, {drop: version for drop, version in released.items() if drop not in gone})
    open_ = {drop: released[drop] for drop, held in then.items() if held != policy}
    if not open_:
        return []
    gates = verdicts(store, spec.name, "cleaned_set").drop_duplicates("partition", keep="last")
    judged = dict(zip(gates["partition"], gates["version"], strict=True))
    last = screened_under(store, spec, {drop: judged[drop] for drop in open_})
    rows = store.read_all("cleaned_set", spec.name, open_, COLUMNS)
    found = []
    for drop, mine in rows.groupby("drop_id"):
        name = str(drop)
        if differs(mine, policy, then[name]):
            lost = int((~let_pass(mine[mine["status"] == "kept"], policy, then[name])).sum())
            is_answered = judged[name] != open_[name] and last[name] is not None and not differs(mine, policy, last[name])
            found.append(Outdated(name, lost, is_answered))
    return found


def today(spec: ProjectSpec) -> Policy:
    return policy_of(spec.cleaning.personal_data)


def _names(store: Store, spec: ProjectSpec) -> dict[tuple[str, str], str | None]:
    """(drop, version) -> the name of the policy it was screened under, of all that gates have seen."""
    gates = verdicts(store, spec.name, "cleaned_set")
    keys = zip(gates["partition"], gates["version"], strict=True)
    # a version names all drops it is compared with: read whole it takes long
    named = re.compile(f'"policy": {{"{spec.name}": "([0-9a-f]+)"}}')
    found = {key: named.search(text or "") for key, text in zip(keys, gates["inputs"], strict=True)}
    return {key: match[1] if match else None for key, match in found.items()}
