"""The first convolution, from bytes: words of several voxels are gathered, not single voxels."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F

from segclr.geometry import Triple
from segclr.model.input import CONTRAST
from segclr.model.skip.folded import FoldedConvolution
from segclr.model.skip.neighbours import Neighbours, flat
from segclr.model.skip.sparse_map import MapStore, SparseMap
from segclr.model.skip.window import Window, triple

__all__ = ["RowStem"]

_CHUNK = 2048
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers that hold a block of as many voxels."""


class RowStem:
    """A convolution of one or two channels over masked bytes.

    Blocks of the stride's size (at most 2 voxels an axis) are folded into words, so that a word of 0 is
    empty space, and an output's words along x are gathered as one run::

        kernel 7, stride 2:   voxels  . .|. .|. .|. _      one axis: 4 words of 2 voxels, 4 * 4 runs of
                              words    0   1   2   3       4 words in three; a weight of 0 where _ is

    With two channels they are grey less its mean within the mask, and the mask (``CentredInput``).
    """

    def __init__(
        self, folded: FoldedConvolution, window: Window, *, padding: float, dtype: torch.dtype
    ) -> None:
        """``window`` is in voxels; ``padding`` is what lies beyond the border of the result."""
        device = folded.weight.device
        block = triple(min(step, 2) for step in window.stride)
        self._block = block
        self._before = window.before
        kernel = triple(-(-k // b) for k, b in zip(window.kernel, block, strict=True))
        stride = triple(s // b for s, b in zip(window.stride, block, strict=True))
        axes = zip(window.n_out, stride, kernel, strict=True)
        n_words = triple((n - 1) * s + k for n, s, k in axes)
        self._window = Window(kernel, stride, (0, 0, 0), n_words, window.n_out)
        # of the runs' first words; the runs themselves are read whole
        runs = Window((*kernel[:2], 1), stride, (0, 0, 0), n_words, window.n_out)
        self._runs = Neighbours(runs, device)
        self._offsets = runs.offsets(device)
        self._weight = _words_first(folded.weight, kernel, block).to(dtype)
        self._bias = folded.bias.to(dtype)
        self._relu = folded.relu
        self._n_channels = folded.weight.shape[1]
        self.store = MapStore(window.n_out, torch.full_like(self._bias, padding))

    def __call__(self, cubes: torch.Tensor, *, everywhere: bool = False) -> SparseMap:
        """Masked cubes uint8 [n, z, y, x] -> their map; ``everywhere``: empty space is not skipped."""
        words = self._fold(cubes)
        occupied = torch.ones_like(words, dtype=torch.bool) if everywhere else words != 0
        at = flat(self._window.reach(occupied))
        out = self.store.room(len(at))
        firsts = self._runs.firsts(at, n_padded=words[0].numel())
        means = _means(cubes) if self._n_channels > 1 else None
        n_out = prod(self._window.n_out)
        edge = self._window.kernel[2]
        runs = words.flatten().as_strided((words.numel() - edge + 1, edge), (1, 1))
        for start in range(0, len(at), _CHUNK):
            some = slice(start, start + _CHUNK)
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

    def _fold(self, cubes: torch.Tensor) -> torch.Tensor:
        """Bytes [n, z, y, x] -> words [n, *n_words], with the padding."""
        (bz, by, bx), (z, y, x) = self._block, self._window.n_in
        axes = zip(cubes.shape[1:], self._window.n_in, self._block, self._before, strict=True)
        sides = [(before, n * b - edge - before) for edge, n, b, before in axes]
        padded = F.pad(cubes, [side for axis in reversed(sides) for side in axis])
        along_x = padded.view(_WORDS[bx]).view(len(cubes), z, bz, y, by, x)
        blocks = along_x.permute(0, 1, 3, 5, 2, 4).contiguous().view(len(cubes), z, y, x, bz * by)
        return blocks.view(_WORDS[bz * by * bx])[..., 0]


def _words_first(weight: torch.Tensor, kernel: Triple, block: Triple) -> torch.Tensor:
    """[c_out, c_in, z, y, x] -> [c_in * words * voxels of a word, c_out], for bytes instead of 0 to 1."""
    c_out, c_in = weight.shape[:2]
    axes = zip(kernel, block, weight.shape[2:], strict=True)
    ends = [k * b - edge for k, b, edge in axes]
    padded = F.pad(weight, [side for end in reversed(ends) for side in (0, end)])
    (kz, ky, kx), (bz, by, bx) = kernel, block
    split = padded.reshape(c_out, c_in, kz, bz, ky, by, kx, bx).permute(1, 2, 4, 6, 3, 5, 7, 0)
    return (split.reshape(-1, c_out) / (255 if c_in == 1 else 1)).contiguous()


def _means(cubes: torch.Tensor) -> torch.Tensor:
    """Mean grey 0 to 1 within the mask of each cube, float32 [n]; 0 for an empty one."""
    n_inside = (cubes != 0).sum(dim=(1, 2, 3)).clamp(min=1)
    return (cubes.sum(dim=(1, 2, 3), dtype=torch.int64).double() / n_inside / 255).float()


def _centred(grey: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """Bytes [m, k] and the means of their cubes [m] -> what ``CentredInput`` makes of them, [m, 2 * k]."""
    mask = (grey > 0).float()
    return torch.cat([(grey.float() / 255 - means[:, None]) * mask * CONTRAST, mask], dim=1)
