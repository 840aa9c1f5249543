"""Max-pooling for the outputs that can differ."""

from __future__ import annotations

import torch

from segclr.model.skip.chunk import chunk_rows
from segclr.model.skip.neighbours import Neighbours, flat
from segclr.model.skip.sparse_map import MapStore, SparseMap
from segclr.model.skip.window import Window

__all__ = ["RowMaxPool"]

_IN_CACHE = 512


class RowMaxPool:
    """The largest of the rows that each output sees."""

    def __init__(self, window: Window, padding: torch.Tensor) -> None:
        """``padding`` [c] is what lies beyond the result's border; rows are of its kind, on its device."""
        self.store = MapStore(window.n_out, padding)
        self._neighbours = Neighbours(window, padding.device)
        row_bytes = window.n_seen * padding.nbytes
        self._chunk = chunk_rows(_IN_CACHE, padding.device, row_bytes=row_bytes)
        self._gathered = padding.new_empty((self._chunk * window.n_seen, len(padding)))

    def __call__(self, x: SparseMap) -> SparseMap:
        """Maps of ``n_in`` voxels -> of ``n_out``. The padding row of ``x`` must not win: -inf."""
        at = flat(self._neighbours.window.reach(x.active))
        out = self.store.room(len(at))
        seen = self._neighbours.rows(x, at)
        for start in range(0, len(at), self._chunk):
            some = slice(start, start + self._chunk)
            wanted = seen[some]
            gathered = self._gathered[: len(wanted)]
            torch.index_select(x.rows, 0, wanted, out=gathered)
            n_seen = self._neighbours.window.n_seen
            torch.amax(gathered.view(-1, n_seen, gathered.shape[1]), 1, out=out[some])
        return self.store.map(at, n_cubes=len(x.table))
