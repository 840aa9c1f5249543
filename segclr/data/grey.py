"""Stored grey values of any kind as uint8, by a stated range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segclr.errors import VolumeError
from segclr.geometry import BoundingBox, Triple, VoxelSize

if TYPE_CHECKING:
    from segclr.data.volume import Source

__all__ = ["GreySource", "to_uint8"]


def to_uint8(values: NDArray[Any], grey_range: tuple[float, float]) -> NDArray[np.uint8]:
    """``floor(255 * (v - low) / (high - low) + 1/2)`` in float64, cut to 0 ... 255; any shape.

    >>> to_uint8(np.array([0, 100, 200, 300], dtype=np.uint16), (100, 300)).tolist()
    [0, 0, 128, 255]

    Raises:
        VolumeError: a value is NaN or infinite.
    """
    low, high = grey_range
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        msg = f"{n_bad} of {values.size} grey values are NaN or infinite; allowed are finite numbers"
        raise VolumeError(msg)
    if values.dtype.itemsize <= 2 and values.dtype.kind in "ui":  # few values: look them up
        limits = np.iinfo(values.dtype)
        every = np.arange(limits.min, limits.max + 1)
        table = _scaled(every, low, high)
        return table[values.astype(np.int64) - limits.min] if limits.min else table[values]
    return _scaled(values, low, high)


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    scaled = np.floor((values.astype(np.float64) - low) * 255.0 / (high - low) + 0.5)
    return np.clip(scaled, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class GreySource:
    """A source turned to uint8 while it is read."""

    stored: Source
    grey_range: tuple[float, float]

    def __post_init__(self) -> None:
        """Refuse a range that is none."""
        low, high = self.grey_range
        if not (np.isfinite([low, high]).all() and low < high):
            msg = f"grey_range must be two numbers, the lower first, got {self.grey_range}"
            raise VolumeError(msg)

    @property
    def url(self) -> str:
        """The stored volume's."""
        return self.stored.url

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """The stored volume's."""
        return self.stored.voxel_size_nm

    @property
    def bounds(self) -> BoundingBox:
        """The stored volume's."""
        return self.stored.bounds

    @property
    def chunk_size_vx(self) -> Triple:
        """The stored volume's."""
        return self.stored.chunk_size_vx

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the result."""
        return np.dtype(np.uint8)

    def read_inside(self, box: BoundingBox) -> NDArray[np.uint8]:
        """Read and scale a box.

        Raises:
            VolumeError: a value in the box is NaN or infinite.
        """
        try:
            return to_uint8(self.stored.read_inside(box), self.grey_range)
        except VolumeError as error:
            if type(error) is not VolumeError:
                raise
            msg = f"{self.url}, voxels {box.start} to {box.stop} (x, y, z): {error}"
            raise VolumeError(msg) from error
