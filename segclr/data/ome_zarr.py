"""OME-Zarr 0.4 and 0.5 volumes, read through tensorstore.

The voxel size of a level is its own scale times the multiscale's, by axis name and unit.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorstore
from numpy.typing import NDArray

from segclr import files
from segclr.errors import CorruptDataError, MissingDataError, VolumeError
from segclr.geometry import BoundingBox, Triple, VoxelSize

__all__ = ["OmeZarrSource", "open_scale", "scales"]

_NM = {"nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6, "angstrom": 0.1, "meter": 1e9}


@dataclass(frozen=True)
class _Level:
    """One level as its metadata describe it, in (x, y, z)."""

    path: str
    driver: str
    axes: tuple[str, ...]
    voxel_size_nm: VoxelSize
    offset_vx: Triple


def _metadata(path: str) -> tuple[dict[str, Any], str]:
    """The multiscale's metadata and tensorstore's driver for the format version."""
    if files.exists(files.join(path, "zarr.json")):
        attributes = files.read_json(files.join(path, "zarr.json")).get("attributes", {})
        found = attributes.get("ome", attributes).get("multiscales")
        driver = "zarr3"
    elif files.exists(files.join(path, ".zattrs")):
        found = files.read_json(files.join(path, ".zattrs")).get("multiscales")
        driver = "zarr"
    else:
        msg = f"no Zarr group at {path}: there is neither zarr.json nor .zattrs"
        raise MissingDataError(msg)
    if not found:
        msg = f"{path} has no OME-Zarr multiscales metadata, so its voxel size is not known"
        raise VolumeError(msg)
    return found[0], driver


def _transform(path: str, steps: list[dict[str, Any]], n_axes: int) -> tuple[list[float], list[float]]:
    """Scale and translation of a list of coordinate transformations; others are refused."""
    scale, translation = [1.0] * n_axes, [0.0] * n_axes
    for step in steps:
        kind = step.get("type")
        values = step.get(str(kind))
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or not isinstance(values, list) or len(values) != n_axes:
            msg = f"{path}: transformation {step} is not supported; allowed are inline scale and translation"
            raise VolumeError(msg)
        if kind == "scale":
            scale = [a * float(b) for a, b in zip(scale, values, strict=True)]
            translation = [a * float(b) for a, b in zip(translation, values, strict=True)]
        else:
            translation = [a + float(b) for a, b in zip(translation, values, strict=True)]
    return scale, translation


@functools.lru_cache(maxsize=16)
def _levels(path: str) -> tuple[_Level, ...]:
    multiscale, driver = _metadata(path)
    axes = tuple(a["name"] for a in multiscale["axes"])
    units = {a["name"]: _NM.get(a.get("unit", "")) for a in multiscale["axes"]}
    if not {"x", "y", "z"} <= set(axes) or any(units[a] is None for a in "xyz"):
        msg = f"{path} has axes {multiscale['axes']}; x, y and z with a unit of length are needed"
        raise VolumeError(msg)
    shared = multiscale.get("coordinateTransformations", [])
    levels = []
    for dataset in multiscale["datasets"]:
        steps = [*dataset.get("coordinateTransformations", []), *shared]
        scale, translation = _transform(path, steps, len(axes))
        size = [scale[axes.index(a)] * (units[a] or 0.0) for a in "xyz"]
        # A translation below one voxel places a coarser level's voxel centres: it moves no voxel index.
        offset = [math.floor(translation[axes.index(a)] / scale[axes.index(a)] + 1e-6) for a in "xyz"]
        levels.append(
            _Level(
                files.join(path, dataset["path"]),
                driver,
                axes,
                (size[0], size[1], size[2]),
                (offset[0], offset[1], offset[2]),
            )
        )
    return tuple(levels)


def scales(path: str) -> list[VoxelSize]:
    """Voxel sizes (x, y, z) in nm of the levels, in their order."""
    _levels.cache_clear()  # a volume opened anew is read anew: it may have been written again since
    _open.cache_clear()
    try:
        return [level.voxel_size_nm for level in _levels(path.removeprefix("file://"))]
    except (AttributeError, KeyError, TypeError, ZeroDivisionError) as error:
        msg = f"the OME-Zarr metadata of {path} cannot be used: {type(error).__name__} {error}"
        raise VolumeError(msg) from error


def open_scale(path: str, index: int) -> OmeZarrSource:
    """The level of that index."""
    return OmeZarrSource(path.removeprefix("file://"), index)


@functools.lru_cache(maxsize=16)
def _open(path: str, index: int) -> Any:
    """The level's array with axes z, y, x; any other axis must have length one."""
    level = _levels(path)[index]
    protocol = "file" if files.is_local(level.path) else level.path.split("://", 1)[0]
    if protocol == "file":
        store: dict[str, str] | str = {"driver": "file", "path": str(files.local_path(level.path).resolve())}
    else:
        store = level.path
    try:
        array = tensorstore.open({"driver": level.driver, "kvstore": store}, open=True, read=True).result()
    except ValueError as error:
        msg = f"{level.path} cannot be opened as {level.driver}: {error}"
        raise VolumeError(msg) from error
    for position in reversed(range(array.rank)):
        name = level.axes[position]
        if name in ("x", "y", "z"):
            continue
        if array.shape[position] != 1:
            msg = f"{path} has {array.shape[position]} entries on axis {name}; one is needed"
            raise VolumeError(msg)
        array = array[(slice(None),) * position + (0,)]
    spatial = [a for a in level.axes if a in ("x", "y", "z")]
    return array.transpose([spatial.index(a) for a in "zyx"])


@dataclass(frozen=True)
class OmeZarrSource:
    """One level of an OME-Zarr; the handle is opened where it is used, once a process."""

    path: str
    index: int

    @property
    def url(self) -> str:
        """As given to ``open_volume``."""
        return f"zarr://{self.path}"

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """Scale of the level."""
        return _levels(self.path)[self.index].voxel_size_nm

    @property
    def bounds(self) -> BoundingBox:
        """Translation, in whole voxels, and shape."""
        x, y, z = _levels(self.path)[self.index].offset_vx
        depth, height, width = _open(self.path, self.index).shape
        return BoundingBox((x, y, z), (x + width, y + height, z + depth))

    @property
    def chunk_size_vx(self) -> Triple:
        """Size of the chunks that are read as a whole."""
        shape = _open(self.path, self.index).chunk_layout.read_chunk.shape
        z, y, x = (int(v) for v in shape)
        return (x, y, z)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the array."""
        return np.dtype(_open(self.path, self.index).dtype.numpy_dtype)

    def read_inside(self, box: BoundingBox) -> NDArray[Any]:
        """Read a box.

        Raises:
            CorruptDataError: a chunk cannot be decoded.
        """
        offset = _levels(self.path)[self.index].offset_vx
        try:
            values = _open(self.path, self.index)[box.slices_zyx(offset)].read().result()
        except ValueError as error:
            msg = f"{self.url}: voxels {box.start} to {box.stop} cannot be read: {error}"
            raise CorruptDataError(msg) from error
        return np.ascontiguousarray(values)
