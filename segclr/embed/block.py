"""Cut where the encoder runs: EM and labels of a block on its device, cubes cut from them and encoded.

The same cubes as ``segclr.cut_cubes`` gives, equal by test, but never stored and never copied back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segclr.config import EmbedConfig
from segclr.data.cubes import LabelledBlock, checked_centers, read_block
from segclr.data.volume import Volume, check_aligned
from segclr.errors import CubeError
from segclr.geometry import BoundingBox, Triple, cube_starts, voxels_of_points
from segclr.model.precision import resolve_device

if TYPE_CHECKING:
    from segclr.model.encoder import Encoder

__all__ = ["DeviceBlock", "embed_nodes", "to_device"]


@dataclass(frozen=True)
class DeviceBlock:
    """A block on the encoder's device.

    Attributes:
        em: uint8 [z, y, x].
        labels: int32 [z, y, x], 0 = no segment.
        start: first voxel (x, y, z).
    """

    em: torch.Tensor
    labels: torch.Tensor
    start: Triple

    def cut(self, starts: NDArray[np.int64], labels: NDArray[np.int64], *, size_vx: int) -> torch.Tensor:
        """Masked cubes uint8 [n, z, y, x], zero beyond the block.

        Args:
            starts: first voxel (x, y, z) of each cube, int64 [n, 3].
            labels: the block's label to keep in each, int64 [n].
            size_vx: edge of a cube.
        """
        cubes = torch.zeros((len(starts), *(size_vx,) * 3), dtype=torch.uint8, device=self.em.device)
        shape = torch.tensor(self.em.shape).numpy()
        for cube, start, label in zip(cubes, starts, labels, strict=True):
            low = (start - np.asarray(self.start))[::-1]
            first, last = np.maximum(low, 0), np.minimum(low + size_vx, shape)
            if (last <= first).any():
                continue
            source = tuple(slice(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True))
            target = tuple(
                slice(a, b) for a, b in zip((first - low).tolist(), (last - low).tolist(), strict=True)
            )
            torch.mul(self.em[source], self.labels[source] == int(label), out=cube[target])
        return cubes


def to_device(block: LabelledBlock, device: torch.device) -> DeviceBlock:
    """Put a block's voxels on a device."""
    labels = torch.from_numpy(block.labels.astype(np.int32)).to(device)
    return DeviceBlock(torch.from_numpy(np.ascontiguousarray(block.em)).to(device), labels, block.box.start)


def embed_nodes(
    encoder: Encoder,
    em: Volume,
    segmentation: Volume,
    *,
    points_nm: NDArray[np.float32],
    segment_ids: NDArray[np.uint64],
    config: EmbedConfig,
) -> NDArray[np.float32]:
    """Embed the nodes of one block of work; every chunk they need is read once.

    Args:
        encoder: whose voxel size must be the volumes'.
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
    """
    check_aligned(em, segmentation)
    if not np.allclose(encoder.voxel_size_nm, em.voxel_size_nm, rtol=0.05):
        msg = (
            f"the encoder is made for voxels of {encoder.voxel_size_nm} nm, the volume has {em.voxel_size_nm}"
        )
        raise CubeError(msg)
    if not len(points_nm):
        return np.zeros((0, encoder.config.embedding_dim), dtype=np.float32)
    device = resolve_device(config.device)
    size = encoder.size_vx
    points, segment_ids = checked_centers(points_nm, segment_ids)
    voxels = voxels_of_points(points, em.voxel_size_nm)
    starts = cube_starts(points, em.voxel_size_nm, size_vx=size)
    hull = BoundingBox(starts.min(axis=0), starts.max(axis=0) + size).intersect(em.bounds)
    block = read_block(em, segmentation, hull)
    labels = block.labels_of(segment_ids)
    _check_inside(block, voxels, labels, segment_ids)
    on_device = to_device(block, device)
    parts = []
    for first in range(0, len(starts), config.batch_size):
        rows = slice(first, first + config.batch_size)
        cubes = on_device.cut(starts[rows], labels[rows], size_vx=size)
        vectors = encoder.embed_tensor(
            cubes,
            batch_size=config.batch_size,
            device=device,
            precision=config.precision,
            engine=config.engine,
            compiled=config.compile,
        )
        parts.append(vectors.cpu().numpy())
    return np.concatenate(parts).astype(np.float32, copy=False)


def _check_inside(
    block: LabelledBlock, voxels: NDArray[np.int64], labels: NDArray[np.int64], ids: NDArray[np.uint64]
) -> None:
    outside = block.label_at(voxels) != labels
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        msg = (
            f"{int(outside.sum())} of {len(ids)} nodes lie outside their segment, the first at voxel "
            f"{voxels[row].tolist()} (x, y, z) for segment {ids[row]}: they do not belong together"
        )
        raise CubeError(msg)
