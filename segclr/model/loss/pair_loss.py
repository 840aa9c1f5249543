"""What all losses have in common, and the configured one."""

from __future__ import annotations

from typing import Protocol

import torch

from segclr.config import EncoderConfig, TrainConfig
from segclr.model.loss.decoupled import Decoupled
from segclr.model.loss.nt_xent import NtXent
from segclr.model.loss.simsiam import SimSiam
from segclr.model.loss.vicreg import VicReg

__all__ = ["PairLoss", "build_loss"]


class PairLoss(Protocol):
    """A scalar for two aligned sets of projections.

    In a distributed run each process calls it with as many own rows, and the mean of the processes' values
    and gradients is that of one process with all rows. A loss that learns is a ``torch.nn.Module``: the
    training module that holds it then trains and saves its weights too.
    """

    def __call__(
        self, view_a: torch.Tensor, view_b: torch.Tensor, groups: torch.Tensor | None = None, /
    ) -> torch.Tensor:
        """Rows i of [n, d] ``view_a`` and ``view_b`` show one cell; ``groups`` [n] are its segments."""
        ...


def build_loss(train: TrainConfig, encoder: EncoderConfig, *, seed: int) -> PairLoss:
    """The configured loss; weights it has are a function of ``seed``, PyTorch's own state untouched."""
    if train.loss == "nt_xent":
        return NtXent(train.temperature)
    if train.loss == "decoupled":
        return Decoupled(train.temperature)
    if train.loss == "vicreg":
        return VicReg(*train.vicreg_weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SimSiam(encoder.projection_dim, hidden=train.predictor_hidden, norm=encoder.norm)
