"""Where the kernel of ``fused`` is used: on CUDA devices, if Triton is there and works."""

from __future__ import annotations

import functools
import importlib.util
import warnings

import torch

__all__ = ["is_fused"]

_SMALLEST_TILE = 16
"""Least edge of a product of tiles."""


def is_fused(device: torch.device, dtype: torch.dtype, *, n_in: int, n_out: int) -> bool:
    """Whether gather and product are one kernel: on CUDA devices with Triton, for channels that fit."""
    fits = n_in % _SMALLEST_TILE == 0 and n_out % _SMALLEST_TILE == 0
    return device.type == "cuda" and fits and _triton_works(device, dtype)


@functools.cache
def _triton_works(device: torch.device, dtype: torch.dtype) -> bool:
    """Tried once a process; a warning says why it does not. Without Triton installed nothing is said."""
    if importlib.util.find_spec("triton") is None:
        return False
    try:
        from segclr.model.skip.fused import why_not_here

        reason = why_not_here(device, dtype)
    except ImportError as error:
        reason = str(error)
    if reason is not None:
        msg = f"Triton does not work on {device}, so skipping empty space is several times slower: {reason}"
        warnings.warn(msg, stacklevel=2)
    return reason is None
