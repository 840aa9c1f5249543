"""The first layers: from one grey channel to the channels and the resolution of the first stage."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from segclr.config import Stem
from segclr.geometry import Triple
from segclr.model.strides import Strides
from segclr.model.thin_input import ThinConv3d

__all__ = ["SpaceToDepth", "convolution_3d", "stem_layers"]

_KERNELS: dict[Stem, int] = {"large": 7, "medium": 5, "small": 3, "patch": 3}


class SpaceToDepth(nn.Module):
    """Fold neighbouring voxels into channels: convolutions of one or two channels run far below a CPU's peak.

    Edges that do not divide get zeros (background) at their end.
    """

    def __init__(self, fold: Triple = (2, 2, 2)) -> None:
        """``fold`` voxels (z, y, x) become channels."""
        super().__init__()
        self.fold = fold

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, c, z, y, x] -> [n, c * fold, z / fold, y / fold, x / fold], rounded up, channels last."""
        fz, fy, fx = self.fold
        ends = [-edge % f for edge, f in zip(x.shape[2:], self.fold, strict=True)]
        x = F.pad(x, [side for end in reversed(ends) for side in (0, end)])
        n, c = x.shape[:2]
        depth, height, width = (edge // f for edge, f in zip(x.shape[2:], self.fold, strict=True))
        folded = x.reshape(n, c, depth, fz, height, fy, width, fx).permute(0, 2, 4, 6, 1, 3, 5, 7)
        return folded.reshape(n, depth, height, width, c * fz * fy * fx).permute(0, 4, 1, 2, 3)


def stem_layers(
    n_in: int, channels: int, *, kind: Stem, norm: nn.Module, strides: Strides | None = None
) -> nn.Sequential:
    """Layers from ``n_in`` to ``channels`` channels, ``norm`` being over as many."""
    strides = strides or Strides()
    layers: list[nn.Module] = []
    n_before = 0
    if kind == "patch":
        fold = strides.stride(n_before)
        layers.append(SpaceToDepth(fold))
        n_in *= math.prod(fold)
        n_before += 1
    kernel = strides.kernel(_KERNELS[kind], n_before)
    stride: Triple = (1, 1, 1) if kind == "small" else strides.stride(n_before)
    padding: Triple = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    convolution = ThinConv3d(n_in, channels, kernel, stride=stride, padding=padding, bias=False)
    layers += [convolution, norm, nn.ReLU(inplace=True)]
    if kind == "large":
        pool = strides.kernel(3, 1)
        around = tuple(edge // 2 for edge in pool)
        layers.append(nn.MaxPool3d(pool, stride=strides.stride(1), padding=around))
    return nn.Sequential(*layers)


def convolution_3d(n_in: int, n_out: int, *, kernel: Triple, stride: Triple = (1, 1, 1)) -> nn.Conv3d:
    """A convolution without bias (a norm follows) that keeps edges, or divides them by ``stride``."""
    padding: Triple = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(n_in, n_out, kernel, stride=stride, padding=padding, bias=False)
