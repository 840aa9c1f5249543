"""What lies on the two sides of every edge of a tree: means by path, each over its own side only.

For the edge between a node and its parent, with radius r:

        above: path from the parent <= r          below: path from the node <= r
    o-------o-------o parent  - - edge - -  node o-------o-------o
                    |                                    |
                    o                                    o

No path crosses the edge, and the edge's own length does not count. Walks are truncated at the radius and made
in blocks of edges, so work and memory follow the number of (edge, node) pairs within the radius.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from segclr.aggregate.part import check_finite, check_unique, parent_rows
from segclr.data.skeleton import edge_lengths_nm, topological_order
from segclr.errors import ConfigError, DataError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["EdgeSides", "Side", "edge_sides"]

_MAX_PAIRS = 4_000_000  # about 200 MB while a block is being made
_FIRST_BLOCK = 1024  # edges; later blocks follow the density that was met


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of each of m edges.

    Attributes:
        means: float64 [m, d], mean embedding of the nodes within the radius.
        variances: float64 [m], mean squared distance of those nodes from their mean (summed over the d
            dimensions).
        n_nodes: int64 [m], nodes in the mean, at least 1.
    """

    means: NDArray[np.float64]
    variances: NDArray[np.float64]
    n_nodes: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class EdgeSides:
    """The sides of all m edges of a table.

    Attributes:
        rows: int64 [m], row of the edge's lower node (the child), in the order of (segment_id, node_id).
        parent_rows: int64 [m], row of its parent.
        below: the side of the lower node.
        above: the side of the parent.
    """

    rows: NDArray[np.int64]
    parent_rows: NDArray[np.int64]
    below: Side
    above: Side

    def __len__(self) -> int:
        """Number of edges."""
        return len(self.rows)


def edge_sides(
    table: EmbeddingTable,
    *,
    radius_um: float,
    max_pairs: int = _MAX_PAIRS,
) -> EdgeSides:
    """Average embeddings on both sides of every edge, by path, not across the edge.

    Sums run in float64 over nodes sorted by id, so the answer does not depend on the order of rows.

    Args:
        table: nodes of any number of whole segments, with parents; ``(segment_id, node_id)`` is unique.
        radius_um: micrometres, finite, 0 or more; 0 takes the edge's own ends (and nodes at their place).
        max_pairs: pairs held at once; those of one edge are held together whatever their number.

    Raises:
        ConfigError: the radius is not an allowed one.
        DataError: there are no parents, one does not exist, ids repeat, or points or embeddings are not
            finite.
        SkeletonError: the parents make a cycle.
    """
    if not (math.isfinite(radius_um) and radius_um >= 0):
        msg = f"radius_um must be finite and 0 or more, got {radius_um}"
        raise ConfigError(msg)
    if table.parents is None:
        msg = "sides of edges need the parents of the nodes, and this table has none, like the public release"
        raise DataError(msg)
    check_finite(table, "points_nm")
    check_finite(table, "embeddings")
    order = np.lexsort((table.node_ids, table.segment_ids))
    check_unique(table, order)
    part = table.take(order)
    _, rank = np.unique(part.segment_ids, return_inverse=True)
    parents = parent_rows(part, rank)
    topological_order(parents)
    child = np.flatnonzero(parents >= 0)
    values = part.embeddings.astype(np.float64)
    walk = _Walk.of(part.points_nm, parents, radius_nm=radius_um * 1000.0)
    sides = [
        _side(walk, start, behind, values, max_pairs=max_pairs)
        for start, behind in ((child, parents[child]), (parents[child], child))
    ]
    return EdgeSides(rows=order[child], parent_rows=order[parents[child]], below=sides[0], above=sides[1])


def _side(
    walk: _Walk,
    starts: NDArray[np.int64],
    behind: NDArray[np.int64],
    values: NDArray[np.float64],
    *,
    max_pairs: int,
) -> Side:
    means, variances = np.empty((len(starts), values.shape[1])), np.empty(len(starts))
    n_nodes = np.empty(len(starts), dtype=np.int64)
    # Squares about the mean of all nodes: about 0 they would lose digits where embeddings lie far from it.
    offset = values.sum(axis=0) / max(1, len(values))
    squares = ((values - offset) ** 2).sum(axis=1)
    for rows, matrix in _in_blocks(walk, starts, behind, len(values), max_pairs=max_pairs):
        count = np.diff(matrix.indptr)
        mean = (matrix @ values) / count[:, None]
        means[rows], n_nodes[rows] = mean, count
        variances[rows] = (matrix @ squares) / count - ((mean - offset) ** 2).sum(axis=1)
    return Side(
        means=means, variances=np.where(n_nodes > 1, np.maximum(variances, 0.0), 0.0), n_nodes=n_nodes
    )


@dataclass(frozen=True, eq=False)
class _Walk:
    """Trees as adjacency lists: the neighbours of node i are places ``first[i]`` to ``first[i + 1]``."""

    first: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths_nm: NDArray[np.float64]
    radius_nm: float

    @staticmethod
    def of(points_nm: NDArray[np.floating], parents: NDArray[np.int64], *, radius_nm: float) -> _Walk:
        child = np.flatnonzero(parents >= 0)
        length = edge_lengths_nm(points_nm, parents)[child]
        source = np.concatenate([child, parents[child]])
        order = np.argsort(source, kind="stable")
        first = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=len(parents)))])
        targets = np.concatenate([parents[child], child])[order]
        return _Walk(first.astype(np.int64), targets, np.concatenate([length, length])[order], radius_nm)

    def reached(
        self, starts: NDArray[np.int64], behind: NDArray[np.int64], *, max_pairs: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Which of the starts reaches which node, never through the node behind it; None: too many.

        All walk at once. In a tree a walk that never turns back meets every node once.
        """
        origin, node, previous = np.arange(len(starts)), starts, behind
        distance = np.zeros(len(starts))
        found, total = [(origin, node)], len(starts)
        while len(node):
            degree = self.first[node + 1] - self.first[node]
            if len(starts) > 1 and total + degree.sum() > max_pairs:
                return None
            step = np.repeat(np.arange(len(node)), degree)
            edge = np.arange(len(step)) + np.repeat(self.first[node] - (np.cumsum(degree) - degree), degree)
            ahead, walked = self.targets[edge], distance[step] + self.lengths_nm[edge]
            keep = (ahead != previous[step]) & (walked <= self.radius_nm)
            step = step[keep]
            origin, previous, node, distance = origin[step], node[step], ahead[keep], walked[keep]
            found.append((origin, node))
            total += len(node)
        return np.concatenate([o for o, _ in found]), np.concatenate([n for _, n in found])


def _in_blocks(
    walk: _Walk, starts: NDArray[np.int64], behind: NDArray[np.int64], n_nodes: int, *, max_pairs: int
) -> Iterator[tuple[slice, csr_array]]:
    """Consecutive edges with the matrix [edges, nodes] of what they reach; a block of too many is halved."""
    start, size = 0, _FIRST_BLOCK
    while start < len(starts):
        stop = min(start + size, len(starts))
        pairs = walk.reached(starts[start:stop], behind[start:stop], max_pairs=max_pairs)
        if pairs is None:
            size = max(1, (stop - start) // 2)
            continue
        matrix = csr_array((np.ones(len(pairs[0]), dtype=np.int8), pairs), shape=(stop - start, n_nodes))
        matrix.sort_indices()
        yield slice(start, stop), matrix
        size = max(1, min(4 * size, max_pairs // (2 * max(1, len(pairs[0]) // (stop - start)))))
        start = stop
