"""The words and looks of what a vendor hears about a batch: pages without scripts, and two CSVs. All tell a `feedback.Story`."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from dataops_assets.exports import sheets
from dataops_assets.labels.handbook import place
from dataops_assets.labels.questions import question
from dataops_assets.manifest import records
from dataops_assets.reports.delivery_page import STYLE as PLAIN_STYLE
from dataops_assets.spec import ProjectSpec

if TYPE_CHECKING:
    from dataops_assets.reports.feedback import Story

PAIRS, IN_A_PAIR, SHOWN_PEOPLE = 8, 6, 200
PEOPLE_COLUMNS = (
    "worker", "question", "answers", "agreement with what was settled", "median seconds", "most often confused", "change", "read again",
)  # fmt: skip
MISTAKE_COLUMNS = ("item_id", "worker", "question", "was answered", "is", "settled by", "read again", "in the guidelines")
GUIDELINES = "guidelines.html"

STYLE = (
    PLAIN_STYLE
    + """
.bar{display:inline-block;height:.7rem;background:#3465a4;vertical-align:middle;border-radius:2px}
.rail{display:inline-block;width:14rem;background:#e9ecf1;margin-right:.5rem;line-height:.7rem;border-radius:2px}
.sheet figure{width:202px} .sheet img{max-width:200px} figcaption{max-height:none;font-size:.75rem}
.drawn{position:relative;display:inline-block} .drawn img{display:block} .drawn svg{position:absolute;inset:0;width:100%;height:100%}
rect{fill:none;stroke-width:2px;vector-effect:non-scaling-stroke} rect.given{stroke:#e0442f;stroke-dasharray:5 3} rect.right{stroke:#2fb46c}
.given{color:#a5281b} .right{color:#1d6b40} dl{margin:.4rem 0} dt{font-weight:600} dd{margin:0 0 .3rem 1rem}
"""
)


def anchor(attribute: str, value: str = "") -> str:
    """Where the guidelines explain a question or one of its answers: the end of the address of that place."""
    return f"{GUIDELINES}#{quote(place(attribute, value))}"


def page(story: Story, packs: Collection[str], has_guidelines: bool) -> str:
    """The report on a batch."""
    title = f"Feedback on {story.batch_id}"
    parts = [
        f"<h1>{escape(title)}</h1><p class='soft'>{escape(story.spec.name)} · {escape(story.vendor)}</p>",
        _verdict(story), _trend(story), _questions(story), _pairs(story, has_guidelines), _people(story, packs), _how(story),
    ]  # fmt: skip
    return _html(title, parts)


def packs(story: Story, most: int) -> dict[str, str]:
    """worker_id -> a page with that person's own mistakes, for those with most of them."""
    counts = story.mistakes["worker_id"].value_counts()
    chosen = sorted(counts.index, key=lambda worker: (-counts[worker], worker))[:most]
    return {str(worker): _pack(story, str(worker)) for worker in chosen}


def _pack(story: Story, worker: str) -> str:
    rows = story.mistakes[story.mistakes["worker_id"] == worker]
    parts = [
        f"<h1>Your own mistakes</h1><p class='soft'>{escape(story.spec.name)} · {escape(story.batch_id)} · {escape(worker)}</p>",
        "<p>Cover the second line of each picture, answer for yourself, then look. Read the definitions where you hesitate. These are "
        "examples, not all mistakes; other answers that aren't shown can be right or wrong.</p>",
    ]
    for name, mine in rows.groupby("attribute", sort=True):
        values = dict.fromkeys(value for label in [*mine["right"], *mine["given"]] for value in str(label).split("|"))
        parts.append(f"<h2>{escape(_asked(story.spec, str(name)))}</h2>{_definitions(story.spec, str(name), values, '../')}")
        parts.append(_sheet(story, mine))
    return _html(f"Mistakes of {worker}", parts)


def people_sheet(story: Story) -> str:
    """One row a worker and question."""
    rows = []
    for row in records(story.people):
        pair = f"{row['right']} called {row['given']}" if row["given"] else None
        rows.append(
            (row["worker_id"], row["attribute"], row["answers"], _percent(row["agreement"]), row["seconds"], pair, _change(row["change"]),
             _words(story.spec, row["attribute"], [row["right"], row["given"]]))
        )  # fmt: skip
    return _csv(PEOPLE_COLUMNS, rows)


def mistakes_sheet(story: Story) -> str:
    """One row an example of a mistake."""
    rows = [
        (row["task_id"], row["worker_id"], row["attribute"], row["given"], row["right"], row["decided_by"],
         _words(story.spec, row["attribute"], [row["right"], row["given"]]),
         _where(story.spec, row["attribute"], str(row["right"]).split("|")[0]))
        for row in records(story.mistakes)
    ]  # fmt: skip
    return _csv(MISTAKE_COLUMNS, rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([sheets.plain(cell) for cell in row] for row in rows)
    return text.getvalue()


# ---- parts of the page


def _verdict(story: Story) -> str:
    total = sum(story.counts.values())
    if not total:
        return "<div class='verdict'><b>Measured</b><p>How the answers were is told below, question by question.</p></div>"
    share = story.counts["accepted"] / total
    colour = "good" if share >= 0.9 else "part" if share >= story.spec.gates.min_accept_share else "bad"
    again = "the questions of a rework batch are accepted now" if story.kind == "rework" else "the questions were accepted at once"
    said = [f"{_percent(share)} of {again}."]
    if story.counts["sent_back"]:
        said.append(f"{_percent(story.counts['sent_back'] / total)} come back to you in a rework batch, with what must be answered again.")
    if story.counts["ours"]:
        said.append(f"{_percent(story.counts['ours'] / total)} we decide ourselves.")
    return f"<div class='verdict {colour}'><b>{_percent(share)} accepted</b><p>{' '.join(said)}</p></div>"


def _trend(story: Story) -> str:
    if len(story.yields) < 2:
        return ""
    rows = [(escape(row["batch_id"]), f"{_bar(row['share'])}{_percent(row['share'])}") for row in records(story.yields)]
    return f"<h2>Accepted at once, batch by batch</h2>{_table((), rows)}"


def _questions(story: Story) -> str:
    known = story.known.set_index("attribute")
    rows = []
    people = story.people.assign(weight=story.people["answers"].astype("float64"))
    for row in records(story.agreement):
        name = row["attribute"]
        mine = people[(people["attribute"] == name) & people["agreement"].notna()]
        settled = (mine["agreement"] * mine["weight"]).sum() / mine["weight"].sum() if len(mine) else None
        measured = "too few to tell"
        if name in known.index:
            accuracy, lower = known.loc[name, "accuracy"], known.loc[name, "lower"]
            measured = f"{_percent(accuracy)} right, surely {_percent(lower)} or more"
        alpha = "-" if row["alpha"] is None else f"{row['alpha']:.2f} ({row['alpha_lower']:.2f} to {row['alpha_upper']:.2f})"
        rows.append((escape(_asked(story.spec, name)), measured, _percent(settled), _percent(row["raw_agreement"]), alpha))
    head = ("question", "known answers", "agree with what was settled", "agree with each other", "beyond chance (alpha)")
    note = (
        "<p class='soft'>Known answers are pictures among the others whose answers we have. Alpha is 1 where people agree fully and 0 "
        "where they agree as chance would have it; the numbers in brackets are its 95 % interval. Nobody is judged by alpha.</p>"
    )
    return f"<h2>How the questions were answered</h2>{_table(head, rows)}{note}" if rows else ""


def _pairs(story: Story, has_guidelines: bool) -> str:
    if story.confused.empty:
        return ""
    text = "<h2>What is taken for what</h2>"
    for row in records(story.confused.head(PAIRS)):
        name, right, given = row["attribute"], row["right"], row["given"]
        mine = story.mistakes[
            (story.mistakes["attribute"] == name) & (story.mistakes["right"] == right) & (story.mistakes["given"] == given)
        ].drop_duplicates("image_id")
        values = dict.fromkeys([*str(right).split("|"), *str(given).split("|")])
        text += (
            f"<div class='reason'><h3>{escape(name)}: <span class='right'>{escape(right)}</span> called "
            f"<span class='given'>{escape(given)}</span><code>{_percent(row['share'])} of the times</code></h3>"
            f"{_definitions(story.spec, name, values, '' if has_guidelines else None)}{_sheet(story, mine.head(IN_A_PAIR))}</div>"
        )
    return text


def _people(story: Story, packs: Collection[str]) -> str:
    rows = []
    for worker, mine in story.people.groupby("worker_id", sort=True):
        judged = mine[mine["agreement"].notna()]
        weight = judged["answers"].astype("float64")
        agreement = (judged["agreement"] * weight).sum() / weight.sum() if len(judged) else None
        weakest = judged.sort_values("agreement")["attribute"].iloc[0] if len(judged) else ""
        changes = [f"{_plain(row['attribute'])} {_change(row['change'])}" for row in records(mine) if row["change"] is not None]
        shown = f"<a href='packs/{escape(str(worker))}.html'>examples</a>" if worker in packs else ""
        rows.append(
            (f"<code>{escape(str(worker))}</code>", int(mine["answers"].sum()), _percent(agreement), escape(str(weakest)),
             _seconds(mine["seconds"].median()), "; ".join(changes), shown, agreement if agreement is not None else 2.0)
        )  # fmt: skip
    rows.sort(key=lambda row: (row[-1], row[0]))
    head = ("person", "answers", "agree with what was settled", "weakest question", "median s", "change since before", "own mistakes")
    more = f"<p class='soft'>and {len(rows) - SHOWN_PEOPLE:,} more in people.csv</p>" if len(rows) > SHOWN_PEOPLE else ""
    note = (
        "<p class='soft'>People are named by pseudonyms that we make; your own files tell by the item ids in mistakes.csv who answered.</p>"
    )
    return f"<h2>Your people</h2>{_table(head, [row[:-1] for row in rows[:SHOWN_PEOPLE]])}{more}{note}" if rows else ""


def _how(story: Story) -> str:
    return (
        "<h2>What to do with it</h2><ul><li>Give everyone the page with their own mistakes and the definitions it quotes.</li>"
        "<li>Answer what comes back in the rework batch, whole; nothing else has to be done again.</li>"
        "<li>Tell your contact where you think that what was settled is wrong: name the item and the question.</li></ul>"
        "<p class='soft'>people.csv has a row for each person and question, mistakes.csv the examples with their item ids. Examples are "
        "drawn at random: that an answer isn't among them says neither that it was right nor that it was wrong.</p>"
    )


def _sheet(story: Story, rows: pd.DataFrame) -> str:
    figures = []
    for row in records(rows):
        jpeg = story.pictures.get(row["image_id"])
        picture = (
            f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">' if jpeg else "<p class='soft'>no picture</p>"
        )
        if jpeg and row["given_boxes"] is not None and row["image_id"] in story.sizes:
            picture = f"<div class='drawn'>{picture}{_outlines(row, story.sizes[row['image_id']])}</div>"
        figures.append(
            f"<figure>{picture}<figcaption><code>{escape(row['task_id'])}</code><br><span class='given'>answered: {escape(row['given'])}"
            f"</span><br><span class='right'>is: {escape(row['right'])}</span> <span class='soft'>({escape(row['decided_by'])})</span>"
            "</figcaption></figure>"
        )
    return f"<div class='sheet'>{''.join(figures)}</div>" if figures else ""


def _outlines(row: Mapping[str, Any], size: tuple[int, int]) -> str:
    """The boxes that are wrong, dashed, and those that are right instead, over the picture."""
    rects = [
        f"<rect class='{name}' x='{x:g}' y='{y:g}' width='{w:g}' height='{h:g}'/>"
        for name in ("right", "given") for x, y, w, h in row[f"{name}_boxes"]
    ]  # fmt: skip
    return f"<svg viewBox='0 0 {size[0]} {size[1]}' preserveAspectRatio='none'>{''.join(rects)}</svg>"


def _definitions(spec: ProjectSpec, name: str, values: Iterable[str], base: str | None) -> str:
    """What the guidelines say of some values; `base` leads to them, None where they aren't there."""
    attribute = question(spec, name)
    lines = []
    for value in values:
        if attribute is None or value not in attribute.definitions:
            continue
        title = escape(value) if base is None else f"<a href='{base}{anchor(name, value)}'>{escape(value)}</a>"
        lines.append(f"<dt>{title}</dt><dd>{escape(attribute.definitions[value])}</dd>")
    return f"<dl>{''.join(lines)}</dl>"


def _words(spec: ProjectSpec, name: str, labels: Iterable[str | None]) -> str:
    attribute = question(spec, name)
    values = dict.fromkeys(value for label in labels if label for value in label.split("|"))
    told = [f"{value}: {attribute.definitions[value]}" for value in values if attribute is not None and value in attribute.definitions]
    return " ".join(told)


def _where(spec: ProjectSpec, name: str, value: str) -> str:
    """Where the guidelines tell of an answer; of one that they don't define, where they tell of its question."""
    attribute = question(spec, name)
    return anchor(name, value if attribute is not None and value in attribute.definitions else "")


def _asked(spec: ProjectSpec, name: str) -> str:
    attribute = question(spec, name)
    return f"{_plain(name)}: {attribute.question}" if attribute is not None and attribute.question else _plain(name)


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float | None) -> str:
    return "-" if share is None or pd.isna(share) else f"{share:.0%}"


def _change(change: float | None) -> str:
    return "" if change is None or pd.isna(change) else f"{change * 100:+.0f} points"


def _seconds(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.1f}"


def _bar(share: float) -> str:
    return f"<span class='rail'><span class='bar' style='width:{max(0.0, min(1.0, share)):.1%}'></span></span>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """Rows of ready HTML."""
    lines = ["<tr>" + "".join(f"<th>{title}</th>" for title in head) + "</tr>"] if head else []
    for row in rows:
        cells = (f"<td class='number'>{cell:,}</td>" if isinstance(cell, int) else f"<td>{cell}</td>" for cell in row)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _html(title: str, parts: Iterable[str]) -> str:
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>{''.join(parts)}</html>\n"
    )
