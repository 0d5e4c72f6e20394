from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, hypergeom

from dataops_assets.labels import acceptance
from dataops_assets.labels.acceptance import estimate, plan, switch


@pytest.mark.parametrize(("size", "limit", "expected"), [(20, 0.1, 0.02), (360, 0.1, 0.02), (360, 0.05, 0.01), (5000, 0.04, 0.012)])
def test_a_plan_keeps_the_consumers_risk_and_no_smaller_sample_does(size: int, limit: float, expected: float) -> None:
    made = plan(size, limit, 0.05, expected)
    bad = int(np.ceil(limit * size))
    assert made.consumers_risk == pytest.approx(hypergeom.cdf(made.most_wrong, size, bad, made.n)) and made.consumers_risk <= 0.05
    assert hypergeom.cdf(made.most_wrong, size, bad, made.n - 1) > 0.05
    assert made.n < size or size == 20


def test_batches_as_bad_as_the_limit_pass_as_rarely_as_stated() -> None:
    made = plan(400, 0.1, 0.05, 0.02)
    rng = np.random.default_rng(0)
    bad, good = np.arange(400) < 40, np.arange(400) < 8
    passed = [sum(rng.choice(labels, made.n, replace=False).sum() <= made.most_wrong for _ in range(4000)) / 4000 for labels in (bad, good)]
    assert passed[0] <= 0.06 and passed[1] == pytest.approx(1 - made.producers_risk, abs=0.03) and passed[1] >= 0.78


def test_a_sample_is_no_larger_than_allowed_but_for_the_smallest_plan() -> None:
    assert plan(360, 0.1, 0.05, 0.02, most=30).n == plan(360, 0.1, 0.05, 0.2).n < plan(360, 0.1, 0.05, 0.02).n
    assert plan(360, 0.1, 0.05, 0.02, most=1).consumers_risk <= 0.05
    assert plan(360, 0.1, 0.05, 0.02, most=0) == plan(360, 0.1, 0.05, 0.02, most=1)  # none isn't any
    assert plan(0, 0.1, 0.05, 0.02).n == 0 and plan(3, 0.1, 0.05, 0.02).n == 3


def test_a_sample_of_a_given_size_lets_good_work_pass_nineteen_times_in_twenty() -> None:
    for size, n, expected in ((40, 10, 0.05), (40, 10, 0.15), (12, 3, 0.05), (7, 7, 0.1)):
        bad = int(np.ceil(expected * size))
        most = acceptance.allowance(size, n, expected)
        assert hypergeom.cdf(most, size, bad, n) >= 0.95 and (most == 0 or hypergeom.cdf(most - 1, size, bad, n) < 0.95)
    assert acceptance.allowance(7, 7, 0.1) == 1 and acceptance.allowance(40, 0, 0.05) == 0


def test_the_characteristic_falls_from_one() -> None:
    wrong, chance = acceptance.characteristic(plan(360, 0.1, 0.05, 0.02))
    assert chance[0] == 1 and (np.diff(chance) <= 0).all() and chance[wrong >= 0.1].max() <= 0.05


@pytest.mark.parametrize(
    ("history", "severity"),
    [
        ([], "normal"),
        ([True] * 9, "normal"),
        ([True] * 10, "reduced"),
        ([True] * 10 + [False], "normal"),
        ([False], "normal"),
        ([False, True, True, True, False], "tightened"),
        ([False, True, True, True, True, False], "normal"),  # not two in five
        ([False, False, True, True, True, True], "tightened"),
        ([False, False] + [True] * 5, "normal"),
    ],
)
def test_switching_rules(history: list[bool], severity: str) -> None:
    assert switch(history).severity == severity and not switch(history).is_stopped


def test_a_vendor_that_stays_bad_is_stopped() -> None:
    assert switch([False] * 7).is_stopped and not switch([False] * 6).is_stopped
    assert not switch([*[False] * 7, True]).is_stopped and switch([*[False] * 7, True, False]).is_stopped


def test_nobody_without_the_key_can_tell_what_is_drawn() -> None:
    names = [f"t{number}|colour" for number in range(2000)]
    mine, theirs = acceptance.drawn(names, b"secret"), acceptance.drawn(names, b"guess")
    assert (mine == acceptance.drawn(names, b"secret")).all() and abs(np.corrcoef(mine, theirs)[0, 1]) < 0.1
    assert 0.45 < mine.mean() < 0.55 and mine.min() >= 0 and mine.max() < 1


def test_the_share_of_wrong_labels_has_its_exact_interval() -> None:
    one = estimate(pd.DataFrame({"size": [300], "n": [50], "wrong": [3]}))
    assert (one.share, one.lower) == (pytest.approx(0.06), pytest.approx(beta.ppf(0.025, 3, 48)))
    assert one.upper == pytest.approx(beta.ppf(0.975, 4, 47))
    equal = estimate(pd.DataFrame({"size": [300, 300], "n": [50, 50], "wrong": [3, 1]}))
    assert equal.share == pytest.approx(0.04) and equal.upper < one.upper
    uneven = estimate(pd.DataFrame({"size": [1000, 100], "n": [20, 80], "wrong": [2, 0]}))
    assert uneven.share == pytest.approx(1000 / 1100 * 0.1)  # a batch counts by its size, not by how much of it was looked at
    assert estimate(pd.DataFrame({"size": [10], "n": [0], "wrong": [0]})).share is None
