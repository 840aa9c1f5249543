"""A volume: a stored 3-D array that knows its voxel size and its place, read by boxes in absolute voxels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segclr.data.access import Access
from segclr.data.downsample import Downsampled, Reduction
from segclr.data.grey import GreySource
from segclr.data.missing import MissingChunks
from segclr.data.normalize import Normalization, NormalizedSource
from segclr.data.scales import scale_text, stored_scale
from segclr.errors import VolumeError
from segclr.geometry import BoundingBox, Triple, VoxelSize

__all__ = ["ArraySource", "Source", "Volume", "check_aligned", "open_volume"]


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
        missing: what was found missing and read as background.
    """

    source: Source
    missing: MissingChunks = field(default_factory=MissingChunks, compare=False, repr=False)

    @property
    def n_missing_chunks(self) -> int:
        """Chunks that this object found missing and read as background, each counted once.

        For the ``counts`` of a stage's outcome, taken in the process that reads, after it has read.
        """
        return len(self.missing.names)

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
            VolumeError: a chunk is missing, and that is an error by the volume's policy.
            CorruptDataError: a chunk cannot be decoded.
            AccessDeniedError: the store refuses a chunk.
            ReadTimeoutError: the read did not end in time.
            UnreachableError: the store does not answer, after retries.
        """
        inside = box.intersect(self.bounds)
        if inside == box and box.n_voxels:
            return self.source.read_inside(box)
        values = np.zeros(box.shape_zyx, dtype=self.dtype)
        if inside.n_voxels:
            values[inside.slices_zyx(box.start)] = self.source.read_inside(inside)
        return values

    def crop(self, box: BoundingBox) -> Volume:
        """The same volume where it lies within a box; what is beyond reads as 0."""
        return replace(self, source=_Cropped(self.source, box.intersect(self.bounds)))


@dataclass(frozen=True)
class _Cropped:
    """A source of which only a box exists."""

    whole: Source
    bounds: BoundingBox

    @property
    def url(self) -> str:
        return self.whole.url

    @property
    def voxel_size_nm(self) -> VoxelSize:
        return self.whole.voxel_size_nm

    @property
    def chunk_size_vx(self) -> Triple:
        return self.whole.chunk_size_vx

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.whole.dtype

    def read_inside(self, box: BoundingBox) -> NDArray[Any]:
        return self.whole.read_inside(box)


@dataclass(frozen=True)
class ArraySource:
    """An array in memory, [z, y, x]; its first voxel is ``offset_vx`` (x, y, z)."""

    array: NDArray[Any]
    voxel_size_nm: VoxelSize
    offset_vx: Triple = (0, 0, 0)
    url: str = "memory"

    def __post_init__(self) -> None:
        """Refuse an array that is no volume."""
        if self.array.ndim != 3:
            msg = (
                f"an array in memory must have three dimensions [z, y, x], got {self.array.ndim} with shape "
                f"{self.array.shape}"
            )
            raise VolumeError(msg)

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
    url: str | NDArray[Any],
    *,
    voxel_size_nm: VoxelSize,
    downsample: Reduction | None = None,
    grey_range: tuple[float, float] | None = None,
    normalize: Normalization | None = None,
    access: Access | None = None,
) -> Volume:
    """Open the scale of a volume whose voxel size is the one asked for.

    Args:
        url: ``precomputed://...``, ``graphene://...``, ``zarr://...`` (OME-Zarr) or ``n5://...``, or an array
            [z, y, x] in memory, which is taken to have the voxel size given.
        voxel_size_nm: (x, y, z) in nm; the stored scale nearest to it, within 5 % on each axis.
        downsample: ``"mean"`` (EM) or ``"mode"`` (labels): where no stored scale fits, reduce a finer
            one by whole factors on the fly.
        grey_range: stored values (low, high) that become 0 and 255 of uint8 EM, before it is reduced.
        normalize: ``"clahe"`` or ``"zscore"``: even out the local contrast of uint8 EM, last of all.
        access: choices that some formats need; the defaults of :class:`Access` where absent.

    Raises:
        ScaleError: no scale fits; the message lists those there are.
        MissingDataError: there is no volume at this URL.
        VolumeError: the scheme is unknown, or the metadata cannot be used.
        AccessDeniedError: the store refuses.
        ReadTimeoutError: the store did not answer in time.
        UnreachableError: the store does not answer, after retries.
        ConfigError: the chunks' codec is not installed.
    """
    voxel_size_nm = _checked_size(voxel_size_nm)
    access = access or Access()
    missing = MissingChunks(access.missing)
    source: Source
    factor: Triple | None = None
    if isinstance(url, np.ndarray):
        source = ArraySource(url, voxel_size_nm)
    else:
        stored, factor = stored_scale(
            str(url), voxel_size_nm, access=access, downsample=downsample is not None
        )
        source = stored.open(missing)
    if grey_range is not None:
        source = GreySource(source, grey_range)
    if factor is not None and downsample is not None:
        source = Downsampled(source, factor=factor, reduction=downsample)
    if normalize is not None:
        source = NormalizedSource(source, normalize)
    return Volume(source, missing)


def _checked_size(voxel_size_nm: Any) -> VoxelSize:
    """A voxel size as three plain numbers, whatever the caller gave.

    Raises:
        VolumeError: it is not three numbers above 0.
    """
    try:
        size = np.asarray(voxel_size_nm)
    except ValueError:  # lists of unequal lengths
        size = np.empty(0)
    if size.shape != (3,) or size.dtype.kind not in "iuf" or not (np.isfinite(size) & (size > 0)).all():
        msg = f"voxel_size_nm must be three numbers above 0 (x, y, z), got {voxel_size_nm!r}"
        raise VolumeError(msg)
    x, y, z = (float(v) for v in size)
    return (x, y, z)


def check_aligned(em: Volume, segmentation: Volume) -> None:
    """Refuse EM and segmentation that do not lie on one grid.

    Raises:
        VolumeError: voxel sizes or boxes differ, or data types cannot be used.
    """
    if not np.allclose(em.voxel_size_nm, segmentation.voxel_size_nm, rtol=1e-3):
        msg = (
            f"EM has voxels of {scale_text(em.voxel_size_nm)} nm, segmentation of "
            f"{scale_text(segmentation.voxel_size_nm)} nm; both must be the same"
        )
        raise VolumeError(msg)
    if em.bounds != segmentation.bounds:
        common = em.bounds.intersect(segmentation.bounds)
        covers = (
            f"EM covers voxels {em.bounds.start} to {em.bounds.stop}, segmentation "
            f"{segmentation.bounds.start} to {segmentation.bounds.stop} (x, y, z)"
        )
        if not common.n_voxels:
            msg = f"{covers}: they do not overlap"
            raise VolumeError(msg)
        share = common.n_voxels / max(em.bounds.n_voxels, segmentation.bounds.n_voxels)
        msg = (
            f"{covers}; both must be the same. If both are placed rightly, volume.common_bounds: true works "
            f"on what both cover, {common.start} to {common.stop}, {share:.1%} of the larger"
        )
        raise VolumeError(msg)
    if em.dtype != np.uint8:
        msg = (
            f"EM must be uint8, got {em.dtype} in {em.url}: set volume.grey_range to the values that shall "
            "become black and white"
        )
        raise VolumeError(msg)
    if segmentation.dtype.kind != "u":
        msg = f"segmentation must be of unsigned integers, got {segmentation.dtype} in {segmentation.url}"
        raise VolumeError(msg)
