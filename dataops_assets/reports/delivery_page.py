"""The words and the looks of a delivery report: its page without scripts, and its CSV. Both tell a `Story`, see `delivery.py`."""

from __future__ import annotations

import base64
import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pandas as pd

from dataops_assets.exports import sheets
from dataops_assets.manifest import records
from dataops_assets.reports.reasons import OF_DELIVERIES, explain
from dataops_assets.spec import ImageVendor, ProjectSpec
from dataops_assets.store import RELEASING

NAMES, NAME_LETTERS, CATEGORIES = 10, 120, 20
COLUMNS = ("path", "status", "reason", "what it means", "warnings", "sha256", "bytes", "width", "height", "category")
SHOWN = 6  # pictures a reason

WORDS = {
    "kept": "in use",
    "accepted": "accepted, screening is to come",
    "in order": "nothing wrong with the file, but the delivery is not accepted",
    "review": "waits for a person to look at it",
    "left out": "accepted, but left out by the screening",
    "duplicate": "a copy inside this delivery",
    "refused": "can't be used",
    "held": "waits for the rest of the delivery",
    "missing": "listed in the manifest, not delivered",
    "ignored": "markers, manifests and files that systems leave behind",
}
FAULTS = {
    "not_empty": "it holds no picture that we could judge",
    "something_accepted": "it holds no file that can be used",
    "accepted_share": "too many of its files can't be used",
    "vendor_known": "the folder it came in is not a vendor's of this project",
    "license_allowed": "the licence of some files is not one that the project may use",
    "license_given": "some files name no licence",
    "consent_given": "some files name no consent reference",
    "keep_share": "too many of its pictures fail the screening",
}
SHARE_OF = "share_of_"  # expectations of `max_reason_share`
# how a later delivery under the same name stands that hasn't taken the place of this one
AGAIN = {"refused": " and refused", "parked": "; we look into it", "held": "; it is not complete yet", "in work": "; we are checking it"}


@dataclass(frozen=True)
class Story:
    """All that is known of one delivery and may be told.

    `files` has a row a file: path, status (a key of `WORDS`), reason, warnings, what it doubles, facts, and the blob to show.
    `again` names the delivery that came later under its name, and how that stands.
    """

    spec: ProjectSpec
    drop_id: str
    vendor: str
    drop: Mapping[str, Any]
    files: pd.DataFrame
    raw: Mapping[str, Any]
    cleaned: Mapping[str, Any]
    so_far: pd.DataFrame
    received_at: Any = None
    replaces: str | None = None
    again: tuple[str, str] | None = None
    is_withdrawn: bool = False
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def terms(self) -> ImageVendor | None:
        return self.spec.sources.vendor(self.vendor)

    @property
    def is_taken(self) -> bool:
        return self.raw.get("outcome") in RELEASING

    @property
    def is_counted(self) -> bool:
        """Whether its accepted files count for what was promised and for what is paid."""
        return bool((self.so_far["drop_id"] == self.drop_id).any())

    def count(self, *statuses: str) -> int:
        return int(self.files["status"].isin(statuses).sum())


def inert(text: Any) -> str:
    """Text in which nothing is invisible: control and format characters, line ends and lone surrogates are spelt out."""
    kinds = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
    return "".join(f"\\u{ord(letter):04x}" if unicodedata.category(letter) in kinds else letter for letter in str(text))


def by_reason(files: pd.DataFrame, column: str = "reason") -> list[tuple[str, pd.DataFrame]]:
    """(code, its files), most frequent first; a file with several codes is in several."""
    told = files[files[column].notna()]
    split = told.assign(code=told[column].str.split("|")).explode("code")
    groups = [(str(code), rows) for code, rows in split.groupby("code", sort=True)]
    return sorted(groups, key=lambda group: -len(group[1]))


