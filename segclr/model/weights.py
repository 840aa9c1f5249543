"""Weights as safetensors bytes: no pickle, the same bytes for the same weights."""

from __future__ import annotations

import hashlib

import safetensors
import safetensors.torch
import torch
from torch import nn

from segclr.errors import CorruptDataError, EncoderError

__all__ = ["load_weights", "weights_from_bytes", "weights_sha256", "weights_to_bytes"]


def weights_to_bytes(network: nn.Module) -> bytes:
    """All parameters and buffers of a network, by name."""
    return bytes(safetensors.torch.save(_plain(network)))


def weights_from_bytes(content: bytes) -> dict[str, torch.Tensor]:
    """Tensors by name.

    Raises:
        CorruptDataError: the bytes are not safetensors.
    """
    try:
        return dict(safetensors.torch.load(content))
    except safetensors.SafetensorError as error:
        msg = f"weights are not in safetensors format: {error}"
        raise CorruptDataError(msg) from error


def load_weights(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Copy tensors into a network; every name and shape must fit.

    Raises:
        EncoderError: tensors are missing, unknown or of another shape; the first few are named.
    """
    own = network.state_dict()
    faults = [f"{name} is missing" for name in sorted(own.keys() - weights.keys())]
    faults += [f"{name} is unknown" for name in sorted(weights.keys() - own.keys())]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, allowed {tuple(own[name].shape)}"
        for name in sorted(own.keys() & weights.keys())
        if own[name].shape != weights[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        msg = f"weights do not fit the architecture: {'; '.join(faults[:5])}{more}"
        raise EncoderError(msg)
    network.load_state_dict(weights)


def weights_sha256(network: nn.Module) -> str:
    """Hex digest over names, kinds, shapes and values, whatever the device and memory layout."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_plain(network).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _plain(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
