"""Nodes in the order of a grid's cells, so that all that may be near a node stand in a few short runs.

A cell is as wide as the radius, so neighbours lie in the 3 x 3 x 3 cells around a node's own. Three along
z follow each other, which makes nine runs, and from one cell to the next each run only moves on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Grid"]

_BITS = 21  # of a cell's place along an axis: three of them fit an int64
_WIDER = 1 + 1e-6  # than the radius, and more than the rounding of a place costs
_STEPS = np.arange(-1, 2)


class Grid(NamedTuple):
    """Nodes sorted by segment, cell, and then as they came.

    Attributes:
        order: int64 [n], each node's place as they came.
        segments: int64 [n_segments + 1], where each segment begins.
        cells: int64 [n], each node's cell.
        x: float64 [n], nm.
        y: float64 [n], nm.
        z: float64 [n], nm.
        columns: int64 [9], what to add to a cell to come to those beside it along x and y; along z it is 1.
    """

    order: NDArray[np.int64]
    segments: NDArray[np.int64]
    cells: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]
    columns: NDArray[np.int64]

    @staticmethod
    def of(points_nm: NDArray[np.floating], rank: NDArray[np.int64], *, radius_nm: float) -> Grid:
        """Sort nodes into cells; a segment's cells do not depend on the others.

        Args:
            points_nm: [n, 3], finite, n > 0.
            rank: int64 [n], of each node's segment; not descending.
            radius_nm: 0 or more. Cells are larger where a segment would be too many of them wide.
        """
        points = points_nm.astype(np.float64)
        begins = np.flatnonzero(np.diff(rank, prepend=-1))
        lower, upper = np.minimum.reduceat(points, begins), np.maximum.reduceat(points, begins)
        edge = np.maximum(radius_nm * _WIDER, (upper - lower).max(axis=1) / (2**_BITS - 4))
        edge[edge == 0] = 1.0
        i, j, k = ((points - lower[rank]) / edge[rank, None]).astype(np.int64).T + 1
        cells = (((i << _BITS) + j) << _BITS) + k
        order = np.lexsort((cells, rank))
        columns = (((_STEPS[:, None] << _BITS) + _STEPS) << _BITS).ravel()
        x, y, z = np.ascontiguousarray(points[order].T)
        return Grid(order, np.append(begins, len(points)), cells[order], x, y, z, columns)
