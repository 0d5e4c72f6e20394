"""Report pages below `reports/<project>/`: the same parts the UI shows, as self-contained HTML without scripts."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from typing import Any

from dataops_assets import atomic
from dataops_assets.flow import handbook
from dataops_assets.manifest import Manifest
from dataops_assets.reports import shown
from dataops_assets.reports.panels import Page, Picture, Points, Table
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem} h2{font-size:1.05rem;margin:1.8rem 0 .4rem} .where{color:#5a6676}
.numbers{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0} .numbers div{border:1px solid #d9dee6;border-radius:6px;padding:.4rem .8rem}
.numbers b{display:block;font-size:1.2rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;font-size:.9rem} th,td{border-bottom:1px solid #e3e7ee;padding:.25rem .7rem;text-align:left}
td{vertical-align:top;min-width:3rem} td:last-child{min-width:14rem}
td.number{text-align:right;font-variant-numeric:tabular-nums} td.number:last-child{min-width:3rem}
ul{padding-left:1.2rem} img{max-width:100%;border:1px solid #e3e7ee} .wide{overflow-x:auto}
"""
IMAGE = r'<img alt="[^"]*" src="data:image/[^"]*">'
GONE = "Taken out: pictures in it were withdrawn or deleted."


def write(store: Store, spec: ProjectSpec, made: Manifest, said: dict[str, str], expectations: Table) -> Path:
    """Write the page of a manifest: what its gate said, the parts, and how each expectation fared; returns its path."""
    path = store.home.reports(spec.name) / made.asset / f"{made.partition}.html"
    if made.asset == "guidelines" and len(made.frame):
        text = handbook.page(store, spec, made)
    else:
        title = f"{made.asset} · {made.partition}" if made.partition != "-" else made.asset
        text = page(title, f"{spec.name}, version {made.version}", {**said, **shown.parts(store, spec, made), "expectations": expectations})
    return put(path, text, store.home.tmp)


def write_parts(store: Store, address: str, title: str, where: str, parts: dict[str, Any]) -> Path:
    """Write a page that stands for itself at an address below `reports/`; returns its path."""
    return put(store.home.root / "reports" / address, page(title, where, parts), store.home.tmp)


def put(path: Path, text: str, tmp: Path) -> Path:
    """Write a page so that a reader never sees half of it; `tmp` is the home's folder for unfinished files."""
    atomic.write(path, text.encode("utf-8", "replace"), tmp)
    return path


def page(title: str, where: str, parts: dict[str, Any]) -> str:
    """Title, numbers, then tables and pictures in the order given. Everything is escaped."""
    numbers = [(name, value) for name, value in parts.items() if isinstance(value, (int, float)) and not isinstance(value, bool)]
    blocks = "".join(_block(name, value) for name, value in parts.items() if isinstance(value, (Table, Picture, Points, Path, str)))
    boxes = "".join(f"<div>{html.escape(name)}<b>{_number(value)}</b></div>" for name, value in numbers)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
        f'<h1>{html.escape(title)}</h1><p class="where">{html.escape(where)}</p><div class="numbers">{boxes}</div>{blocks}</html>\n'
    )


def with_pictures(text: str, parts: dict[str, Any]) -> str:
    """A page written before, with the pictures of these parts in place of those it shows; where there is none any more, a line says so."""

    def drawn(found: re.Match[str]) -> str:
        part = parts.get(html.unescape(found[1]))
        return _block(html.unescape(found[1]), part if isinstance(part, Picture) else GONE)

    return re.sub(f"<h2>([^<]*)</h2>{IMAGE}", drawn, text)


def without_pictures(text: str) -> str:
    """A page without any picture; a line stands in the place of each."""
    return re.sub(IMAGE, f"<p>{GONE}</p>", text)


def _block(name: str, part: Any) -> str:
    head = f"<h2>{html.escape(name)}</h2>"
    match part:
        case Picture():
            data = base64.b64encode(part.jpeg).decode()
            return f'{head}<img alt="{html.escape(part.title)}" src="data:image/jpeg;base64,{data}">'
        case Table(rows=rows) if rows:
            columns = "".join(f"<th>{html.escape(column)}</th>" for column in rows[0])
            body = "".join("<tr>" + "".join(map(_cell, row.values())) + "</tr>" for row in rows)
            return f'{head}<div class="wide"><table><tr>{columns}</tr>{body}</table></div>'
        case Points(lines=lines):
            return f"{head}<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"
        case str():
            return f"{head}<p>{html.escape(part)}</p>"
        case Path():
            return f"{head}<p><code>{html.escape(str(part))}</code></p>"
        case Page() | _:
            return ""


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'<td class="number">{_number(value)}</td>'
    return f"<td>{html.escape('' if value is None else str(value))}</td>"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 10000 else f"{value:,.0f}"