def verdict(story: Story) -> tuple[str, str]:
    """One word for the whole delivery, and a sentence that says what it rests on."""
    delivered = len(story.files) - story.count("ignored", "missing")
    status, reasons = story.drop.get("status"), _codes(story.drop.get("reason"))
    left, waiting = story.count("refused", "left out", "held", "missing"), story.count("review")
    if story.is_withdrawn:
        return "Withdrawn", "This delivery is no longer used. Your contact tells you why."
    if status == "parked":
        return "Waiting for us", "We could not process this delivery yet and look into it. You need not do anything."
    if status == "held":
        return "Waiting for you", " ".join(explain(code).means for code in reasons) or "The delivery is not complete yet."
    if status == "rejected":
        return "Refused", "None of it can be used. " + " ".join(explain(code).means for code in reasons[:3])
    for judged in (story.raw, story.cleaned):
        if judged.get("outcome") == "error":
            return "Waiting for us", "One of our own checks could not run. You need not do anything."
        if judged.get("outcome") == "fail":
            return _failed(_codes(judged["failed"]))
    if not story.raw:
        return "Waiting for us", "The delivery arrived and has not been checked yet."
    word = "Partly accepted" if left else "Accepted"
    if not story.cleaned:
        return word, f"{_files_of(story.count('accepted'), delivered)} are accepted; their pictures are screened next."
    more = f" {waiting:,} wait{'s' if waiting == 1 else ''} for a person to look at." if waiting else ""
    return word, f"{_files_of(story.count('kept'), delivered)} are accepted and in use.{more}"


def _failed(names: Sequence[str]) -> tuple[str, str]:
    faults = list(dict.fromkeys(filter(None, (_fault(name.removesuffix("_filled")) for name in names))))
    if not faults:
        return "Waiting for us", "One of our own checks did not pass. We look into it; you need not do anything."
    return "Refused", f"The delivery as a whole is not accepted: {'; '.join(faults)}. Correct it and deliver it again under the same name."


def _fault(expectation: str) -> str | None:
    """What a vendor hears of a failed expectation; None where it is no fault of the delivery."""
    if expectation.startswith(SHARE_OF):
        reason = expectation.removeprefix(SHARE_OF).replace("_", " ").lower()
        return f"too many of its pictures are left out for one reason ({reason})"
    return FAULTS.get(expectation)


def _files_of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} files"


def _codes(text: Any) -> list[str]:
    return text.split("|") if isinstance(text, str) and text else []


