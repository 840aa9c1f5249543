"""The numbers in a precomputed info file, each checked: what is wrong is named, nothing is truncated."""

from __future__ import annotations

from typing import Any

import numpy as np

from segclr.geometry import Triple, VoxelSize

__all__ = ["first_chunk_size", "n_channels", "resolution", "triple"]


def _whole(value: Any) -> bool:
    """Whether it is a whole number; JSON writers may leave 16.0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1


def triple(values: Any, name: str) -> Triple:
    """Three whole numbers (x, y, z), above 0 but for the voxel offset.

    Raises:
        ValueError: they are not.
    """
    above = "" if name == "voxel_offset" else " above 0"
    if (
        not isinstance(values, (list, tuple))
        or len(values) != 3
        or not all(_whole(v) and (not above or v > 0) for v in values)
    ):
        msg = f"{name} must be three whole numbers{above} (x, y, z), got {values!r}"
        raise ValueError(msg)
    x, y, z = (int(v) for v in values)
    return (x, y, z)


def resolution(values: Any) -> VoxelSize:
    """Voxel size (x, y, z) in nm.

    Raises:
        ValueError: these are not three numbers above 0.
    """
    if (
        not isinstance(values, (list, tuple))
        or len(values) != 3
        or not all(isinstance(v, (int, float)) and np.isfinite(v) and v > 0 for v in values)
    ):
        msg = f"resolution must be three numbers above 0 (x, y, z), got {values!r}"
        raise ValueError(msg)
    x, y, z = (float(v) for v in values)
    return (x, y, z)


def first_chunk_size(entry: dict[str, Any]) -> Triple:
    """The first of the chunk sizes (x, y, z) that a scale offers.

    Raises:
        ValueError: it offers none.
    """
    offered = entry["chunk_sizes"]
    if not isinstance(offered, list) or not offered:
        msg = f"chunk_sizes must be a list of sizes, got {offered!r}"
        raise ValueError(msg)
    return triple(offered[0], "chunk_sizes")


def n_channels(info: dict[str, Any]) -> int:
    """Channels of the volume.

    Raises:
        ValueError: this is no whole number above 0.
    """
    number = info["num_channels"]
    if not _whole(number) or number < 1:
        msg = f"num_channels must be a whole number above 0, got {number!r}"
        raise ValueError(msg)
    return int(number)
