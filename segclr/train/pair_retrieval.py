"""Held-out pair retrieval: is a view's partner nearer to it than the views of other cells are?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

__all__ = ["PairRetrieval", "pair_retrieval"]

_TIE_DECIMALS = 12  # cosines closer than this are one value: matrix products differ in the last bits


@dataclass(frozen=True, kw_only=True)
class PairRetrieval:
    """How well partners are found, with what a random guess reaches; all are means over the views.

    Attributes:
        top1: share of the views whose nearest candidate is their partner.
        top5: share whose partner is among the five nearest candidates.
        outranked: share of the views of other cells that are further than the partner. By chance 1/2. It is
            the area under the ROC curve of partners against others, and steadier than ``top1``.
        chance_top1: ``top1`` of a random guess.
        chance_top5: ``top5`` of a random guess.
        n_views: views that were judged, those with at least one view of another cell.
    """

    top1: float
    top5: float
    outranked: float
    chance_top1: float
    chance_top5: float
    n_views: int


def pair_retrieval(
    embeddings_a: torch.Tensor, embeddings_b: torch.Tensor, groups: torch.Tensor
) -> PairRetrieval:
    """Rank each view's partner among its candidates by cosine similarity.

    The candidates of a view are its partner and all views of other cells. Other views of its own cell are
    none: they may be nearer with good reason, or even be the same cube in another pair, and the loss does
    not push them away either. A tie counts as a guess among the tied, so that a collapsed encoder scores
    chance exactly.

    Args:
        embeddings_a: [n, d]; rows i of both are a pair.
        embeddings_b: [n, d].
        groups: integer [n], a number for the cell of each pair.
    """
    n = len(embeddings_a)
    views = F.normalize(torch.cat([embeddings_a, embeddings_b]).double(), dim=1)
    similarity = (views @ views.T).round(decimals=_TIE_DECIMALS)
    cells = torch.cat([groups, groups])
    other = cells[:, None] != cells[None, :]
    judged = other.any(dim=1)
    to_partner = similarity.diagonal(n).repeat(2)[:, None]
    n_others = other.sum(dim=1)[judged].double()
    n_nearer = (other & (similarity > to_partner)).sum(dim=1)[judged].double()
    n_tied = (other & (similarity == to_partner)).sum(dim=1)[judged].double()

    def within(k: int) -> float:
        return float(((k - n_nearer) / (n_tied + 1)).clamp(0, 1).mean())

    def by_chance(k: int) -> float:
        return float((k / (n_others + 1)).clamp(max=1).mean())

    return PairRetrieval(
        top1=within(1),
        top5=within(5),
        outranked=float((1 - (n_nearer + n_tied / 2) / n_others).mean()),
        chance_top1=by_chance(1),
        chance_top5=by_chance(5),
        n_views=int(judged.sum()),
    )
