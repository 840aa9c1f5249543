"""Errors of a segmentation that a masked cube can show: a mask too small, and a part that is cut off.

Masks too large and merged neighbours need the tissue around the segment: ``growth``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from segclr.config import AugmentConfig
from segclr.train.augment.draws import Draws

__all__ = ["MaskLoss", "lose", "sample_loss"]

_KEPT_SHARE = 0.5
"""Erosion takes no step that leaves less of a view's voxels: it would wipe out thin neurites."""


@dataclass(frozen=True, eq=False)
class MaskLoss:
    """What n views lose.

    Attributes:
        erode_vx: int64 [n], voxels taken off the surface.
        normals: float32 [n, 3], unit vector (z, y, x) towards the part that is cut off.
        distances: float32 [n], from the stored cube's centre to the cut, as a share of half its edge;
            infinite where nothing is cut off.
        any_drop: whether the configuration cuts parts off at all.
        deepest_vx: deepest erosion configured.
    """

    erode_vx: torch.Tensor
    normals: torch.Tensor
    distances: torch.Tensor
    any_drop: bool
    deepest_vx: int


def sample_loss(config: AugmentConfig, draws: Draws) -> MaskLoss:
    """Draw what views lose; directions are uniform on the sphere."""
    z, turn = 2 * draws.unit("drop normal", 2).T - 1
    flat = np.sqrt(1 - z**2)
    normals = np.stack([z, flat * np.cos(np.pi * turn), flat * np.sin(np.pi * turn)], axis=1)
    distances = draws.between("drop distance", config.drop_distance)
    dropped = draws.chance("drop", config.drop_probability)[:, 0]
    return MaskLoss(
        erode_vx=draws.below("erode", config.erode_vx + 1)[:, 0],
        normals=torch.from_numpy(normals).float(),
        distances=torch.where(dropped, distances, torch.inf),
        any_drop=config.drop_probability > 0,
        deepest_vx=config.erode_vx,
    )


def lose(cubes: torch.Tensor, parameters: MaskLoss) -> torch.Tensor:
    """Stored cubes uint8 [n, z, y, x] with the lost voxels at 0. The mask is where a cube is not 0."""
    if not (parameters.deepest_vx or parameters.any_drop):
        return cubes
    mask = cubes > 0
    if parameters.any_drop:
        mask &= _kept_side(cubes.shape[1], parameters, cubes.device)
    if parameters.deepest_vx:
        mask = _eroded(mask, parameters)
    return cubes * mask


def _kept_side(edge: int, parameters: MaskLoss, device: torch.device) -> torch.Tensor:
    """On this side of the cut, bool [n, z, y, x]; always true for the centre, where the node is."""
    away = (torch.arange(edge) - edge // 2) / (edge / 2)
    along = (parameters.normals[:, :, None] * away).to(device)
    height = along[:, 0, :, None, None] + (along[:, 1, :, None] + along[:, 2, None, :])[:, None]
    return height <= parameters.distances.to(device)[:, None, None, None]


def _eroded(mask: torch.Tensor, parameters: MaskLoss) -> torch.Tensor:
    """Without the voxels that have one of their 6 neighbours outside, so often; a cube's border has none."""
    depth = parameters.erode_vx.to(mask.device)
    least = mask.sum(dim=(1, 2, 3)) * _KEPT_SHARE
    for step in range(1, parameters.deepest_vx + 1):
        inner = mask.clone()
        for axis in (1, 2, 3):
            low, high = _neighbours(mask, axis)
            low_inner, high_inner = _neighbours(inner, axis)
            low_inner &= high
            high_inner &= low
        taken = (depth >= step) & (inner.sum(dim=(1, 2, 3)) >= least)
        mask = torch.where(taken[:, None, None, None], inner, mask)
    return mask


def _neighbours(values: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All but the last and all but the first plane across an axis."""
    return values.narrow(axis, 0, values.shape[axis] - 1), values.narrow(axis, 1, values.shape[axis] - 1)
