"""Arithmetic on rooted trees: depth-first order, lowest common ancestors, path distances, many at once.

Lengths are whole ticks of 1/1024 nm, so that sums are exact in whatever order they are made: a distance
does not depend on the way it was computed, and a pair at the very edge of a bin is always on the same side.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.data.skeleton import edge_lengths_nm, topological_order

__all__ = ["TICKS_PER_NM", "Forest", "followed", "path_from_root_nm"]

TICKS_PER_NM = 1024


def followed(pointer: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each pointer ends that is followed until it points to itself, int64 [n]; no longer cycles."""
    while not np.array_equal(further := pointer[pointer], pointer):
        pointer = further
    return pointer


def path_from_root_nm(
    points_nm: NDArray[np.floating[Any]], parents: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Path length from each vertex to its tree's root along straight edges, float64 [n].

    Parents that make a cycle are for ``topological_order`` to refuse.
    """
    distance = edge_lengths_nm(points_nm, parents)
    return _summed_to_root(distance, np.asarray(parents, dtype=np.int64))


def _summed_to_root(values: NDArray[Any], parents: NDArray[np.int64]) -> NDArray[Any]:
    """Sum of the values from each vertex to its root; the roots' own values must be 0.

    Pointer jumping: after k rounds a sum covers 2**k vertices, and `ancestor` is the next one to add.
    """
    ancestor = np.where(parents >= 0, parents, np.arange(len(parents)))
    for _ in range(len(parents).bit_length()):
        further = ancestor[ancestor]
        values = values + values[ancestor]
        if np.array_equal(further, ancestor):
            break
        ancestor = further
    return values


@dataclass(frozen=True, eq=False)
class Forest:
    """Rooted trees with their vertices in depth-first order, so that a subtree is a range of places.

    Place i of the order is a vertex; its subtree, itself included, is ``[i, i + sizes[i])``.

    Attributes:
        vertices: int64 [n], the caller's number of the vertex at each place.
        places: int64 [n], place of each of the caller's vertices.
        parents: int64 [n], place of the parent of the vertex at each place, -1 for a root.
        sizes: int64 [n], vertices in the subtree of each place.
        from_root: int64 [n], ticks of path to the root of the tree.
    """

    vertices: NDArray[np.int64]
    places: NDArray[np.int64]
    parents: NDArray[np.int64]
    sizes: NDArray[np.int64]
    from_root: NDArray[np.int64]

    @staticmethod
    def of(points_nm: NDArray[np.floating[Any]], parents: NDArray[np.integer[Any]]) -> Forest:
        """Bring vertices into depth-first order.

        Args:
            points_nm: [n, 3].
            parents: [n], index of the parent, -1 for a root; several trees are allowed.

        Raises:
            SkeletonError: the parents make a cycle, or one does not exist.
        """
        order = topological_order(parents)
        sizes, places = _subtrees(np.asarray(parents, dtype=np.int64).tolist(), order.tolist())
        vertices = np.empty(len(order), dtype=np.int64)
        vertices[places] = np.arange(len(order))
        above = np.asarray(parents, dtype=np.int64)[vertices]
        above = np.where(above >= 0, places[above], -1)
        ticks = np.rint(edge_lengths_nm(points_nm, parents) * TICKS_PER_NM).astype(np.int64)
        return Forest(vertices, places, above, sizes[vertices], _summed_to_root(ticks[vertices], above))

    def __len__(self) -> int:
        """Number of vertices."""
        return len(self.parents)

    @functools.cached_property
    def _lowest(self) -> list[NDArray[np.int32]]:
        """Row k: the lowest parent among the 2**k places from each one on."""
        rows = [self.parents.astype(np.int32)]
        for k in range(max(1, len(self)).bit_length() - 1):
            rows.append(np.minimum(rows[k][: -(1 << k)], rows[k][1 << k :]))
        return rows

    def common_ancestors(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Place of the lowest common ancestor of each two places, int64 [m]; -1 in different trees.

        It is the lowest parent of the places after the first of the two up to the second: all of them lie
        below the ancestor, and its child towards the second is among them. (Bender, Farach-Colton 2000.)
        """
        low, high = np.minimum(a, b), np.maximum(a, b)
        found = low.copy()
        apart = np.flatnonzero(low < high)
        first, stop = low[apart] + 1, high[apart] + 1
        level = np.frexp((stop - first).astype(np.float64))[1] - 1
        for k in np.unique(level):
            row, these = self._lowest[k], level == k
            found[apart[these]] = np.minimum(row[first[these]], row[stop[these] - (1 << k)])
        return found

    def distances(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ticks of path between each two places, int64 [m]; -1 in different trees.

        ``d(a, b) = r(a) + r(b) - 2 r(lowest common ancestor)``, r being the path to the root.
        """
        meeting = self.common_ancestors(a, b)
        path = self.from_root[a] + self.from_root[b] - 2 * self.from_root[meeting]
        return np.where(meeting >= 0, path, -1)


def _subtrees(parents: list[int], order: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Size of each vertex's subtree, and its place in depth-first order, children in the order given."""
    sizes = [1] * len(parents)
    for vertex in reversed(order):
        if parents[vertex] >= 0:
            sizes[parents[vertex]] += sizes[vertex]
    places, free, next_root = [0] * len(parents), [0] * len(parents), 0
    for vertex in order:
        parent = parents[vertex]
        if parent >= 0:
            places[vertex] = free[parent]
            free[parent] += sizes[vertex]
        else:
            places[vertex] = next_root
            next_root += sizes[vertex]
        free[vertex] = places[vertex] + 1
    return np.array(sizes, dtype=np.int64), np.array(places, dtype=np.int64)
