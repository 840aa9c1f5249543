"""Sums over all nodes within a straight line's reach, leaf by leaf.

A leaf's nodes mostly enter and leave a ball together. With P_j the sum of a leaf's values up to its node j,
and m_j 1 where node j lies in the ball and 0 elsewhere (also beyond the leaf's end), summation by parts gives

    sum_j m_j x_j = sum_j (m_j - m_{j+1}) P_j

and the right side has a term only where the ball's surface cuts the leaf, plus one at its end. That is what
the sparse product costs. P sums over the few nodes of a leaf, so next to nothing cancels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from segclr.aggregate.leaves import LEAF, Floats, Integers, Leaves, NearLeaves
from segclr.aggregate.sums import Sums, UseSums, Values

__all__ = ["ball_sums"]

_BLOCK = 1 << 14  # leaves one thread takes at a time
_MAX_LEAF_PAIRS = 4_000_000
_CACHED = 512  # leaves whose sums within stay in the cache while they are made
_CHUNK = 1 << 12  # pairs of leaves compared at once: the squares between their nodes stay in the cache
_FLOAT32_SHARE = 1e-6  # squares in float32 are nearer to the true ones than this share of them
_FLOAT32_RADIUS_NM = 1e-3, 1e15  # within these no square of interest under- or overflows
_NOWHERE = 1e17  # nm, where the slots of leaves lie that hold no node; their squares fit float32


def ball_sums(
    points_nm: NDArray[np.floating],
    segment_index: NDArray[np.integer],
    values: Values,
    *,
    radius_nm: float,
    threads: int = 1,
    use: UseSums,
) -> None:
    """Sum ``values`` over the nodes of the same segment at most ``radius_nm`` away.

    Args:
        points_nm: [n, 3], finite; fast where nodes that follow each other are mostly near.
        segment_index: integer [n], not descending.
        values: finite; summed in float64.
        radius_nm: 0 or more; all nodes of a segment are near from 1e16 nm on.
        threads: 1 or more; the sums do not depend on it.
        use: takes the sums.
    """
    if not len(points_nm):
        return
    points = np.asarray(points_nm, dtype=np.float64)
    leaves = Leaves.cut(points, np.asarray(segment_index, dtype=np.int64), reach_nm=radius_nm)
    ball = _Ball.build(points[leaves.order], leaves, radius_nm=radius_nm)
    near_leaves = NearLeaves.build(leaves, radius_nm=radius_nm)
    summed = np.empty((len(points_nm), values(leaves.order[:1]).shape[1]))
    bounds = np.append(np.arange(0, len(leaves), _BLOCK), len(leaves)).tolist()

    def sum_within_leaves(begin: int, end: int) -> None:
        for first in range(begin, end, _CACHED):
            rows = slice(*leaves.starts[[first, min(first + _CACHED, end)]])
            summed[rows] = _sums_within_leaves(values(leaves.order[rows]), leaves, first)

    def sum_balls(begin: int, end: int) -> None:
        for target, source in near_leaves.pairs(begin, end, max_pairs=_MAX_LEAF_PAIRS // threads):
            for pairs in _chunks(target):
                n_nodes, matrix = ball.by_parts(target[pairs], source[pairs])
                nodes = slice(*leaves.starts[[target[pairs][0], target[pairs][-1] + 1]])
                use(Sums(leaves.order[nodes], matrix @ summed, n_nodes))

    with ThreadPoolExecutor(threads) as pool:
        for work in (sum_within_leaves, sum_balls):
            for _ in pool.map(work, bounds[:-1], bounds[1:]):
                pass


@dataclass(frozen=True, eq=False)
class _Ball:
    """Leaves' nodes by slot, [3, LEAF, n_leaves]: the long axis is last, which is what makes it fast."""

    leaves: Leaves
    points: Floats
    points32: NDArray[np.float32]
    radius_nm: float
    square: float

    @staticmethod
    def build(points: Floats, leaves: Leaves, *, radius_nm: float) -> _Ball:
        """Of points in the leaves' order."""
        size = np.diff(leaves.starts)
        slots = np.full((3, LEAF, len(leaves)), _NOWHERE)
        for slot in range(LEAF):
            there = size > slot
            slots[:, slot, there] = points[leaves.starts[:-1][there] + slot].T
        radius_nm = min(radius_nm, 1e16)
        return _Ball(leaves, slots, slots.astype(np.float32), radius_nm, _largest_square(radius_nm))

    def by_parts(self, target: Integers, source: Integers) -> tuple[NDArray[np.int32], csr_array]:
        """Numbers of neighbours, and the matrix that makes sums over them of sums within leaves.

        Rows are the nodes of consecutive targets, columns all nodes in the leaves' order.
        """
        near = self._near(target, source).view(np.int8)
        parts = near.copy()
        parts[:, :-1] -= near[:, 1:]
        # a number of 8 bytes holds the terms of a node and a leaf
        terms = np.ascontiguousarray(parts.transpose(2, 0, 1)).reshape(-1, LEAF).view(np.uint64)[:, 0]
        first = np.flatnonzero(np.diff(target, prepend=-1))
        number = np.diff(np.append(first, len(target)))  # of leaves near each
        size = np.diff(self.leaves.starts[target[0] : target[-1] + 2])
        leaf = np.repeat(np.arange(len(first)), size)  # of each row
        slot = np.arange(len(leaf)) - np.repeat(np.cumsum(size) - size, size)
        length = number[leaf]
        row_begins = np.cumsum(length) - length
        pair = np.arange(length.sum()) + np.repeat(first[leaf] - row_begins, length)
        in_rows = terms[pair * LEAF + np.repeat(slot, length)].view(np.int8)
        at = np.flatnonzero(in_rows.view(np.bool_))
        cell, node = np.divmod(at.astype(np.int32), np.int32(LEAF))
        columns = self.leaves.starts[source].astype(np.int32)[pair][cell] + node
        ends = np.searchsorted(at, np.append(row_begins, len(pair)) * LEAF).astype(np.int32)
        shape = (len(leaf), int(self.leaves.starts[-1]))
        n_nodes = np.add.reduceat(near.sum(axis=1, dtype=np.int32), first, axis=1)
        return n_nodes[slot, leaf], csr_array((in_rows[at].astype(np.float64), columns, ends), shape=shape)

    def _near(self, target: Integers, source: Integers) -> NDArray[np.bool_]:
        """Whether nodes of two leaves are within reach: bool [LEAF of target, LEAF of source, m]."""
        # float32 decides all but the pairs on the surface itself, twice as fast
        low, high = _FLOAT32_RADIUS_NM
        if low < self.radius_nm < high:
            squares = _squares(self.points32, target, source)
            near = squares <= np.float32(self.square * (1 - _FLOAT32_SHARE))
            perhaps = squares <= np.float32(self.square * (1 + _FLOAT32_SHARE))
            if np.count_nonzero(near) == np.count_nonzero(perhaps):
                return near
        return _squares(self.points, target, source) <= self.square


