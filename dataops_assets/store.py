"""The store: blobs, manifests as Delta tables, and the ledgers that say what is released.

A candidate is a version that exists; a released version is one that its gate passed or a person waived. Only released
versions can be loaded by what comes after.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from dataops_assets import atomic, manifest
from dataops_assets.apart import Apart
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS, LEDGERS
from dataops_assets.home import Home
from dataops_assets.ledger import Ledger
from dataops_assets.manifest import UNPARTITIONED, Inputs, Manifest

PLACE = ["project", "partition", "version"]
RELEASING = ("pass", "waived")
APPROVED, JUDGED = "approved_labels", "label_quality"


class NotReleased(LookupError):
    """What was asked for has not passed its gate."""


class Store:
    """All that lasts of one installation."""

    def __init__(self, home: Home, storage_options: dict[str, str] | None = None) -> None:
        self.home = home
        self.storage_options = storage_options
        self.blobs = Blobs(home.store_url, storage_options)
        ledgers = (Ledger(name, self._uri(name), storage_options) for name in LEDGERS)
        self.gates, self.costs, self.drops, self.withdrawals, self.gold = ledgers
        self._tables: dict[str, DeltaTable] = {}
        self._apart: dict[str, Apart] = {}

    def apart(self, project: str) -> Apart:
        """The pictures as those see them who may see personal data."""
        return self._apart.setdefault(project, Apart(self.blobs, project))  # one each: what is drawn of it is remembered

    # ---- candidates

    def write(self, candidate: Manifest) -> str:
        """Keep a candidate; the same version again is free. Returns its version."""
        if self._record(candidate.asset, candidate.project, candidate.partition, candidate.version) is not None:
            return candidate.version
        contract = CONTRACTS[candidate.asset]
        place = {"project": candidate.project, "partition": candidate.partition, "version": candidate.version}
        if len(candidate.frame):
            table = manifest.to_arrow(candidate.frame, contract)
            for name, value in place.items():
                table = table.append_column(name, pa.array([value] * len(table), pa.string()))
            self._overwrite(candidate.asset, table, place)
        record = {"rows": len(candidate.frame), "inputs": candidate.inputs, "columns": list(contract.columns)}
        self._put_json(self._record_path(candidate.asset, **place), record)
        return candidate.version

    def read(self, asset: str, project: str, partition: str, version: str) -> Manifest:
        """One version, released or not.

        Raises:
            LookupError: when there is no such version.
        """
        record = self._record(asset, project, partition, version)
        if record is None:
            raise LookupError(f"{asset} of {project}/{partition} has no version {version}")
        if not record["rows"]:
            return Manifest(asset, project, partition, manifest.empty(asset), record["inputs"], version=version)
        frame = manifest.from_arrow(self._rows(asset, project, {partition: version}), CONTRACTS[asset])
        return Manifest(asset, project, partition, frame, record["inputs"], version=version)

    def read_all(self, asset: str, project: str, versions: Mapping[str, str], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Rows of several partitions, each in the version named; all columns, or those named, of which the key must be part."""
        contract = CONTRACTS[asset]
        table = self._rows(asset, project, versions, columns) if versions else contract.schema.empty_table()
        return manifest.from_arrow(table, contract, is_unique=False, columns=columns)

    def _rows(self, asset: str, project: str, versions: Mapping[str, str], columns: Sequence[str] | None = None) -> pa.Table:
        """File by file: a scan of the table as a whole takes ten times as long for the many small files there are."""
        from pyarrow import parquet

        tables = []
        for uri in sorted(self.uris(asset, [(project, partition, version) for partition, version in versions.items()])):
            with self.blobs.fs.open(uri, "rb") as file:
                held = parquet.ParquetFile(file)
                tables.append(held.read(columns=[name for name in held.schema_arrow.names if columns is None or name in columns]))
        return pa.concat_tables(tables, promote_options="default") if tables else CONTRACTS[asset].schema.empty_table()

    def candidates(self, asset: str, project: str) -> dict[str, list[str]]:
        """partition -> the versions there are, released or not."""
        found: dict[str, list[str]] = {}
        root = f"{self.blobs.root}/records/{asset}/{project}"
        for path in sorted(self.blobs.fs.glob(f"{root}/*/*.json")):
            partition, name = str(path).rsplit("/", 2)[1:]
            found.setdefault(partition, []).append(name.removesuffix(".json"))
        return found

    def made_at(self, asset: str, project: str, partition: str, version: str) -> datetime:
        """When a version was first written."""
        at: datetime = self.blobs.fs.modified(self._record_path(asset, project, partition, version))
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)

    def only(self, asset: str, project: str, partition: str) -> Manifest:
        """The one version of a partition that never changes, such as a batch's plan.

        Raises:
            LookupError: when there is none.
        """
        versions = self.candidates(asset, project).get(partition)
        if not versions:
            raise LookupError(f"{asset} of {project} has no {partition}")
        return self.read(asset, project, partition, versions[0])

    def row_count(self, asset: str, project: str, partition: str, version: str) -> int:
        record = self._record(asset, project, partition, version)
        return int(record["rows"]) if record else 0

    def inputs(self, asset: str, project: str, partition: str, version: str) -> Inputs:
        """What a version was made from, without opening its data; empty when there is no such version."""
        record = self._record(asset, project, partition, version)
        return record["inputs"] if record else {}

    def files(self, asset: str, project: str, partition: str, version: str) -> dict[str, str]:
        """Data files of a version, by path below the table -> sha256 of their bytes."""
        if not self.row_count(asset, project, partition, version):
            return {}
        result = {}
        for uri in self.uris(asset, [(project, partition, version)]):
            with self.blobs.fs.open(uri, "rb") as file:
                result[uri.split(f"/tables/{asset}/", 1)[-1]] = hashlib.sha256(file.read()).hexdigest()
        return result

    def uris(self, asset: str, places: Iterable[tuple[str, str, str]] | None = None) -> list[str]:
        """Addresses of the Parquet files that hold the given (project, partition, version)s, or all."""
        try:
            table = self._open(asset)
        except TableNotFoundError:
            return []
        if places is None:
            return list(table.file_uris())
        wanted = {f"/project={project}/partition={partition}/version={version}/" for project, partition, version in places}
        return [uri for uri in table.file_uris() if _place_of(uri) in wanted]

    # ---- releases

    def releases(self, project: str | None = None, asset: str | None = None) -> pd.DataFrame:
        """The last released version of each partition: rows of the gates ledger, by project, asset, partition.

        An approval is bound to the labels that were approved: once other ones of its batch are released, it is void.
        """
        rows = self.gates.rows()
        rows = rows[rows["outcome"].isin(RELEASING)]
        if project is not None:
            rows = rows[rows["project"] == project]
        if asset is not None:
            rows = rows[rows["asset"].isin([asset, JUDGED] if asset == APPROVED else [asset])]
        rows = rows.drop_duplicates(["project", "asset", "partition"], keep="last")
        rows = rows[~_is_void(rows)]
        return rows[rows["asset"] == asset].reset_index(drop=True) if asset is not None else rows.reset_index(drop=True)

    def released(self, asset: str, project: str) -> dict[str, str]:
        """partition -> released version."""
        rows = self.releases(project, asset)
        return dict(zip(rows["partition"], rows["version"], strict=True))

    def load(self, asset: str, project: str, partition: str = UNPARTITIONED) -> Manifest:
        """The released version of one partition.

        Raises:
            NotReleased: with a sentence that says which gate said no, and what to do.
        """
        version = self.released(asset, project).get(partition)
        if version is None:
            raise NotReleased(self._why_not(asset, project, partition))
        return self.read(asset, project, partition, version)

    def load_all(self, asset: str, project: str, partitions: Iterable[str] | None = None) -> tuple[pd.DataFrame, Inputs]:
        """Rows of every released partition (or of those named that are), and which versions they came from."""
        held = self.released(asset, project)
        names = sorted(held if partitions is None else set(partitions) & held.keys())
        if not names:
            return manifest.empty(asset), {}
        versions = {name: held[name] for name in names}
        return self.read_all(asset, project, versions), {asset: versions}

    def withdrawn(self, project: str) -> tuple[set[str], set[str]]:
        """(drop ids, image ids) that were withdrawn."""
        rows = self.withdrawals.rows()
        rows = rows[rows["project"] == project]
        return set(rows["drop_id"].dropna()), set(rows["image_id"].dropna())

    def replaced_by(self, project: str, drop_id: str) -> list[str]:
        """Drops that a drop takes the place of, the last one first: earlier deliveries under its name."""
        rows = self.drops.rows()
        rows = rows[(rows["project"] == project) & rows["supersedes"].notna()]
        before = dict(zip(rows["drop_id"], rows["supersedes"], strict=True))
        found: list[str] = []
        while drop_id in before and before[drop_id] not in found:
            drop_id = before[drop_id]
            found.append(drop_id)
        return found

    def superseded(self, project: str) -> set[str]:
        """Drops out of use because what was delivered in their place is released as far as `augmented_set`."""
        rows = self.drops.rows()
        rows = rows[(rows["project"] == project) & rows["supersedes"].notna()]
        released = self.released("augmented_set", project) if len(rows) else {}
        return {old for new in set(rows["drop_id"]) & released.keys() for old in self.replaced_by(project, new)}

    def spent(self, project: str) -> float:
        """All costs of a project so far, committed ones included."""
        rows = self.costs.rows()
        return float(rows.loc[rows["project"] == project, "amount"].sum())

    def charge(self, project: str, kind: str, vendor: str, ref: str, quantity: float, amount: float, currency: str) -> None:
        """Enter a cost once: the same (project, kind, ref) again changes nothing."""
        row = {
            "project": project, "kind": kind, "vendor": vendor, "ref": ref, "quantity": float(quantity),
            "amount": round(float(amount), 6), "currency": currency, "at": now(),
        }  # fmt: skip

        def build(rows: pd.DataFrame) -> list[dict[str, Any]]:
            same = (rows["project"] == project) & (rows["kind"] == kind) & (rows["ref"] == ref)
            return [] if same.any() else [row]

        self.costs.append(build)

    # ---- pins: facts fixed at first sight, so that doing a thing again gives the same answer

    def pin(self, kind: str, project: str, name: str, value: Any) -> None:
        """Keep a value under a name; a second pin of that name changes nothing."""
        self._put_json(f"{self.blobs.root}/pins/{kind}/{project}/{name}.json", value)

    def pins(self, kind: str, project: str, start: str = "") -> dict[str, Any]:
        """All pinned values of a kind, by name; of names with that start."""
        paths = sorted(self.blobs.fs.glob(f"{self.blobs.root}/pins/{kind}/{project}/{start}*.json"))
        return {str(path).rsplit("/", 1)[1].removesuffix(".json"): json.loads(self.blobs.fs.cat_file(path)) for path in paths}

    # ---- documents (suites, records): small immutable JSON files

    def put_document(self, kind: str, document: Any) -> str:
        """Keep a JSON document under the digest of its canonical text; returns the digest."""
        text = json.dumps(document, sort_keys=True, ensure_ascii=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._put_json(f"{self.blobs.root}/{kind}/{name}.json", document)
        return name

    def get_document(self, kind: str, name: str) -> Any:
        return json.loads(self.blobs.fs.cat_file(f"{self.blobs.root}/{kind}/{name}.json"))

    # ---- inside

    def _uri(self, table: str) -> str:
        return f"{self.home.store_url.rstrip('/')}/tables/{table}"

    def _open(self, asset: str) -> DeltaTable:
        held = self._tables.get(asset)
        if held is None:
            held = self._tables[asset] = DeltaTable(self._uri(asset), storage_options=self.storage_options)
        else:
            held.update_incremental()
        return held

    def _overwrite(self, asset: str, table: pa.Table, place: Mapping[str, str]) -> None:
        predicate = " AND ".join(f"{name} = '{value}'" for name, value in place.items())
        uri, options = self._uri(asset), self.storage_options
        for attempt in range(20):
            try:
                if DeltaTable.is_deltatable(uri, storage_options=options):
                    retries = CommitProperties(max_commit_retries=20)
                    write_deltalake(
                        uri,
                        table,
                        mode="overwrite",
                        schema_mode="merge",
                        predicate=predicate,
                        storage_options=options,
                        commit_properties=retries,
                    )
                else:
                    write_deltalake(
                        uri,
                        table,
                        mode="error",
                        partition_by=PLACE,
                        storage_options=options,
                        configuration={"delta.checkpointInterval": "50", "delta.logRetentionDuration": "interval 7 days"},
                        # tried again, a table that another process made meanwhile would be added to, rows of this version twice
                        commit_properties=CommitProperties(max_commit_retries=0),
                    )
                return
            except (CommitFailedError, DeltaError):
                if attempt == 19:
                    raise
                time.sleep(random.uniform(0.01, 0.2))

    def _record_path(self, asset: str, project: str, partition: str, version: str) -> str:
        return f"{self.blobs.root}/records/{asset}/{project}/{partition}/{version}.json"

    def _record(self, asset: str, project: str, partition: str, version: str) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads(self.blobs.fs.cat_file(self._record_path(asset, project, partition, version)))
        except FileNotFoundError:
            return None
        return record

    def _put_json(self, path: str, document: Any) -> None:
        if self.blobs.fs.exists(path):
            return
        data = json.dumps(document, sort_keys=True).encode()
        if self.blobs.is_local:
            atomic.write(path, data, self.blobs.tmp, is_first=True)
        else:
            self.blobs.fs.pipe_file(path, data)

    def _why_not(self, asset: str, project: str, partition: str) -> str:
        what = f"{asset} of {project}" + ("" if partition == UNPARTITIONED else f"/{partition}")
        rows = self.gates.rows()
        rows = rows[(rows["project"] == project) & (rows["asset"] == asset) & (rows["partition"] == partition)]
        if rows.empty:
            return f"{what} is not released: it has not been through its gate. Materialize it first."
        last = rows.iloc[-1]
        if last["outcome"] == "error":
            return f"{what} is not released: its gate could not run on version {last['version']}: {last['reason']}"
        return (
            f"{what} is not released: its gate failed on version {last['version']}: {last['failed']} ({last['failed_rows']} rows). "
            f"Correct the data or the threshold and run it again, or waive it: "
            f"dataops waive {project} {asset} {partition} --reason ... --by ... --until ..."
        )


def now() -> datetime:
    return datetime.now(UTC)


def _place_of(uri: str) -> str:
    start = uri.find("/project=")
    return uri[start : uri.rfind("/") + 1]


def _is_void(releases: pd.DataFrame) -> pd.Series:
    """Which of the last releases are approvals of labels that aren't the last released ones of their batch any more."""
    judged = releases[releases["asset"] == JUDGED]
    now = dict(zip(zip(judged["project"], judged["partition"], strict=True), judged["version"], strict=True))
    approvals = releases[releases["asset"] == APPROVED]
    void = []
    for row in manifest.records(approvals[["project", "partition", "inputs"]]):
        approved = json.loads(row["inputs"] or "{}").get(JUDGED, {}).get(row["partition"])
        void.append(approved is not None and now.get((row["project"], row["partition"]), approved) != approved)
    return pd.Series(void, index=approvals.index, dtype=bool).reindex(releases.index, fill_value=False)
