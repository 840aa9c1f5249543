"""Optimisers, the schedule of the learning rate, and what weight decay leaves alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from segclr.config import TrainConfig

__all__ = ["Lars", "learning_rate_factor", "make_optimizer", "parameter_groups"]

_MOMENTUM = 0.9
_LARS_TRUST = 0.001  # published training code


class Lars(Optimizer):
    """Layer-wise adaptive rate scaling (You et al., arXiv 1708.03888), as the published training used it.

    For each tensor ``v = momentum * v + rate * local * (gradient + decay * w)``, ``w -= v``, with
    ``local = trust * |w| / |gradient + decay * w|``. Groups without decay (norms, biases) are not adapted.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float = _MOMENTUM,
        weight_decay: float = 0.0,
        trust: float = _LARS_TRUST,
    ) -> None:
        """Take parameters or parameter groups; a group may set ``adapt``, false for norms and biases."""
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        direction = parameter.grad.add(parameter, alpha=group["weight_decay"])
        rate = torch.as_tensor(group["lr"], device=parameter.device)
        if group["adapt"]:
            weight_norm, direction_norm = parameter.norm(), direction.norm()
            local = group["trust"] * weight_norm / direction_norm
            usable = (weight_norm > 0) & (direction_norm > 0)
            rate = rate * torch.where(usable, local, torch.ones_like(local))
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].mul_(group["momentum"]).add_(direction * rate)
        parameter.sub_(state["momentum"])


def parameter_groups(network: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Kernels with weight decay; norms and biases (tensors of one axis) without, and not adapted by LARS.

    Weights that take no gradient (frozen ones, running means) are in neither group.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    kernels = [p for p in trained if p.ndim > 1]
    others = [p for p in trained if p.ndim <= 1]
    return [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def make_optimizer(network: nn.Module, config: TrainConfig) -> Optimizer:
    """The configured optimiser over a network's parameters."""
    kernels, others = parameter_groups(network, weight_decay=config.weight_decay)
    if config.optimizer == "lars":
        return Lars([kernels, {**others, "adapt": False}], lr=config.learning_rate)
    if config.optimizer == "sgd":
        return SGD([kernels, others], lr=config.learning_rate, momentum=_MOMENTUM)
    return AdamW([kernels, others], lr=config.learning_rate)


def learning_rate_factor(step: int, *, steps: int, warmup_steps: int) -> float:
    """Share of the peak rate at a step: linear warm-up, then half a cosine to 0 (Loshchilov, SGDR).

    >>> [round(learning_rate_factor(k, steps=6, warmup_steps=2), 3) for k in range(7)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    return 0.5 * (1 + math.cos(math.pi * progress))
