"""Which of millions of 64-bit hashes are near by Hamming distance: exact, in bounded memory, on all cores.

Multi-index hashing of M. Norouzi, A. Punjani and D. Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012.
Hashes that differ in few bits differ in hardly any bit of at least one of their parts, so only those are compared. They stand in
groups by that part, and whole groups are compared at once, in tables.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from math import comb, inf
from typing import Any

import numpy as np

Hashes = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
Rows = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Found = Callable[[Rows, Rows], None]

BITS = 64
PART_BITS = 16  # at most: keys of so many bits are sorted by radix
# How far apart neighbouring bits are put (odd, so that it is a permutation): neighbouring frequencies of a picture are alike in many
# pictures, and parts of such bits make large groups.
SPREAD = 19
CELLS = 1 << 15  # pairs compared at a time: their differences stay in a core's cache
MOST_IN_TABLE = 255  # hashes of a group; larger ones are compared by themselves, smaller ones side by side
TABLE_CELLS = 1 << 22  # 32 MB
# Seconds to begin a part, to sort a hash, to collect one, to look at a group and to compare a pair: measured, to choose the number
# of parts.
PART_S, SORT_S, COLLECT_S, GROUP_S, COMPARE_S = 200e-6, 30e-9, 5e-9, 60e-9, 1.5e-9
CLUMPED = 8  # times as many pairs as evenly spread hashes have
FREE_PAIRS = 4_000_000
FEW_PAIRS = 10_000_000  # of all hashes: looking at those takes less time than starting threads does
NONE = np.empty(0, dtype=np.int64)


class TooDense(Exception):
    """Hashes lie so close together that comparing them all would take too long."""


def find_near(left: Hashes, right: Hashes | None, max_bits: int, found: Found, is_bounded: bool = False) -> None:
    """Find all pairs that differ in at most `max_bits` bits, each once.

    Args:
        left: Hashes.
        right: Hashes to compare them with; None compares `left` with itself.
        max_bits: Hamming distance that still counts, 0 to 63.
        found: Called with batches of pairs as positions in left and right; without right, the first is the smaller. It may be
            called from several threads, in no order.
        is_bounded: Give up where the hashes clump.

    Raises:
        TooDense: where `is_bounded` and the hashes clump.
        Exception: what `found` raises ends the search.
    """
    if len(left) == 0 or (right is not None and len(right) == 0):
        return
    pairs = len(left) * (len(left) / 2 if right is None else len(right))
    parts = _plan(len(left), None if right is None else len(right), max_bits)
    if len(parts) > 1:
        left, right = _spread(left), None if right is None else _spread(right)
    for place, part in enumerate(parts):
        ours = _Groups.of(left, part)
        theirs = ours if right is None else _Groups.of(right, part)
        most = CLUMPED * pairs / 2**part.width + FREE_PAIRS if is_bounded else inf
        looks = [_Look(ours, theirs, parts[: place + 1], difference, max_bits, found) for difference in part.differences()]
        if pairs <= FEW_PAIRS:
            for look in looks:
                look.run(most)
            continue
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            searches = [pool.submit(look.run, most) for look in looks]
            try:
                for search in searches:
                    search.result()
            finally:
                pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Part:
    """Adjacent bits of a hash, and in how many of them two hashes may differ to be compared."""

    shift: int
    width: int
    max_bits: int

    @property
    def mask(self) -> np.uint64:
        return np.uint64(((1 << self.width) - 1) << self.shift)

    def of(self, hashes: Hashes) -> Any:
        return ((hashes & self.mask) >> np.uint64(self.shift)).astype(np.uint16)

    def differences(self) -> Iterator[int]:
        """All words of the part with at most `max_bits` ones."""
        for ones in range(self.max_bits + 1):
            for places in combinations(range(self.width), ones):
                yield sum(1 << place for place in places)


def _plan(left: int, right: int | None, max_bits: int) -> list[_Part]:
    """The parts for which sorting and comparing take least time; small sets are compared as one part of no bits."""
    plans = [[_Part(0, 0, 0)]]
    for count in range(BITS // PART_BITS, BITS // 4 + 1):
        parts = []
        for place in range(count):
            start, end = BITS * place // count, BITS * (place + 1) // count
            # pigeonhole: were every part off by one bit more than it may, the hash would be by more than max_bits
            may = (max_bits + count - place) // count - 1
            if may >= 0:
                parts.append(_Part(start, end - start, may))
        plans.append(parts)
    return min(plans, key=lambda parts: sum(_seconds(part, left, right) for part in parts))


def _seconds(part: _Part, left: int, right: int | None) -> float:
    tries = sum(comb(part.width, ones) for ones in range(part.max_bits + 1))
    groups = float(1 << part.width)
    sort_s = SORT_S if part.width else 0
    if right is None:
        return PART_S + left * sort_s + tries * (left * COLLECT_S + groups * GROUP_S + left * left / 2 / groups * COMPARE_S)
    collected, touched = left + right * min(1, left / groups), min(groups, left)
    return PART_S + (left + right) * sort_s + tries * (collected * COLLECT_S + touched * GROUP_S + left * right / groups * COMPARE_S)


def _spread(hashes: Hashes) -> Hashes:
    """The hashes with their bits in another order, the same for all: distances stay as they are."""
    order = np.arange(BITS) * SPREAD % BITS
    spread = np.empty(len(hashes), dtype=np.uint64)
    for start in range(0, len(hashes), CELLS):
        part = np.ascontiguousarray(hashes[start : start + CELLS], dtype=np.uint64)
        bits = np.unpackbits(part.view(np.uint8).reshape(-1, 8), axis=1)
        spread[start : start + CELLS] = np.packbits(bits.take(order, axis=1), axis=1).view(np.uint64).ravel()
    return spread


@dataclass(frozen=True)
class _Groups:
    """Hashes in the order of one part; a group is those that agree in it, and its number is their word.

    The table has a row for each group that isn't too large; it is filled up with the opposite of the group's first hash, which is far
    from all hashes with such a word.
    """

    rows: Rows
    hashes: Hashes
    starts: Rows
    sizes: Rows
    table: Hashes

    @staticmethod
    def of(hashes: Hashes, part: _Part) -> _Groups:
        words = part.of(hashes)
        rows = np.argsort(words, kind="stable")
        hashes = hashes[rows]
        sizes = np.bincount(words, minlength=2**part.width)
        starts = np.cumsum(sizes) - sizes
        small = sizes[sizes <= min(MOST_IN_TABLE, TABLE_CELLS >> part.width)]
        table = np.empty((len(sizes), small.max(initial=1)), dtype=np.uint64)
        for rank in range(table.shape[1]):
            table[:, rank] = np.where(rank < sizes, hashes.take(starts + rank, mode="clip"), ~table[:, 0])
        return _Groups(rows, hashes, starts, sizes, table)

    def columns(self, groups: Rows) -> Hashes:
        """Some groups of the table, a group a column."""
        return np.ascontiguousarray(self.table.take(groups, axis=0)[:, : self.sizes[groups].max()].T)


@dataclass(frozen=True)
class _Look:
    """A comparison of the groups whose words differ in certain bits."""

    ours: _Groups
    theirs: _Groups
    parts: list[_Part]  # the last is the one looked at; pairs that an earlier one brings together are reported there
    difference: int
    max_bits: int
    found: Found

    @property
    def is_self(self) -> bool:
        return self.ours is self.theirs

    def run(self, most: float) -> None:
        """Report the pairs, unless it takes more than `most` comparisons."""
        ours, theirs = self._groups()
        left, right = self.ours.sizes[ours], self.theirs.sizes[theirs]
        comparisons = int((left * right).sum())
        if comparisons > most:
            raise TooDense(f"{comparisons} comparisons where {most:.0f} are the most")
        is_wide = (left > self.ours.table.shape[1]) | (right > self.theirs.table.shape[1])
        for our, their in zip(ours[is_wide].tolist(), theirs[is_wide].tolist(), strict=True):
            self._compare_wide(our, their)
        ours, theirs = ours[~is_wide], theirs[~is_wide]
        # Groups of like sizes stand together, so that few cells of a table are empty.
        sizes = (left[~is_wide] << 8 | right[~is_wide]).astype(np.uint16)
        order = np.argsort(~sizes, kind="stable")
        ours, theirs, right = ours[order], theirs[order], right[~is_wide][order]
        while len(ours):
            width = CELLS // int(right[:CELLS].max())
            self._compare_narrow(ours[:width], theirs[:width])
            ours, theirs, right = ours[width:], theirs[width:], right[width:]

    def _groups(self) -> tuple[Rows, Rows]:
        """Pairs of groups to compare; a group with itself where the words are to be equal."""
        words = np.arange(len(self.ours.sizes))
        partners = words ^ self.difference
        wanted = (self.ours.sizes > 0) & (self.theirs.sizes[partners] > 0)
        if self.is_self:
            wanted &= (words < partners) | ((words == partners) & (self.ours.sizes > 1))
        return words[wanted], partners[wanted]

    def _compare_wide(self, our: int, their: int) -> None:
        """Compare two large groups tile by tile."""
        first, rows = int(self.ours.starts[our]), int(self.ours.sizes[our])
        second, columns = int(self.theirs.starts[their]), int(self.theirs.sizes[their])
        is_triangle = self.is_self and our == their
        width = min(columns, CELLS)
        height = max(1, CELLS // width)
        for row in range(0, rows, height):
            left = self.ours.hashes[first + row : first + min(row + height, rows)]
            for column in range(row + 1 if is_triangle else 0, columns, width):
                right = self.theirs.hashes[second + column : second + min(column + width, columns)]
                down, across = self._near(left[:, None], right[None])
                if is_triangle:
                    ahead = down + row < across + column
                    down, across = down[ahead], across[ahead]
                self._report(first + row + down, second + column + across)

    def _compare_narrow(self, ours: Rows, theirs: Rows) -> None:
        """Compare many pairs of small groups at once: hashes of one rank in theirs with all of the other."""
        is_triangle = self.is_self and self.difference == 0
        left_sizes, right_sizes = self.ours.sizes[ours], self.theirs.sizes[theirs]
        right = self.theirs.columns(theirs)
        left = right if is_triangle else self.ours.columns(ours)
        widths = np.count_nonzero(left_sizes > np.arange(len(left))[:, None], axis=1).tolist()  # the larger groups stand first
        for rank, width in enumerate(widths[: len(left) - is_triangle]):
            after = rank + 1 if is_triangle else 0
            down, groups = self._near(left[None, rank, :width], right[after:, :width])
            if len(down):
                down = down + after
                real = down < right_sizes[groups]
                down, groups = down[real], groups[real]
                self._report(self.ours.starts[ours[groups]] + rank, self.theirs.starts[theirs[groups]] + down)

    def _near(self, left: Hashes, right: Hashes) -> tuple[Rows, Rows]:
        """Rows and columns of the pairs that are near and in this part first."""
        rows, columns = len(left) * len(right), right.shape[1]  # one of them is one row
        differences = np.bitwise_xor(left, right, out=_scratch(np.uint64, rows, columns))
        distances = np.bitwise_count(differences, out=_scratch(np.uint8, rows, columns))
        if np.minimum.reduce(distances, axis=None) > self.max_bits:
            return NONE, NONE
        down, across = np.nonzero(distances <= self.max_bits)
        near = differences[down, across]
        first = np.ones(len(near), dtype=bool)
        for part in self.parts[:-1]:
            first &= np.bitwise_count(near & part.mask) > part.max_bits
        return down[first], across[first]

    def _report(self, left: Rows, right: Rows) -> None:
        if len(left) == 0:
            return
        left, right = self.ours.rows[left], self.theirs.rows[right]
        if self.is_self:
            left, right = np.minimum(left, right), np.maximum(left, right)
        self.found(left, right)


_memory = threading.local()


def _scratch(dtype: type, rows: int, columns: int) -> Any:
    """Memory of this thread to compare in: new pages for each table would cost more than the comparison."""
    if not hasattr(_memory, dtype.__name__):
        setattr(_memory, dtype.__name__, np.empty(CELLS, dtype=dtype))
    memory = getattr(_memory, dtype.__name__)[: rows * columns]
    return memory.reshape(rows, columns) if rows <= columns else memory.reshape(columns, rows).T  # long lines are the fast ones
