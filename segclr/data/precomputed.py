"""Neuroglancer precomputed volumes, read through cloud-volume."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import brotli  # type: ignore[import-untyped]
import deflate
import numpy as np
from cloudfiles.exceptions import DecompressionError, IntegrityError  # type: ignore[import-untyped]
from cloudvolume import CloudVolume
from cloudvolume.exceptions import DecodingError, EmptyVolumeException, InfoUnavailableError
from numpy.typing import NDArray

from segclr.errors import CorruptDataError, MissingDataError, VolumeError
from segclr.geometry import BoundingBox, Triple, VoxelSize

__all__ = ["PrecomputedSource", "open_scale", "scales"]

_UNDECODABLE = (
    DecodingError,
    DecompressionError,
    IntegrityError,
    deflate.DeflateError,
    brotli.error,
    EOFError,
    IndexError,
    ValueError,
)
"""What cloud-volume and its decoders raise for a torn or altered chunk; they share no base."""


@functools.lru_cache(maxsize=16)
def _open(path: str, mip: int) -> Any:
    """One handle a process and scale; ``fill_missing`` stays off: it turns HTTP 403 into black voxels."""
    cloudpath = path if "://" in path else f"file://{path}"
    try:
        handle = CloudVolume(
            cloudpath, mip=mip, progress=False, fill_missing=False, bounded=True, use_https=True
        )
    except InfoUnavailableError as error:
        msg = f"no precomputed volume at {cloudpath}: there is no info file"
        raise MissingDataError(msg) from error
    except (*_UNDECODABLE, KeyError, TypeError, AttributeError) as error:
        msg = f"the info file of {cloudpath} cannot be used: {error}"
        raise VolumeError(msg) from error
    if handle.num_channels != 1:
        msg = f"{cloudpath} has {handle.num_channels} channels; one is needed"
        raise VolumeError(msg)
    return handle


def scales(path: str) -> list[VoxelSize]:
    """Voxel sizes (x, y, z) in nm of the stored scales, finest first."""
    _open.cache_clear()  # a volume opened anew is read anew: it may have been written again since
    return [tuple(float(v) for v in s["resolution"]) for s in _open(path, 0).info["scales"]]  # type: ignore[misc]


def open_scale(path: str, index: int) -> PrecomputedSource:
    """The scale of that index."""
    return PrecomputedSource(path, index)


@dataclass(frozen=True)
class PrecomputedSource:
    """One scale of a precomputed volume; the handle is opened where it is used, once a process."""

    path: str
    mip: int

    @property
    def url(self) -> str:
        """As given to ``open_volume``."""
        return f"precomputed://{self.path}"

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """Resolution of the scale."""
        x, y, z = (float(v) for v in _open(self.path, self.mip).resolution)
        return (x, y, z)

    @property
    def bounds(self) -> BoundingBox:
        """Voxel offset and size of the scale."""
        box = _open(self.path, self.mip).bounds
        return BoundingBox(tuple(box.minpt), tuple(box.maxpt))

    @property
    def chunk_size_vx(self) -> Triple:
        """First chunk size of the scale."""
        x, y, z = (int(v) for v in _open(self.path, self.mip).chunk_size)
        return (x, y, z)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type in the info file."""
        return np.dtype(_open(self.path, self.mip).dtype)

    def read_inside(self, box: BoundingBox) -> NDArray[Any]:
        """Download and decode the chunks of a box.

        Raises:
            VolumeError: a chunk does not exist.
            CorruptDataError: a chunk cannot be decoded.
        """
        volume = _open(self.path, self.mip)
        (x0, y0, z0), (x1, y1, z1) = box.start, box.stop
        try:
            values = volume[x0:x1, y0:y1, z0:z1]
        except EmptyVolumeException as error:
            msg = f"{self.url}: a chunk is missing within voxels {box.start} to {box.stop}: {error}"
            raise VolumeError(msg) from error
        except _UNDECODABLE as error:
            msg = f"{self.url}: a chunk within voxels {box.start} to {box.stop} cannot be decoded: {error}"
            raise CorruptDataError(msg) from error
        return np.ascontiguousarray(np.asarray(values)[..., 0].T)
