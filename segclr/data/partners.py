"""Partners of a node by path distance: how many lie within a range, and the k-th of them.

Centroid decomposition. A centroid is taken out of every tree, such that no piece keeps more than half of
its vertices; then out of every piece, and so on, about log2(n) levels deep. On each level every piece keeps
its vertices sorted by distance d to its centroid c. The path between two vertices u, v leads through c on the
one level where they lie in the same piece and are parted, and there it is d(u) + d(v): so the partners of v
from x to y away are, on each level, those with d(u) from x - d(v) to y - d(v), less those that stay in the
piece with v. A question costs O(log^2 n) whatever the range, memory is O(n log n), and no list of all
partners is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.data.tree import TICKS_PER_NM, Forest
from segclr.errors import DataError

__all__ = ["PartnerIndex"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Level:
    """One level of the decomposition.

    Attributes:
        piece: int32 [n], number of each place's piece; -1 where it was taken out on a level above.
        distance: int64 [n], ticks to the piece's centroid.
        rest: int32 [n], number of the piece that the place falls to; a centroid is one by itself.
        by_distance: int32 [m], places by (piece, distance).
        distance_keys: int64 [m], those (piece, distance), packed into one number.
        rest_keys: int64 [m], (rest, rank in ``by_distance``) of every place, packed and sorted.
    """

    piece: NDArray[np.int32]
    distance: Integers
    rest: NDArray[np.int32]
    by_distance: NDArray[np.int32]
    distance_keys: Integers
    rest_keys: Integers


class PartnerIndex:
    """Answers, for many places of a forest at once, which others lie within a range of path distance."""

    def __init__(self, forest: Forest) -> None:
        """Decompose a forest: O(n log^2 n) time.

        Raises:
            DataError: pieces and distances do not fit into 64 bits together.
        """
        n = len(forest)
        self._farthest = 2 * int(forest.from_root.max(initial=0)) + 1
        self._distance_bits, self._rank_bits = self._farthest.bit_length() + 1, n.bit_length() + 1
        if max(self._distance_bits, self._rank_bits) + self._rank_bits > 62:
            msg = f"{n} nodes on {self._farthest / TICKS_PER_NM:.3g} nm of path are too many for one index"
            raise DataError(msg)
        self._levels = list(self._decompose(forest))

    def _decompose(self, forest: Forest) -> Iterator[_Level]:
        alive = np.arange(len(forest))  # by (piece, place)
        piece = np.cumsum(forest.parents < 0) - 1  # a tree is a range of places
        while len(alive):
            starts = np.flatnonzero(np.r_[True, piece[1:] != piece[:-1]])
            centroid = _centroids(forest, alive, piece, starts, bits=self._rank_bits)
            level, alive, piece = self._level(forest, alive, piece, centroid)
            yield level

    def _level(
        self, forest: Forest, alive: Integers, piece: Integers, centroid: Integers
    ) -> tuple[_Level, Integers, Integers]:
        """A level, and what it leaves: the places by (piece, place) with their pieces."""
        n, of_alive = len(forest), centroid[piece]
        rest = _parted(forest, alive, piece, of_alive)
        order = np.argsort(rest, kind="stable")
        numbered = np.empty_like(rest)
        numbered[order] = np.cumsum(np.r_[0, rest[order][1:] != rest[order][:-1]])

        ticks = forest.distances(alive, of_alive)
        keys = (piece << self._distance_bits) | ticks
        by_distance = np.argsort(keys, kind="stable")
        rank = np.empty(len(alive), dtype=np.int64)
        rank[by_distance] = np.arange(len(alive))
        level = _Level(
            _spread(n, alive, piece, np.int32),
            _spread(n, alive, ticks, np.int64),
            _spread(n, alive, numbered, np.int32),
            alive[by_distance].astype(np.int32),
            keys[by_distance],
            np.sort((numbered << self._rank_bits) | rank),
        )
        left = order[alive[order] != of_alive[order]]
        return level, alive[left], numbered[left]

    def count(self, places: Integers, edges: Integers) -> Integers:
        """How many others of its tree lie within each range of a place.

        Args:
            places: int64 [m].
            edges: int64 [b + 1], ascending ticks; range i is ``edges[i] <= distance < edges[i + 1]``.

        Returns:
            int64 [m, b].
        """
        total = np.zeros((len(places), len(edges) - 1), dtype=np.int64)
        for level in self._levels:
            rows = np.flatnonzero(level.piece[places] >= 0)
            within, staying = self._ranks(level, places[rows, None], edges)
            total[rows] += np.diff(within, axis=1) - np.diff(staying, axis=1)
        return total

    def pick(self, places: Integers, low: Integers, high: Integers, nth: Integers) -> Integers:
        """The nth other whose distance is ``low <= distance < high``, in an order that does not change.

        Args:
            places: int64 [m].
            low: int64 [m], ticks.
            high: int64 [m], ticks.
            nth: int64 [m], from 0 to below the count of that range.

        Returns:
            int64 [m], places.
        """
        found, left = np.full(len(places), -1, dtype=np.int64), nth.copy()
        edges = np.stack([low, high], axis=1)
        for level in self._levels:
            rows = np.flatnonzero((found < 0) & (level.piece[places] >= 0))
            within, staying = self._ranks(level, places[rows, None], edges[rows])
            here = np.diff(within, axis=1)[:, 0] - np.diff(staying, axis=1)[:, 0]
            mine = left[rows] < here
            left[rows[~mine]] -= here[~mine]
            rows, first, stay = rows[mine], within[mine, 0], staying[mine, 0]
            below, above = first, within[mine, 1]  # the answer's rank is in [below, above)
            while (above - below > 1).any():
                # ranks first..middle - 1 hold `middle - first` places, of which some stay with this one
                middle = (below + above) // 2
                n_before = middle - first - (self._staying(level, places[rows], middle) - stay)
                below, above = (
                    np.where(n_before <= left[rows], middle, below),
                    np.where(n_before <= left[rows], above, middle),
                )
            found[rows] = level.by_distance[below]
        return found

    def _ranks(self, level: _Level, places: Integers, edges: Integers) -> tuple[Integers, Integers]:
        """Rank by distance of each edge within the place's piece, and that among those that stay with it."""
        reach = np.clip(edges - level.distance[places], 0, self._farthest)
        keys = (level.piece[places].astype(np.int64) << self._distance_bits) | reach
        within = np.searchsorted(level.distance_keys, keys)
        return within, self._staying(level, places, within)

    def _staying(self, level: _Level, places: Integers, ranks: Integers) -> Integers:
        """Where each rank stands among the ranks of those that stay in one piece with the place."""
        return np.searchsorted(
            level.rest_keys, (level.rest[places].astype(np.int64) << self._rank_bits) | ranks
        )


