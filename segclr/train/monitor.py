"""Measures of an embedding space that need no labels; all are computed in float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = [
    "alignment",
    "cosine_of_others",
    "cosine_of_partners",
    "dead_dimensions",
    "dimension_variances",
    "effective_rank",
    "uniformity",
]

_DEAD = 1e-4  # of the variance that a dimension has where directions are spread evenly: 1 % of its spread


def alignment(embeddings_a: torch.Tensor, embeddings_b: torch.Tensor) -> float:
    """Mean squared distance of normalised partners, 0 to 4; rows i of both [n, d] are a pair.

    Source: Wang and Isola, Understanding contrastive representation learning (ICML 2020), alpha = 2. It
    equals 2 - 2 * mean cosine of partners.
    """
    a, b = F.normalize(embeddings_a.double(), dim=1), F.normalize(embeddings_b.double(), dim=1)
    return float((a - b).square().sum(dim=1).mean())


def uniformity(embeddings: torch.Tensor) -> float:
    """Log of the mean Gaussian potential between normalised rows of [n, d], t = 2; lower is more spread.

    Source: Wang and Isola (ICML 2020): log of the mean over pairs of exp(-2 * squared distance). 0 where
    all rows point one way; about -4 where they are spread evenly over a sphere of many dimensions.
    """
    distances = torch.pdist(F.normalize(embeddings.double(), dim=1))
    return float(distances.square().mul(-2).exp().mean().log())


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


def dimension_variances(embeddings: torch.Tensor) -> torch.Tensor:
    """Variance of each dimension of the normalised rows of [n, d], times d, float64 [d].

    All are 1 where directions are spread evenly over the sphere, and 0 where all rows point one way.
    Source: the standard deviation that Chen and He, Exploring simple siamese representation learning
    (CVPR 2021), watch for collapse, squared and times d.
    """
    unit = F.normalize(embeddings.double(), dim=1)
    return unit.var(dim=0, correction=0) * unit.shape[1]


def dead_dimensions(embeddings: torch.Tensor) -> float:
    """Share of the dimensions of [n, d] whose ``dimension_variances`` is below 1e-4: they say nothing."""
    return float((dimension_variances(embeddings) < _DEAD).double().mean())


def cosine_of_partners(embeddings_a: torch.Tensor, embeddings_b: torch.Tensor) -> torch.Tensor:
    """Cosine similarity of each pair, float64 [n]."""
    return F.cosine_similarity(embeddings_a.double(), embeddings_b.double(), dim=1)


def cosine_of_others(embeddings: torch.Tensor, groups: torch.Tensor) -> float:
    """Mean cosine similarity between rows of [n, d] of different groups (cells); nan for one group only."""
    unit = F.normalize(embeddings.double(), dim=1)
    other = groups[:, None] != groups[None, :]
    return float((unit @ unit.T)[other].mean())
