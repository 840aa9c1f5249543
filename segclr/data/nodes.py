"""Nodes: the places on skeletons that get an embedding, with the topology that joins them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.data.skeleton import Skeleton, edge_lengths_nm, topological_order
from segclr.errors import SkeletonError

__all__ = ["NodeTable", "path_from_root_nm", "resample"]


@dataclass(frozen=True, kw_only=True)
class NodeTable:
    """Nodes of one or many segments, sorted by (segment_id, node_id).

    Attributes:
        segment_ids: uint64 [n].
        node_ids: uint32 [n], 0 to m - 1 within each segment, parents before children.
        points_nm: float32 [n, 3], (x, y, z).
        radii_nm: float32 [n], distance to the segment's surface.
        parents: int32 [n], node_id of the parent in the same segment, -1 for a root.
    """

    segment_ids: NDArray[np.uint64]
    node_ids: NDArray[np.uint32]
    points_nm: NDArray[np.float32]
    radii_nm: NDArray[np.float32]
    parents: NDArray[np.int32]

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self.segment_ids)

    def take(self, rows: NDArray[Any]) -> NodeTable:
        """The rows of an index or mask, in its order."""
        return NodeTable(
            segment_ids=self.segment_ids[rows],
            node_ids=self.node_ids[rows],
            points_nm=self.points_nm[rows],
            radii_nm=self.radii_nm[rows],
            parents=self.parents[rows],
        )

    def segments(self) -> Iterable[tuple[int, slice]]:
        """Each segment id with the slice of its rows."""
        starts = np.flatnonzero(np.r_[True, self.segment_ids[1:] != self.segment_ids[:-1]])
        stops = np.r_[starts[1:], len(self)]
        if len(self):
            for a, b in zip(starts, stops, strict=True):
                yield int(self.segment_ids[a]), slice(int(a), int(b))

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of ``nodes/*.parquet``."""
        axes = {f"{axis}_nm": np.ascontiguousarray(self.points_nm[:, i]) for i, axis in enumerate("xyz")}
        return {
            "segment_id": self.segment_ids,
            "node_id": self.node_ids,
            **axes,
            "radius_nm": self.radii_nm,
            "parent": self.parents,
        }

    @staticmethod
    def from_columns(columns: Mapping[str, NDArray[Any]]) -> NodeTable:
        """The inverse of ``columns``."""
        return NodeTable(
            segment_ids=columns["segment_id"].astype(np.uint64, copy=False),
            node_ids=columns["node_id"].astype(np.uint32, copy=False),
            points_nm=np.stack([columns[f"{a}_nm"] for a in "xyz"], axis=1).astype(np.float32, copy=False),
            radii_nm=columns["radius_nm"].astype(np.float32, copy=False),
            parents=columns["parent"].astype(np.int32, copy=False),
        )

    @staticmethod
    def concatenate(tables: Iterable[NodeTable]) -> NodeTable:
        """All rows, sorted by (segment_id, node_id).

        Raises:
            SkeletonError: a (segment_id, node_id) comes twice.
        """
        parts = [t.columns() for t in tables]
        names = list(_EMPTY.columns())
        merged = {k: np.concatenate([_EMPTY.columns()[k], *(p[k] for p in parts)]) for k in names}
        order = np.lexsort((merged["node_id"], merged["segment_id"]))
        table = NodeTable.from_columns({k: v[order] for k, v in merged.items()})
        same = (table.segment_ids[1:] == table.segment_ids[:-1]) & (table.node_ids[1:] == table.node_ids[:-1])
        if same.any():
            row = int(np.flatnonzero(same)[0])
            msg = f"node {table.node_ids[row]} of segment {table.segment_ids[row]} comes twice"
            raise SkeletonError(msg)
        return table


_EMPTY = NodeTable(
    segment_ids=np.zeros(0, np.uint64),
    node_ids=np.zeros(0, np.uint32),
    points_nm=np.zeros((0, 3), np.float32),
    radii_nm=np.zeros(0, np.float32),
    parents=np.zeros(0, np.int32),
)


