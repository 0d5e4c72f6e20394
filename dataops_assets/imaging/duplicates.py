"""Perceptual hashes, which pictures are nearly the same by them, and which of those leads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any

import numpy as np

from dataops_assets.imaging.decode import Pixels
from dataops_assets.imaging.hamming import Found, Hashes, Rows, TooDense, find_near

Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool]]
Pairs = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

FREQUENCIES = 8
NO_WAVE = 0.001  # of 255: an even picture has up to 0.00003 by rounding
GRID = 4
GRID_SAMPLES_PX = 48
COLOUR_STEPS = 20  # of 255 in a* or b*; a warm filter moves a cell by 12, another colour of the same dress by 60 and more
# What mirroring left-right, top-down and both does to a hash: it changes the sign of odd frequencies across, down, of either.
MIRRORS = np.array([0, 0x5555555555555555, 0x00FF00FF00FF00FF, 0x55AA55AA55AA55AA], dtype=np.uint64)
MOST_PAIRS = 10_000_000  # 160 MB
PAIRS_PER_PICTURE = 4  # more, and pictures clump
FEW = 2_000  # pictures whose every pair may be held
BLOCK = 1 << 20  # hashes searched for at a time
BATCH = 1 << 16  # pairs looked at at a time
NO_ROWS = np.empty(0, dtype=np.int64)


LEVELS = np.arange(256) / 255
LINEAR = np.where(LEVELS <= 0.04045, LEVELS / 12.92, ((LEVELS + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
TO_XYZ = np.array([[0.412453, 0.212671, 0.019334], [0.357580, 0.715160, 0.119193], [0.180423, 0.072169, 0.950227]]) / [
    0.950456,
    1,
    1.088754,
]


def _cell_turns() -> Rows:
    """Where each byte of a turned grid stands in the grid, in the orientations of `turn_phashes`: shape (8, 32)."""
    grid = np.arange(2 * GRID**2).reshape(GRID, GRID, 2)
    mirrored = [grid, grid[:, ::-1], grid[::-1], grid[::-1, ::-1]]
    return np.stack([turned.ravel() for turned in [*mirrored, *(one.swapaxes(0, 1) for one in mirrored)]])


CELL_TURNS = _cell_turns()


def calc_phash(gray: Pixels) -> int:
    """64-bit perceptual hash of a gray picture: the signs of its 8 x 8 lowest DCT frequencies.

    After C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, with two changes: the frequencies are
    taken of the picture itself (pixels are areas of one brightness), which needs no resizing and fits any size, and are compared with
    zero instead of their median, which nearly is zero. So a mirrored or turned picture's hash follows from the hash
    (`turn_phashes`). Scaling, recompression and contrast hardly change it; colour doesn't enter (`calc_colour_grid`).

    Returns:
        Bit 63 - 8 v - u belongs to v half waves from top to bottom and u from left to right.
    """
    height, width = gray.shape
    waves = _half_waves(height) @ gray.astype(np.float32) @ _half_waves(width).T
    return int.from_bytes(np.packbits(waves > NO_WAVE).tobytes(), "big")


@lru_cache(256)
def _half_waves(samples: int) -> Any:
    """Cosines of 0 to 7 half waves over a line, each averaged over the extent of each sample: shape (8, samples)."""
    edges = np.arange(samples + 1) / samples
    numbers = np.arange(1, FREQUENCIES)[:, None] * np.pi
    waves = np.diff(np.sin(numbers * edges) / numbers)
    return np.vstack([np.full(samples, 1 / samples), waves]).astype(np.float32)


def turn_phashes(hashes: Hashes) -> Hashes:
    """The hashes of the pictures in all eight orientations: as is, mirrored left-right, top-down, both; then those transposed.

    A mirror changes the sign of every odd frequency, transposing swaps the directions. Frequencies that a picture lacks (drawn shapes,
    seldom photos) have no sign to change: its mirrored hash is off by those bits.

    Returns:
        Array of shape (8, n).
    """
    mirrored = np.asarray(hashes, dtype=np.uint64) ^ MIRRORS[:, None]
    transposed = mirrored.copy()
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):  # Hacker's Delight, 7-3
        swapped = (transposed ^ (transposed >> np.uint64(shift))) & np.uint64(mask)
        transposed ^= swapped ^ (swapped << np.uint64(shift))
    return np.concatenate([mirrored, transposed])


def calc_colour_grid(pixels: Pixels) -> bytes:
    """Mean colour without brightness, a* and b* of CIELAB as bytes, of 4 x 4 cells in rows: 32 bytes.

    The hash sees brightness only: a red and a blue dress of one cut on the same wall have the same hash.
    """
    import cv2

    # Sampled first: averaging areas of uneven size is ten times slower, and cells differ by 2 of 255 at most, seldom more.
    samples = cv2.resize(pixels, (GRID_SAMPLES_PX, GRID_SAMPLES_PX), interpolation=cv2.INTER_LINEAR)
    return calc_colour_grids(np.asarray(samples, dtype=np.uint8))[0]


def calc_colour_grids(samples: Pixels) -> list[bytes]:
    """The same of pictures that are sampled already, 48 x 48 px each, one below the other."""
    import cv2

    pictures = len(samples) // GRID_SAMPLES_PX
    cells = cv2.resize(samples, (GRID, GRID * pictures), interpolation=cv2.INTER_AREA)
    return [cell.tobytes() for cell in _chroma(np.asarray(cells, dtype=np.uint8)).reshape(pictures, -1)]


def _chroma(pixels: Pixels) -> Bytes:
    """a* and b* of CIELAB, D65, of sRGB pixels as OpenCV gives them, 128 for none; its tables take each process 50 ms to make."""
    xyz = LINEAR[pixels] @ TO_XYZ
    x, y, z = np.moveaxis(np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29), -1, 0)
    return np.asarray(np.rint(np.stack([500 * (x - y), 200 * (y - z)], axis=-1) + 128), dtype=np.uint8)


def same_colours(pairs: Pairs, grids: Sequence[bytes | None]) -> Pairs:
    """The pairs whose cells all have about the same colour; a picture without a grid passes."""
    looks = _Looks.of(np.zeros(len(grids), dtype=np.uint64), grids)
    kept = [pairs[:0]]
    for start in range(0, len(pairs), BATCH):
        batch = pairs[start : start + BATCH]
        kept.append(batch[_alike(looks, batch[:, 0], np.zeros(len(batch), dtype=np.int64), looks, batch[:, 1])])
    return np.concatenate(kept)


def near_duplicates(
    hashes: Hashes, max_bits: int, settled: int = 0, grids: Sequence[bytes | None] | None = None, transforms: bool = False
) -> Pairs:
    """All pairs of pictures whose hashes differ in at most `max_bits` bits.

    Args:
        hashes: Of `calc_phash`.
        max_bits: Hamming distance that still counts.
        settled: Pairs among that many of the first pictures are left out: those were compared when they came.
        grids: Of `calc_colour_grid`; the colours of a pair must be alike, too.
        transforms: Whether the later picture of a pair may be mirrored or turned.

    Returns:
        Array of shape (n, 2) of positions i < j, sorted.

    Raises:
        TooDense: when there are more than `MOST_PAIRS`; `find_leaders` groups such pictures without listing pairs.
    """
    looks = _Looks.of(hashes, grids)
    pairs = _Pairs(MOST_PAIRS)
    new = looks.pick(slice(settled, None))
    _compare(new, None, max_bits, transforms, lambda later, earlier: pairs.add(earlier + settled, later + settled))
    _compare(new, looks.pick(slice(settled)), max_bits, transforms, lambda later, earlier: pairs.add(earlier, later + settled))
    return pairs.sorted()


def lead(pairs: Pairs, rows: int, settled: int = 0) -> Rows:
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
    leader = list(range(rows))
    for start in range(0, len(pairs), BATCH):
        for first, second in pairs[start : start + BATCH].tolist():  # sorted: when a row leads its pairs, its own place is settled
            if second >= settled and leader[first] == first and leader[second] == second:
                leader[second] = first
    return np.array(leader, dtype=np.int64)


def find_leaders(
    hashes: Hashes, max_bits: int, settled: int = 0, grids: Sequence[bytes | None] | None = None, transforms: bool = False
) -> Rows:
    """What `lead` makes of `near_duplicates`, without holding the pairs: a drop of blank pictures has billions.

    Equal pictures are compared once. Where many are nearly equal, the first half is grouped by itself, and the second one compared
    with the leaders of the first only, until there are few.

    Args:
        hashes: Of `calc_phash`, in order of preference.
        max_bits: Hamming distance that still counts.
        settled: That many of the first pictures lead whatever they are near to.
        grids: Of `calc_colour_grid`.
        transforms: Whether a follower may be mirrored or turned.

    Returns:
        For each picture the position of its leader, its own for a leader.
    """
    looks = _Looks.of(hashes, grids)
    leader = np.arange(len(hashes), dtype=np.int64)
    firsts, same = _distinct(looks.pick(slice(settled, None)))
    new = looks.pick(firsts + settled)
    found = _find_first(new, looks.pick(slice(settled)), max_bits, transforms)
    free = np.flatnonzero(found < 0)
    found[free] = settled + firsts[free[_lead(new.pick(free), max_bits, transforms)]]
    leader[settled:] = found[same]
    return leader


def find_first(
    hashes: Hashes, others: Hashes, max_bits: int, grids: tuple[Sequence[bytes | None], Sequence[bytes | None]], transforms: bool = False
) -> Rows:
    """For each picture the position of the first of some others that it is near to, -1 where it is near to none.

    Args:
        hashes: Of `calc_phash`.
        others: Those of the others, in order of preference.
        max_bits: Hamming distance that still counts.
        grids: Of `calc_colour_grid`, of the pictures and of the others.
        transforms: Whether a picture may be mirrored or turned.
    """
    return _find_first(_Looks.of(hashes, grids[0]), _Looks.of(others, grids[1]), max_bits, transforms)


@dataclass(frozen=True)
class _Looks:
    """Hashes of pictures and, where known, their colours."""

    hashes: Hashes
    colours: Bytes  # (n, 32); (0, 32) where colours don't count
    is_coloured: Flags

    @staticmethod
    def of(hashes: Hashes, grids: Sequence[bytes | None] | None) -> _Looks:
        blank = bytes(2 * GRID**2)
        colours = np.frombuffer(b"".join(grid or blank for grid in grids or []), dtype=np.uint8).reshape(-1, 2 * GRID**2)
        return _Looks(np.asarray(hashes, dtype=np.uint64), colours, np.array([grid is not None for grid in grids or []], dtype=bool))

    def pick(self, rows: slice | Rows) -> _Looks:
        if len(self.colours) == 0:
            return _Looks(self.hashes[rows], self.colours, self.is_coloured)
        return _Looks(self.hashes[rows], self.colours[rows], self.is_coloured[rows])


def _distinct(looks: _Looks) -> tuple[Rows, Rows]:
    """The first position of each different look, ascending, and for each picture the place of its look among those."""
    keys: list[Any] = [looks.hashes]
    if len(looks.colours):
        keys += [*looks.colours.copy().view(np.uint64).T, looks.is_coloured]
    order = np.lexsort(keys)  # stable: of equal looks, the first comes first
    is_new = np.zeros(len(order), dtype=bool)
    is_new[:1] = True
    for key in keys:
        is_new[1:] |= key[order[1:]] != key[order[:-1]]
    is_first = np.zeros(len(order), dtype=bool)
    is_first[order[is_new]] = True
    same = np.empty(len(order), dtype=np.int64)
    same[order] = (np.cumsum(is_first) - 1)[order[is_new]][np.cumsum(is_new) - 1]
    return np.flatnonzero(is_first), same


def _lead(looks: _Looks, max_bits: int, transforms: bool) -> Rows:
    """Leaders of different looks, in order of preference."""
    count = len(looks.hashes)
    try:
        return lead(_pairs(looks, max_bits, transforms, inf if count <= FEW else PAIRS_PER_PICTURE * count), count)
    except TooDense:
        half = count // 2
    before = _lead(looks.pick(slice(half)), max_bits, transforms)
    heads = np.unique(before)
    found = _find_first(looks.pick(slice(half, None)), looks.pick(heads), max_bits, transforms)
    free = np.flatnonzero(found < 0)
    after = heads[found]
    after[free] = half + free[_lead(looks.pick(half + free), max_bits, transforms)]
    return np.concatenate([before, after])


def _pairs(looks: _Looks, max_bits: int, transforms: bool, most: float) -> Pairs:
    pairs = _Pairs()
    _compare(looks, None, max_bits, transforms, lambda later, earlier: pairs.add(earlier, later), most)
    return pairs.sorted()


def _find_first(looks: _Looks, leaders: _Looks, max_bits: int, transforms: bool) -> Rows:
    """For each look the first leader that it is near to, -1 where it is near to none."""
    count = len(leaders.hashes)
    first: Rows = np.full(len(looks.hashes), count, dtype=np.int64)
    most = inf if count <= FEW else PAIRS_PER_PICTURE * (count + len(first))
    try:
        _compare(looks, leaders, max_bits, transforms, lambda i, j: np.minimum.at(first, i, j), most)
    except TooDense:
        half = count // 2
        first = _find_first(looks, leaders.pick(slice(half)), max_bits, transforms)
        free = np.flatnonzero(first < 0)
        later = _find_first(looks.pick(free), leaders.pick(slice(half, None)), max_bits, transforms)
        first[free] = np.where(later < 0, count, half + later)
    first[first == count] = -1
    return first


def _compare(later: _Looks, earlier: _Looks | None, max_bits: int, transforms: bool, found: Found, most: float = inf) -> None:
    """Find which pictures, turned if asked, are nearly the same as earlier ones.

    Args:
        later: Pictures.
        earlier: Those to compare with; None compares the pictures with those before them.
        max_bits: Hamming distance that still counts.
        transforms: Whether the later ones may be mirrored or turned.
        found: Called with batches of positions of later and earlier ones, by one thread at a time, in no order. A pair comes once
            for each orientation that fits.
        most: Pairs of near hashes to see before giving up; also gives up where hashes clump, unless it is infinite.

    Raises:
        TooDense: when it gives up.
    """
    lock, seen, rows = threading.Lock(), 0, len(later.hashes)
    turned = (turn_phashes(later.hashes) if transforms else later.hashes).ravel()
    others = later if earlier is None else earlier

    def check(first: Rows, second: Rows) -> None:
        nonlocal seen
        seen += len(first)
        if seen > most:
            raise TooDense(f"more than {most:.0f} pairs of near hashes")
        turns, first = np.divmod(first, rows)
        good = _alike(later, first, turns, others, second)
        if earlier is None:
            good &= second < first
        with lock:
            found(first[good], second[good])

    if earlier is None:
        find_near(later.hashes, None, max_bits, lambda i, j: check(j, i), most < inf)
    for start in range(rows if earlier is None else 0, len(turned), BLOCK):
        block = turned[start : start + BLOCK]
        find_near(block, others.hashes, max_bits, lambda i, j, start=start: check(i + start, j), most < inf)  # type: ignore[misc]


def _alike(left: _Looks, first: Rows, turns: Rows, right: _Looks, second: Rows) -> Flags:
    """Which pairs have about the same colour in every cell, the first one turned, or lack a grid."""
    if len(left.colours) == 0:
        return np.ones(len(first), dtype=bool)
    ours, theirs = left.colours[first[:, None], CELL_TURNS[turns]], right.colours[second]
    apart = np.maximum(ours, theirs) - np.minimum(ours, theirs)
    alike: Flags = (apart.max(axis=1) <= COLOUR_STEPS) | ~left.is_coloured[first] | ~right.is_coloured[second]
    return alike


class _Pairs:
    """Pairs of positions as they are found; more than `most` are refused."""

    def __init__(self, most: float = inf) -> None:
        self._most, self._count = most, 0
        self._keys: list[Rows] = []

    def add(self, first: Rows, second: Rows) -> None:
        self._count += len(first)
        if self._count > self._most:
            raise TooDense(f"more than {self._most:.0f} pairs")
        self._keys.append(first << 32 | second)

    def sorted(self) -> Pairs:
        keys = np.unique(np.concatenate([NO_ROWS, *self._keys]))
        return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)
