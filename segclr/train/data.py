"""What a training learns from."""

from __future__ import annotations

from dataclasses import dataclass, field

from segclr.geometry import VoxelSize
from segclr.train.dataset import CubeSource, PairRows
from segclr.train.watch import Watch

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
        watch: what to record of the training, besides what it always does.
        cubes_digest: of what the cubes show; a training goes on with the same one only. Empty: the caller
            answers for the cubes, since comparing their voxels would mean reading them all.
    """

    cubes: CubeSource
    training: PairRows
    held_out: PairRows
    voxel_size_nm: VoxelSize
    size_vx: int
    watch: Watch = field(default_factory=Watch)
    cubes_digest: str = ""

    @property
    def n_pairs(self) -> int:
        """Pairs on both sides."""
        return len(self.training) + len(self.held_out)
