"""An encoder as users hold it: a network with all that is needed to use it right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segclr import files
from segclr._version import __version__
from segclr.config import EncoderConfig, Engine, Precision, digest
from segclr.errors import EncoderError
from segclr.geometry import VoxelSize
from segclr.model.engine import PredictorCache
from segclr.model.folder import CONFIG_FILE, FORMAT, WEIGHTS_FILE
from segclr.model.inference import predict
from segclr.model.network import EncoderNetwork, build_network
from segclr.model.precision import resolve_device, resolve_precision
from segclr.model.weights import weights_sha256, weights_to_bytes

__all__ = ["Encoder"]


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network from masked cubes to embeddings, with the data it is made for.

    Attributes:
        config: the architecture.
        network: the weights; moved to the device that ``embed`` is asked to run on.
        voxel_size_nm: nm (x, y, z) of a voxel of the cubes.
        size_vx: edge of a cube.
        training: how the weights came to be (plain JSON values); empty for random weights.
    """

    config: EncoderConfig
    network: EncoderNetwork
    voxel_size_nm: VoxelSize
    size_vx: int
    training: Mapping[str, Any] = field(default_factory=dict)
    _predictors: PredictorCache = field(default_factory=PredictorCache, init=False, repr=False)

    def __post_init__(self) -> None:
        """Inference is all an encoder does: its norms use stored statistics, its config is the network's."""
        self.network.eval()
        object.__setattr__(self, "config", self.config.architecture)

    @classmethod
    def untrained(
        cls, config: EncoderConfig, *, voxel_size_nm: VoxelSize, size_vx: int, seed: int
    ) -> Encoder:
        """Random weights, the same for the same seed: the baseline every trained encoder must beat."""
        network = build_network(config.architecture, seed=seed)
        return cls(config, network, voxel_size_nm=voxel_size_nm, size_vx=size_vx, training={"seed": seed})

    @property
    def digest(self) -> str:
        """Sha256 over architecture, geometry and weights: equal digests mean equal embeddings."""
        return digest(
            self.config, list(map(float, self.voxel_size_nm)), self.size_vx, weights_sha256(self.network)
        )

    def embed(
        self,
        cubes: NDArray[np.uint8],
        *,
        batch_size: int = 64,
        device: str = "auto",
        precision: Precision = "float32",
        engine: Engine = "auto",
        compiled: bool = False,
    ) -> NDArray[np.float32]:
        """Embed masked cubes, uint8 [n, z, y, x] with 0 as background -> float32 [n, embedding_dim].

        Rows keep their order. ``precision="auto"`` takes bfloat16 where the hardware has it. ``engine`` is
        how it is computed (``EmbedConfig.engine``, docs/speed.md): all give the same but for rounding.

        Raises:
            EncoderError: cubes of another edge or kind than the encoder's, a device, precision or engine that
                is not there, a batch of one that does not fit into memory, or embeddings that are not finite.
        """
        cubes = np.asarray(cubes)
        where = resolve_device(device)
        self._check(cubes.shape, str(cubes.dtype))
        if len(cubes) == 0:
            return np.zeros((0, self.config.embedding_dim), np.float32)
        tensor = _as_tensor(cubes)
        embeddings = self.embed_tensor(
            tensor,
            batch_size=batch_size,
            device=where,
            precision=precision,
            engine=engine,
            compiled=compiled,
        )
        return np.asarray(embeddings.cpu().numpy(), dtype=np.float32)

    def embed_tensor(
        self,
        cubes: torch.Tensor,
        *,
        batch_size: int,
        device: torch.device,
        precision: Precision = "float32",
        engine: Engine = "auto",
        compiled: bool = False,
    ) -> torch.Tensor:
        """Like ``embed`` for a uint8 tensor [n, z, y, x] on any device -> float32 [n, d] on ``device``."""
        self._check(tuple(cubes.shape), str(cubes.dtype).removeprefix("torch."))
        if not isinstance(batch_size, int) or batch_size < 1:
            msg = f"batch_size must be a whole number of 1 or more, got {batch_size!r}"
            raise EncoderError(msg)
        dtype = resolve_precision(precision, device)
        self.network.to(device)
        if len(cubes) == 0:
            return torch.zeros((0, self.config.embedding_dim), device=device)
        predictor = self._predictors.get(
            self.network, engine=engine, size_vx=self.size_vx, device=device, dtype=dtype, compiled=compiled
        )
        return predict(predictor, cubes, batch_size=batch_size, device=device)

    def free_memory(self) -> None:
        """Let go of what ``embed`` keeps for its next call: converted weights and room for activations."""
        self._predictors.forget()

    def save(self, url: str) -> None:
        """Write ``model.safetensors`` and, once that is whole, ``config.json`` into the folder ``url``."""
        content = weights_to_bytes(self.network)
        files.write_bytes(files.join(url, WEIGHTS_FILE), content)
        description = {
            "format": FORMAT,
            "segclr_version": __version__,
            "architecture": {
                "kind": "resnet3d",
                **self.config.model_dump(mode="json", exclude={"init_from"}),
            },
            "voxel_size_nm": list(map(float, self.voxel_size_nm)),
            "size_vx": self.size_vx,
            "training": dict(self.training),
            "weights_sha256": files.sha256(content),
            "digest": self.digest,
        }
        files.write_json(files.join(url, CONFIG_FILE), description)

    def _check(self, shape: tuple[int, ...], kind: str) -> None:
        wanted = (self.size_vx,) * 3
        if kind != "uint8" or len(shape) != 4 or shape[1:] != wanted:
            edge = self.size_vx
            msg = f"the encoder takes cubes uint8 [n, {edge}, {edge}, {edge}], got {kind} {list(shape)}"
            raise EncoderError(msg)


def _as_tensor(cubes: NDArray[np.uint8]) -> torch.Tensor:
    # torch warns about read-only arrays (memory maps); they are never written here, but a copy is cheap
    if not cubes.flags.writeable:
        cubes = cubes.copy()
    return torch.from_numpy(np.ascontiguousarray(cubes))
