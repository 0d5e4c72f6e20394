from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dataops_assets.labels.agreement import alpha_per_attribute, alpha_per_class, clustered, krippendorff, pairwise, per_attribute, wilson


def test_wilson_bounds_of_published_examples():
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3
    lower, upper = wilson([81, 15, 0, 1], [263, 148, 20, 29])
    np.testing.assert_allclose(lower, [0.2553, 0.0624, 0.0, 0.0061], atol=5e-5)
    np.testing.assert_allclose(upper, [0.3662, 0.1605, 0.1611, 0.1718], atol=5e-5)


@pytest.mark.parametrize(("right", "alike", "questions", "each"), [
    (0.85, 0.3, 30, 3), (0.85, 0.0, 30, 3), (0.8, 0.3, 100, 6), (0.95, 0.3, 30, 6),
])  # fmt: skip
def test_intervals_hold_where_people_err_alike_on_a_question(right: float, alike: float, questions: int, each: int):
    """4,000 made-up golds, each question with its own difficulty (beta-binomial): about 95 % of the intervals hold, 2.5 % lie above."""
    rng = np.random.default_rng(0)
    n = 4000
    weight = 1 / alike - 1 if alike else 0
    chance = rng.beta(right * weight, (1 - right) * weight, (n, questions)) if alike else np.full((n, questions), right)
    correct = rng.binomial(each, chance).ravel()
    lower, upper = clustered(correct, np.full(correct.shape, each), np.repeat(np.arange(n), questions), n)
    assert ((lower <= right) & (right <= upper)).mean() > 0.935 and (lower > right).mean() < 0.03
    plain, _ = wilson(correct.reshape(n, -1).sum(axis=1), questions * each)
    assert not alike or (plain > right).mean() > (lower > right).mean() + 0.01


def test_where_they_err_far_more_alike_than_believed_intervals_are_hardly_too_narrow():
    rng = np.random.default_rng(0)
    correct = rng.binomial(3, rng.beta(0.6, 0.6 / 9, (4000, 30)))  # 90 % right, likeness .6 where .3 is believed
    lower, upper = clustered(correct.ravel(), np.full(correct.size, 3), np.repeat(np.arange(4000), 30), 4000)
    plain, wide = wilson(correct.sum(axis=1), 90)
    assert ((lower <= 0.9) & (upper >= 0.9)).mean() > 0.91 > 0.85 > ((plain <= 0.9) & (wide >= 0.9)).mean()


def test_of_one_answer_a_question_the_interval_is_wilsons():
    assert [float(bound[0]) for bound in clustered([1] * 8 + [0, 0], [1] * 10)] == pytest.approx([float(bound) for bound in wilson(8, 10)])
    lower, _ = clustered([3, 3, 0, 1], [3, 3, 0, 1], [0, 1, 2, 2], 4)
    assert lower[0] == lower[1] and lower[2] == pytest.approx(float(wilson(1, 1)[0])) and np.isnan(lower[3])


def test_wilson_knows_nothing_without_trials():
    lower, upper = wilson(0, 0)
    assert np.isnan(lower) and np.isnan(upper)


def test_pairs_that_agree():
    rows = [("t1", "c", "x"), ("t1", "c", "x"), ("t1", "c", "y"), ("t2", "c", "x"), ("t3", "d", "x"), ("t3", "d", "x")]
    frame = pd.DataFrame(rows, columns=["task_id", "attribute", "label"])
    found = pairwise(frame, ["task_id", "attribute"])
    assert found["t1", "c"] == pytest.approx(1 / 3)
    assert np.isnan(found["t2", "c"])
    assert per_attribute(frame).to_dict() == {"c": pytest.approx(1 / 3), "d": 1.0}


def coded(*coders: str) -> pd.DataFrame:
    """One row an answer, from a string a coder; `.` is no answer."""
    rows = [(unit, label) for coder in coders for unit, label in enumerate(coder.split()) if label != "."]
    return pd.DataFrame(rows, columns=["task_id", "label"])


FOUR_CODERS = coded("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 .")


