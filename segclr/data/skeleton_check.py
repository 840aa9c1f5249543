"""Whether skeletons belong to a segmentation: how many of their vertices lie outside their own segment.

Skeletons in another unit, axis order or frame look like any others; only the segmentation tells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segclr.data.lookup import values_at
from segclr.data.skeleton import Skeleton
from segclr.data.volume import Volume
from segclr.errors import SkeletonError
from segclr.geometry import Triple

__all__ = ["check_frame", "shares_outside"]

_SAMPLE = 1000
"""Vertices that the frame of a source is judged by: the share is then known to 3 % (two standard errors)."""

DEFAULT_BLOCK_VX = (256, 256, 256)


def shares_outside(
    skeletons: Sequence[Skeleton], segmentation: Volume, *, block_vx: Triple = DEFAULT_BLOCK_VX
) -> NDArray[np.float64]:
    """Share of each skeleton's vertices that lie outside its segment, float64 [k]; 0 where it has none.

    A vertex beyond the volume is outside. Each block of the segmentation is read once.

    Args:
        skeletons: of any segments.
        segmentation: what they should lie in.
        block_vx: voxels (x, y, z) of a block; changes memory, not results.
    """
    points, ids, owner = _vertices(skeletons)
    outside = _outside(points, ids, segmentation, block_vx=block_vx)
    counts = np.bincount(owner, minlength=len(skeletons))
    return np.bincount(owner, outside, minlength=len(skeletons)) / np.maximum(counts, 1)


def check_frame(skeletons: Sequence[Skeleton], segmentation: Volume, *, max_outside: float) -> None:
    """Refuse skeletons that as a whole do not lie in their segments, judged by up to 1,000 vertices.

    Args:
        skeletons: some of a source, of any segments.
        segmentation: what they should lie in.
        max_outside: the largest share of vertices outside that is allowed.

    Raises:
        SkeletonError: a larger share lies outside; the message says which, and which change of unit or axis
            order would mend it.
    """
    points, ids, _ = _vertices(skeletons)
    if not len(points):
        return
    rows = np.unique(np.linspace(0, len(points) - 1, _SAMPLE).astype(np.int64))
    points, ids = points[rows], ids[rows]
    share = float(_outside(points, ids, segmentation).mean())
    if share <= max_outside:
        return
    beyond = float(_beyond(points, segmentation).mean())
    msg = (
        f"{share:.1%} of {len(points)} vertices, taken from {len(skeletons)} skeletons, lie outside their "
        f"segment in {segmentation.url} ({beyond:.1%} beyond the volume); up to {max_outside:.1%} "
        f"(skeletons.max_outside) may. {_hint(points, ids, segmentation, share=share)}"
    )
    raise SkeletonError(msg)


def _vertices(
    skeletons: Sequence[Skeleton],
) -> tuple[NDArray[np.float64], NDArray[np.uint64], NDArray[np.int64]]:
    """Points [n, 3], segment ids [n], and the skeleton each belongs to [n]."""
    counts = np.array([len(s) for s in skeletons], dtype=np.int64)
    points = np.concatenate([np.zeros((0, 3)), *(s.points_nm.astype(np.float64) for s in skeletons)])
    ids = np.repeat(np.array([s.segment_id for s in skeletons], dtype=np.uint64), counts)
    return points, ids, np.repeat(np.arange(len(skeletons)), counts)


def _beyond(points: NDArray[np.float64], segmentation: Volume) -> NDArray[np.bool_]:
    """Which points lie beyond the volume; in floating point, where no coordinate is too large."""
    return ~segmentation.bounds.contains(np.floor(points / np.asarray(segmentation.voxel_size_nm)))


def _outside(
    points: NDArray[np.float64],
    ids: NDArray[np.uint64],
    segmentation: Volume,
    *,
    block_vx: Triple = DEFAULT_BLOCK_VX,
) -> NDArray[np.bool_]:
    outside = np.ones(len(points), dtype=np.bool_)
    within = np.flatnonzero(~_beyond(points, segmentation))
    labels = values_at(segmentation, points[within], block_vx=block_vx)
    outside[within] = labels.astype(np.uint64) != ids[within]
    return outside


def _hint(points: NDArray[np.float64], ids: NDArray[np.uint64], segmentation: Volume, *, share: float) -> str:
    """The change of unit or axes that leaves fewest vertices outside, where it clearly helps."""
    size = segmentation.voxel_size_nm
    voxel = "x".join(f"{s:g}" for s in size)
    by_factor = ", so change skeletons.unit_nm by that factor"
    tried = {
        "multiplied by 1000 (micrometres)": (points * 1000, by_factor),
        f"multiplied by the voxel size {voxel} (voxels)": (points * np.asarray(size), by_factor),
        "divided by 1000": (points / 1000, by_factor),
        "read as (z, y, x)": (points[:, ::-1], ", so swap the columns"),
    }
    shares = {name: float(_outside(p, ids, segmentation).mean()) for name, (p, _) in tried.items()}
    best = min(shares, key=lambda name: shares[name])
    if shares[best] > share / 2:
        return "No usual change of unit would mend it: are they of another segmentation, version or frame?"
    return f"With coordinates {best}, {shares[best]:.1%} would{tried[best][1]}"
