"""Which class is short is told before the labels are bought, as far as it can be known."""

from __future__ import annotations

import pandas as pd

from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.shortfall import shortfall
from tests.conftest import changed


def labels(attribute: str, **counts: int) -> pd.DataFrame:
    rows = [(f"{attribute}{value}{n}", attribute, value) for value, count in counts.items() for n in range(count)]
    return pd.DataFrame(rows, columns=["image_id", "attribute", "label"])


def stock(**categories: int) -> pd.DataFrame:
    rows = [(f"s{category}{n}", category) for category, count in categories.items() for n in range(count)]
    return pd.DataFrame(rows, columns=["image_id", "category"])


def raw(vendor: str = "acme", **categories: int) -> pd.DataFrame:
    rows = [(vendor, category, "accepted") for category, count in categories.items() for _ in range(count)]
    return pd.DataFrame(rows, columns=["vendor", "category", "status"])


def test_where_nothing_is_labelled_stock_of_unknown_content_promises_nothing(dresses: ProjectSpec) -> None:
    seen = shortfall(dresses, labels("style"), stock(dress=100), raw()).set_index("value")
    assert seen["short"].to_dict() == {"casual": 40, "evening": 40, "work": 40}


def test_the_shares_among_approved_labels_are_expected_of_the_stock(dresses: ProjectSpec) -> None:
    seen = shortfall(dresses, labels("style", casual=20, evening=15, work=5), stock(dress=80), raw()).set_index("value")
    assert seen["in_stock"].to_dict() == {"casual": 40, "evening": 30, "work": 10}
    assert seen["short"].to_dict() == {"casual": 0, "evening": 0, "work": 25}
    assert seen.loc["work", "sentence"] == "style work: 40 wanted, 5 approved, about 10 more in stock; 25 short: order more."
    assert seen.loc["casual", "sentence"].endswith(": enough.")


def test_vendors_categories_are_believed_where_they_are_the_values(garments: ProjectSpec) -> None:
    spec = changed(garments, brief={"volume": {"category": {"dress": 10, "hat": 10}}})
    seen = shortfall(spec, labels("category", dress=4), stock(dress=6, hat=2), raw()).set_index("value")
    assert seen[["approved", "in_stock", "short"]].to_dict("index") == {
        "dress": {"approved": 4, "in_stock": 6, "short": 0},
        "hat": {"approved": 0, "in_stock": 2, "short": 8},
    }


def test_what_vendors_still_owe_is_said_beside_what_is_short(garments: ProjectSpec) -> None:
    vendors = [{"name": "acme", "promised": {"categories": {"hat": 9, "dress": 3}}}, {"name": "stock"}]
    spec = changed(garments, brief={"volume": {"category": {"dress": 10, "hat": 10}}}, sources={"vendors": vendors})
    seen = shortfall(spec, labels("category"), stock(hat=5), raw(hat=4, dress=1)).set_index("value")
    assert seen["promised"].to_dict() == {"dress": 2, "hat": 5}
    assert seen.loc["hat", "sentence"].endswith("5 short, and vendors still owe 5.")
    assert seen.loc["dress", "sentence"].endswith("10 short, of which vendors owe 2: order more.")


def test_a_picture_counts_once_for_each_value_it_shows(dresses: ProjectSpec) -> None:
    twice = pd.concat([labels("style", casual=3), labels("style", casual=3)])
    assert shortfall(dresses, twice, stock(), raw()).set_index("value").loc["casual", "approved"] == 3
