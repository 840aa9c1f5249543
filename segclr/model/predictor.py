"""What turns masked cubes into embeddings: the interface, and the network run as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import nn

__all__ = ["DensePredictor", "FromBytes", "Network", "Predictor"]

Network = Callable[[torch.Tensor], torch.Tensor]
"""Cubes [n, 1, z, y, x], grey 0 to 1 -> embeddings [n, d]."""


class Predictor(Protocol):
    """A network made ready for one device, number format and size of cubes."""

    def __call__(self, cubes: torch.Tensor) -> torch.Tensor:
        """Masked cubes uint8 [n, z, y, x] on the predictor's device -> embeddings float32 [n, d] there."""


def _true_float32(device: torch.device) -> AbstractContextManager[None]:
    """No TensorFloat-32 within; what the user chose by PyTorch's ``fp32_precision`` stands."""
    cudnn = torch.backends.cudnn
    chosen = {getattr(module, "fp32_precision", "none") for module in (torch.backends, cudnn)}
    if device.type != "cuda" or chosen != {"none"}:
        return nullcontext()
    try:
        is_on = cudnn.allow_tf32
    except RuntimeError:  # chosen for convolutions, or for recurrent networks, alone
        return nullcontext()
    if not is_on:
        return nullcontext()
    same = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    context: AbstractContextManager[None] = cudnn.flags(**same, allow_tf32=False)
    return context


class FromBytes(nn.Module):
    """A network that takes bytes, so that the division by 255 cannot be forgotten."""

    def __init__(self, network: Network) -> None:
        """Wrap a network of grey 0 to 1."""
        super().__init__()
        self.network = network

    def forward(self, cubes: torch.Tensor) -> torch.Tensor:
        """Uint8 [n, z, y, x] -> embeddings [n, d]."""
        grey = cubes.unsqueeze(1).float() / 255
        return self.network(grey.contiguous(memory_format=torch.channels_last_3d))


class DensePredictor:
    """The whole cube through PyTorch's layers, compiled by PyTorch on request.

    On a CUDA device float32 is float32, not TensorFloat-32 as PyTorch takes for convolutions by default.
    """

    def __init__(
        self, network: Network, *, device: torch.device, dtype: torch.dtype, compiled: bool = False
    ) -> None:
        """For a network that lies on ``device``; the first call of a compiled one takes tens of seconds."""
        self._device, self._dtype = device, dtype
        self._eager = FromBytes(network)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of PyTorch about its own modules
            self._compiled = torch.compile(self._eager, dynamic=False) if compiled else None
        self._n_compiled = 0

    def __call__(self, cubes: torch.Tensor) -> torch.Tensor:
        """Masked cubes uint8 [n, z, y, x] -> embeddings float32 [n, d]."""
        use_autocast = self._dtype != torch.float32
        with (
            torch.inference_mode(),
            _true_float32(self._device),
            torch.autocast(self._device.type, dtype=self._dtype, enabled=use_autocast),
        ):
            embeddings: torch.Tensor = (self._eager if self._compiled is None else self._run_compiled)(cubes)
            return embeddings.float()

    def _run_compiled(self, cubes: torch.Tensor) -> torch.Tensor:
        # each batch size is compiled anew: the last batch is filled up to the size of those before it
        n = len(cubes)
        self._n_compiled = max(self._n_compiled, n)
        full = cubes.new_zeros((self._n_compiled, *cubes.shape[1:]))
        full[:n] = cubes
        assert self._compiled is not None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                embeddings: torch.Tensor = self._compiled(full)[:n]
        except torch._dynamo.exc.BackendCompilerFailed as error:
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"torch.compile does not work here, going on without: {reason}", stacklevel=4)
            self._compiled = None
            embeddings = self._eager(cubes)
        return embeddings
