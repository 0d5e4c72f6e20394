"""Relevance: what is like the references scores high, what isn't scores low, and wrong categories are found."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataops_assets.imaging import relevance
from dataops_assets.imaging.decode import decode
from dataops_assets.imaging.embedding import Embedder
from dataops_assets.imaging.relevance import ReferencesError, disagrees, neighbours, outliers, refer, score

SHARED = Path(os.environ.get("DATAOPS_SHARED", Path(__file__).parents[2].parent / "shared")) / "data"
DIMENSIONS = 64


def around(centre: int, count: int, seed: int = 0, spread: float = 0.08) -> np.ndarray:
    """Pictures of one kind: directions near one of 64 that are at right angles."""
    rows = np.random.default_rng([centre, seed]).normal(0, spread, (count, DIMENSIONS))
    rows[:, centre] += 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def two_classes(count: int = 10) -> tuple[np.ndarray, list[str]]:
    return np.concatenate([around(0, count), around(1, count)]), ["dress"] * count + ["skirt"] * count


def test_pictures_like_the_references_score_high_and_foreign_ones_low() -> None:
    references = refer(*two_classes())
    good = score(np.concatenate([around(0, 50, seed=1), around(1, 50, seed=1)]), references)
    foreign = score(np.concatenate([around(7, 50), -around(0, 50)]), references)
    assert foreign.score.max() < 0.001
    assert np.median(good.score) > 0.5
    assert good.similarity.min() > foreign.similarity.max()
    assert list(good.nearest) == ["dress"] * 50 + ["skirt"] * 50
    assert good.margin.min() > 0.3


def test_a_threshold_sends_half_its_share_of_good_pictures_to_review() -> None:
    shares = []
    for seed in range(20):
        references = refer(around(0, 30, seed=seed), ["dress"] * 30)
        shares.append((score(around(0, 500, seed=100 + seed), references).score < 0.1).mean())
    assert 0.02 < np.mean(shares) < 0.09  # 0.05


def test_counter_examples_tell_apart_what_lies_near() -> None:
    near = around(0, 20) + 0.7 * around(2, 20)  # trousers: much like dresses
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    dresses = around(0, 30, spread=0.12)
    alone = refer(dresses, ["dress"] * 30)
    rows = np.concatenate([dresses, near[:10]])
    beside = refer(rows, ["dress"] * 30 + ["trousers"] * 10, wanted=["dress"])
    assert np.mean(score(near[10:], alone).score < 0.05) < 0.2
    judged = score(near[10:], beside)
    assert (judged.score < 0.05).all() and set(judged.nearest) == {"trousers"}
    assert np.mean(score(around(0, 200, seed=3, spread=0.12), beside).score < 0.05) < 0.1


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(20)), st.lists(st.integers(0, 19), max_size=5))
def test_order_and_repetition_of_references_change_nothing(order: list[int], again: list[int]) -> None:
    rows, classes = two_classes()
    pictures = np.concatenate([around(0, 5, seed=1), around(9, 5)])
    expected = score(pictures, refer(rows, classes))
    taken = [*order, *again]
    found = score(pictures, refer(rows[taken], [classes[row] for row in taken]))
    assert np.array_equal(found.score, expected.score) and np.array_equal(found.margin, expected.margin)


def test_float16_blocks_and_company_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, classes = two_classes()
    pictures = np.concatenate([around(number % 3, 1, seed=number) for number in range(25)]).astype(np.float16)
    references = refer(rows, classes)
    whole, near = score(pictures, references), neighbours(pictures, rows)
    monkeypatch.setattr(relevance, "BLOCK_ROWS", 7)
    np.testing.assert_allclose(score(pictures, references).score, whole.score, atol=2e-5)
    np.testing.assert_allclose(score(pictures[3:4], references).score, whole.score[3:4], atol=2e-5)
    assert np.array_equal(neighbours(pictures, rows).positions, near.positions)
    assert (pictures.dtype, len(score(pictures[:0], references).score)) == (np.float16, 0)


def test_one_class_has_no_margin_and_a_single_reference_is_a_class_too() -> None:
    assert np.isnan(score(around(0, 3, seed=1), refer(around(0, 5), ["dress"] * 5)).margin).all()
    rows = np.concatenate([around(0, 5), around(1, 1)])
    found = score(around(1, 4, seed=1), refer(rows, ["dress"] * 5 + ["skirt"]))
    assert list(found.nearest) == ["skirt"] * 4


def test_references_that_are_all_alike_still_leave_room() -> None:
    references = refer(around(0, 8, spread=0.001), ["dress"] * 8)
    assert (score(around(0, 20, seed=1, spread=0.005), references).score > 0.05).all()


def test_many_references_are_thinned() -> None:
    assert refer(around(0, 500), ["dress"] * 500).starts == (0, relevance.MOST_REFERENCES)


def test_references_that_are_too_few_or_missing_are_refused() -> None:
    with pytest.raises(ReferencesError, match="at least 3 different reference pictures"):
        refer(np.repeat(around(0, 2), 5, axis=0), ["dress"] * 10)
    with pytest.raises(ReferencesError, match="at least 3"):
        refer(around(0, 5), ["dress", "dress", "hat", "hat", "hat"], wanted=["dress"])
    with pytest.raises(ReferencesError, match="no reference picture of coat, skirt"):
        refer(around(0, 5), ["dress"] * 5, wanted=["dress", "skirt", "coat"])


def test_neighbours_are_those_that_comparing_all_finds() -> None:
    drop, others = np.concatenate([around(0, 30), around(1, 30)]), around(1, 10, seed=5)
    near = neighbours(drop, others, count=6)
    everything = np.concatenate([drop, others])
    cosines = drop @ everything.T
    cosines[np.arange(60), np.arange(60)] = -2
    assert np.array_equal(near.positions, np.argsort(-cosines, axis=1)[:, :6])
    np.testing.assert_allclose(near.similarities, np.sort(cosines, axis=1)[:, ::-1][:, :6], atol=1e-5)


def test_a_large_drop_seeks_neighbours_among_some_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relevance, "POOL_ROWS", 20)
    drop = np.concatenate([around(row % 2, 1, seed=row) for row in range(101)])
    near = neighbours(drop, count=5)
    assert set(near.positions.ravel().tolist()) <= set(np.linspace(0, 100, 20).round().astype(int).tolist())
    assert not (near.positions == np.arange(101)[:, None]).any()
    assert np.mean(near.positions % 2 == np.arange(101)[:, None] % 2) > 0.95


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_tiny_drops_have_no_outliers_and_no_disagreement(rows: int) -> None:
    drop = np.concatenate([around(row, 1) for row in range(rows)]) if rows else np.empty((0, DIMENSIONS), np.float32)
    near = neighbours(drop)
    assert near.positions.shape == (rows, max(0, rows - 1) if rows < 7 else 5)
    assert outliers(near).tolist() == [1.0] * rows
    assert disagrees(near, [f"class {row}" for row in range(rows)]).score.tolist() == [1.0] * rows


@pytest.mark.parametrize("size", [10, 40, 400])
def test_a_lonely_picture_is_an_outlier_and_the_others_are_not(size: int) -> None:
    scores = outliers(neighbours(np.concatenate([around(0, size, spread=0.1), around(9, 1)])))
    assert scores[-1] < 0.001
    assert (scores[:-1] < 0.01).mean() < 0.05


def test_a_drop_of_one_picture_over_and_over_has_no_outliers() -> None:
    assert outliers(neighbours(np.repeat(around(0, 1), 30, axis=0))).tolist() == [1.0] * 30


def test_wrong_categories_are_found_with_the_right_one() -> None:
    drop = np.concatenate([around(0, 60), around(1, 40), around(2, 20)])
    true = ["dress"] * 60 + ["skirt"] * 40 + ["hat"] * 20
    categories: list[str | None] = list(true)
    for row, name in ((3, "skirt"), (70, "hat"), (110, "dress")):
        categories[row] = name
    categories[5] = None
    found = disagrees(neighbours(drop), categories)
    assert np.flatnonzero(found.score < 0.5).tolist() == [3, 70, 110]
    assert [found.suggested[row] for row in (3, 70, 110, 5, 0)] == ["dress", "skirt", "hat", None, None]
    assert set(found.score[found.suggested == None]) == {1.0}  # noqa: E711


def test_a_category_of_a_few_pictures_is_not_judged() -> None:
    drop = np.concatenate([around(0, 40), around(1, 3)])
    found = disagrees(neighbours(drop), ["dress"] * 40 + ["skirt"] * 3)
    assert found.score.tolist() == [1.0] * 43


def test_references_vote_too() -> None:
    drop = around(1, 6)  # six skirts, delivered as dresses
    references = np.concatenate([around(0, 20, seed=1), around(1, 20, seed=1)])
    labels = ["dress"] * 6 + ["dress"] * 20 + ["skirt"] * 20
    found = disagrees(neighbours(drop, references), labels)
    assert list(found.suggested) == ["skirt"] * 6
    assert disagrees(neighbours(drop), ["dress"] * 6).score.tolist() == [1.0] * 6


def test_real_garments_and_foreign_photos(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"needs the real photos, which are not at {SHARED}")
    classes = ("dress", "pants", "shoes")
    paths = [path for name in classes for path in sorted((SHARED / "clothing" / name).glob("*.jpg"))[:30]]
    foreign = sorted((SHARED / "pii").glob("*/*.jpg"))
    embedder = Embedder.open(None, tmp_path)
    rows = embedder.embed([decode(path.read_bytes()).pixels for path in [*paths, *foreign]])
    labels = np.array([path.parent.name for path in paths])
    is_reference = np.tile(np.arange(30) < 10, 3)
    references = refer(rows[:90][is_reference], labels[is_reference])
    good, alien = score(rows[:90][~is_reference], references), score(rows[90:], references)
    assert (good.nearest == labels[~is_reference]).mean() > 0.9
    assert (alien.score < 0.05).all()
    assert (good.score < 0.05).mean() < 0.1
    alone = refer(rows[:10], ["dress"] * 10)
    shoes = score(rows[60:90], alone).score
    assert (shoes < 0.05).mean() > 0.8
