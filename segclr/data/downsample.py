"""A volume reduced by whole factors while it is read: mean for EM, mode for labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from segclr.errors import VolumeError
from segclr.geometry import BoundingBox, Triple, VoxelSize

if TYPE_CHECKING:
    from segclr.data.volume import Source

__all__ = ["Downsampled", "Reduction", "reduce_mean", "reduce_mode"]

Reduction = Literal["mean", "mode"]


def _windows(array: NDArray[Any], factor: Triple) -> NDArray[Any]:
    """[z, y, x] to [z', y', x', voxels of a window]; factor is (x, y, z)."""
    fx, fy, fz = factor
    z, y, x = (s // f for s, f in zip(array.shape, (fz, fy, fx), strict=True))
    split = array.reshape(z, fz, y, fy, x, fx).transpose(0, 2, 4, 1, 3, 5)
    return split.reshape(z, y, x, fz * fy * fx)


def reduce_mean(array: NDArray[Any], factor: Triple) -> NDArray[Any]:
    """Mean of each window, integers rounded half up; [z, y, x] divisible by the factor (x, y, z).

    >>> reduce_mean(np.array([[[0, 1, 7, 8]]], dtype=np.uint8), (2, 1, 1)).tolist()
    [[[1, 8]]]
    """
    windows = _windows(array, factor)
    n = windows.shape[-1]
    if array.dtype.kind == "f":
        return windows.mean(axis=-1, dtype=np.float64).astype(array.dtype)
    total = windows.sum(axis=-1, dtype=np.uint32 if array.dtype == np.uint8 else np.int64)
    return ((total + n // 2) // n).astype(array.dtype)


def reduce_mode(array: NDArray[Any], factor: Triple) -> NDArray[Any]:
    """Most frequent label of each window, the smallest of equals; [z, y, x] divisible by the factor."""
    windows = np.sort(_windows(array, factor), axis=-1)
    best = windows[..., 0].copy()
    run = np.ones(best.shape, dtype=np.uint8 if windows.shape[-1] < 256 else np.uint32)
    best_run = run.copy()
    for i in range(1, windows.shape[-1]):
        run = np.where(windows[..., i] == windows[..., i - 1], run + 1, 1).astype(run.dtype)
        longer = run > best_run
        best[longer] = windows[..., i][longer]
        best_run[longer] = run[longer]
    return best


@dataclass(frozen=True)
class Downsampled:
    """A source at a coarser voxel size.

    A coarse voxel covers ``factor`` fine ones, counted from voxel 0; those that are not wholly within
    the finer volume do not exist.
    """

    finer: Source
    factor: Triple
    reduction: Reduction

    def __post_init__(self) -> None:
        """Refuse a reduction that is not known, and one that leaves no voxel."""
        if self.reduction not in ("mean", "mode"):
            msg = f"downsample must be 'mean' (EM) or 'mode' (labels), got {self.reduction!r}"
            raise VolumeError(msg)
        if not self.bounds.n_voxels:
            fine = self.finer.bounds
            factor = "x".join(str(f) for f in self.factor)
            msg = (
                f"{self.url} covers voxels {fine.start} to {fine.stop} (x, y, z): reduced by {factor}, not "
                "one whole coarse voxel is left; ask for a finer voxel size"
            )
            raise VolumeError(msg)

    @property
    def url(self) -> str:
        """The finer volume's."""
        return self.finer.url

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """The finer size times the factor."""
        x, y, z = (s * f for s, f in zip(self.finer.voxel_size_nm, self.factor, strict=True))
        return (x, y, z)

    @property
    def bounds(self) -> BoundingBox:
        """Coarse voxels that lie wholly within the finer volume."""
        fine = self.finer.bounds
        start = tuple(-(-a // f) for a, f in zip(fine.start, self.factor, strict=True))
        stop = tuple(b // f for b, f in zip(fine.stop, self.factor, strict=True))
        return BoundingBox(start, stop)  # type: ignore[arg-type]

    @property
    def chunk_size_vx(self) -> Triple:
        """The finer chunks in coarse voxels."""
        x, y, z = (max(1, c // f) for c, f in zip(self.finer.chunk_size_vx, self.factor, strict=True))
        return (x, y, z)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The finer type."""
        return self.finer.dtype

    def read_inside(self, box: BoundingBox) -> NDArray[Any]:
        """Read the finer voxels of a box and reduce them."""
        start, stop = (
            tuple(v * f for v, f in zip(corner, self.factor, strict=True)) for corner in (box.start, box.stop)
        )
        fine = self.finer.read_inside(BoundingBox(start, stop))  # type: ignore[arg-type]
        reduce = reduce_mean if self.reduction == "mean" else reduce_mode
        return reduce(fine, self.factor)
