"""Where in a map's rows the voxels lie that a layer's outputs see."""

from __future__ import annotations

import torch

from segclr.model.skip.sparse_map import PADDING, SparseMap
from segclr.model.skip.window import Window

__all__ = ["Neighbours", "RowsSeen", "flat"]


def flat(active: torch.Tensor) -> torch.Tensor:
    """Numbers of the true voxels, counted over the whole batch: bool [n, z, y, x] -> int64 [m]."""
    return active.flatten().nonzero()[:, 0]


class Neighbours:
    """The window of one layer as flat indices, on one device."""

    def __init__(self, window: Window, device: torch.device) -> None:
        """Compute the indices that are the same for every cube."""
        self.window = window
        self._offsets = window.offsets(device)
        self._firsts = window.firsts(device)

    def firsts(self, at: torch.Tensor, *, n_padded: int) -> torch.Tensor:
        """First voxel that each output sees, in the flat padded batch of ``n_padded`` voxels a cube.

        ``at`` int64 [m] counts outputs over the batch.
        """
        n_out = len(self._firsts)
        return self._firsts[at % n_out] + torch.div(at, n_out, rounding_mode="floor") * n_padded

    def rows(self, x: SparseMap, at: torch.Tensor) -> RowsSeen:
        """What the outputs ``at`` see of a map."""
        table = self.window.pad(x.table, value=PADDING)
        firsts = self.firsts(at, n_padded=table[0].numel())
        return RowsSeen(table.flatten(), firsts, self._offsets)


class RowsSeen:
    """Row numbers [m, k], made piece by piece, for all of them at once would not stay in the cache.

    Attributes:
        table: int32 [voxels], the row of each voxel.
        firsts: int64 [m], first voxel that each output sees.
        offsets: int64 [k], from there to all that it sees.
    """

    def __init__(self, table: torch.Tensor, firsts: torch.Tensor, offsets: torch.Tensor) -> None:
        """Outputs [m] see the voxels ``firsts[m] + offsets[k]``."""
        self.table, self.firsts, self.offsets = table, firsts, offsets

    def __getitem__(self, outputs: slice) -> torch.Tensor:
        """Rows that some outputs see, flat [m * k]."""
        voxels = self.firsts[outputs, None] + self.offsets
        return torch.index_select(self.table, 0, voxels.flatten())
