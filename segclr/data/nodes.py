"""Nodes: the places on skeletons that get an embedding, with the topology that joins them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.data.branches import Branches
from segclr.data.skeleton import Skeleton, topological_order
from segclr.errors import SkeletonError

__all__ = ["NodeTable", "resample"]


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

    def parent_rows(self) -> NDArray[np.int64]:
        """Row of each node's parent in this table, int64 [n], -1 for a root; for whole segments."""
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        begins = np.r_[True, self.segment_ids[1:] != self.segment_ids[:-1]]
        first = np.maximum.accumulate(np.where(begins, np.arange(len(self)), 0))
        parents = self.parents.astype(np.int64)
        return np.where(parents >= 0, parents + first, -1)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The first columns of ``nodes/*.parquet``; others may follow there (``node_facts``)."""
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
        """The inverse of ``columns``; further columns are left aside."""
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


def resample(skeleton: Skeleton, *, spacing_nm: float) -> NodeTable:
    """Nodes at equal path distance along every branch of a skeleton, its ends kept to half a step.

    A branch is an unbranched piece between two ends; ends are roots, branch points and tips. Roots are
    nodes. From the last node above a branch on, nodes lie at 1, 2, ... spacings of path, and the last of
    them lies at the branch's bottom end instead: so a step is exactly one spacing, but for the last of a
    branch, which is from half to one and a half. An end with less than half a spacing of path to the last
    node above gets no node of its own, and the path goes on from that node through it.

        root o-----o-----o--+--o-----o-------| tip: from half a spacing on it is a node, and up to
                            |                  one and a half there is none in between
             less than half +-| no node

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
    radii = skeleton.radii_nm.astype(np.float64)
    branches = Branches.of(points, parents)
    n_nodes, carried, first, last = _planned(branches, parents, spacing_nm)

    # Nodes within an edge, which is named by the vertex below it; the last of a branch is its bottom end.
    most = np.maximum(n_nodes - 1, 0)[branches.bottom]
    through, before = (
        np.minimum(np.floor((path + carried[branches.bottom]) / spacing_nm + 1e-9).astype(np.int64), most)
        for path in (branches.along_nm, branches.above_nm)
    )
    edge = np.repeat(np.arange(len(parents)), through - before)
    nth = before[edge] + _counted(through - before)
    along = (nth + 1) * spacing_nm - carried[branches.bottom[edge]]
    share = (along - branches.above_nm[edge]) / (branches.along_nm - branches.above_nm)[edge]
    share, above = np.clip(share, 0, 1), parents[edge]

    total = int(n_nodes.sum())
    place, radius, node_parent = np.empty((total, 3)), np.empty(total), np.arange(-1, total - 1)
    at = first[branches.bottom[edge]] + nth
    place[at] = points[above] + share[:, None] * (points[edge] - points[above])
    radius[at] = radii[above] + share * (radii[edge] - radii[above])
    kept = np.flatnonzero(n_nodes)
    place[last[kept]], radius[last[kept]] = points[kept], radii[kept]
    node_parent[first[kept]] = np.where(parents[kept] >= 0, last[branches.top[kept]], -1)
    return _numbered(skeleton.segment_id, place, radius, node_parent)


def _planned(
    branches: Branches, parents: NDArray[np.int64], spacing_nm: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """What lies on each branch, at the vertex that is its bottom end, 0 at all other vertices.

    Returns:
        Number of its nodes; path from the last node above it to its top; number of its first node; number of
        the last node at or above its bottom.
    """
    n = len(parents)
    order = topological_order(parents)
    ends = order[branches.is_end[order]]
    n_nodes, first, last = (np.zeros(n, dtype=np.int64) for _ in range(3))
    carried, since = np.zeros(n), np.zeros(n)  # since: path from the last node to the end
    total = 0
    for end, top in zip(ends.tolist(), branches.top[ends].tolist(), strict=True):
        is_root = parents[end] < 0
        carried[end] = 0.0 if is_root else since[top]
        path = carried[end] + branches.along_nm[end]
        count = 1 if is_root else int(path / spacing_nm + 0.5)
        since[end] = path if count == 0 else 0.0
        n_nodes[end], first[end] = count, total
        total += count
        last[end] = total - 1 if count else last[top]
    return n_nodes, carried, first, last


def _counted(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... for each count, one after another."""
    starts = np.cumsum(counts) - counts
    return np.arange(counts.sum()) - np.repeat(starts, counts)


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
