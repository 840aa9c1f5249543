"""The grid of voxel centres of one block, in the block's own nanometres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.config import TissueConfig

__all__ = ["Frame", "Window"]

Window = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Frame:
    """Centres of the voxels along each axis, float32, in nanometres."""

    x_nm: NDArray[np.float32]
    y_nm: NDArray[np.float32]
    z_nm: NDArray[np.float32]

    @classmethod
    def of(cls, config: TissueConfig) -> Frame:
        """The frame of any block of a configuration."""
        axes = [
            ((np.arange(n) + 0.5) * size).astype(np.float32)
            for n, size in zip(config.block_size_vx, config.voxel_size_nm, strict=True)
        ]
        return cls(*axes)

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the block's arrays."""
        return (len(self.z_nm), len(self.y_nm), len(self.x_nm))

    @property
    def voxel_size_nm(self) -> NDArray[np.float64]:
        """Edge lengths (x, y, z) of a voxel."""
        return np.array([2.0 * float(a[0]) for a in (self.x_nm, self.y_nm, self.z_nm)])

    def window(self, low_nm: NDArray[np.float64], high_nm: NDArray[np.float64]) -> Window:
        """Slices [z, y, x] of the voxels whose centres may lie between two corners (x, y, z)."""
        size = self.voxel_size_nm
        shape = self.shape_zyx[::-1]
        slices = []
        for low, high, edge, n in zip(low_nm, high_nm, size, shape, strict=True):
            start = min(max(int(low / edge), 0), n)
            slices.append(slice(start, max(start, min(int(high / edge) + 1, n))))
        return (slices[2], slices[1], slices[0])

    def offsets(
        self, window: Window, origin_nm: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Distances dx [1, 1, x], dy [1, y, 1], dz [z, 1, 1] of a window's voxels from a point."""
        x, y, z = (np.float32(v) for v in origin_nm)
        dz = (self.z_nm[window[0]] - z)[:, None, None]
        dy = (self.y_nm[window[1]] - y)[None, :, None]
        dx = (self.x_nm[window[2]] - x)[None, None, :]
        return dx, dy, dz

    def voxels(
        self, points_nm: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Index arrays (z, y, x) of the voxels that hold some points; points outside go to the border."""
        grid = np.floor(points_nm / self.voxel_size_nm).astype(np.int64)
        grid = np.clip(grid, 0, np.array(self.shape_zyx[::-1]) - 1)
        return grid[:, 2], grid[:, 1], grid[:, 0]
