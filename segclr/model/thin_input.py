"""A convolution of one or two channels on GPUs: neighbours along x become channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["ThinConv3d", "convolve_by_taps", "goes_by_taps"]

_CHANNELS = 8
"""Tensor cores take 16-bit numbers in groups of as many channels."""

Sides = list[tuple[int, int]]
"""Voxels of zeros before and after each axis (z, y, x)."""


def goes_by_taps(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether ``convolve_by_taps`` is the faster way: few channels, 16-bit numbers, a CUDA device.

    There cuDNN has no fast kernel for one channel: the 7^3 stem took 61 % of the published network's time in
    bfloat16 on an H100 (docs/speed.md).
    """
    return x.is_cuda and weight.shape[1] <= 2 and torch.is_autocast_enabled("cuda")


def convolve_by_taps(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *, stride: tuple[int, ...], sides: Sides
) -> torch.Tensor:
    """The same convolution, with the kernel's voxels along x as channels and a kernel of 1 there.

    Args:
        x: [n, c, z, y, x].
        weight: [c_out, c, kz, ky, kx].
        bias: [c_out] or None.
        stride: (z, y, x).
        sides: zeros beyond the borders.

    Returns:
        [n, c_out, z, y, x], rounded otherwise than by one convolution, but the same sums.
    """
    n_in, edge = weight.shape[1], weight.shape[4]
    if x.is_cuda and torch.is_autocast_enabled("cuda"):
        x = x.to(torch.get_autocast_dtype("cuda"))  # before it is copied
    taps = -(-edge * n_in // _CHANNELS) * _CHANNELS // n_in
    (before_z, after_z), (before_y, after_y), (before_x, after_x) = sides
    # what taps beyond the kernel see is multiplied by 0
    padded = F.pad(x, [before_x, after_x + taps - edge, before_y, after_y, before_z, after_z])
    seen = padded.unfold(4, taps, stride[2]).permute(0, 2, 3, 4, 1, 5).flatten(4)  # channels last in memory
    folded = F.pad(weight, [0, taps - edge]).permute(0, 1, 4, 2, 3).flatten(1, 2)[..., None]
    return F.conv3d(seen.permute(0, 4, 1, 2, 3), folded, bias, (*stride[:2], 1))


class ThinConv3d(nn.Conv3d):
    """A convolution that looks at few channels, with its usual padding."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See ``torch.nn.Conv3d``."""
        if not goes_by_taps(x, self.weight):
            return super().forward(x)
        assert not isinstance(self.padding, str)
        sides = [(edge, edge) for edge in self.padding]
        return convolve_by_taps(x, self.weight, self.bias, stride=self.stride, sides=sides)
