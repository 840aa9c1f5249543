"""Consecutive nodes in small leaves, and which leaves may hold neighbours of which.

Nodes that follow each other in a table mostly follow each other along a neurite, so a few of them in a row
lie in a small box. Where they do not (ids in no order of space) the nodes of a segment are first put in the
order of a KD-tree's leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

__all__ = ["LEAF", "Leaves", "NearLeaves"]

LEAF = 8  # nodes; measured: 4 and 16 are slower at 10 um, docs/aggregation.md
_SAMPLE = 64  # leaves of a block whose pairs are counted before all of them are made

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Leaves:
    """Nodes cut into leaves of one segment each.

    Attributes:
        order: int64 [n], rows of the nodes, leaf by leaf.
        starts: int64 [n_leaves + 1], where each leaf begins in ``order``.
        lower: float64 [n_leaves, 3], nm, corner of the box around a leaf's nodes.
        upper: the other corner.
        segment: int64 [n_leaves], rank of each leaf's segment.
    """

    order: Integers
    starts: Integers
    lower: Floats
    upper: Floats
    segment: Integers

    @staticmethod
    def cut(points_nm: Floats, segment_index: Integers, *, reach_nm: float) -> Leaves:
        """Leaves of at most ``LEAF`` nodes, ended where the next node is farther than ``reach_nm``.

        Args:
            points_nm: float64 [n, 3], n > 0.
            segment_index: int64 [n], not descending.
            reach_nm: the radius that is asked for: longer leaves would be near too many others.
        """
        n = len(points_nm)
        change = segment_index[1:] != segment_index[:-1]
        step = np.diff(points_nm, axis=0)
        jump = np.einsum("ij,ij->i", step, step) > reach_nm * reach_nm
        first = np.concatenate([[0], np.flatnonzero(change) + 1, [n]])
        sizes = np.diff(first)
        order = np.arange(n)
        many = np.add.reduceat(np.append(jump & ~change, False), first[:-1], dtype=np.int64) > sizes // 3
        for segment in np.flatnonzero(many & (sizes > LEAF)):
            rows = slice(first[segment], first[segment + 1])
            order[rows] = first[segment] + KDTree(points_nm[rows], leafsize=LEAF).indices
            step = np.diff(points_nm[order[rows]], axis=0)
            jump[rows.start : rows.stop - 1] = np.einsum("ij,ij->i", step, step) > reach_nm * reach_nm
        begins = np.flatnonzero(np.concatenate([[True], jump | change]))
        length = np.diff(np.append(begins, n))
        pieces = -(-length // LEAF)
        nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        starts = np.repeat(begins, pieces) + nth * LEAF
        points = points_nm if not many.any() else points_nm[order]
        return Leaves(
            order,
            np.append(starts, n),
            np.minimum.reduceat(points, starts),
            np.maximum.reduceat(points, starts),
            segment_index[starts],
        )

    def __len__(self) -> int:
        """Number of leaves."""
        return len(self.starts) - 1


@dataclass(frozen=True, eq=False)
class NearLeaves:
    """Finds which leaves of a segment may hold nodes within the radius of which.

    Attributes:
        leaves: all of them.
        radius_nm: finite, 0 or more.
        reach_nm: how far the middles of two such leaves are apart at most.
        places: float64 [n_leaves, 4], middles; the fourth coordinate holds segments apart.
        tree: of the places.
    """

    leaves: Leaves
    radius_nm: float
    reach_nm: float
    places: Floats
    tree: KDTree

    @staticmethod
    def build(leaves: Leaves, *, radius_nm: float) -> NearLeaves:
        """Ready to be asked, also by several threads."""
        middle = (leaves.lower + leaves.upper) / 2
        extent = leaves.upper - leaves.lower
        widest = float(np.sqrt(np.einsum("ij,ij->i", extent, extent).max()))
        span = float(np.linalg.norm(np.ptp(middle, axis=0))) + 1.0
        reach = min(radius_nm + widest, span) * (1.0 + 1e-9)
        places = np.column_stack([middle, leaves.segment * (2.0 * reach + 1.0)])
        return NearLeaves(leaves, radius_nm, reach, places, KDTree(places))

    def pairs(self, begin: int, end: int, *, max_pairs: int) -> Iterator[tuple[Integers, Integers]]:
        """For consecutive leaves from ``begin`` to ``end``: (target, source), int64 [m] each, sorted.

        Every leaf is near itself.

        Args:
            begin: first of the targets.
            end: one after the last.
            max_pairs: held at once, about; those of one leaf are held together whatever their number.
        """
        size = end - begin
        while begin < end:
            stop = min(begin + size, end)
            step = -(-(stop - begin) // _SAMPLE)
            counted = self.tree.count_neighbors(KDTree(self.places[begin:stop:step]), self.reach_nm) * step
            if stop - begin > 1 and counted > max_pairs:
                size = max(1, int((stop - begin) * max_pairs / (2 * counted)))
                continue
            found = KDTree(self.places[begin:stop]).sparse_distance_matrix(
                self.tree, self.reach_nm, output_type="ndarray"
            )
            yield self._touching(found["i"] + begin, found["j"])
            begin = stop

    def _touching(self, target: Integers, source: Integers) -> tuple[Integers, Integers]:
        """The pairs whose boxes are within the radius, sorted."""
        lower, upper = self.leaves.lower, self.leaves.upper
        square = np.zeros(len(target))
        for axis in range(3):
            gap = np.maximum(
                lower[target, axis] - upper[source, axis], lower[source, axis] - upper[target, axis]
            )
            np.maximum(gap, 0.0, out=gap)
            gap *= gap
            square += gap
        near = square <= self.radius_nm * self.radius_nm * (1.0 + 1e-9)
        n = len(self.leaves)
        key = np.sort(target[near] * n + source[near])
        return np.divmod(key, n)