def path_from_root_nm(
    points_nm: NDArray[np.floating[Any]], parents: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Path length from each vertex to its tree's root along straight edges, float64 [n]."""
    distance = edge_lengths_nm(points_nm, parents)
    order = topological_order(parents)
    for vertex in order:
        if parents[vertex] >= 0:
            distance[vertex] += distance[parents[vertex]]
    return distance


def resample(skeleton: Skeleton, *, spacing_nm: float) -> NodeTable:
    """Nodes at equal path distance along a skeleton.

    A node lies at every whole multiple of the spacing, measured along the skeleton from the root, on
    every branch, so neighbours are one spacing of path apart, across branch points too. A branch's end
    is kept: it gets a node of its own where half a spacing or more remains, else the branch's last node
    moves to it. A twig shorter than half a spacing without a node of its own gets none.

        root o-----o-----o--+--o-----o--|  end, half a spacing or more: own node
                            |
                            +--o-|         end, less: the last node moves to it

    Args:
        skeleton: one segment's.
        spacing_nm: nm of path between neighbours.

    Raises:
        SkeletonError: the spacing is not positive, or the skeleton has no vertex.
    """
    if not spacing_nm > 0 or not len(skeleton):
        msg = f"resampling segment {skeleton.segment_id}: {len(skeleton)} vertices, spacing {spacing_nm} nm"
        raise SkeletonError(msg)
    points, parents = skeleton.points_nm.astype(np.float64), skeleton.parents.astype(np.int64)
    distance = path_from_root_nm(points, parents)
    is_root = parents < 0
    above = np.where(is_root, np.arange(len(parents)), parents)
    step = np.floor(distance / spacing_nm + 1e-9).astype(np.int64)
    count = step - step[above] + is_root  # nodes on the edge above each vertex; a root is a node itself

    edge = np.repeat(np.arange(len(parents)), count)
    first = np.cumsum(count) - count
    rank = np.arange(len(edge)) - first[edge]
    along = (step[above[edge]] + rank + ~is_root[edge]) * spacing_nm
    length = distance - distance[above]
    share = np.divide(
        along - distance[above[edge]], length[edge], out=np.ones(len(edge)), where=length[edge] > 0
    )

    last_node = np.where(count > 0, first + count - 1, -1)  # the last node at or above each vertex
    order = topological_order(parents)
    for vertex in order:
        if last_node[vertex] < 0:
            last_node[vertex] = last_node[parents[vertex]]
    node_parent = np.where(rank > 0, np.arange(len(edge)) - 1, last_node[above[edge]])
    node_parent[is_root[edge] & (rank == 0)] = -1

    radii = skeleton.radii_nm.astype(np.float64)
    place = points[above[edge]] + share[:, None] * (points[edge] - points[above[edge]])
    radius = radii[above[edge]] + share * (radii[edge] - radii[above[edge]])

    n_children = np.bincount(parents[~is_root], minlength=len(parents))
    leaves = np.flatnonzero((n_children == 0) & ~is_root)
    branch_start = _branch_starts(parents, n_children, order)
    reached = np.where(is_root[edge] & (rank == 0), 0.0, along)
    extra = []
    for leaf in leaves:
        node = last_node[leaf]
        left = distance[leaf] - max(reached[node], distance[branch_start[leaf]])
        own = reached[node] > distance[branch_start[leaf]]
        if left >= spacing_nm / 2:
            extra.append((leaf, node))
        elif own and left > 0:
            place[node], radius[node] = points[leaf], radii[leaf]
    ends = np.array([leaf for leaf, _ in extra], dtype=np.int64)
    place = np.concatenate([place, points[ends]])
    radius = np.concatenate([radius, radii[ends]])
    node_parent = np.concatenate([node_parent, np.array([node for _, node in extra], dtype=np.int64)])
    return _numbered(skeleton.segment_id, place, radius, node_parent)


def _branch_starts(
    parents: NDArray[np.int64], n_children: NDArray[np.int64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each vertex the root or branch point above it, where its own unbranched piece begins."""
    start = np.arange(len(parents))
    for vertex in order:
        parent = parents[vertex]
        if parent >= 0:
            splits = parents[parent] < 0 or n_children[parent] > 1
            start[vertex] = parent if splits else start[parent]
    return start


def _numbered(
    segment_id: int, points: NDArray[np.float64], radii: NDArray[np.float64], parents: NDArray[np.int64]
) -> NodeTable:
    """Number nodes by depth, so that parents come before children."""
    order = topological_order(parents)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    above = parents[order]
    return NodeTable(
        segment_ids=np.full(len(order), segment_id, dtype=np.uint64),
        node_ids=np.arange(len(order), dtype=np.uint32),
        points_nm=points[order].astype(np.float32),
        radii_nm=radii[order].astype(np.float32),
        parents=np.where(above >= 0, rank[above], -1).astype(np.int32),
    )
