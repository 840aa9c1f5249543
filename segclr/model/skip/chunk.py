"""How much is gathered at a time."""

from __future__ import annotations

import torch

__all__ = ["chunk_rows"]

_LAUNCHES = 32


def chunk_rows(in_cache: int, device: torch.device) -> int:
    """Rows of one piece: on a CPU what stays in the cache; elsewhere more, for each launch has its cost."""
    return in_cache if device.type == "cpu" else _LAUNCHES * in_cache
