"""What the screening of one drop found, for our own people: pictures by reason, scores beside their thresholds, duplicates, personal data.

Whatever is personal is covered and outlined in what is shown; pictures in which nothing was looked for are thumbnails of 96 px.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets.manifest import Manifest, records
from dataops_assets.reports import histograms, pages, pictures, tuning
from dataops_assets.reports.delivery_page import by_reason, inert
from dataops_assets.reports.pictures import Pictures
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

STYLE = (
    pages.STYLE
    + """
.sheet{display:flex;flex-wrap:wrap;gap:.5rem;margin:.4rem 0 1rem} figure{margin:0;max-width:202px;text-align:center}
figure img{max-width:200px;max-height:200px} figcaption{font-size:.72rem;line-height:1.25;color:#5a6676;overflow-wrap:anywhere}
.group{border:1px solid #d9dee6;border-radius:6px;padding:.5rem .8rem;margin:.5rem 0}
.scores{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:1rem} .scores p{margin:0;font-size:.85rem;color:#5a6676}
"""
)


def write(store: Store, spec: ProjectSpec, made: Manifest) -> Path:
    """Write the page of a `cleaned_set` manifest; returns its path."""
    drawn = pictures.drawn(store, spec, pictures.chosen(made.frame))
    released, _ = store.load_all("cleaned_set", spec.name)
    text = page(made, spec, drawn, tuning.precision_and_recall(released))
    return pages.put(_path(store, spec, made.partition), text, store.home.tmp)


def rewrite(store: Store, spec: ProjectSpec, drop_ids: Iterable[str]) -> None:
    """Write the pages that there are anew, of the versions judged last: without pictures that were withdrawn since."""
    gates = store.gates.rows()
    gates = gates[(gates["project"] == spec.name) & (gates["asset"] == "cleaned_set")].drop_duplicates("partition", keep="last")
    judged = dict(zip(gates["partition"], gates["version"], strict=True))
    for drop_id in drop_ids:
        if drop_id in judged and _path(store, spec, drop_id).exists():
            write(store, spec, store.read("cleaned_set", spec.name, drop_id, judged[drop_id]))


def _path(store: Store, spec: ProjectSpec, drop_id: str) -> Path:
    return store.home.reports(spec.name) / "screening" / f"{drop_id}.html"


def page(made: Manifest, spec: ProjectSpec, drawn: Pictures, tuned: pd.DataFrame) -> str:
    """The page as self-contained HTML without scripts."""
    frame = made.frame
    tally = {name: int((frame["status"] == name).sum()) for name in ("kept", "rejected", "review")}
    boxes = "".join(f"<div>{name}<b>{count:,}</b></div>" for name, count in {"images": len(frame), **tally}.items())
    parts = [
        f"<h1>Screening of {escape(made.partition)}</h1><p class='where'>{escape(spec.name)}, version {made.version}</p>",
        f"<div class='numbers'>{boxes}</div>",
        _reasons(frame, drawn),
        _personal(frame, drawn),
        _duplicates(frame, drawn),
        _scores(frame, spec),
        _decisions(frame, drawn),
        _tuned(tuned),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Screening {escape(made.partition)}</title><style>{STYLE}</style>'
        f"{''.join(parts)}</html>\n"
    )


# ---- parts of the page


def _figure(jpeg: bytes | None, caption: str) -> str:
    image = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">' if jpeg else "<p>no picture</p>"
    return f"<figure>{image}<figcaption>{escape(inert(caption))}</figcaption></figure>"


def _sheet(rows: Iterable[Mapping[str, Any]], drawn: Pictures, caption: str) -> str:
    figures = "".join(_figure(drawn.get(row["image_id"]), str(row.get(caption) or row["path"])) for row in rows)
    return f"<div class='sheet'>{figures}</div>"


def _reasons(frame: pd.DataFrame, drawn: Pictures) -> str:
    parts = []
    for status, title in (("rejected", "Rejected"), ("review", "Waiting for a person")):
        for code, rows in by_reason(frame[frame["status"] == status]):
            parts.append(f"<h2>{title}: {escape(code.replace('_', ' '))} ({len(rows):,})</h2>")
            parts.append(_sheet(records(rows.head(pictures.A_REASON)), drawn, "path"))
    return "".join(parts) or "<h2>Nothing was left out</h2>"


def _personal(frame: pd.DataFrame, drawn: Pictures) -> str:
    rows = frame[frame["personal_data"].notna()]
    if rows.empty:
        return ""
    counts = "".join(
        f"<tr><td>{escape(kind.replace('_', ' '))}</td><td class='number'>{len(some):,}</td>"
        f"<td class='number'>{int((some['status'] == 'kept').sum()):,}</td></tr>"
        for kind, some in by_reason(rows, "personal_data")
    )
    return (
        f"<h2>Personal data ({len(rows):,} pictures; covered here whatever the policy)</h2>"
        f"<table><tr><th>kind</th><th>pictures</th><th>of them kept</th></tr>{counts}</table>"
        f"{_sheet(records(rows.head(pictures.PERSONAL)), drawn, 'personal_data')}"
    )


def _duplicates(frame: pd.DataFrame, drawn: Pictures) -> str:
    known = frame.set_index("image_id")
    parts = []
    for leader, rows in pictures.groups(frame):
        where = "kept" if leader in known.index else "kept in an earlier drop"
        figures = [_figure(drawn.get(leader), where)] if leader in known.index else [f"<figure>{escape(leader[:16])}, {where}</figure>"]
        for row in records(rows.head(pictures.IN_A_GROUP)):
            bits = _distance(row["phash"], known.at[leader, "phash"]) if leader in known.index else None
            figures.append(_figure(drawn.get(row["image_id"]), f"{row['path']}" + (f", {bits} bits apart" if bits is not None else "")))
        parts.append(f"<div class='group'>{len(rows):,} of the same<div class='sheet'>{''.join(figures)}</div></div>")
    return f"<h2>Duplicates, group by group</h2>{''.join(parts)}" if parts else ""


def _distance(one: Any, other: Any) -> int | None:
    if not isinstance(one, str) or not isinstance(other, str):
        return None
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _scores(frame: pd.DataFrame, spec: ProjectSpec) -> str:
    plots = "".join(
        f"<div><b>{shown.issue.replace('_', ' ')}</b>{histograms.svg(shown)}"
        f"<p>{shown.below:,} below {shown.threshold:g}: {shown.consequence}</p></div>"
        for shown in histograms.distributions(frame, spec.cleaning)
    )
    return f"<h2>Scores and thresholds (0 bad, 1 good)</h2><div class='scores'>{plots}</div>" if plots else ""


def _decisions(frame: pd.DataFrame, drawn: Pictures) -> str:
    rows = frame[frame["decided_by"].notna()]
    if rows.empty:
        return ""
    told = rows.assign(
        said=[
            f"{row['status']} by {row['decided_by']}" + (f", {row['decided_at']:%Y-%m-%d}" if row["decided_at"] else "")
            for row in records(rows)
        ]
    )
    return f"<h2>Decided by people ({len(rows):,})</h2>{_sheet(records(told.head(pictures.DECIDED)), drawn, 'said')}"


def _tuned(tuned: pd.DataFrame) -> str:
    if tuned.empty:
        return ""
    rows: Sequence[Mapping[str, Any]] = records(tuned)
    body = "".join(
        f"<tr><td>{escape(row['issue'].replace('_', ' '))}</td>"
        + "".join(
            f"<td class='number'>{'' if row[name] is None else row[name]}</td>" for name in ("threshold", "flagged", "precision", "recall")
        )
        + "</tr>"
        for row in rows
    )
    return (
        "<h2>Thresholds, by what people decided in this project so far</h2><p>Of the pictures that people judged: how many a threshold "
        "flags, which share of these people rejected (precision), and which share of the rejected it flags (recall).</p>"
        f"<table><tr><th>issue</th><th>threshold</th><th>flagged</th><th>precision</th><th>recall</th></tr>{body}</table>"
    )
