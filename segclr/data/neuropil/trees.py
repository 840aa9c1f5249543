"""True skeletons: the drawn centrelines, less what neighbours cut off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segclr.data.neuropil.cells import Cell
from segclr.data.neuropil.frame import Frame
from segclr.data.neuropil.grow import Arbors
from segclr.data.skeleton import Skeleton

__all__ = ["skeletons_of"]


def skeletons_of(
    frame: Frame,
    arbors: Arbors,
    cells: tuple[Cell, ...],
    labels: NDArray[np.int32],
    *,
    origin_nm: NDArray[np.float64],
) -> tuple[Skeleton, ...]:
    """One tree for each cell that was drawn; spines are left out.

    A vertex whose voxel a neighbour won is taken out and its children hang on its parent, so that the
    rest stays one tree with every vertex inside its own segment.
    """
    points = (arbors.points_nm + origin_nm).astype(np.float32)
    # Judged as others will: by the stored float32.
    inside = labels[frame.voxels(points.astype(np.float64) - origin_nm)] == arbors.cells
    keep = inside & (arbors.spines == 0)
    parents = arbors.parents.copy()
    while True:
        lost = (parents >= 0) & ~keep[np.maximum(parents, 0)]
        if not lost.any():
            break
        parents[lost] = arbors.parents[parents[lost]]
    skeletons = []
    for index, cell in enumerate(cells):
        rows = np.flatnonzero(keep & (arbors.cells == index))
        if not len(rows):
            continue
        place = np.full(len(arbors), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        parent = np.where(parents[rows] < 0, -1, place[np.maximum(parents[rows], 0)])
        # Where the root itself was lost its children are siblings: the first takes its place.
        roots = np.flatnonzero(parent < 0)
        parent[roots[1:]] = roots[0]
        skeletons.append(
            Skeleton(
                segment_id=cell.segment_id,
                points_nm=points[rows],
                parents=parent.astype(np.int32),
                radii_nm=arbors.radii_nm[rows].astype(np.float32),
            )
        )
    return tuple(skeletons)
