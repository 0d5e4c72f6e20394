"""Sizes and bounds are exact: what they promise holds under the binomial distribution itself."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets.labels import sampling


def at_least(k: int, n: int, p: float) -> float:
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(max(k, 0), n + 1))


@pytest.mark.parametrize(
    ("accuracy", "overlap", "right"), [(0.9, 1, 0.9), (0.9, 3, 0.972), (0.9, 5, 0.99144), (0.9, 2, 0.81), (0.5, 3, 0.5), (1, 3, 1)]
)
def test_the_majority_of_three_who_are_right_in_90_percent_is_right_in_97(accuracy: float, overlap: int, right: float) -> None:
    assert sampling.majority_accuracy(accuracy, overlap) == pytest.approx(right)


def test_the_overlap_that_a_target_needs() -> None:
    assert [sampling.overlap_for(target, 0.9) for target in (0.9, 0.95, 0.99, 0.999)] == [1, 3, 5, 9]
    assert sampling.overlap_for(0.95, 0.5) is None  # no number of coins makes a judge


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 80), data=st.data(), confidence=st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_lower_bound_is_the_share_at_which_so_many_right_would_be_a_fluke(n: int, data: st.DataObject, confidence: float) -> None:
    k = data.draw(st.integers(0, n))
    bound = float(sampling.exact_lower(k, n, confidence))
    assert 0 <= bound <= k / n
    if k:
        assert at_least(k, n, bound) == pytest.approx(1 - confidence, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 120), target=st.floats(0.5, 0.99), more=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95]))
def test_as_many_as_must_be_right_are_just_enough_for_the_bound(n: int, target: float, more: float, confidence: float) -> None:
    expected = target + (1 - target) * more
    test = sampling.test_of(n, target, expected, confidence)
    if test.at_least <= n:
        assert float(sampling.exact_lower(test.at_least, n, confidence)) >= target - 1e-9
    if test.at_least > 1:
        assert float(sampling.exact_lower(min(test.at_least - 1, n), n, confidence)) < target + 1e-9
    assert test.power == pytest.approx(at_least(test.at_least, n, expected) if test.at_least <= n else 0, abs=1e-9)


def test_the_smallest_sample_has_the_power_and_one_less_has_not() -> None:
    found = sampling.smallest(0.9, 0.96)
    assert found is not None
    assert found.power >= 0.8
    assert sampling.test_of(found.n - 1, 0.9, 0.96).power < 0.8
    assert sampling.smallest(0.95, 1.0) == sampling.Sample(59, 59, 1.0)  # the rule of three: none wrong among 59
    assert sampling.smallest(0.9, 0.96, confidence=0.99).n > found.n  # type: ignore[union-attr]


def test_nothing_certifies_more_than_is_expected() -> None:
    assert sampling.smallest(0.95, 0.95) is None
    assert sampling.smallest(0.95, 0.9) is None


def test_two_who_differ_on_nothing_are_not_told_apart() -> None:
    assert sampling.mcnemar(0, 0) == 1
    assert sampling.mcnemar(3, 3) == 1
    assert sampling.mcnemar(9, 1) == pytest.approx(2 * 11 / 1024)
    assert sampling.mcnemar(1, 9) == sampling.mcnemar(9, 1)
