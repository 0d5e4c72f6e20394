"""Near duplicates: the hash survives edits, the search is exact, groups don't chain."""

import os
from pathlib import Path

import numpy as np
import pytest

from dataops_assets.imaging import duplicates
from dataops_assets.imaging.decode import decode
from dataops_assets.imaging.duplicates import calc_colour_grid, calc_phash, lead, near_duplicates, same_colours
from dataops_assets.imaging.measures import calc_gray

SHARED = Path(os.environ.get("DATAOPS_SHARED", Path(__file__).parents[2].parent / "shared")) / "data"


def test_edits_of_a_photo_are_near_and_other_photos_are_not() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no test data at {SHARED}")
    edits = sorted((SHARED / "near_duplicates").glob("*.jpg"))
    others = sorted((SHARED / "clothing").glob("*/*.jpg"))[::45]
    hashes = np.array([calc_phash(calc_gray(decode(path.read_bytes()).pixels)) for path in [*edits, *others]], dtype=np.uint64)
    grids = [calc_colour_grid(decode(path.read_bytes()).pixels) for path in [*edits, *others]]
    pairs = same_colours(near_duplicates(hashes, max_bits=7), grids)
    assert {tuple(pair) for pair in pairs.tolist()} == {(i, j) for i in range(7) for j in range(i + 1, 7)}


@pytest.mark.parametrize("max_bits", [0, 3, 4, 7])
def test_the_index_finds_exactly_what_comparing_all_finds(max_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(max_bits)
    seeds = rng.integers(0, 2**63, 300, dtype=np.uint64)
    flips = np.array(
        [sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 10), replace=False)) for _ in range(300)], dtype=np.uint64
    )
    hashes = np.concatenate([seeds, seeds ^ flips])
    expected = [(i, j) for i in range(600) for j in range(i + 1, 600) if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= max_bits]
    assert near_duplicates(hashes, max_bits).tolist() == [list(pair) for pair in expected]
    monkeypatch.setattr(duplicates, "BRUTE_FORCE_ROWS", 0)
    assert near_duplicates(hashes, max_bits).tolist() == [list(pair) for pair in expected]


def test_another_colour_of_the_same_cut_is_another_picture() -> None:
    def dress(*rgb: int) -> np.ndarray:
        pixels = np.full((160, 120, 3), (225, 222, 218), dtype=np.uint8)
        pixels[20:140, 40:80] = rgb
        return pixels

    pictures = [dress(190, 30, 40), dress(180, 40, 50), dress(30, 50, 170)]
    hashes = np.array([calc_phash(calc_gray(pixels)) for pixels in pictures], dtype=np.uint64)
    pairs = near_duplicates(hashes, 0)
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    grids = [calc_colour_grid(pixels) for pixels in pictures]
    assert same_colours(pairs, grids).tolist() == [[0, 1]]
    assert same_colours(pairs, [grids[0], None, grids[2]]).tolist() == [[0, 1], [1, 2]]
    assert same_colours(near_duplicates(np.array([], dtype=np.uint64), 0), []).shape == (0, 2)


def test_no_hashes_no_pairs() -> None:
    assert near_duplicates(np.array([], dtype=np.uint64), 7).shape == (0, 2)


def test_groups_do_not_chain_and_settled_rows_stay() -> None:
    chain = near_duplicates(np.array([0b0, 0b11, 0b1111], dtype=np.uint64), max_bits=2)
    assert chain.tolist() == [[0, 1], [1, 2]]
    assert lead(chain, 3).tolist() == [0, 0, 2]
    assert lead(chain, 3, settled=2).tolist() == [0, 1, 1]
