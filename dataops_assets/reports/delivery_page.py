"""The looks of a delivery report: its page without scripts, and its CSV. Both tell a `Story`, see `delivery.py`."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from html import escape

import pandas as pd

from dataops_assets.exports import sheets
from dataops_assets.manifest import records
from dataops_assets.reports import delivery_terms
from dataops_assets.reports.delivery_parts import size_of, table, words
from dataops_assets.reports.delivery_story import AGAIN, WORDS, Story, by_reason, codes_of, inert, number_of, verdict
from dataops_assets.reports.reasons import explain

NAMES = 10
MISSING_NAMES = 200  # what is missing is told by name: with more than so many nobody types them
COLUMNS = ("path", "status", "reason", "what it means", "warnings", "sha256", "bytes", "width", "height", "category")
SHOWN = 6  # pictures a reason


def sheet(files: pd.DataFrame) -> str:
    """The CSV: every file, in the page's words."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    said: dict[str, str] = {}  # thousands of files share a few reasons
    for row in records(files):
        codes = row["reason"] or ""
        if codes not in said:
            said[codes] = " ".join(f"{reason.means} {reason.do}" for reason in map(explain, codes_of(codes)))
        meaning = said[codes] + (f" It shows the same as {inert(row['double'])}." if row["double"] else "")
        category = sheets.plain(inert(row["category"])) if row["category"] else None
        writer.writerow((
            sheets.plain(row["path"]), row["status"], row["reason"], meaning or WORDS[row["status"]].capitalize() + ".", row["warnings"],
            row["sha256"], row["size_bytes"], row["width_px"], row["height_px"], category,
        ))  # fmt: skip
    return buffer.getvalue()


# ---- the page

STYLE = """
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;margin:2rem auto;max-width:60rem;padding:0 1.2rem}
body{color:#1c2430;background:#fff}
h1{font-size:1.6rem;margin:0} h2{font-size:1.15rem;margin:2.2rem 0 .5rem;border-bottom:1px solid #d9dee6;padding-bottom:.2rem}
h3{font-size:1rem;margin:0} h3 code{font-size:.85rem;color:#5a6676;font-weight:400;margin-left:.5rem}
p{margin:.3rem 0} .soft{color:#5a6676}
.verdict{border-left:6px solid #8a94a3;background:#f5f7fa;padding:.7rem 1rem;margin:1rem 0;border-radius:0 6px 6px 0;overflow-wrap:anywhere}
.verdict b{font-size:1.15rem} .good{border-color:#2e8b57;background:#eff8f2} .part{border-color:#c98a00;background:#fdf7e8}
.bad{border-color:#c0392b;background:#fcf0ee}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.7rem;margin:1rem 0}
.tiles div{border:1px solid #e3e7ee;border-top:4px solid #8a94a3;border-radius:6px;padding:.5rem .8rem}
.tiles span{display:block;color:#5a6676;font-size:.85rem} .tiles b{display:block;font-size:1.7rem;line-height:1.25}
.tiles b small{font-size:.95rem;font-weight:400;color:#5a6676}
.tiles .good{border-top-color:#2e8b57;background:none} .tiles .bad{border-top-color:#c0392b;background:none}
.tiles .part{border-top-color:#c98a00;background:none} .tiles .goal{border-top-color:#3567b0}
svg.parts{display:block;width:100%;height:14px;border-radius:4px;margin:.2rem 0 .3rem} svg.goal{width:11rem;height:10px;border-radius:3px}
.key{font-size:.82rem;color:#5a6676;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem}
.key i{display:inline-block;width:.7em;height:.7em;margin-right:.35em}
table{border-collapse:collapse;font-size:.92rem;margin:.4rem 0}
th,td{border-bottom:1px solid #e3e7ee;padding:.25rem 1.2rem .25rem 0;text-align:left;vertical-align:top}
.number,th.number{text-align:right;font-variant-numeric:tabular-nums} tr.sum td{font-weight:600;border-top:1px solid #8a94a3}
.reason{border:1px solid #e3e7ee;border-radius:6px;padding:.7rem 1rem;margin:.7rem 0;break-inside:avoid}
.do::before{content:"\\2192\\00a0"} .do{font-weight:600}
.found{font:.85rem/1.5 ui-monospace,monospace;background:#f5f7fa;padding:.2rem .5rem}
.names{font:.82rem/1.5 ui-monospace,monospace;margin:.4rem 0 0;padding-left:1.1rem;columns:2}
.names li,td,figcaption,.found{overflow-wrap:anywhere} .sheet{display:flex;flex-wrap:wrap;gap:.5rem;margin-top:.5rem}
figure{margin:0;width:98px;text-align:center} figure img{border:1px solid #e3e7ee;max-width:96px}
figcaption{font-size:.68rem;line-height:1.2;color:#5a6676;max-height:2.5em;overflow:hidden}
@media print{body{margin:0;max-width:none;font-size:11pt} .verdict,svg,.key i{print-color-adjust:exact} a{color:inherit}}
"""
COLOURS = {"Accepted": "good", "Partly accepted": "part", "Waiting for you": "part", "Refused": "bad"}
PARTS = (  # of what arrived, as the bar shows them
    ("in use", "#2e8b57", ("kept",)), ("accepted", "#8cc7a1", ("accepted", "in order")), ("being looked at", "#5f93cf", ("review",)),
    ("waiting", "#e0b64a", ("held",)), ("left out", "#e08a4a", ("left out",)), ("refused", "#c0392b", ("refused",)),
    ("copies", "#b9c1cc", ("duplicate",)), ("ignored", "#dfe4ea", ("ignored",)),
)  # fmt: skip
GROUPS = (
    ("Files that can't be used", ("refused",)),
    ("What is missing", ("missing",)),
    ("What we wait for", ("held",)),
    ("Left out by the screening", ("left out",)),
    ("Waiting for a person to look at", ("review",)),
    ("Copies", ("duplicate",)),
)


