"""Which predictor runs an encoder: chosen by name, kept as long as the weights stay the same."""

from __future__ import annotations

import torch

from segclr.config import Engine
from segclr.errors import EncoderError
from segclr.model.network import EncoderNetwork
from segclr.model.openvino import OpenVinoPredictor
from segclr.model.predictor import DensePredictor, Predictor
from segclr.model.skip import SkipEmptyPredictor, is_made_for, why_not_skip

__all__ = ["PredictorCache", "make_predictor", "resolve_engine"]

_ALLOWED = ("auto", "dense", "skip_empty", "openvino")


_SKIP_FROM_VX = {"cpu": 96, "cuda": 64}
"""Without their empty space real masked cubes of 129 voxels took at most 0.6 of the time. It made no
difference to those of 65 voxels on a CPU and of 49 and 33 on a GPU (docs/speed.md)."""


def resolve_engine(
    engine: Engine,
    network: EncoderNetwork,
    *,
    size_vx: int,
    device: torch.device,
    dtype: torch.dtype,
    compiled: bool,
) -> Engine:
    """``auto`` is ``skip_empty`` for large cubes where the network allows it; else ``dense``.

    That is so on CPUs, and on CUDA devices where Triton's kernel takes the network's channels.

    Raises:
        EncoderError: the engine is unknown, or cannot run this network on this device.
    """
    if engine not in _ALLOWED:
        msg = f"engine must be {', '.join(_ALLOWED)}; got {engine!r}"
        raise EncoderError(msg)
    if engine == "auto":
        is_large = device.type in _SKIP_FROM_VX and size_vx >= _SKIP_FROM_VX[device.type]
        allowed = is_large and not compiled and why_not_skip(network.backbone) is None
        return "skip_empty" if allowed and is_made_for(device, network.backbone, dtype) else "dense"
    if compiled and engine != "dense":
        msg = f"compile is for engine dense, got engine {engine}"
        raise EncoderError(msg)
    if engine == "openvino" and device.type != "cpu":
        msg = f"engine openvino runs on CPUs, got device {device}; allowed there: auto, dense, skip_empty"
        raise EncoderError(msg)
    return engine


def make_predictor(
    network: EncoderNetwork,
    *,
    engine: Engine,
    size_vx: int,
    device: torch.device,
    dtype: torch.dtype,
    compiled: bool = False,
) -> Predictor:
    """A predictor for a network that lies on ``device``; it may copy the weights.

    Raises:
        EncoderError: the engine cannot run this network on this device, or its package is not installed.
    """
    resolved = resolve_engine(engine, network, size_vx=size_vx, device=device, dtype=dtype, compiled=compiled)
    if resolved == "skip_empty":
        return SkipEmptyPredictor(network, size_vx=size_vx, dtype=dtype)
    if resolved == "openvino":
        return OpenVinoPredictor(network, size_vx=size_vx, dtype=dtype)
    return DensePredictor(network, device=device, dtype=dtype, compiled=compiled)


class PredictorCache:
    """The predictor last made; made again when anything it was made from is another."""

    def __init__(self) -> None:
        """Empty at first."""
        self._key: object = None
        self._held: list[torch.Tensor] = []
        self._predictor: Predictor | None = None

    def forget(self) -> None:
        """Let go of the predictor and its memory."""
        self._key, self._held, self._predictor = None, [], None

    def get(
        self,
        network: EncoderNetwork,
        *,
        engine: Engine,
        size_vx: int,
        device: torch.device,
        dtype: torch.dtype,
        compiled: bool,
    ) -> Predictor:
        """Like ``make_predictor``, or what that gave before.

        Changed weights are told by PyTorch's own count of writes (all but those through ``.data``).
        """
        weights = [tensor.detach() for tensor in network.state_dict().values()]
        writes = [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in weights]
        key = (engine, size_vx, device, dtype, compiled, torch.get_num_threads(), writes)
        if self._predictor is None or key != self._key:
            self._predictor = make_predictor(
                network, engine=engine, size_vx=size_vx, device=device, dtype=dtype, compiled=compiled
            )
            self._key = key
            self._held = weights  # so that no other tensor can get their addresses
        return self._predictor
