"""Voxels and nanometres: the only module that converts between them.

Points are (x, y, z) in nanometres, boxes are (x, y, z) in voxels, arrays are [z, y, x]. Voxel ``i`` of
an axis covers ``[i * size, (i + 1) * size)`` nm, so the voxel of a point is ``floor(nm / size)``:

    nm      0        32       64       96
    voxel   |   0    |   1    |   2    |
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BoundingBox",
    "Rounding",
    "Triple",
    "VoxelSize",
    "center_nm_of_voxels",
    "cube_starts",
    "voxels_of_points",
]

Triple = tuple[int, int, int]
VoxelSize = tuple[float, float, float]
Rounding = Literal["floor", "nearest"]
"""The voxel a cube is centred on: the one that holds the point, or the one whose lower corner is nearest."""


def voxels_of_points(points_nm: ArrayLike, voxel_size_nm: VoxelSize) -> NDArray[np.int64]:
    """Voxel (x, y, z) that holds each point: ``floor(nm / size)``, int64 [n, 3].

    >>> voxels_of_points([[31.9, 32.0, -0.1]], (32, 32, 40))
    array([[ 0,  1, -1]])
    """
    points = np.asarray(points_nm, dtype=np.float64).reshape(-1, 3)
    return np.floor(points / np.asarray(voxel_size_nm, dtype=np.float64)).astype(np.int64)


def center_nm_of_voxels(voxels: ArrayLike, voxel_size_nm: VoxelSize) -> NDArray[np.float64]:
    """Centre of each voxel (x, y, z) in nm, float64 [n, 3].

    >>> center_nm_of_voxels([[0, 1, -1]], (32, 32, 40))
    array([[ 16.,  48., -20.]])
    """
    grid = np.asarray(voxels, dtype=np.float64).reshape(-1, 3)
    return (grid + 0.5) * np.asarray(voxel_size_nm, dtype=np.float64)


def cube_starts(
    centers_nm: ArrayLike, voxel_size_nm: VoxelSize, *, size_vx: int, rounding: Rounding = "floor"
) -> NDArray[np.int64]:
    """First voxel (x, y, z) of each centre's cube: its voxel minus ``size_vx // 2``, int64 [n, 3].

    Released-style inference truncates, which is ``floor`` wherever coordinates are positive; below 0, where
    ``trunc`` would take one voxel twice, this stays ``floor``. ``nearest`` takes ``floor(nm / size + 1/2)``.

    >>> cube_starts([[95.0, 40.0, -1.0]], (32, 32, 40), size_vx=3)
    array([[ 1,  0, -2]])
    >>> cube_starts([[95.0, 40.0, -1.0]], (32, 32, 40), size_vx=3, rounding="nearest")
    array([[ 2,  0, -1]])
    """
    points = np.asarray(centers_nm, dtype=np.float64).reshape(-1, 3)
    if rounding == "nearest":
        points = points + np.asarray(voxel_size_nm, dtype=np.float64) / 2
    return voxels_of_points(points, voxel_size_nm) - size_vx // 2


@dataclass(frozen=True, order=True)
class BoundingBox:
    """A half-open box of voxels, (x, y, z), absolute: a volume's voxel offset is included.

    >>> BoundingBox((0, 0, 0), (4, 5, 6)).shape_zyx
    (6, 5, 4)
    """

    start: Triple
    stop: Triple

    def __post_init__(self) -> None:
        """Take any integers (NumPy's too) and keep plain ones, so that boxes hash and serialise."""
        for name in ("start", "stop"):
            value = tuple(int(v) for v in getattr(self, name))
            if len(value) != 3:
                msg = f"a box needs three numbers (x, y, z), got {name}={value}"
                raise ValueError(msg)
            object.__setattr__(self, name, value)

    @property
    def size(self) -> Triple:
        """Edge lengths (x, y, z); zero where the box is empty."""
        x, y, z = (max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))
        return (x, y, z)

    @property
    def shape_zyx(self) -> Triple:
        """Shape of the array that ``Volume.read`` gives for this box."""
        x, y, z = self.size
        return (z, y, x)

    @property
    def n_voxels(self) -> int:
        """Number of voxels inside."""
        x, y, z = self.size
        return x * y * z

    def intersect(self, other: BoundingBox) -> BoundingBox:
        """The common box; empty (``n_voxels == 0``) where there is none."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(max(lo, min(a, b)) for lo, a, b in zip(start, self.stop, other.stop, strict=True))
        return BoundingBox(start, stop)  # type: ignore[arg-type]

    def grow(self, margin_vx: int | Triple) -> BoundingBox:
        """The box with a margin on every side (negative shrinks)."""
        margin = (margin_vx,) * 3 if isinstance(margin_vx, int) else margin_vx
        start = tuple(a - m for a, m in zip(self.start, margin, strict=True))
        stop = tuple(b + m for b, m in zip(self.stop, margin, strict=True))
        return BoundingBox(start, stop)  # type: ignore[arg-type]

    def contains(self, voxels: ArrayLike) -> NDArray[np.bool_]:
        """Which voxels (x, y, z) lie inside, by the half-open rule, bool [n]."""
        grid = np.asarray(voxels).reshape(-1, 3)
        inside = (grid >= np.asarray(self.start)) & (grid < np.asarray(self.stop))
        return np.all(inside, axis=1)

    def slices_zyx(self, origin: Triple = (0, 0, 0)) -> tuple[slice, slice, slice]:
        """Slices that cut this box from an array whose first voxel is ``origin``."""
        x, y, z = (slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, origin, strict=True))
        return (z, y, x)

    def blocks(self, size: Triple) -> Iterator[BoundingBox]:
        """Tile the box, x fastest, by blocks of at most ``size`` aligned to its own start.

        >>> [b.size for b in BoundingBox((0, 0, 0), (5, 4, 4)).blocks((4, 4, 4))]
        [(4, 4, 4), (1, 4, 4)]
        """
        steps = [range(a, b, s) for a, b, s in zip(self.start, self.stop, size, strict=True)]
        for z, y, x in itertools.product(steps[2], steps[1], steps[0]):
            stop = (x + size[0], y + size[1], z + size[2])
            yield BoundingBox((x, y, z), stop).intersect(self)
