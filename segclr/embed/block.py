"""From nodes to embeddings: a window sweeps over the volume, cubes are cut and encoded on its way.

The next window is read while the cubes of this one are encoded. Batches go on from window to window, so that
only the last one of a call is smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segclr.config import EmbedConfig
from segclr.data.ahead import ahead
from segclr.data.cubes import checked_centers
from segclr.data.sweep import Window, sweep
from segclr.data.volume import Volume, check_aligned
from segclr.embed.batch_size import find_batch_size
from segclr.embed.cut import to_device
from segclr.embed.kind import CubeKind, cube_kind
from segclr.errors import CubeError
from segclr.geometry import cube_starts, voxels_of_points
from segclr.model.precision import resolve_device

if TYPE_CHECKING:
    from segclr.model.encoder import Encoder

__all__ = ["cube_batches", "embed_nodes"]


def embed_nodes(
    encoder: Encoder,
    em: Volume,
    segmentation: Volume,
    *,
    points_nm: NDArray[np.float32],
    segment_ids: NDArray[np.uint64],
    config: EmbedConfig,
) -> NDArray[np.float32]:
    """Embed the nodes of one part of the work; every chunk they need is read once.

    Args:
        encoder: whose voxel size must be the volumes'; it tells what its cubes show.
        em: uint8 volume.
        segmentation: on the same grid.
        points_nm: [n, 3], (x, y, z).
        segment_ids: uint64 [n].
        config: batch size, device, precision.

    Returns:
        float32 [n, embedding_dim], in the nodes' order.

    Raises:
        CubeError: a node lies outside its segment or is not finite, ids are not uint64, or the voxel sizes
            of encoder and volume differ.
        VolumeError: the volumes do not lie on one grid, or a chunk cannot be read.
        EncoderError: not even one cube fits into memory, or an embedding is not finite.
    """
    check_aligned(em, segmentation)
    if not np.allclose(encoder.voxel_size_nm, em.voxel_size_nm, rtol=0.05):
        msg = (
            f"the encoder is made for voxels of {encoder.voxel_size_nm} nm, the volume has {em.voxel_size_nm}"
        )
        raise CubeError(msg)
    vectors = np.zeros((len(points_nm), encoder.config.embedding_dim), dtype=np.float32)
    if not len(points_nm):
        return vectors
    device = resolve_device(config.device)
    points, ids = checked_centers(points_nm, segment_ids)
    voxels = voxels_of_points(points, em.voxel_size_nm)
    _check(em.bounds.contains(voxels) & (ids > 0), voxels, ids)
    kind = cube_kind(encoder.training)
    starts = cube_starts(points, em.voxel_size_nm, size_vx=encoder.size_vx, rounding=kind.rounding)
    batch_size = config.batch_size
    if batch_size == "auto":
        batch_size = find_batch_size(encoder, config=config, device=device, memory_gb=config.memory_gb)
    windows = _checked(ahead(sweep(em, segmentation, starts, ids, size_vx=encoder.size_vx)), voxels, ids)
    batches = cube_batches(
        windows, starts, ids, kind=kind, size_vx=encoder.size_vx, batch_size=batch_size, device=device
    )
    for rows, cubes in batches:
        encoded = encoder.embed_tensor(
            cubes,
            batch_size=batch_size,
            device=device,
            precision=config.precision,
            engine=config.engine,
            compiled=config.compile,
        )
        vectors[rows] = encoded.cpu().numpy()
    return vectors


def _checked(
    windows: Iterable[Window], voxels: NDArray[np.int64], ids: NDArray[np.uint64]
) -> Iterator[Window]:
    """The windows, once the nodes in each are seen to lie in their segments."""
    for window in windows:
        here = window.rows
        hit = window.block.label_at(voxels[here]) == window.block.labels_of(ids[here])
        _check(hit, voxels[here], ids[here])
        yield window


def cube_batches(
    windows: Iterable[Window],
    starts: NDArray[np.int64],
    segment_ids: NDArray[np.uint64],
    *,
    kind: CubeKind,
    size_vx: int,
    batch_size: int,
    device: torch.device,
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    """Full batches of cubes on a device with the rows they belong to; the last one may be smaller.

    Args:
        windows: as ``sweep`` gives them.
        starts: first voxel (x, y, z) of each cube, int64 [n, 3].
        segment_ids: uint64 [n].
        kind: what the cubes show.
        size_vx: edge of a cube.
        batch_size: cubes in a batch.
        device: to cut on.
    """
    rows: list[NDArray[np.int64]] = []
    cubes: list[torch.Tensor] = []
    missing = batch_size
    for window in windows:
        block = to_device(window.block, device, content=kind.content)
        left = window.rows
        while len(left):
            taken, left = left[:missing], left[missing:]
            labels = window.block.labels_of(segment_ids[taken])
            rows.append(taken)
            cubes.append(block.cut(starts[taken], labels, size_vx=size_vx))
            missing -= len(taken)
            if not missing:
                yield np.concatenate(rows), torch.cat(cubes) if len(cubes) > 1 else cubes[0]
                rows, cubes, missing = [], [], batch_size
    if rows:
        yield np.concatenate(rows), torch.cat(cubes)


def _check(hit: NDArray[np.bool_], voxels: NDArray[np.int64], ids: NDArray[np.uint64]) -> None:
    if not hit.all():
        row = int(np.flatnonzero(~hit)[0])
        msg = (
            f"{int((~hit).sum())} of {len(ids)} nodes lie outside their segment, the first at voxel "
            f"{voxels[row].tolist()} (x, y, z) for segment {ids[row]}: they do not belong together"
        )
        raise CubeError(msg)
