"""A volume: a stored 3-D array that knows its voxel size and its place, read by boxes in absolute voxels."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segclr.data.downsample import Downsampled, Reduction
from segclr.errors import ScaleError, VolumeError
from segclr.geometry import BoundingBox, Triple, VoxelSize

__all__ = ["ArraySource", "Source", "Volume", "check_aligned", "open_volume"]

_FORMATS = {"precomputed": "segclr.data.precomputed", "zarr": "segclr.data.ome_zarr"}
"""Module of each scheme, imported when first needed: the libraries behind them are heavy. Each offers
``scales(path) -> list[VoxelSize]`` and ``open_scale(path, index) -> Source``."""

SCALE_TOLERANCE = 0.05
"""A stored scale fits when each axis is within this share of the voxel size asked for (DESIGN)."""


class Source(Protocol):
    """What a stored format must offer; ``read_inside`` is only asked for boxes within ``bounds``."""

    @property
    def url(self) -> str:
        """Where the volume was opened."""
        ...

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """Size of a voxel (x, y, z) in nm."""
        ...

    @property
    def bounds(self) -> BoundingBox:
        """The box of voxels that exist."""
        ...

    @property
    def chunk_size_vx(self) -> Triple:
        """Size (x, y, z) of the chunks that are read as a whole."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    def read_inside(self, box: BoundingBox) -> NDArray[Any]:
        """The voxels of a box as [z, y, x]."""
        ...


@dataclass(frozen=True)
class Volume:
    """A volume at one scale.

    Attributes:
        source: where the voxels come from.
    """

    source: Source

    @property
    def url(self) -> str:
        """Where the volume was opened."""
        return self.source.url

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """Size of a voxel (x, y, z) in nm."""
        return self.source.voxel_size_nm

    @property
    def bounds(self) -> BoundingBox:
        """The box of voxels that exist, voxel offset included."""
        return self.source.bounds

    @property
    def chunk_size_vx(self) -> Triple:
        """Size (x, y, z) of the chunks that are read as a whole."""
        return self.source.chunk_size_vx

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.source.dtype

    def read(self, box: BoundingBox) -> NDArray[Any]:
        """The voxels of a box as [z, y, x], zero beyond the volume's bounds.

        Raises:
            VolumeError: a chunk is missing or cannot be decoded.
        """
        inside = box.intersect(self.bounds)
        if inside == box and box.n_voxels:
            return self.source.read_inside(box)
        values = np.zeros(box.shape_zyx, dtype=self.dtype)
        if inside.n_voxels:
            values[inside.slices_zyx(box.start)] = self.source.read_inside(inside)
        return values


