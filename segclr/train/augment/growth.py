"""Errors of a segmentation that need the tissue around the segment: a mask too large, a merged neighbour.

Stored cubes are masked, so these are applied where cubes are cut from the volume, by its reader.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.config import AugmentConfig
from segclr.train.augment.draws import Draws

__all__ = ["Growth", "grow_mask", "sample_growth"]


@dataclass(frozen=True)
class Growth:
    """How one view's mask grows.

    Attributes:
        dilate_vx: voxels put on the surface.
        merge: 0 to 1, which of the touching segments is merged, in ascending order of ids; None: none.
        merge_vx: how far a merged segment is taken in, in voxels of path within it from where it touches.
    """

    dilate_vx: int
    merge: float | None
    merge_vx: int


def sample_growth(config: AugmentConfig, draws: Draws) -> list[Growth]:
    """Draw how the masks of views grow."""
    dilate = draws.below("dilate", config.dilate_vx + 1)[:, 0].tolist()
    merged = draws.chance("merge", config.merge_probability)[:, 0].tolist()
    which = draws.unit("merged segment")[:, 0].tolist()
    return [
        Growth(d, w if m else None, config.merge_vx) for d, m, w in zip(dilate, merged, which, strict=True)
    ]


def grow_mask(mask: NDArray[np.bool_], segment_ids: NDArray[np.uint64], growth: Growth) -> NDArray[np.bool_]:
    """The mask with a neighbour merged, then dilated, bool [z, y, x].

    Args:
        mask: bool [z, y, x].
        segment_ids: uint64 of the same shape, 0 = no segment.
        growth: what to do; a segment that touches no other merges with none.
    """
    if growth.merge is not None:
        touching = np.unique(segment_ids[_dilated(mask) & ~mask])
        touching = touching[touching > 0]
        if len(touching):
            neighbour = segment_ids == touching[int(growth.merge * len(touching))]
            for _ in range(growth.merge_vx):
                mask = mask | (_dilated(mask) & neighbour)
    for _ in range(growth.dilate_vx):
        mask = _dilated(mask)
    return mask


def _dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With all voxels that have one of their 6 neighbours inside."""
    grown = mask.copy()
    for axis in range(3):
        low, high = ([slice(None)] * 3, [slice(None)] * 3)
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        grown[tuple(low)] |= mask[tuple(high)]
        grown[tuple(high)] |= mask[tuple(low)]
    return grown
