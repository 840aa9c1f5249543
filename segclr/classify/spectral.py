"""Spectral normalisation: no layer may stretch its input by more than a bound."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["SpectralBound"]


class SpectralBound:
    """Keeps the largest singular value of some layers' weights at or below a bound.

    Residual blocks h + g(h) whose g stretches by less than 1 can neither merge points that are far apart nor
    tear near ones, so a distance in the hidden space says something of the distance between the inputs (Liu
    2020, 10.48550/arXiv.2006.10108). Weights below the bound are left as they are (Gouk 2021,
    10.1007/s10994-020-05929-w); to divide all by their norm, as torch's own parametrisation does, would
    hold every layer at the bound.

    Args:
        layers: whose weights are bounded.
        bound: largest singular value allowed, above 0.
    """

    def __init__(self, layers: Iterable[nn.Linear], bound: float) -> None:
        """Begin with a direction for each layer, which the steps turn towards the largest singular vector."""
        self._bound = bound
        self._weights = [layer.weight for layer in layers]
        self._directions = [torch.ones(len(w), dtype=w.dtype, device=w.device) for w in self._weights]

    @torch.no_grad()
    def step(self) -> None:
        """One power iteration a layer, then scale down: after each step of the optimiser.

        The estimate lies below the true norm until the direction has turned; :meth:`finish` is exact.
        """
        for i, weight in enumerate(self._weights):
            right = nn.functional.normalize(weight.T @ self._directions[i], dim=0)
            left = weight @ right
            self._scale(weight, left.norm())
            self._directions[i] = nn.functional.normalize(left, dim=0)

    @torch.no_grad()
    def finish(self) -> None:
        """Scale down by the exact norms."""
        for weight in self._weights:
            self._scale(weight, torch.linalg.matrix_norm(weight, 2))

    def _scale(self, weight: Tensor, norm: Tensor) -> None:
        weight.mul_(torch.clamp(self._bound / norm.clamp_min(torch.finfo(weight.dtype).tiny), max=1.0))
