"""The search for near hashes: exactly what comparing all finds, whatever lies close together."""

import numpy as np
import pytest

from dataops_assets.imaging import hamming
from dataops_assets.imaging.hamming import TooDense, find_near


def clumps(rng: np.random.Generator, count: int) -> np.ndarray:
    """Hashes of which many are alone, some in pairs, and a tenth in one clump, equal ones among them."""
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    tenth = count // 10
    hashes[:tenth] = hashes[tenth : 2 * tenth]
    hashes[-tenth:] = hashes[-1]
    for _ in range(12):
        flips = np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)
        hashes ^= flips * (rng.random(count) < 0.4).astype(np.uint64)
    hashes[-5:] = hashes[-1]
    return rng.permutation(hashes)


def found(left: np.ndarray, right: np.ndarray | None, max_bits: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    find_near(left, right, max_bits, lambda i, j: pairs.extend(zip(i.tolist(), j.tolist(), strict=True)))
    return sorted(pairs)


def expected(left: np.ndarray, right: np.ndarray | None, max_bits: int) -> list[tuple[int, int]]:
    near = np.bitwise_count(left[:, None] ^ (left if right is None else right)) <= max_bits
    return [(int(i), int(j)) for i, j in np.argwhere(near if right is not None else np.triu(near, 1))]


@pytest.mark.parametrize("max_bits", [0, 1, 3, 7, 10, 16])
@pytest.mark.parametrize("count", [1, 40, 900, 4000])
def test_each_near_pair_is_found_once(count: int, max_bits: int) -> None:
    rng = np.random.default_rng(count + max_bits)
    hashes = clumps(rng, count)
    new = np.concatenate([hashes[: count // 7], clumps(rng, 30)])
    assert found(hashes, None, max_bits) == expected(hashes, None, max_bits)
    assert found(new, hashes, max_bits) == expected(new, hashes, max_bits)
    assert found(hashes, new, max_bits) == expected(hashes, new, max_bits)


@pytest.mark.parametrize("most_in_table", [2, 20])
def test_groups_too_large_for_the_table_are_compared_by_themselves(most_in_table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "MOST_IN_TABLE", most_in_table)
    monkeypatch.setattr(hamming, "CELLS", 64)
    hashes = clumps(np.random.default_rng(0), 900)
    new = clumps(np.random.default_rng(1), 60)
    assert found(hashes, None, 7) == expected(hashes, None, 7)
    assert found(hashes, new, 7) == expected(hashes, new, 7)


def test_nothing_is_near_to_nothing() -> None:
    nothing = np.empty(0, dtype=np.uint64)
    assert (
        found(nothing, None, 7) == found(nothing, np.zeros(3, dtype=np.uint64), 7) == found(np.zeros(3, dtype=np.uint64), nothing, 7) == []
    )


def test_a_bounded_search_gives_up_on_a_clump_and_reports_what_its_listener_raises() -> None:
    clump = np.zeros(20_000, dtype=np.uint64)
    with pytest.raises(TooDense, match="comparisons"):
        find_near(clump, None, 7, lambda i, j: None, is_bounded=True)

    def full(_: np.ndarray, __: np.ndarray) -> None:
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        find_near(clump[:100], None, 7, full)
