"""What a training learns from."""

from __future__ import annotations

from dataclasses import dataclass

from segclr.geometry import VoxelSize
from segclr.train.dataset import CubeSource, PairRows

__all__ = ["TrainingData"]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Stored cubes and the pairs among them.

    Attributes:
        cubes: stored cubes; their edge is ``size_vx`` plus twice the margin. With several devices each
            process gets a (pickled) copy.
        training: pairs to learn from.
        held_out: pairs of other segments, to watch the training on; never learnt from.
        voxel_size_nm: nm (x, y, z) of a voxel.
        size_vx: edge of the cubes the encoder sees.
    """

    cubes: CubeSource
    training: PairRows
    held_out: PairRows
    voxel_size_nm: VoxelSize
    size_vx: int
