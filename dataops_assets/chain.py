"""The chain of versions behind a version, and the rows and gates of each link."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS, LEDGERS
from dataops_assets.store import RELEASING, Store

Versions = dict[tuple[str, str], str]  # (asset, partition) -> version
Row = dict[str, Any]


def closure(store: Store, asset: str, project: str, partition: str, version: str) -> Versions:
    """Every version that one was made from, directly or not; of two versions of one partition, the nearer one."""
    versions: Versions = {}
    queue = [(asset, partition, version)]
    while queue:
        one, place, number = queue.pop(0)
        if (one, place) in versions or one not in CONTRACTS or one in LEDGERS:
            continue
        versions[(one, place)] = number
        for name, parts in sorted(store.inputs(one, project, place, number).items()):
            queue += [(name, part, held) for part, held in sorted(parts.items())]
    return versions


def frames(store: Store, project: str, stage: str, partitions: Iterable[str], versions: Versions) -> pd.DataFrame:
    """Rows of a stage's partitions: of the versions given, else the released ones, else none."""
    released = store.released(stage, project)
    found = [manifest.empty(stage)]
    for partition in partitions:
        version = versions.get((stage, partition)) or released.get(partition)
        try:
            if version is not None:
                found.append(store.read(stage, project, partition, version).frame)
        except LookupError:
            continue
    held = [frame for frame in found if len(frame)]
    return pd.concat(held, ignore_index=True) if held else found[0]


def stored(store: Store, asset: str, project: str) -> pd.DataFrame:
    """Every version of a table, released or not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    contract = CONTRACTS[asset]
    tables = []
    for uri in store.uris(asset):
        if f"/project={project}/" in uri:
            with store.blobs.fs.open(uri, "rb") as file:
                tables.append(pq.read_table(file))
    if not tables:
        return manifest.empty(asset)
    table = pa.concat_tables([table.select([name for name in contract.columns if name in table.column_names]) for table in tables])
    frame: pd.DataFrame = table.to_pandas().drop_duplicates(ignore_index=True).reindex(columns=list(contract.columns))
    return frame


def gate_rows(store: Store, project: str) -> dict[tuple[str, str, str], Row]:
    """(asset, partition, version) -> the ledger row that released it last."""
    rows = store.gates.rows()
    rows = rows[(rows["project"] == project) & rows["outcome"].isin(RELEASING)]
    rows = rows.drop_duplicates(["asset", "partition", "version"], keep="last")
    kept = [
        "outcome",
        "asset",
        "partition",
        "version",
        "suite_digest",
        "seq",
        "by",
        "at",
        "reason",
        "until",
        "failed",
        "failed_rows",
        "row_hash",
    ]
    return {(row["asset"], row["partition"], row["version"]): row for row in plain(rows[kept])}


def plain(frame: pd.DataFrame) -> list[Row]:
    """Rows as JSON's own types: None for null, ISO text for times."""
    records = frame.astype("object").where(frame.notna(), None).to_dict("records")
    return [{str(key): value.isoformat() if isinstance(value, pd.Timestamp) else value for key, value in row.items()} for row in records]