def page(story: Story) -> str:
    """The report as one self-contained HTML page: what became of it at a glance, the reasons with examples, then the tables."""
    word, sentence = verdict(story)
    name = words(story.drop.get("name") or story.drop_id)
    head = (
        f"<h1>Delivery report</h1><p class='soft'>{words(story.spec.name)} · {words(story.vendor)} · {name}</p>"
        f"<div class='verdict {COLOURS.get(word, '')}'><b>{word}</b><p>{words(sentence, 2000)}</p></div>"
    )
    parts = [head, _tiles(story), _bar(story), _facts(story), delivery_terms.agreed(story), _as_a_whole(story)]
    parts += [_group(story, title, statuses) for title, statuses in GROUPS]
    parts += [_kept(story), _warnings(story), _numbers(story), delivery_terms.amounts(story)]
    foot = (
        f"<h2>Every file</h2><p>The list of all files with what became of each is in <code>{escape(story.drop_id)}.csv</code>. "
        "Pictures on this page are reduced to 96 pixels. To correct something, deliver again under the same name.</p>"
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Delivery report {escape(story.drop_id)}</title><style>{STYLE}</style>{''.join(parts)}{foot}</html>\n"
    )


def _tiles(story: Story) -> str:
    """Delivered, accepted, refused, and how far the vendor is: what a reader wants to know first."""
    arrived = story.files[story.files["status"] != "missing"]
    if story.files.empty:
        return ""
    good = "kept" if story.cleaned else "accepted"
    accepted, out = story.count(good), story.count("left out")
    left_out = f" <small>+ {out:,} left out</small>" if out else ""
    tiles = [("", "delivered", f"{len(arrived):,}", f"files, {size_of(arrived['size_bytes'])}")]
    if story.is_judged and not story.is_fetched_on and story.drop.get("status") != "held":
        tiles += [
            ("good", "accepted", f"{accepted:,}", "in use" if story.cleaned else "can be used"),
            (
                "bad",
                "refused",
                f"{story.count('refused'):,}{left_out}",
                "reasons are told below" if story.count("refused") or out else "nothing",
            ),
        ]
    else:
        tiles += [
            ("part", "waiting", f"{story.count('held'):,}", "here, and not checked yet"),
            ("bad", "missing", f"{story.count('missing'):,}", "still to be fetched" if story.is_fetched_on else "listed, and not here"),
        ]
    return f"<div class='tiles'>{''.join(_tile(*tile) for tile in (*tiles, *delivery_terms.tiles(story)))}</div>"


