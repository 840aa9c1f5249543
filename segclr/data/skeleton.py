"""A skeleton: the rooted tree (or trees) that runs along the middle of one segment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

from segclr.errors import SkeletonError

__all__ = ["Skeleton", "edge_lengths_nm", "root_forest", "topological_order"]


@dataclass(frozen=True)
class Skeleton:
    """Vertices of one segment, each with its parent.

    Attributes:
        segment_id: id in the segmentation, 1 to 2**64 - 1.
        points_nm: float32 [n, 3], (x, y, z) in absolute nanometres.
        parents: int32 [n], index of the parent vertex; -1 marks a root, one for each tree.
        radii_nm: float32 [n], distance from the vertex to the segment's surface.

    Raises:
        SkeletonError: shapes differ, a coordinate is not finite, a parent does not exist, or the parents
            make a cycle.
    """

    segment_id: int
    points_nm: NDArray[np.float32]
    parents: NDArray[np.int32]
    radii_nm: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check shapes, coordinates, and that following parents always ends at a root."""
        n = len(self.points_nm)
        if self.points_nm.shape != (n, 3) or self.parents.shape != (n,) or self.radii_nm.shape != (n,):
            msg = (
                f"skeleton of segment {self.segment_id}: points {self.points_nm.shape}, parents "
                f"{self.parents.shape}, radii {self.radii_nm.shape}; allowed are [n, 3], [n], [n]"
            )
            raise SkeletonError(msg)
        finite = np.isfinite(self.points_nm).all(axis=1)
        if not finite.all():
            vertex = int(np.argmin(finite))
            msg = (
                f"skeleton of segment {self.segment_id}: {int((~finite).sum())} of {n} vertices have no "
                f"finite place, the first is vertex {vertex} at {self.points_nm[vertex].tolist()}"
            )
            raise SkeletonError(msg)
        try:
            topological_order(self.parents)
        except SkeletonError as error:
            msg = f"skeleton of segment {self.segment_id}: {error}"
            raise SkeletonError(msg) from error

    @staticmethod
    def from_edges(
        segment_id: int,
        *,
        points_nm: NDArray[np.floating],
        edges: NDArray[np.integer],
        radii_nm: NDArray[np.floating],
    ) -> Skeleton:
        """A skeleton from undirected edges, as most formats store it.

        Args:
            segment_id: id in the segmentation.
            points_nm: [n, 3], (x, y, z) in nm.
            edges: integer [m, 2], pairs of vertices in any order; see ``root_forest``.
            radii_nm: [n]; NaN where the source knows none.

        Raises:
            SkeletonError: an edge names no vertex, or the edges make a cycle; the message names the segment
                and an edge.
        """
        try:
            parents = root_forest(edges, len(points_nm))
        except SkeletonError as error:
            msg = f"skeleton of segment {segment_id}: {error}"
            raise SkeletonError(msg) from error
        return Skeleton(
            segment_id,
            np.asarray(points_nm, dtype=np.float32),
            parents,
            np.asarray(radii_nm, dtype=np.float32),
        )

    def __len__(self) -> int:
        """Number of vertices."""
        return len(self.points_nm)

    @property
    def cable_length_nm(self) -> float:
        """Sum of all edge lengths."""
        return float(edge_lengths_nm(self.points_nm, self.parents).sum())


def edge_lengths_nm(points_nm: NDArray[np.floating], parents: NDArray[np.integer]) -> NDArray[np.float64]:
    """Euclidean length of each vertex's edge to its parent, float64 [n]; 0 for a root."""
    points = np.asarray(points_nm, dtype=np.float64)
    lengths = np.zeros(len(points))
    child = np.flatnonzero(np.asarray(parents) >= 0)
    lengths[child] = np.linalg.norm(points[child] - points[parents[child]], axis=1)
    return lengths


def topological_order(parents: NDArray[np.integer]) -> NDArray[np.int64]:
    """Vertices by depth, so that every parent comes before its children, int64 [n].

    Raises:
        SkeletonError: a parent is out of range, or the parents make a cycle.
    """
    parents = np.asarray(parents, dtype=np.int64)
    n = len(parents)
    if n and (parents.max() >= n or parents.min() < -1):
        msg = f"a parent must be -1 or a vertex below {n}, got {parents.min()} to {parents.max()}"
        raise SkeletonError(msg)
    # Pointer jumping: after k rounds `ancestor` lies up to 2**k steps up and `depth` counts those steps.
    ancestor = np.where(parents >= 0, parents, np.arange(n))
    depth = (parents >= 0).astype(np.int64)
    for _ in range(n.bit_length()):
        depth = depth + depth[ancestor]
        ancestor = ancestor[ancestor]
    if (parents[ancestor] >= 0).any():
        child = int(ancestor[parents[ancestor] >= 0][0])  # enough steps up from a loop end within it
        msg = (
            f"the parents make a cycle through the edge from vertex {child} to {parents[child]}; a skeleton "
            "must be a tree or several trees"
        )
        raise SkeletonError(msg)
    return np.argsort(depth, kind="stable")


def root_forest(edges: NDArray[np.integer], n_vertices: int) -> NDArray[np.int32]:
    """Parents of an undirected forest, int32 [n]: the lowest vertex of each tree becomes its root.

    Args:
        edges: integer [m, 2], pairs of vertices; repeated edges count once.
        n_vertices: number of vertices.

    Raises:
        SkeletonError: an edge names no vertex, or the edges make a cycle; the message names an edge of it.
    """
    edges = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
    if len(edges) and (edges.min() < 0 or edges.max() >= n_vertices):
        msg = f"an edge must join vertices 0 to {n_vertices - 1}, got {edges.min()} to {edges.max()}"
        raise SkeletonError(msg)
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    ones = np.ones(len(edges), dtype=np.int8)
    graph = coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(n_vertices, n_vertices))
    n_trees, tree = connected_components(graph, directed=False)
    _, roots = np.unique(tree, return_index=True)
    # One search from a vertex joined to all roots walks every tree at once.
    source = np.concatenate([edges[:, 0], np.full(n_trees, n_vertices)])
    target = np.concatenate([edges[:, 1], roots])
    joined = coo_matrix(
        (np.ones(len(source), dtype=np.int8), (source, target)), shape=(n_vertices + 1, n_vertices + 1)
    )
    _, predecessors = breadth_first_order(joined.tocsr(), n_vertices, directed=False)
    parents = predecessors[:n_vertices].astype(np.int32)
    parents[roots] = -1
    walked = (parents[edges[:, 0]] == edges[:, 1]) | (parents[edges[:, 1]] == edges[:, 0])
    if not walked.all():
        a, b = edges[np.argmin(walked)].tolist()
        msg = (
            f"{len(edges)} edges on {n_vertices} vertices in {n_trees} pieces make a cycle, closed by the "
            f"edge from vertex {a} to {b}; a skeleton must be a tree or several trees"
        )
        raise SkeletonError(msg)
    return parents
