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

_MAX_LEAF_PAIRS = 4_000_000
_BLOCK = 1 << 14  # leaves one thread takes at a time
_CACHED = 512  # leaves whose sums within stay in the cache while they are made
_CHUNK = 1 << 17  # pairs of nodes compared at once: their squares stay in a core's own cache
_FLOAT32_SHARE = 1e-6  # squares in float32 are nearer to the true ones than this share of them
_FLOAT32_RADIUS_NM = 1e-3, 1e15  # within these no square of interest under- or overflows


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
        radius_nm: finite, 0 or more.
        threads: 1 or more; the sums do not depend on it.
        use: takes the sums.
    """
    if not len(points_nm):
        return
    points = np.asarray(points_nm, dtype=np.float64)
    leaves = Leaves.cut(points, np.asarray(segment_index, dtype=np.int64), reach_nm=radius_nm)
    points = points[leaves.order].T.copy()
    ball = _Ball(points, points.astype(np.float32), _largest_square(radius_nm), radius_nm)
    near_leaves = NearLeaves.build(leaves, radius_nm=radius_nm)
    summed = np.empty((len(points_nm), values(leaves.order[:1]).shape[1]))
    bounds = np.append(np.arange(0, len(leaves), _BLOCK), len(leaves)).tolist()

    def sum_within_leaves(begin: int, end: int) -> None:
        for first in range(begin, end, _CACHED):
            rows = slice(*leaves.starts[[first, min(first + _CACHED, end)]])
            summed[rows] = _sums_within_leaves(values(leaves.order[rows]), leaves, first)

    def sum_balls(begin: int, end: int) -> None:
        for target, source in near_leaves.pairs(begin, end, max_pairs=_MAX_LEAF_PAIRS // threads):
            for targets, sources in _groups(target, source):
                own, real = _nodes(leaves, targets)
                others, there = _nodes(leaves, sources)
                near = ball.holds(own, others)
                near &= real.T[:, None, :]
                near &= there.T
                n_nodes, matrix = _by_parts(near, real, others, len(summed))
                use(Sums(leaves.order[own[real]], matrix @ summed, n_nodes))

    with ThreadPoolExecutor(threads) as pool:
        for work in (sum_within_leaves, sum_balls):
            for _ in pool.map(work, bounds[:-1], bounds[1:]):
                pass


@dataclass(frozen=True, eq=False)
class _Ball:
    points: Floats  # [3, n]
    points32: NDArray[np.float32]
    square: float
    radius_nm: float

    def holds(self, own: Integers, others: Integers) -> NDArray[np.bool_]:
        """Whether ``others`` [g, j] lie within reach of ``own`` [g, LEAF]: bool [LEAF, j, g]."""
        # float32 decides all but the pairs on the surface itself, twice as fast
        low, high = _FLOAT32_RADIUS_NM
        if low < self.radius_nm < high:
            squares = _squares(self.points32, own.T, others.T)
            near = squares <= np.float32(self.square * (1 - _FLOAT32_SHARE))
            perhaps = squares <= np.float32(self.square * (1 + _FLOAT32_SHARE))
            if np.count_nonzero(near) == np.count_nonzero(perhaps):
                return near
        return _squares(self.points, own.T, others.T) <= self.square


def _squares(points: NDArray[np.floating], own: Integers, others: Integers) -> NDArray[np.floating]:
    """Squared distances [LEAF, j, g]; the long axis is last."""
    x, y, z = points
    total = x[own][:, None] - x[others]
    total *= total
    gap = np.empty_like(total)
    for axis in (y, z):
        np.subtract(axis[own][:, None], axis[others], out=gap)
        gap *= gap
        total += gap
    return total


def _by_parts(
    near: NDArray[np.bool_], real: NDArray[np.bool_], others: Integers, n: int
) -> tuple[NDArray[np.int32], csr_array]:
    """Numbers of neighbours, and the matrix that makes sums over them of sums within leaves."""
    n_own, n_others, g = near.shape
    ones = near.view(np.int8).reshape(n_own, -1, LEAF, g)
    n_nodes = ones.sum(axis=(1, 2), dtype=np.int32).T[real]
    parts = ones.copy()
    parts[:, :, :-1] -= ones[:, :, 1:]
    terms = parts.reshape(n_own, n_others, g).transpose(2, 0, 1)[real]
    at = np.flatnonzero(terms.view(np.bool_))
    ends = np.searchsorted(at, np.arange(len(terms) + 1) * n_others).astype(np.int32)
    columns = np.repeat(others.astype(np.int32), real.sum(axis=1), axis=0).reshape(-1)[at]
    matrix = csr_array((terms.reshape(-1)[at].astype(np.float64), columns, ends), shape=(len(terms), n))
    return n_nodes, matrix


def _nodes(leaves: Leaves, which: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Nodes of leaves [m] or [m, k]: [m, k * LEAF], and which are there; the others repeat the last."""
    which = which.reshape(len(which), -1, 1)
    nodes = leaves.starts[which] + np.arange(LEAF)
    last = leaves.starts[which + 1] - 1
    shape = (len(which), which.shape[1] * LEAF)
    return np.minimum(nodes, last).reshape(shape), (nodes <= last).reshape(shape)


def _sums_within_leaves(sums: Floats, leaves: Leaves, first: int) -> Floats:
    """Turn values, from leaf ``first`` on, into sums from the first node of its leaf to each node."""
    starts = leaves.starts[first:]
    starts = starts[: np.searchsorted(starts, starts[0] + len(sums)) + 1] - starts[0]
    size = np.diff(starts)
    for slot in range(1, LEAF):
        at = starts[:-1][size > slot] + slot
        sums[at] += sums[at - 1]
    return sums


def _groups(target: Integers, source: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Leaves near the same number of leaves: targets [g], sources [g, number]."""
    begins = np.flatnonzero(np.diff(target, prepend=-1))
    number = np.diff(np.append(begins, len(target)))
    order = np.argsort(number, kind="stable")
    edges = np.flatnonzero(np.diff(number[order], prepend=-1)).tolist()
    for begin, end in zip(edges, [*edges[1:], len(order)], strict=True):
        k = int(number[order[begin]])
        size = max(1, _CHUNK // (LEAF * LEAF * k))
        for at in range(begin, end, size):
            first = begins[order[at : min(at + size, end)]]
            yield target[first], source[first[:, None] + np.arange(k)]


def _largest_square(radius: float) -> float:
    """The largest number whose rounded square root is at most ``radius``: it spares the roots."""
    square = radius * radius
    while math.sqrt(square) > radius:
        square = math.nextafter(square, 0.0)
    while math.sqrt(above := math.nextafter(square, math.inf)) <= radius:
        square = above
    return square
