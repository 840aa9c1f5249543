"""The folder an encoder is kept in: read whole, checked by checksum before a single weight is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError

from segclr import files
from segclr.config import EncoderConfig
from segclr.errors import CorruptDataError, EncoderError, MissingDataError
from segclr.geometry import VoxelSize
from segclr.model.weights import weights_from_bytes

__all__ = [
    "CONFIG_FILE",
    "FORMAT",
    "WEIGHTS_FILE",
    "EncoderDescription",
    "EncoderFolder",
    "read_description",
    "read_folder",
]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT = "segclr-encoder/1"
_KIND = "resnet3d"


@dataclass(frozen=True, eq=False)
class EncoderFolder:
    """What stands in the folder of an encoder.

    Attributes:
        config: the architecture.
        voxel_size_nm: nm (x, y, z) of a voxel of the cubes.
        size_vx: edge of a cube.
        training: how the weights came to be.
        weights: tensors by name.
        weights_sha256: hex digest of the file they come from.
    """

    config: EncoderConfig
    voxel_size_nm: VoxelSize
    size_vx: int
    training: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    weights_sha256: str


class EncoderDescription(NamedTuple):
    """What ``config.json`` tells of an encoder: as :class:`EncoderFolder`, without the weights."""

    config: EncoderConfig
    voxel_size_nm: VoxelSize
    size_vx: int
    training: Mapping[str, Any]
    weights_sha256: str


def read_description(url: str) -> EncoderDescription:
    """Read what an encoder's folder tells of it, and no weights.

    Raises:
        MissingDataError: the folder has no ``config.json``.
        CorruptDataError: it is no JSON.
        EncoderError: the format or architecture is unknown.
    """
    where = files.join(url, CONFIG_FILE)
    try:
        content = files.read_json(where)
    except MissingDataError as error:
        msg = f"{url} is no encoder: there is no {CONFIG_FILE} (a run has its own in its folder encoder)"
        raise MissingDataError(msg) from error
    return _parse(content, where)


def read_folder(url: str) -> EncoderFolder:
    """Read and check an encoder's folder, from any URL.

    Raises:
        MissingDataError: the folder has no ``config.json`` or no ``model.safetensors``.
        CorruptDataError: a file is damaged, or the two do not belong together.
        EncoderError: the format or architecture is unknown.
    """
    weights_url = files.join(url, WEIGHTS_FILE)
    config, voxel_size_nm, size_vx, training, recorded = read_description(url)
    content = files.read_bytes(weights_url)
    received = files.sha256(content)
    if received != recorded:
        msg = (
            f"{weights_url} is damaged or belongs to another {CONFIG_FILE}: its sha256 is {received}, "
            f"recorded is {recorded}"
        )
        raise CorruptDataError(msg)
    try:
        weights = weights_from_bytes(content)
    except CorruptDataError as error:
        msg = f"{weights_url}: {error}"
        raise CorruptDataError(msg) from error
    return EncoderFolder(config, voxel_size_nm, size_vx, training, weights, received)


def _parse(description: Any, where: str) -> EncoderDescription:
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        found = description.get("format") if isinstance(description, dict) else type(description).__name__
        msg = f"{where} is not an encoder's description: format is {found!r}, allowed {FORMAT!r}"
        raise EncoderError(msg)
    try:
        architecture = dict(description["architecture"])
        kind = architecture.pop("kind")
        if kind != _KIND:
            msg = f"{where}: unknown architecture {kind!r}, allowed {_KIND!r}"
            raise EncoderError(msg)
        x, y, z = (float(v) for v in description["voxel_size_nm"])
        config = EncoderConfig.model_validate(architecture).architecture
        recorded = str(description["weights_sha256"])
        size_vx = description["size_vx"]
        if not isinstance(size_vx, int) or size_vx < 1:
            msg = f"{where}: size_vx is {size_vx!r}, allowed are whole numbers of 1 and more"
            raise EncoderError(msg)
        if not all(math.isfinite(v) and v > 0 for v in (x, y, z)):
            msg = f"{where}: voxel_size_nm is {[x, y, z]}, allowed are positive lengths"
            raise EncoderError(msg)
        return EncoderDescription(config, (x, y, z), size_vx, dict(description["training"]), recorded)
    except EncoderError:
        raise
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        msg = f"{where} cannot be understood: {type(error).__name__}: {error}"
        raise EncoderError(msg) from error
