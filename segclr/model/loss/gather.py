"""Rows of all processes of a distributed run, with their gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed

__all__ = ["gather_labels", "gather_rows"]


def gather_rows(own: torch.Tensor) -> tuple[torch.Tensor, int]:
    """All processes' rows along axis 1 in rank order, and where the own rows begin.

    Every process must hold as many rows. The gradient of a row is the sum over all processes' losses, so
    that DDP's mean over processes is the gradient of the mean loss.
    """
    if not _is_distributed():
        return own, 0
    every: torch.Tensor = _GatherRows.apply(own.contiguous())  # type: ignore[no-untyped-call]
    return every, distributed.get_rank() * own.shape[1]


def gather_labels(own: torch.Tensor) -> torch.Tensor:
    """All processes' labels [n] in rank order."""
    if not _is_distributed():
        return own
    every = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(every, own.contiguous())
    return torch.cat(every)


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class _GatherRows(torch.autograd.Function):
    """All-gather with gradient; torch.distributed.nn's own is deprecated from torch 2.13 on."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        every = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(every, own)
        ctx.n_rows = own.shape[1]
        return torch.cat(every, dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        gradient = gradients[0].contiguous()
        distributed.all_reduce(gradient)
        return gradient.narrow(1, distributed.get_rank() * ctx.n_rows, ctx.n_rows)
