"""Near duplicates: the hash survives edits, mirrored pictures are found, groups don't chain, clumps don't explode."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataops_assets.imaging import duplicates
from dataops_assets.imaging.decode import decode
from dataops_assets.imaging.duplicates import (
    calc_colour_grid,
    calc_phash,
    find_leaders,
    lead,
    near_duplicates,
    same_colours,
    turn_phashes,
)
from dataops_assets.imaging.hamming import TooDense
from dataops_assets.imaging.view import calc_gray

SHARED = Path(os.environ.get("DATAOPS_SHARED", Path(__file__).parents[2].parent / "shared")) / "data"


def scene(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A picture with large and small patches of colour."""
    rng = np.random.default_rng(seed)
    patches = (rng.normal(128, 60, (side, side, 3)).clip(0, 255).astype(np.uint8) for side in (3, 6, 11))
    scaled = [np.asarray(Image.fromarray(patch).resize((width, height), Image.Resampling.BICUBIC), dtype=float) for patch in patches]
    return np.clip(sum(scaled) / 3 + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


def orientations(pixels: np.ndarray) -> list[np.ndarray]:
    mirrored = [pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]]
    return [np.ascontiguousarray(one) for one in [*mirrored, *(np.swapaxes(one, 0, 1) for one in mirrored)]]


def hashed(*pictures: np.ndarray) -> np.ndarray:
    return np.array([calc_phash(calc_gray(pixels)) for pixels in pictures], dtype=np.uint64)


def flipped(rng: np.random.Generator, hashes: np.ndarray, times: int) -> np.ndarray:
    """Each with up to so many bits flipped."""
    for _ in range(times):
        bit = np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64)
        hashes = hashes ^ bit * rng.integers(0, 2, len(hashes), dtype=np.uint64)
    return hashes


def test_edits_of_a_photo_are_near_and_other_photos_are_not() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no test data at {SHARED}")
    edits = sorted((SHARED / "near_duplicates").glob("*.jpg"))
    others = sorted((SHARED / "clothing").glob("*/*.jpg"))[::45]
    pictures = [decode(path.read_bytes()).pixels for path in [*edits, *others]]
    grids = [calc_colour_grid(pixels) for pixels in pictures]
    hashes = hashed(*pictures)
    pairs = near_duplicates(hashes, 7, grids=grids)
    assert {tuple(pair) for pair in pairs.tolist()} == {(i, j) for i in range(7) for j in range(i + 1, 7)}
    assert same_colours(near_duplicates(hashes, 7), grids).tolist() == pairs.tolist()
    assert find_leaders(hashes, 7, grids=grids).tolist() == [0] * 7 + list(range(7, len(pictures)))


def test_the_hash_survives_scaling_and_contrast_and_knows_even_pictures() -> None:
    gray = calc_gray(scene(1))
    assert calc_phash(np.kron(gray, np.ones((3, 2), dtype=np.uint8))) == calc_phash(gray)
    assert (calc_phash((gray * 0.7 + 20).astype(np.uint8)) ^ calc_phash(gray)).bit_count() <= 2
    evens = [np.full(shape, value, dtype=np.uint8) for shape in ((1, 1), (3, 200), (251, 187)) for value in (1, 77, 255)]
    assert {calc_phash(even) for even in evens} == {1 << 63}
    assert calc_phash(np.zeros((5, 5), dtype=np.uint8)) == 0


@pytest.mark.parametrize("size", [(120, 160), (97, 61)])
def test_hash_and_colours_of_a_turned_picture_follow_from_those_of_the_picture(size: tuple[int, int]) -> None:
    for seed in range(5):
        turned = orientations(scene(seed, *size))
        off = np.bitwise_count(turn_phashes(hashed(turned[0]))[:, 0] ^ hashed(*turned))
        assert off.max() <= 1  # a frequency that is nearly nil
        grid = np.frombuffer(calc_colour_grid(turned[0]), dtype=np.uint8)
        for cells, pixels in zip(duplicates.CELL_TURNS, turned, strict=True):
            theirs = np.frombuffer(calc_colour_grid(pixels), dtype=np.uint8)
            assert np.abs(grid[cells].astype(int) - theirs).max() <= 2


def test_mirrored_and_turned_pictures_are_near_where_asked_for() -> None:
    pictures = [*orientations(scene(3)), scene(4)]
    grids = [calc_colour_grid(pixels) for pixels in pictures]
    hashes = hashed(*pictures)
    assert find_leaders(hashes, 7, grids=grids).tolist() == list(range(9))
    assert find_leaders(hashes, 7, grids=grids, transforms=True).tolist() == [0] * 8 + [8]
    assert find_leaders(hashes, 7, settled=1, grids=grids, transforms=True).tolist() == [0] * 8 + [8]
    assert near_duplicates(hashes, 7, settled=7, grids=grids, transforms=True).tolist() == [[i, 7] for i in range(7)]
    elsewhere = [*grids[:1], *grids[:1], *grids[2:]]  # the second: mirrored shapes, the colours where they were
    assert find_leaders(hashes[:2], 7, grids=elsewhere[:2], transforms=True).tolist() == [0, 1]


