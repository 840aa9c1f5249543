"""Random views of masked cubes: draw the parameters of every view first, then apply them as a pure function.

The changes are those of the published training code, with its defects mended: flips reach all three
axes, and every view of every batch draws anew. Background (0) stays 0.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch

from segclr.config import AugmentConfig
from segclr.errors import TrainingError
from segclr.geometry import VoxelSize

__all__ = ["ViewParameters", "allowed_permutations", "apply_views", "center_views", "sample_views"]

_EQUAL_SIZE_TOLERANCE = 0.05  # 32 and 33 nm (H01) count as equal: the same tolerance as for stored scales
_N_GREYS = 256


@dataclass(frozen=True, eq=False)
class ViewParameters:
    """Parameters of n views; all tensors on the CPU.

    Attributes:
        starts: int64 [n, 3], first voxel (z, y, x) of the view in the stored cube.
        permutations: int64 [n, 3], axis of the stored cube that each axis of the view shows.
        flips: bool [n, 3], axes (z, y, x) of the view to reverse.
        greys: float32 [n, 256], grey that each stored value becomes; 0 for value 0.
        noise_seeds: int64 [n], of the noise field.
        noise_sd: spread of the noise, in units of the grey range.
    """

    starts: torch.Tensor
    permutations: torch.Tensor
    flips: torch.Tensor
    greys: torch.Tensor
    noise_seeds: torch.Tensor
    noise_sd: float

    def __len__(self) -> int:
        """Number of views."""
        return len(self.starts)


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


def sample_views(
    config: AugmentConfig,
    n: int,
    *,
    voxel_size_nm: VoxelSize,
    margin_vx: int,
    generator: torch.Generator,
) -> ViewParameters:
    """Draw the parameters of n views, each on its own.

    Raises:
        TrainingError: the configured shift is larger than the stored margin.
    """
    if config.shift_vx > margin_vx:
        msg = f"a shift of {config.shift_vx} voxels needs that margin around stored cubes, got {margin_vx}"
        raise TrainingError(msg)
    shifts = torch.randint(-config.shift_vx, config.shift_vx + 1, (n, 3), generator=generator)
    choices = allowed_permutations(voxel_size_nm) if config.axis_permutations else [(0, 1, 2)]
    chosen = torch.randint(len(choices), (n,), generator=generator)
    flips = torch.rand((n, 3), generator=generator) < (0.5 if config.flips else 0.0)
    contrast = _uniform(config.contrast, n, generator)
    brightness = _uniform(config.brightness, n, generator)
    gamma = 2.0 ** _uniform(config.log2_gamma, n, generator)
    values = torch.arange(_N_GREYS, dtype=torch.float32) / (_N_GREYS - 1)
    greys = (contrast[:, None] * values + brightness[:, None]).clip(0, 1) ** gamma[:, None]
    greys[:, 0] = 0
    noise_seeds = torch.randint(2**62, (n,), generator=generator)
    return ViewParameters(
        shifts + margin_vx, torch.tensor(choices)[chosen], flips, greys, noise_seeds, config.noise_sd
    )


def apply_views(cubes: torch.Tensor, parameters: ViewParameters, *, size_vx: int) -> torch.Tensor:
    """Views float32 [n, 1, z, y, x] of stored cubes uint8 [n, z, y, x], on the cubes' device.

    View i depends on cube i and parameters i alone.
    """
    views = torch.empty((len(cubes), 1, *[size_vx] * 3), device=cubes.device)
    greys = parameters.greys.to(cubes.device)
    for i in range(len(parameters)):
        start, axes = parameters.starts[i].tolist(), parameters.permutations[i].tolist()
        box = tuple(slice(s, s + size_vx) for s in start)
        flipped = [axis for axis in range(3) if parameters.flips[i, axis]]
        cube = cubes[i][box].permute(axes).flip(flipped)
        grey = greys[i].index_select(0, cube.flatten().int()).view(cube.shape)
        if parameters.noise_sd > 0:
            grey = _with_noise(grey, cube, parameters, i)
        views[i, 0] = grey
    return views


def center_views(cubes: torch.Tensor, *, size_vx: int) -> torch.Tensor:
    """The unchanged middle of stored cubes, uint8 [n, z, y, x]."""
    margin = (cubes.shape[1] - size_vx) // 2
    inner = slice(margin, margin + size_vx)
    return cubes[:, inner, inner, inner]


def _uniform(limits: tuple[float, float], n: int, generator: torch.Generator) -> torch.Tensor:
    low, high = limits
    return low + (high - low) * torch.rand(n, generator=generator)


def _with_noise(
    grey: torch.Tensor, cube: torch.Tensor, parameters: ViewParameters, view: int
) -> torch.Tensor:
    generator = torch.Generator(cube.device).manual_seed(int(parameters.noise_seeds[view]))
    noise = torch.randn(cube.shape, generator=generator, device=cube.device)
    return (grey + parameters.noise_sd * noise).clip(0, 1) * (cube > 0)
