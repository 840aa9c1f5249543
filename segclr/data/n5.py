"""N5: the metadata; voxels are read through tensorstore.

An array, or a group of arrays ``s0``, ``s1``, ... each coarser than the last. The voxel size is read from
what writers commonly leave: ``pixelResolution`` with its unit, ``transform`` (COSEM), or ``resolution``
with ``units``; where there is none it is refused. N5 keeps dimensions x first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from segclr import files
from segclr.data.access import Access
from segclr.data.bytestore import ByteStore, Deadline, absolute, forget_handles
from segclr.data.level_grid import LevelBesideGrid, first_voxels
from segclr.data.tensorstore_array import ArrayScale, forget_arrays
from segclr.data.units import nm_per_unit
from segclr.errors import MissingDataError, VolumeError
from segclr.geometry import VoxelSize

__all__ = ["scales"]


def scales(path: str, access: Access) -> list[ArrayScale | LevelBesideGrid]:
    """The arrays of a group, or the one array, finest first.

    One beside the grid of whole voxels is refused when it is opened.

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
        placements = [_placement(url, {**shared, **attributes}) for url, attributes in arrays.items()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, VolumeError):
            raise
        msg = f"the N5 attributes of {folder} cannot be used: {type(error).__name__} {error}"
        raise VolumeError(msg) from error
    sizes, firsts_nm = zip(*placements, strict=True)
    found: list[ArrayScale | LevelBesideGrid] = []
    for array_url, size, place in zip(arrays, sizes, first_voxels(firsts_nm, sizes), strict=True):
        if isinstance(place, LevelBesideGrid):
            found.append(replace(place, name=array_url))
            continue
        found.append(
            ArrayScale(
                url=f"n5://{path}",
                array_url=array_url,
                driver="n5",
                axes=("x", "y", "z"),
                voxel_size_nm=size,
                offset_vx=place,
                access=access,
            )
        )
    return found


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


def _placement(array_url: str, attributes: dict[str, Any]) -> tuple[VoxelSize, VoxelSize]:
    """Voxel size and place of the first voxel, (x, y, z) in nm.

    Raises:
        VolumeError: neither is told in a way that is understood.
    """
    if len(attributes["dimensions"]) != 3:
        msg = f"{array_url} has {len(attributes['dimensions'])} dimensions; allowed are three, x, y and z"
        raise VolumeError(msg)
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
