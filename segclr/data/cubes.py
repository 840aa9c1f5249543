"""Cut masked cubes: EM where the segmentation equals the centre's segment, 0 elsewhere and beyond the volume.

Every chunk is read once a block of work: centres are grouped by block, a window sweeps over the hull of a
group's cubes with labels renumbered to the smallest integers that hold them, and cubes are cut from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.data.ahead import ahead
from segclr.data.labels import LabelledBlock
from segclr.data.sweep import sweep
from segclr.data.volume import Volume, check_aligned
from segclr.errors import CubeError
from segclr.geometry import BoundingBox, Rounding, Triple, cube_starts, voxels_of_points

__all__ = [
    "DEFAULT_BLOCK_VX",
    "INSIDE",
    "Content",
    "block_of_voxels",
    "checked_centers",
    "crop_cubes",
    "cut_by_window",
    "cut_cubes",
    "cut_into",
    "fill_cube",
    "rows_by_block",
]

Content = Literal["masked", "em", "mask"]
"""What a cube shows: EM within the segment, all EM, or the segment alone."""

INSIDE = 255
"""Value of the segment's voxels in a cube of content ``mask``: 1.0 to an encoder, which divides by 255."""

_FARTHEST_NM = 1e15  # a kilometre: float64 still tells its voxels apart

DEFAULT_BLOCK_VX = (512, 512, 512)
"""Voxels (x, y, z) of a block of work (DESIGN)."""


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
    content: Content = "masked",
    rounding: Rounding = "floor",
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
        content: ``"masked"`` EM, all ``"em"``, or the ``"mask"`` alone, 255 within the segment.
        rounding: ``"nearest"`` centres cubes on the nearest voxel instead; see :func:`cube_starts`.

    Returns:
        uint8 [n, size, size, size], axes z, y, x, in the order of the centres.

    Raises:
        CubeError: shapes or types do not fit, ids are not uint64, a centre lies outside its segment, or
            ``content``, ``rounding`` or ``on_outside`` is none of those named.
        VolumeError: the volumes do not lie on one grid.
    """
    centers, ids = checked_centers(centers_nm, segment_ids)
    _check_shape(size_vx, content, rounding)
    if not (isinstance(block_vx, tuple | list) and len(block_vx) == 3 and all(b >= 1 for b in block_vx)):
        msg = f"block_vx must be three whole numbers of 1 or more, got {block_vx!r}"
        raise CubeError(msg)
    if on_outside not in ("error", "keep"):
        msg = f"on_outside must be 'error' or 'keep', got {on_outside!r}"
        raise CubeError(msg)
    check_aligned(em, segmentation)
    voxels = voxels_of_points(centers, em.voxel_size_nm)
    starts = cube_starts(centers, em.voxel_size_nm, size_vx=size_vx, rounding=rounding)
    cubes = np.empty((len(centers), size_vx, size_vx, size_vx), dtype=np.uint8)
    is_cut = np.zeros(len(centers), dtype=bool)
    for rows in rows_by_block(voxels, origin=em.bounds.start, block_vx=block_vx):
        hit = np.zeros(len(rows), dtype=bool)
        for window in sweep(em, segmentation, starts[rows], ids[rows], size_vx=size_vx):
            these = rows[window.rows]
            labels = window.block.labels_of(ids[these])
            is_cut[these] = True
            hit[window.rows] = window.block.label_at(voxels[these]) == labels
            for row, label in zip(these, labels.tolist(), strict=True):
                fill_cube(cubes[row], window.block, starts[row], label, content=content)
        _check_centers(hit, rows, centers, ids, on_outside=on_outside)
    cubes[~is_cut] = 0
    return cubes


def cut_by_window(
    em: Volume,
    segmentation: Volume,
    centers_nm: ArrayLike,
    segment_ids: ArrayLike,
    *,
    size_vx: int,
    most: int,
    content: Content = "masked",
    rounding: Rounding = "floor",
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Cubes of one part of the work, a few at a time, as a sweep along z comes by: more than fit in memory.

    The volume is read ahead by a thread. Arguments as of :func:`cut_cubes`, all in one block, and ``most``,
    the cubes that are answered at once. Where centres ascend along z, so do the rows.

    Yields:
        rows int64 [m] and their cubes uint8 [m, size, size, size]; every row comes once.

    Raises:
        CubeError: shapes or types do not fit, ids are not uint64, or a centre lies outside its segment.
        VolumeError: the volumes do not lie on one grid, or a chunk cannot be read.
    """
    centers, ids = checked_centers(centers_nm, segment_ids)
    _check_shape(size_vx, content, rounding)
    check_aligned(em, segmentation)
    voxels = voxels_of_points(centers, em.voxel_size_nm)
    starts = cube_starts(centers, em.voxel_size_nm, size_vx=size_vx, rounding=rounding)
    inside = em.bounds.contains(voxels)
    _check_centers(inside, np.arange(len(ids)), centers, ids, on_outside="error")
    for window in ahead(sweep(em, segmentation, starts, ids, size_vx=size_vx)):
        labels = window.block.labels_of(ids[window.rows])
        hit = window.block.label_at(voxels[window.rows]) == labels
        _check_centers(hit, window.rows, centers, ids, on_outside="error")
        for first in range(0, len(window.rows), most):
            rows = window.rows[first : first + most]
            cubes = np.empty((len(rows), *(size_vx,) * 3), dtype=np.uint8)
            for cube, row, label in zip(cubes, rows, labels[first : first + most].tolist(), strict=True):
                fill_cube(cube, window.block, starts[row], label, content=content)
            yield rows, cubes


