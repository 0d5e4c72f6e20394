"""How fast vendors are in fact: the working days that batches took, beside those that the stated pace leads to."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from dataops_assets.spec import LabelVendor, ProjectSpec
from dataops_assets.stages import brief

TIMES = ["batch_id", "vendor", "answers", "sent_at", "returned_at"]


def batches(times: pd.DataFrame, vendor: LabelVendor, spec: ProjectSpec) -> pd.DataFrame:
    """A vendor's batches that came back.

    Args:
        times: Columns of TIMES: when a batch was sent and when its labels were released, with the accepted answers.
        vendor: Who answered.
        spec: The project.

    Returns:
        `batch_id`, `hours`, `due` (the day that the stated pace leads to, begun the day after sending), `back` (the day), and in working
        days, at least one, `agreed` and `taken`.
    """
    rows = times[(times["vendor"] == vendor.name) & times["sent_at"].notna() & times["returned_at"].notna()]
    agreed, off = spec.brief, {*spec.brief.days_off, *vendor.days_off}
    week = "1" * agreed.days_a_week + "0" * (7 - agreed.days_a_week)

    def worked(start: date, end: date) -> int:
        return max(1, int(np.busday_count(start, end + timedelta(days=1), weekmask=week, holidays=np.array(sorted(off), "datetime64[D]"))))

    found = []
    for batch, answers, sent_at, returned_at in rows[["batch_id", "answers", "sent_at", "returned_at"]].itertuples(index=False):
        start, back = sent_at.date() + timedelta(days=1), returned_at.date()
        days = int(np.ceil(answers / vendor.labels_per_day))
        due = brief.finish(start, days, agreed.days_a_week, off)
        found.append((batch, (returned_at - sent_at).total_seconds() / 3600, due, back, max(1, days), worked(start, max(start, back))))
    return pd.DataFrame(found, columns=["batch_id", "hours", "due", "back", "agreed", "taken"])


def forecast(times: pd.DataFrame, spec: ProjectSpec, piloted: int = 0) -> list[str]:
    """A sentence a labelling vendor that has brought batches back: its pace in fact, and when all would be done at that."""
    said = []
    for vendor in spec.labeling.vendors:
        rows = batches(times, vendor, spec)
        if vendor.internal or rows.empty:
            continue
        agreed, taken = int(rows["agreed"].sum()), int(rows["taken"].sum())
        told = (
            f"{vendor.name} brought {len(rows)} batch{'es' * (len(rows) > 1)} back in {taken:,} working day{'s' * (taken > 1)}, "
            f"where {vendor.labels_per_day:,} answers a day lead to {agreed:,}"
        )
        if agreed == taken:
            said.append(f"{told}: it keeps its pace.")
            continue
        fact = max(1, round(vendor.labels_per_day * agreed / taken))
        held = [other.model_copy(update={"labels_per_day": fact}) if other is vendor else other for other in spec.labeling.vendors]
        at_that = spec.model_copy(update={"labeling": spec.labeling.model_copy(update={"vendors": held})})
        figures = brief.check(at_that, piloted).set_index("check")[["value", "limit"]].to_dict("index")
        name = "days_needed" if vendor is spec.labeling.production else f"{brief.PACE}{vendor.name}"
        needed, available = int(figures[name]["value"]), int(figures["days_needed"]["limit"])
        end = spec.brief.start + timedelta(days=needed - 1)
        late = f"; there are {available:,}, {needed - available:,} too few" if needed > available else f"; there are {available:,}"
        said.append(f"{told}. If it goes on like that, all is {brief.when(end, spec.brief.start)}{late}.")
    return said
