"""Manifests: the tables that assets pass on, conformed to their contracts, and their versions.

A version is the digest of the canonically sorted rows and of
the versions of the inputs they were made from, so the same input and spec give the same version everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dataops_assets.contracts import CONTRACTS, PANDAS, Contract, Type

Inputs = Mapping[str, Mapping[str, str]]  # asset -> partition -> version

UNPARTITIONED = "-"


class ContractError(ValueError):
    """A frame doesn't fit its table's contract: a bug in the stage that made it, never the vendor's fault."""


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


def is_true(column: pd.Series) -> pd.Series:
    """A nullable column of truth values as plain ones; null is False."""
    return column.astype("boolean").fillna(False).astype(bool)


def conform(frame: pd.DataFrame, contract: Contract, is_unique: bool = True) -> pd.DataFrame:
    """Columns in the contract's order and types, rows sorted by its key.

    A column the stage left out that is not part of the key becomes null. `is_unique=False` is for rows of several
    partitions, in which a key may come again.

    Raises:
        ContractError: on an unknown column, a null or repeated key, or a value that doesn't fit its type.
    """
    unknown = [column for column in frame.columns if column not in contract.columns]
    if unknown:
        raise ContractError(f"{contract.name}: unknown columns {unknown}; the contract is in contracts.py")
    columns: dict[str, pd.Series] = {}
    for name, kind in contract.columns.items():
        column = frame[name] if name in frame.columns else pd.Series(np.full(len(frame), None), index=frame.index)
        try:
            columns[name] = _cast(column, kind)
        except (TypeError, ValueError) as error:
            raise ContractError(f"{contract.name}.{name} is not {kind}: {error}") from error
    nulls = sum(columns[name].isna().to_numpy() for name in contract.key)
    if np.any(nulls):
        raise ContractError(f"{contract.name}: key {contract.key} has nulls in {np.count_nonzero(nulls)} rows")
    order, repeated = _sorted([columns[name] for name in contract.key])
    if is_unique and repeated is not None:
        first = {name: columns[name].iloc[[repeated]].tolist()[0] for name in contract.key}
        raise ContractError(f"{contract.name}: key {contract.key} repeats, first {first}")
    # a column at a time: frames of millions of rows are dear to hold twice
    return pd.DataFrame({name: _placed(columns.pop(name), order) for name in contract.columns}, copy=False)


def _placed(column: pd.Series, order: npt.NDArray[np.intp] | None) -> Any:
    return column.array.copy() if order is None else column.array.take(order)


def _sorted(keys: Sequence[pd.Series]) -> tuple[npt.NDArray[np.intp] | None, int | None]:
    """The order of rows by their keys, equal ones as they are; None where they are in order. And the first row that has another's keys."""
    codes = [_ranks(key) for key in keys]
    order = np.lexsort(codes[::-1])
    is_new = np.zeros(max(len(order) - 1, 0), dtype=bool)
    for code in codes:
        is_new |= np.diff(code[order]) != 0
    repeats = order[1:][~is_new]
    is_ordered = bool((np.diff(order) == 1).all())
    return None if is_ordered else order, int(repeats.min()) if len(repeats) else None


def _ranks(key: pd.Series) -> npt.NDArray[np.intp]:
    codes, values = pd.factorize(key)
    return codes if pd.Index(values).is_monotonic_increasing else pd.factorize(key, sort=True)[0]  # to sort strings takes longest


def _cast(column: pd.Series, kind: Type) -> pd.Series:
    if kind == "string":
        text = column if column.dtype == object else column.astype("object")
        absent = text.isna().to_numpy()
        if absent.any():
            values = text.to_numpy(copy=True)
            values[absent] = None
            text = pd.Series(values, index=text.index)
        if pd.api.types.infer_dtype(text, skipna=True) not in ("string", "empty"):
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


def from_arrow(table: pa.Table, contract: Contract, is_unique: bool = True, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The inverse of `to_arrow`; columns that an older version lacks become null. Of `columns` the key must be part."""
    if columns is not None:
        contract = replace(contract, columns={name: contract.columns[name] for name in columns})
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
            lengths, text = _encoded(array)
            sha.update(lengths)
            sha.update(text)
        elif kind == "float64":
            numbers = np.asarray(pc.fill_null(array, 0.0), dtype="<f8")
            sha.update((np.round(numbers, 6) + 0.0).tobytes())
        elif kind == "bool":
            sha.update(np.packbits(np.asarray(pc.fill_null(array, False))).tobytes())
        else:
            sha.update(np.asarray(pc.fill_null(array.cast(pa.int64()), 0), dtype="<i8").tobytes())
    return sha.hexdigest()[:16]


def _encoded(array: pa.Array) -> tuple[bytes, memoryview]:
    """Lengths (8 bytes each) and UTF-8 of strings one after the other; null is empty."""
    whole = pa.concat_arrays([pc.fill_null(array, "")])  # its buffers begin with its first value
    _, starts, text = whole.buffers()
    starts = np.frombuffer(starts, dtype="<i4", count=len(whole) + 1) if len(whole) else np.zeros(1, dtype="<i4")
    return np.diff(starts).astype("<i8").tobytes(), memoryview(text if text is not None else b"")[starts[0] : starts[-1]]
