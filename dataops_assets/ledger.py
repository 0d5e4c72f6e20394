"""Append-only, hash-chained ledgers on Delta tables: gates, costs, drops, withdrawals, gold.

Each row names its predecessor's hash, so a row that was changed, dropped or slipped in breaks the chain. An append
goes through the handle that was read and fails if anybody committed in between; then it reads again and retries, so
several processes never fork the chain.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS

Row = Mapping[str, Any]
GENESIS = "0" * 64
RETRIES = 200
ADDED = {
    "listing",
    "detail",
    "asked_by",
    "asked_why",
}  # columns that came later: where null they don't enter the hash, so that older rows keep theirs
COMPACT_EVERY = 25  # one file a commit: merged now and then, or reading slows down


class LedgerError(RuntimeError):
    """A ledger's chain is broken, or an append found no gap between other writers."""


class Ledger:
    """One ledger. Rows are dicts of the contract's columns, without `seq`, `prev_hash`, `row_hash`."""

    def __init__(self, name: str, uri: str, storage_options: dict[str, str] | None = None) -> None:
        self.contract = CONTRACTS[name]
        self.uri = uri
        self.storage_options = storage_options
        self._table: DeltaTable | None = None
        self._cached: tuple[int, pd.DataFrame] | None = None

    def rows(self) -> pd.DataFrame:
        """All rows in the order of their sequence numbers. Treat it as read-only: it is cached."""
        return self._read(self._open())

    def append(self, build: Callable[[pd.DataFrame], Sequence[Row]]) -> list[dict[str, Any]]:
        """Add the rows that `build` makes of the rows so far; none is fine. Returns them as written.

        `build` is called again when another process was faster, so "only if it isn't there yet" holds.
        """
        for attempt in range(RETRIES):
            table = self._open()
            frame = self._read(table)
            rows = self._chain(frame, build(frame))
            version = None if table is None else table.version()
            if not rows:
                return []
            added = manifest.conform(pd.DataFrame(rows), self.contract)
            data = manifest.to_arrow(added, self.contract)
            try:
                write_deltalake(
                    table if table is not None else self.uri,
                    data,
                    mode="append" if table is not None else "error",
                    schema_mode="merge" if table is not None else None,  # rows from before a column was added stay as they are
                    storage_options=self.storage_options,
                    commit_properties=CommitProperties(max_commit_retries=0),
                    configuration=None if table is not None else {"delta.checkpointInterval": "50"},
                )
            except (CommitFailedError, DeltaError):
                self._table = None
                if attempt == RETRIES - 1:
                    raise
                time.sleep(random.uniform(0.002, 0.05))
                continue
            self._table = None
            if version is not None:  # nobody committed in between: what is there now is known
                self._cached = version + 1, pd.concat([frame, added], ignore_index=True) if len(frame) else added
            if rows[-1]["seq"] % COMPACT_EVERY < len(rows):
                self._compact()
            return rows
        raise LedgerError(f"{self.contract.name}: no gap between other writers after {RETRIES} tries")

    def verify(self) -> list[str]:
        """Sentences about every broken link; empty when the chain holds."""
        frame = self.rows()
        problems, previous = [], GENESIS
        for expected, row in enumerate(_plain(frame), start=1):
            if row["seq"] != expected:
                problems.append(f"{self.contract.name}: expected row {expected}, found {row['seq']}")
                break
            if row["prev_hash"] != previous:
                problems.append(f"{self.contract.name}: row {expected} doesn't follow the row before it")
            if row["row_hash"] != _hash(row):
                problems.append(f"{self.contract.name}: row {expected} was changed after it was written")
            previous = row["row_hash"]
        return problems

    def _chain(self, frame: pd.DataFrame, rows: Sequence[Row]) -> list[dict[str, Any]]:
        sequence = int(frame["seq"].iloc[-1]) if len(frame) else 0
        previous = str(frame["row_hash"].iloc[-1]) if len(frame) else GENESIS
        full = []
        for number, row in enumerate(rows, start=sequence + 1):
            unknown = row.keys() - self.contract.columns.keys()
            if unknown:
                raise manifest.ContractError(f"{self.contract.name}: unknown columns {sorted(unknown)}")
            full.append({name: row.get(name) for name in self.contract.columns} | {"seq": number, "prev_hash": "", "row_hash": ""})
        # through the table's types, so that what is hashed is what a reader finds
        whole = _plain(manifest.conform(pd.DataFrame(full), self.contract)) if full else []
        for row, plain in zip(full, whole, strict=True):
            plain["prev_hash"] = row["prev_hash"] = previous
            row["row_hash"] = previous = _hash(plain)
        return full

    def _open(self) -> DeltaTable | None:
        try:
            if self._table is None:
                self._table = DeltaTable(self.uri, storage_options=self.storage_options)
            else:
                self._table.update_incremental()
        except TableNotFoundError:
            self._table = None
        return self._table

    def _read(self, table: DeltaTable | None) -> pd.DataFrame:
        if table is None:
            return manifest.empty(self.contract.name)
        version = table.version()
        if self._cached is None or self._cached[0] != version:
            self._cached = version, manifest.from_arrow(pa.table(table.to_pyarrow_table()), self.contract)
        return self._cached[1]

    def _compact(self) -> None:
        try:
            DeltaTable(self.uri, storage_options=self.storage_options).optimize.compact()
        except (CommitFailedError, DeltaError):
            pass  # a writer came in between; the next round compacts


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON can carry them: ISO text for times."""
    return [
        {key: value.isoformat() if isinstance(value, pd.Timestamp) else value for key, value in row.items()}
        for row in manifest.records(frame)
    ]


def _hash(row: Row) -> str:
    content = {key: value for key, value in row.items() if key != "row_hash" and not (key in ADDED and value is None)}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
