"""How fast vendors are in fact: the working days that their batches took, beside those that the stated pace leads to."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataops_assets.spec import LabelVendor, ProjectSpec
from dataops_assets.stages import brief

TIMES = ["batch_id", "vendor", "answers", "sent_at", "returned_at"]
BOUGHT = ("production-", "rework-")


def batches(times: pd.DataFrame, vendor: LabelVendor, spec: ProjectSpec) -> pd.DataFrame:
    """A vendor's batches that came back, as they were sent.

    Args:
        times: Columns of TIMES: when a batch was sent and when its labels were released, with the accepted answers.
        vendor: Who answered.
        spec: The project.

    Returns:
        `batch_id`, `hours`, `first` (the day after sending), `back` (the day), `days` (of work at the stated pace, at least one), and
        `due`: the day that the stated pace leads to, one batch after the other.
    """
    rows = times[(times["vendor"] == vendor.name) & times["sent_at"].notna() & times["returned_at"].notna()]
    found, free = [], date.min
    for batch, answers, sent_at, returned_at in (
        rows.sort_values(["sent_at", "returned_at", "batch_id"])[["batch_id", "answers", "sent_at", "returned_at"]].itertuples(index=False)
    ):  # fmt: skip
        first, days = sent_at.date() + timedelta(days=1), max(1, math.ceil(answers / vendor.labels_per_day))
        due = _finish(max(first, free), days, spec, vendor)
        free = min(due, date.max - timedelta(days=1)) + timedelta(days=1)
        hours = (returned_at - sent_at).total_seconds() / 3600
        found.append((batch, hours, first, returned_at.date(), days, due))
    return pd.DataFrame(found, columns=["batch_id", "hours", "first", "back", "days", "due"])


def forecast(times: pd.DataFrame, spec: ProjectSpec, today: date) -> list[str]:
    """A sentence a labelling vendor that has brought batches back: its pace in fact, and when the rest would be back at that.

    A faster pace than it states is not counted on.
    """
    figures = brief.check(spec).set_index("check")["value"].to_dict()
    wanted = math.ceil(float(figures["labels_wanted"]) * (1 + brief.REWORK_ALLOWANCE))
    left = max(0, wanted - int(times.loc[times["batch_id"].str.startswith(BOUGHT), "answers"].sum()))
    said = []
    for vendor in spec.labeling.vendors:
        rows = batches(times, vendor, spec)
        if vendor.internal or rows.empty:
            continue
        agreed, taken = int(rows["days"].sum()), _days_out(rows, spec, vendor)
        told = (
            f"{vendor.name} brought {len(rows)} batch{'es' * (len(rows) > 1)} back in {taken:,} working day{'s' * (taken > 1)}, "
            f"where {vendor.labels_per_day:,} answers a day lead to {agreed:,}."
        )
        if left:
            days = math.ceil(left / vendor.labels_per_day * max(1.0, taken / agreed))  # small batches show nothing of a faster pace
            end, until = _finish(max(today, spec.brief.start), days, spec, vendor), spec.brief.deadline
            late = f", {(end - until).days:,} days after the deadline" if end > until else f"; the deadline is {until}"
            told += f" If it goes on like that, the {left:,} answers that are still to come, rework included, are back on {end}{late}."
        said.append(told)
    return said


def _finish(start: date, days: int, spec: ProjectSpec, vendor: LabelVendor) -> date:
    return brief.finish(start, days, spec.brief.days_a_week, {*spec.brief.days_off, *vendor.days_off})


def _days_out(rows: pd.DataFrame, spec: ProjectSpec, vendor: LabelVendor) -> int:
    """Working days on which the vendor had any batch, at least one: several at once don't make it slower."""
    out: set[np.datetime64] = set()
    for first, back in zip(rows["first"], rows["back"], strict=True):
        days: npt.NDArray[np.datetime64] = np.arange(first, back + timedelta(days=1), dtype="datetime64[D]")
        out.update(days)
    week = "1" * spec.brief.days_a_week + "0" * (7 - spec.brief.days_a_week)
    off = np.array(sorted({*spec.brief.days_off, *vendor.days_off}), dtype="datetime64[D]")
    return max(1, int(np.is_busday(np.array(sorted(out), dtype="datetime64[D]"), weekmask=week, holidays=off).sum()))
