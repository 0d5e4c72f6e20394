"""What of the screening isn't settled: what stands against today's policy, what people are to look at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store


def of(store: Store, spec: ProjectSpec) -> list[dict[str, Any]]:
    """Each with what there is of it (`kind, drops, pictures`) and the `sentence` that tells it."""
    return _by_policy(store, spec) + _copies(store, spec) + _for_people(store, spec)


def _by_policy(store: Store, spec: ProjectSpec) -> list[dict[str, Any]]:
    """Drops that were screened under another policy for personal data than today's."""
    from dataops_assets.flow import policies

    found = policies.outdated(store, spec)
    told = []
    for is_answered in (False, True):
        mine = [item for item in found if item.is_answered is is_answered]
        if not mine:
            continue
        names, lost = [item.drop_id for item in mine], sum(item.refused for item in mine)
        sentence = (
            f"{_named(names)} {_was(names)} screened under another policy for personal data"
            + (f"; {lost:,} of {_their(names)} pictures it doesn't let pass are out of use" if lost else "")
            + (
                ". Screened again, the gate of cleaned_set said no: see what it says, "
                f"then dataops retry {spec.name} DROP --by WHO --reason ..."
                if is_answered
                else f" and will be screened again: by the sensor, or dataops run {spec.name}"
            )
        )
        told.append({"kind": "policy_refused" if is_answered else "policy", "drops": names, "pictures": lost, "sentence": sentence})
    return told


def _copies(store: Store, spec: ProjectSpec) -> list[dict[str, Any]]:
    """Drops that were compared with what is out of use by now, so that they may lack pictures nobody else has."""
    from dataops_assets.flow import beside

    names = sorted(beside.copies_of_gone(store, spec))
    if not names:
        return []
    sentence = (
        f"{_named(names)} {_was(names)} compared with drops as they aren't in use: withdrawn, replaced, or their gate said no "
        f"or was waived since; copies are judged again by the sensor, or dataops run {spec.name}"
    )
    return [{"kind": "copies", "drops": names, "pictures": 0, "sentence": sentence}]


def _for_people(store: Store, spec: ProjectSpec) -> list[dict[str, Any]]:
    """Pictures that a person has to decide about, and `until` when the first of them is kept."""
    from dataops_assets import planning
    from dataops_assets.flow import history, images

    found = planning.to_screen(store, spec, history.plans(store, spec))
    both = pd.concat([found.waiting, found.asked], ignore_index=True)
    if both.empty:
        return []
    first = images.kept_until(store, spec, both).min()
    until = None if pd.isna(first) else datetime.fromtimestamp(float(first), UTC).date().isoformat()
    out = sorted(set(found.asked["batch_id"]))
    parts = [f"{len(found.asked):,} in {', '.join(out[:5])}{' and others' if len(out) > 5 else ''}"] if out else []
    if len(found.waiting):
        parts.append(f"{len(found.waiting):,} in no batch yet: dataops plan {spec.name} --kind screening")
    many = len(both) > 1
    sentence = f"{len(both):,} picture{'s wait' if many else ' waits'} for a person, {'; '.join(parts)}" + (
        f". {'The first of them is' if many else 'It is'} deleted undecided after {until}" if until else ""
    )
    drops = sorted(set(both["drop_id"]))
    return [{"kind": "people", "drops": drops, "pictures": len(both), "sentence": sentence, "batches": out, "until": until}]


def _named(drops: list[str]) -> str:
    more = len(drops) - 5
    return f"drop{'s' if len(drops) > 1 else ''} {', '.join(drops[:5])}" + (f" and {more} more" if more > 0 else "")


def _was(drops: list[str]) -> str:
    return "were" if len(drops) > 1 else "was"


def _their(drops: list[str]) -> str:
    return "their" if len(drops) > 1 else "its"
