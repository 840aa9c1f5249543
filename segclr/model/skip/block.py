"""A residual block for the outputs that can differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from segclr.model.skip.convolution import RowConvolution
from segclr.model.skip.neighbours import flat
from segclr.model.skip.sparse_map import MapStore, SparseMap

__all__ = ["RowBlock"]


class RowBlock:
    """Convolutions one after the other, beside a shortcut; the sum's ReLU comes last."""

    def __init__(self, main: Sequence[RowConvolution], shortcut: RowConvolution | None) -> None:
        """``shortcut`` None: the block's input itself."""
        self._main = tuple(main)
        self._shortcut = shortcut
        self.stores = tuple(convolution.store() for convolution in main)

    @property
    def convolutions(self) -> tuple[tuple[RowConvolution, MapStore], ...]:
        """Each with the store of the map whose active voxels it is computed for."""
        beside = () if self._shortcut is None else ((self._shortcut, self.stores[-1]),)
        return (*zip(self._main, self.stores, strict=True), *beside)

    def __call__(self, x: SparseMap) -> SparseMap:
        """The block's output, of the outputs that see an active voxel."""
        n_cubes = len(x.table)
        y = x
        for convolution, store in zip(self._main[:-1], self.stores[:-1], strict=True):
            at = flat(convolution.window.reach(y.active))
            convolution.fill(store.room(len(at)), y, at)
            y = store.map(at, n_cubes=n_cubes)
        last, store = self._main[-1], self.stores[-1]
        beside = x.active if self._shortcut is None else self._shortcut.window.reach(x.active)
        at = flat(last.window.reach(y.active) | beside)
        out = store.room(len(at))
        last.fill(out, y, at)
        out.add_(self._beside(x, at)).relu_()
        return store.map(at, n_cubes=n_cubes)

    def _beside(self, x: SparseMap, at: torch.Tensor) -> torch.Tensor:
        if self._shortcut is None:
            return torch.index_select(x.rows, 0, x.table.flatten()[at])
        rows = x.rows.new_empty((len(at), self._shortcut.n_out))
        self._shortcut.fill(rows, x, at)
        return rows