def _tile(colour: str, name: str, value: str, means: str) -> str:
    return f"<div class='{colour}'><span>{name}</span><b>{value}</b><span>{means}</span></div>"


def _bar(story: Story) -> str:
    """What arrived in one line, each part as long as it is large."""
    counts = [(name, colour, story.count(*statuses)) for name, colour, statuses in PARTS]
    counts = [part for part in counts if part[2]]
    whole = sum(count for *_, count in counts)
    if not whole:
        return ""
    drawn, at = "", 0
    for _, colour, count in counts:
        drawn += f"<rect x='{1000 * at / whole:.1f}' width='{1000 * count / whole:.1f}' height='14' fill='{colour}'/>"
        at += count
    key = "".join(f"<span><i style='background:{colour}'></i>{name} {count:,}</span>" for name, colour, count in counts)
    return f"<svg class='parts' viewBox='0 0 1000 14' preserveAspectRatio='none'>{drawn}</svg><div class='key'>{key}</div>"


def _facts(story: Story) -> str:
    rows = [("Delivery", words(story.drop.get("name") or "")), ("Our number", escape(story.drop_id))]
    if story.received_at is not None:
        rows.append(("Received", f"{story.received_at:%Y-%m-%d %H:%M} UTC"))
    if story.replaces:
        is_refused = verdict(story)[0] == "Refused"
        rows.append(("This delivery was to replace" if is_refused else "This delivery replaces", _same_name(story.replaces)))
    if story.again:
        other, how = story.again
        is_replaced = how not in AGAIN
        rows.append(("It was replaced by", _same_name(other)) if is_replaced else ("It came again as", _same_name(other) + AGAIN[how]))
    return table((), [(f"<span class='soft'>{name}</span>", value) for name, value in rows])


def _same_name(drop_id: str) -> str:
    return f'<a href="{escape(drop_id)}.html">{escape(drop_id)}</a>, delivered under the same name'


def _numbers(story: Story) -> str:
    """What arrived adds up, and what was accepted adds up again after the screening."""
    files = story.files
    arrived = files[files["status"] != "missing"]
    accepted = arrived["is_accepted"]
    what = arrived["status"].mask(accepted, "accepted" if story.is_taken else "in order")
    rows = []
    for word in ("accepted", "in order", "duplicate", "refused", "held", "ignored"):
        if (word in ("accepted", "refused") and story.drop.get("status") != "held") or (what == word).any():
            means = "can be used" if word == "accepted" else WORDS[word]
            rows.append((word, int((what == word).sum()), size_of(arrived.loc[what == word, "size_bytes"]), means))
    rows.append(("delivered", len(arrived), size_of(arrived["size_bytes"]), ""))
    text = f"<h2>What arrived</h2>{table(('', 'files', 'size', ''), rows, last_is_sum=True)}"
    missing = len(files) - len(arrived)
    if missing:
        why = "in the list and not fetched yet" if story.is_fetched_on else "listed in the manifest and did not arrive"
        text += f"<p>{missing:,} more {'is' if missing == 1 else 'are'} {why}.</p>"
    judged = files[(files["status"] != "ignored")]
    if len(judged) and story.is_judged and story.drop.get("status") != "held":
        good = int((judged["is_accepted"] | (judged["status"] == "duplicate")).sum())
        least = story.spec.gates.min_accepted_file_share
        text += f"<p>{good / len(judged):.1%} of the files can be used, copies included; the project needs at least {least:.0%}.</p>"
    if story.cleaned:
        screened = files[files["is_accepted"]]
        tally = [(word, int((screened["status"] == word).sum()), WORDS[word]) for word in ("kept", "in order", "left out", "review")]
        shown = [(("waiting" if word == "review" else word), count, means) for word, count, means in tally if count or word == "kept"]
        text += f"<h2>After the screening</h2>{table(('', 'pictures', ''), [*shown, ('accepted', len(screened), '')], last_is_sum=True)}"
        if story.cleaned.get("outcome") == "fail":
            text += f"<p>At least {story.spec.gates.min_keep_share:.0%} of the accepted pictures must pass the screening.</p>"
    return text


