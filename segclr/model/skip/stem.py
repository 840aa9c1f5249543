"""The first convolution, from bytes: words of several voxels are gathered, not single voxels."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F

from segclr.model.input import CONTRAST
from segclr.model.skip.chunk import chunk_rows
from segclr.model.skip.folded import FoldedConvolution
from segclr.model.skip.neighbours import Neighbours, flat
from segclr.model.skip.sparse_map import MapStore, SparseMap
from segclr.model.skip.window import Window, triple

__all__ = ["RowStem"]

_IN_CACHE = 2048
_WORDS = {1: torch.uint8, 2: torch.int16}
"""Integers that hold as many voxels."""


class RowStem:
    """A convolution of one or two channels over masked bytes.

    Where x is strided, two voxels along x are a word. A word of 0 is empty space, and the words of an output
    along x are gathered as one run::

        kernel 7, stride 2:   voxels  . .|. .|. .|. _      a run of 4 words for each of the 7 * 7 rows in
                              words    0   1   2   3       z and y; a weight of 0 where _ is

    With two channels they are grey less its mean within the mask, and the mask (``CentredInput``).
    """

    def __init__(
        self, folded: FoldedConvolution, window: Window, *, padding: float, dtype: torch.dtype
    ) -> None:
        """``window`` is in voxels; ``padding`` is what lies beyond the border of the result."""
        device = folded.weight.device
        (kz, ky, kx), (sz, sy, sx) = window.kernel, window.stride
        voxels = min(sx, 2)
        self._word = _WORDS[voxels]
        kernel, stride = (kz, ky, -(-kx // voxels)), (sz, sy, sx // voxels)
        axes = zip(window.n_out, stride, kernel, strict=True)
        n_words = triple((n - 1) * s + k for n, s, k in axes)
        self._window = Window(kernel, stride, (0, 0, 0), n_words, window.n_out)
        edges = zip(window.n_in, (*n_words[:2], n_words[2] * voxels), window.before, strict=True)
        sides = [(before, padded - edge - before) for edge, padded, before in edges]
        self._sides = [side for axis in reversed(sides) for side in axis]
        # of the runs' first words; the runs themselves are read whole
        runs = Window((kz, ky, 1), stride, (0, 0, 0), n_words, window.n_out)
        self._runs = Neighbours(runs, device)
        self._offsets = runs.offsets(device)
        self._n_channels = folded.weight.shape[1]
        weight = F.pad(folded.weight, (0, kernel[2] * voxels - kx)).flatten(1).t()
        scale = 255 if self._n_channels == 1 else 1  # bytes are 0 to 255
        self._weight = (weight / scale).to(dtype).contiguous()
        row_bytes = len(self._weight) * self._weight.element_size()
        self._chunk = chunk_rows(_IN_CACHE, device, row_bytes=row_bytes)
        self._bias = folded.bias.to(dtype)
        self._relu = folded.relu
        self.store = MapStore(window.n_out, torch.full_like(self._bias, padding))

    def __call__(self, cubes: torch.Tensor, *, everywhere: bool = False) -> SparseMap:
        """Masked cubes uint8 [n, z, y, x] -> their map; ``everywhere``: empty space is not skipped."""
        words = F.pad(cubes, self._sides).view(self._word)
        occupied = torch.ones_like(words, dtype=torch.bool) if everywhere else words != 0
        at = flat(self._window.reach(occupied))
        out = self.store.room(len(at))
        firsts = self._runs.firsts(at, n_padded=words[0].numel())
        means = _means(cubes) if self._n_channels > 1 else None
        n_out = prod(self._window.n_out)
        edge = self._window.kernel[2]
        runs = words.flatten().as_strided((words.numel() - edge + 1, edge), (1, 1))
        for start in range(0, len(at), self._chunk):
            some = slice(start, start + self._chunk)
            wanted = (firsts[some, None] + self._offsets).flatten()
            grey = torch.index_select(runs, 0, wanted).view(torch.uint8).view(len(firsts[some]), -1)
            if means is None:
                seen = grey.to(self._weight.dtype)  # bfloat16 holds every byte
            else:
                seen = _centred(grey, means[torch.div(at[some], n_out, rounding_mode="floor")]).to(
                    self._weight.dtype
                )
            torch.addmm(self._bias, seen, self._weight, out=out[some])
        if self._relu:
            out.relu_()
        return self.store.map(at, n_cubes=len(cubes))


def _means(cubes: torch.Tensor) -> torch.Tensor:
    """Mean grey 0 to 1 within the mask of each cube, float32 [n]; 0 for an empty one."""
    n_inside = (cubes != 0).sum(dim=(1, 2, 3)).clamp(min=1)
    return (cubes.sum(dim=(1, 2, 3), dtype=torch.int64).double() / n_inside / 255).float()


def _centred(grey: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """Bytes [m, k] and the means of their cubes [m] -> what ``CentredInput`` makes of them, [m, 2 * k]."""
    mask = (grey > 0).float()
    return torch.cat([(grey.float() / 255 - means[:, None]) * mask * CONTRAST, mask], dim=1)
