"""What the screening of one drop found, for our own people: pictures by reason, scores beside their thresholds, duplicates, personal data.

Whatever is personal is covered and outlined in what is shown; pictures in which nothing was looked for are thumbnails of 96 px.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dataops_assets.contracts import ISSUES
from dataops_assets.manifest import Manifest, records
from dataops_assets.reports import pages, tuning
from dataops_assets.reports.delivery_page import by_reason, inert
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

A_REASON, GROUPS, IN_A_GROUP, PERSONAL = 12, 12, 6, 24
BINS, WIDE, HIGH = 40, 320, 90

STYLE = (
    pages.STYLE
    + """
.sheet{display:flex;flex-wrap:wrap;gap:.5rem;margin:.4rem 0 1rem} figure{margin:0;max-width:202px;text-align:center}
figure img{max-width:200px;max-height:200px} figcaption{font-size:.72rem;line-height:1.25;color:#5a6676;overflow-wrap:anywhere}
.group{border:1px solid #d9dee6;border-radius:6px;padding:.5rem .8rem;margin:.5rem 0}
.scores{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:1rem} .scores p{margin:0;font-size:.85rem;color:#5a6676}
"""
)

Pictures = Mapping[str, bytes]  # by image_id


def write(store: Store, spec: ProjectSpec, made: Manifest) -> Path:
    """Write the page of a `cleaned_set` manifest; returns its path."""
    shown = _shown(made.frame)
    pictures = _pictures(store, spec, made.frame[made.frame["image_id"].isin(shown)])
    released, _ = store.load_all("cleaned_set", spec.name)
    text = page(made, spec, pictures, tuning.precision_and_recall(released))
    return pages.put(store.home.reports(spec.name) / "screening" / f"{made.partition}.html", text, store.home.tmp)


def page(made: Manifest, spec: ProjectSpec, pictures: Pictures, tuned: pd.DataFrame) -> str:
    """The page as self-contained HTML without scripts."""
    frame = made.frame
    tally = {name: int((frame["status"] == name).sum()) for name in ("kept", "rejected", "review")}
    boxes = "".join(f"<div>{name}<b>{count:,}</b></div>" for name, count in {"images": len(frame), **tally}.items())
    parts = [
        f"<h1>Screening of {escape(made.partition)}</h1><p class='where'>{escape(spec.name)}, version {made.version}</p>",
        f"<div class='numbers'>{boxes}</div>",
        _reasons(frame, pictures),
        _personal(frame, pictures),
        _duplicates(frame, pictures),
        _scores(frame, spec),
        _decisions(frame, pictures),
        _tuned(tuned),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Screening {escape(made.partition)}</title><style>{STYLE}</style>'
        f"{''.join(parts)}</html>\n"
    )


# ---- what is shown


def _shown(frame: pd.DataFrame) -> set[str]:
    """Images that some part of the page shows."""
    wanted: list[str] = []
    for _, rows in by_reason(frame[frame["status"] != "kept"]):
        wanted += list(rows["image_id"].head(A_REASON))
    wanted += list(frame.loc[frame["personal_data"].notna(), "image_id"].head(PERSONAL))
    for leader, rows in _groups(frame):
        wanted += [leader, *rows["image_id"].head(IN_A_GROUP)]
    wanted += list(frame.loc[frame["decided_by"].notna(), "image_id"].head(A_REASON))
    return set(wanted)


def _pictures(store: Store, spec: ProjectSpec, frame: pd.DataFrame) -> dict[str, bytes]:
    """Drawings by image_id: with what is personal covered where that is known, else thumbnails in which nothing can be read."""
    from dataops_assets.imaging.portraits import portraits
    from dataops_assets.imaging.thumbnails import thumbnails

    apart, pixels = store.apart(spec.name), spec.sources.limits.pixels
    is_known = frame["clean_sha256"].notna() | frame["regions"].notna()
    known, unknown = frame[is_known], list(frame.loc[~is_known, "image_id"])
    wanted = [
        (image_id, [region for region in json.loads(regions or "[]") if region[0] != "text"])
        for image_id, regions in zip(known["image_id"], known["regions"], strict=True)
    ]
    drawn = dict(zip(known["image_id"], portraits(wanted, apart, spec.cleaning.max_side_px, pixels), strict=True))
    return {**thumbnails(unknown, apart, pixels), **{name: jpeg for name, jpeg in drawn.items() if jpeg}}


def _groups(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(the picture that stays, its duplicates), largest groups first; the one that stays may be of an earlier drop."""
    lost = frame[frame["duplicate_of"].notna()]
    groups = [(str(leader), rows) for leader, rows in lost.groupby("duplicate_of", sort=True)]
    return sorted(groups, key=lambda group: -len(group[1]))[:GROUPS]


# ---- parts of the page


def _figure(jpeg: bytes | None, caption: str) -> str:
    image = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">' if jpeg else "<p>no picture</p>"
    return f"<figure>{image}<figcaption>{escape(inert(caption))}</figcaption></figure>"


def _sheet(rows: Iterable[Mapping[str, Any]], pictures: Pictures, caption: str) -> str:
    figures = "".join(_figure(pictures.get(row["image_id"]), str(row.get(caption) or row["path"])) for row in rows)
    return f"<div class='sheet'>{figures}</div>"


def _reasons(frame: pd.DataFrame, pictures: Pictures) -> str:
    parts = []
    for status, title in (("rejected", "Rejected"), ("review", "Waiting for a person")):
        for code, rows in by_reason(frame[frame["status"] == status]):
            parts.append(f"<h2>{title}: {escape(code.replace('_', ' '))} ({len(rows):,})</h2>")
            parts.append(_sheet(records(rows.head(A_REASON)), pictures, "path"))
    return "".join(parts) or "<h2>Nothing was left out</h2>"


def _personal(frame: pd.DataFrame, pictures: Pictures) -> str:
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
        f"{_sheet(records(rows.head(PERSONAL)), pictures, 'personal_data')}"
    )


def _duplicates(frame: pd.DataFrame, pictures: Pictures) -> str:
    known = frame.set_index("image_id")
    parts = []
    for leader, rows in _groups(frame):
        where = "kept" if leader in known.index else "kept in an earlier drop"
        figures = [_figure(pictures.get(leader), where)] if leader in known.index else [f"<figure>{escape(leader[:16])}, {where}</figure>"]
        for row in records(rows.head(IN_A_GROUP)):
            bits = _distance(row["phash"], known.at[leader, "phash"]) if leader in known.index else None
            figures.append(_figure(pictures.get(row["image_id"]), f"{row['path']}" + (f", {bits} bits apart" if bits is not None else "")))
        parts.append(f"<div class='group'>{len(rows):,} of the same<div class='sheet'>{''.join(figures)}</div></div>")
    return f"<h2>Duplicates, group by group</h2>{''.join(parts)}" if parts else ""


def _distance(one: Any, other: Any) -> int | None:
    if not isinstance(one, str) or not isinstance(other, str):
        return None
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _scores(frame: pd.DataFrame, spec: ProjectSpec) -> str:
    from dataops_assets.stages.cleaned_set import limits

    plots = []
    for issue in ISSUES:
        scores = frame[f"{issue}_score"].dropna().to_numpy(dtype=np.float64)
        if not len(scores):
            continue
        limit = limits(spec.cleaning)[issue]
        acts = "rejects" if issue in spec.cleaning.reject else "asks a person" if issue in spec.cleaning.review else "only recorded"
        below = int((scores < limit).sum())
        plots.append(f"<div><b>{issue.replace('_', ' ')}</b>{histogram(scores, limit)}<p>{below:,} below {limit:g}: {acts}</p></div>")
    return f"<h2>Scores and thresholds (0 bad, 1 good)</h2><div class='scores'>{''.join(plots)}</div>" if plots else ""


def histogram(scores: np.ndarray, threshold: float) -> str:
    """An SVG of a score's distribution, red below its threshold; heights are square roots, so that few bad pictures are seen."""
    counts, _ = np.histogram(np.clip(scores, 0, 1), bins=BINS, range=(0, 1))
    heights = np.sqrt(counts / max(1, counts.max())) * HIGH
    step = WIDE / BINS
    bars = "".join(
        f'<rect x="{place * step:.1f}" y="{HIGH - height:.1f}" width="{step - 1:.1f}" height="{height:.1f}" '
        f'fill="{"#c0392b" if (place + 0.5) / BINS < threshold else "#5b7fb0"}"/>'
        for place, height in enumerate(heights)
        if height > 0
    )
    line = f'<line x1="{threshold * WIDE:.1f}" x2="{threshold * WIDE:.1f}" y1="0" y2="{HIGH}" stroke="#1c2430" stroke-dasharray="3 2"/>'
    return f'<svg viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}" role="img">{bars}{line}</svg>'


def _decisions(frame: pd.DataFrame, pictures: Pictures) -> str:
    rows = frame[frame["decided_by"].notna()]
    if rows.empty:
        return ""
    told = rows.assign(
        said=[
            f"{row['status']} by {row['decided_by']}" + (f", {row['decided_at']:%Y-%m-%d}" if row["decided_at"] else "")
            for row in records(rows)
        ]
    )
    return f"<h2>Decided by people ({len(rows):,})</h2>{_sheet(records(told.head(A_REASON)), pictures, 'said')}"


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