@pytest.mark.parametrize(
    ("frame", "level", "alpha"),
    [
        (coded("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0"), "nominal", 0.095),
        (coded("a a b b d c c c e d d a", "b a b b b c c c e d d d"), "nominal", 0.692),
        (FOUR_CODERS, "nominal", 0.743),
        (FOUR_CODERS, "ordinal", 0.815),
    ],
    ids=["two coders, binary", "two coders, nominal", "four coders, missing answers", "four coders, ordinal"],
)
def test_alpha_of_published_examples(frame, level, alpha):
    # Krippendorff 2011, "Computing Krippendorff's alpha-reliability", sections A to D
    order = ["1", "2", "3", "4", "5"] if level == "ordinal" else None
    assert krippendorff(frame, level, order, resamples=0).alpha == pytest.approx(alpha, abs=0.0005)


def test_alpha_of_sets_counted_by_hand():
    # two tasks: a|b with a (MASI 1 - 1/2 * 2/3 = 2/3), and c with c. Values: a|b, a, c, c; each pair of a's with c is 1 apart.
    observed = (2 / 3 + 0) / 2
    expected = (2 * 2 / 3 + 2 * 2 * 2 * 1) / (4 * 3)
    found = krippendorff(coded("a|b c", "a c"), "sets", resamples=0)
    assert found.alpha == pytest.approx(1 - observed / expected)
    assert found.n_tasks == 2 and found.n_answers == 4


def test_sets_that_overlap_count_for_more_than_sets_that_do_not():
    near, far = coded("a|b a|b c", "a a|b c"), coded("a|b a|b c", "d a|b c")
    assert krippendorff(near, "sets").alpha > krippendorff(far, "sets").alpha
    assert krippendorff(near, "sets").alpha > krippendorff(near).alpha


def test_alpha_is_one_for_full_agreement_and_unknown_without_any_difference():
    assert krippendorff(coded("a b c", "a b c"))[:3] == (1, 1, 1)
    assert np.isnan(krippendorff(coded("a a", "a a")).alpha)
    assert np.isnan(krippendorff(coded("a b")).alpha) and krippendorff(coded("a b")).n_tasks == 0


def test_the_interval_holds_alpha_and_narrows_with_tasks():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 4000)
    said = np.where(rng.random((3, 4000)) < 0.7, truth, rng.integers(0, 4, (3, 4000)))
    frame = pd.DataFrame({"task_id": np.tile(np.arange(4000), 3), "label": said.ravel()})
    few, many = krippendorff(frame[frame["task_id"] < 200]), krippendorff(frame)
    assert few.lower < few.alpha < few.upper and many.lower < many.alpha < many.upper
    assert many.upper - many.lower < (few.upper - few.lower) / 3
    assert many.alpha == pytest.approx(0.49, abs=0.03)  # two answers agree beyond chance when neither is a guess
    assert krippendorff(frame.sample(frac=1, random_state=1)) == many


def test_nine_in_ten_intervals_hold_the_alpha_of_all_tasks():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        truth = rng.integers(0, 3, 150)
        said = np.where(rng.random((2, 150)) < 0.6, truth, rng.integers(0, 3, (2, 150)))
        found = krippendorff(pd.DataFrame({"task_id": np.tile(np.arange(150), 2), "label": said.ravel()}), resamples=200, confidence=0.9)
        held += found.lower <= 0.36 <= found.upper
    assert 82 <= held <= 97


def test_alpha_by_attribute_and_class():
    colour = coded("red red blue blue pink pink", "red red blue pink blue pink").assign(attribute="colour")
    style = coded("casual|long formal short", "casual formal short").assign(attribute="style")
    frame = pd.concat([colour, style], ignore_index=True)
    by_attribute = alpha_per_attribute(frame, {"style": "sets"})
    assert by_attribute.loc["colour", "alpha"] == pytest.approx(krippendorff(colour).alpha)
    assert by_attribute.loc["style", "alpha"] == pytest.approx(krippendorff(style, "sets").alpha)
    by_class = alpha_per_class(frame, {"style": "sets"})
    assert by_class.loc[("colour", "red"), "alpha"] == 1 and by_class.loc[("colour", "blue"), "alpha"] < 0.5
    assert by_class.loc[("style", "casual"), "alpha"] == 1 and ("style", "long") in by_class.index


def test_an_ordinal_attribute_needs_an_order_of_all_its_labels():
    with pytest.raises(ValueError, match="needs the order"):
        krippendorff(FOUR_CODERS, "ordinal")
    with pytest.raises(ValueError, match="lacks '5'"):
        krippendorff(FOUR_CODERS, "ordinal", ["1", "2", "3", "4"])