def _squares(slots: NDArray[np.floating], target: Integers, source: Integers) -> NDArray[np.floating]:
    """Squared distances [LEAF, LEAF, m]; to no node they are large."""
    total = gap = np.empty(0)
    for axis, places in enumerate(slots):
        other = np.take(places, source, axis=1)
        np.negative(other, out=other, where=other == _NOWHERE)
        gap = np.take(places, target, axis=1)[:, None] - other
        gap *= gap
        total = gap if axis == 0 else np.add(total, gap, out=total)
    return total


def _sums_within_leaves(sums: Floats, leaves: Leaves, first: int) -> Floats:
    """Turn values, from leaf ``first`` on, into sums from the first node of its leaf to each node."""
    starts = leaves.starts[first:]
    starts = starts[: np.searchsorted(starts, starts[0] + len(sums)) + 1] - starts[0]
    size = np.diff(starts)
    for slot in range(1, LEAF):
        at = starts[:-1][size > slot] + slot
        sums[at] += sums[at - 1]
    return sums


def _chunks(target: Integers) -> Iterator[slice]:
    """Whole targets with about so many pairs together."""
    first = np.append(np.flatnonzero(np.diff(target, prepend=-1)), len(target))
    begin = 0
    while begin < len(first) - 1:
        end = max(begin + 1, int(np.searchsorted(first, first[begin] + _CHUNK, side="right")) - 1)
        yield slice(int(first[begin]), int(first[end]))
        begin = end


def _largest_square(radius: float) -> float:
    """The largest number whose rounded square root is at most ``radius``: it spares the roots."""
    square = radius * radius
    while math.sqrt(square) > radius:
        square = math.nextafter(square, 0.0)
    while math.sqrt(above := math.nextafter(square, math.inf)) <= radius:
        square = above
    return square
