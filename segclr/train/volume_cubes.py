"""Cubes cut from the volume when they are asked for: no store on disk, and masks that can grow.

The volume is read in blocks of whole chunks, of which a number is kept in memory. That serves volumes that
fit there, or nearly; where pairs are scattered over more, most cubes cost a read of all blocks they touch,
and the store is faster by orders of magnitude (docs/augmentations.md).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.config import AugmentConfig
from segclr.data.cubes import INSIDE, Content, block_of_voxels, checked_centers, cut_into
from segclr.data.labels import LabelledBlock, read_block
from segclr.data.volume import Volume, check_aligned
from segclr.errors import CubeError
from segclr.geometry import BoundingBox, Rounding, Triple, cube_starts, voxels_of_points
from segclr.train.augment import Draws, Growth, grow_mask, sample_growth

__all__ = ["VolumeCubes"]

_LEAST_BLOCK_VX = 64
"""Chunks smaller than that are read several at once: a block has a cost of its own."""


class VolumeCubes:
    """The masked cubes around some centres, as ``segclr.cut_cubes`` gives them.

    Safe to read from several threads; a copy in another process begins with no block in memory.
    """

    def __init__(
        self,
        em: Volume,
        segmentation: Volume,
        centers_nm: ArrayLike,
        segment_ids: ArrayLike,
        *,
        size_vx: int,
        cache_bytes: int,
        augment: AugmentConfig | None = None,
        content: Content = "masked",
        rounding: Rounding = "floor",
    ) -> None:
        """Nothing is read yet.

        Args:
            em: uint8 volume.
            segmentation: on the same grid.
            centers_nm: [n, 3], (x, y, z).
            segment_ids: uint64 [n].
            size_vx: edge of a cube, margin included.
            cache_bytes: of decoded blocks kept; at least one is.
            augment: how masks grow for training views; absent: not.
            content: what the cubes show, as of ``cut_cubes``.
            rounding: which voxel they are centred on.

        Raises:
            CubeError: shapes or types do not fit, or ids are not uint64.
            VolumeError: the volumes do not lie on one grid.
        """
        check_aligned(em, segmentation)
        centers, self._ids = checked_centers(centers_nm, segment_ids)
        self._em, self._segmentation = em, segmentation
        self._voxels = voxels_of_points(centers, em.voxel_size_nm)
        self._starts = cube_starts(centers, em.voxel_size_nm, size_vx=size_vx, rounding=rounding)
        self._content = content
        self._size_vx = size_vx
        self._block_vx = _block_vx(segmentation.chunk_size_vx)
        self._cache_bytes = cache_bytes
        self._augment = augment or AugmentConfig()
        self._blocks: OrderedDict[Triple, LabelledBlock] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of centres."""
        return len(self._ids)

    @property
    def grows(self) -> bool:
        """Whether training views get masks of their own."""
        return self._augment.grows

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Cubes at these rows, in this order, uint8 [n, z, y, x].

        Raises:
            CubeError: a centre lies outside its segment.
            VolumeError: a chunk cannot be read.
        """
        cubes = np.zeros((len(rows), *(self._size_vx,) * 3), dtype=np.uint8)
        for i, row in self._by_block(rows):
            self._check_center(row)
            for block in self._blocks_of(self._box(row)):
                label = block.label_of.get(int(self._ids[row])) or -1
                cut_into(cubes[i], block, self._starts[row], label, content=self._content)
        return cubes

    def read_grown(self, rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Cubes at these rows with the masks that views with these keys draw, uint8 [n, z, y, x].

        Raises:
            CubeError: a centre lies outside its segment.
            VolumeError: a chunk cannot be read.
        """
        growths = sample_growth(self._augment, Draws(keys))
        cubes = np.empty((len(rows), *(self._size_vx,) * 3), dtype=np.uint8)
        for i, row in self._by_block(rows):
            cubes[i] = self._grown(row, growths[i])
        return cubes

    def _by_block(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Positions and rows, those of one block together: a block is then read less often."""
        blocks = block_of_voxels(self._voxels[rows], origin=self._em.bounds.start, block_vx=self._block_vx)
        for i in np.lexsort(blocks.T).tolist():
            yield i, int(rows[i])

    def _grown(self, row: int, growth: Growth) -> NDArray[np.uint8]:
        self._check_center(row)
        box = self._box(row)
        em = np.zeros(box.shape_zyx, dtype=np.uint8)
        ids = np.zeros(box.shape_zyx, dtype=np.uint64)
        for block in self._blocks_of(box):
            part = box.intersect(block.box)
            source, target = part.slices_zyx(block.box.start), part.slices_zyx(box.start)
            id_of = np.zeros(len(block.label_of) + 1, dtype=np.uint64)
            for segment_id, label in block.label_of.items():
                id_of[label] = segment_id
            em[target] = block.em[source]
            ids[target] = id_of[block.labels[source]]
        if self._content == "em":
            return em
        mask = grow_mask(ids == self._ids[row], ids, growth)
        return mask * np.uint8(INSIDE) if self._content == "mask" else em * mask

    def _box(self, row: int) -> BoundingBox:
        start = self._starts[row]
        return BoundingBox(start, start + self._size_vx)

    def _check_center(self, row: int) -> None:
        voxel = self._voxels[row]
        center = BoundingBox(voxel, voxel + 1)
        labels = [
            int(block.label_at(voxel[None])[0]) == block.label_of.get(int(self._ids[row]), -1)
            for block in self._blocks_of(center)
        ]
        if labels != [True] or not self._ids[row]:
            msg = (
                f"centre {row} at voxel {voxel.tolist()} (x, y, z) lies outside its segment {self._ids[row]}"
            )
            raise CubeError(msg)

    def _blocks_of(self, box: BoundingBox) -> Iterator[LabelledBlock]:
        """All blocks that hold a part of a box."""
        inside = box.intersect(self._em.bounds)
        if not inside.n_voxels:
            return
        corners = np.array([inside.start, inside.stop]) - [[0], [1]]
        first, last = block_of_voxels(corners, origin=self._em.bounds.start, block_vx=self._block_vx)
        for index in np.ndindex(*(last - first + 1)):
            x, y, z = (int(v) for v in first + index)
            yield self._block((x, y, z))

    def _block(self, index: Triple) -> LabelledBlock:
        """A block from memory, or read, for which the longest unused ones make room."""
        with self._lock:
            if index in self._blocks:
                self._blocks.move_to_end(index)
                return self._blocks[index]
        size = np.array(self._block_vx)
        start = np.array(self._em.bounds.start) + np.array(index) * size
        box = BoundingBox(start, start + size).intersect(self._em.bounds)
        block = read_block(self._em, self._segmentation, box)
        with self._lock:
            self._blocks[index] = block
            while len(self._blocks) > 1 and sum(map(_bytes, self._blocks.values())) > self._cache_bytes:
                self._blocks.popitem(last=False)
        return block

    def __getstate__(self) -> dict[str, Any]:
        """For another process: without lock and blocks."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_blocks")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin with no block in memory."""
        self.__dict__.update(state, _blocks=OrderedDict(), _lock=threading.Lock())


def _block_vx(chunk_size_vx: Triple) -> Triple:
    """Whole chunks, enough of them (x, y, z)."""
    x, y, z = (-(-_LEAST_BLOCK_VX // edge) * edge for edge in chunk_size_vx)
    return (x, y, z)


def _bytes(block: LabelledBlock) -> int:
    return int(block.em.nbytes + block.labels.nbytes)
