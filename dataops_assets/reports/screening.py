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
from dataops_assets.reports.delivery_story import by_reason, inert
from dataops_assets.reports.pictures import Pictures
from dataops_assets.reports.reasons import spoken
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

STYLE = (
    pages.STYLE
    + """
.sheet{display:flex;flex-wrap:wrap;gap:.5rem;margin:.4rem 0 1rem} figure{margin:0;max-width:202px;text-align:center}
figure img{max-width:200px;max-height:200px} figcaption{font-size:.72rem;line-height:1.25;color:#5a6676;overflow-wrap:anywhere}
td:last-child{min-width:3rem} .groups{display:flex;flex-wrap:wrap;gap:.6rem} .group p{margin:0}
.group{border:1px solid #d9dee6;border-radius:6px;padding:.5rem .8rem} .group .sheet{margin:.4rem 0 0}
.scores{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:1.2rem} .scores svg{display:block;margin:.3rem 0}
.scores p{margin:0;font-size:.85rem;color:#5a6676} .over{color:#c0392b;font-weight:600}
"""
)
TITLES = {"rejected": "Rejected", "review": "Waiting for a person"}


def write(store: Store, spec: ProjectSpec, made: Manifest) -> Path:
    """Write the page of a `cleaned_set` manifest; returns its path."""
    drawn = pictures.of_drop(store, spec, made)
    text = page(made, spec, drawn, _tuning(store, spec))
    return pages.put(_path(store, spec, made.partition), text, store.home.tmp)


