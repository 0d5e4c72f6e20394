"""SQL over what is released: the `query` command's views, and the read-only mart `warehouse.duckdb`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from dataops_assets.contracts import CONTRACTS, LEDGERS, Contract
from dataops_assets.store import RELEASING, Store

PLANS = ("batch_plans",)  # tables without a gate of their own: every version counts
SQL_TYPES = {"string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "timestamp": "TIMESTAMPTZ"}


def connect(store: Store) -> duckdb.DuckDBPyConnection:
    """An in-memory connection with a view a table, that can read nothing but the store's tables.

    Tables show the last released version of each partition; the ledgers `gates`, `costs`, `withdrawals`, `gold` every row, `drops` one row
    a delivery with the drop that replaced it as `superseded_by` (`drops_history` all), `releases` the released rows of `gates`.
    """
    connection = duckdb.connect(":memory:")
    try:
        create(connection, store)
        folder = f"{store.home.store_url.rstrip('/')}/tables"
        connection.execute(f"SET allowed_directories = [{_text(folder)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except BaseException:
        connection.close()
        raise
    return connection


def create(connection: duckdb.DuckDBPyConnection, store: Store, kind: str = "VIEW") -> None:
    """Make a view (or `kind="TABLE"`: a copy) of each table."""
    releases = store.releases()
    connection.execute("SET TimeZone = 'UTC'")
    for name, contract in CONTRACTS.items():
        if name in LEDGERS:
            _create(connection, kind, "drops_history" if name == "drops" else name, contract, store.uris(name), is_placed=False)
            continue
        if name in PLANS:
            files = store.uris(name)
        else:
            mine = releases[releases["asset"] == name]
            files = store.uris(name, list(zip(mine["project"], mine["partition"], mine["version"], strict=True)))
        _create(connection, kind, name, contract, files, is_placed=True)
    connection.execute(
        f"CREATE {kind} drops AS WITH "
        "last AS (SELECT * FROM drops_history QUALIFY row_number() OVER (PARTITION BY project, drop_id ORDER BY seq DESC) = 1), "
        "newer AS (SELECT project, supersedes AS drop_id, arg_max(drop_id, seq) AS superseded_by FROM last "
        "WHERE supersedes IS NOT NULL GROUP BY ALL) "
        "SELECT last.*, newer.superseded_by FROM last LEFT JOIN newer USING (project, drop_id)"
    )
    outcomes = ", ".join(map(_text, RELEASING))
    connection.execute(
        f"CREATE {kind} releases AS SELECT * FROM gates WHERE outcome IN ({outcomes}) "
        "QUALIFY row_number() OVER (PARTITION BY project, asset, partition ORDER BY seq DESC) = 1"
    )


def query(store: Store, sql: str) -> list[dict[str, Any]]:
    """Rows of a read-only query as plain values.

    Raises:
        duckdb.Error: when the SQL is wrong or reaches outside.
    """
    connection = connect(store)
    try:
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    finally:
        connection.close()


def _create(connection: duckdb.DuckDBPyConnection, kind: str, name: str, contract: Contract, files: list[str], *, is_placed: bool) -> None:
    place = dict.fromkeys(("project", "partition", "version"), "VARCHAR") if is_placed else {}
    columns = place | {column: SQL_TYPES[type_] for column, type_ in contract.columns.items()}
    if files:
        listed = ", ".join(map(_text, sorted(files)))
        options = "union_by_name = true" + (", hive_partitioning = true, hive_types_autocast = false" if is_placed else "")
        held = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM read_parquet([{listed}], {options})").fetchall()}
        chosen = ", ".join(
            f'CAST("{column}" AS {type_}) AS "{column}"' if column in held else f'CAST(NULL AS {type_}) AS "{column}"'
            for column, type_ in columns.items()
        )
        source = f"SELECT {chosen} FROM read_parquet([{listed}], {options})"
    else:
        source = "SELECT " + ", ".join(f'CAST(NULL AS {type_}) AS "{column}"' for column, type_ in columns.items()) + " WHERE false"
    connection.execute(f'CREATE {kind} "{name}" AS {source}')


def _text(value: str | Path) -> str:
    return "'" + str(value).replace("'", "''") + "'"
