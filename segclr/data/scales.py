"""Which scales a stored volume has, and which of them is read for a voxel size."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from segclr.data.access import Access
from segclr.data.missing import MissingChunks
from segclr.errors import ScaleError, VolumeError
from segclr.geometry import Triple, VoxelSize

if TYPE_CHECKING:
    from segclr.data.volume import Source

__all__ = ["StoredScale", "scale_text", "stored_scale", "stored_voxel_sizes"]

_FORMATS = {
    "precomputed": "segclr.data.precomputed",
    "zarr": "segclr.data.ome_zarr",
    "n5": "segclr.data.n5",
    "graphene": "segclr.data.graphene",
}
"""Module of each scheme, imported when first needed: the libraries behind them are heavy. Each offers
``scales(path, access) -> Sequence[StoredScale]``."""

SCALE_TOLERANCE = 0.05
"""A stored scale fits when each axis is within this share of the voxel size asked for (DESIGN)."""


class StoredScale(Protocol):
    """One of the scales of a stored volume, as its metadata describe it."""

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """Size of a voxel (x, y, z) in nm."""
        ...

    def open(self, missing: MissingChunks) -> Source:
        """The scale as a source of voxels, which notes there what it lacks."""
        ...


def stored_voxel_sizes(url: str, *, access: Access | None = None) -> tuple[VoxelSize, ...]:
    """Voxel size (x, y, z) in nm of each stored scale, finest first: what there is to choose from.

    Raises:
        MissingDataError: there is no volume at this URL.
        VolumeError: the scheme is unknown, or the metadata cannot be used.
        AccessDeniedError: the store refuses.
        ReadTimeoutError: the store did not answer in time.
        UnreachableError: the store does not answer, after retries.
    """
    return tuple(scale.voxel_size_nm for scale in _stored_scales(url, access or Access()))


def _stored_scales(url: str, access: Access) -> Sequence[StoredScale]:
    """All scales of a volume, finest first."""
    scheme, separator, path = url.partition("://")
    if not separator or scheme not in _FORMATS:
        msg = f"cannot open {url!r}: the URL must begin with {', '.join(f'{name}://' for name in _FORMATS)}"
        raise VolumeError(msg)
    if not path:
        msg = f"cannot open {url!r}: there is no path behind {scheme}://"
        raise VolumeError(msg)
    scales: Sequence[StoredScale] = importlib.import_module(_FORMATS[scheme]).scales(path, access)
    return scales


def stored_scale(
    url: str, voxel_size_nm: VoxelSize, *, access: Access, downsample: bool
) -> tuple[StoredScale, Triple | None]:
    """The scale to read, and the factor (x, y, z) to reduce it by where none fits."""
    scales = _stored_scales(url, access)
    sizes = [scale.voxel_size_nm for scale in scales]
    index = _fitting(sizes, voxel_size_nm)
    if index is not None:
        return scales[index], None
    finer = _reducible(sizes, voxel_size_nm)
    if finer is not None and downsample:
        return scales[finer[0]], finer[1]
    msg = (
        f"{url} has no scale within {SCALE_TOLERANCE:.0%} of {scale_text(voxel_size_nm)} nm (x, y, z): "
        f"it has {', '.join(scale_text(size) for size in sizes)} nm; {_advice(sizes, voxel_size_nm, finer)}"
    )
    raise ScaleError(msg)


def _advice(sizes: Sequence[VoxelSize], wanted: VoxelSize, finer: tuple[int, Triple] | None) -> str:
    """What can be done where no scale fits."""
    if finer is not None:
        return f"volume.downsample: true reduces {scale_text(sizes[finer[0]])} nm by {scale_text(finer[1])}"
    if any(all(s <= w * (1 + SCALE_TOLERANCE) for s, w in zip(size, wanted, strict=True)) for size in sizes):
        return (
            "no finer one leads there by whole factors, so it cannot be reduced either; choose one of these"
        )
    return "none of them is finer, so it cannot be reduced either; choose one of these"


def scale_text(values: Sequence[float]) -> str:
    """Numbers of three axes, such as 32x32x40."""
    return "x".join(f"{v:g}" for v in values)


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
