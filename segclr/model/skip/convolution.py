"""A convolution as matrix products over gathered rows, for any set of outputs."""

from __future__ import annotations

import torch

from segclr.model.skip.chunk import chunk_rows
from segclr.model.skip.folded import FoldedConvolution
from segclr.model.skip.fused_where import is_fused
from segclr.model.skip.neighbours import Neighbours, RowsSeen
from segclr.model.skip.sparse_map import MapStore, SparseMap
from segclr.model.skip.window import Window

__all__ = ["RowConvolution"]

_CHUNK_BYTES = 1 << 22
_MIN_CHUNK = 1024
"""Gathered rows should stay in the cache, but weights of many channels should not be read for a few rows."""


class RowConvolution:
    """Gathered rows [m, k * c_in] x weight [k * c_in, c_out] -> rows [m, c_out], of the outputs asked for.

    Attributes:
        window: what an output sees.
        n_out: channels of the result.
        n_products: multiplications for all channels of one output.
    """

    def __init__(self, folded: FoldedConvolution, window: Window, *, dtype: torch.dtype) -> None:
        """Weights are converted to ``dtype`` here, once."""
        c_out, c_in = folded.weight.shape[:2]
        device = folded.weight.device
        self.window = window
        self._neighbours = Neighbours(window, device)
        self._weight = folded.weight.permute(2, 3, 4, 1, 0).reshape(-1, c_out).to(dtype).contiguous()
        self.n_out = c_out
        self.n_products = self._weight.numel()
        self._bias = folded.bias.to(dtype)
        self._relu = folded.relu
        self._scale = None if folded.scale is None else folded.scale.to(dtype)
        self._shift = None if folded.shift is None else folded.shift.to(dtype)
        self._is_fused = is_fused(device, dtype, n_in=c_in, n_out=c_out)
        row_bytes = len(self._weight) * self._weight.element_size()
        in_cache = max(_CHUNK_BYTES // row_bytes, min(_MIN_CHUNK, c_out * 2))
        self._chunk = 0 if self._is_fused else chunk_rows(in_cache, device, row_bytes=row_bytes)
        self._gathered = self._weight.new_empty((self._chunk * window.n_seen, c_in))

    def store(self) -> MapStore:
        """Room for maps of these activations, which convolutions will look at: their padding is 0."""
        return MapStore(self.window.n_out, torch.zeros_like(self._bias))

    def fill(self, out: torch.Tensor, x: SparseMap, at: torch.Tensor) -> None:
        """Activations of the outputs ``at``, counted over the batch [m], into ``out`` [m, c_out]."""
        if not len(at):
            return
        seen = self._neighbours.rows(x, at)
        if self._is_fused:
            from segclr.model.skip.fused import multiply_seen

            multiply_seen(
                out,
                x.rows,
                seen,
                weight=self._weight,
                bias=self._bias,
                relu=self._relu,
                scale=self._scale,
                shift=self._shift,
            )
        else:
            self._fill_by_pieces(out, x.rows, seen)

    def _fill_by_pieces(self, out: torch.Tensor, rows: torch.Tensor, seen: RowsSeen) -> None:
        for start in range(0, len(out), self._chunk):
            some = slice(start, start + self._chunk)
            wanted = seen[some]
            gathered = self._gathered[: len(wanted)]
            torch.index_select(rows, 0, wanted, out=gathered)
            torch.addmm(self._bias, gathered.view(-1, len(self._weight)), self._weight, out=out[some])
        if self._relu:
            out.relu_()
        if self._scale is not None and self._shift is not None:
            torch.addcmul(self._shift, out, self._scale, out=out)
