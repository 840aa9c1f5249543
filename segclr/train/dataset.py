"""Batches of pairs as a pure function of (seed, step): nothing to save, nothing lost or seen twice on resume.

Batch k holds the positions ``k * n ... k * n + n - 1`` of an endless sequence made of one permutation of
all pairs after another, each permutation a function of (seed, its number). So the batch is the same
whatever the number of workers, and wherever a run was stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from segclr.errors import TrainingError
from segclr.train.batch import PairBatch

__all__ = ["ArrayCubes", "CubeSource", "PairDataset", "PairRows", "draw_pairs"]


class CubeSource(Protocol):
    """Stored cubes, margin included."""

    def __len__(self) -> int:
        """Number of cubes."""
        ...

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Cubes at these rows, in this order, uint8 [n, z, y, x]."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayCubes:
    """Cubes in memory, uint8 [n, z, y, x]."""

    cubes: NDArray[np.uint8]

    def __len__(self) -> int:
        """Number of cubes."""
        return len(self.cubes)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Cubes at these rows, in this order."""
        return np.asarray(self.cubes[rows])


@dataclass(frozen=True, eq=False)
class PairRows:
    """Positive pairs as rows of a cube source.

    Attributes:
        rows_a: int64 [n], row of the first cube of each pair.
        rows_b: int64 [n], row of the second.
        groups: int64 [n], a number for each segment (ids do not fit int64: number them 0, 1, ...).
    """

    rows_a: NDArray[np.int64]
    rows_b: NDArray[np.int64]
    groups: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse columns of unequal length."""
        lengths = {len(self.rows_a), len(self.rows_b), len(self.groups)}
        if len(lengths) != 1:
            msg = f"columns of pairs must be of equal length, got {sorted(lengths)}"
            raise TrainingError(msg)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.groups)


def draw_pairs(n_pairs: int, *, batch_pairs: int, seed: int, step: int) -> NDArray[np.int64]:
    """Which of ``n_pairs`` pairs make batch ``step``, int64 [batch_pairs]."""
    positions = np.arange(step * batch_pairs, (step + 1) * batch_pairs)
    drawn = np.empty(batch_pairs, np.int64)
    for round_ in np.unique(positions // n_pairs):
        inside = positions // n_pairs == round_
        order = np.random.default_rng([seed, int(round_)]).permutation(n_pairs)
        drawn[inside] = order[positions[inside] % n_pairs]
    return drawn


@dataclass(frozen=True, eq=False)
class PairDataset(Dataset[PairBatch]):
    """Item k is the whole batch of step k."""

    cubes: CubeSource
    pairs: PairRows
    batch_pairs: int
    seed: int

    def __post_init__(self) -> None:
        """Refuse what cannot make a batch."""
        if len(self.pairs) < self.batch_pairs:
            msg = (
                f"a batch needs {self.batch_pairs} pairs, got {len(self.pairs)} to train on: "
                "draw more pairs (pairs.n_pairs) or lower train.batch_pairs"
            )
            raise TrainingError(msg)
        last = max(int(self.pairs.rows_a.max()), int(self.pairs.rows_b.max()))
        if last >= len(self.cubes):
            msg = f"pairs name row {last}, but the store holds {len(self.cubes)} cubes"
            raise TrainingError(msg)

    def __getitem__(self, step: int) -> PairBatch:
        """Read the cubes of a step's pairs, each once even where two pairs share it."""
        drawn = draw_pairs(len(self.pairs), batch_pairs=self.batch_pairs, seed=self.seed, step=step)
        wanted = np.concatenate([self.pairs.rows_a[drawn], self.pairs.rows_b[drawn]])
        rows, back = np.unique(wanted, return_inverse=True)
        cubes = torch.from_numpy(self.cubes.read(rows)[back])
        n = self.batch_pairs
        return PairBatch(step, cubes[:n], cubes[n:], torch.from_numpy(self.pairs.groups[drawn]))
