"""One skeleton of a segment from the fragments of all blocks: one tree for each connected component."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from segclr.data.fragments import Fragment
from segclr.data.prune import covered_branches
from segclr.data.skeleton import Skeleton, root_forest, topological_order
from segclr.errors import SkeletonError
from segclr.geometry import VoxelSize, center_nm_of_voxels

__all__ = ["join_fragments"]


def join_fragments(
    fragments: Sequence[Fragment], *, voxel_size_nm: VoxelSize, cover: tuple[float, float]
) -> Skeleton:
    """Join a segment's fragments at their common contacts, and nowhere else.

    Fragments that merely come near are never joined. Where contacts would close a ring, the narrowest are
    left open, so every connected component becomes one tree. What two blocks traced twice along their
    common plane is then cut off (see :func:`segclr.data.prune.covered_branches`). Each tree's root is its
    widest vertex, which is the soma where there is one. The order of the fragments does not matter.

    Args:
        fragments: of one segment, at least one.
        voxel_size_nm: (x, y, z) of the segmentation.
        cover: TEASAR's (scale, const in nm): a vertex stands for all within scale * radius + const.

    Raises:
        SkeletonError: there is no fragment, they are of several segments, or a contact has only one side.
    """
    ids = sorted({f.skeleton.segment_id for f in fragments})
    if len(ids) != 1:
        msg = f"fragments of exactly one segment can be joined, got those of {ids}"
        raise SkeletonError(msg)
    fragments = sorted(fragments, key=_place)
    points = np.concatenate([f.skeleton.points_nm for f in fragments])
    radii = np.concatenate([f.skeleton.radii_nm for f in fragments])
    lengths = [len(f.skeleton) for f in fragments]
    first = np.cumsum([0, *lengths[:-1]])
    parents = np.concatenate([f.skeleton.parents.astype(np.int64) for f in fragments])
    child = np.flatnonzero(parents >= 0)
    edges = np.stack([child, parents[child] + np.repeat(first, lengths)[child]], axis=1)
    contacts = _contacts(fragments, first, voxel_size_nm)
    chosen = _spanning(contacts, np.repeat(np.arange(len(fragments)), lengths), radii)

    # A contact whose two sides are one place becomes one vertex; others become an edge.
    here = (points[chosen[:, 0]] == points[chosen[:, 1]]).all(axis=1)
    n = len(points)
    same = coo_matrix((np.ones(here.sum()), (chosen[here, 0], chosen[here, 1])), shape=(n, n))
    _, vertex = connected_components(same, directed=False)
    _, kept = np.unique(vertex, return_index=True)
    radii = np.array(radii)
    np.minimum.at(radii, kept[vertex], radii)  # the block that saw more of the surface measured less
    edges = vertex[np.concatenate([edges, chosen[~here]])]
    seam = np.zeros(len(kept), dtype=bool)
    seam[vertex[contacts.reshape(-1)]] = True
    fragment = np.repeat(np.arange(len(fragments)), lengths)[kept]
    points, radii = points[kept], radii[kept]
    alive = ~covered_branches(points, radii, edges, fragment, seam=seam, cover=cover)
    return _rooted(ids[0], points, radii, edges, alive)


def _place(fragment: Fragment) -> tuple[bytes, bytes]:
    """Where a fragment lies: no two have the same vertices and contacts."""
    points = fragment.skeleton.points_nm
    return points.astype(">f4").tobytes(), fragment.contacts_vx.astype(">i8").tobytes()


def _contacts(
    fragments: Sequence[Fragment], first: NDArray[np.int64], voxel_size_nm: VoxelSize
) -> NDArray[np.int64]:
    """Pairs of vertices, one in each fragment, that a common contact joins, int64 [m, 2]."""
    voxels = np.concatenate([f.contacts_vx for f in fragments])
    owner = np.repeat(np.arange(len(fragments)), [len(f.contacts_vx) for f in fragments])
    if not len(voxels):
        return np.zeros((0, 2), dtype=np.int64)
    places, contact = np.unique(voxels, axis=0, return_inverse=True)
    contact = contact.reshape(-1)
    centers = center_nm_of_voxels(places, voxel_size_nm)
    order = np.lexsort((owner, contact))
    pairs = []
    sides = np.split(order, np.flatnonzero(np.diff(contact[order])) + 1)
    for place, rows in enumerate(sides):
        if len(rows) < 2:
            msg = (
                f"segment {fragments[0].skeleton.segment_id} goes on in another block at voxel "
                f"{tuple(places[place].tolist())} (x, y, z), but no other block has it there: were all "
                "blocks made from one segmentation?"
            )
            raise SkeletonError(msg)
        ends = []
        for row in rows:
            near = fragments[owner[row]].skeleton.points_nm.astype(np.float64) - centers[place]
            ends.append(first[owner[row]] + int(np.argmin((near**2).sum(axis=1))))
        pairs += [(ends[0], end) for end in ends[1:]]
    return np.array(pairs, dtype=np.int64)


def _spanning(
    contacts: NDArray[np.int64], fragment: NDArray[np.int64], radii: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The contacts that join all fragments without a ring, widest first (Kruskal), int64 [m, 2]."""
    above = list(range(int(fragment[-1]) + 1))

    def top(f: int) -> int:
        while above[f] != f:
            above[f] = above[above[f]]
            f = above[f]
        return f

    chosen = []
    width = np.minimum(radii[contacts[:, 0]], radii[contacts[:, 1]])
    for row in np.argsort(-width, kind="stable"):
        a, b = (top(int(fragment[v])) for v in contacts[row])
        if a != b:
            above[b] = a
            chosen.append(contacts[row])
    return np.array(chosen, dtype=np.int64).reshape(-1, 2)


def _rooted(
    segment_id: int,
    points: NDArray[np.float32],
    radii: NDArray[np.float32],
    edges: NDArray[np.int64],
    alive: NDArray[np.bool_],
) -> Skeleton:
    """The alive vertices as trees, each rooted at its widest vertex, parents before children."""
    order = np.lexsort((*points.T[::-1], -radii))
    order = order[alive[order]]
    rank = np.full(len(points), -1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    parents = root_forest(rank[edges[alive[edges].all(axis=1)]], len(order))
    depth = topological_order(parents)
    number = np.empty(len(depth), dtype=np.int64)
    number[depth] = np.arange(len(depth))
    up = parents[depth]
    rows = order[depth]
    return Skeleton(segment_id, points[rows], np.where(up >= 0, number[up], -1).astype(np.int32), radii[rows])
