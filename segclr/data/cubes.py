"""Cut masked cubes: EM where the segmentation equals the centre's segment, 0 elsewhere and beyond the volume.

Every chunk is read once a block of work: centres are grouped by block, the hull of a group's cubes is read,
its labels are renumbered to the smallest integers that hold them, and the cubes are cut from memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fastremap
import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.data.volume import Volume, check_aligned
from segclr.errors import CubeError
from segclr.geometry import BoundingBox, Triple, cube_starts, voxels_of_points

__all__ = [
    "DEFAULT_BLOCK_VX",
    "LabelledBlock",
    "block_of_voxels",
    "checked_centers",
    "cut_cubes",
    "cut_into",
    "read_block",
    "rows_by_block",
]

DEFAULT_BLOCK_VX = (512, 512, 512)
"""Voxels (x, y, z) of a block of work (DESIGN)."""


@dataclass(frozen=True)
class LabelledBlock:
    """EM and labels of one box in memory.

    Attributes:
        box: the voxels it covers; may reach beyond the volume, where everything is 0.
        em: uint8 [z, y, x].
        labels: unsigned [z, y, x], renumbered; 0 stays 0.
        label_of: label of each segment id in the block.
    """

    box: BoundingBox
    em: NDArray[np.uint8]
    labels: NDArray[Any]
    label_of: dict[int, int]

    def labels_of(self, segment_ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Label of each id, int64 [n]; -1 where the id is not in the block, or 0, which is no segment."""
        return np.array([self.label_of.get(int(i)) or -1 for i in segment_ids], dtype=np.int64)

    def label_at(self, voxels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Label at each voxel (x, y, z), int64 [n]; 0 outside the block, which no segment has."""
        found = np.zeros(len(voxels), dtype=np.int64)
        inside = self.box.contains(voxels)
        x, y, z = (voxels[inside] - np.asarray(self.box.start)).T
        found[inside] = self.labels[z, y, x]
        return found


def read_block(em: Volume, segmentation: Volume, box: BoundingBox) -> LabelledBlock:
    """Read a box of both volumes and renumber its labels."""
    ids = segmentation.read(box)
    native = ids.astype(ids.dtype.newbyteorder("="), copy=False)  # fastremap takes no other byte order
    labels, mapping = fastremap.renumber(native, preserve_zero=True, in_place=False)
    return LabelledBlock(box, em.read(box), labels, {int(k): int(v) for k, v in mapping.items()})


def block_of_voxels(voxels: NDArray[np.int64], *, origin: Triple, block_vx: Triple) -> NDArray[np.int64]:
    """Block (x, y, z) that each voxel belongs to by the half-open rule, int64 [n, 3]."""
    return (voxels - np.asarray(origin)) // np.asarray(block_vx)


def cut_cubes(
    em: Volume,
    segmentation: Volume,
    centers_nm: ArrayLike,
    segment_ids: ArrayLike,
    *,
    size_vx: int = 129,
    on_outside: str = "error",
    block_vx: Triple = DEFAULT_BLOCK_VX,
) -> NDArray[np.uint8]:
    """Cut one masked cube around each centre.

    Args:
        em: uint8 volume.
        segmentation: volume of segment ids on the same grid.
        centers_nm: [n, 3], (x, y, z) in nm.
        segment_ids: uint64 [n].
        size_vx: edge of a cube; it starts at the centre's voxel minus ``size_vx // 2``.
        on_outside: a centre whose voxel is not of its segment is an ``"error"``, or ``"keep"`` it.
        block_vx: voxels (x, y, z) of the blocks that centres are grouped by; changes memory, not results.

    Returns:
        uint8 [n, size, size, size], axes z, y, x, in the order of the centres.

    Raises:
        CubeError: shapes or types do not fit, ids are not uint64, or a centre lies outside its segment.
        VolumeError: the volumes do not lie on one grid.
    """
    centers, ids = checked_centers(centers_nm, segment_ids)
    if size_vx < 1:
        msg = f"size_vx must be at least 1, got {size_vx}"
        raise CubeError(msg)
    if on_outside not in ("error", "keep"):
        msg = f"on_outside must be 'error' or 'keep', got {on_outside!r}"
        raise CubeError(msg)
    check_aligned(em, segmentation)
    voxels = voxels_of_points(centers, em.voxel_size_nm)
    starts = cube_starts(centers, em.voxel_size_nm, size_vx=size_vx)
    cubes = np.zeros((len(centers), size_vx, size_vx, size_vx), dtype=np.uint8)
    for rows in rows_by_block(voxels, origin=em.bounds.start, block_vx=block_vx):
        hull = BoundingBox(starts[rows].min(axis=0), starts[rows].max(axis=0) + size_vx)
        inside = hull.intersect(em.bounds)
        if not inside.n_voxels:
            _check_centers(np.zeros(len(rows), dtype=bool), rows, centers, ids, on_outside=on_outside)
            continue
        block = read_block(em, segmentation, inside)
        labels = block.labels_of(ids[rows])
        hit = block.label_at(voxels[rows]) == labels
        _check_centers(hit, rows, centers, ids, on_outside=on_outside)
        for row, label in zip(rows, labels, strict=True):
            if label >= 0:
                cut_into(cubes[row], block, starts[row], int(label))
    return cubes


def checked_centers(
    centers_nm: ArrayLike, segment_ids: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.uint64]]:
    """Centres and ids as arrays.

    Raises:
        CubeError: shapes do not fit, ids are not uint64, or a centre is not finite.
    """
    centers, ids = np.asarray(centers_nm, dtype=np.float64), np.asarray(segment_ids)
    if ids.dtype != np.uint64:
        msg = f"segment_ids must be uint64, got {ids.dtype}: ids above 2**53 do not survive other types"
        raise CubeError(msg)
    if centers.shape != (len(ids), 3) or ids.ndim != 1:
        msg = f"centers_nm must be [n, 3] and segment_ids [n], got {centers.shape} and {ids.shape}"
        raise CubeError(msg)
    if not np.isfinite(centers).all():
        row = int(np.flatnonzero(~np.isfinite(centers).all(axis=1))[0])
        msg = f"centre {row} is not finite: {centers[row].tolist()}"
        raise CubeError(msg)
    return centers, ids


def rows_by_block(
    voxels: NDArray[np.int64], *, origin: Triple, block_vx: Triple
) -> Iterator[NDArray[np.int64]]:
    """Rows of each block, blocks in z, y, x order."""
    if not len(voxels):
        return
    blocks = block_of_voxels(voxels, origin=origin, block_vx=block_vx)
    _, group = np.unique(blocks[:, ::-1], axis=0, return_inverse=True)
    group = group.reshape(-1)  # NumPy 2.0 answers [n, 1]
    order = np.argsort(group, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _check_centers(
    hit: NDArray[np.bool_],
    rows: NDArray[np.int64],
    centers: NDArray[np.float64],
    ids: NDArray[np.uint64],
    *,
    on_outside: str,
) -> None:
    if on_outside == "keep" or hit.all():
        return
    outside = rows[~hit]
    first = outside[0]
    msg = (
        f"{len(outside)} of {len(rows)} centres of a block lie outside their segment, the first at "
        f"{centers[first].tolist()} nm (x, y, z) for segment {ids[first]}; move them inside, or pass "
        f"on_outside='keep'"
    )
    raise CubeError(msg)


def cut_into(cube: NDArray[np.uint8], block: LabelledBlock, start: NDArray[np.int64], label: int) -> None:
    """Cut what a block holds of one masked cube into an array of zeros [z, y, x].

    Args:
        cube: uint8, of equal edges; voxels beyond the block are left as they are.
        block: which may hold a part of the cube only.
        start: first voxel (x, y, z) of the cube.
        label: the block's label to keep.
    """
    stop = start + cube.shape[0]
    part = BoundingBox(start, stop).intersect(block.box)  # type: ignore[arg-type]
    if part.n_voxels:
        window = part.slices_zyx(block.box.start)
        mask = block.labels[window] == block.labels.dtype.type(label)
        target = part.slices_zyx(tuple(int(v) for v in start))  # type: ignore[arg-type]
        # bool as uint8: NumPy would convert it in small buffers, at half the speed
        np.multiply(block.em[window], mask.view(np.uint8), out=cube[target])
