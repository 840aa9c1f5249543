"""Branches of a skeleton: the unbranched pieces between its ends, which are roots, branch points and tips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.data.tree import followed, path_from_root_nm

__all__ = ["Branches"]


@dataclass(frozen=True, eq=False)
class Branches:
    """Which branch each vertex lies on, and where. A branch is named by the end at its bottom.

        root o----o----o top      top is the end nearest to the root, bottom the farthest;
                       |          a bottom belongs to the branch above it, a root to none
                       o
                       |
                bottom o

    Attributes:
        is_end: bool [n], the vertex is a root, has no child, or has two or more.
        top: int64 [n], the end at the top of the vertex's branch; a root's is itself.
        bottom: int64 [n], the end at the bottom of the vertex's branch; a root's is itself.
        along_nm: float64 [n], path from the top to the vertex; 0 for a root.
        above_nm: float64 [n], path from the top to the vertex's parent; 0 for a root.
    """

    is_end: NDArray[np.bool_]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
    along_nm: NDArray[np.float64]
    above_nm: NDArray[np.float64]

    @staticmethod
    def of(points_nm: NDArray[np.floating[Any]], parents: NDArray[np.int64]) -> Branches:
        """Find the branches of a skeleton of one or several trees, without cycles."""
        n, numbers = len(parents), np.arange(len(parents))
        child = np.flatnonzero(parents >= 0)
        n_children = np.bincount(parents[child], minlength=n)
        is_end = (parents < 0) | (n_children != 1)
        down = numbers.copy()
        down[parents[child]] = child  # read where there is one child only
        above = np.where(parents >= 0, parents, numbers)
        top = followed(np.where(is_end, numbers, above))[above]
        bottom = followed(np.where(is_end, numbers, down))
        from_root = path_from_root_nm(points_nm, parents)
        return Branches(is_end, top, bottom, from_root - from_root[top], from_root[above] - from_root[top])

    @property
    def length_nm(self) -> NDArray[np.float64]:
        """Length of each vertex's branch, float64 [n]."""
        return self.along_nm[self.bottom]
