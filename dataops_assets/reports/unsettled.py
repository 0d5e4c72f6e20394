"""What of the screening isn't settled: what stands against today's policy, what people are to look at."""

from __future__ import annotations

from typing import Any

from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store


def of(store: Store, spec: ProjectSpec) -> list[dict[str, Any]]:
    """Each with what there is of it (`kind, drops, pictures`) and the `sentence` that tells it."""
    return _by_policy(store, spec)


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


def _named(drops: list[str]) -> str:
    more = len(drops) - 5
    return f"drop{'s' if len(drops) > 1 else ''} {', '.join(drops[:5])}" + (f" and {more} more" if more > 0 else "")


def _was(drops: list[str]) -> str:
    return "were" if len(drops) > 1 else "was"


def _their(drops: list[str]) -> str:
    return "their" if len(drops) > 1 else "its"
