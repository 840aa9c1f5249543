"""A Zarr or N5 array as a source of voxels, read through tensorstore."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorstore
from numpy.typing import NDArray

from segclr.data.access import Access
from segclr.data.bytestore import Deadline, context, kvstore_spec, translated
from segclr.errors import CorruptDataError, VolumeError
from segclr.geometry import BoundingBox, Triple, VoxelSize

__all__ = ["ArrayScale", "TensorStoreSource", "forget_arrays"]


@dataclass(frozen=True)
class ArrayScale:
    """One stored array and what its metadata say of it.

    Attributes:
        url: of the volume, as given to ``open_volume``.
        array_url: of the array.
        driver: tensorstore's, ``"zarr"`` (2), ``"zarr3"`` or ``"n5"``.
        axes: name of each dimension: x, y, z, channel or time, or any other of length one.
        voxel_size_nm: (x, y, z).
        offset_vx: first voxel (x, y, z).
        access: how it is reached.
    """

    url: str
    array_url: str
    driver: str
    axes: tuple[str, ...]
    voxel_size_nm: VoxelSize
    offset_vx: Triple
    access: Access

    def open(self, missing: object) -> TensorStoreSource:
        """The array with axes z, y, x, at its place; nothing is missing where absent chunks are fill values.

        Raises:
            VolumeError: there is no such array, it has other dimensions than the metadata say, or a channel
                or time must be chosen.
        """
        spec = {
            "driver": self.driver,
            "kvstore": kvstore_spec(self.array_url, anonymous=self.access.anonymous),
            "open": True,
        }
        try:
            array = _open(json.dumps(spec, sort_keys=True), self.access.timeout_s, context())
        except CorruptDataError as error:
            raise VolumeError(str(error)) from error
        if array.rank != len(self.axes):
            msg = f"{self.array_url} has {array.rank} dimensions, its metadata name {', '.join(self.axes)}"
            raise VolumeError(msg)
        for position in reversed(range(array.rank)):
            if self.axes[position] not in ("x", "y", "z"):
                index = self._index(self.axes[position], array.shape[position])
                array = array[(slice(None),) * position + (index,)]
        spatial = [a for a in self.axes if a in ("x", "y", "z")]
        array = array.transpose([spatial.index(a) for a in "zyx"]).translate_to[self.offset_vx[::-1]]
        z, y, x = (int(v) for v in array.chunk_layout.read_chunk.shape)
        (z0, y0, x0), (z1, y1, x1) = array.domain.inclusive_min, array.domain.exclusive_max
        return TensorStoreSource(
            url=self.url,
            spec=json.dumps(array.spec(minimal_spec=True).to_json(include_defaults=False), sort_keys=True),
            voxel_size_nm=self.voxel_size_nm,
            bounds=BoundingBox((x0, y0, z0), (x1, y1, z1)),
            chunk_size_vx=(x, y, z),
            dtype=np.dtype(array.dtype.numpy_dtype).newbyteorder("="),
            timeout_s=self.access.timeout_s,
        )

    def _index(self, axis: str, length: int) -> int:
        if axis in ("channel", "time"):
            return self.access.chosen(axis, length, url=self.url)  # type: ignore[arg-type]
        if length != 1:
            msg = f"{self.url} has {length} entries on its axis {axis}; allowed is one"
            raise VolumeError(msg)
        return 0


@functools.lru_cache(maxsize=16)
def _open(spec: str, timeout_s: float, resources: Any) -> Any:
    """A handle, opened once a context; tensorstore does not survive a fork."""
    described = json.loads(spec)
    try:
        return Deadline(timeout_s).result(tensorstore.open(described, context=resources, read=True))
    except (ValueError, TimeoutError) as error:
        kvstore = described["kvstore"]
        what = f"the {described['driver']} array at {kvstore.get('base_url', '')}{kvstore['path']}"
        raise translated(error, what=what, timeout_s=timeout_s) from error


def forget_arrays() -> None:
    """Open anew what is read next: it may have been written again since."""
    _open.cache_clear()


@dataclass(frozen=True)
class TensorStoreSource:
    """An array with axes z, y, x at its place; the handle is opened where it is used, once a process."""

    url: str
    spec: str
    voxel_size_nm: VoxelSize
    bounds: BoundingBox
    chunk_size_vx: Triple
    dtype: np.dtype[Any]
    timeout_s: float

    def read_inside(self, box: BoundingBox) -> NDArray[Any]:
        """Read a box; a chunk that is not stored is the array's fill value, as the formats say.

        Raises:
            CorruptDataError: a chunk cannot be decoded.
            AccessDeniedError: the store refuses a chunk.
            ReadTimeoutError: the read did not end in time.
            UnreachableError: the store does not answer, after retries.
        """
        array = _open(self.spec, self.timeout_s, context())[box.slices_zyx()]
        try:
            values = Deadline(self.timeout_s).result(array.read())
        except (ValueError, TimeoutError) as error:
            what = f"{self.url}: voxels {box.start} to {box.stop} (x, y, z)"
            raise translated(error, what=what, timeout_s=self.timeout_s) from error
        return np.ascontiguousarray(values, dtype=self.dtype)