def _as_a_whole(story: Story) -> str:
    """Why all of it is refused or waits, and what exactly was found."""
    codes = [code for code in story.whole if code != "MANIFEST_FILE_MISSING"]
    found = f"<p class='found'>{words(story.detail, 1000)}</p>" if story.detail else ""
    if not codes or story.is_fetched_on:
        return ""
    boxes = [_reason(code, found=found if place == 0 else "") for place, code in enumerate(codes)]
    return "<h2>The delivery as a whole</h2>" + "".join(boxes)


def _group(story: Story, title: str, statuses: Sequence[str]) -> str:
    rows = story.files[story.files["status"].isin(statuses)]
    if statuses == ("missing",):
        return _missing(story, rows)
    if not story.is_judged:
        rows = rows[rows["reason"] == "INCOMPLETE"]
        told = f"<h3>{number_of(len(rows))} of another size than the manifest says</h3>"
        return f"<h2>Here in part</h2><div class='reason'>{told}{_names(rows, MISSING_NAMES)}</div>" if len(rows) else ""
    known = story.whole if statuses in (("refused",), ("held",)) else []  # what is true of each of them is told above, once
    groups = [(code, files) for code, files in by_reason(rows) if code not in known]
    return f"<h2>{title}</h2>" + "".join(_reason(code, files, story) for code, files in groups) if groups else ""


def _missing(story: Story, rows: pd.DataFrame) -> str:
    """What isn't here, by name."""
    if rows.empty:
        return ""
    means, do = explain("MANIFEST_FILE_MISSING")
    if story.is_fetched_on:
        means, do = "Their addresses are still to be asked, or didn't answer yet.", "Nothing: they are fetched by themselves."
    told = f"<h3>{number_of(len(rows))}</h3><p>{escape(means)}</p><p class='do'>{escape(do)}</p>"
    return f"<h2>What is missing</h2><div class='reason'>{told}{_names(rows, MISSING_NAMES)}</div>"


def _reason(code: str, rows: pd.DataFrame | None = None, story: Story | None = None, found: str = "") -> str:
    means, do = explain(code)
    count = "" if rows is None else f"{number_of(len(rows))}: "
    text = f"<h3>{count}{escape(code.replace('_', ' ').lower())}<code>{escape(code)}</code></h3><p>{escape(means)}</p>{found}"
    text += f"<p class='do'>{escape(do)}</p>"
    if rows is not None and story is not None:
        text += _names(rows) + _sheet(rows, story)
    return f"<div class='reason'>{text}</div>"


def _names(rows: pd.DataFrame, most: int = NAMES) -> str:
    named = [
        f"<li>{words(path)}{f' <span class=soft>shows the same as {words(double)}</span>' if isinstance(double, str) else ''}</li>"
        for path, double in zip(rows["path"].head(most), rows["double"].head(most), strict=True)
    ]
    more = f"<p class='soft'>and {len(rows) - most:,} more, listed in the CSV</p>" if len(rows) > most else ""
    return f"<ul class='names'>{''.join(named)}</ul>{more}"


def _sheet(rows: pd.DataFrame, story: Story) -> str:
    """A contact sheet: the first pictures of some rows that can be shown."""
    seen = rows[rows["picture"].isin(story.thumbnails)].drop_duplicates("picture").head(SHOWN)
    figures = []
    for path, sha256 in zip(seen["path"], seen["picture"], strict=True):
        data = base64.b64encode(story.thumbnails[sha256]).decode()
        name = words(path.rsplit("/", 1)[-1], 40)
        figures.append(f"<figure><img alt='' src='data:image/jpeg;base64,{data}'><figcaption>{name}</figcaption></figure>")
    return f"<div class='sheet'>{''.join(figures)}</div>" if figures else ""


def _kept(story: Story) -> str:
    sheet = _sheet(story.files[story.files["status"] == "kept"], story)
    return f"<h2>Examples in use</h2>{sheet}" if sheet else ""


def _warnings(story: Story) -> str:
    groups = by_reason(story.files, "warnings")
    told = [(f"<code>{escape(code)}</code>", len(rows), escape(" ".join(explain(code)))) for code, rows in groups]
    return f"<h2>Advice</h2><p>These files were taken all the same.</p>{table(('', 'files', ''), told)}" if told else ""
