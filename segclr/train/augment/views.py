"""Views as a whole: all families drawn, then applied together, on the cubes' device.

In the order of what happens to tissue: the segmentation errs (stored cube), the view is placed, sections
differ, grey is mapped, blurred, sections are missing, and noise is added. Shift and turn come before what is
done to sections only in the computation: each voxel knows the section it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from segclr.config import AugmentConfig
from segclr.errors import TrainingError
from segclr.geometry import VoxelSize
from segclr.train.augment.draws import Draws, view_keys
from segclr.train.augment.grey import Grey, add_noise, blur, grey_tables, look_up, sample_grey
from segclr.train.augment.mask import MaskLoss, lose, sample_loss
from segclr.train.augment.placement import Placement, place, sample_placement, section_numbers
from segclr.train.augment.sections import Sections, sample_sections
from segclr.train.batch import PairBatch

__all__ = ["ViewParameters", "apply_views", "center_views", "draw_views", "random_views"]

_Family = TypeVar("_Family")
_VOXELS_AT_ONCE = {"cpu": 2**20, "other": 2**26}
"""Stored voxels handled together: what caches hold, and some 2 GB beside the views on an accelerator."""


@dataclass(frozen=True, eq=False)
class ViewParameters:
    """All that is drawn for n views, family by family; tensors are on the CPU, their first axis the view."""

    loss: MaskLoss
    placement: Placement
    grey: Grey
    sections: Sections

    def __len__(self) -> int:
        """Number of views."""
        return len(self.placement.starts)

    def take(self, rows: slice) -> ViewParameters:
        """Those of some views."""
        return ViewParameters(*(_rows_of(getattr(self, f.name), rows) for f in fields(self)))


def random_views(
    batch: PairBatch, config: AugmentConfig, *, seed: int, voxel_size_nm: VoxelSize, size_vx: int
) -> torch.Tensor:
    """Random views float32 [2n, 1, z, y, x] of a batch: those of ``cubes_a``, then those of ``cubes_b``.

    A view is a function of its stored cube, the seed and the sample's number: the same in whatever batch,
    process or part of a step it comes.

    Raises:
        TrainingError: the configured shift is larger than the stored margin.
    """
    stored = torch.cat([batch.cubes_a, batch.cubes_b])
    parameters = draw_views(
        config,
        view_keys(seed, batch.samples.cpu().numpy()),
        voxel_size_nm=voxel_size_nm,
        margin_vx=(stored.shape[1] - size_vx) // 2,
    )
    return apply_views(stored, parameters, size_vx=size_vx)


def draw_views(
    config: AugmentConfig, keys: NDArray[np.uint64], *, voxel_size_nm: VoxelSize, margin_vx: int
) -> ViewParameters:
    """What the views with these keys draw, each on its own.

    Raises:
        TrainingError: the configured shift is larger than the stored margin.
    """
    draws = Draws(keys)
    return ViewParameters(
        loss=sample_loss(config, draws),
        placement=sample_placement(config, draws, voxel_size_nm=voxel_size_nm, margin_vx=margin_vx),
        grey=sample_grey(config, draws),
        sections=sample_sections(config, draws),
    )


def apply_views(cubes: torch.Tensor, parameters: ViewParameters, *, size_vx: int) -> torch.Tensor:
    """Views float32 [n, 1, z, y, x] of stored cubes uint8 [n, z, y, x], on the cubes' device.

    View i depends on cube i and parameters i alone.

    Raises:
        TrainingError: there are not as many parameters as cubes.
    """
    if len(cubes) != len(parameters):
        msg = f"{len(cubes)} cubes need as many views' parameters, got {len(parameters)}"
        raise TrainingError(msg)
    views = torch.empty((len(cubes), 1, *[size_vx] * 3), device=cubes.device)
    limit = _VOXELS_AT_ONCE["cpu" if cubes.device.type == "cpu" else "other"]
    for rows in _chunks(len(cubes), max(1, limit // cubes[0].numel())):
        views[rows, 0] = _apply(cubes[rows], parameters.take(rows), size_vx)
    return views


def center_views(cubes: torch.Tensor, *, size_vx: int) -> torch.Tensor:
    """The unchanged middle of stored cubes, uint8 [n, z, y, x]."""
    margin = (cubes.shape[1] - size_vx) // 2
    inner = slice(margin, margin + size_vx)
    return cubes[:, inner, inner, inner]


def _apply(cubes: torch.Tensor, parameters: ViewParameters, size_vx: int) -> torch.Tensor:
    grey, sections, placement = parameters.grey, parameters.sections, parameters.placement
    values = place(lose(cubes, parameters.loss), placement, size_vx=size_vx)
    if sections.alike:
        levels = sections.levels(1)
        section = torch.arange(len(cubes), dtype=torch.int32, device=cubes.device)[:, None, None, None]
    else:
        levels = sections.levels(cubes.shape[1])
        section = section_numbers(placement, size_vx=size_vx, n_sections=cubes.shape[1], device=cubes.device)
    missing = _at(levels.missing, section) if sections.missing else None
    if missing is not None and not sections.fill_mean:
        values.mul_(~missing)
    mask = values > 0
    views = look_up(grey_tables(grey, gains=levels.gains, offsets=levels.offsets), values, section)
    views = blur(views, mask, grey, placement.permutations != 0)
    if missing is not None and sections.fill_mean:
        n_inside = mask.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1)
        mean = views.sum(dim=(1, 2, 3), keepdim=True) / n_inside
        views = torch.where(missing & mask, mean, views)
    return add_noise(views, mask, grey)


def _at(facts: torch.Tensor, section: torch.Tensor) -> torch.Tensor:
    """A fact [n, sections] about each section, at every voxel."""
    return facts.to(section.device).reshape(-1).index_select(0, section.view(-1)).view(section.shape)


def _chunks(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, start + size)


def _rows_of(family: _Family, rows: slice) -> _Family:
    """The same parameters of some views: arrays are cut, what all views share is kept."""
    arrays: dict[str, Any] = {
        f.name: getattr(family, f.name)[rows]
        for f in fields(family)  # type: ignore[arg-type]
        if isinstance(getattr(family, f.name), torch.Tensor | np.ndarray)
    }
    return replace(family, **arrays)  # type: ignore[type-var]
