"""Batches of pairs, each a pure function of (seed, step): nothing to save, lost or seen twice on resume."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from segclr.errors import TrainingError
from segclr.train.augment import view_keys
from segclr.train.batch import PairBatch
from segclr.train.order import PairOrder, PairsInTurn, SegmentsInTurn, sample_numbers

__all__ = ["ArrayCubes", "CubeSource", "GrowingSource", "PairDataset", "PairRows"]


class CubeSource(Protocol):
    """Masked cubes, margin included."""

    def __len__(self) -> int:
        """Number of cubes."""
        ...

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Cubes at these rows, in this order, uint8 [n, z, y, x]."""
        ...


@runtime_checkable
class GrowingSource(Protocol):
    """A source that can mask a cube anew for each view, because it has the tissue around the segment."""

    @property
    def grows(self) -> bool:
        """Whether it is configured to."""
        ...

    def read_grown(self, rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Cubes at these rows for the views with these keys, uint8 [n, z, y, x]."""
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
        balance: what is drawn equally often, "pairs" or "segments".
    """

    rows_a: NDArray[np.int64]
    rows_b: NDArray[np.int64]
    groups: NDArray[np.int64]
    balance: Literal["pairs", "segments"] = "pairs"

    def __post_init__(self) -> None:
        """Refuse columns of unequal length."""
        lengths = {len(self.rows_a), len(self.rows_b), len(self.groups)}
        if len(lengths) != 1:
            msg = f"columns of pairs must be of equal length, got {sorted(lengths)}"
            raise TrainingError(msg)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.groups)

    def order(self, seed: int) -> PairOrder:
        """The endless sequence in which they are drawn."""
        if self.balance == "segments":
            return SegmentsInTurn(self.groups, seed)
        return PairsInTurn(len(self), seed)


@dataclass(frozen=True, eq=False)
class PairDataset(Dataset[PairBatch]):
    """Item k is the batch of step k, or one process's part of it.

    Attributes:
        cubes: stored cubes.
        pairs: to learn from.
        batch_pairs: pairs in a whole batch.
        seed: of their order.
        own: places in the batch of the pairs that are read, one slice a micro-batch; all by default.
    """

    cubes: CubeSource
    pairs: PairRows
    batch_pairs: int
    seed: int
    own: tuple[slice, ...] = (slice(None),)

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
        """Read the cubes of a step's pairs."""
        batch = sample_numbers(step, batch_pairs=self.batch_pairs)
        samples = np.concatenate([batch[places] for places in self.own])
        drawn = self._order.take(samples)
        cubes = torch.from_numpy(self._read(drawn, samples))
        cubes_a, cubes_b = cubes.chunk(2)
        groups = torch.from_numpy(self.pairs.groups[drawn])
        return PairBatch(step, cubes_a, cubes_b, groups, torch.from_numpy(samples))

    @functools.cached_property
    def _order(self) -> PairOrder:
        return self.pairs.order(self.seed)

    def _read(self, drawn: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Cubes of both sides, those of a first; each read once even where two pairs share it."""
        wanted = np.concatenate([self.pairs.rows_a[drawn], self.pairs.rows_b[drawn]])
        if isinstance(self.cubes, GrowingSource) and self.cubes.grows:
            return self.cubes.read_grown(wanted, view_keys(self.seed, samples))
        rows, back = np.unique(wanted, return_inverse=True)
        return self.cubes.read(rows)[back]
