"""Random features: cosines whose inner products are, up to noise, a Gaussian kernel."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["RandomFeatures"]


class RandomFeatures(nn.Module):
    """phi(x) = sqrt(2 / D) cos(W x + b), so that phi(x) . phi(y) ~ exp(-|x - y|^2 / (2 kernel_scale)).

    Rahimi & Recht 2007 ("Random features for large-scale kernel machines"). The rows of W are orthogonal
    within each block of ``in_features`` of them and as long as rows of a Gaussian matrix, which lowers the
    noise of the kernel (Yu 2016, 10.48550/arXiv.1610.09072). Drawn once from torch's generator, not trained.

    Args:
        in_features: length of x.
        n_features: D.
        kernel_scale: the square of the kernel's length; distances well above its root are far.
    """

    directions: Tensor
    phases: Tensor

    def __init__(self, in_features: int, n_features: int, *, kernel_scale: float) -> None:
        """Draw W [D, in_features] and b [D]."""
        super().__init__()
        n_blocks = math.ceil(n_features / in_features)
        square = torch.linalg.qr(torch.randn(n_blocks, in_features, in_features)).Q
        lengths = torch.randn(n_features, in_features).norm(dim=1, keepdim=True)
        directions = square.reshape(-1, in_features)[:n_features] * lengths / math.sqrt(kernel_scale)
        self.register_buffer("directions", directions)
        self.register_buffer("phases", 2 * math.pi * torch.rand(n_features))

    def forward(self, x: Tensor) -> Tensor:
        """Features [n, D] of x [n, in_features]; each row has a length of about 1."""
        scale = math.sqrt(2 / len(self.phases))
        return scale * torch.cos(x @ self.directions.T + self.phases)
