"""Which nodes lie within a radius of which: sparse, and in blocks of rows so that memory stays bounded.

Work and memory follow the number of pairs within the radius; no matrix of all pairs is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from segclr.data.skeleton import edge_lengths_nm, topological_order

__all__ = ["Neighbours", "euclidean_neighbours", "path_neighbours"]

_MAX_PAIRS = 4_000_000  # about 200 MB while a block is being made
_FIRST_BLOCK = 1024  # rows; later blocks follow the density that was met

_Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]  # row, column, distance


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of consecutive nodes.

    Attributes:
        rows: the nodes ``start`` to ``stop`` this block answers for.
        matrix: bool CSR [stop - start, n], True where the column's node is a neighbour of the row's;
            column indices are sorted, and every node is its own neighbour.
        distances_nm: float64 [matrix.nnz], of the neighbours, in the order of the matrix's ``indices``.
    """

    rows: slice
    matrix: Any
    distances_nm: NDArray[np.float64]


def euclidean_neighbours(
    points_nm: NDArray[np.floating],
    segment_index: NDArray[np.integer],
    *,
    radius_nm: float,
    max_pairs: int = _MAX_PAIRS,
) -> Iterator[Neighbours]:
    """Nodes of the same segment at most ``radius_nm`` away in a straight line.

    Args:
        points_nm: [n, 3], finite.
        segment_index: integer [n], equal for nodes of one segment and small (a rank, not an id).
        radius_nm: finite, 0 or more.
        max_pairs: pairs held at once; one node's own neighbours are held together whatever their number.
    """
    points = np.asarray(points_nm, dtype=np.float64)
    if len(points) == 0:
        return
    # One tree for all segments: a fourth coordinate holds them further apart than the radius reaches.
    reach = min(radius_nm, float(np.linalg.norm(np.ptp(points, axis=0))) + 1.0)
    apart = np.asarray(segment_index, dtype=np.float64) * (2.0 * reach + 1.0)
    places = np.column_stack([points, apart])
    tree = KDTree(places)
    widened = reach * (1.0 + 1e-9)  # the tree compares squares; the exact comparison is made below

    def find(start: int, stop: int) -> _Pairs | None:
        block = KDTree(places[start:stop])
        if stop - start > 1 and tree.count_neighbors(block, widened) > max_pairs:
            return None
        near = block.sparse_distance_matrix(tree, widened, output_type="ndarray")
        near = near[near["v"] <= radius_nm]
        return near["i"], near["j"], near["v"]

    yield from _in_blocks(len(points), find, max_pairs=max_pairs)


def path_neighbours(
    points_nm: NDArray[np.floating],
    parent_rows: NDArray[np.integer],
    *,
    radius_nm: float,
    max_pairs: int = _MAX_PAIRS,
) -> Iterator[Neighbours]:
    """Nodes of the same tree at most ``radius_nm`` away along its edges.

    Args:
        points_nm: [n, 3], finite.
        parent_rows: integer [n], row of the parent, -1 for a root.
        radius_nm: finite, 0 or more.
        max_pairs: pairs held at once; one node's own neighbours are held together whatever their number.

    Raises:
        SkeletonError: the parents make a cycle.
    """
    parents = np.asarray(parent_rows, dtype=np.int64)
    topological_order(parents)
    n = len(parents)
    child = np.flatnonzero(parents >= 0)
    length = edge_lengths_nm(points_nm, parents)[child]
    source = np.concatenate([child, parents[child]])
    order = np.argsort(source, kind="stable")
    target = np.concatenate([parents[child], child])[order]
    lengths = np.concatenate([length, length])[order]
    first = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n))]).astype(np.int64)

    def find(start: int, stop: int) -> _Pairs | None:
        # All sources walk at once. In a tree a walk that never turns back meets every node once.
        origin = node = np.arange(start, stop)
        previous = np.full(stop - start, -1)
        distance = np.zeros(stop - start)
        found, total = [(origin, node, distance)], stop - start
        while len(node):
            degree = first[node + 1] - first[node]
            if stop - start > 1 and total + degree.sum() > max_pairs:
                return None
            step = np.repeat(np.arange(len(node)), degree)
            edge = np.arange(len(step)) + np.repeat(first[node] - (np.cumsum(degree) - degree), degree)
            ahead, walked = target[edge], distance[step] + lengths[edge]
            keep = (ahead != previous[step]) & (walked <= radius_nm)
            step = step[keep]
            origin, previous, node, distance = origin[step], node[step], ahead[keep], walked[keep]
            found.append((origin, node, distance))
            total += len(node)
        origin, node, distance = (np.concatenate(part) for part in zip(*found, strict=True))
        return origin - start, node, distance

    yield from _in_blocks(n, find, max_pairs=max_pairs)


def _in_blocks(n: int, find: Callable[[int, int], _Pairs | None], *, max_pairs: int) -> Iterator[Neighbours]:
    """Call ``find`` on consecutive rows; a block it refuses (None: too many pairs) is halved."""
    start, size = 0, _FIRST_BLOCK
    while start < n:
        stop = min(start + size, n)
        pairs = find(start, stop)
        if pairs is None:
            size = max(1, (stop - start) // 2)
            continue
        row, column, distance = pairs
        far = csr_array((distance, (row, column)), shape=(stop - start, n))
        far.sort_indices()
        matrix = csr_array((np.ones(len(row), dtype=bool), far.indices, far.indptr), shape=far.shape)
        yield Neighbours(slice(start, stop), matrix, far.data)
        per_row = max(1, len(row) // (stop - start))
        size = max(1, min(4 * size, max_pairs // (2 * per_row)))
        start = stop