def test_another_colour_of_the_same_cut_is_another_picture() -> None:
    def dress(*rgb: int) -> np.ndarray:
        pixels = np.full((160, 120, 3), (225, 222, 218), dtype=np.uint8)
        pixels[20:140, 40:80] = rgb
        return pixels

    pictures = [dress(190, 30, 40), dress(180, 40, 50), dress(30, 50, 170)]
    hashes = hashed(*pictures)
    pairs = near_duplicates(hashes, 0)
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    grids = [calc_colour_grid(pixels) for pixels in pictures]
    assert same_colours(pairs, grids).tolist() == [[0, 1]]
    assert find_leaders(hashes, 0, grids=grids).tolist() == [0, 0, 2]
    assert same_colours(pairs, [grids[0], None, grids[2]]).tolist() == [[0, 1], [1, 2]]
    assert same_colours(near_duplicates(np.array([], dtype=np.uint64), 0), []).shape == (0, 2)


def test_no_hashes_no_pairs() -> None:
    nothing = np.array([], dtype=np.uint64)
    assert near_duplicates(nothing, 7).shape == (0, 2)
    assert find_leaders(nothing, 7, grids=[], transforms=True).shape == (0,)


def test_groups_do_not_chain_and_settled_rows_stay() -> None:
    hashes = np.array([0b0, 0b11, 0b1111], dtype=np.uint64)
    chain = near_duplicates(hashes, max_bits=2)
    assert chain.tolist() == [[0, 1], [1, 2]]
    assert lead(chain, 3).tolist() == find_leaders(hashes, 2).tolist() == [0, 0, 2]
    assert lead(chain, 3, settled=2).tolist() == find_leaders(hashes, 2, settled=2).tolist() == [0, 1, 1]
    assert near_duplicates(hashes, 2, settled=2).tolist() == [[1, 2]]


@pytest.mark.parametrize("transforms", [False, True])
@pytest.mark.parametrize("settled", [0, 150])
def test_leaders_are_those_of_all_pairs_however_the_work_is_split(settled: int, transforms: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for few in (5, 2_000):
        monkeypatch.setattr(duplicates, "FEW", few)
        for seed in range(3):
            rng = np.random.default_rng(seed)
            hashes = flipped(rng, rng.integers(0, 2**64, 4, dtype=np.uint64)[rng.integers(0, 4, 400)], 5 + seed)
            hashes = np.where(rng.random(400) < 0.3, turn_phashes(hashes)[rng.integers(0, 8, 400), np.arange(400)], hashes)
            colours = [bytes(rng.integers(110, 145, 32, dtype=np.uint8)) for _ in range(3)]
            grids = [None if kind == 3 else colours[kind] for kind in rng.integers(0, 4, 400)]
            for seen in (None, grids):
                pairs = near_duplicates(hashes, 7, settled, seen, transforms)
                assert find_leaders(hashes, 7, settled, seen, transforms).tolist() == lead(pairs, 400, settled).tolist()


def test_an_earlier_drop_stays_as_it_is_when_a_later_one_comes() -> None:
    rng = np.random.default_rng(0)
    earlier = flipped(rng, rng.integers(0, 2**64, 300, dtype=np.uint64)[rng.integers(0, 300, 600)], 6)
    leaders = find_leaders(earlier, 7)
    kept = earlier[leaders == np.arange(600)]
    later = flipped(rng, kept[rng.integers(0, len(kept), 200)], 6)
    both = find_leaders(np.concatenate([kept, later]), 7, settled=len(kept))
    assert both[: len(kept)].tolist() == list(range(len(kept)))
    assert (both[len(kept) :] < len(kept)).sum() == 200


def test_a_hundred_thousand_blank_pictures_are_grouped_without_listing_their_pairs() -> None:
    rng = np.random.default_rng(0)
    for blank in (np.zeros(100_000, dtype=np.uint64), flipped(rng, np.zeros(100_000, dtype=np.uint64), 3)):
        hashes = np.concatenate([rng.integers(0, 2**64, 20_000, dtype=np.uint64), blank])
        leaders = find_leaders(hashes, 7)
        first = int(np.flatnonzero(hashes[20_000:] == blank[0])[0]) + 20_000
        assert set(leaders[20_000:].tolist()) == {first}
        with pytest.raises(TooDense, match="pairs"):
            near_duplicates(hashes, 7)


def test_blank_pictures_of_many_colours_are_as_many_groups_as_there_are_colours() -> None:
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 12, (50_000, 2)).astype(np.uint8) * 21
    leaders = find_leaders(np.full(50_000, 1 << 63, dtype=np.uint64), 7, grids=[shade.tobytes() * 16 for shade in shades])
    assert len(np.unique(leaders)) == 144
    assert (shades[leaders] == shades).all()
