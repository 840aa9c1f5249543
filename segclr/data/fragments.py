"""Fragments: what a block holds of skeletons, and the places where they go on in the next block.

Neighbouring blocks share one plane of voxels. Each connected piece of a segment in that plane gets one
*contact*, the voxel farthest from the piece's edge; both blocks find the same voxel, since both see the
same plane. So two fragments with a common contact belong to one connected component of the segmentation,
and every two that belong together are joined by a chain of contacts (two voxels that touch, 26-connected,
always lie together in some block).

      block A        block B
    ~~~~~~~~~~~~~|~~~~~~~~~~~~~
     o---o---o---X---o---o---o       X: a contact on the shared plane
    ~~~~~~~~~~~~~|~~~~~~~~~~~~~
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.data.skeleton import Skeleton

__all__ = ["Fragment", "contact_columns", "fragments_from_columns", "vertex_columns"]


@dataclass(frozen=True)
class Fragment:
    """One connected component of a segment within one block.

    Attributes:
        skeleton: one tree.
        contacts_vx: int64 [m, 3], voxels (x, y, z), absolute, that the component shares with another block.
    """

    skeleton: Skeleton
    contacts_vx: NDArray[np.int64]


def vertex_columns(fragments: Sequence[Fragment]) -> dict[str, NDArray[Any]]:
    """Vertices of a block's fragments; ``fragment`` counts them from 0."""
    skeletons = [f.skeleton for f in fragments]
    points = _concatenate([s.points_nm for s in skeletons], np.zeros((0, 3), np.float32))
    return {
        **_owners(fragments, [len(s) for s in skeletons]),
        **{f"{a}_nm": np.ascontiguousarray(points[:, i]) for i, a in enumerate("xyz")},
        "radius_nm": _concatenate([s.radii_nm for s in skeletons], np.zeros(0, np.float32)),
        "parent": _concatenate([s.parents for s in skeletons], np.zeros(0, np.int32)),
    }


def contact_columns(fragments: Sequence[Fragment]) -> dict[str, NDArray[Any]]:
    """Contacts of a block's fragments, numbered as in ``vertex_columns``."""
    contacts = _concatenate([f.contacts_vx for f in fragments], np.zeros((0, 3), np.int64))
    return {
        **_owners(fragments, [len(f.contacts_vx) for f in fragments]),
        **{f"{a}_vx": np.ascontiguousarray(contacts[:, i]) for i, a in enumerate("xyz")},
    }


def fragments_from_columns(
    vertices: Mapping[str, NDArray[Any]], contacts: Mapping[str, NDArray[Any]]
) -> Iterator[Fragment]:
    """The inverse of ``vertex_columns`` and ``contact_columns``, for all rows or those of some segments."""
    order = np.argsort(contacts["fragment"], kind="stable")
    owner = contacts["fragment"][order]
    voxels = np.stack([contacts[f"{a}_vx"] for a in "xyz"], axis=1)[order]
    points = np.stack([vertices[f"{a}_nm"] for a in "xyz"], axis=1)
    starts = np.flatnonzero(np.r_[True, vertices["fragment"][1:] != vertices["fragment"][:-1]])
    for a, b in zip(starts, np.r_[starts[1:], len(points)], strict=True):
        if a == b:
            continue
        number = vertices["fragment"][a]
        first, last = np.searchsorted(owner, number, "left"), np.searchsorted(owner, number, "right")
        skeleton = Skeleton(
            int(vertices["segment_id"][a]), points[a:b], vertices["parent"][a:b], vertices["radius_nm"][a:b]
        )
        yield Fragment(skeleton, voxels[first:last])


def _owners(fragments: Sequence[Fragment], lengths: Sequence[int]) -> dict[str, NDArray[Any]]:
    ids = np.array([f.skeleton.segment_id for f in fragments], dtype=np.uint64)
    numbers = np.arange(len(fragments), dtype=np.uint32)
    return {"segment_id": np.repeat(ids, lengths), "fragment": np.repeat(numbers, lengths)}


def _concatenate(arrays: Iterable[NDArray[Any]], empty: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([empty, *arrays])
