"""A feature map of which only what differs from an empty cube's is stored."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from segclr.geometry import Triple

__all__ = ["MapStore", "SparseMap"]

PADDING = 0
"""Row of every map that stands for what lies beyond the border."""


@dataclass(frozen=True, eq=False)
class SparseMap:
    """Activations of a batch: rows, and for each voxel the number of its row.

    Attributes:
        rows: [r, c]: the padding's, the empty cube's, then those of active voxels.
        table: int32 [n, z, y, x], the row of each voxel.
        first: first row of active voxels.
    """

    rows: torch.Tensor
    table: torch.Tensor
    first: int

    @property
    def active(self) -> torch.Tensor:
        """Voxels that may differ from the empty cube's, bool [n, z, y, x]."""
        return self.table >= self.first


class MapStore:
    """Where one layer's maps lie: the rows that all cubes share, and room for those of active voxels.

    The memory is used again, so a map is good until the next is made (fresh memory of this size costs more
    than the copy that fills it). A new store knows of no empty cube: every voxel must be active, until
    ``learn`` is called.

    Attributes:
        map_shape: voxels (z, y, x) of a map.
        n_active: active voxels of the last map.
    """

    def __init__(self, shape: Triple, padding: torch.Tensor) -> None:
        """For maps of ``shape`` voxels (z, y, x); ``padding`` [c] is what lies beyond their border."""
        self.map_shape = shape
        self._rows = padding[None].clone()
        self._table = torch.full((prod(shape),), PADDING, dtype=torch.int32, device=padding.device)
        self._first = 1
        self.n_active = 0

    def room(self, n_active: int) -> torch.Tensor:
        """Rows for the activations of as many voxels, [n_active, c]."""
        wanted = self._first + n_active
        if wanted > len(self._rows):
            self.release()  # before there is more: both at once might not fit
            shared = self._rows
            self._rows = shared.new_empty((wanted + wanted // 4, shared.shape[1]))
            self._rows[: self._first] = shared
        self.n_active = n_active
        return self._rows[self._first : wanted]

    def release(self) -> None:
        """Let go of the room for active voxels; the rows that all cubes share stay."""
        self._rows = self._rows[: self._first].clone()
        self.n_active = 0

    def map(self, at: torch.Tensor, *, n_cubes: int) -> SparseMap:
        """The map whose active voxels, flat over the batch [n_active], have the rows that ``room`` gave."""
        last = self._first + len(at)
        table = self._table.repeat(n_cubes)
        table[at] = torch.arange(self._first, last, dtype=torch.int32, device=at.device)
        return SparseMap(self._rows[:last], table.view(n_cubes, *self.map_shape), self._first)

    def learn(self) -> None:
        """Take the last map, of one empty cube with every voxel active, for the empty cube's from now on."""
        empty = self._rows[self._first : self._first + self.n_active]
        if bool((empty == empty[0]).all()):
            empty = empty[:1]
        numbers = torch.arange(1, 1 + len(empty), dtype=torch.int32, device=empty.device)
        self._table = numbers.expand_as(self._table).contiguous()
        self._rows = torch.cat([self._rows[:1], empty])
        self._first = len(self._rows)
