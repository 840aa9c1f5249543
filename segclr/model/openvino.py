"""Whole cubes through OpenVINO, which runs dense convolutions on CPUs faster than PyTorch."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from segclr.errors import EncoderError
from segclr.model.network import EncoderNetwork
from segclr.model.predictor import FromBytes
from segclr.model.signal_stack import signal_stack_kept

if TYPE_CHECKING:
    from torch import nn

__all__ = ["OpenVinoPredictor"]

_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVinoPredictor:
    """A network converted once; it does not follow the weights afterwards."""

    def __init__(self, network: EncoderNetwork, *, size_vx: int, dtype: torch.dtype) -> None:
        """Convert a network that lies on the CPU, for cubes of ``size_vx``.

        Raises:
            EncoderError: OpenVINO is not installed (extra ``openvino``).
        """
        try:
            import openvino
        except ImportError as error:
            msg = "engine openvino needs the package: pip install 'segclr[openvino]', or take engine auto"
            raise EncoderError(msg) from error
        model = _convert(FromBytes(network).eval(), size_vx)
        hints = {
            "INFERENCE_PRECISION_HINT": _HINTS[dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",  # all threads on one batch
        }
        with signal_stack_kept():  # OpenVINO 2026.4 leaves one behind that it frees
            self._run = openvino.Core().compile_model(model, "CPU", hints)

    def __call__(self, cubes: torch.Tensor) -> torch.Tensor:
        """Masked cubes uint8 [n, z, y, x] -> embeddings float32 [n, d]."""
        return torch.from_numpy(self._run(cubes.contiguous().numpy())[0].copy())


def _convert(program: nn.Module, size_vx: int) -> Any:
    """Through OpenVINO's front end itself: ``convert_model`` would also send usage statistics."""
    from openvino import PartialShape
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    cubes = torch.zeros((2, size_vx, size_vx, size_vx), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tracing, which OpenVINO's decoder does
        decoder = TorchScriptPythonDecoder(program, example_input=(cubes,))
        front_end = FrontEndManager().load_by_framework("pytorch")
        model = front_end.convert(front_end.load(decoder))
    model.reshape({0: PartialShape([-1, size_vx, size_vx, size_vx])})
    return model
