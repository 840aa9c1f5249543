"""The grid of blocks of work, placed so that what is read around a block ends where chunks do.

Around a block, cubes reach ``size // 2`` voxels further. Blocks aligned to chunks would therefore touch a
chunk more on either side, of which half is needed; moved by that reach, they touch one more in all:

    chunks of 128   |       |       |       |       |       |       |
    cubes of 129, block of 512:  [------------------------------]        5 chunks, not 6
                             ^^^^ reach                     ^^^^

The first block is longer by the shift. Where the reach is a whole number of chunks, nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.data.volume import Volume
from segclr.geometry import Triple

__all__ = ["LEAST_TOGETHER", "BlockGrid", "block_grid", "block_shift"]

LEAST_TOGETHER = 512
"""Blocks from which on eight of them go together: with fewer, parts are too few to share among workers."""


def block_shift(size_vx: int, *, block_vx: Triple, chunk_vx: Triple) -> Triple:
    """Voxels (x, y, z) by which the grid is moved: the reach of a cube beyond whole chunks.

    0 along an axis whose blocks are not made of whole chunks: there is nothing to align.

    >>> block_shift(129, block_vx=(512, 512, 500), chunk_vx=(128, 64, 128))
    (64, 0, 0)
    """
    x, y, z = ((size_vx // 2) % c if b % c == 0 else 0 for b, c in zip(block_vx, chunk_vx, strict=True))
    return (x, y, z)


@dataclass(frozen=True)
class BlockGrid:
    """Blocks of work by the half-open rule.

    Attributes:
        origin: first voxel (x, y, z) of the volume.
        block_vx: edges (x, y, z) of a block.
        shift: voxels by which the first block is longer.
    """

    origin: Triple
    block_vx: Triple
    shift: Triple

    def blocks_of(self, voxels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Block (x, y, z) of each voxel, int64 [n, 3]."""
        first = np.asarray(self.origin) + self.shift
        return np.maximum((voxels - first) // np.asarray(self.block_vx), 0)


def block_grid(volume: Volume, *, block_vx: Triple, size_vx: int) -> BlockGrid:
    """The grid of a volume for cubes of an edge."""
    shift = block_shift(size_vx, block_vx=block_vx, chunk_vx=volume.chunk_size_vx)
    return BlockGrid(volume.bounds.start, block_vx, shift)
