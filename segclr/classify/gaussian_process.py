"""A Gaussian process as the last layer: logits, and how little the labelled data say about each."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from segclr.classify.random_features import RandomFeatures

__all__ = ["GaussianProcessLayer"]


class GaussianProcessLayer(nn.Module):
    """f(h) = B phi(h) with random features phi and a Gaussian prior B ~ N(0, 1 / ridge).

    This is a Gaussian process with the kernel exp(-|h - h'|^2 / (2 kernel_scale)) / ridge, in its
    finite approximation. The Laplace approximation of its posterior around the weights B has the covariance

        (ridge I + sum_i w_i phi_i phi_i^T)^-1,    w_i = p_i (1 - p_i),

    one matrix for all outputs (Rasmussen & Williams 2006, section 3.4; Liu 2020, 10.48550/arXiv.2006.10108).
    Of several outputs, w_i is the largest of theirs. With w_i = 1 it is the covariance of a Gaussian
    likelihood, the published default: then data the layer is sure of count in full, whereas p (1 - p) of
    them is next to nothing.

    Args:
        in_features: length of h.
        n_outputs: logits.
        n_features: random features D.
        kernel_scale: of the kernel.
        ridge: precision of the prior.
    """

    root: Tensor

    def __init__(
        self, in_features: int, n_outputs: int, *, n_features: int, kernel_scale: float, ridge: float
    ) -> None:
        """Begin at the prior: weights of 0, the covariance without any data."""
        super().__init__()
        self.features = RandomFeatures(in_features, n_features, kernel_scale=kernel_scale)
        self.weight = nn.Parameter(torch.zeros(n_outputs, n_features))
        self.ridge = ridge
        self.register_buffer("root", torch.zeros(0, n_features, dtype=torch.float64))

    def forward(self, h: Tensor) -> Tensor:
        """Logits [n, n_outputs] of h [n, in_features]."""
        return self.features(h) @ self.weight.T

    @torch.no_grad()
    def fit_covariance(self, batches: Iterable[tuple[Tensor, Tensor]], *, n_rows: int) -> None:
        """Take the precision's root from one pass through the data, anew and exactly.

        With S the weighted features of all rows, [n_rows, D]: for fewer rows than features the root is
        R = L^-1 S with L L^T = ridge I + S S^T, and the variance (|phi|^2 - |R phi|^2) / ridge (Woodbury);
        otherwise R = L^-1 with L L^T = ridge I + S^T S, and the variance |R phi|^2.

        Args:
            batches: h [n, in_features] and w [n].
            n_rows: of all batches together.
        """
        n_features = self.weight.shape[1]
        weighted = (self.features(h).double() * w.double().sqrt()[:, None] for h, w in batches)
        gram = self.ridge * torch.eye(min(n_rows, n_features), dtype=torch.float64, device=self.weight.device)
        if n_rows < n_features:
            seen = torch.cat(list(weighted))
            lower = torch.linalg.cholesky(gram.addmm_(seen, seen.T))
            self.root = torch.linalg.solve_triangular(lower, seen, upper=False).contiguous()
            return
        for rows in weighted:
            gram.addmm_(rows.T, rows)
        identity = torch.eye(n_features, dtype=torch.float64, device=gram.device)
        lower = torch.linalg.cholesky(gram)
        self.root = torch.linalg.solve_triangular(lower, identity, upper=False).contiguous()

    @torch.no_grad()
    def variance(self, h: Tensor) -> Tensor:
        """Posterior variance of each logit, float64 [n]: 0 to about 1 / ridge."""
        phi = self.features(h).double()
        explained = (phi @ self.root.T).square().sum(dim=1)
        if self.root.shape[0] == self.root.shape[1]:
            return explained
        return (phi.square().sum(dim=1) - explained).clamp_min(0.0) / self.ridge
