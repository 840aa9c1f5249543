"""Where a view lies in its stored cube and how it is turned: shift, permutation of axes, flips.

All three in one gather: going one voxel along an axis of the view is a fixed step, forwards or backwards, in
the stored cube's memory.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch

from segclr.config import AugmentConfig
from segclr.errors import TrainingError
from segclr.geometry import VoxelSize
from segclr.train.augment.draws import Draws

__all__ = ["Placement", "allowed_permutations", "place", "sample_placement", "section_numbers"]

_EQUAL_SIZE_TOLERANCE = 0.05  # 32 and 33 nm (H01) count as equal: the same tolerance as for stored scales


@dataclass(frozen=True, eq=False)
class Placement:
    """Places of n views.

    Attributes:
        starts: int64 [n, 3], first voxel (z, y, x) of the view in the stored cube.
        permutations: int64 [n, 3], axis of the stored cube that each axis of the view shows.
        flips: bool [n, 3], axes of the view, as permuted, to reverse.
    """

    starts: torch.Tensor
    permutations: torch.Tensor
    flips: torch.Tensor


def allowed_permutations(voxel_size_nm: VoxelSize) -> list[tuple[int, int, int]]:
    """Permutations of (z, y, x) that put every axis where one of equal voxel size (within 5 %) was.

    >>> allowed_permutations((32.0, 32.0, 40.0))
    [(0, 1, 2), (0, 2, 1)]
    """
    sizes = tuple(reversed(voxel_size_nm))
    return [
        (p[0], p[1], p[2])
        for p in itertools.permutations(range(3))
        if all(
            abs(sizes[a] - sizes[b]) <= _EQUAL_SIZE_TOLERANCE * min(sizes[a], sizes[b])
            for a, b in enumerate(p)
        )
    ]


def sample_placement(
    config: AugmentConfig, draws: Draws, *, voxel_size_nm: VoxelSize, margin_vx: int
) -> Placement:
    """Draw the places of views.

    Raises:
        TrainingError: the configured shift is larger than the stored margin.
    """
    if config.shift_vx > margin_vx:
        msg = f"a shift of {config.shift_vx} voxels needs that margin around stored cubes, got {margin_vx}"
        raise TrainingError(msg)
    if not config.axis_permutations:
        choices = [(0, 1, 2)]
    elif config.permute_unequal:
        choices = allowed_permutations((1.0, 1.0, 1.0))
    else:
        choices = allowed_permutations(voxel_size_nm)
    chosen = draws.below("permutation", len(choices))[:, 0]
    return Placement(
        starts=draws.below("shift", 2 * config.shift_vx + 1, 3) - config.shift_vx + margin_vx,
        permutations=torch.tensor(choices)[chosen],
        flips=draws.chance("flips", 0.5 if config.flips else 0.0, 3),
    )


def place(cubes: torch.Tensor, placement: Placement, *, size_vx: int) -> torch.Tensor:
    """Views [n, size, size, size] of stored cubes [n, z, y, x], values unchanged."""
    n, edge = cubes.shape[:2]
    memory = torch.tensor([edge * edge, edge, 1])
    first = (placement.starts * memory).sum(1) + torch.arange(n) * edge**3
    steps = memory[placement.permutations]
    first = first + (steps * (size_vx - 1) * placement.flips).sum(1)
    steps = torch.where(placement.flips, -steps, steps)
    index = _affine(first, steps, size_vx, cubes.device)
    return cubes.reshape(-1).index_select(0, index.view(-1)).view(index.shape)


def section_numbers(
    placement: Placement, *, size_vx: int, n_sections: int, device: torch.device
) -> torch.Tensor:
    """Section (z of the stored cube) that each voxel comes from, counted over all views.

    Voxels of view i have the numbers from ``i * n_sections`` on: int32 [n, z, y, x].
    """
    steps = (placement.permutations == 0).long()
    first = placement.starts[:, 0] + torch.arange(len(steps)) * n_sections
    first = first + (steps * (size_vx - 1) * placement.flips).sum(1)
    return _affine(first, torch.where(placement.flips, -steps, steps), size_vx, device)


def _affine(first: torch.Tensor, steps: torch.Tensor, size_vx: int, device: torch.device) -> torch.Tensor:
    """``first + steps . (i, j, k)`` for all voxels of n views, int32 [n, size, size, size]."""
    along = torch.arange(size_vx)
    z, y, x = (((steps[:, a, None] * along).int()).to(device) for a in range(3))
    rows = (y[:, :, None] + x[:, None, :])[:, None]
    return (z + first[:, None].int().to(device))[:, :, None, None] + rows
