from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from dataops_assets.labels import decisions


def chances(errors: list[float]) -> np.ndarray:
    """By adding up all 2^n outcomes."""
    found = np.zeros(len(errors) + 1)
    for outcome in product((0, 1), repeat=len(errors)):
        found[sum(outcome)] += np.prod([error if wrong else 1 - error for error, wrong in zip(errors, outcome, strict=True)])
    return found


def test_the_tail_of_errors_is_exact_and_its_approximation_close() -> None:
    errors = [0.01, 0.2, 0.05, 0.4, 0.11, 0.3, 0.02]
    by_hand = chances(errors)
    for most in range(len(errors) + 1):
        assert decisions.tail(np.array(errors), most) == pytest.approx(by_hand[most + 1 :].sum(), abs=1e-12)
    many = np.full(900, 0.03)
    for most in (15, 27, 40):
        assert decisions.tail(many, most) == pytest.approx(binom.sf(most, 900, 0.03), abs=1e-3)


def test_answers_are_accepted_down_to_what_the_target_needs() -> None:
    sure = np.array([0.999] * 95 + [0.9, 0.85, 0.6, 0.5, 0.34])
    accepted, needed = decisions.accepted(sure, target=0.95, confidence=0.95, least=0.75)
    assert accepted.sum() == 97 and needed == 0.85  # the others are below the floor, though the rest would carry them
    strict, _ = decisions.accepted(sure, target=0.999, confidence=0.95, least=0.75)
    assert strict.sum() == 95
    none, needed = decisions.accepted(np.array([0.9, 0.8]), target=0.95, confidence=0.95, least=0.75)
    assert not none.any() and needed == 0.95


@pytest.mark.parametrize("n", [60, 3000])
def test_the_share_of_right_ones_reaches_the_target_with_the_confidence(n: int) -> None:
    """Errors drawn as often as the posteriors say: in at least 95 of 100 batches no more are wrong than may be."""
    rng = np.random.default_rng(5)
    sure = 1 - rng.beta(0.4, 4, n)
    accepted, _ = decisions.accepted(sure, target=0.95, confidence=0.95, least=0.6)
    assert 0 < accepted.sum() < n
    wrong = (rng.random((2000, int(accepted.sum()))) > sure[accepted]).sum(axis=1)
    assert (wrong <= np.ceil(0.05 * accepted.sum())).mean() >= 0.94
    one_more = np.sort(sure)[::-1][: int(accepted.sum()) + max(3, n // 20)]  # and it isn't needlessly strict
    assert decisions.tail(1 - one_more, int(np.ceil(0.05 * len(one_more)))) > 0.05 or (1 - one_more).mean() > 0.05


def test_what_was_accepted_before_counts_in_the_same_share() -> None:
    doubtful = np.array([0.8, 0.8])
    assert not decisions.accepted(doubtful, 0.95, 0.95, 0.75)[0].any()
    assert decisions.accepted(doubtful, 0.95, 0.95, 0.75, before=np.full(100, 0.999))[0].all()


def test_alike_errors_are_discounted_and_learnt_from_gold() -> None:
    two = np.array([[0.99, 0.01]])
    assert decisions.discounted(two, [1], 0.5) == pytest.approx(two)
    assert decisions.discounted(two, [2], 1.0) == pytest.approx(np.array([[0.9087, 0.0913]]), abs=1e-4)  # the odds of one answer: sqrt(99)
    rng = np.random.default_rng(3)
    n = 4000
    truth = rng.integers(2, size=n)
    for copies, low, high in ((False, 0.0, 0.1), (True, 0.9, 1.3)):
        first = np.where(rng.random(n) < 0.8, truth, 1 - truth)
        others = [first if copies else np.where(rng.random(n) < 0.8, truth, 1 - truth) for _ in range(2)]
        votes = np.stack([first, *others]).sum(axis=0)
        odds = (2 * votes - 3) * np.log(4)
        sure = 1 / (1 + np.exp(-odds))
        found = decisions.likeness(np.stack([1 - sure, sure], axis=1), np.full(n, 3), truth)
        assert low <= found <= high
    assert decisions.likeness(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64), 0.3) == pytest.approx(0.3, abs=0.03)


def bought(posterior: float, n: int = 2, most: int = 2, price: float = 1.0, settle: float = 5.0, **other: float) -> float:
    found = decisions.next_label(
        np.array([posterior]), [n], 0.95, skill=other.get("skill", 0.9), likeness=0.0, price=price, settle=settle, most=[most]
    )
    return float(found[0])


def test_the_next_label_is_worth_what_it_is_expected_to_save() -> None:
    # sure to .9 by one answer; an equal worker agrees with .9 x .9 + .1 x .1, and then it is sure enough
    assert bought(0.9, n=1, most=1) == pytest.approx(5 * (0.9 * 0.9 + 0.1 * 0.1))
    # with a second label allowed, a disagreement can be made up for: after it the odds are even, and one more can't reach .95
    assert bought(0.9, n=1, most=2) == pytest.approx(bought(0.9, n=1, most=1))
    # three more can: even odds, agree, agree
    assert bought(0.9, n=1, most=3) > bought(0.9, n=1, most=1)
    assert bought(0.9, most=0) == 0 and bought(0.6, most=1) == 0


def test_a_label_is_worth_less_from_worse_workers_and_more_where_settling_is_dear() -> None:
    assert bought(0.85, most=2, skill=0.9) > bought(0.85, most=2, skill=0.7)
    assert bought(0.85, most=2, settle=10) > 1.9 * bought(0.85, most=2, settle=5)
