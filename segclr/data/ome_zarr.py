"""OME-Zarr 0.4 and 0.5: the metadata; voxels are read through tensorstore.

A level's voxel size is its own scale times the multiscale's, by axis name and unit
(ngff.openmicroscopy.org/0.5). What is not understood is refused, nothing is guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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

_VERSIONS = {"zarr": ("0.4", None), "zarr3": ("0.5", "0.4", None)}
"""Versions that are read, by tensorstore's driver; None where the file says nothing."""


@dataclass(frozen=True)
class _Transform:
    """Scale, then translation, by dimension."""

    scale: tuple[float, ...]
    translation: tuple[float, ...]


def scales(path: str, access: Access) -> list[ArrayScale | LevelBesideGrid]:
    """The levels, in their order; one beside the grid of whole voxels is refused when it is opened.

    Raises:
        MissingDataError: there is no Zarr group.
        VolumeError: the metadata say something that is not understood.
    """
    forget_handles()
    forget_arrays()
    folder = absolute(path)
    multiscale, driver = _multiscale(folder, access)
    try:
        return _levels(multiscale, driver, folder, url=f"zarr://{path}", access=access)
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        if isinstance(error, VolumeError):
            raise
        msg = f"the OME-Zarr metadata of {folder} cannot be used: {type(error).__name__} {error}"
        raise VolumeError(msg) from error


def _multiscale(folder: str, access: Access) -> tuple[dict[str, Any], str]:
    """The multiscale's metadata and tensorstore's driver for the Zarr version."""
    store, deadline = ByteStore(folder, access.anonymous), Deadline(access.timeout_s)
    group = store.read_json("zarr.json", deadline)
    if group is not None:
        attributes, driver = group.get("attributes", {}), "zarr3"
        kind = group.get("node_type")
    else:
        attributes, driver = store.read_json(".zattrs", deadline), "zarr"
        kind = "array" if store.read(".zarray", deadline) is not None else "group"
        if attributes is None and kind == "group" and store.read(".zgroup", deadline) is None:
            msg = f"no Zarr group at {folder}: there is neither zarr.json nor .zattrs, .zgroup or .zarray"
            raise MissingDataError(msg)
    attributes = attributes if isinstance(attributes, dict) else {}
    ome = attributes.get("ome", attributes)
    found = ome.get("multiscales") if isinstance(ome, dict) else None
    if not found:
        msg = (
            f"{folder} is a Zarr {kind} without OME-Zarr multiscales metadata, so its voxel size is not "
            "known: give the URL of the OME-Zarr group, or add that metadata"
        )
        raise VolumeError(msg)
    if not isinstance(found, list) or not isinstance(found[0], dict):
        msg = f"the OME-Zarr metadata of {folder} cannot be used: multiscales must be a list of objects"
        raise VolumeError(msg)
    if len(found) > 1:
        msg = f"{folder} has {len(found)} multiscales; allowed is one"
        raise VolumeError(msg)
    version = ome.get("version", found[0].get("version"))
    if version not in _VERSIONS[driver]:
        msg = f"{folder} is OME-Zarr {version} in {driver}; allowed are 0.4 and, in Zarr 3, 0.5"
        raise VolumeError(msg)
    return found[0], driver


def _levels(
    multiscale: dict[str, Any], driver: str, folder: str, *, url: str, access: Access
) -> list[ArrayScale | LevelBesideGrid]:
    axes = multiscale["axes"]
    names = tuple(_axis_name(axis) for axis in axes)
    if sorted(n for n in names if n in ("x", "y", "z")) != ["x", "y", "z"] or len(set(names)) != len(names):
        msg = f"{folder} has axes {axes}; x, y and z are needed, each axis once"
        raise VolumeError(msg)
    nm = np.array(
        [nm_per_unit(a.get("unit"), what=f"{folder}: axis {n}") if n in "xyz" else 1.0
         for a, n in zip(axes, names, strict=True)]
    )  # fmt: skip
    shared = multiscale.get("coordinateTransformations") or []
    spatial = [names.index(a) for a in "xyz"]
    sizes: list[VoxelSize] = []
    firsts_nm: list[VoxelSize] = []
    for dataset in multiscale["datasets"]:
        steps = [*dataset["coordinateTransformations"], *shared]
        transform = _combined(folder, steps, len(names))
        size = (np.array(transform.scale) * nm)[spatial]
        first_nm = (np.array(transform.translation) * nm)[spatial]
        if not (np.isfinite([size, first_nm]).all() and (size > 0).all()):
            msg = f"{folder}: level {dataset['path']} has voxels of {size.tolist()} nm (x, y, z)"
            raise VolumeError(msg)
        sizes.append(_floats(size))
        firsts_nm.append(_floats(first_nm))
    if not sizes:
        msg = f"{folder} has no levels: the multiscales' datasets are empty"
        raise VolumeError(msg)
    if sizes != sorted(sizes, key=math.prod):
        listed = ", ".join(str(dataset["path"]) for dataset in multiscale["datasets"])
        msg = f"{folder} lists its levels as {listed}; the finest must come first (OME-Zarr, multiscales)"
        raise VolumeError(msg)
    levels: list[ArrayScale | LevelBesideGrid] = []
    places = first_voxels(firsts_nm, sizes)
    for dataset, size_nm, place in zip(multiscale["datasets"], sizes, places, strict=True):
        if isinstance(place, LevelBesideGrid):
            levels.append(replace(place, name=f"{folder}: level {dataset['path']}"))
            continue
        levels.append(
            ArrayScale(
                url=url,
                array_url=files.join(folder, dataset["path"]),
                driver=driver,
                axes=names,
                voxel_size_nm=size_nm,
                offset_vx=place,
                access=access,
            )
        )
    return levels


def _floats(values: Any) -> VoxelSize:
    x, y, z = (float(v) for v in values)
    return (x, y, z)


def _axis_name(axis: Any) -> str:
    """x, y or z of a space axis, channel, time, or the axis's own name in brackets."""
    name, kind = axis["name"], axis.get("type")
    if name in ("x", "y", "z") and kind in ("space", None):
        return str(name)
    if name in ("c", "t"):
        return {"c": "channel", "t": "time"}[name]
    return str(kind) if kind in ("channel", "time") else f"({name})"


def _combined(folder: str, steps: list[dict[str, Any]], n_axes: int) -> _Transform:
    """A list of coordinate transformations as one; those of other kinds are refused."""
    scale, translation = np.ones(n_axes), np.zeros(n_axes)
    for step in steps:
        kind = step.get("type")
        values = step.get(str(kind))
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or not isinstance(values, list) or len(values) != n_axes:
            msg = (
                f"{folder}: transformation {step} is not supported; allowed are scale and translation with "
                f"{n_axes} numbers each"
            )
            raise VolumeError(msg)
        if kind == "scale":
            scale, translation = scale * values, translation * values
        else:
            translation = translation + values
    return _Transform(tuple(scale), tuple(translation))
