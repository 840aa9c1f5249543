"""What the first convolution sees of a masked cube."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["CONTRAST", "CentredInput", "n_input_channels"]

CONTRAST = 4.0
"""Grey within a cell spreads by about 0.1 around its mean; times 4 it is of the mask's order."""


class CentredInput(nn.Module):
    """Grey less its mean within the mask, and the mask itself, as two channels.

    In a masked cube the step from 0 to the cell's grey is many times larger than the texture within the
    cell; fed as it is, a short training learns the outline only. Background stays 0.
    """

    def forward(self, cubes: torch.Tensor) -> torch.Tensor:
        """[n, 1, z, y, x], grey 0 to 1 with 0 as background -> [n, 2, z, y, x]."""
        mask = (cubes > 0).to(cubes.dtype)
        n_inside = mask.sum(dim=(2, 3, 4), keepdim=True).clamp(min=1)
        mean = cubes.sum(dim=(2, 3, 4), keepdim=True) / n_inside
        channels = torch.cat([(cubes - mean) * mask * CONTRAST, mask], dim=1)
        return channels.contiguous(memory_format=torch.channels_last_3d)


def n_input_channels(kind: str) -> int:
    """Channels the first convolution sees: grey alone, or centred grey and mask."""
    return 2 if kind == "centred" else 1