def sheet(files: pd.DataFrame) -> str:
    """The CSV: every file, in the page's words."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    said: dict[str, str] = {}
    for row in records(files):
        codes = row["reason"] or ""
        if codes not in said:
            said[codes] = " ".join(f"{reason.means} {reason.do}" for reason in map(explain, _codes(codes)))
        meaning = said[codes] + (f" It shows the same as {inert(row['double'])}." if row["double"] else "")
        category = inert(row["category"]) if row["category"] else None
        cells = (
            row["path"], row["status"], row["reason"], meaning or WORDS[row["status"]].capitalize() + ".", row["warnings"], row["sha256"],
            row["size_bytes"], row["width_px"], row["height_px"], category,
        )  # fmt: skip
        writer.writerow([sheets.plain(cell) for cell in cells])
    return buffer.getvalue()


# ---- the page

STYLE = """
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;margin:2rem auto;max-width:56rem;padding:0 1.2rem}
body{color:#1c2430;background:#fff}
h1{font-size:1.6rem;margin:0} h2{font-size:1.15rem;margin:2.2rem 0 .5rem;border-bottom:1px solid #d9dee6;padding-bottom:.2rem}
h3{font-size:1rem;margin:0} h3 code{font-size:.85rem;color:#5a6676;font-weight:400;margin-left:.5rem}
p{margin:.3rem 0} .soft{color:#5a6676}
.verdict{border-left:6px solid #8a94a3;background:#f5f7fa;padding:.7rem 1rem;margin:1rem 0;border-radius:0 6px 6px 0}
.verdict b{font-size:1.15rem} .good{border-color:#2e8b57;background:#eff8f2} .part{border-color:#c98a00;background:#fdf7e8}
.bad{border-color:#c0392b;background:#fcf0ee}
table{border-collapse:collapse;font-size:.92rem;margin:.4rem 0}
th,td{border-bottom:1px solid #e3e7ee;padding:.25rem 1.2rem .25rem 0;text-align:left;vertical-align:top}
.number{text-align:right;font-variant-numeric:tabular-nums} tr.sum td{font-weight:600;border-top:1px solid #8a94a3}
.reason{border:1px solid #e3e7ee;border-radius:6px;padding:.7rem 1rem;margin:.7rem 0;break-inside:avoid}
.do::before{content:"\\2192\\00a0"} .names{font:.82rem/1.5 ui-monospace,monospace;margin:.4rem 0 0;padding-left:1.1rem;columns:2}
.names li,td,figcaption{overflow-wrap:anywhere} .sheet{display:flex;flex-wrap:wrap;gap:.5rem;margin-top:.5rem}
figure{margin:0;width:98px;text-align:center} figure img{border:1px solid #e3e7ee;max-width:96px}
figcaption{font-size:.68rem;line-height:1.2;color:#5a6676;max-height:2.5em;overflow:hidden}
@media print{body{margin:0;max-width:none;font-size:11pt} .verdict{print-color-adjust:exact} a{color:inherit}}
"""
COLOURS = {"Accepted": "good", "Partly accepted": "part", "Waiting for you": "part", "Refused": "bad"}
GROUPS = (
    ("Files that can't be used", ("refused",)),
    ("What we wait for", ("held", "missing")),
    ("Left out by the screening", ("left out",)),
    ("Waiting for a person to look at", ("review",)),
    ("Copies", ("duplicate",)),
)


def page(story: Story) -> str:
    """The report as one self-contained HTML page."""
    word, sentence = verdict(story)
    head = (
        f"<h1>Delivery report</h1><p class='soft'>{_words(story.spec.name)} · {_words(story.vendor)}</p>"
        f"<div class='verdict {COLOURS.get(word, '')}'><b>{word}</b><p>{_words(sentence, 2000)}</p></div>"
    )
    parts = [head, _facts(story), _numbers(story), _as_a_whole(story)]
    parts += [_group(story, title, statuses) for title, statuses in GROUPS]
    parts += [_kept(story), _warnings(story), _agreed(story), _amounts(story)]
    foot = (
        f"<h2>Every file</h2><p>The list of all files with what became of each is in <code>{escape(story.drop_id)}.csv</code>. "
        "Pictures on this page are reduced to 96 pixels. To correct something, deliver again under the same name.</p>"
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Delivery report {escape(story.drop_id)}</title><style>{STYLE}</style>{''.join(parts)}{foot}</html>\n"
    )


def _words(text: Any, letters: int = NAME_LETTERS) -> str:
    """A vendor's or our words as HTML: nothing invisible, nothing that is markup, kept apart from the direction of what surrounds it."""
    plain = inert(text)
    return f"<bdi>{escape(plain if len(plain) <= letters else plain[:letters] + '…')}</bdi>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str | int | None]], last_is_sum: bool = False) -> str:
    """Rows of numbers and of ready HTML."""
    rows = list(rows)
    lines = ["<tr>" + "".join(f"<th>{title}</th>" for title in head) + "</tr>"] if any(head) else []
    for place, row in enumerate(rows):
        cells = (f"<td class='number'>{cell:,}</td>" if isinstance(cell, int) else f"<td>{cell or ''}</td>" for cell in row)
        lines.append(f"<tr{' class=sum' if last_is_sum and place == len(rows) - 1 else ''}>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _facts(story: Story) -> str:
    rows = [("Delivery", _words(story.drop.get("name") or "")), ("Our number", escape(story.drop_id))]
    if story.received_at is not None:
        rows.append(("Received", f"{story.received_at:%Y-%m-%d %H:%M} UTC"))
    if story.replaces:
        is_refused = verdict(story)[0] == "Refused"
        rows.append(("This delivery was to replace" if is_refused else "This delivery replaces", _same_name(story.replaces)))
    if story.again:
        other, how = story.again
        is_replaced = how not in AGAIN
        rows.append(("It was replaced by", _same_name(other)) if is_replaced else ("It came again as", _same_name(other) + AGAIN[how]))
    return _table((), [(f"<span class='soft'>{name}</span>", value) for name, value in rows])


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
        if word in ("accepted", "refused") or (what == word).any():
            means = "can be used" if word == "accepted" else WORDS[word]
            rows.append((word, int((what == word).sum()), _size(arrived.loc[what == word, "size_bytes"]), means))
    rows.append(("delivered", len(arrived), _size(arrived["size_bytes"]), ""))
    text = f"<h2>What arrived</h2>{_table(('', 'files', 'size', ''), rows, last_is_sum=True)}"
    missing = len(files) - len(arrived)
    if missing:
        text += f"<p>{missing:,} more {'is' if missing == 1 else 'are'} listed in the manifest and did not arrive.</p>"
    judged = files[(files["status"] != "ignored")]
    if len(judged):
        good = int((judged["is_accepted"] | (judged["status"] == "duplicate")).sum())
        least = story.spec.gates.min_accepted_file_share
        text += f"<p>{good / len(judged):.1%} of the files can be used, copies included; the project needs at least {least:.0%}.</p>"
    if story.cleaned:
        screened = files[files["is_accepted"]]
        tally = [(word, int((screened["status"] == word).sum()), WORDS[word]) for word in ("kept", "in order", "left out", "review")]
        shown = [(("waiting" if word == "review" else word), count, means) for word, count, means in tally if count or word == "kept"]
        text += f"<h2>After the screening</h2>{_table(('', 'pictures', ''), [*shown, ('accepted', len(screened), '')], last_is_sum=True)}"
        if story.cleaned.get("outcome") == "fail":
            text += f"<p>At least {story.spec.gates.min_keep_share:.0%} of the accepted pictures must pass the screening.</p>"
    return text


def _size(column: pd.Series) -> str:
    size = int(column.fillna(0).sum())
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1e3:,.0f} kB" if size < 10_000_000 else f"{size / 1e6:,.0f} MB"


def _as_a_whole(story: Story) -> str:
    codes = [code for code in _codes(story.drop.get("reason")) if code in OF_DELIVERIES and code != "MANIFEST_FILE_MISSING"]
    return "<h2>The delivery as a whole</h2>" + "".join(map(_reason, codes)) if codes else ""


def _group(story: Story, title: str, statuses: Sequence[str]) -> str:
    groups = by_reason(story.files[story.files["status"].isin(statuses)])
    return f"<h2>{title}</h2>" + "".join(_reason(code, rows, story) for code, rows in groups) if groups else ""


def _reason(code: str, rows: pd.DataFrame | None = None, story: Story | None = None) -> str:
    means, do = explain(code)
    count = "" if rows is None else f"{len(rows):,} file{'s' if len(rows) != 1 else ''}: "
    text = f"<h3>{count}{escape(code.replace('_', ' ').lower())}<code>{escape(code)}</code></h3><p>{escape(means)}</p>"
    text += f"<p class='do'>{escape(do)}</p>"
    if rows is not None and story is not None:
        text += _names(rows) + _sheet(rows, story)
    return f"<div class='reason'>{text}</div>"


def _names(rows: pd.DataFrame) -> str:
    named = [
        f"<li>{_words(path)}{f' <span class=soft>shows the same as {_words(double)}</span>' if isinstance(double, str) else ''}</li>"
        for path, double in zip(rows["path"].head(NAMES), rows["double"].head(NAMES), strict=True)
    ]
    more = f"<p class='soft'>and {len(rows) - NAMES:,} more, listed in the CSV</p>" if len(rows) > NAMES else ""
    return f"<ul class='names'>{''.join(named)}</ul>{more}"


def _sheet(rows: pd.DataFrame, story: Story) -> str:
    """A contact sheet: the first pictures of some rows that can be shown."""
    seen = rows[rows["picture"].isin(story.thumbnails)].drop_duplicates("picture").head(SHOWN)
    figures = []
    for path, sha256 in zip(seen["path"], seen["picture"], strict=True):
        data = base64.b64encode(story.thumbnails[sha256]).decode()
        name = _words(path.rsplit("/", 1)[-1], 40)
        figures.append(f"<figure><img alt='' src='data:image/jpeg;base64,{data}'><figcaption>{name}</figcaption></figure>")
    return f"<div class='sheet'>{''.join(figures)}</div>" if figures else ""


def _kept(story: Story) -> str:
    sheet = _sheet(story.files[story.files["status"] == "kept"], story)
    return f"<h2>Examples in use</h2>{sheet}" if sheet else ""


def _warnings(story: Story) -> str:
    groups = by_reason(story.files, "warnings")
    told = [(f"<code>{escape(code)}</code>", len(rows), escape(" ".join(explain(code)))) for code, rows in groups]
    return f"<h2>Advice</h2><p>These files were taken all the same.</p>{_table(('', 'files', ''), told)}" if told else ""


def _agreed(story: Story) -> str:
    """Accepted files over all deliveries against what was promised."""
    if story.terms is None:
        return ""
    promised, total = story.terms.promised, len(story.so_far)
    tally = story.so_far["category"].fillna("").value_counts()
    here = story.files.loc[story.files["is_accepted"] & story.is_counted, "category"].fillna("").value_counts()
    names = [*promised.categories, *sorted(set(tally.index) - set(promised.categories), key=lambda name: (-tally[name], name))]
    rows = [
        (_words(name) if name else "without category", promised.categories.get(name), int(here.get(name, 0)), int(tally.get(name, 0)))
        for name in names[: len(promised.categories) + CATEGORIES]
    ]
    left_out = names[len(promised.categories) + CATEGORIES :]
    if left_out:
        rows.append((f"{len(left_out):,} more", None, int(here.reindex(left_out).fillna(0).sum()), int(tally.reindex(left_out).sum())))
    rows.append(("all", promised.files, int(here.sum()), total))
    lines = [(name, want, new, have, max(0, want - have) if want is not None else None) for name, want, new, have in rows]
    head = ("accepted files", "promised", "this delivery", "so far", "missing")
    text = f"<h2>So far and as agreed</h2>{_table(head, lines, last_is_sum=True)}"
    text += "<p class='soft'>So far: all your deliveries, each picture once; replaced and withdrawn ones don't count.</p>"
    return text + (f"<p>{_due(story)}</p>" if promised.by and story.received_at is not None else "")


def _due(story: Story) -> str:
    assert story.terms is not None and story.terms.promised.by is not None
    by = story.terms.promised.by
    days = (by - story.received_at.date()).days
    span = f"{abs(days):,} day{'' if abs(days) == 1 else 's'}"
    when = "on that day" if not days else f"{span} before that day" if days > 0 else f"{span} late"
    return f"All of it is due by {by:%Y-%m-%d}. This delivery arrived {when}."


def _amounts(story: Story) -> str:
    mine = story.files[story.files["is_accepted"] & story.is_counted]
    if story.terms is None or not (mine["price"].fillna(0).any() or story.so_far["price"].fillna(0).any()):
        return ""
    lines = [_amount(name, rows["price"].fillna(0), story) for name, rows in (("this delivery", mine), ("so far", story.so_far))]
    return (
        f"<h2>Amounts</h2>{_table(('', 'accepted files', 'price', 'amount'), lines)}"
        "<p class='soft'>The agreed price counts where your manifest has none or a higher one. This is a calculation, not an invoice.</p>"
    )


def _amount(name: str, prices: pd.Series, story: Story) -> tuple[str, int, str, str]:
    currency = story.spec.brief.currency
    different = prices.unique()
    price = f"{different[0]:,.4g} {currency}" if len(different) == 1 else "as listed" if len(different) else ""
    return name, len(prices), price, f"{prices.sum():,.2f} {currency}"
