"""Precision and recall of thresholds, by what people decided."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dataops_assets.contracts import ISSUES
from dataops_assets.home import Home
from dataops_assets.manifest import Manifest
from dataops_assets.reports import screening
from dataops_assets.reports.tuning import STEPS, precision_and_recall
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.reports.test_delivery import Desk

REVIEWED = ("blurry", "bordered", "e_mail")


def decided(scores: list[float | None], rejected: list[bool], threshold: float = 0.5, issue: str = "blurry") -> pd.DataFrame:
    """`cleaned_set` rows that people judged, flagged by one issue below its threshold."""
    rows = pd.DataFrame({f"{name}_score": pd.Series([None] * len(scores), dtype="float64") for name in ISSUES})
    for name in ISSUES:
        rows[f"is_{name}"] = pd.Series([pd.NA] * len(scores), dtype="boolean")
    rows[f"{issue}_score"] = pd.Series(scores, dtype="float64")
    rows[f"is_{issue}"] = (rows[f"{issue}_score"] < threshold).astype("boolean")
    reasons = pd.Series([issue if no else None for no in rejected], dtype="object")
    return rows.assign(status=["rejected" if no else "kept" for no in rejected], decided_by="ann", reason=reasons, personal_data=None)


def test_people_rejected_what_scored_worst() -> None:
    frame = decided([0.1, 0.2, 0.3, 0.4], [True, True, False, False])
    tuned = precision_and_recall(frame, REVIEWED).set_index("threshold")
    assert list(tuned["issue"].unique()) == ["blurry"]
    by = {round(level, 1): (row["flagged"], row["precision"], row["recall"]) for level, row in tuned.iterrows()}
    assert by[0.1] == (1, 1.0, 0.5)
    assert by[0.2] == (2, 1.0, 1.0)
    assert by[0.3] == (3, pytest.approx(2 / 3, abs=1e-4), 1.0)
    assert by[0.4] == (4, 0.5, 1.0)


def test_recall_never_falls_as_the_threshold_rises_and_the_last_one_flags_all() -> None:
    scores = [0.01 * number for number in range(45)]
    frame = decided(scores, [number % 3 == 0 for number in range(45)])
    tuned = precision_and_recall(frame, REVIEWED)
    assert len(tuned) <= STEPS
    assert tuned["threshold"].is_monotonic_increasing and tuned["recall"].is_monotonic_increasing
    assert (tuned["flagged"].iloc[-1], tuned["recall"].iloc[-1], tuned["precision"].iloc[-1]) == (45, 1.0, round(15 / 45, 4))


def test_only_what_was_flagged_and_decided_counts() -> None:
    frame = decided([0.1, 0.2, 0.9, None], [True, False, True, True])
    frame.loc[1, "decided_by"] = None
    tuned = precision_and_recall(frame, REVIEWED)
    assert tuned[["flagged", "precision", "recall"]].values.tolist() == [[1, 1.0, 1.0]]


def test_an_issue_for_which_nothing_was_rejected_says_nothing() -> None:
    assert precision_and_recall(decided([0.1, 0.2], [False, False]), REVIEWED).empty
    assert list(precision_and_recall(decided([], []), REVIEWED).columns) == ["issue", "threshold", "flagged", "precision", "recall"]


def test_a_picture_with_several_reasons_says_nothing_of_any() -> None:
    frame = decided([0.1, 0.2, 0.3, 0.4], [True, True, False, False])
    frame.loc[1, "reason"] = "blurry|e_mail"  # rejected, perhaps for the address
    frame.loc[2, "personal_data"] = "e_mail"
    frame.loc[3, "is_dark"] = True  # nobody is asked about it
    tuned = precision_and_recall(frame, REVIEWED)
    assert set(tuned["issue"]) == {"blurry"}
    assert tuned[["flagged", "precision", "recall"]].values.tolist()[-1] == [2, 0.5, 1.0]


def test_a_page_counts_the_decisions_of_every_drop_in_use(tmp_path: Path, garments: ProjectSpec) -> None:
    store = Store(Home.at(tmp_path / "home"))
    desk = Desk(store, garments)
    for drop_id, by in (("acme_1", "ann"), ("acme_2", None), ("acme_3", "bob"), ("acme_4", "bob")):
        frame = decided([0.1, 0.2, 0.3], [True, False, True], issue="bordered").assign(decided_by=by, drop_id=drop_id)
        frame["image_id"] = [f"{drop_id}{place:060d}" for place in range(3)]
        desk.release(Manifest("cleaned_set", garments.name, drop_id, frame))
    desk.withdraw(drop_id="acme_4")
    desk.withdraw(image_id=f"acme_3{2:060d}")
    tuned = screening._tuning(store, garments).set_index("threshold")
    # of acme_1 all three, of acme_3 the first two, of the others none
    assert tuned[["flagged", "precision", "recall"]].iloc[-1].tolist() == [5, 0.6, 1.0]
    assert set(tuned["issue"]) == {"bordered"}