def _tuning(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """What people decided in this project, on pictures in use."""
    drops, images = store.withdrawn(spec.name)
    gone = store.superseded(spec.name) | drops
    versions = {name: version for name, version in store.released("cleaned_set", spec.name).items() if name not in gone}
    # most drops have no decisions: of those one column is read, not all scores
    by = store.read_all("cleaned_set", spec.name, versions, ["image_id", "drop_id", "decided_by"])
    decided = set(by.loc[by["decided_by"].notna(), "drop_id"])
    versions = {name: version for name, version in versions.items() if name in decided}
    rows = store.read_all("cleaned_set", spec.name, versions, tuning.COLUMNS)
    reviewed = {*spec.cleaning.review, *(kind for kind, action in spec.cleaning.personal_data.actions.items() if action == "review")}
    return tuning.precision_and_recall(rows[~rows["image_id"].isin(images)], reviewed)


def _path(store: Store, spec: ProjectSpec, drop_id: str) -> Path:
    return store.home.reports(spec.name) / "screening" / f"{drop_id}.html"


def page(made: Manifest, spec: ProjectSpec, drawn: Pictures, tuned: pd.DataFrame) -> str:
    """The page as self-contained HTML without scripts."""
    frame = made.frame
    tally = {name: int((frame["status"] == name).sum()) for name in ("kept", "rejected", "review")}
    share = f"{tally['kept'] / len(frame):.0%}" if len(frame) else "-"
    boxes = "".join(f"<div>{name}<b>{count:,}</b></div>" for name, count in {"images": len(frame), **tally}.items())
    links = {"the gate and its expectations": "cleaned_set", "the vendor's delivery report": "deliveries"}
    see = " and ".join(f"<a href='../{folder}/{escape(made.partition)}.html'>{words}</a>" for words, folder in links.items())
    parts = [
        f"<h1>Screening of {escape(made.partition)}</h1><p class='where'>{escape(spec.name)}, version {made.version}. See {see}.</p>",
        f"<div class='numbers'>{boxes}<div>kept share<b>{share}</b></div></div>",
        _shares(frame, spec),
        _kept(frame, drawn),
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


def _shares(frame: pd.DataFrame, spec: ProjectSpec) -> str:
    """Every reason with its share of the drop, beside the most that the project lets pass."""
    found = by_reason(frame[frame["status"] != "kept"])
    rows = []
    for code, some in found:
        share, most = len(some) / len(frame), spec.gates.max_reason_share.get(code)  # type: ignore[call-overload]  # any code
        bound = "" if most is None else f"<span class='over'>{most:.0%}</span>" if share > most else f"{most:.0%}"
        counts = [f"<td class='number'>{int((some['status'] == status).sum()):,}</td>" for status in TITLES]
        rows.append(f"<tr><td>{escape(spoken(code))}</td>{''.join(counts)}<td class='number'>{share:.1%}</td><td>{bound}</td></tr>")
    head = "<tr><th>reason</th><th>rejected</th><th>waiting</th><th>of the drop</th><th>at most</th></tr>"
    return f"<h2>Why pictures were left out</h2><table>{head}{''.join(rows)}</table>" if rows else "<h2>Nothing was left out</h2>"


def _kept(frame: pd.DataFrame, drawn: Pictures) -> str:
    rows = pictures.kept(frame)
    return f"<h2>Kept: some of every category</h2>{_sheet(records(rows), drawn, 'category')}" if len(rows) else ""


def _reasons(frame: pd.DataFrame, drawn: Pictures) -> str:
    parts = []
    for status, title in TITLES.items():
        for code, rows in by_reason(frame[frame["status"] == status]):
            some = [{**row, "told": _told(row, code)} for row in records(rows.head(pictures.A_REASON))]
            parts.append(f"<h2>{title}: {escape(spoken(code))} ({len(rows):,})</h2>{_sheet(some, drawn, 'told')}")
    return "".join(parts)


def _told(row: Mapping[str, Any], code: str) -> str:
    """A picture's path, and for what a machine takes it where that is the reason."""
    if code == "mislabelled" and row["suggested_category"]:
        return f"{row['path']}: {row['category']}, or {row['suggested_category']}?"
    if code == "irrelevant" and row["nearest_category"]:
        return f"{row['path']}: most like {row['nearest_category']}"
    return str(row["path"])


def _personal(frame: pd.DataFrame, drawn: Pictures) -> str:
    rows = frame[frame["personal_data"].notna()]
    if rows.empty:
        return ""
    counts = "".join(
        f"<tr><td>{escape(spoken(kind))}</td><td class='number'>{len(some):,}</td>"
        + "".join(f"<td class='number'>{int((some['status'] == status).sum()):,}</td>" for status in ("kept", *TITLES))
        + "</tr>"
        for kind, some in by_reason(rows, "personal_data")
    )
    some = [{**row, "kinds": spoken(row["personal_data"]).replace("|", ", ")} for row in records(rows.head(pictures.PERSONAL))]
    return (
        f"<h2>Personal data ({len(rows):,} pictures; covered here whatever the policy)</h2>"
        f"<table><tr><th>kind</th><th>pictures</th><th>kept</th><th>rejected</th><th>waiting</th></tr>{counts}</table>"
        f"{_sheet(some, drawn, 'kinds')}"
    )


def _duplicates(frame: pd.DataFrame, drawn: Pictures) -> str:
    hashes = dict(zip(frame["image_id"], frame["phash"], strict=True))
    parts = []
    for group in pictures.groups(frame):
        figures = [_figure(drawn.get(group.stays), "stays" if group.is_here else "kept in an earlier drop")]
        for row in records(group.left_out.head(pictures.IN_A_GROUP)):
            bits = _distance(row["phash"], hashes.get(group.stays)) if group.is_here else None
            figures.append(_figure(drawn.get(row["image_id"]), row["path"] + (f", {bits} bits apart" if bits is not None else "")))
        parts.append(f"<div class='group'><p>{len(group.left_out):,} left out</p><div class='sheet'>{''.join(figures)}</div></div>")
    return f"<h2>Duplicates, group by group</h2><div class='groups'>{''.join(parts)}</div>" if parts else ""


def _distance(one: Any, other: Any) -> int | None:
    if not isinstance(one, str) or not isinstance(other, str):
        return None
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _scores(frame: pd.DataFrame, spec: ProjectSpec) -> str:
    plots = "".join(
        f"<div><b>{spoken(shown.issue)}</b>{histograms.svg(shown)}"
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
            f"{row['status']} by {row['decided_by']}"
            + (f", {row['decided_at']:%Y-%m-%d}" if row["decided_at"] else "")
            + (f"; answered by {', '.join(one[:8] for one in row['answered_by'].split('|'))}" if row["answered_by"] else "")
            + (f", {row['answered_at']:%Y-%m-%d}" if row["answered_by"] and row["answered_at"] else "")
            for row in records(rows)
        ]
    )
    return f"<h2>Decided by people ({len(rows):,})</h2>{_sheet(records(told.head(pictures.DECIDED)), drawn, 'said')}"


def _tuned(tuned: pd.DataFrame) -> str:
    if tuned.empty:
        return ""
    rows: Sequence[Mapping[str, Any]] = records(tuned)
    body = "".join(
        f"<tr><td>{escape(spoken(row['issue']))}</td>"
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
