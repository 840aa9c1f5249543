"""Cut where the encoder runs: EM and labels of a block on its device, cubes cut from them.

The same cubes as ``segclr.cut_cubes`` gives, equal by test, but never stored and never copied back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from segclr.data.cubes import INSIDE, Content, fill_cube
from segclr.data.labels import LabelledBlock
from segclr.geometry import Triple

__all__ = ["CubeCutter", "DeviceBlock", "HostBlock", "to_device"]

_SIGNED = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
"""What torch computes with, by bytes: labels keep their bits, and only equality is asked of them."""


class CubeCutter(Protocol):
    """A block that cubes are cut from."""

    def cut(self, starts: NDArray[np.int64], labels: NDArray[np.int64], *, size_vx: int) -> torch.Tensor:
        """Cubes uint8 [n, z, y, x] on the block's device, zero beyond the block.

        Args:
            starts: first voxel (x, y, z) of each cube, int64 [n, 3].
            labels: the block's label to keep in each, int64 [n]; -1: none.
            size_vx: edge of a cube.
        """
        ...


@dataclass(frozen=True)
class HostBlock:
    """A block in main memory: cut box by box, which is 20 times as fast there as a gather.

    Attributes:
        block: EM and labels.
        content: what the cubes show.
    """

    block: LabelledBlock
    content: Content

    def cut(self, starts: NDArray[np.int64], labels: NDArray[np.int64], *, size_vx: int) -> torch.Tensor:
        """See :class:`CubeCutter`."""
        cubes = np.empty((len(starts), *(size_vx,) * 3), dtype=np.uint8)
        for cube, start, label in zip(cubes, starts, labels.tolist(), strict=True):
            fill_cube(cube, self.block, start, label, content=self.content)
        return torch.from_numpy(cubes)


@dataclass(frozen=True)
class DeviceBlock:
    """A block on an accelerator: a batch is gathered by one kernel, rows of voxels along x at a time.

    Nothing here waits for the device.

    Attributes:
        em: uint8 [z, y, x].
        labels: uint8, int16 or int32 [z, y, x], the bits of the labels; 0 = no segment.
        start: first voxel (x, y, z).
        content: what the cubes show.
    """

    em: torch.Tensor
    labels: torch.Tensor
    start: Triple
    content: Content

    def cut(self, starts: NDArray[np.int64], labels: NDArray[np.int64], *, size_vx: int) -> torch.Tensor:
        """See :class:`CubeCutter`."""
        if not len(starts):
            return torch.zeros((0, *(size_vx,) * 3), dtype=torch.uint8, device=self.em.device)
        low = (starts - np.asarray(self.start))[:, ::-1]
        shape = np.array(self.em.shape)
        # a cube that ends before the block or begins behind it sees nothing but margin, whichever
        low = np.clip(low, -size_vx, shape)
        before = np.maximum(-low.min(axis=0), 0)
        after = np.maximum((low + size_vx).max(axis=0) - shape, 0)
        corners = torch.from_numpy(np.ascontiguousarray(low + before)).to(self.em.device, non_blocking=True)
        margins = [int(n) for axis in (2, 1, 0) for n in (before[axis], after[axis])]
        steps = torch.arange(size_vx, device=self.em.device)
        where = (
            (corners[:, 0:1] + steps)[:, :, None],
            (corners[:, 1:2] + steps)[:, None, :],
            corners[:, 2][:, None, None],
        )

        def gathered(voxels: torch.Tensor) -> torch.Tensor:
            padded = torch.nn.functional.pad(voxels, margins) if any(margins) else voxels
            return padded.unfold(2, size_vx, 1)[where]

        if self.content == "em":
            return gathered(self.em)
        kept = torch.from_numpy(_as_stored(labels, self.labels.dtype)).to(self.em.device, non_blocking=True)
        real = torch.from_numpy(labels >= 0).to(self.em.device, non_blocking=True)
        mask = (gathered(self.labels) == kept[:, None, None, None]) & real[:, None, None, None]
        grey = INSIDE if self.content == "mask" else gathered(self.em)
        return mask.to(torch.uint8) * grey


def _as_stored(labels: NDArray[np.int64], kind: torch.dtype) -> NDArray[np.generic]:
    """Labels with the bits that the block's tensor has for them."""
    size = kind.itemsize
    unsigned = labels.astype(np.dtype(f"u{size}"))
    return unsigned if kind == torch.uint8 else unsigned.view(np.dtype(f"i{size}"))


def to_device(block: LabelledBlock, device: torch.device, *, content: Content = "masked") -> CubeCutter:
    """Put a block's voxels on a device."""
    if device.type == "cpu":
        return HostBlock(block, content)
    return device_block(block, device, content=content)


def device_block(block: LabelledBlock, device: torch.device, *, content: Content = "masked") -> DeviceBlock:
    """The block as tensors, its labels as the smallest type that torch computes with."""
    kind = _SIGNED[block.labels.dtype.itemsize]
    stored = block.labels if kind == torch.uint8 else block.labels.view(f"i{block.labels.dtype.itemsize}")
    em, labels = (torch.from_numpy(np.ascontiguousarray(v)) for v in (block.em, stored))
    return DeviceBlock(em.to(device), labels.to(device), block.box.start, content)
