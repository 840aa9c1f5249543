"""Values of a volume at points: what a label volume says of each node."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.data.cubes import rows_by_block
from segclr.data.volume import Volume
from segclr.geometry import BoundingBox, Triple, voxels_of_points

__all__ = ["values_at"]


def values_at(volume: Volume, points_nm: ArrayLike, *, block_vx: Triple = (256, 256, 256)) -> NDArray[Any]:
    """Value of the voxel of each point, [n]; 0 beyond the volume. Each block is read once.

    Args:
        volume: any volume.
        points_nm: [n, 3], (x, y, z).
        block_vx: voxels (x, y, z) of a block.
    """
    voxels = voxels_of_points(points_nm, volume.voxel_size_nm)
    values = np.zeros(len(voxels), dtype=volume.dtype)
    for rows in rows_by_block(voxels, origin=volume.bounds.start, block_vx=block_vx):
        hull = BoundingBox(voxels[rows].min(axis=0), voxels[rows].max(axis=0) + 1)
        x, y, z = (voxels[rows] - np.asarray(hull.start)).T
        values[rows] = volume.read(hull)[z, y, x]
    return values
