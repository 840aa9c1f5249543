"""Activations computed a second time in the backward pass instead of kept: memory for a third more time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["recompute_activations"]


def recompute_activations(backbone: nn.Module) -> None:
    """Let every part of a backbone keep its input alone: stem layers and each residual block.

    Names of weights, values and gradients stay as they are; norms count each step once.
    """
    for part in _parts(backbone):
        part.forward = functools.partial(_recomputed, part, part.forward)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Children that hold weights; where one is a chain of composed modules, the links of that chain."""
    for child in module.children():
        is_chain = isinstance(child, nn.Sequential) and any(True for link in child for _ in link.children())
        if is_chain:
            yield from _parts(child)
        elif any(True for _ in child.parameters()):
            yield child


def _recomputed(
    part: nn.Module, forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    if not (part.training and torch.is_grad_enabled()):
        return forward(x)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _on_copies_of_buffers(part)

    output: torch.Tensor = checkpoint(
        forward, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return output


@contextmanager
def _on_copies_of_buffers(part: nn.Module) -> Iterator[None]:
    """Norms update their running statistics in each forward pass: those of the second are thrown away."""
    originals = [
        (owner, name, buffer)
        for owner in part.modules()
        for name, buffer in owner.named_buffers(recurse=False)
    ]
    for owner, name, buffer in originals:
        setattr(owner, name, buffer.clone())
    try:
        yield
    finally:
        for owner, name, buffer in originals:
            setattr(owner, name, buffer)
