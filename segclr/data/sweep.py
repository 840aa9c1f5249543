"""Voxels around many cubes, read once: a window that sweeps along z over the hull of the cubes.

The window grows by slabs of whole chunks. A cube is ready when its last plane is there; planes that no cube
waits for any more are dropped. So each chunk is read once, and memory holds as many planes as a cube and a
slab have, whatever the length of the sweep:

    z ->   . . . . [ kept: a cube's reach |  slab just read ] next slab . . .
                       ready cubes end in here ^^^^^^^^^^^

Labels are renumbered on the way to the smallest unsigned integers that hold the segments asked for; all other
segments read as 0, background.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.data.labels import LabelledBlock, label_type, relabel
from segclr.data.volume import Volume
from segclr.geometry import BoundingBox, Triple

__all__ = ["Window", "sweep"]

_LEAST_SLAB_VX = 64
"""Planes a slab has at least: each slab costs a copy of the planes that are kept."""

_ONCE_VX = 1 << 22
"""Voxels of labels that are in memory as ids at a time, 8 bytes each: about that many, in whole chunks."""


@dataclass(frozen=True)
class Window:
    """A block, and the cubes that lie in it as far as the volume reaches.

    Attributes:
        block: EM and labels.
        rows: of the cubes, int64 [n], in their order.
    """

    block: LabelledBlock
    rows: NDArray[np.int64]


def sweep(
    em: Volume,
    segmentation: Volume,
    starts: NDArray[np.int64],
    segment_ids: NDArray[np.uint64],
    *,
    size_vx: int,
) -> Iterator[Window]:
    """Windows that together hold every cube that reaches into the volume, each in one of them.

    Args:
        em: uint8 volume.
        segmentation: on the same grid.
        starts: first voxel (x, y, z) of each cube, int64 [n, 3].
        segment_ids: uint64 [n], the segment of each cube; the windows have labels of these alone.
        size_vx: edge of a cube.

    Raises:
        VolumeError: a chunk cannot be read.
    """
    bounds = em.bounds
    low = np.maximum(starts, bounds.start)
    high = np.minimum(starts + size_vx, bounds.stop)
    waiting = (low < high).all(axis=1)
    if not waiting.any():
        return
    hull = BoundingBox(low[waiting].min(axis=0), high[waiting].max(axis=0))
    wanted = np.unique(segment_ids[waiting])
    wanted = wanted[wanted > 0]
    label_of = {int(i): label for label, i in enumerate(wanted, start=1)}
    first_z, last_z = low[:, 2], high[:, 2]
    kept: LabelledBlock | None = None
    for slab in _slabs(hull, em, segmentation):
        top = slab.stop[2]
        touched = waiting & (first_z < top)
        if not touched.any():
            continue
        bottom = int(first_z[touched].min())
        box = BoundingBox((*slab.start[:2], bottom), (*slab.stop[:2], min(top, int(last_z[touched].max()))))
        # whoever waits and begins below has not ended before, so the slab is read where they are
        new = BoundingBox(low[touched].min(axis=0), high[touched].max(axis=0)).intersect(slab)
        kept = _grown(kept, box, new, (em, segmentation), wanted, label_of)
        ready = touched & (last_z <= top)
        waiting &= ~ready
        if ready.any():
            yield Window(kept, np.flatnonzero(ready))


def _slabs(hull: BoundingBox, em: Volume, segmentation: Volume) -> Iterator[BoundingBox]:
    """The hull in slabs along z that end where chunks of both volumes do."""
    step = math.lcm(em.chunk_size_vx[2], segmentation.chunk_size_vx[2])
    if step > 4 * _LEAST_SLAB_VX:  # chunks that do not fit together: those of the labels cost most
        step = segmentation.chunk_size_vx[2]
    step *= -(-_LEAST_SLAB_VX // step)
    origin, (x0, y0, z0), (x1, y1, z1) = em.bounds.start[2], hull.start, hull.stop
    first = origin + (z0 - origin) // step * step
    for z in range(first, z1, step):
        yield BoundingBox((x0, y0, max(z, z0)), (x1, y1, min(z + step, z1)))


def _grown(
    before: LabelledBlock | None,
    box: BoundingBox,
    new: BoundingBox,
    volumes: tuple[Volume, Volume],
    wanted: NDArray[np.uint64],
    label_of: dict[int, int],
) -> LabelledBlock:
    """The window moved on: planes of the one before that are still in the box, and what is read anew."""
    em, segmentation = volumes
    grey = np.zeros(box.shape_zyx, dtype=np.uint8)
    labels = np.zeros(box.shape_zyx, dtype=label_type(len(wanted)))
    if before is not None:
        common = before.box.intersect(box)
        source, target = common.slices_zyx(before.box.start), common.slices_zyx(box.start)
        grey[target], labels[target] = before.em[source], before.labels[source]
    grey[new.slices_zyx(box.start)] = em.read(new)
    for part in _pieces(new, segmentation):
        labels[part.slices_zyx(box.start)] = relabel(segmentation.read(part), wanted)
    return LabelledBlock(box, grey, labels, label_of)


def _pieces(box: BoundingBox, volume: Volume) -> Iterator[BoundingBox]:
    """A box in pieces that end where chunks do, each of not many more voxels than are read at once."""
    size = list(volume.chunk_size_vx)
    for axis in (0, 1, 2):
        room = _ONCE_VX // math.prod(size)
        size[axis] *= max(1, min(room, -(-box.size[axis] // size[axis])))
    start = _on_grid(box.start, volume.bounds.start, volume.chunk_size_vx)
    for piece in BoundingBox(start, box.stop).blocks((size[0], size[1], size[2])):
        part = piece.intersect(box)
        if part.n_voxels:
            yield part


def _on_grid(voxel: Triple, origin: Triple, chunk: Triple) -> Triple:
    """First voxel of the chunk that holds a voxel."""
    x, y, z = (o + (v - o) // c * c for v, o, c in zip(voxel, origin, chunk, strict=True))
    return (x, y, z)
