"""What a volume's metadata tell of the reading that a run will do: blocks, voxels, chunks, bytes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from segclr.geometry import BoundingBox, Triple, VoxelSize

__all__ = ["Extent", "Reading", "cube_margins"]

Margins = tuple[Triple, Triple]
"""Voxels (x, y, z) read before and after a block."""


def cube_margins(size_vx: int) -> Margins:
    """How far cubes around the voxels of a block reach beyond it.

    A cube starts at its centre's voxel minus ``size_vx // 2``:

        |<- size // 2 ->[ block ]<- size - 1 - size // 2 ->|
    """
    before, after = size_vx // 2, size_vx - 1 - size_vx // 2
    return (before,) * 3, (after,) * 3


@dataclass(frozen=True)
class Reading:
    """What is read of one volume when every block of work is read once with its margins.

    Attributes:
        n_blocks: blocks of work.
        n_voxels: voxels asked for, those in several blocks' margins counted each time.
        n_chunks: chunks touched, likewise: each is fetched and decoded as a whole.
        n_chunk_voxels: voxels in those chunks.
    """

    n_blocks: int
    n_voxels: int
    n_chunks: int
    n_chunk_voxels: int


@dataclass(frozen=True)
class Extent:
    """The metadata of a volume that a plan needs.

    Attributes:
        bounds: voxels at the scale of the run.
        voxel_size_nm: (x, y, z).
        chunk_size_vx: (x, y, z) in voxels of that scale; the grid begins at the bounds' start.
        bytes_per_voxel: stored bytes behind one voxel: of a volume reduced on the fly, all finer voxels'.
        region: where nodes are wanted, within the bounds; None: everywhere.
    """

    bounds: BoundingBox
    voxel_size_nm: VoxelSize
    chunk_size_vx: Triple
    bytes_per_voxel: int
    region: BoundingBox | None = None

    @property
    def box(self) -> BoundingBox:
        """Where nodes are wanted."""
        return self.bounds if self.region is None else self.region

    @property
    def size_um(self) -> tuple[float, float, float]:
        """Edges (x, y, z) of the box where nodes are wanted, as all measures of tissue here."""
        x, y, z = (n * s / 1000 for n, s in zip(self.box.size, self.voxel_size_nm, strict=True))
        return (x, y, z)

    @property
    def volume_um3(self) -> float:
        """Volume of the tissue."""
        return math.prod(self.size_um)

    @property
    def surface_um2(self) -> float:
        """Surface of the box."""
        x, y, z = self.size_um
        return 2 * (x * y + y * z + x * z)

    def reading(
        self,
        block_vx: Triple,
        margins: Margins = ((0, 0, 0), (0, 0, 0)),
        *,
        shift: Triple = (0, 0, 0),
    ) -> Reading:
        """Reading of all blocks that hold a part of the region; exact, and as quick for a petabyte.

        Axes are counted apart. Of a block that lies partly in the region only that part is read with margins.

        Args:
            block_vx: edges (x, y, z) of a block.
            margins: read around each.
            shift: voxels by which the first block is longer, see ``block_shift``.
        """
        totals = [
            _along_axis(*edges)
            for edges in zip(
                self.bounds.start,
                self.bounds.stop,
                self.box.start,
                self.box.stop,
                block_vx,
                self.chunk_size_vx,
                shift,
                *margins,
                strict=True,
            )
        ]
        return Reading(*(math.prod(column) for column in zip(*totals, strict=True)))

    def chunks_of_cube(self, size_vx: int) -> float:
        """Chunks touched by one cube at a random place: (size - 1) / chunk + 1 along each axis."""
        return math.prod((size_vx - 1) / c + 1 for c in self.chunk_size_vx)


def _along_axis(
    start: int,
    stop: int,
    wanted_from: int,
    wanted_to: int,
    block: int,
    chunk: int,
    shift: int,
    before: int,
    after: int,
) -> tuple[int, int, int, int]:
    """Blocks, voxels, chunks and voxels of chunks along one axis."""
    n_blocks = n_voxels = n_chunks = n_chunk_voxels = 0
    edges = [start, *range(start + shift + block, stop, block), stop]
    for block_start, block_stop in itertools.pairwise(edges):
        first, end = max(block_start, wanted_from), min(block_stop, wanted_to)
        if first >= end:
            continue
        low = max(start, first - before)
        high = min(stop, end + after)
        first_chunk, end_chunk = (low - start) // chunk, -(-(high - start) // chunk)
        n_blocks += 1
        n_voxels += high - low
        n_chunks += end_chunk - first_chunk
        n_chunk_voxels += min(stop - start, end_chunk * chunk) - first_chunk * chunk
    return n_blocks, n_voxels, n_chunks, n_chunk_voxels
