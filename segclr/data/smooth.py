"""Smooth a skeleton along its branches: voxel-by-voxel paths zigzag, and their length with them."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from segclr.data.branches import Branches
from segclr.data.skeleton import Skeleton

__all__ = ["smooth"]


def smooth(skeleton: Skeleton, *, window_nm: float) -> Skeleton:
    """Each vertex moved to the mean place of its branch over a window of path around it.

    The mean is the exact integral over the straight edges, so it does not depend on how densely the
    vertices lie. Near a branch's ends the window shrinks to stay within the branch and around the
    vertex; roots, branch points and tips do not move.

    Args:
        skeleton: one segment's.
        window_nm: nm of path; 0 changes nothing.
    """
    points, parents = skeleton.points_nm.astype(np.float64), skeleton.parents.astype(np.int64)
    branches = Branches.of(points, parents)
    half = np.minimum(branches.along_nm, branches.length_nm - branches.along_nm)
    half = np.where(branches.is_end, 0, np.minimum(half, window_nm / 2))
    moving = np.flatnonzero(half > 0)
    if not len(moving):
        return skeleton
    origin = points[0]
    integral = _Integral(points - origin, parents, branches)
    half, at = half[moving], branches.along_nm[moving]
    area = integral.to(moving, at + half) - integral.to(moving, at - half)
    points[moving] = area / (2 * half[:, None]) + origin
    return dataclasses.replace(skeleton, points_nm=points.astype(np.float32))


class _Integral:
    """The integral of the place over the path, from the top of each branch on."""

    def __init__(self, points: NDArray[np.float64], parents: NDArray[np.int64], branches: Branches) -> None:
        """Lay all branches end to end, edge after edge."""
        edges = np.flatnonzero(parents >= 0)
        edges = edges[np.lexsort((branches.along_nm[edges], branches.bottom[edges]))]
        bottom = branches.bottom[edges]
        is_first = np.r_[True, bottom[1:] != bottom[:-1]]
        n, group = len(parents), np.cumsum(is_first) - 1
        firsts = np.flatnonzero(is_first)
        lengths = branches.length_nm[bottom[firsts]]
        shift = np.cumsum(lengths) - lengths
        self._edge_of_branch = np.zeros((2, n), dtype=np.int64)
        self._edge_of_branch[:, bottom[firsts]] = firsts, np.r_[firsts[1:], len(edges)] - 1
        self._shift = np.zeros(n)
        self._shift[bottom[firsts]] = shift
        self._bottom = branches.bottom
        self._along = branches.along_nm[edges] + shift[group]
        self._start = branches.above_nm[edges]
        self._length = branches.along_nm[edges] - self._start
        self._from, self._to = points[parents[edges]], points[edges]
        area = (self._from + self._to) / 2 * self._length[:, None]
        self._before = np.cumsum(area, axis=0) - area
        self._before -= self._before[firsts][group]

    def to(self, vertices: NDArray[np.int64], along: NDArray[np.float64]) -> NDArray[np.float64]:
        """The integral up to a path length on each vertex's branch, float64 [m, 3]."""
        branch = self._bottom[vertices]
        first, last = self._edge_of_branch[:, branch]
        edge = np.clip(np.searchsorted(self._along, along + self._shift[branch]), first, last)
        rest = (along - self._start[edge])[:, None]
        length = self._length[edge][:, None]
        bend = np.divide(rest**2, 2 * length, out=np.zeros_like(rest), where=length > 0)
        return self._before[edge] + self._from[edge] * rest + (self._to[edge] - self._from[edge]) * bend
