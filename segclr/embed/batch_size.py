"""The largest batch within a limit of memory, found by trial."""

from __future__ import annotations

import contextlib
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segclr.config import EmbedConfig
from segclr.errors import EncoderError
from segclr.model.inference import is_out_of_memory

if TYPE_CHECKING:
    from segclr.model.encoder import Encoder

__all__ = ["MOST_CUBES", "find_batch_size", "largest_within"]

MOST_CUBES = 256
"""Larger batches of 129 voxels gain nothing; on a CPU, nothing beyond some dozens of cubes."""

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_SHARE_OF_GPU = 0.8
_CPU_GB = 2.4  # 80 % of a worker's default limit


def find_batch_size(
    encoder: Encoder, *, config: EmbedConfig, device: torch.device, memory_gb: float | None = None
) -> int:
    """Encode batches of 1, 2, 4 ... cubes; answers the last that stays within the limit.

    The cubes are full: an engine that skips empty space needs the most memory for those.

    Memory is the device's most in use, on a CPU this process's: its weights and the block read so far count.

    Args:
        encoder: moved to the device.
        config: precision and engine.
        device: to run on.
        memory_gb: the limit; absent: 80 % of a GPU's memory, 2.4 GB on a CPU.

    Raises:
        EncoderError: not even one cube fits.
    """
    limit = memory_gb * 1e9 if memory_gb is not None else _default_limit(device)

    def peak_bytes(n: int) -> float | None:
        _forget_most(device)
        try:
            cubes = torch.full((n, *(encoder.size_vx,) * 3), 128, dtype=torch.uint8, device=device)
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="a batch of .* does not fit into the memory")
                encoder.embed_tensor(
                    cubes,
                    batch_size=n,
                    device=device,
                    precision=config.precision,
                    engine=config.engine,
                    compiled=config.compile,
                )
        except UserWarning:
            return None
        except EncoderError as error:
            if "does not fit into the memory" not in str(error):
                raise
            return None
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None
        return _most_in_use(device)

    try:
        return largest_within(limit, peak_bytes)
    finally:
        encoder.free_memory()  # of the batch that was too large


def largest_within(limit: float, peak_bytes: Callable[[int], float | None]) -> int:
    """The largest power of two whose peak is within a limit, as far as ``MOST_CUBES``.

    Args:
        limit: bytes.
        peak_bytes: of a batch of so many cubes; None where it does not fit at all.

    Raises:
        EncoderError: one cube is too many.
    """
    found, n = 0, 1
    while n <= MOST_CUBES:
        peak = peak_bytes(n)
        if peak is None or peak > limit:
            break
        found, n = n, 2 * n
    if not found:
        msg = f"one cube takes more than {limit / 1e9:.3g} GB: raise embed.memory_gb or set embed.batch_size"
        raise EncoderError(msg)
    return found


def _default_limit(device: torch.device) -> float:
    if device.type == "cuda":
        return _SHARE_OF_GPU * torch.cuda.get_device_properties(device).total_memory
    return _CPU_GB * 1e9


def _forget_most(device: torch.device) -> None:
    """Count anew: what the process needed before, as in a training, is not this batch's."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")


def _most_in_use(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.max_memory_reserved(device))
    if _STATUS.exists():  # VmHWM can be reset, ru_maxrss cannot
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024.0 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * 1024)
