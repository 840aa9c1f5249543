"""N5: the metadata; voxels are read through tensorstore.

An array, or a group of arrays ``s0``, ``s1``, ... each coarser than the last. The voxel size is read from
what writers commonly leave: ``pixelResolution`` with its unit, ``transform`` (COSEM), or ``resolution``
with ``units``; where there is none it is refused. N5 keeps dimensions x first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segclr import files
from segclr.data.access import Access
from segclr.data.bytestore import ByteStore, Deadline, absolute, forget_handles
from segclr.data.tensorstore_array import ArrayScale, forget_arrays
from segclr.data.units import nm_per_unit
from segclr.errors import MissingDataError, VolumeError
from segclr.geometry import Triple, VoxelSize

__all__ = ["scales"]

_OFF_GRID = 0.05
"""Share of a voxel by which a volume may lie beside the grid of whole voxels."""


def scales(path: str, access: Access) -> list[ArrayScale]:
    """The arrays of a group, or the one array, finest first.

    Raises:
        MissingDataError: there is no N5 here.
        VolumeError: the metadata do not tell the voxel size.
    """
    forget_handles()
    forget_arrays()
    folder = absolute(path)
    deadline = Deadline(access.timeout_s)
    group = _attributes(folder, access, deadline)
    if group is None:
        msg = f"no N5 at {folder}: there is no attributes.json"
        raise MissingDataError(msg)
    arrays = {folder: group} if "dimensions" in group else _levels(folder, access, deadline)
    if not arrays:
        msg = f"{folder} is an N5 group without arrays s0, s1, ...: give the URL of the array"
        raise VolumeError(msg)
    shared = {} if "dimensions" in group else group
    try:
        return [
            _scale(f"n5://{path}", url, {**shared, **attributes}, access)
            for url, attributes in arrays.items()
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, VolumeError):
            raise
        msg = f"the N5 attributes of {folder} cannot be used: {type(error).__name__} {error}"
        raise VolumeError(msg) from error


def _attributes(url: str, access: Access, deadline: Deadline) -> dict[str, Any] | None:
    return ByteStore(url, access.anonymous).read_json("attributes.json", deadline)


def _levels(folder: str, access: Access, deadline: Deadline) -> dict[str, dict[str, Any]]:
    """Attributes of the arrays s0, s1, ... of a group, by URL."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        url = files.join(folder, f"s{len(found)}")
        attributes = _attributes(url, access, deadline)
        if attributes is None or "dimensions" not in attributes:
            return found
        found[url] = attributes


def _scale(url: str, array_url: str, attributes: dict[str, Any], access: Access) -> ArrayScale:
    if len(attributes["dimensions"]) != 3:
        msg = f"{array_url} has {len(attributes['dimensions'])} dimensions; allowed are three, x, y and z"
        raise VolumeError(msg)
    size, first_nm = _placement(array_url, attributes)
    place = np.array(first_nm) / np.array(size)
    whole = [s for s in (0.0, 0.5) if np.abs(place - s - np.round(place - s)).max() <= _OFF_GRID]
    if not whole:
        msg = f"{array_url} begins at {place.tolist()} voxels (x, y, z), not on the grid of whole voxels"
        raise VolumeError(msg)
    x, y, z = (int(v) for v in np.round(place - whole[0]))
    offset: Triple = (x, y, z)
    return ArrayScale(
        url=url,
        array_url=array_url,
        driver="n5",
        axes=("x", "y", "z"),
        voxel_size_nm=size,
        offset_vx=offset,
        access=access,
    )


def _placement(array_url: str, attributes: dict[str, Any]) -> tuple[VoxelSize, VoxelSize]:
    """Voxel size and place of the first voxel, (x, y, z) in nm.

    Raises:
        VolumeError: neither is told in a way that is understood.
    """
    factors = np.array(attributes.get("downsamplingFactors", (1.0, 1.0, 1.0)), dtype=np.float64)
    if "transform" in attributes:
        transform = attributes["transform"]
        axes = list(transform["axes"])
        if sorted(axes) != ["x", "y", "z"]:
            msg = f"{array_url} has the axes {axes}; allowed are x, y and z"
            raise VolumeError(msg)
        nm = [nm_per_unit(u, what=array_url) for u in transform["units"]]
        rows = [axes.index(a) for a in "xyz"]
        size = [float(transform["scale"][i]) * nm[i] for i in rows]
        first = [float(transform.get("translate", (0, 0, 0))[i]) * nm[i] for i in rows]
    elif isinstance(attributes.get("pixelResolution"), dict):
        resolution = attributes["pixelResolution"]
        nm_one = nm_per_unit(resolution.get("unit"), what=array_url)
        size = [float(v) * f * nm_one for v, f in zip(resolution["dimensions"], factors, strict=True)]
        first = [0.0, 0.0, 0.0]
    elif "resolution" in attributes and "units" in attributes:
        nm = [nm_per_unit(u, what=array_url) for u in attributes["units"]]
        size = [float(v) * f * n for v, f, n in zip(attributes["resolution"], factors, nm, strict=True)]
        first = [0.0, 0.0, 0.0]
    else:
        msg = (
            f"{array_url} does not tell its voxel size; one of transform, pixelResolution with a unit, or "
            "resolution with units is needed in attributes.json"
        )
        raise VolumeError(msg)
    if not (np.isfinite([*size, *first]).all() and min(size) > 0):
        msg = f"{array_url} has voxels of {size} nm (x, y, z)"
        raise VolumeError(msg)
    return (size[0], size[1], size[2]), (first[0], first[1], first[2])
