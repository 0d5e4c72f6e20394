"""Manifests: the tables that assets pass on, their contracts and their versions.

A contract fixes a table's columns, types and key. A version is the digest of the canonically sorted rows and of
the versions of the inputs they were made from, so the same input and spec give the same version everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Type = Literal["string", "int64", "float64", "bool", "timestamp"]
Inputs = Mapping[str, Mapping[str, str]]  # asset -> partition -> version

ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
PANDAS: dict[str, str] = {
    "string": "object",
    "int64": "Int64",
    "float64": "float64",
    "bool": "boolean",
    "timestamp": "datetime64[us, UTC]",
}
UNPARTITIONED = "-"


class ContractError(ValueError):
    """A frame doesn't fit its table's contract: a bug in the stage that made it, never the vendor's fault."""


@dataclass(frozen=True)
class Contract:
    """Columns and key of one table.

    Attributes:
        name: The asset's or ledger's name.
        columns: Column -> type, in the order shown. `project`, `partition` and `version` are added by the store.
        key: Columns that name a row within a partition; none null, together unique. Rows are sorted by them.
        volatile: Columns that don't enter the version: run ids, receipt times.
    """

    name: str
    columns: Mapping[str, Type]
    key: tuple[str, ...]
    volatile: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(name, ARROW[kind]) for name, kind in self.columns.items()])


@dataclass(frozen=True)
class Manifest:
    """One version of one partition of one asset.

    Attributes:
        frame: The rows, conformed to the asset's contract.
        inputs: What they were made from: asset -> partition -> version.
        facts: Measures of the making (counts, shares, seconds) to show beside the table; not part of the version.
        version: Digest of rows and inputs.
    """

    asset: str
    project: str
    partition: str
    frame: pd.DataFrame
    inputs: Inputs = field(default_factory=dict)
    facts: Mapping[str, float | int | str] = field(default_factory=dict)
    version: str = ""

    def __post_init__(self) -> None:
        contract = CONTRACTS[self.asset]
        object.__setattr__(self, "frame", conform(self.frame, contract))
        object.__setattr__(self, "version", self.version or digest(self.frame, contract, self.inputs))

    @property
    def input(self) -> Inputs:
        """How a downstream manifest names this one among its inputs."""
        return {self.asset: {self.partition: self.version}}


def conform(frame: pd.DataFrame, contract: Contract, is_unique: bool = True) -> pd.DataFrame:
    """Columns in the contract's order and types, rows sorted by its key.

    A column the stage left out that is not part of the key becomes null. `is_unique=False` is for rows of several
    partitions, in which a key may come again.

    Raises:
        ContractError: on an unknown column, a null or repeated key, or a value that doesn't fit its type.
    """
    unknown = [column for column in frame.columns if column not in contract.columns]
    if unknown:
        raise ContractError(f"{contract.name}: unknown columns {unknown}; the contract is in manifest.py")
    columns = {}
    for name, kind in contract.columns.items():
        column = frame[name] if name in frame.columns else pd.Series([None] * len(frame), index=frame.index, dtype="object")
        try:
            columns[name] = _cast(column, kind)
        except (TypeError, ValueError) as error:
            raise ContractError(f"{contract.name}.{name} is not {kind}: {error}") from error
    result = pd.DataFrame(columns, index=frame.index)
    keys = result[list(contract.key)]
    if keys.isna().any(axis=None):
        raise ContractError(f"{contract.name}: key {contract.key} has nulls in {int(keys.isna().any(axis=1).sum())} rows")
    repeated = keys.duplicated()
    if is_unique and repeated.any():
        raise ContractError(f"{contract.name}: key {contract.key} repeats, first {keys[repeated].iloc[0].to_dict()}")
    return result.sort_values(list(contract.key), kind="stable", ignore_index=True)


def _cast(column: pd.Series, kind: Type) -> pd.Series:
    if kind == "string":
        text = column.astype("object")
        text = text.where(text.notna(), None)
        wrong = next((value for value in text if value is not None and not isinstance(value, str)), None)
        if wrong is not None:
            raise TypeError(f"{wrong!r} is {type(wrong).__name__}")
        return text
    if kind == "timestamp":
        return pd.to_datetime(column, utc=True).astype(PANDAS[kind])  # type: ignore[call-overload,no-any-return]
    return column.astype(PANDAS[kind])  # type: ignore[call-overload,no-any-return]


