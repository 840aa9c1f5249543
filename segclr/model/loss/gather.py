"""Rows, labels and means over all processes of a distributed run, with their gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed

__all__ = ["gather_labels", "gather_rows", "mean_over_processes", "rank_and_count"]


def rank_and_count() -> tuple[int, int]:
    """This process's rank and how many processes there are; (0, 1) outside a distributed run."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def gather_rows(own: torch.Tensor) -> tuple[torch.Tensor, int]:
    """All processes' rows along axis 1 in rank order, and where the own rows begin.

    Every process must hold as many rows. The gradient of a row is the sum over all processes' losses, so
    that DDP's mean over processes is the gradient of the mean loss.
    """
    rank, n_processes = rank_and_count()
    if n_processes == 1:
        return own, 0
    every: torch.Tensor = _GatherRows.apply(own.contiguous())  # type: ignore[no-untyped-call]
    return every, rank * own.shape[1]


def gather_labels(own: torch.Tensor) -> torch.Tensor:
    """All processes' labels [n] in rank order."""
    _, n_processes = rank_and_count()
    if n_processes == 1:
        return own
    every = [torch.empty_like(own) for _ in range(n_processes)]
    distributed.all_gather(every, own.contiguous())
    return torch.cat(every)


def mean_over_processes(value: torch.Tensor) -> torch.Tensor:
    """Mean of all processes' values, without gradient."""
    _, n_processes = rank_and_count()
    mean = value.detach().clone()
    if n_processes > 1:
        distributed.all_reduce(mean)
        mean /= n_processes
    return mean


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
        # a copy: autograd may hold the same tensor elsewhere, and all_reduce writes into it
        gradient = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient)
        return gradient.narrow(1, distributed.get_rank() * ctx.n_rows, ctx.n_rows)
