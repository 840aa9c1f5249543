"""Leave out what lies beyond a box, which cuts trees, and nodes without a place, which does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.data.nodes import NodeTable
from segclr.data.skeleton import Skeleton
from segclr.data.tree import followed

__all__ = ["clip_skeleton", "clip_to_box", "drop_nodes"]


def clip_skeleton(skeleton: Skeleton, start_nm: ArrayLike, stop_nm: ArrayLike) -> Skeleton:
    """Cut a skeleton at the faces of a box: edges end there, what comes back is a tree of its own.

    Args:
        skeleton: one segment's.
        start_nm: (x, y, z), the first corner.
        stop_nm: (x, y, z), the last corner.

    Returns:
        The part in the box, also without any vertex; the skeleton itself where all of it is.
    """
    low, high = np.asarray(start_nm, dtype=np.float64), np.asarray(stop_nm, dtype=np.float64)
    points, parents = skeleton.points_nm.astype(np.float64), skeleton.parents.astype(np.int64)
    inside = np.all((points >= low) & (points <= high), axis=1)
    if inside.all():
        return skeleton
    child = np.flatnonzero(parents >= 0)
    above = parents[child]
    enters, leaves = _crossings(points[above], points[child], low, high)
    touched = enters < leaves
    # where the line from parent to child enters begins a tree, and where it leaves ends one
    begins = np.flatnonzero(touched & ~inside[above])
    ends = np.flatnonzero(touched & ~inside[child])
    kept = np.flatnonzero(inside)
    row = np.full(len(points) + 1, -1)  # the last is read for parent -1
    row[kept] = np.arange(len(kept))
    top = row[above]
    top[begins] = len(kept) + np.arange(len(begins))
    new_parents = row[parents]
    new_parents[child] = np.where(touched, top, row[above])
    at = np.r_[begins, ends]
    share = np.r_[enters[begins], leaves[ends]]

    def between(values: NDArray[np.float64]) -> NDArray[np.float64]:
        first, last = values[above[at]], values[child[at]]
        return first + share.reshape(-1, *[1] * (values.ndim - 1)) * (last - first)

    radii = skeleton.radii_nm.astype(np.float64)
    return Skeleton(
        skeleton.segment_id,
        np.concatenate([skeleton.points_nm[kept], np.clip(between(points), low, high).astype(np.float32)]),
        np.r_[new_parents[kept], np.full(len(begins), -1), top[ends]].astype(np.int32),
        np.concatenate([skeleton.radii_nm[kept], between(radii).astype(np.float32)]),
    )


def _crossings(
    first: NDArray[np.float64], last: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of each line, 0 to 1, at which it enters and leaves a box (Liang and Barsky 1984)."""
    step = last - first
    with np.errstate(divide="ignore", invalid="ignore"):
        faces = np.sort(np.stack([(low - first) / step, (high - first) / step]), axis=0)
    within = (first >= low) & (first <= high)
    enters = np.where(step == 0, np.where(within, -np.inf, np.inf), faces[0])
    leaves = np.where(step == 0, np.inf, faces[1])
    return np.maximum(enters.max(axis=1), 0), np.minimum(leaves.min(axis=1), 1)


def clip_to_box(nodes: NodeTable, start_nm: ArrayLike, stop_nm: ArrayLike) -> NodeTable:
    """Keep the nodes in a half-open box; what comes back into it after leaving it is a tree of its own.

    Args:
        nodes: of whole segments; node ids are numbered anew, in the same order.
        start_nm: (x, y, z), the first corner.
        stop_nm: (x, y, z), the last corner.
    """
    kept = np.all((nodes.points_nm >= np.asarray(start_nm)) & (nodes.points_nm < np.asarray(stop_nm)), axis=1)
    return _renumbered(nodes, kept, nodes.parent_rows())


def drop_nodes(nodes: NodeTable, dropped: NDArray[np.bool_]) -> NodeTable:
    """Leave nodes out and join their children to the nearest kept ancestor.

    Where a tree's root goes, its first kept descendant becomes the root and the others that lost their
    ancestors are joined to it: a tree stays one tree. Node ids are numbered anew, in the same order.
    """
    if not dropped.any():
        return nodes
    rows, parents = np.arange(len(nodes)), nodes.parent_rows()
    root = followed(np.where(parents >= 0, parents, rows))
    above = np.where(parents >= 0, parents, rows)
    kept_above = followed(np.where(dropped, above, rows))[above]  # a dropped root is its own
    kept_above[parents < 0] = -1
    kept_above[(kept_above >= 0) & dropped[kept_above]] = -1
    orphans = np.flatnonzero(~dropped & (kept_above < 0))
    _, first, tree = np.unique(root[orphans], return_index=True, return_inverse=True)
    new_root = orphans[first][tree]
    kept_above[orphans] = np.where(new_root == orphans, -1, new_root)
    return _renumbered(nodes, ~dropped, kept_above)


def _renumbered(nodes: NodeTable, kept: NDArray[np.bool_], parent_rows: NDArray[np.int64]) -> NodeTable:
    """The kept rows, numbered within their segments; a parent that is left out leaves a root."""
    rest = nodes.take(kept)
    begins = np.r_[True, rest.segment_ids[1:] != rest.segment_ids[:-1]][: len(rest)]
    row = np.arange(len(rest))
    number = row - np.maximum.accumulate(np.where(begins, row, 0)) if len(rest) else row
    new_number = np.full(len(nodes) + 1, -1)  # the last is read for parent -1
    new_number[np.flatnonzero(kept)] = number
    return NodeTable(
        segment_ids=rest.segment_ids,
        node_ids=number.astype(np.uint32),
        points_nm=rest.points_nm,
        radii_nm=rest.radii_nm,
        parents=new_number[parent_rows[kept]].astype(np.int32),
    )
