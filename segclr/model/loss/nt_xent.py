"""NT-Xent: normalised temperature-scaled cross entropy (Chen et al., SimCLR, ICML 2020, equation 1).

With ``s(i, j)`` the cosine of projections i and j of the 2n views of a batch, and p(i) the partner of i::

    loss = mean_i  -log( exp(s(i, p(i)) / t) / sum_{j != i} exp(s(i, j) / t) )
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from segclr.model.loss.similarity import pair_similarities

__all__ = ["NtXent"]


@dataclass(frozen=True)
class NtXent:
    """The loss as a function of two aligned sets of views.

    In a distributed run every process calls it with its own pairs: the negatives are gathered from all,
    with their gradients, and the mean of the processes' values (which DDP forms) is the value and gradient
    of one process that holds the whole batch.
    """

    temperature: float = 0.1

    def __call__(
        self, view_a: torch.Tensor, view_b: torch.Tensor, groups: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Loss of n pairs: row i of [n, d] ``view_a`` and of [n, d] ``view_b`` show the same cell.

        Args:
            view_a: projections [n, d], not yet normalised.
            view_b: the partners [n, d].
            groups: int64 [n], equal for pairs of the same segment. Where given, other pairs of the same
                segment are left out of the sum: they are no true negatives.
        """
        cosines, partner, left_out = pair_similarities(view_a, view_b, groups)
        return F.cross_entropy((cosines / self.temperature).masked_fill(left_out, -torch.inf), partner)
