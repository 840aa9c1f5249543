"""Which voxels a layer looks at: the geometry of convolutions and pools, without their weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
import torch.nn.functional as F

from segclr.geometry import Triple

__all__ = ["Window", "triple"]


def triple(values: Iterable[int]) -> Triple:
    """Three numbers (z, y, x) as a tuple."""
    z, y, x = values
    return z, y, x


@dataclass(frozen=True)
class Window:
    """A kernel that steps over a map with a border of padding; all triples (z, y, x).

    Attributes:
        kernel: voxels that one output sees.
        stride: voxels from one output to the next.
        before: voxels of padding in front of each axis; behind it is as much as the last output needs.
        n_in: voxels of the map.
        n_out: voxels of the result.
    """

    kernel: Triple
    stride: Triple
    before: Triple
    n_in: Triple
    n_out: Triple

    @classmethod
    def same(cls, n_in: Triple, *, kernel: Triple, stride: Triple) -> Window:
        """With TensorFlow's SAME padding."""
        n_out = triple(-(-n // s) for n, s in zip(n_in, stride, strict=True))
        axes = zip(n_in, n_out, kernel, stride, strict=True)
        before = triple(max((out - 1) * s + k - n, 0) // 2 for n, out, k, s in axes)
        return cls(kernel, stride, before, n_in, n_out)

    @classmethod
    def padded(cls, n_in: Triple, *, kernel: Triple, stride: Triple, padding: Triple) -> Window:
        """With the same padding on both sides, as PyTorch's layers have it."""
        axes = zip(n_in, kernel, stride, padding, strict=True)
        return cls(kernel, stride, padding, n_in, triple((n + 2 * p - k) // s + 1 for n, k, s, p in axes))

    @cached_property
    def n_padded(self) -> Triple:
        """Voxels of the map with what the outputs see of its border."""
        axes = zip(self.n_in, self.n_out, self.kernel, self.stride, self.before, strict=True)
        return triple(max(before + n, (out - 1) * s + k) for n, out, k, s, before in axes)

    def pad(self, x: torch.Tensor, value: float) -> torch.Tensor:
        """[n, z, y, x] of ``n_in`` voxels -> of ``n_padded``."""
        axes = zip(self.n_in, self.n_padded, self.before, strict=True)
        sides = [(before, padded - n - before) for n, padded, before in axes]
        return F.pad(x, [side for axis in reversed(sides) for side in axis], value=value)

    @property
    def n_seen(self) -> int:
        """Voxels that one output sees."""
        return prod(self.kernel)

    def offsets(self, device: torch.device) -> torch.Tensor:
        """Steps from an output's first voxel to all it sees, in the flat padded map, int64 [prod(kernel)]."""
        return _grid(self.kernel, (1, 1, 1), self.n_padded, device)

    def firsts(self, device: torch.device) -> torch.Tensor:
        """First voxel that each output sees, in the flat padded map, int64 [prod(n_out)]."""
        return _grid(self.n_out, self.stride, self.n_padded, device)

    def reach(self, active: torch.Tensor) -> torch.Tensor:
        """Outputs that see an active voxel: bool [n, z, y, x] of ``n_in`` -> of ``n_out`` voxels."""
        seen = self.pad(active, value=False)
        for axis in range(3):
            seen = self._reach_along(seen, axis)
        return seen

    def _reach_along(self, active: torch.Tensor, axis: int) -> torch.Tensor:
        n_out, stride = self.n_out[axis], self.stride[axis]
        length = (n_out - 1) * stride + 1
        views = [
            active.narrow(axis + 1, first, length)[(slice(None),) * (axis + 1) + (slice(None, None, stride),)]
            for first in range(self.kernel[axis])
        ]
        found = views[0].clone()
        for view in views[1:]:
            found |= view
        return found


def _grid(shape: Triple, step: Triple, within: Triple, device: torch.device) -> torch.Tensor:
    """Flat indices of a grid that steps through an array of shape ``within``."""
    z, y, x = (torch.arange(n, device=device) * s for n, s in zip(shape, step, strict=True))
    return ((z[:, None, None] * within[1] + y[:, None]) * within[2] + x).flatten()
