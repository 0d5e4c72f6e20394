"""How partitions' gates ended: whether there is anything left to do for them."""

from __future__ import annotations

from collections.abc import Mapping

from dataops_assets.manifest import records
from dataops_assets.store import Store

DROP_CHAIN = ("raw_images", "cleaned_set", "augmented_set")


def last_outcomes(
    store: Store, project: str, assets: tuple[str, ...], since: Mapping[str, float] | None = None
) -> dict[tuple[str, str], str]:
    """(asset, partition) -> outcome of its newest gate. A partition's noes from before a time in `since` don't count."""
    rows = store.gates.rows()
    rows = rows[(rows["project"] == project) & rows["asset"].isin(assets)]
    found = dict(zip(zip(rows["asset"], rows["partition"], strict=True), rows["outcome"], strict=True))
    if since:
        newest = rows[rows["partition"].isin(since.keys())].drop_duplicates(["asset", "partition"], keep="last")
        for row in records(newest[["asset", "partition", "outcome", "at"]]):
            if row["outcome"] == "fail" and row["at"].timestamp() < since[row["partition"]]:
                found[row["asset"], row["partition"]] = "error"
    return found


def noes(store: Store, project: str, asset: str) -> dict[str, list[float]]:
    """Partition -> when the gate of an asset said no, UNIX seconds."""
    rows = store.gates.rows()
    rows = rows[(rows["project"] == project) & (rows["asset"] == asset) & (rows["outcome"] == "fail")]
    return {str(partition): [at.timestamp() for at in told] for partition, told in rows.groupby("partition")["at"]}


def is_concluded(outcomes: Mapping[tuple[str, str], str], chain: tuple[str, ...], partition: str) -> bool:
    """Whether a partition is through its chain: all gates passed, or one said no. An error is neither."""
    for asset in chain:
        outcome = outcomes.get((asset, partition))
        if outcome == "fail":
            return True
        if outcome not in ("pass", "waived"):
            return False
    return True
