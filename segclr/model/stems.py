"""The first layers: from one grey channel to the channels and the resolution of the first stage."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["SpaceToDepth", "Stem", "stem_layers"]

Stem = Literal["large", "medium", "small", "patch"]

_FOLD = 2
_CONVOLUTIONS: dict[Stem, tuple[int, int]] = {  # kernel, stride
    "large": (7, 2),
    "medium": (5, 2),
    "small": (3, 1),
    "patch": (3, 2),
}


class SpaceToDepth(nn.Module):
    """Fold 2^3 voxels into channels: convolutions of one or two channels run far below a CPU's peak.

    Odd edges get one layer of zeros (background) at their end.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, c, z, y, x] -> [n, 8 c, z / 2, y / 2, x / 2], rounded up, laid out channels last."""
        padding = [side for edge in reversed(x.shape[2:]) for side in (0, edge % _FOLD)]
        x = F.pad(x, padding)
        n, c = x.shape[:2]
        depth, height, width = (edge // _FOLD for edge in x.shape[2:])
        folded = x.reshape(n, c, depth, _FOLD, height, _FOLD, width, _FOLD).permute(0, 2, 4, 6, 1, 3, 5, 7)
        return folded.reshape(n, depth, height, width, c * _FOLD**3).permute(0, 4, 1, 2, 3)


def stem_layers(n_in: int, channels: int, *, kind: Stem, norm: nn.Module) -> nn.Sequential:
    """Layers from ``n_in`` to ``channels`` channels, ``norm`` being over as many."""
    kernel, stride = _CONVOLUTIONS[kind]
    n_in *= _FOLD**3 if kind == "patch" else 1
    convolution = nn.Conv3d(n_in, channels, kernel, stride=stride, padding=kernel // 2, bias=False)
    layers: list[nn.Module] = [SpaceToDepth()] if kind == "patch" else []
    layers += [convolution, norm, nn.ReLU(inplace=True)]
    if kind == "large":
        layers.append(nn.MaxPool3d(3, stride=2, padding=1))
    return nn.Sequential(*layers)
