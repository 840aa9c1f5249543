"""Cosines between the views of a batch, over all processes, and which of them count."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from segclr.model.loss.gather import gather_labels, gather_rows

__all__ = ["Similarities", "pair_similarities"]


class Similarities(NamedTuple):
    """Of this process's 2n views (rows: those of ``view_a``, then of ``view_b``) to all processes' 2m.

    Attributes:
        cosines: [2n, 2m].
        partner: int64 [2n], column of each row's partner.
        left_out: bool [2n, 2m], neither partner nor negative: the view itself and, where groups are given,
            the other pairs of the same segment.
    """

    cosines: torch.Tensor
    partner: torch.Tensor
    left_out: torch.Tensor


def pair_similarities(
    view_a: torch.Tensor, view_b: torch.Tensor, groups: torch.Tensor | None
) -> Similarities:
    """Cosines of n pairs: row i of [n, d] ``view_a`` and of ``view_b`` show the same cell."""
    n = len(view_a)
    own = torch.stack([F.normalize(view_a, dim=1), F.normalize(view_b, dim=1)])  # [2, n, d]
    every, first = gather_rows(own)  # [2, m, d] of all processes; this one's rows begin at `first`
    m = every.shape[1]
    cosines = own.flatten(0, 1) @ every.flatten(0, 1).T
    row = torch.arange(2 * n, device=own.device)
    pair = first + row % n  # of all processes' pairs
    half = row // n
    itself = half * m + pair
    partner = (1 - half) * m + pair
    left_out = torch.zeros_like(cosines, dtype=torch.bool)
    if groups is not None:
        left_out = groups.repeat(2)[:, None] == gather_labels(groups).repeat(2)[None, :]
        left_out[row, partner] = False
    left_out[row, itself] = True
    return Similarities(cosines, partner, left_out)
