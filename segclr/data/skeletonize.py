"""Skeletons of a box of a segmentation by TEASAR (kimimaro, extra ``skeletonize``).

TEASAR: Sato et al., Pacific Graphics 2000; kimimaro: Silversmith et al., 10.5281/zenodo.5539912.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.config import SkeletonConfig
from segclr.data.skeleton import Skeleton, root_forest, topological_order
from segclr.errors import ConfigError
from segclr.geometry import Triple, VoxelSize

__all__ = ["skeletonize_array"]

_CENTERING = {"pdrf_scale": 100_000, "pdrf_exponent": 4}
"""Price of leaving the middle: kimimaro's own, but beside other parameters it falls back to 5000 and 16,
with which paths run half a radius off the axis."""


def skeletonize_array(
    labels: NDArray[Any], config: SkeletonConfig, *, voxel_size_nm: VoxelSize, offset_vx: Triple = (0, 0, 0)
) -> list[Skeleton]:
    """Skeletons of every segment of at least ``config.min_segment_vx`` voxels, by id.

    Args:
        labels: unsigned [z, y, x].
        config: TEASAR's parameters and the size below which a segment is dust.
        voxel_size_nm: (x, y, z).
        offset_vx: first voxel (x, y, z) of the array.

    Raises:
        ConfigError: kimimaro is not installed.
    """
    try:
        import kimimaro
    except ImportError as error:
        msg = "skeletons are made by kimimaro, which is not installed: pip install 'segclr[skeletonize]'"
        raise ConfigError(msg) from error
    found = kimimaro.skeletonize(
        np.asfortranarray(labels.T),
        teasar_params={"scale": config.teasar_scale, "const": config.teasar_const_nm, **_CENTERING},
        anisotropy=voxel_size_nm,
        dust_threshold=config.min_segment_vx,
        progress=False,
        parallel=1,
        fix_branching=True,
        fix_borders=True,
    )
    # kimimaro's vertices are voxel corners relative to the array: its own voxel's centre is half a voxel on.
    shift = (np.asarray(offset_vx) + 0.5) * np.asarray(voxel_size_nm)
    return [_rooted(int(k), found[k], shift) for k in sorted(found)]


def _rooted(segment_id: int, skeleton: Any, shift_nm: NDArray[np.float64]) -> Skeleton:
    points = (np.asarray(skeleton.vertices, dtype=np.float64) + shift_nm).astype(np.float32)
    radii = np.asarray(skeleton.radii, dtype=np.float32)
    parents = root_forest(np.asarray(skeleton.edges), len(points))
    order = topological_order(parents)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    above = parents[order]
    return Skeleton(
        segment_id, points[order], np.where(above >= 0, rank[above], -1).astype(np.int32), radii[order]
    )
