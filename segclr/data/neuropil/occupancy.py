"""Which cell holds which place while arbors grow: a coarse grid of the block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Occupancy"]

_CELL_NM = 130.0
_CORE = 0.8  # share of a tube's radius that no other centreline may enter
_CLEAR_NM = 120.0  # and beyond which it keeps this far


class Occupancy:
    """A grid of int32 owners, 0 where free.

    Args:
        size_nm: edge lengths (x, y, z) of the block.
    """

    def __init__(self, size_nm: NDArray[np.float64]) -> None:
        """Start with free space."""
        self._size_nm = np.asarray(size_nm, dtype=np.float64)
        self._shape = np.ceil(self._size_nm / _CELL_NM).astype(np.int64)
        self._owner = np.zeros(self._shape, dtype=np.int32)
        self._balls: dict[int, NDArray[np.int64]] = {}

    def _cells(self, points_nm: NDArray[np.float64]) -> tuple[NDArray[np.int64], ...]:
        grid = np.clip((points_nm / _CELL_NM).astype(np.int64), 0, self._shape - 1)
        return tuple(np.moveaxis(grid, -1, 0))

    def inside(self, points_nm: NDArray[np.float64], margin_nm: float) -> NDArray[np.bool_]:
        """Which points lie in the block, off its faces, bool [...]."""
        return np.all((points_nm > margin_nm) & (points_nm < self._size_nm - margin_nm), axis=-1)

    def allows(self, points_nm: NDArray[np.float64], cells: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which points are free or the given cell's own, bool [...]."""
        owner = self._owner[self._cells(points_nm)]
        return (owner == 0) | (owner == cells + 1)

    def own(self, points_nm: NDArray[np.float64], cells: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which points the given cell holds already, bool [...]."""
        return self._owner[self._cells(points_nm)] == cells + 1

    def mark_ellipsoid(
        self, center_nm: NDArray[np.float64], axes_nm: NDArray[np.float64], value: int
    ) -> None:
        """Give an ellipsoid to an owner."""
        axes = [(np.arange(n) + 0.5) * _CELL_NM for n in self._shape]
        x, y, z = (((a - c) / r) ** 2 for a, c, r in zip(axes, center_nm, axes_nm, strict=True))
        self._owner[x[:, None, None] + y[None, :, None] + z < 1.0] = value

    def mark_tubes(
        self, points_nm: NDArray[np.float64], radii_nm: NDArray[np.float64], values: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Give the free places around each point to its owner; which points got their own place, bool [n]."""
        grid = np.stack(self._cells(points_nm), axis=1)
        center = tuple(grid.T)
        # In reverse order, so that of equal places the first point's value stays.
        for row in range(len(grid) - 1, -1, -1):
            at = tuple(grid[row])
            if self._owner[at] in (0, values[row]):
                self._owner[at] = values[row]
        kept = self._owner[center] == values
        reach = np.round((_CORE * radii_nm + _CLEAR_NM) / 50.0).astype(np.int64)
        for size in np.unique(reach[kept]):
            rows = np.flatnonzero(kept & (reach == size))
            places = grid[rows][:, None] + self._ball(int(size))[None]
            inside = np.all((places >= 0) & (places < self._shape), axis=-1)
            value = np.broadcast_to(values[rows][:, None], inside.shape)[inside]
            at = tuple(places[inside].T)
            free = self._owner[at] == 0
            self._owner[tuple(a[free] for a in at)] = value[free]
        return np.asarray(kept)

    def _ball(self, size: int) -> NDArray[np.int64]:
        if size not in self._balls:
            reach = int(np.ceil(size * 50.0 / _CELL_NM))
            axis = np.arange(-reach, reach + 1)
            offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
            self._balls[size] = offsets[np.linalg.norm(offsets * _CELL_NM, axis=1) <= size * 50.0]
        return self._balls[size]

    def seeds(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """Up to ``n`` points in the roomiest free places, apart from each other, float64 [<=n, 3] nm."""
        free = self._owner[::2, ::2, ::2] == 0
        padded = np.pad(free, 1)
        room = ndimage.distance_transform_edt(padded)[1:-1, 1:-1, 1:-1] * (2 * _CELL_NM)
        order = np.argsort(-(room + rng.uniform(0.0, 150.0, room.shape)), axis=None)
        places = np.stack(np.unravel_index(order[: 400 * n], room.shape), axis=1)
        places = places[room[tuple(places.T)] >= 2 * _CELL_NM]
        points = (places * 2 + 0.5) * _CELL_NM
        chosen: list[NDArray[np.float64]] = []
        for apart_nm in (1500.0, 900.0, 500.0):
            for point in points:
                if len(chosen) == n:
                    break
                if not chosen or np.min(np.sum((np.array(chosen) - point) ** 2, axis=1)) > apart_nm**2:
                    chosen.append(point)
        return np.array(chosen).reshape(-1, 3)
