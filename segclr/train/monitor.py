"""Numbers that tell learning from collapse, on embeddings of held-out pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["alignment", "effective_rank", "pair_top1", "uniformity"]


def pair_top1(embeddings_a: torch.Tensor, embeddings_b: torch.Tensor) -> float:
    """Share of the 2n views whose cosine-nearest among the 2n - 1 others is their partner.

    By chance 1 / (2n - 1). Rows i of both [n, d] are a pair.
    """
    n = len(embeddings_a)
    views = F.normalize(torch.cat([embeddings_a, embeddings_b]).double(), dim=1)
    similarity = views @ views.T
    similarity.fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * n, device=views.device).roll(n)
    return float((similarity.argmax(dim=1) == partner).double().mean())


def effective_rank(embeddings: torch.Tensor) -> float:
    """Number of dimensions in use: exp of the entropy of the normalised singular values of [n, d].

    Source: Roy and Vetterli, The effective rank (EUSIPCO 2007), on centred embeddings. 1 means that all
    lie on a line; 0 is returned where all are equal.
    """
    centred = embeddings.double() - embeddings.double().mean(dim=0)
    values = torch.linalg.svdvals(centred)
    if float(values.sum()) <= 1e-12 * max(1.0, float(embeddings.abs().max())):
        return 0.0
    share = values / values.sum()
    return float(torch.exp(-torch.special.xlogy(share, share).sum()))


def alignment(embeddings_a: torch.Tensor, embeddings_b: torch.Tensor) -> float:
    """Mean squared distance of normalised partners, 0 to 4 (Wang and Isola, ICML 2020)."""
    a, b = F.normalize(embeddings_a.double(), dim=1), F.normalize(embeddings_b.double(), dim=1)
    return float((a - b).square().sum(dim=1).mean())


def uniformity(embeddings: torch.Tensor) -> float:
    """Log of the mean Gaussian potential between normalised rows, t = 2 (Wang and Isola); lower is spread."""
    distances = torch.pdist(F.normalize(embeddings.double(), dim=1))
    return float(distances.square().mul(-2).exp().mean().log())
