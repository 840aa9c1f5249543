"""EM and labels of a box in memory, labels renumbered to the smallest unsigned integers that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray

from segclr.data.volume import Volume
from segclr.geometry import BoundingBox

__all__ = ["LabelledBlock", "label_type", "read_block", "relabel"]


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
    """Read a box of both volumes, and renumber all labels in it."""
    ids = segmentation.read(box)
    native = ids.astype(ids.dtype.newbyteorder("="), copy=False)  # fastremap takes no other byte order
    labels, mapping = fastremap.renumber(native, preserve_zero=True, in_place=False)
    return LabelledBlock(box, em.read(box), labels, {int(k): int(v) for k, v in mapping.items()})


def label_type(n_labels: int) -> np.dtype[Any]:
    """The smallest unsigned type that holds the labels 0 to ``n_labels``."""
    return np.min_scalar_type(n_labels)


def relabel(ids: NDArray[Any], wanted: NDArray[np.uint64]) -> NDArray[Any]:
    """Labels of some segments: 1 for the first one wanted and so on, 0 for every other voxel.

    Voxels are looked up by runs of equal ids along x, which are a fraction of them (7 % in ``pinky40``).

    Args:
        ids: unsigned, of any shape.
        wanted: uint64 [n], ascending, without 0.

    >>> relabel(np.array([[7, 7, 0, 2, 9]], np.uint64), np.array([2, 7], np.uint64))
    array([[2, 2, 0, 1, 0]], dtype=uint8)
    """
    kind = label_type(len(wanted))
    if not ids.size or not len(wanted):
        return np.zeros(ids.shape, dtype=kind)
    flat = np.ascontiguousarray(ids).reshape(-1)
    is_first = np.empty(len(flat), dtype=bool)
    is_first[0] = True
    np.not_equal(flat[1:], flat[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    found = flat[first].astype(np.uint64)
    at = np.searchsorted(wanted, found)
    at[at == len(wanted)] = 0
    label = np.where(wanted[at] == found, at + 1, 0).astype(kind)
    return np.repeat(label, np.diff(first, append=len(flat))).reshape(ids.shape)
