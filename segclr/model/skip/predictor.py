"""Embeddings with empty space skipped: exactly what the whole cube gives, for a share of the work."""

from __future__ import annotations

import torch

from segclr.model.network import EncoderNetwork
from segclr.model.skip.layers import read_layers
from segclr.model.skip.sparse_map import SparseMap

__all__ = ["SkipEmptyPredictor"]

_CUBES_AT_ONCE = {"cpu": 8, "cuda": 256}
"""Cubes of 129 voxels, or as many voxels of others, that go through the layers together: enough rows for fast
products, in little memory; on a GPU also enough to hide the time that launching takes."""


class SkipEmptyPredictor:
    """A network with batch norm, computed only where a masked cube can differ from an empty one.

    A convolution whose outputs see background alone gives what it gives on an empty cube at the same place,
    borders included. So each layer's map has the empty cube's rows once for all cubes, computed here from the
    weights with nothing skipped, and rows of its own for what sees an active voxel of the map before it.
    Weights are copied and converted here: a predictor does not follow a network that changes (``Encoder``
    makes a new one). It uses its memory again and again, so one thread may call it at a time; where memory is
    full it lets go of it, so that a smaller batch may fit.
    """

    def __init__(self, network: EncoderNetwork, *, size_vx: int, dtype: torch.dtype) -> None:
        """Copy the weights from where the network lies, and run an empty cube.

        Raises:
            EncoderError: the network mixes all of space (group norm).
        """
        self._network = network
        self._layers = read_layers(network.backbone, size_vx=size_vx, dtype=dtype)
        device = next(network.parameters()).device
        self._at_once = max(1, _CUBES_AT_ONCE.get(device.type, 8) * 129**3 // size_vx**3)
        with torch.inference_mode():
            empty = torch.zeros((1, size_vx, size_vx, size_vx), dtype=torch.uint8, device=device)
            self._run(empty, everywhere=True)
            for store in self._layers.stores:
                store.learn()

    def __call__(self, cubes: torch.Tensor) -> torch.Tensor:
        """Masked cubes uint8 [n, z, y, x], 0 as background -> embeddings float32 [n, d]."""
        with torch.inference_mode():
            try:
                features = [self._features(part) for part in torch.split(cubes, self._at_once)]
            except RuntimeError:  # full memory is one
                for store in self._layers.stores:
                    store.release()
                raise
            return self._network.bottleneck(torch.cat(features)).float()

    def _features(self, cubes: torch.Tensor) -> torch.Tensor:
        x = self._run(cubes, everywhere=False)
        numbers = x.table.flatten(1)
        rows = torch.index_select(x.rows, 0, numbers.flatten())
        return rows.view(*numbers.shape, -1).float().mean(dim=1)

    def _run(self, cubes: torch.Tensor, *, everywhere: bool) -> SparseMap:
        x = self._layers.stem(cubes, everywhere=everywhere)
        if self._layers.pool is not None:
            x = self._layers.pool(x)
        for block in self._layers.blocks:
            x = block(x)
        return x
