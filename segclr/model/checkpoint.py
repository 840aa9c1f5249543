"""Opening a saved encoder."""

from __future__ import annotations

from segclr.errors import EncoderError
from segclr.model.encoder import Encoder
from segclr.model.folder import read_folder
from segclr.model.network import build_network
from segclr.model.weights import load_weights

__all__ = ["load_encoder"]


def load_encoder(url: str) -> Encoder:
    """Open an encoder that ``Encoder.save`` wrote, from any URL.

    Raises:
        MissingDataError: the folder has no ``config.json`` or no ``model.safetensors``.
        CorruptDataError: a file is damaged, or the two do not belong together.
        EncoderError: the format or architecture is unknown, or the weights do not fit it.
    """
    folder = read_folder(str(url))
    network = build_network(folder.config, seed=0)
    try:
        load_weights(network, dict(folder.weights))
    except EncoderError as error:
        msg = f"{url}: {error}"
        raise EncoderError(msg) from error
    return Encoder(
        folder.config,
        network,
        voxel_size_nm=folder.voxel_size_nm,
        size_vx=folder.size_vx,
        training=folder.training,
    )