def empty(name: str) -> pd.DataFrame:
    """A frame without rows, with the columns and types of a table."""
    return conform(pd.DataFrame(), CONTRACTS[name])


def to_arrow(frame: pd.DataFrame, contract: Contract) -> pa.Table:
    return pa.Table.from_pandas(frame, schema=contract.schema, preserve_index=False)


def from_arrow(table: pa.Table, contract: Contract, is_unique: bool = True) -> pd.DataFrame:
    """The inverse of `to_arrow`; columns that an older version lacks become null."""
    held = [name for name in contract.columns if name in table.column_names]
    mapper = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame = table.select(held).to_pandas(types_mapper=mapper.get)
    return conform(frame, contract, is_unique)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain dicts, with None for null."""
    rows = frame.astype("object").where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def digest(frame: pd.DataFrame, contract: Contract, inputs: Inputs) -> str:
    """16 hex digits over a conformed frame's lasting columns and its inputs; floats count to 6 decimals."""
    sha = hashlib.sha256(json.dumps({"inputs": inputs, "rows": len(frame)}, sort_keys=True).encode())
    table = to_arrow(frame, contract)
    for name, kind in contract.columns.items():
        if name in contract.volatile:
            continue
        column = table.column(name)
        array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        valid = np.asarray(pc.is_valid(array))
        sha.update(f"\0{name}:{kind}\0".encode())
        sha.update(np.packbits(valid).tobytes())
        if kind == "string":
            values = ["" if value is None else value for value in array.to_pylist()]
            encoded = [value.encode("utf-8", "surrogatepass") for value in values]
            sha.update(np.fromiter(map(len, encoded), dtype="<i8", count=len(encoded)).tobytes())
            sha.update(b"".join(encoded))
        elif kind == "float64":
            numbers = np.asarray(pc.fill_null(array, 0.0), dtype="<f8")
            sha.update((np.round(numbers, 6) + 0.0).tobytes())
        elif kind == "bool":
            sha.update(np.packbits(np.asarray(pc.fill_null(array, False))).tobytes())
        else:
            sha.update(np.asarray(pc.fill_null(array.cast(pa.int64()), 0), dtype="<i8").tobytes())
    return sha.hexdigest()[:16]


ISSUES = ("dark", "light", "blurry", "low_information", "odd_size", "odd_aspect_ratio", "grayscale")
_BOX: dict[str, Type] = {"object_id": "string", "x": "float64", "y": "float64", "w": "float64", "h": "float64"}
_CHAIN: dict[str, Type] = {"seq": "int64", "prev_hash": "string", "row_hash": "string"}

