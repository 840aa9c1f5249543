"""Leave nodes out: those beyond a box, which cuts trees, and those without a place, which does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.data.nodes import NodeTable
from segclr.data.tree import followed

__all__ = ["clip_to_box", "drop_nodes"]


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
