"""The heads behind the residual network: bottleneck to the embedding, projection for the loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

__all__ = ["MlpHead", "light_projection"]


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


def light_projection(n_in: int, n_out: int, *, norm: Literal["batch", "group"]) -> nn.Sequential:
    """[n, n_in] -> [n, n_out] with one hidden layer and no norm at the end.

    The published heads are six normed layers deep: at first they blow the noise of a young backbone up to
    confident similarities, and it takes thousands of steps to get over it. This one learns at once.
    """
    return nn.Sequential(
        nn.ReLU(), *MlpHead((n_in, n_in), norm=norm).layers, nn.ReLU(), nn.Linear(n_in, n_out)
    )
