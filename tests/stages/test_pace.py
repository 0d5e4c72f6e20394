"""What vendors took in fact, and what that makes of the day on which the rest is back."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import brief, pace
from tests.conftest import changed

MONDAY = pd.Timestamp("2026-11-02 09:00", tz="UTC")


def came_back(*batches: tuple[int, int, int], vendor: str = "labelworks", kind: str = "production") -> pd.DataFrame:
    """Batches of so many answers, sent and back so many days after a Monday."""
    rows = [
        (f"{kind}-{place:03d}", vendor, answers, MONDAY + pd.Timedelta(days=sent), MONDAY + pd.Timedelta(days=back))
        for place, (answers, sent, back) in enumerate(batches)
    ]
    return pd.DataFrame(rows, columns=pace.TIMES)


def left_after(spec: ProjectSpec, answers: int = 0) -> int:
    wanted = brief.check(spec).set_index("check").loc["labels_wanted", "value"]
    return -int(-wanted * (1 + brief.REWORK_ALLOWANCE) // 1) - answers


def test_a_batch_is_due_after_those_that_the_vendor_has(dresses: ProjectSpec) -> None:
    found = pace.batches(came_back((4000, 0, 1), (4000, 0, 2), (9000, 0, 7)), dresses.labeling.production, dresses)
    assert found["days"].tolist() == [1, 1, 3]
    assert [f"{day:%a}" for day in found["due"]] == ["Tue", "Wed", "Mon"]  # a weekend lies between
    alone = pace.batches(came_back((4000, 0, 1), (4000, 9, 10)), dresses.labeling.production, dresses)
    assert [f"{day:%a}" for day in alone["due"]] == ["Tue", "Thu"]  # nothing was out when it was sent


@pytest.mark.parametrize(
    ("sent", "taken", "agreed"),
    [
        (((4000, 0, 1), (4000, 0, 2), (4000, 0, 3), (4000, 0, 4)), 4, 4),  # four at once, one back each day: its pace
        (((4000, 0, 7), (8000, 0, 8)), 6, 3),
        (((4000, 0, 0),), 1, 1),  # back on the same day
        (((4000, 0, 1), (4000, 7, 8)), 2, 2),  # a week in which nothing was out doesn't count
    ],
)
def test_days_count_on_which_a_vendor_had_anything(
    dresses: ProjectSpec, sent: tuple[tuple[int, int, int], ...], taken: int, agreed: int
) -> None:
    (said,) = pace.forecast(came_back(*sent), dresses, date(2026, 11, 10))
    days = f"{taken} working day{'s' * (taken > 1)}"
    assert f"back in {days}, where 4,000 answers a day lead to {agreed}." in said


def test_what_is_left_is_counted_from_today(dresses: ProjectSpec) -> None:
    assert pace.forecast(came_back(), dresses, date(2026, 11, 10)) == []
    slow = changed(dresses, labeling={"vendors": [held.model_dump() | ({"labels_per_day": 400} if not held.internal else {})
                                                  for held in dresses.labeling.vendors]})  # fmt: skip
    (said,) = pace.forecast(came_back((400, 0, 8)), slow, today := date(2027, 1, 4))  # six days for one
    left = left_after(slow, 400)
    end = brief.finish(today, -(-left * 6 // 400), 5, slow.brief.days_off)
    late = f", {(end - slow.brief.deadline).days} days after" if end > slow.brief.deadline else f"; the deadline is {slow.brief.deadline}"
    assert f"the {left:,} answers that are still to come, rework included, are back on {end}{late}" in said
    early = pace.forecast(came_back((400, 0, 8)), changed(slow, brief={"deadline": today + timedelta(days=1)}), today)[0]
    assert f"{(end - today).days - 1} days after the deadline." in early
    done = pace.forecast(came_back((left_after(slow), 0, 8)), slow, today)[0]
    assert "still to come" not in done  # nothing is left
    (said,) = pace.forecast(came_back(*[(10, 0, 1)] * 6), slow, today)  # six days' work by the batch, done in one
    end = brief.finish(today, -(-left_after(slow, 60) // 400), 5, slow.brief.days_off)
    assert "in 1 working day, where 400 answers a day lead to 6." in said and f"are back on {end}" in said


def test_a_test_is_no_part_of_the_work_and_other_vendors_count(dresses: ProjectSpec) -> None:
    other = next(held.name for held in dresses.labeling.vendors if not held.internal and held is not dresses.labeling.production)
    (said,) = pace.forecast(came_back((100, 0, 30), vendor=other, kind="qualification"), dresses, date(2026, 11, 10))
    assert said.startswith(f"{other} brought 1 batch back in 22 working days") and f"the {left_after(dresses):,} answers" in said
