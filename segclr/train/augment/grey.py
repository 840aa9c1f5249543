"""Grey values of views: the published map of grey, blur within sections, and noise.

The map ``clip(a x + c, 0, 1) ** g`` has 256 arguments only, so it is a table for each view (or section of a
view) and looked up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from segclr.config import AugmentConfig
from segclr.train.augment.draws import Draws

__all__ = ["Grey", "add_noise", "blur", "grey_tables", "look_up", "sample_grey"]

_N_GREYS = 256
_BLUR_REACH = 2.5  # in standard deviations: 98.8 % of a Gaussian's weight
_BYTES_MEAN = 4 * 255 / 2
_BYTES_SD = math.sqrt(4 * (256**2 - 1) / 12)


@dataclass(frozen=True, eq=False)
class Grey:
    """What n views do to grey.

    Attributes:
        contrast: float32 [n], a of ``clip(a x + c, 0, 1) ** g``, x being grey from 0 to 1.
        brightness: float32 [n], c.
        gamma: float32 [n], g.
        blur_sd_vx: float32 [n], spread of the blur within sections.
        noise_keys: int32 [n], of the noise fields.
        noise_sd: spread of the noise, in units of the grey range.
        blur_reach_vx: voxels that the widest blur configured reaches.
    """

    contrast: torch.Tensor
    brightness: torch.Tensor
    gamma: torch.Tensor
    blur_sd_vx: torch.Tensor
    noise_keys: torch.Tensor
    noise_sd: float
    blur_reach_vx: int


def sample_grey(config: AugmentConfig, draws: Draws) -> Grey:
    """Draw the greys of views."""
    keys = (draws.bits("noise")[:, 0] >> np.uint64(32)).astype(np.uint32).view(np.int32)
    return Grey(
        contrast=draws.between("contrast", config.contrast),
        brightness=draws.between("brightness", config.brightness),
        gamma=2.0 ** draws.between("gamma", config.log2_gamma),
        blur_sd_vx=draws.between("blur", (0.0, config.blur_sd_vx)),
        noise_keys=torch.from_numpy(keys),
        noise_sd=config.noise_sd,
        blur_reach_vx=math.ceil(_BLUR_REACH * config.blur_sd_vx),
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


def look_up(tables: torch.Tensor, values: torch.Tensor, sections: torch.Tensor | None) -> torch.Tensor:
    """Grey of uint8 [n, z, y, x] by tables [n, sections, 256], float32 of the same shape.

    ``sections`` is the section of each voxel, int32 [n, z, y, x]; None where a view has one table.
    """
    n, n_sections = tables.shape[:2]
    rows = torch.arange(n, dtype=torch.int32, device=values.device)[:, None, None, None] * n_sections
    index = values + (rows if sections is None else sections + rows) * _N_GREYS
    return tables.to(values.device).view(-1).index_select(0, index.view(-1)).view(values.shape)


def blur(grey: torch.Tensor, mask: torch.Tensor, parameters: Grey, in_section: torch.Tensor) -> torch.Tensor:
    """Gaussian blur of [n, z, y, x] within the mask, along the axes of a section.

    Weights are normalised over the mask, so that background neither darkens a border nor receives grey.

    Args:
        grey: float32, 0 outside the mask.
        mask: bool.
        parameters: the spread of each view.
        in_section: bool [n, 3], axes of the view that lie within a section.
    """
    reach = parameters.blur_reach_vx
    if not reach:
        return grey
    away = torch.arange(-reach, reach + 1).float()
    variance = (parameters.blur_sd_vx**2).clamp(min=1e-8)[:, None, None]  # 0: all weight in the middle
    weights = torch.exp(-(away**2) / (2 * variance)) * in_section[:, :, None]
    weights[:, :, reach] = 1
    weights = weights.to(grey.device)
    size = grey.shape[1]
    blurred, share = grey, mask.float()
    for axis in range(3):
        pad = [0, 0, 0, 0, 0, 0]
        pad[4 - 2 * axis] = pad[5 - 2 * axis] = reach
        taps = weights[:, axis].T[:, :, None, None, None]
        sums = []
        for values in (blurred, share):
            padded = F.pad(values, pad)
            total = torch.zeros_like(values)
            for k in range(2 * reach + 1):
                total.addcmul_(padded.narrow(axis + 1, k, size), taps[k])
            sums.append(total)
        blurred, share = sums
    return torch.where(mask, blurred / share.clamp(min=1e-8), 0.0)


def add_noise(grey: torch.Tensor, mask: torch.Tensor, parameters: Grey) -> torch.Tensor:
    """Independent noise within the mask, clipped to 0 ... 1; a hash of key and voxel, equal on all devices.

    The sum of four uniform bytes stands for a Gaussian: the same spread, nothing beyond 3.5 of it.
    """
    if not parameters.noise_sd:
        return grey
    voxels = torch.arange(grey[0].numel(), dtype=torch.int32, device=grey.device)
    bits = _mixed(_mixed(voxels)[None] ^ parameters.noise_keys[:, None].to(grey.device))
    pairs = (bits & 0x00FF00FF) + ((bits >> 8) & 0x00FF00FF)  # two sums of two bytes
    sums = ((pairs & 0xFFFF) + (pairs >> 16)).float()
    scale = parameters.noise_sd / _BYTES_SD
    noisy = sums.sub_(_BYTES_MEAN).mul_(scale).view(grey.shape).add_(grey)
    return noisy.clip_(0, 1).mul_(mask)


def _mixed(values: torch.Tensor) -> torch.Tensor:
    """A bijection of 32-bit numbers whose bits look random (source: C. Wellons, lowbias32).

    The shifts are made logical by masks: torch shifts the sign in.
    """
    values = values ^ ((values >> 16) & 0xFFFF)
    values.mul_(0x7FEB352D)
    values.bitwise_xor_((values >> 15) & 0x1FFFF)
    values.mul_(0x846CA68B - 2**32)
    return values.bitwise_xor_((values >> 16) & 0xFFFF)
