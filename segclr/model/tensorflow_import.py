"""The released weights: TensorFlow checkpoints of the legacy network, read with TensorFlow's own reader.

TF1 checkpoints name variables by scope (``base_model_0/resnet18/stage_1/conv1/kernel``); in TF2 object
checkpoints the same names stand in a variable store, with ``.S`` for ``/``. Every variable is accounted for:
one that is unknown or missing ends the import with its name.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segclr import files
from segclr.config import EncoderConfig
from segclr.errors import ConfigError, CorruptDataError, EncoderError, MissingDataError
from segclr.geometry import VoxelSize
from segclr.model.encoder import Encoder
from segclr.model.network import build_network
from segclr.model.weights import load_weights

__all__ = ["import_tensorflow_checkpoint"]

MICRONS_VOXEL_NM: VoxelSize = (32.0, 32.0, 40.0)
_STORE = re.compile(r"^_tf1_style_var_store/_vars/(.*)/\.ATTRIBUTES/VARIABLE_VALUE$")
_IGNORED = re.compile(
    r"^(_CHECKPOINTABLE_OBJECT_GRAPH|save_counter(/\.ATTRIBUTES/VARIABLE_VALUE)?|global_step"
    r"|.*/(renorm_mean|renorm_stddev|moving_stddev|renorm_mean_weight|renorm_stddev_weight)"
    r"|.*/(Momentum|LARSOptimizer|ExponentialMovingAverage|Adam|Adam_1))$"
)
"""Bookkeeping, averages of batch renormalisation, optimizer slots: training needs them, embeddings not."""

_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def import_tensorflow_checkpoint(
    path: str,
    *,
    voxel_size_nm: VoxelSize = MICRONS_VOXEL_NM,
    size_vx: int = 129,
) -> Encoder:
    """Turn a TensorFlow checkpoint of the legacy network into an encoder.

    Args:
        path: of the checkpoint without ``.index`` and ``.data-*``, on this machine.
        voxel_size_nm: (x, y, z) the weights were trained at; a checkpoint does not say. The default is that
            of the mouse weights (MICrONS); the human ones (H01) take (32, 32, 33).
        size_vx: edge of the cubes; 129 for the released weights.

    Raises:
        ConfigError: TensorFlow is not installed (extra ``tensorflow``).
        MissingDataError: there is no checkpoint at ``path``.
        CorruptDataError: the checkpoint cannot be read.
        EncoderError: a variable is unknown, missing or of another shape; its name is in the message.
    """
    variables = dict(_variables(path))
    try:
        dim = int(variables["bottleneck_head_0/nl_2/dense/kernel"].shape[1])
    except KeyError as error:
        msg = f"{path} is no checkpoint of the legacy network: it lacks {error.args[0]}"
        raise EncoderError(msg) from error
    projection = variables.get("projection_head_0_0/nl_2/dense/kernel")
    projection_dim = 16 if projection is None else int(projection.shape[1])
    config = EncoderConfig(family="legacy", embedding_dim=dim, projection_dim=projection_dim)
    network = build_network(config, seed=0)
    names = dict(_names())
    faults = [f"{name} is unknown" for name in sorted(variables.keys() - names.keys())]
    faults += [f"{name} is missing" for name in sorted(names.keys() - variables.keys())]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        msg = f"{path} is not the legacy network: {'; '.join(faults[:5])}{more}"
        raise EncoderError(msg)
    weights = {names[name]: _as_torch(name, value) for name, value in variables.items()}
    untouched = {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}
    load_weights(network, untouched | weights)
    source = {"source": "tensorflow checkpoint", "checkpoint_sha256": _digest(variables)}
    return Encoder(config, network, voxel_size_nm=voxel_size_nm, size_vx=size_vx, training=source)


def _variables(path: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """(name in TF1 style, value) of every variable that embeddings depend on."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a page of notes on this CPU
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries that TensorFlow imports
            from tensorflow.python.training import py_checkpoint_reader  # type: ignore[import-untyped]
    except ImportError as error:
        msg = "reading TensorFlow checkpoints needs TensorFlow: pip install 'segclr[tensorflow]'"
        raise ConfigError(msg) from error
    if not files.exists(f"{path}.index"):
        msg = f"no TensorFlow checkpoint at {path}: there is no {path}.index (give the path without it)"
        raise MissingDataError(msg)
    try:
        reader = py_checkpoint_reader.NewCheckpointReader(path)
        for stored in sorted(reader.get_variable_to_shape_map()):
            match = _STORE.match(stored)
            name = match[1].replace(".S", "/") if match else stored
            if not _IGNORED.match(name):
                yield name, np.asarray(reader.get_tensor(stored))
    except Exception as error:  # TensorFlow's reader raises its own types, which are not importable cheaply
        msg = f"the TensorFlow checkpoint {path} cannot be read: {error}"
        raise CorruptDataError(msg) from error


def _names() -> Iterator[tuple[str, str]]:
    """(TensorFlow's name, name in the state of ``EncoderNetwork``) of every weight."""
    trunk = "base_model_0/resnet18"
    yield from _layer(f"{trunk}/stage_1/conv1", "backbone.stem")
    yield from _norm(f"{trunk}/stage_1/bn1", "backbone.stem_bn")
    for stage in range(4):
        for number, block in enumerate("ab"):
            theirs, ours = f"{trunk}/stage_{stage + 2}/block_{block}", f"backbone.stages.{stage}.{number}"
            for i in range(2):
                yield from _layer(f"{theirs}/conv_{i}", f"{ours}.conv_{i}")
                yield from _norm(f"{theirs}/bn_{i}", f"{ours}.bn_{i}")
            if block == "a":
                yield from _layer(f"{theirs}/shortcut_conv", f"{ours}.shortcut.0")
                yield from _norm(f"{theirs}/shortcut_bn", f"{ours}.shortcut.1")
    for theirs, ours in (("bottleneck_head_0", "bottleneck"), ("projection_head_0_0", "projection")):
        for i in range(3):
            yield f"{theirs}/nl_{i}/dense/kernel", f"{ours}.layers.{3 * i}.weight"
            yield from _norm(f"{theirs}/nl_{i}/nl_{i}_bn", f"{ours}.layers.{3 * i + 1}")


def _layer(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    yield f"{theirs}/kernel", f"{ours}.weight"
    yield f"{theirs}/bias", f"{ours}.bias"


def _norm(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    for their_name, our_name in _NORM.items():
        yield f"{theirs}/{their_name}", f"{ours}.{our_name}"


def _as_torch(name: str, value: NDArray[Any]) -> torch.Tensor:
    """Kernels [kz, ky, kx, in, out] -> [out, in, kz, ky, kx], dense [in, out] -> [out, in]."""
    if name.endswith("/kernel"):
        value = value.T if value.ndim == 2 else value.transpose(4, 3, 0, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))


def _digest(variables: dict[str, NDArray[Any]]) -> str:
    """Digest of the values, whatever the files' layout."""
    listed = b"".join(
        f"{name} {value.dtype} {value.shape}\n".encode() + np.ascontiguousarray(value).tobytes()
        for name, value in sorted(variables.items())
    )
    return files.sha256(listed)