def _centroids(forest: Forest, alive: Integers, piece: Integers, starts: Integers, *, bits: int) -> Integers:
    """The centroid of each piece by the piece's number, -1 for numbers not in use."""
    keys = (piece << bits) | alive
    stop = np.searchsorted(keys, (piece << bits) | (alive + forest.sizes[alive]))
    below = stop - np.arange(len(alive))  # vertices of the piece below each, itself included
    size = np.diff(np.r_[starts, len(alive)])
    group = np.repeat(np.arange(len(starts)), size)
    # Those with half the piece below them are a path down from its top; the last of them is the centroid.
    heavy = np.where(2 * below >= size[group], np.arange(len(alive)), -1)
    centroid = np.full(int(piece[-1]) + 1, -1, dtype=np.int64)
    centroid[piece[starts]] = alive[np.maximum.reduceat(heavy, starts)]
    return centroid


def _parted(forest: Forest, alive: Integers, piece: Integers, centroid: Integers) -> Integers:
    """A number for what each place falls to, and one for each centroid, int64 [m], not without gaps."""
    is_child = forest.parents[alive] == centroid  # a subtree is a range of places that begins with the child
    below = (alive > centroid) & (alive < centroid + forest.sizes[centroid])
    n_pieces = int(piece[-1]) + 1
    rest = np.where(below, 2 * n_pieces + np.cumsum(is_child), piece)
    return np.where(alive == centroid, n_pieces + piece, rest)


def _spread(n: int, places: Integers, values: Integers, dtype: Any) -> NDArray[Any]:
    spread = np.full(n, -1, dtype=dtype)
    spread[places] = values
    return spread
