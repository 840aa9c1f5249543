"""Cutting off what two blocks traced twice along the plane between them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["covered_branches"]


def covered_branches(
    points_nm: NDArray[np.floating],
    radii_nm: NDArray[np.floating],
    edges: NDArray[np.integer],
    fragment: NDArray[np.integer],
    *,
    seam: NDArray[np.bool_],
    cover: tuple[float, float],
) -> NDArray[np.bool_]:
    """Vertices of end branches that another path already stands for, bool [n].

    TEASAR draws no path to a place within scale * radius + const of a path that it has. A block does not know
    the paths of the next one, and must draw one to every contact; so neurites that run along the plane
    between two blocks are drawn twice, and bulges through it get a twig. The same rule is applied here, to
    the branches that end at a contact or lie wholly beside another block's path: an end branch goes when
    each of its vertices lies within reach of a path that stays. The shortest goes first.

    Args:
        points_nm: [n, 3].
        radii_nm: [n].
        edges: [m, 2], of a forest.
        fragment: [n], the fragment each vertex comes from.
        seam: [n], vertices at contacts.
        cover: TEASAR's (scale, const in nm).
    """
    gone = np.zeros(len(points_nm), dtype=bool)
    if not seam.any():
        return gone
    reach_nm = cover[0] * np.asarray(radii_nm, dtype=np.float64) + cover[1]
    near = _Reach(np.asarray(points_nm, dtype=np.float64), reach_nm)
    neighbours: list[list[int]] = [[] for _ in points_nm]
    for a, b in np.asarray(edges).tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    asked: set[tuple[int, int]] = set()
    while True:
        branches = [b for b in _end_branches(neighbours, gone) if (b[0], b[-1]) not in asked]
        lengths = [_length(points_nm[b]) for b in branches]
        n_gone = int(gone.sum())
        for i in np.lexsort((*np.array([points_nm[b[0]] for b in branches]).reshape(-1, 3).T, lengths)):
            *branch, fork = branches[i]
            if sum(not gone[v] for v in neighbours[fork]) < 3:
                continue  # its fork is none any more: it is part of a longer branch now
            if _is_covered(branch, near, gone, fragment, seam):
                gone[branch] = True
            else:
                asked.add((branch[0], fork))
        if int(gone.sum()) == n_gone:
            return gone


def _is_covered(
    branch: list[int],
    near: _Reach,
    gone: NDArray[np.bool_],
    fragment: NDArray[np.integer],
    seam: NDArray[np.bool_],
) -> bool:
    own = set(branch)
    at_seam = bool(seam[branch].any())
    for vertex in branch:
        found = [v for v in near.reaching(vertex) if not gone[v] and v not in own]
        if not at_seam:
            found = [v for v in found if fragment[v] != fragment[vertex]]
        if not found:
            return False
    return True


def _end_branches(neighbours: list[list[int]], gone: NDArray[np.bool_]) -> Iterator[list[int]]:
    """From each leaf to the first fork, the fork included; a path without a fork is no branch."""
    for leaf in range(len(neighbours)):
        if gone[leaf]:
            continue
        branch, before = [leaf], -1
        around = [v for v in neighbours[leaf] if not gone[v]]
        if len(around) != 1:
            continue
        while len(around) == 1 or (len(around) == 2 and before >= 0):
            ahead = [v for v in around if v != before]
            if not ahead:
                break
            before = branch[-1]
            branch.append(ahead[0])
            around = [v for v in neighbours[ahead[0]] if not gone[v]]
        if len(around) > 2:
            yield branch


def _length(points_nm: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(np.diff(np.asarray(points_nm, np.float64), axis=0), axis=1).sum())


class _Reach:
    """Which vertices reach a place, each with a reach of its own: one tree of points for each doubling."""

    def __init__(self, points_nm: NDArray[np.float64], reach_nm: NDArray[np.float64]) -> None:
        self._points, self._reach = points_nm, reach_nm
        level = np.ceil(np.log2(np.maximum(reach_nm, 1.0))).astype(int)
        self._levels = [(2.0**k, np.flatnonzero(level == k)) for k in np.unique(level)]
        self._trees = [cKDTree(points_nm[rows]) for _, rows in self._levels]

    def reaching(self, vertex: int) -> NDArray[np.int64]:
        """Vertices within whose reach a vertex lies, itself included."""
        place = self._points[vertex]
        found = [
            rows[tree.query_ball_point(place, radius)]
            for (radius, rows), tree in zip(self._levels, self._trees, strict=True)
        ]
        rows = np.concatenate(found)
        gap = np.linalg.norm(self._points[rows] - place, axis=1)
        return np.sort(rows[gap < self._reach[rows]])
