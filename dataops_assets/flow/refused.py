"""Pictures that people refused for what they show of people: what shows the same goes with them, whichever drop it came with."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from dataops_assets.contracts import DECIDED
from dataops_assets.flow.shared import verdicts
from dataops_assets.manifest import empty
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.copies import NEAR_REFUSED, NOT_DRAWN, REFUSED, follow_refused, is_refused
from dataops_assets.store import Store

COLUMNS = ("drop_id", *REFUSED, "status", "reason", "duplicate_of", *DECIDED)


def of_others(store: Store, spec: ProjectSpec, drop_id: str) -> pd.DataFrame:
    """Those of other drops: columns `copies.REFUSED`."""
    versions = {drop: version for drop, version in _last(store, spec.name).items() if drop != drop_id}
    return _refused(store, spec.name, versions).sort_values("image_id", ignore_index=True)


def near(store: Store, spec: ProjectSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Column image_id: kept pictures of a drop that show the same as a refused one, of this drop or another, and nobody decided about them.

    Screening leaves none; the gate asks all the same.
    """
    if frame.empty:
        return frame[["image_id"]]
    rows = frame.reset_index(drop=True)
    refused = of_others(store, spec, str(rows["drop_id"].iloc[0]))
    kept = rows[rows["status"] == "kept"].copy()
    follow_refused(kept, pd.concat([refused, rows.loc[is_refused(rows), REFUSED]]), spec.cleaning)
    return kept.loc[kept["reason"] == NEAR_REFUSED, ["image_id"]]


def still_kept(store: Store, spec: ProjectSpec) -> dict[str, list[str]]:
    """Drop -> refused pictures of which it keeps a copy that no person has decided about: it was screened before they were refused."""
    versions = _last(store, spec.name)
    refused = _refused(store, spec.name, versions)
    if refused.empty:
        return {}
    gone = store.withdrawn(spec.name)[0] | store.superseded(spec.name)
    rows = store.read_all("cleaned_set", spec.name, {drop: version for drop, version in versions.items() if drop not in gone}, COLUMNS)
    kept = rows[rows["status"] == "kept"].reset_index(drop=True)
    follow_refused(kept, refused, spec.cleaning)
    found = kept[kept["reason"] == NEAR_REFUSED]
    return {str(drop): sorted(set(mine["duplicate_of"])) for drop, mine in found.groupby("drop_id")}


def not_drawn(store: Store, project: str) -> set[str]:
    """Pictures, by image_id, that are shown nowhere: in them or in what shows the same a person saw what can't be covered."""
    rows = store.read_all("cleaned_set", project, _last(store, project), ("image_id", "drop_id", "reason"))
    return set(rows.loc[rows["reason"].isin(NOT_DRAWN), "image_id"])


def unseen(store: Store, spec: ProjectSpec, drop_id: str, gone: Collection[str], decided: pd.DataFrame | None) -> pd.DataFrame:
    """`cleaned_set` rows of a drop's pictures that people refused and that nobody can look at again.

    They are taken from the last version that did look at them, whatever the gate said of it.

    Args:
        store: The store.
        spec: The project.
        drop_id: Which drop.
        gone: Its pictures that nobody can look at again, by image_id.
        decided: What people have decided about its pictures.
    """
    from dataops_assets.stages.decided import refused_unseen

    gates = verdicts(store, spec.name, "cleaned_set")
    versions = gates.loc[gates["partition"] == drop_id, "version"].drop_duplicates(keep="last")
    found, open_ = list[pd.DataFrame](), set(gone)
    for version in versions[::-1]:
        if not open_:
            break
        rows = store.read_all("cleaned_set", spec.name, {drop_id: version})
        rows = rows[rows["image_id"].isin(open_) & (rows["reason"] != "PURGED")]
        found += [rows] if len(rows) else []
        open_ -= set(rows["image_id"])
    seen = pd.concat(found, ignore_index=True) if found else empty("cleaned_set")
    return refused_unseen(seen, decided, spec.cleaning.personal_data.actions)


def _last(store: Store, project: str) -> dict[str, str]:
    """Drop -> the version that was judged last, whatever the gate said: what a person saw doesn't depend on it.

    None where people have approved nothing.
    """
    if not store.released("approved_labels", project):
        return {}
    gates = verdicts(store, project, "cleaned_set").drop_duplicates("partition", keep="last")
    return dict(zip(gates["partition"], gates["version"], strict=True))


def _refused(store: Store, project: str, versions: Mapping[str, str]) -> pd.DataFrame:
    """Pictures that people refused for what they show of people: columns `copies.REFUSED`. Most drops have none: of them little is read."""
    rows = store.read_all("cleaned_set", project, versions, ("image_id", "drop_id", "status", "reason", "decided_by"))
    rows = rows[rows["status"] == "rejected"]
    found = rows.loc[is_refused(rows), ["drop_id", "image_id"]]
    drops = {str(drop): versions[str(drop)] for drop in found["drop_id"].unique()}
    looks = store.read_all("cleaned_set", project, drops, ("drop_id", *REFUSED))
    return looks.merge(found, on=["drop_id", "image_id"])[REFUSED]
