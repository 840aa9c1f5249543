"""How much work an encoder is, counted without doing it."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from segclr.config import EncoderConfig
from segclr.model.network import build_network

__all__ = ["gflop_per_cube"]


def gflop_per_cube(config: EncoderConfig, *, size_vx: int) -> float:
    """10^9 operations of one forward pass over one cube; a product and its sum count as two.

    Counted by PyTorch on tensors without values: convolutions and matrix products, which are all but a
    few per cent of the work.
    """
    with torch.device("meta"):
        network = build_network(config.architecture, seed=0).eval()
        cube = torch.empty((1, 1, size_vx, size_vx, size_vx))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(cube)
    return float(counter.get_total_flops()) / 1e9
