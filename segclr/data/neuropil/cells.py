"""The cells of one block: who they are, before any voxel is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.config import TissueConfig
from segclr.data.neuropil.classes import CELL_TYPES, SOMATA

__all__ = ["Cell", "block_size_nm", "plan_cells"]

# Grey of clear cytoplasm by type: means lie closer together than the spread between cells.
_TONE = dict(zip(CELL_TYPES, (148.0, 143.0, 152.0, 136.0, 146.0, 134.0), strict=True))
_TONE_SPREAD = 11.0
_TEXTURE_SPREAD = 0.2  # of the log amplitudes
_TRIES = 400


@dataclass(frozen=True)
class Cell:
    """One cell, or a piece of one whose soma lies elsewhere.

    Attributes:
        segment_id: random, above 2**53 so that a float64 cannot hold it.
        cell_type: one of ``CELL_TYPES``.
        split: "train" or "test".
        kind: what its processes are; neurons with a soma have both dendrites and an axon.
        soma_nm: centre (x, y, z) in the block's own nanometres; None for a piece without soma.
        soma_axes_nm: half axes of the soma.
        tone: grey of its cytoplasm.
        texture: factors on the mean amplitudes of ``Texture``, in its order.
    """

    segment_id: int
    cell_type: str
    split: str
    kind: str
    soma_nm: NDArray[np.float64] | None
    soma_axes_nm: NDArray[np.float64]
    tone: float
    texture: tuple[float, float, float, float, float]


def block_size_nm(config: TissueConfig) -> NDArray[np.float64]:
    """Edge lengths (x, y, z) of a block."""
    return np.asarray(config.block_size_vx, dtype=np.float64) * np.asarray(config.voxel_size_nm)


def plan_cells(config: TissueConfig, *, seed: int, block: int) -> tuple[Cell, ...]:
    """The cells of a block, somata first, then pieces of neurons and glia.

    Train and test alternate within every class and kind, so each block brings its share of both.
    A soma that finds no room leaves its cell as a piece without one.
    """
    rng = np.random.default_rng([seed, block, 1])
    size = block_size_nm(config)
    volume_um3 = float(np.prod(size)) * 1e-9
    roles = [(t, "soma") for t in CELL_TYPES for _ in range(config.somata_per_class)]
    pieces = {
        ("excitatory", "dendrite"): 0.0054,
        ("inhibitory", "dendrite"): 0.0046,
        ("excitatory", "axon"): 0.0105,
        ("inhibitory", "axon"): 0.0065,
        ("astrocyte", "glia"): 0.0012,
        ("oligodendrocyte", "glia"): 0.0018,
        ("opc", "glia"): 0.0016,
        ("microglia", "glia"): 0.0016,
    }
    for role, per_um3 in pieces.items():
        roles += [role] * max(2, round(per_um3 * volume_um3))
    ids = _unique_ids(rng, len(roles))
    cells: list[Cell] = []
    seen: dict[tuple[str, str], int] = {}
    somata: list[tuple[NDArray[np.float64], float]] = []
    for segment_id, (cell_type, kind) in zip(ids, roles, strict=True):
        turn = seen.get((cell_type, kind), block)
        seen[cell_type, kind] = turn + 1
        radius = SOMATA[cell_type].radius_nm * rng.normal(1.0, 0.06)
        stretch = rng.uniform(1.0, SOMATA[cell_type].elongation)
        axes = radius * rng.permutation([stretch, 1.0, 1.0 / stretch])
        center = _room(rng, size, float(axes.max()), somata) if kind == "soma" else None
        if center is not None:
            somata.append((center, float(axes.max())))
        elif kind == "soma":
            kind = "dendrite" if cell_type in ("excitatory", "inhibitory") else "glia"
        cells.append(
            Cell(
                segment_id=segment_id,
                cell_type=cell_type,
                split="train" if turn % 2 == 0 else "test",
                kind=kind,
                soma_nm=center,
                soma_axes_nm=axes,
                tone=float(_TONE[cell_type] + rng.normal(0.0, _TONE_SPREAD)),
                texture=tuple(np.exp(rng.normal(0.0, _TEXTURE_SPREAD, 5)).tolist()),
            )
        )
    return tuple(cells)


def _unique_ids(rng: np.random.Generator, n: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < n:
        value = int(rng.integers(2**53 + 1, 2**64, dtype=np.uint64))
        if value not in ids:
            ids.append(value)
    return ids


def _room(
    rng: np.random.Generator,
    size_nm: NDArray[np.float64],
    radius_nm: float,
    others: list[tuple[NDArray[np.float64], float]],
) -> NDArray[np.float64] | None:
    """A centre at which a soma touches neither the block's faces nor another soma."""
    low, high = radius_nm + 200.0, size_nm - radius_nm - 200.0
    if (high <= low).any():
        return None
    for _ in range(_TRIES):
        center = rng.uniform(low, high)
        if all(np.linalg.norm(center - c) > radius_nm + r + 500.0 for c, r in others):
            return np.asarray(center)
    return None
