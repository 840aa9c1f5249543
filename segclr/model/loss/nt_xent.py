"""NT-Xent: normalised temperature-scaled cross entropy (Chen et al., SimCLR, ICML 2020, equation 1).

With ``s(i, j)`` the cosine of projections i and j of the 2n views of a batch, and p(i) the partner of i::

    loss = mean_i  -log( exp(s(i, p(i)) / t) / sum_{j != i} exp(s(i, j) / t) )
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from segclr.model.loss.gather import gather_labels, gather_rows

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
        n = len(view_a)
        own = torch.stack([F.normalize(view_a, dim=1), F.normalize(view_b, dim=1)])  # [2, n, d]
        every, first = gather_rows(own)  # [2, m, d] of all processes; this one's rows begin at `first`
        m = every.shape[1]
        similarity = own.flatten(0, 1) @ every.flatten(0, 1).T / self.temperature  # [2n, 2m]
        pair = torch.arange(first, first + n, device=own.device).repeat(2)  # global pair of each row
        half = torch.arange(2, device=own.device).repeat_interleave(n)
        itself = half * m + pair
        partner = (1 - half) * m + pair
        left_out = torch.zeros_like(similarity, dtype=torch.bool)
        if groups is not None:
            every_group = gather_labels(groups).repeat(2)
            left_out = groups.repeat(2)[:, None] == every_group[None, :]
            left_out[torch.arange(2 * n, device=own.device), partner] = False
        left_out[torch.arange(2 * n, device=own.device), itself] = True
        return F.cross_entropy(similarity.masked_fill(left_out, -torch.inf), partner)
