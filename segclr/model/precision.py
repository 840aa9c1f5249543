"""Which device to run on, and which number format it runs best."""

from __future__ import annotations

import torch

from segclr.config import Precision
from segclr.errors import EncoderError

__all__ = ["has_fast_bfloat16", "resolve_device", "resolve_precision"]


def resolve_device(name: str = "auto") -> torch.device:
    """``auto`` is the current CUDA device where there is one, else the CPU.

    Raises:
        EncoderError: the name is unknown, or names CUDA on a machine without it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        msg = f"device must be auto, cpu, cuda or cuda:<n>, got {name!r}"
        raise EncoderError(msg) from error
    if device.type not in ("cpu", "cuda", "mps"):  # weights moved to "meta" would be gone
        msg = f"device must be auto, cpu, cuda or cuda:<n>, got {name!r}"
        raise EncoderError(msg)
    if device.type == "cuda" and not torch.cuda.is_available():
        msg = f"device {name!r} was asked for, but PyTorch sees no CUDA device here; allowed: auto, cpu"
        raise EncoderError(msg)
    if device.type == "mps" and not torch.backends.mps.is_available():
        msg = f"device {name!r} was asked for, but PyTorch sees no Apple GPU here; allowed: auto, cpu"
        raise EncoderError(msg)
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is in the hardware: AMX or AVX-512 BF16 on CPUs, compute capability 8 on CUDA."""
    if device.type == "cpu":
        checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, name, lambda: False)() for name in checks)
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return False


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format of the convolutions; ``auto`` is bfloat16 where the hardware has it, else float32.

    Raises:
        EncoderError: float16 on a CPU, which has no fast kernels for it.
    """
    if precision == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if precision == "float16" and device.type == "cpu":
        msg = "precision float16 needs a CUDA device; on a CPU take float32, bfloat16 or auto"
        raise EncoderError(msg)
    allowed = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision not in allowed:
        msg = f"precision must be auto, {', '.join(allowed)}; got {precision!r}"
        raise EncoderError(msg)
    return allowed[precision]