@dataclass(frozen=True)
class ArraySource:
    """An array in memory, [z, y, x]; its first voxel is ``offset_vx`` (x, y, z)."""

    array: NDArray[Any]
    voxel_size_nm: VoxelSize
    offset_vx: Triple = (0, 0, 0)
    url: str = "memory"

    @property
    def bounds(self) -> BoundingBox:
        """Offset and shape."""
        (x, y, z), (depth, height, width) = self.offset_vx, self.array.shape
        return BoundingBox(self.offset_vx, (x + width, y + height, z + depth))

    @property
    def chunk_size_vx(self) -> Triple:
        """Memory has no chunks; 64 makes blocks of a fair size."""
        return (64, 64, 64)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the array."""
        return self.array.dtype

    def read_inside(self, box: BoundingBox) -> NDArray[Any]:
        """A view of the array."""
        return self.array[box.slices_zyx(self.offset_vx)]


def open_volume(
    url: str | NDArray[Any], *, voxel_size_nm: VoxelSize, downsample: Reduction | None = None
) -> Volume:
    """Open the scale of a volume whose voxel size is the one asked for.

    Args:
        url: ``precomputed://...`` or ``zarr://...`` (OME-Zarr), or an array [z, y, x] in memory, which
            is taken to have the voxel size given.
        voxel_size_nm: (x, y, z) in nm; the stored scale nearest to it, within 5 % on each axis.
        downsample: ``"mean"`` (EM) or ``"mode"`` (labels): where no stored scale fits, reduce a finer
            one by whole factors on the fly.

    Raises:
        ScaleError: no scale fits; the message lists those there are.
        MissingDataError: there is no volume at this URL.
        VolumeError: the scheme is unknown, or the metadata cannot be used.
    """
    if not all(np.isfinite(size) and size > 0 for size in voxel_size_nm):
        msg = f"voxel_size_nm must be three numbers above 0, got {voxel_size_nm}"
        raise VolumeError(msg)
    if isinstance(url, np.ndarray):
        return Volume(ArraySource(url, voxel_size_nm))
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _FORMATS:
        allowed = " or ".join(f"{name}://" for name in _FORMATS)
        msg = f"cannot open {url!r}: the URL must begin with {allowed}"
        raise VolumeError(msg)
    stored_format = importlib.import_module(_FORMATS[scheme])
    stored: list[VoxelSize] = stored_format.scales(rest)
    index = _fitting(stored, voxel_size_nm)
    if index is not None:
        return Volume(stored_format.open_scale(rest, index))
    finer = _reducible(stored, voxel_size_nm) if downsample else None
    if finer is None or downsample is None:
        listed = ", ".join("x".join(f"{s:g}" for s in scale) for scale in stored)
        hint = "" if downsample else "; a finer one can be reduced with downsample"
        msg = (
            f"{url} has no scale within {SCALE_TOLERANCE:.0%} of {_text(voxel_size_nm)} nm (x, y, z): "
            f"it has {listed} nm{hint}"
        )
        raise ScaleError(msg)
    index, factor = finer
    return Volume(Downsampled(stored_format.open_scale(rest, index), factor=factor, reduction=downsample))


def check_aligned(em: Volume, segmentation: Volume) -> None:
    """Refuse EM and segmentation that do not lie on one grid.

    Raises:
        VolumeError: voxel sizes differ, boxes do not overlap, or data types cannot be used.
    """
    if not np.allclose(em.voxel_size_nm, segmentation.voxel_size_nm, rtol=1e-3):
        msg = (
            f"EM has voxels of {_text(em.voxel_size_nm)} nm, segmentation of "
            f"{_text(segmentation.voxel_size_nm)} nm; both must be the same"
        )
        raise VolumeError(msg)
    if em.bounds != segmentation.bounds:
        msg = (
            f"EM covers voxels {em.bounds.start} to {em.bounds.stop}, segmentation "
            f"{segmentation.bounds.start} to {segmentation.bounds.stop} (x, y, z); both must be the same"
        )
        raise VolumeError(msg)
    if em.dtype != np.uint8:
        msg = f"EM must be uint8, got {em.dtype} in {em.url}"
        raise VolumeError(msg)
    if segmentation.dtype.kind != "u":
        msg = f"segmentation must be of unsigned integers, got {segmentation.dtype} in {segmentation.url}"
        raise VolumeError(msg)


def _text(voxel_size_nm: VoxelSize) -> str:
    return "x".join(f"{s:g}" for s in voxel_size_nm)


def _fitting(stored: Sequence[VoxelSize], wanted: VoxelSize) -> int | None:
    """Index of the nearest scale within the tolerance on every axis."""
    deviation = [max(abs(s / w - 1) for s, w in zip(scale, wanted, strict=True)) for scale in stored]
    best = int(np.argmin(deviation))
    return best if deviation[best] <= SCALE_TOLERANCE else None


def _reducible(stored: Sequence[VoxelSize], wanted: VoxelSize) -> tuple[int, Triple] | None:
    """The coarsest scale from which whole factors lead to the size asked for."""
    found: list[tuple[int, int, Triple]] = []
    for index, scale in enumerate(stored):
        factor = tuple(max(1, round(w / s)) for s, w in zip(scale, wanted, strict=True))
        reached = tuple(s * f for s, f in zip(scale, factor, strict=True))
        if _fitting([reached], wanted) == 0:  # type: ignore[list-item]
            found.append((int(np.prod(factor)), index, factor))  # type: ignore[arg-type]
    return min(found)[1:] if found else None
