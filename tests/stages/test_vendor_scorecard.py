"""Vendors are compared on what was good, what it cost, and how well it matched gold."""

from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform, empty
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.vendor_scorecard import score

ASSETS = ("raw_images", "cleaned_set", "labeled_batches", "label_quality", "costs")


def card(spec: ProjectSpec, **frames: pd.DataFrame) -> pd.DataFrame:
    raw, cleaned, labeled, quality, costs = (
        conform(frames[name], CONTRACTS[name]) if name in frames and name != "costs" else frames.get(name, empty(name)) for name in ASSETS
    )
    made = conform(score(raw, cleaned, labeled, quality, costs, spec), CONTRACTS["vendor_scorecard"])
    return made.set_index(["role", "vendor"])


def costs(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["kind", "vendor", "amount"])


def test_every_vendor_has_a_row_before_anything_came(dresses: ProjectSpec) -> None:
    made = card(dresses)
    assert set(made.index) == {
        ("images", "atelier"),
        ("images", "bazaar"),
        ("labels", "labelworks"),
        ("labels", "pixelcrew"),
        ("labels", "dataops"),
    }
    assert (made["delivered"] == 0).all() and (made["amount"] == 0).all()
    assert made["yield_share"].isna().all() and made["amount_per_accepted"].isna().all()


def test_an_image_vendor_is_judged_by_what_was_kept(dresses: ProjectSpec) -> None:
    raw = pd.DataFrame({"drop_id": "d", "path": list("abcde"), "vendor": "atelier"}).assign(
        status=["accepted", "accepted", "accepted", "quarantined", "ignored"]
    )
    cleaned = pd.DataFrame({"image_id": list("abc"), "vendor": "atelier", "status": ["kept", "kept", "rejected"]})
    row = card(dresses, raw_images=raw, cleaned_set=cleaned, costs=costs(("images", "atelier", 0.1), ("images", "atelier", 0.05))).loc[
        ("images", "atelier")
    ]
    assert (row["delivered"], row["accepted"], row["yield_share"]) == (4, 2, 0.5)  # what we ignore isn't the vendor's fault
    assert row["amount"] == pytest.approx(0.15)
    assert row["amount_per_accepted"] == pytest.approx(0.075)


def test_a_label_vendor_is_judged_by_gold_and_by_rework(dresses: ProjectSpec) -> None:
    quality = pd.DataFrame({"task_id": list("abcde"), "vendor": "labelworks"}).assign(
        batch_id="b", attribute="colour", object_id="", is_gold=[True, False, False, False, False],
        decision=["accept", "accept", "accept", "accept", "rework"], n_labels=3, gold_correct=[2, None, None, None, None],
    )  # fmt: skip
    labeled = pd.DataFrame({"batch_id": "b", "row_id": list("abc"), "vendor": "labelworks", "status": ["accepted", "accepted", "rejected"]})
    row = card(dresses, labeled_batches=labeled, label_quality=quality, costs=costs(("labels", "labelworks", 0.6))).loc[
        ("labels", "labelworks")
    ]
    assert (row["delivered"], row["accepted"], row["yield_share"], row["rework_share"]) == (2, 3, 0.75, 0.25)  # gold isn't work
    assert row["gold_accuracy"] == pytest.approx(2 / 3)
    assert 0 < row["gold_lower"] < row["gold_accuracy"]
    assert row["amount_per_accepted"] == pytest.approx(0.2)


def test_costs_go_to_the_role_they_were_made_in_settlements_included(dresses: ProjectSpec) -> None:
    spent = costs(("images", "atelier", 1.0), ("labels", "labelworks", 2.5), ("labels_settled", "labelworks", -0.5))
    made = card(dresses, costs=spent)
    assert made.loc[("images", "atelier"), "amount"] == 1.0
    assert made.loc[("labels", "labelworks"), "amount"] == 2.0
    assert made["amount"].sum() == 3.0
