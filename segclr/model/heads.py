"""The heads behind the residual network: bottleneck to the embedding, projection for the loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

__all__ = ["MlpHead"]


class MlpHead(nn.Module):
    """Dense layers without bias, each followed by a norm, with ReLU after all but the last.

    The pattern of the published network (bottleneck 512 -> 512 -> 512 -> 64, projection
    64 -> 64 -> 64 -> 16). ``norm="group"`` takes layer norm, which needs no other row of the batch.
    """

    def __init__(self, widths: Sequence[int], *, norm: Literal["batch", "group"]) -> None:
        """Map ``widths[0]`` numbers to ``widths[-1]`` through ``len(widths) - 1`` layers."""
        super().__init__()
        layers: list[nn.Module] = []
        for index, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
            if index > 0:
                layers.append(nn.ReLU(inplace=True))
            layers.append(nn.Linear(n_in, n_out, bias=False))
            layers.append(nn.LayerNorm(n_out) if norm == "group" else nn.BatchNorm1d(n_out))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, widths[0]] -> [n, widths[-1]]."""
        result: torch.Tensor = self.layers(x)
        return result