def crop_cubes(cubes: NDArray[np.uint8], *, size_vx: int) -> NDArray[np.uint8]:
    """The smaller cubes around the same centres, as a view: several sizes for one cut.

    Args:
        cubes: uint8 [n, z, y, x] of an edge of ``size_vx`` or more.
        size_vx: edge of the smaller cubes.

    Raises:
        CubeError: the cubes are smaller than that.

    >>> crop_cubes(np.arange(27, dtype=np.uint8).reshape(1, 3, 3, 3), size_vx=1).tolist()
    [[[[13]]]]
    """
    if cubes.ndim != 4 or not _is_whole(size_vx):
        msg = f"crop_cubes takes cubes [n, z, y, x] and a whole size_vx, got {cubes.shape} and {size_vx!r}"
        raise CubeError(msg)
    edge = cubes.shape[-1]
    if not 1 <= size_vx <= edge:
        msg = f"size_vx must be 1 to {edge}, the edge of the cubes, got {size_vx}"
        raise CubeError(msg)
    first = edge // 2 - size_vx // 2
    inner = slice(first, first + size_vx)
    return cubes[:, inner, inner, inner]


def checked_centers(
    centers_nm: ArrayLike, segment_ids: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.uint64]]:
    """Centres and ids as arrays; empty lists are no centres.

    Raises:
        CubeError: shapes do not fit, ids are not uint64, or a centre is not finite or beyond any volume.
    """
    try:
        centers, ids = np.asarray(centers_nm, dtype=np.float64), np.asarray(segment_ids)
    except (TypeError, ValueError) as error:
        msg = f"centers_nm must be numbers [n, 3]: {error}"
        raise CubeError(msg) from error
    if centers.size == 0 and ids.size == 0:
        return np.zeros((0, 3)), np.zeros(0, np.uint64)
    if ids.dtype != np.uint64:
        msg = f"segment_ids must be uint64, got {ids.dtype}: ids above 2**53 do not survive other types"
        raise CubeError(msg)
    if ids.ndim != 1 or centers.shape != (len(ids), 3):
        msg = f"centers_nm must be [n, 3] and segment_ids [n], got {centers.shape} and {ids.shape}"
        raise CubeError(msg)
    possible = np.abs(centers) < _FARTHEST_NM  # false for nan
    if not possible.all():
        row = int(np.flatnonzero(~possible.all(axis=1))[0])
        msg = f"centre {row} is not finite, or further than {_FARTHEST_NM:g} nm: {centers[row].tolist()}"
        raise CubeError(msg)
    return centers, ids


def _check_shape(size_vx: int, content: str, rounding: str) -> None:
    if not _is_whole(size_vx) or size_vx < 1:
        msg = f"size_vx must be a whole number of 1 or more, got {size_vx!r}"
        raise CubeError(msg)
    if content not in get_args(Content) or rounding not in get_args(Rounding):
        msg = (
            f"content must be one of {', '.join(get_args(Content))} and rounding one of "
            f"{', '.join(get_args(Rounding))}; got {content!r} and {rounding!r}"
        )
        raise CubeError(msg)
    if size_vx == 1 and rounding == "nearest":
        msg = "a cube of one voxel around the nearest voxel may miss its centre's own: take rounding='floor'"
        raise CubeError(msg)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


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


def fill_cube(
    cube: NDArray[np.uint8],
    block: LabelledBlock,
    start: NDArray[np.int64],
    label: int,
    *,
    content: Content = "masked",
) -> None:
    """Cut one cube from a block that holds all of it that the volume has, into memory of any content.

    Zeros are written only where the cut leaves some: memory asked for as zeros comes in pages of 4 kB, and
    their faults cost more than the cutting. Arguments as of :func:`cut_into`.
    """
    stop = start + cube.shape[0]
    inside = (start >= block.box.start).all() and (stop <= block.box.stop).all()
    if not inside or (label < 0 and content != "em"):
        cube.fill(0)
    cut_into(cube, block, start, label, content=content)


def cut_into(
    cube: NDArray[np.uint8],
    block: LabelledBlock,
    start: NDArray[np.int64],
    label: int,
    *,
    content: Content = "masked",
) -> None:
    """Cut what a block holds of one cube into an array of zeros [z, y, x].

    Args:
        cube: uint8, of equal edges; voxels beyond the block are left as they are.
        block: which may hold a part of the cube only.
        start: first voxel (x, y, z) of the cube.
        label: the block's label to keep; -1: none, the mask is empty.
        content: what the cube shows.
    """
    part = BoundingBox(start, start + cube.shape[0]).intersect(block.box)  # type: ignore[arg-type]
    if not part.n_voxels:
        return
    window = part.slices_zyx(block.box.start)
    target = cube[part.slices_zyx(tuple(int(v) for v in start))]  # type: ignore[arg-type,index]
    if content == "em":
        target[:] = block.em[window]
    elif label >= 0:
        mask = block.labels[window] == block.labels.dtype.type(label)
        # bool as uint8: NumPy would convert it in small buffers, at half the speed
        grey = np.uint8(INSIDE) if content == "mask" else block.em[window]
        np.multiply(grey, mask.view(np.uint8), out=target)
