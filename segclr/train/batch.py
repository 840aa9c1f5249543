"""What a training step receives."""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = ["PairBatch"]


class PairBatch(NamedTuple):
    """Two aligned sets of stored cubes: row i of both shows the same cell.

    A NamedTuple, because PyTorch moves and collates it without losing its kind.

    Attributes:
        step: number of the optimiser step this batch, or part of one, is for.
        cubes_a: uint8 [n, z, y, x] as stored, margin included.
        cubes_b: uint8 [n, z, y, x], the partners.
        groups: int64 [n], equal for pairs of the same segment.
        samples: int64 [n], number of each pair in the endless sequence of samples; draws follow from it.
    """

    step: int
    cubes_a: torch.Tensor
    cubes_b: torch.Tensor
    groups: torch.Tensor
    samples: torch.Tensor
