"""What a resumed training must share with the one it goes on with."""

from __future__ import annotations

from typing import Any

import numpy as np

from segclr import files
from segclr.config import EncoderConfig, TrainConfig, decisive
from segclr.errors import RunMismatchError
from segclr.train.data import TrainingData

__all__ = ["IDENTITY", "refuse_other", "training_identity"]

IDENTITY = "segclr_identity"
"""Key in a checkpoint."""


def training_identity(
    data: TrainingData, encoder: EncoderConfig, train: TrainConfig, seed: int
) -> dict[str, Any]:
    """Everything that decides the weights, as plain values."""
    pairs = [
        np.ascontiguousarray(column, dtype=np.int64).tobytes()
        for table in (data.training, data.held_out)
        for column in (table.rows_a, table.rows_b, table.groups)
    ]
    settings = {"encoder": decisive(encoder), "train": decisive(train)}
    flat = {f"{section}.{key}": value for section, keys in settings.items() for key, value in keys.items()}
    return {
        **flat,
        "seed": seed,
        "size_vx": data.size_vx,
        "voxel_size_nm": [float(v) for v in data.voxel_size_nm],
        "n_cubes": len(data.cubes),
        "pairs_sha256": files.sha256(b"|".join(pairs)),
    }


def refuse_other(wanted: dict[str, Any], checkpoint: dict[str, Any], url: str) -> None:
    """Compare a training's identity with that of the checkpoint at ``url``.

    Raises:
        RunMismatchError: they differ; the keys are named.
    """
    found = checkpoint.get(IDENTITY)
    found = found if isinstance(found, dict) else {}
    differing = [
        f"{key} was {found.get(key)!r}, is now {wanted.get(key)!r}"
        for key in sorted(wanted.keys() | found.keys())
        if wanted.get(key) != found.get(key)
    ]
    if differing:
        msg = f"{url} belongs to another training: {'; '.join(differing)}; take another folder or delete it"
        raise RunMismatchError(msg)
