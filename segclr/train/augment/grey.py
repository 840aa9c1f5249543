"""Grey values of views: the published map of grey, blur within sections, and noise.

The map ``clip(a x + c, 0, 1) ** g`` has 256 arguments only, so it is a table for each view (or section of a
view) and looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from segclr.config import AugmentConfig
from segclr.train.augment.draws import Draws

__all__ = ["Grey", "add_noise", "blur", "grey_tables", "look_up", "sample_grey"]

_N_GREYS = 256
_LEAST_EXPONENT = -12.0  # of a Gaussian weight: 6e-6; far smaller ones are denormal numbers, which are slow


@dataclass(frozen=True, eq=False)
class Grey:
    """What n views do to grey.

    Attributes:
        contrast: float32 [n], a of ``clip(a x + c, 0, 1) ** g``, x being grey from 0 to 1.
        brightness: float32 [n], c.
        gamma: float32 [n], g.
        blur_sd_vx: float32 [n], spread of the blur within sections.
        noise_keys: int64 [n], of the noise fields.
        noise_sd: spread of the noise, in units of the grey range.
        blurs: whether the configuration blurs at all.
    """

    contrast: torch.Tensor
    brightness: torch.Tensor
    gamma: torch.Tensor
    blur_sd_vx: torch.Tensor
    noise_keys: torch.Tensor
    noise_sd: float
    blurs: bool


def sample_grey(config: AugmentConfig, draws: Draws) -> Grey:
    """Draw the greys of views."""
    keys = (draws.bits("noise")[:, 0] >> np.uint64(1)).astype(np.int64)
    return Grey(
        contrast=draws.between("contrast", config.contrast),
        brightness=draws.between("brightness", config.brightness),
        gamma=2.0 ** draws.between("gamma", config.log2_gamma),
        blur_sd_vx=draws.between("blur", (0.0, config.blur_sd_vx)),
        noise_keys=torch.from_numpy(keys),
        noise_sd=config.noise_sd,
        blurs=config.blur_sd_vx > 0,
    )


def grey_tables(grey: Grey, *, gains: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Grey that each stored value becomes, float32 [n, sections, 256]; 0 for value 0.

    Args:
        grey: of n views.
        gains: float32 [n, sections], factor on the contrast of each section.
        offsets: float32 [n, sections], added to the brightness of each section.
    """
    values = torch.arange(_N_GREYS, dtype=torch.float32) / (_N_GREYS - 1)
    contrast = (grey.contrast[:, None] * gains)[:, :, None]
    brightness = (grey.brightness[:, None] + offsets)[:, :, None]
    tables = (contrast * values + brightness).clip_(0, 1).pow_(grey.gamma[:, None, None])
    tables[:, :, 0] = 0
    return tables


def look_up(tables: torch.Tensor, values: torch.Tensor, table_of: torch.Tensor) -> torch.Tensor:
    """Grey of uint8 [n, z, y, x] by tables [n, sections, 256], float32 of the same shape.

    ``table_of`` is the number of the table that holds for each voxel, counted over all views, int32, of a
    shape that broadcasts.
    """
    index = values + table_of * _N_GREYS
    return tables.to(values.device).view(-1).index_select(0, index.view(-1)).view(values.shape)


def blur(grey: torch.Tensor, mask: torch.Tensor, parameters: Grey, in_section: torch.Tensor) -> torch.Tensor:
    """Gaussian blur of [n, z, y, x] within the mask, along the axes of a section.

    Weights are normalised over the mask, so that background neither darkens a border nor receives grey. As
    products of matrices, which at these sizes take less time than convolutions.

    Args:
        grey: float32, 0 outside the mask.
        mask: bool.
        parameters: the spread of each view.
        in_section: bool [n, 3], axes of the view that lie within a section.
    """
    if not parameters.blurs:
        return grey
    n, size = grey.shape[:2]
    along = torch.arange(size, dtype=torch.float32)
    away = (along[:, None] - along) ** 2
    variance = (parameters.blur_sd_vx[:, None] ** 2 * in_section).clamp(min=1e-8)  # 0: each voxel itself
    exponents = -away / (2 * variance[:, :, None, None])
    weights = torch.exp(exponents).masked_fill_(exponents < _LEAST_EXPONENT, 0).to(grey.device)
    z, y, x = weights.unbind(1)
    blurred, share = (
        ((y[:, None] @ (z @ values.view(n, size, -1)).view(grey.shape)).view(n, -1, size) @ x).view(
            grey.shape
        )
        for values in (grey, mask.float())
    )
    return torch.where(mask, blurred / share.clamp(min=1e-8), 0.0)


def add_noise(grey: torch.Tensor, mask: torch.Tensor, parameters: Grey) -> torch.Tensor:
    """Independent Gaussian noise within the mask, clipped to 0 ... 1; each view's from its own generator."""
    if not parameters.noise_sd:
        return grey
    noise = torch.empty_like(grey)
    for field, key in zip(noise, parameters.noise_keys.tolist(), strict=True):
        field.normal_(generator=torch.Generator(grey.device).manual_seed(key))
    return noise.mul_(parameters.noise_sd).add_(grey).clip_(0, 1).mul_(mask)
