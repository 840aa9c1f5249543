"""What stored cubes hold: how full they are, and how grey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cube_statistics", "summarise_cubes"]


def cube_statistics(cubes: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Statistics of each cube: ``occupancy`` (share of voxels above 0) and their grey range and mean.

    Args:
        cubes: uint8 [n, z, y, x]; 0 is background.

    Returns:
        ``occupancy`` and ``grey_mean`` float32 [n], ``grey_low`` and ``grey_high`` uint8 [n]; 0 of a blank
        cube.

    >>> cube = np.zeros((1, 2, 2, 2), np.uint8)
    >>> cube[0, 0] = [[0, 10], [30, 20]]
    >>> {k: v.tolist() for k, v in cube_statistics(cube).items()}
    {'occupancy': [0.375], 'grey_low': [10], 'grey_high': [30], 'grey_mean': [20.0]}
    """
    flat = cubes.reshape(len(cubes), -1)
    levels = np.array([np.bincount(cube, minlength=256) for cube in flat]).reshape(len(cubes), 256)
    levels[:, 0] = 0
    n = levels.sum(axis=1)
    blank = n == 0
    low, high = np.argmax(levels > 0, axis=1), 255 - np.argmax(levels[:, ::-1] > 0, axis=1)
    return {
        "occupancy": (n / max(1, flat.shape[1])).astype(np.float32),
        "grey_low": np.where(blank, 0, low).astype(np.uint8),
        "grey_high": np.where(blank, 0, high).astype(np.uint8),
        "grey_mean": (levels @ np.arange(256) / np.maximum(n, 1)).astype(np.float32),
    }


def summarise_cubes(columns: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """A few numbers of the statistics of many cubes: means, quantiles of occupancy, extremes of grey."""
    occupancy, filled = columns["occupancy"], columns["occupancy"] > 0
    if not filled.any():
        return {"n_cubes": len(occupancy), "n_blank": len(occupancy)}
    median, most = np.quantile(occupancy, [0.5, 0.95])
    return {
        "n_cubes": len(occupancy),
        "n_blank": int((~filled).sum()),
        "occupancy_mean": float(occupancy.mean()),
        "occupancy_median": float(median),
        "occupancy_95": float(most),
        "grey_low": int(columns["grey_low"][filled].min()),
        "grey_high": int(columns["grey_high"][filled].max()),
        "grey_mean": float(columns["grey_mean"][filled].mean()),
    }
