"""One file that other programs run without this package: ONNX, or PyTorch's own exported program."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from segclr import files
from segclr._version import __version__
from segclr.errors import ConfigError, EncoderError
from segclr.model.encoder import Encoder

__all__ = ["export_encoder"]

_OPSET = 18
_FORMATS = (".onnx", ".pt2")
_METADATA = "segclr"  # key in ONNX's metadata, file in a .pt2


class _FromBytes(nn.Module):
    """What ``Encoder.embed`` does: uint8 cubes [n, z, y, x] -> embeddings float32 [n, d]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, cubes: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.network(cubes.unsqueeze(1).float() / 255)
        return embeddings


def export_encoder(encoder: Encoder, url: str) -> None:
    """Write an encoder as one file, ``.onnx`` (input ``cubes``, output ``embeddings``) or ``.pt2``.

    The program takes masked cubes uint8 [n, z, y, x] of the encoder's edge, any n, and answers float32
    [n, embedding_dim], as ``Encoder.embed`` does. The file also holds voxel size, cube size and digest as
    JSON: in ONNX's metadata under ``segclr``, in a ``.pt2`` in the extra file ``segclr``.

    Raises:
        ConfigError: the suffix is another, or ONNX's packages are not installed (extra ``export``).
        EncoderError: PyTorch cannot export the network.
    """
    if not url.endswith(_FORMATS):
        msg = f"an encoder is exported to a file that ends in {' or '.join(_FORMATS)}, got {url!r}"
        raise ConfigError(msg)
    to_bytes = _onnx if url.endswith(".onnx") else _pt2
    program = _FromBytes(encoder.network.cpu()).eval()
    description = {
        "segclr_version": __version__,
        "voxel_size_nm": [float(v) for v in encoder.voxel_size_nm],
        "size_vx": encoder.size_vx,
        "embedding_dim": encoder.config.embedding_dim,
        "encoder_digest": encoder.digest,
    }
    cubes = torch.zeros((2, *[encoder.size_vx] * 3), dtype=torch.uint8)
    with _quiet(), torch.no_grad():
        content = to_bytes(program, cubes, json.dumps(description, sort_keys=True))
    files.write_bytes(url, content)


def _onnx(program: nn.Module, cubes: torch.Tensor, description: str) -> bytes:
    try:
        import onnxscript  # noqa: F401
        from onnx import ModelProto
    except ImportError as error:
        msg = "writing ONNX needs onnx and onnxscript: pip install 'segclr[export]', or export to .pt2"
        raise ConfigError(msg) from error
    try:
        exported = torch.onnx.export(
            program,
            (cubes,),
            dynamo=True,
            opset_version=_OPSET,
            input_names=["cubes"],
            output_names=["embeddings"],
            dynamic_shapes={"cubes": {0: torch.export.Dim("n")}},
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        msg = f"PyTorch cannot export this network to ONNX: {error}"
        raise EncoderError(msg) from error
    assert exported is not None
    model: ModelProto = exported.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # paths of this machine
    model.metadata_props.add(key=_METADATA, value=description)
    return bytes(model.SerializeToString())


def _pt2(program: nn.Module, cubes: torch.Tensor, description: str) -> bytes:
    exported = torch.export.export(
        program, (cubes,), dynamic_shapes={"cubes": {0: torch.export.Dim("n")}}, strict=False
    )
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    buffer = io.BytesIO()
    torch.export.save(exported, buffer, extra_files={_METADATA: description})
    return buffer.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes to their own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
