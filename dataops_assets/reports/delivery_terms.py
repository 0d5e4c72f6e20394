"""What a vendor promised against what came of all its deliveries: files, categories, day, and amounts."""

from __future__ import annotations

import pandas as pd

from dataops_assets.reports.delivery_parts import goal, table, words
from dataops_assets.reports.delivery_story import Story

CATEGORIES = 20
Tile = tuple[str, str, str, str]


def tiles(story: Story) -> list[Tile]:
    """How far the vendor is in all, for the head of the page: a colour, a name, a value and what it means."""
    if story.terms is None or not story.knows_others:
        return []
    promised, total = story.terms.promised, len(story.so_far)
    if promised.files is None:
        return [("goal", "accepted so far", f"{total:,}", "over all deliveries")]
    return [("goal", "accepted so far, of promised", f"{total:,} <small>of {promised.files:,}</small>", goal(total, promised.files))]


def agreed(story: Story) -> str:
    """Accepted files over all deliveries against what was promised."""
    if story.terms is None:
        return ""
    if not story.knows_others:
        return "<p class='soft'>Nothing of this delivery counts for what was agreed before it has been checked.</p>"
    promised, total = story.terms.promised, len(story.so_far)
    tally = story.so_far["category"].fillna("").value_counts()
    here = story.files.loc[story.files["is_accepted"] & story.is_counted, "category"].fillna("").value_counts()
    names = [*promised.categories, *sorted(set(tally.index) - set(promised.categories), key=lambda name: (-tally[name], name))]
    rows = [
        (words(name) if name else "without category", promised.categories.get(name), int(here.get(name, 0)), int(tally.get(name, 0)))
        for name in names[: len(promised.categories) + CATEGORIES]
    ]
    left_out = names[len(promised.categories) + CATEGORIES :]
    if left_out:
        rows.append((f"{len(left_out):,} more", None, int(here.reindex(left_out).fillna(0).sum()), int(tally.reindex(left_out).sum())))
    rows.append(("all", promised.files, int(here.sum()), total))
    lines = [
        (name, want, new, have, max(0, want - have) if want is not None else None, goal(have, want) if want is not None else "")
        for name, want, new, have in rows
    ]
    head = ("accepted files", "promised", "this delivery", "so far", "missing", "")
    text = f"<h2>So far and as agreed</h2>{table(head, lines, last_is_sum=True)}"
    text += "<p class='soft'>So far: all your deliveries, each picture once; replaced and withdrawn ones don't count.</p>"
    return text + (f"<p>{_due(story)}</p>" if promised.by and story.received_at is not None else "")


def _due(story: Story) -> str:
    assert story.terms is not None and story.terms.promised.by is not None
    by = story.terms.promised.by
    days = (by - story.received_at.date()).days
    span = f"{abs(days):,} day{'' if abs(days) == 1 else 's'}"
    when = "on that day" if not days else f"{span} before that day" if days > 0 else f"{span} late"
    return f"All of it is due by {by:%Y-%m-%d}. This delivery arrived {when}."


def amounts(story: Story) -> str:
    """What this delivery and all of them come to, at the agreed prices."""
    mine = story.files[story.files["is_accepted"] & story.is_counted]
    if story.terms is None or not (mine["price"].fillna(0).any() or story.so_far["price"].fillna(0).any()):
        return ""
    lines = [_amount(name, rows["price"].fillna(0), story) for name, rows in (("this delivery", mine), ("so far", story.so_far))]
    return (
        f"<h2>Amounts</h2>{table(('', 'accepted files', 'price', 'amount'), lines)}"
        "<p class='soft'>The agreed price counts where your manifest has none or a higher one. This is a calculation, not an invoice.</p>"
    )


def _amount(name: str, prices: pd.Series, story: Story) -> tuple[str, int, str, str]:
    currency = story.spec.brief.currency
    different = prices.unique()
    price = f"{different[0]:,.4g} {currency}" if len(different) == 1 else "as listed" if len(different) else ""
    return name, len(prices), price, f"{prices.sum():,.2f} {currency}"
