"""What vendors took in fact, and what that makes of the day on which all is done."""

from __future__ import annotations

import pandas as pd

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import brief, pace
from tests.conftest import changed

MONDAY = pd.Timestamp("2026-11-02 09:00", tz="UTC")


def came_back(*batches: tuple[int, int], vendor: str = "labelworks") -> pd.DataFrame:
    """Batches of so many answers, sent on Monday, back so many days later."""
    rows = [(f"production-{place:03d}", vendor, answers, MONDAY, MONDAY + pd.Timedelta(days=days)) for place, (answers, days) in
            enumerate(batches)]  # fmt: skip
    return pd.DataFrame(rows, columns=pace.TIMES)


def test_days_are_counted_as_people_work(dresses: ProjectSpec) -> None:
    vendor = dresses.labeling.production
    found = pace.batches(came_back((4000, 1), (4000, 0), (9000, 7)), vendor, dresses)
    assert found["agreed"].tolist() == [1, 1, 3]
    assert found["taken"].tolist() == [1, 1, 5]  # back on the same day counts as one; a weekend lies in the week
    rested = changed(dresses, brief={"days_off": ["2026-11-05"]})
    assert pace.batches(came_back((9000, 7)), vendor, rested)["taken"].tolist() == [4]


def test_a_slow_vendor_moves_the_day_on_which_all_is_done(dresses: ProjectSpec) -> None:
    assert pace.forecast(came_back(), dresses) == []
    assert pace.forecast(came_back((12_000, 3)), dresses) == [
        "labelworks brought 1 batch back in 3 working days, where 4,000 answers a day lead to 3: it keeps its pace."
    ]
    (said,) = pace.forecast(came_back((4000, 7), (8000, 8)), dresses)  # 5 + 6 days for 1 + 2
    assert said.startswith("labelworks brought 2 batches back in 11 working days, where 4,000 answers a day lead to 3. If it goes on")
    slow = dresses.labeling.production.model_copy(update={"labels_per_day": 1091})
    others = [held for held in dresses.labeling.vendors if held.name != slow.name]
    figures = brief.check(dresses.model_copy(update={"labeling": dresses.labeling.model_copy(update={"vendors": (slow, *others)})}))
    needed = figures.set_index("check").loc["days_needed", "value"]
    assert f"after {needed:.0f} days; there are 149." in said and needed > 3


def test_other_vendors_are_told_of_too_and_lateness_is_said(dresses: ProjectSpec) -> None:
    other = next(held.name for held in dresses.labeling.vendors if not held.internal and held is not dresses.labeling.production)
    late = changed(dresses, brief={"deadline": dresses.brief.start + pd.Timedelta(days=2)})
    (said,) = pace.forecast(came_back((100, 30), vendor=other), late)
    assert said.startswith(f"{other} brought 1 batch back in 22 working days") and "too few" in said