_CONTRACTS = (
    Contract(
        "brief",
        {"check": "string", "value": "float64", "limit": "float64", "unit": "string", "is_met": "bool", "sentence": "string"},
        ("check",),
    ),
    Contract(
        "guidelines",
        {
            "attribute": "string",
            "value": "string",
            "kind": "string",
            "question": "string",
            "definition": "string",
            "ontology_version": "string",
            "document_sha256": "string",
        },
        ("attribute", "value"),
    ),
    Contract(
        "raw_images",
        {
            "image_id": "string",  # sha256 of the bytes as delivered; null where they were never read
            "drop_id": "string",
            "vendor": "string",
            "path": "string",
            "sha256": "string",
            "size_bytes": "int64",
            "format": "string",
            "width_px": "int64",
            "height_px": "int64",
            "category": "string",
            "license": "string",
            "consent": "string",
            "captured_at": "string",  # the vendor's word, as given
            "price": "float64",
            "group_id": "string",
            "status": "string",  # accepted, duplicate, ignored, quarantined, held
            "reason": "string",
            "warnings": "string",
        },
        ("drop_id", "path"),
    ),
    Contract(
        "cleaned_set",
        {
            "image_id": "string",
            "drop_id": "string",
            "vendor": "string",
            "path": "string",
            "status": "string",  # kept, rejected, review
            "reason": "string",  # issue names joined by |, or exact_duplicate, near_duplicate, a decoding reason code
            "duplicate_of": "string",
            "near_duplicate_group": "string",
            "phash": "string",  # 16 hex digits
            "colour_grid": "string",  # 64 hex digits: a*, b* of 4 x 4 cells
            "faces": "int64",
            "text_regions": "int64",
            "width_px": "int64",
            "height_px": "int64",
            "clean_sha256": "string",
            "category": "string",
            "group_id": "string",
            "decided_by": "string",
            **{f"{issue}_score": "float64" for issue in ISSUES},
            **{f"is_{issue}": "bool" for issue in ISSUES},
        },
        ("image_id",),
    ),
    Contract(
        "augmented_set",
        {
            "image_id": "string",
            "source_image_id": "string",
            "kind": "string",  # source, variant
            "recipe": "string",
            "copy": "int64",
            "seed": "int64",
            "sha256": "string",  # the picture to use: the cleaned one, or the variant
            "width_px": "int64",
            "height_px": "int64",
            "breaks": "string",  # attributes not inherited, joined by |
            "drop_id": "string",
            "vendor": "string",
            "category": "string",
            "group_id": "string",
            "near_duplicate_group": "string",
        },
        ("image_id",),
    ),
    Contract(
        "batch_plans",
        {
            "batch_id": "string",
            "kind": "string",
            "image_id": "string",
            "sha256": "string",
            "is_gold": "bool",
            "vendor": "string",
            "overlap": "int64",
            "attributes": "string",  # joined by |
            "round": "int64",
            "parent_batch_id": "string",
            "amount": "float64",
            "currency": "string",
        },
        ("batch_id", "image_id"),
    ),
    Contract(
        "label_tasks",
        {
            "batch_id": "string",
            "kind": "string",
            "task_id": "string",
            "image_id": "string",
            "sha256": "string",
            "file": "string",
            "is_gold": "bool",
            "vendor": "string",
            "overlap": "int64",
            "attributes": "string",
            "round": "int64",
            "parent_batch_id": "string",
            "width_px": "int64",
            "height_px": "int64",
            "ontology_version": "string",
        },
        ("batch_id", "task_id"),
    ),
    Contract(
        "labeled_batches",
        {
            "batch_id": "string",
            "row_id": "string",  # <first 12 of the file's sha256>:<row, from 1>:<part>
            "file": "string",
            "file_sha256": "string",
            "item_id": "string",  # as returned
            "task_id": "string",
            "image_id": "string",
            "attribute": "string",
            "worker_id": "string",
            "vendor": "string",
            "label": "string",
            **_BOX,
            "submitted_at": "timestamp",
            "seconds": "float64",
            "ontology_version": "string",
            "status": "string",  # accepted, rejected
            "reason": "string",
        },
        ("batch_id", "row_id"),
    ),
    Contract(
        "label_quality",
        {
            "batch_id": "string",
            "kind": "string",
            "task_id": "string",
            "image_id": "string",
            "attribute": "string",
            **_BOX,
            "label": "string",
            "posterior": "float64",  # the winner's share of the answers
            "n_labels": "int64",
            "n_wanted": "int64",
            "agreement": "float64",  # share of agreeing pairs of answers
            "is_gold": "bool",
            "gold_label": "string",
            "gold_correct": "int64",  # answers equal to gold
            "gold_accuracy": "float64",  # of the attribute in this batch
            "gold_lower": "float64",  # its Wilson bounds, 95 %
            "gold_upper": "float64",
            "vendor": "string",
            "round": "int64",
            "decision": "string",  # accept, rework, adjudicate
            "reason": "string",
        },
        ("batch_id", "task_id", "attribute", "object_id"),
    ),
    Contract(
        "vendor_feedback",
        {
            "batch_id": "string",
            "vendor": "string",
            "worker_id": "string",
            "attribute": "string",
            "n_labels": "int64",
            "agreement": "float64",  # share of answers equal to the batch's winner
            "n_gold": "int64",
            "gold_correct": "int64",
            "gold_accuracy": "float64",
            "gold_lower": "float64",
            "gold_upper": "float64",
            "median_seconds": "float64",
            "confused": "string",  # most frequent mistakes, "true>given xN", joined by |
            "advice": "string",
        },
        ("batch_id", "vendor", "worker_id", "attribute"),
    ),
    Contract(
        "approved_labels",
        {
            "image_id": "string",
            "attribute": "string",
            **_BOX,
            "label": "string",
            "posterior": "float64",
            "n_labels": "int64",
            "batch_id": "string",
            "kind": "string",
            "task_id": "string",
            "decided_by": "string",  # majority_vote, adjudication
            "approved_by": "string",
            "ontology_version": "string",
        },
        ("image_id", "attribute", "object_id"),
    ),
    Contract(
        "training_export",
        {
            "release": "string",
            "image_id": "string",
            "source_image_id": "string",
            "kind": "string",
            "split": "string",
            "labels": "string",  # JSON: attribute -> value, list of values, or list of boxes
            "file": "string",
            "sha256": "string",
            "width_px": "int64",
            "height_px": "int64",
            "split_group": "string",
            "drop_id": "string",
            "vendor": "string",
            "batch_ids": "string",
            "ontology_version": "string",
        },
        ("release", "image_id"),
    ),
    Contract(
        "model_feedback",
        {
            "release": "string",
            "model": "string",
            "image_id": "string",
            "attribute": "string",
            "split": "string",
            "label": "string",
            "predicted": "string",
            "confidence": "float64",
            "is_correct": "bool",
            "status": "string",
            "reason": "string",
            "row_id": "string",
        },
        ("release", "row_id"),
    ),
    Contract(
        "investigation",
        {
            "release": "string",
            "attribute": "string",
            "label": "string",
            "n_predictions": "int64",
            "n_wrong": "int64",
            "error_rate": "float64",
            "most_predicted": "string",
            "n_train": "int64",
            "mean_posterior": "float64",
            "cause": "string",
            "evidence": "string",
        },
        ("release", "attribute", "label"),
    ),
    Contract(
        "vendor_scorecard",
        {
            "vendor": "string",
            "role": "string",  # images, labels
            "delivered": "int64",
            "accepted": "int64",
            "yield_share": "float64",
            "gold_accuracy": "float64",
            "gold_lower": "float64",
            "rework_share": "float64",
            "amount": "float64",
            "amount_per_accepted": "float64",
            "currency": "string",
        },
        ("role", "vendor"),
    ),
    Contract(
        "lineage_audit",
        {
            "release": "string",
            "image_id": "string",
            "source_image_id": "string",
            "vendor": "string",
            "drop_id": "string",
            "path": "string",
            "batch_ids": "string",
            "gates": "int64",
            "waivers": "int64",
            "is_complete": "bool",
            "missing": "string",
        },
        ("release", "image_id"),
    ),
    Contract(
        "program_report",
        {
            "name": "string",
            "stage": "string",
            "partitions": "int64",
            "released": "int64",
            "rows": "int64",
            "failed_gates": "int64",
        },
        ("name", "stage"),
    ),
    # ledgers: append-only, hash-chained
    Contract(
        "gates",
        {
            "project": "string",
            "asset": "string",
            "partition": "string",
            "version": "string",
            "outcome": "string",  # pass, fail, error, waived
            "suite_digest": "string",
            "failed_rows": "int64",
            "failed": "string",  # names of failed critical expectations, joined by |
            "by": "string",
            "reason": "string",
            "until": "string",  # of a waiver, ISO date
            "run_id": "string",
            "at": "timestamp",
            "files": "string",  # JSON: data file -> sha256
            "inputs": "string",  # JSON
            **_CHAIN,
        },
        ("seq",),
    ),
    Contract(
        "costs",
        {
            "project": "string",
            "kind": "string",
            "vendor": "string",
            "ref": "string",
            "quantity": "float64",
            "amount": "float64",
            "currency": "string",
            "at": "timestamp",
            **_CHAIN,
        },
        ("seq",),
    ),
    Contract(
        "drops",
        {
            "project": "string",
            "vendor": "string",
            "drop_id": "string",
            "name": "string",
            "status": "string",  # accepted, partial, held, rejected, parked
            "reason": "string",
            "files_seen": "int64",
            "bytes_seen": "int64",
            "received_at": "timestamp",
            "attempt": "int64",
            "supersedes": "string",
            "fingerprint": "string",  # of the listing: paths, sizes, times
            "content_sha256": "string",
            "number": "int64",  # order of first screening; null until then
            "run_id": "string",
            **_CHAIN,
        },
        ("seq",),
    ),
    Contract(
        "withdrawals",
        {
            "project": "string",
            "drop_id": "string",
            "image_id": "string",
            "reason": "string",
            "by": "string",
            "at": "timestamp",
            **_CHAIN,
        },
        ("seq",),
    ),
)
CONTRACTS: dict[str, Contract] = {contract.name: contract for contract in _CONTRACTS}
LEDGERS = ("gates", "costs", "drops", "withdrawals")
