"""SimSiam: a predictor on one side, no gradient on the other (Chen and He, CVPR 2021, equations 1 to 4).

With the predictor h, projections a and b, and ``sg`` the same values without gradient::

    loss = mean_i  -cos(h(a_i), sg(b_i)) / 2 - cos(h(b_i), sg(a_i)) / 2
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["SimSiam"]


class SimSiam(nn.Module):
    """The loss as a function of two aligned sets of views; its predictor is trained with the network.

    It needs no negatives and no other rows than its own: across processes the mean of the values is that
    of the whole batch, where the predictor's norm sees the whole batch or one row alone.
    """

    def __init__(self, dim: int, *, hidden: int, norm: Literal["batch", "group"]) -> None:
        """A predictor ``dim -> hidden -> dim``; random weights from PyTorch's global state."""
        super().__init__()
        self.predictor = nn.Sequential(
            nn.Linear(dim, hidden, bias=False),
            nn.LayerNorm(hidden) if norm == "group" else nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, dim),
        )

    def forward(
        self, view_a: torch.Tensor, view_b: torch.Tensor, groups: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss of n pairs, -1 to 1: row i of [n, d] ``view_a`` and of ``view_b`` show the same cell.

        ``groups`` changes nothing: there are no negatives.
        """
        a_to_b = F.cosine_similarity(self.predictor(view_a), view_b.detach()).mean()
        b_to_a = F.cosine_similarity(self.predictor(view_b), view_a.detach()).mean()
        return -(a_to_b + b_to_a) / 2
