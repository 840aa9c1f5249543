"""Put every node inside its own segment: move it to the segment's nearest voxel, or call it lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.data.cubes import rows_by_block
from segclr.data.volume import Volume
from segclr.geometry import BoundingBox, Triple, center_nm_of_voxels, voxels_of_points

__all__ = ["Snapped", "snap_points"]


@dataclass(frozen=True)
class Snapped:
    """Where points went.

    Attributes:
        points_nm: float32 [n, 3], in their own segment but for the lost ones, which stayed where they were.
        moved: bool [n], outside before, now at the centre of the nearest voxel of their segment.
        lost: bool [n], with no voxel of their segment within reach.
    """

    points_nm: NDArray[np.float32]
    moved: NDArray[np.bool_]
    lost: NDArray[np.bool_]


def snap_points(
    points_nm: NDArray[np.float32],
    segment_ids: NDArray[np.uint64],
    segmentation: Volume,
    *,
    reach_nm: float,
    block_vx: Triple | None = None,
) -> Snapped:
    """Move each point that is outside its segment to the segment's nearest voxel centre within reach.

    The points of a block are looked up in one read; what lies around a point is read again only where the
    point is outside its segment and near the block's border. Of voxels equally near, the first in the
    order z, y, x is taken.

    Args:
        points_nm: float32 [n, 3], (x, y, z).
        segment_ids: uint64 [n].
        segmentation: unsigned.
        reach_nm: farthest move.
        block_vx: voxels (x, y, z) of a read; changes memory, not results. None: whole chunks, 256 or more.
    """
    x, y, z = (-(-256 // chunk) * chunk for chunk in segmentation.chunk_size_vx)
    block_vx = block_vx or (x, y, z)
    margin = np.ceil(reach_nm / np.asarray(segmentation.voxel_size_nm)).astype(int)
    voxels = voxels_of_points(points_nm, segmentation.voxel_size_nm)
    points = points_nm.copy()
    moved, lost = np.zeros(len(points), dtype=bool), np.zeros(len(points), dtype=bool)
    for rows in rows_by_block(voxels, origin=segmentation.bounds.start, block_vx=block_vx):
        hull = BoundingBox(voxels[rows].min(axis=0), voxels[rows].max(axis=0) + 1)
        labels = segmentation.read(hull)
        at = (voxels[rows] - np.asarray(hull.start)).T
        for row in rows[labels[at[2], at[1], at[0]] != segment_ids[rows]]:
            window = BoundingBox(voxels[row] - margin, voxels[row] + margin + 1)
            if window.intersect(hull) == window:
                around = labels[window.slices_zyx(hull.start)]
            else:
                around = segmentation.read(window)
            own = np.argwhere(around == segment_ids[row])[:, ::-1] + np.asarray(window.start)
            centers = center_nm_of_voxels(own, segmentation.voxel_size_nm)
            gap = np.linalg.norm(centers - points_nm[row], axis=1)
            moved[row] = bool(len(gap)) and gap.min() <= reach_nm
            lost[row] = not moved[row]
            if moved[row]:
                points[row] = centers[np.argmin(gap)]
    return Snapped(points, moved, lost)
