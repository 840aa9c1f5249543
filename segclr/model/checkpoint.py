"""Reading an encoder's folder: checked by checksum before a single weight is used."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from segclr import files
from segclr.config import EncoderConfig
from segclr.errors import CorruptDataError, EncoderError
from segclr.model.encoder import CONFIG_FILE, FORMAT, WEIGHTS_FILE, Encoder
from segclr.model.network import build_network
from segclr.model.weights import load_weights, weights_from_bytes

__all__ = ["load_encoder"]


def load_encoder(url: str) -> Encoder:
    """Open an encoder that ``Encoder.save`` wrote, from any URL.

    Raises:
        MissingDataError: the folder has no ``config.json`` or no ``model.safetensors``.
        CorruptDataError: a file is damaged, or the two do not belong together.
        EncoderError: the format or architecture is unknown, or the weights do not fit it.
    """
    url = str(url)
    description = files.read_json(files.join(url, CONFIG_FILE))
    config, voxel_size_nm, size_vx, training = _parse(description, url)
    content = files.read_bytes(files.join(url, WEIGHTS_FILE))
    received = files.sha256(content)
    if received != description["weights_sha256"]:
        msg = (
            f"{files.join(url, WEIGHTS_FILE)} is damaged or belongs to another {CONFIG_FILE}: its sha256 is "
            f"{received}, recorded is {description['weights_sha256']}"
        )
        raise CorruptDataError(msg)
    network = build_network(config, seed=0)
    load_weights(network, weights_from_bytes(content))
    return Encoder(config, network, voxel_size_nm=voxel_size_nm, size_vx=size_vx, training=training)


def _parse(
    description: Any, url: str
) -> tuple[EncoderConfig, tuple[float, float, float], int, dict[str, Any]]:
    where = files.join(url, CONFIG_FILE)
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        found = description.get("format") if isinstance(description, dict) else type(description).__name__
        msg = f"{where} is not an encoder's description: format is {found!r}, allowed {FORMAT!r}"
        raise EncoderError(msg)
    try:
        architecture = dict(description["architecture"])
        kind = architecture.pop("kind")
        if kind != "resnet3d":
            msg = f"{where}: unknown architecture {kind!r}, allowed 'resnet3d'"
            raise EncoderError(msg)
        x, y, z = (float(v) for v in description["voxel_size_nm"])
        config = EncoderConfig.model_validate(architecture)
        str(description["weights_sha256"])
        return config, (x, y, z), int(description["size_vx"]), dict(description["training"])
    except EncoderError:
        raise
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        msg = f"{where} cannot be understood: {type(error).__name__}: {error}"
        raise EncoderError(msg) from error
