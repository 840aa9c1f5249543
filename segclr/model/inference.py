"""Running a network over many cubes: batches, number format, what to do when memory runs out."""

from __future__ import annotations

import warnings

import torch

from segclr.errors import EncoderError
from segclr.model.predictor import DensePredictor, Network, Predictor

__all__ = ["encode", "is_out_of_memory", "predict"]


def encode(
    network: Network, cubes: torch.Tensor, *, batch_size: int, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Embed uint8 cubes [n, z, y, x] with a network that lies on ``device`` -> float32 [n, d] there.

    The cubes may lie on another device: each batch is moved as uint8 and divided by 255 after it.

    Raises:
        EncoderError: not even one cube fits into memory, or an embedding is not finite.
    """
    predictor = DensePredictor(network, device=device, dtype=dtype)
    return predict(predictor, cubes, batch_size=batch_size, device=device)


def predict(
    predictor: Predictor, cubes: torch.Tensor, *, batch_size: int, device: torch.device
) -> torch.Tensor:
    """Embed uint8 cubes [n, z, y, x] from any device, batch by batch -> float32 [n, d] on ``device``.

    Where a batch does not fit into memory it is halved, for all that follow too, with one warning.

    Raises:
        EncoderError: not even one cube fits into memory, or an embedding is not finite.
    """
    parts: list[torch.Tensor] = []
    start = 0
    warned = False
    while start < len(cubes):
        batch = cubes[start : start + batch_size]
        try:
            parts.append(predictor(batch.to(device, non_blocking=True)))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                msg = f"one cube of shape {tuple(batch.shape[1:])} does not fit into the memory of {device}"
                raise EncoderError(msg) from error
            batch_size = len(batch) // 2
            if not warned:
                warnings.warn(
                    f"a batch of {len(batch)} cubes does not fit into the memory of {device}: "
                    f"going on with {batch_size} or fewer",
                    stacklevel=2,
                )
                warned = True
            continue
        start += len(batch)
    embeddings = torch.cat(parts)
    n_bad = int((~torch.isfinite(embeddings).all(dim=1)).sum())
    if n_bad:
        msg = (
            f"{n_bad} of {len(embeddings)} embeddings are not finite: the weights or the precision are broken"
        )
        raise EncoderError(msg)
    return embeddings


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an operation failed because a device's or the machine's memory is full."""
    # PyTorch's CPU allocator raises a plain RuntimeError: only its text tells.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
