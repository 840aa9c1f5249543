"""How much is gathered at a time."""

from __future__ import annotations

import torch

__all__ = ["chunk_rows"]

_BYTES = 1 << 26


def chunk_rows(in_cache: int, device: torch.device, *, row_bytes: int) -> int:
    """Rows of one piece: on a CPU what stays in the cache; elsewhere 64 MB, for each launch has its cost."""
    return in_cache if device.type == "cpu" else max(1, _BYTES // row_bytes)
