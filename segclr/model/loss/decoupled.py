"""Decoupled contrastive loss (Yeh et al., ECCV 2022): NT-Xent without the partner below the line.

With ``s(i, j)`` the cosine of projections i and j of the 2n views of a batch, and p(i) the partner of i::

    loss = mean_i  -s(i, p(i)) / t + log sum_{j not in {i, p(i)}} exp(s(i, j) / t)

The partner in NT-Xent's denominator weakens the gradient of easy pairs, most in small batches; without it
small batches learn almost as well as large ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from segclr.model.loss.similarity import pair_similarities

__all__ = ["Decoupled"]


@dataclass(frozen=True)
class Decoupled:
    """The loss as a function of two aligned sets of views; across processes like ``NtXent``."""

    temperature: float = 0.1

    def __call__(
        self, view_a: torch.Tensor, view_b: torch.Tensor, groups: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss of n pairs; it may be below 0.

        Args:
            view_a: projections [n, d], not yet normalised.
            view_b: the partners [n, d].
            groups: int64 [n], equal for pairs of the same segment. Where given, other pairs of the same
                segment are no negatives; a view that has none left is only drawn to its partner.
        """
        cosines, partner, left_out = pair_similarities(view_a, view_b, groups)
        scaled = cosines / self.temperature
        row = torch.arange(len(scaled), device=scaled.device)
        left_out[row, partner] = True
        alone = left_out.all(dim=1)
        # the sum over nothing is log 0: such rows are summed over all (finite gradient), then set to 0
        negatives = scaled.masked_fill(left_out & ~alone[:, None], -torch.inf)
        repulsion = negatives.logsumexp(dim=1).masked_fill(alone, 0.0)
        return (repulsion - scaled[row, partner]).mean()
