"""Skeletons of a box of a segmentation by TEASAR (kimimaro, extra ``skeletonize``).

TEASAR: Sato et al., Pacific Graphics 2000; kimimaro: Silversmith et al., 10.5281/zenodo.5539912. Components
are 26-connected, as kimimaro traces them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from segclr.config import SkeletonConfig
from segclr.data.census import count_voxels
from segclr.data.fragments import Fragment
from segclr.data.join import join_fragments
from segclr.data.skeleton import Skeleton, root_forest
from segclr.errors import ConfigError
from segclr.geometry import BoundingBox, Triple, VoxelSize, center_nm_of_voxels

__all__ = ["Components", "find_components", "shared_box", "skeletonize_array", "skeletonize_block"]

_CENTERING = {"pdrf_scale": 100_000, "pdrf_exponent": 4}
"""Price of leaving the middle: kimimaro's own, but beside other parameters it falls back to 5000 and 16,
with which paths run half a radius off the axis."""

_NO_SOMA_RULE = {"soma_detection_threshold": np.inf, "soma_acceptance_threshold": np.inf}
"""kimimaro joins every path in a soma to its centre by a straight edge of its own, which made 1.9 mm of cable
out of 0.5 in one real cell; and a block cannot tell how large a soma is that it holds a part of."""


@dataclass(frozen=True)
class Components:
    """Connected components of the segments in a box.

    Attributes:
        numbers: unsigned [x, y, z] in Fortran order, the component of each voxel, 0 where there is none.
        segment_ids: uint64 [n], the segment of component i + 1.
    """

    numbers: NDArray[Any]
    segment_ids: NDArray[np.uint64]


def _kimimaro() -> Any:
    """kimimaro, and with it cc3d and edt: imported only where skeletons are made (GPL).

    Raises:
        ConfigError: kimimaro is not installed.
    """
    try:
        import kimimaro
        import kimimaro.skeletontricks
    except ImportError as error:
        msg = "skeletons are made by kimimaro, which is not installed: pip install 'segclr[skeletonize]'"
        raise ConfigError(msg) from error
    return kimimaro


def skeletonize_array(
    labels: NDArray[Any], config: SkeletonConfig, *, voxel_size_nm: VoxelSize, offset_vx: Triple = (0, 0, 0)
) -> list[Skeleton]:
    """Skeletons of every segment of at least ``config.min_segment_vx`` voxels, by id, in one piece.

    Args:
        labels: unsigned [z, y, x].
        config: TEASAR's parameters and the size below which a segment is dust.
        voxel_size_nm: (x, y, z).
        offset_vx: first voxel (x, y, z) of the array.

    Raises:
        ConfigError: kimimaro is not installed.
    """
    census = count_voxels(labels)
    large = census.segment_ids[census.n_voxels >= config.min_segment_vx]
    box = BoundingBox(offset_vx, tuple(np.add(offset_vx, labels.shape[::-1])))
    components = find_components(labels, large)
    fragments = skeletonize_block(components, config, voxel_size_nm=voxel_size_nm, block=box, bounds=box)
    cover = (config.teasar_scale, config.teasar_const_nm)
    return [
        join_fragments(list(own), voxel_size_nm=voxel_size_nm, cover=cover)
        for _, own in itertools.groupby(fragments, key=lambda f: f.skeleton.segment_id)
    ]


def shared_box(block: BoundingBox, bounds: BoundingBox) -> BoundingBox:
    """A block with the first plane of voxels of each next block, so that neighbours share one."""
    return block.grow(1).intersect(BoundingBox(block.start, bounds.stop))


def find_components(labels: NDArray[Any], segment_ids: NDArray[np.uint64]) -> Components:
    """Components, 26-connected, of the segments named, numbered by segment and then by their first voxel.

    Args:
        labels: unsigned [z, y, x].
        segment_ids: what is no dust; others are left out.

    Raises:
        ConfigError: kimimaro is not installed.
    """
    _kimimaro()
    import cc3d

    wanted = np.unique(segment_ids)
    ranks = np.zeros(labels.shape, dtype=np.min_scalar_type(len(wanted)))  # 1 + index in `wanted`
    for plane, values in zip(ranks, labels, strict=True):
        rank = np.searchsorted(wanted, values)
        found = np.append(wanted, np.uint64(0))[rank] == values
        plane[:] = np.where(found & (values != 0), rank + 1, 0)
    numbers = cc3d.connected_components(np.asfortranarray(ranks.T), connectivity=26)
    owners = fastremap.component_map(numbers, ranks.T)
    owner = np.array([owners[n] for n in range(1, int(numbers.max()) + 1)], dtype=np.int64)
    order = np.argsort(owner, kind="stable")
    renumbered = np.zeros(len(owner) + 1, dtype=np.min_scalar_type(len(owner)))
    renumbered[order + 1] = np.arange(1, len(owner) + 1)
    return Components(np.asfortranarray(renumbered[numbers]), wanted[owner[order] - 1])


def skeletonize_block(
    components: Components,
    config: SkeletonConfig,
    *,
    voxel_size_nm: VoxelSize,
    block: BoundingBox,
    bounds: BoundingBox,
) -> list[Fragment]:
    """A fragment for each component of a block, in their order.

    A component that is too small for a path gets one vertex.

    Args:
        components: of ``shared_box(block, bounds)``.
        config: TEASAR's parameters.
        voxel_size_nm: (x, y, z).
        block: what this block alone holds.
        bounds: of the whole volume: where the block ends before it does, components go on.

    Raises:
        ConfigError: kimimaro is not installed.
    """
    box = shared_box(block, bounds)
    traced: dict[int, Any] = _kimimaro().skeletonize(
        _thickened(components.numbers),
        teasar_params={
            "scale": config.teasar_scale,
            "const": config.teasar_const_nm,
            **_CENTERING,
            **_NO_SOMA_RULE,
        },
        anisotropy=voxel_size_nm,
        dust_threshold=0,
        progress=False,
        parallel=1,
        fix_branching=True,
        fix_borders=True,
    )
    contacts: dict[int, list[Triple]] = {}
    for number, voxel in _contacts(
        components.numbers, voxel_size_nm=voxel_size_nm, block=block, bounds=bounds
    ):
        contacts.setdefault(number, []).append(voxel)
    boxes = find_objects(components.numbers.T)
    fragments = []
    for number, segment_id in enumerate(components.segment_ids.tolist(), start=1):
        found = traced.get(number)
        if found is not None and len(found.vertices):
            voxels = np.rint(np.asarray(found.vertices, np.float64) / voxel_size_nm).astype(np.int64)
            parents = root_forest(found.edges, len(voxels))
            radii = np.asarray(found.radii, dtype=np.float32)
        else:
            z, y, x = boxes[number - 1]
            inside = np.argwhere(components.numbers[x, y, z] == number)[:1]
            voxels = inside + np.array([x.start, y.start, z.start])
            parents, radii = np.array([-1], np.int32), np.array([min(voxel_size_nm)], np.float32)
        points = center_nm_of_voxels(voxels + np.asarray(box.start), voxel_size_nm).astype(np.float32)
        own = np.unique(np.array(contacts.get(number, []), dtype=np.int64).reshape(-1, 3), axis=0)
        fragments.append(Fragment(Skeleton(segment_id, points, parents, radii), own))
    return fragments


def _thickened(numbers: NDArray[Any]) -> NDArray[Any]:
    """A box with a face that kimimaro fails at gets zeros behind on its two short axes; others stay.

    Then every face has a zero. The faces at the end of the short axes lose their targets; they are at most
    some voxels from the path.
    """
    faces = (np.take(numbers, end, axis=axis) for axis in range(3) for end in (0, -1))
    if not any(_is_scattered(_pieces(face)) for face in faces):
        return numbers
    short = np.argsort(numbers.shape, kind="stable")[:2]
    return np.asfortranarray(np.pad(numbers, [(0, int(axis in short)) for axis in range(3)]))


def _pieces(plane: NDArray[Any]) -> NDArray[Any]:
    """Connected pieces of components in a plane, numbered from 1."""
    import cc3d

    pieces: NDArray[Any] = cc3d.connected_components(np.ascontiguousarray(plane))
    return pieces


def _is_scattered(pieces: NDArray[Any]) -> bool:
    """Whether every voxel of a plane is a piece by itself, as in a plane of one voxel.

    kimimaro 5.8.5 has room for one piece less than there are voxels: its ``find_border_targets`` raises
    "Out of bounds on buffer access".
    """
    return int(pieces.max()) == pieces.size


def _contacts(
    numbers: NDArray[Any], *, voxel_size_nm: VoxelSize, block: BoundingBox, bounds: BoundingBox
) -> Iterator[tuple[int, Triple]]:
    """(component, voxel) of each piece of a component in the planes shared with other blocks.

    The voxel is the one at which kimimaro ends a path (``fix_borders``): the farthest from the piece's
    edge. It depends on the plane alone, so that both blocks find the same.
    """
    tricks = _kimimaro().skeletontricks
    import edt

    for axis, at_end in itertools.product(range(3), (False, True)):
        goes_on = block.stop[axis] < bounds.stop[axis] if at_end else block.start[axis] > bounds.start[axis]
        if not goes_on:
            continue
        plane = np.take(numbers, numbers.shape[axis] - 1 if at_end else 0, axis=axis)
        across = [a for a in range(3) if a != axis]
        wide, high = (float(voxel_size_nm[a]) for a in across)
        pieces = _pieces(plane)
        if _is_scattered(pieces):
            pieces = np.pad(pieces, (0, 1))
        depth = edt.edt(pieces, black_border=True, anisotropy=(wide, high))
        for place in tricks.find_border_targets(depth, pieces, wide, high).values():
            i, j = (int(p) for p in place)
            voxel = [0, 0, 0]
            voxel[axis] = block.stop[axis] if at_end else block.start[axis]
            voxel[across[0]], voxel[across[1]] = block.start[across[0]] + i, block.start[across[1]] + j
            yield int(plane[i, j]), (voxel[0], voxel[1], voxel[2])
