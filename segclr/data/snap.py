"""Put every node inside its own segment: move it to the nearest voxel of the segment, or drop it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.data.cubes import rows_by_block
from segclr.data.nodes import NodeTable
from segclr.data.volume import Volume
from segclr.geometry import BoundingBox, Triple, center_nm_of_voxels, voxels_of_points

__all__ = ["Snapped", "drop_nodes", "snap_to_segments"]


@dataclass(frozen=True)
class Snapped:
    """Nodes that lie in their own segment.

    Attributes:
        nodes: what is left, with node ids numbered anew.
        n_moved: nodes that were outside and were moved to the nearest voxel of their segment.
        n_dropped: nodes with no voxel of their segment within reach.
    """

    nodes: NodeTable
    n_moved: int
    n_dropped: int


def snap_to_segments(
    nodes: NodeTable, segmentation: Volume, *, reach_nm: float, block_vx: Triple = (256, 256, 256)
) -> Snapped:
    """Move each node that is outside its segment to the segment's nearest voxel centre within reach.

    Args:
        nodes: of whole segments.
        segmentation: read in blocks of ``block_vx`` voxels (x, y, z), with the reach as margin.
        reach_nm: farthest move; nodes that find nothing are dropped and their children joined to the
            nearest kept ancestor, so that a tree stays one tree.
        block_vx: voxels of a block.
    """
    size = np.asarray(segmentation.voxel_size_nm)
    margin = tuple(int(np.ceil(reach_nm / s)) for s in size)
    voxels = voxels_of_points(nodes.points_nm, segmentation.voxel_size_nm)
    points = nodes.points_nm.copy()
    state = np.zeros(len(nodes), dtype=np.int8)  # 0 inside, 1 moved, 2 dropped
    window = BoundingBox((0, 0, 0), (1, 1, 1)).grow(margin)  # type: ignore[arg-type]
    for rows in rows_by_block(voxels, origin=segmentation.bounds.start, block_vx=block_vx):
        hull = BoundingBox(voxels[rows].min(axis=0), voxels[rows].max(axis=0) + 1)
        box = hull.grow(margin)  # type: ignore[arg-type]
        labels = segmentation.read(box)
        for row in rows:
            x, y, z = voxels[row] - np.asarray(box.start)
            if labels[z, y, x] == nodes.segment_ids[row]:
                continue
            here = tuple(slice(c - m, c + m + 1) for c, m in zip((z, y, x), margin[::-1], strict=True))
            own = np.argwhere(labels[here] == nodes.segment_ids[row])[:, ::-1] + np.asarray(window.start)
            centers = center_nm_of_voxels(own + voxels[row], segmentation.voxel_size_nm)
            gap = np.linalg.norm(centers - nodes.points_nm[row], axis=1)
            state[row] = 1 if len(gap) and gap.min() <= reach_nm else 2
            if state[row] == 1:
                points[row] = centers[np.argmin(gap)]
    moved = NodeTable(
        segment_ids=nodes.segment_ids,
        node_ids=nodes.node_ids,
        points_nm=points,
        radii_nm=nodes.radii_nm,
        parents=nodes.parents,
    )
    kept = drop_nodes(moved, state == 2)
    return Snapped(kept, int((state == 1).sum()), int((state == 2).sum()))


def drop_nodes(nodes: NodeTable, dropped: NDArray[np.bool_]) -> NodeTable:
    """Leave nodes out and join their children to the nearest kept ancestor.

    Where a tree's root goes, its first kept descendant becomes the root and the others that lost their
    ancestors are joined to it. Node ids are numbered anew, in the same order.
    """
    if not dropped.any():
        return nodes
    pieces = [
        _drop_in_segment(nodes.take(np.arange(rows.start, rows.stop)), dropped[rows])
        for _, rows in nodes.segments()
    ]
    return NodeTable.concatenate(pieces)


def _drop_in_segment(nodes: NodeTable, dropped: NDArray[np.bool_]) -> NodeTable:
    kept = np.flatnonzero(~dropped)
    number = np.full(len(nodes), -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    new_parent = np.full(len(nodes), -1, dtype=np.int64)
    # `stand_in[v]`: the kept node that children of v are joined to; `tree[v]`: the root v hangs from.
    stand_in, tree = number.copy(), np.arange(len(nodes))
    new_root: dict[int, int] = {}
    for node, parent in enumerate(nodes.parents):  # parents come before children
        if parent >= 0:
            tree[node] = tree[parent]
            above = stand_in[parent]
        else:
            above = -1
        if dropped[node]:
            stand_in[node] = above
            continue
        if above < 0 and tree[node] in new_root:
            above = new_root[tree[node]]
        elif above < 0:
            new_root[tree[node]] = number[node]
        new_parent[node] = above
    rest = nodes.take(kept)
    return NodeTable(
        segment_ids=rest.segment_ids,
        node_ids=np.arange(len(kept), dtype=np.uint32),
        points_nm=rest.points_nm,
        radii_nm=rest.radii_nm,
        parents=new_parent[kept].astype(np.int32),
    )
