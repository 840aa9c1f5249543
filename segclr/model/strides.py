"""Strides and kernels where voxels are coarser in z: the first strides leave z as it is.

The idea is nnU-Net's (Isensee et al., Nature Methods 2021): an axis is halved, and kernels reach along it,
only once the other axes have become as coarse.
"""

from __future__ import annotations

from dataclasses import dataclass

from segclr.geometry import Triple

__all__ = ["Strides"]


@dataclass(frozen=True)
class Strides:
    """What a layer takes on each axis, by the number of strides that stand before it.

    >>> coarse = Strides(flat=1, flat_kernels=True)
    >>> coarse.stride(0), coarse.stride(1), coarse.kernel(3, 0), coarse.kernel(3, 1)
    ((1, 2, 2), (2, 2, 2), (1, 3, 3), (3, 3, 3))

    Attributes:
        flat: strides, the network's first, that halve y and x and leave z.
        flat_kernels: whether kernels before the last of them are 1 voxel deep.
    """

    flat: int = 0
    flat_kernels: bool = False

    def stride(self, number: int) -> Triple:
        """Voxels (z, y, x) that stride ``number`` of the network, counted from 0, steps by."""
        return (1 if number < self.flat else 2, 2, 2)

    def kernel(self, edge: int, number: int) -> Triple:
        """Voxels (z, y, x) of a kernel of ``edge`` in a layer behind ``number`` strides."""
        return (1 if self.flat_kernels and number < self.flat else edge, edge, edge)
