"""What Dagster hands to assets and checks: the store, and how our results become its metadata."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from dataops_assets.home import Home
from dataops_assets.reports import panels
from dataops_assets.store import Store

ENV_REPORTS_URL = "DATAOPS_REPORTS_URL"


@dg.resource(description="Blobs, tables and ledgers below DATAOPS_HOME (or DATAOPS_STORE).")
def store_resource() -> Store:
    """The store of this installation, read from the environment when a run starts."""
    return Store(Home.at())


def metadata_of(parts: Mapping[str, Any]) -> dict[str, dg.MetadataValue[Any]]:
    """Values, tables, pictures and links as Dagster shows them. Text stays text: it may be a vendor's."""
    return {name: _value(part) for name, part in parts.items() if part is not None}


def _plain(value: Any) -> Any:
    """Numbers as Python has them: Dagster's events carry no others."""
    return value.item() if isinstance(value, np.generic) else value


def _value(part: Any) -> dg.MetadataValue[Any]:
    match _plain(part):
        case bool() as truth:
            return dg.MetadataValue.bool(truth)
        case int() as number:
            return dg.MetadataValue.int(number)
        case float() as number:
            return dg.MetadataValue.float(number)
        case panels.Table():
            return _table(part)
        case panels.Picture():
            encoded = base64.b64encode(part.jpeg).decode()
            return dg.MetadataValue.md(f"![{part.title}](data:image/jpeg;base64,{encoded})")
        case panels.Points():
            return dg.MetadataValue.md(part.markdown)
        case panels.Page():
            root = os.environ.get(ENV_REPORTS_URL, "http://127.0.0.1:3001")
            return dg.MetadataValue.url(f"{root}/{part.path}")
        case Path():
            return dg.MetadataValue.path(str(part))
        case _:
            return dg.MetadataValue.text(str(part))


def _table(table: panels.Table) -> dg.MetadataValue[Any]:
    names = list(table.rows[0]) if table.rows else ["nothing"]
    rows = [{name: _plain(row[name]) for name in names} for row in table.rows]
    kinds = {name: next((type(row[name]) for row in rows if row[name] is not None), str) for name in names if rows}
    words = {int: "int", float: "float", bool: "bool"}
    columns = [dg.TableColumn(name, words.get(kinds.get(name, str), "string")) for name in names]
    records = [dg.TableRecord({name: row[name] if row[name] is not None else "" for name in names}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))
