"""Where the levels of a pyramid lie on their grids of whole voxels: OME-Zarr's and N5's translations.

The formats leave open which point of the first voxel a translation names. Writers follow three conventions:
its corner (a whole number of voxels), its centre (and a half), or its centre relative to that of the
finest level's voxel 0: (f - 1) / 2f of a voxel of a level reduced by f.

    finest    |0|1|2|3|4|5|    corner 0, centre 1/2, relative centre 0
    f = 2     | 0 | 1 | 2 |    corner 0, centre 1/2, relative centre 1/4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from segclr.errors import VolumeError
from segclr.geometry import Triple, VoxelSize

__all__ = ["LevelBesideGrid", "first_voxels"]

_OFF_GRID = 0.05
"""Share of a voxel by which a level may lie beside the grid of whole voxels."""


def first_voxels(
    first_nm: Sequence[VoxelSize], voxel_size_nm: Sequence[VoxelSize]
) -> list[Triple | LevelBesideGrid]:
    """First voxel (x, y, z) of each level, finest first, under one convention for all levels and axes.

    Where no convention fits all levels, the one that fits the most of them, counted from the finest, places
    those; the first that does not fit, and all coarser ones, are beside the grid.

    >>> first_voxels([(8.0, 8.0, 8.0), (10.0, 10.0, 10.0)], [(4.0, 4.0, 4.0), (8.0, 8.0, 8.0)])
    [(2, 2, 2), (1, 1, 1)]
    """
    sizes = np.asarray(voxel_size_nm, dtype=np.float64)
    place = np.asarray(first_nm, dtype=np.float64) / sizes
    factor = sizes / sizes[0]
    shifts = (np.zeros_like(place), np.full_like(place, 0.5), (factor - 1) / (2 * factor))
    n_fitting = [_n_fitting(place - shift) for shift in shifts]
    n_placed = max(n_fitting)
    voxels = np.round(place - shifts[n_fitting.index(n_placed)]).astype(np.int64).tolist()
    placed = [(x, y, z) for x, y, z in voxels[:n_placed]]
    beside = [
        LevelBesideGrid(size, tuple(start))
        for size, start in zip(voxel_size_nm[n_placed:], place[n_placed:].tolist(), strict=True)
    ]
    return [*placed, *beside]


def _n_fitting(voxels: NDArray[np.float64]) -> int:
    """Levels, counted from the finest, that begin at whole voxels on all axes."""
    largest = np.abs(voxels - np.round(voxels)).max(axis=1)
    beside = np.flatnonzero(largest > _OFF_GRID)
    return int(beside[0]) if len(beside) else len(voxels)


@dataclass(frozen=True)
class LevelBesideGrid:
    """A stored scale that would be moved by part of a voxel if it were read.

    Attributes:
        voxel_size_nm: (x, y, z).
        place_vx: where it begins, in its own voxels (x, y, z).
        name: what it is in messages.
    """

    voxel_size_nm: VoxelSize
    place_vx: tuple[float, ...]
    name: str = "the level"

    def open(self, missing: object) -> NoReturn:
        """Refuse it; the other levels may be read.

        Raises:
            VolumeError: always.
        """
        msg = (
            f"{self.name} begins at {', '.join(f'{v:.3g}' for v in self.place_vx)} of its voxels (x, y, z), "
            "which is not on the grid of whole voxels; allowed is one convention for all levels: the first "
            "voxel's corner (whole numbers), its centre (and a half), or its centre relative to that of the "
            "finest level ((f - 1) / 2f more, reduced by f)"
        )
        raise VolumeError(msg)
