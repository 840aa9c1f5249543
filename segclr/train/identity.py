"""What a resumed training must share with the one it goes on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from segclr import files
from segclr.config import decisive
from segclr.errors import RunMismatchError

if TYPE_CHECKING:
    from segclr.train.data import TrainingData

__all__ = ["refuse_other", "training_identity"]


def training_identity(
    data: TrainingData, settings: Mapping[str, BaseModel], **others: str | int
) -> dict[str, Any]:
    """Settings by ``section.key``, other facts by name, and digests of the data: plain values only."""
    pairs = [
        np.ascontiguousarray(column, dtype=np.int64).tobytes()
        for table in (data.training, data.held_out)
        for column in (table.rows_a, table.rows_b, table.groups)
    ]
    flat = {
        f"{name}.{key}": value
        for name, section in settings.items()
        for key, value in decisive(section).items()
    }
    return {
        **flat,
        **{f"monitor.{key}": value for key, value in data.watch.identity().items()},
        **others,
        "balance": data.training.balance,
        "size_vx": data.size_vx,
        "voxel_size_nm": [float(v) for v in data.voxel_size_nm],
        "n_cubes": len(data.cubes),
        "cubes_digest": data.cubes_digest,
        "pairs_sha256": files.sha256(b"|".join(pairs)),
    }


def refuse_other(wanted: Mapping[str, Any], found: Any, url: str) -> None:
    """Compare with the identity found in the checkpoint ``url``.

    Raises:
        RunMismatchError: they differ; the message names the keys.
    """
    found = found if isinstance(found, dict) else {}
    differing = [
        f"{key} was {found.get(key)!r}, is now {wanted.get(key)!r}"
        for key in sorted(wanted.keys() | found.keys())
        if wanted.get(key) != found.get(key)
    ]
    if differing:
        msg = f"{url} belongs to another training: {'; '.join(differing)}; take another folder or delete it"
        raise RunMismatchError(msg)
