"""Perceptual hashes and which pictures are nearly the same by them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from dataops_assets.imaging.decode import Pixels

Hashes = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
Pairs = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

HASH_SIDE_PX = 32
GRID = 4
COLOUR_STEPS = 20  # of 255 in a* or b*; a warm filter moves a cell by 12, another colour of the same dress by 60 and more
PARTS = 4
PART_BITS = 16
BRUTE_FORCE_ROWS = 2_000
INDEX_BITS = 7  # above, the index tries so many neighbours of a part that comparing everything is as fast


def calc_phash(gray: Pixels) -> int:
    """64-bit perceptual hash of a gray picture: signs of the 8 x 8 lowest DCT frequencies against their median.

    The DCT hash of C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010. Scaling,
    recompression and contrast hardly change it; colour doesn't enter (`calc_colour_grid`).
    """
    import cv2

    small = cv2.resize(gray, (HASH_SIDE_PX, HASH_SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    low[np.abs(low) < 1e-2] = 0  # rounding noise of an even picture
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def calc_colour_grid(pixels: Pixels) -> bytes:
    """Mean colour without brightness, a* and b* of CIELAB as bytes, of 4 x 4 cells in rows: 32 bytes.

    The hash sees brightness only: a red and a blue dress of one cut on the same wall have the same hash.
    """
    import cv2

    cells = cv2.resize(pixels, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(cv2.cvtColor(cells, cv2.COLOR_RGB2LAB)[..., 1:]).tobytes()


def same_colours(pairs: Pairs, grids: Sequence[bytes | None]) -> Pairs:
    """The pairs whose cells all have about the same colour; a picture without a grid passes."""
    colours = np.array([list(grid or bytes(2 * GRID**2)) for grid in grids], dtype=np.int16).reshape(-1, 2 * GRID**2)
    known = np.array([grid is not None for grid in grids], dtype=bool)
    first, second = pairs[:, 0], pairs[:, 1]
    apart = np.abs(colours[first] - colours[second]).max(axis=1, initial=0)
    alike: Pairs = pairs[(apart <= COLOUR_STEPS) | ~known[first] | ~known[second]]
    return alike


def near_duplicates(hashes: Hashes, max_bits: int) -> Pairs:
    """All pairs of hashes that differ in at most `max_bits` bits.

    Exact. Of hashes so near, at least one of four 16-bit parts differs in at most `max_bits // 4` bits (pigeonhole), so
    only rows that share such a part are compared (multi-index hashing, Norouzi et al., CVPR 2012).

    Returns:
        Array of shape (n, 2) of positions i < j, sorted.
    """
    hashes = np.asarray(hashes, dtype=np.uint64)
    if len(hashes) <= BRUTE_FORCE_ROWS or max_bits > INDEX_BITS:
        return _compare_all(hashes, max_bits)
    found = [_same_part(hashes, part, max_bits) for part in range(PARTS)]
    return np.unique(np.concatenate(found), axis=0)


def lead(pairs: Pairs, rows: int, settled: int = 0) -> Pairs:
    """Group rows, given in order of preference, around leaders.

    A row that is near a leader before it follows the first such leader; every other row is a leader. Groups don't chain:
    each follower is near its own leader.

    Args:
        pairs: Of `near_duplicates`.
        rows: How many there are.
        settled: That many of the first rows lead whatever they are near to: they were released as such.

    Returns:
        For each row the position of its leader, its own for a leader.
    """
    leader = np.arange(rows, dtype=np.int64)
    for first, second in pairs.tolist():  # sorted: when a row leads its pairs, its own place is settled
        if second >= settled and leader[first] == first and leader[second] == second:
            leader[second] = first
    return leader


def _compare_all(hashes: Hashes, max_bits: int) -> Pairs:
    found = [np.empty((0, 2), dtype=np.int64)]
    step = max(1, 4_000_000 // max(1, len(hashes)))
    for start in range(0, len(hashes), step):
        block = hashes[start : start + step]
        distance = np.bitwise_count(block[:, None] ^ hashes[None, start:])
        rows, columns = np.nonzero(distance <= max_bits)
        ahead = columns > rows
        found.append(np.stack([rows[ahead] + start, columns[ahead] + start], axis=1))
    return np.concatenate(found)


def _same_part(hashes: Hashes, part: int, max_bits: int) -> Pairs:
    values = ((hashes >> np.uint64(part * PART_BITS)) & np.uint64(0xFFFF)).astype(np.int64)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    found: list[Any] = [np.empty((0, 2), dtype=np.int64)]
    for mask in _masks(max_bits // PARTS):
        wanted = values ^ mask
        start = np.searchsorted(ordered, wanted, side="left")
        count = np.searchsorted(ordered, wanted, side="right") - start
        first = np.repeat(np.arange(len(hashes)), count)
        second = order[np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)]
        near = (first < second) & (np.bitwise_count(hashes[first] ^ hashes[second]) <= max_bits)
        found.append(np.stack([first[near], second[near]], axis=1))
    return np.concatenate(found)


def _masks(bits: int) -> list[int]:
    """All 16-bit words with at most `bits` ones."""
    return [sum(1 << place for place in places) for ones in range(bits + 1) for places in combinations(range(PART_BITS), ones)]
