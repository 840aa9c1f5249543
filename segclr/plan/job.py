"""What there is to do in a run: amounts of work, from its configuration and what its volume holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from segclr.config import RunConfig
from segclr.data.block_grid import LEAST_TOGETHER, block_shift
from segclr.geometry import Triple
from segclr.plan.content import Content
from segclr.plan.extent import Extent
from segclr.plan.range import Range
from segclr.plan.rates import Rates

__all__ = ["NODE_BYTES", "Job"]

NODE_BYTES = 32
"""segment_id u64, node_id u32, x, y, z, radius f32, parent i32 (DESIGN)."""


@dataclass(frozen=True)
class Job:
    """A run to be costed: its configuration with what is known of its data."""

    config: RunConfig
    em: Extent | None
    segmentation: Extent
    content: Content
    rates: Rates
    gflop_per_cube: float

    @property
    def volumes(self) -> tuple[Extent, ...]:
        """The EM, where there is one, and the segmentation."""
        return (self.segmentation,) if self.em is None else (self.em, self.segmentation)

    @property
    def decoded_bytes(self) -> int:
        """Of all voxels where nodes are wanted, once."""
        return self.segmentation.box.n_voxels * sum(v.bytes_per_voxel for v in self.volumes)

    @property
    def whole_mvoxel(self) -> Range:
        """What is made or skeletonized: the volume, wherever nodes are wanted."""
        return Range.exact(self.segmentation.bounds.n_voxels / 1e6)

    @property
    def n_encoders(self) -> int:
        """The trained one, and the untrained beside it."""
        return 2 if self.config.evaluate.untrained_baseline else 1

    def shift(self, size_vx: int) -> Triple:
        """By which the blocks of work are moved for cubes of an edge."""
        block, chunk = self.config.cubes.block_vx, self.segmentation.chunk_size_vx
        return block_shift(size_vx, block_vx=block, chunk_vx=chunk)

    @property
    def n_blocks(self) -> int:
        """Blocks of work."""
        cubes = self.config.cubes
        return self.segmentation.reading(cubes.block_vx, shift=self.shift(cubes.size_vx)).n_blocks

    @property
    def goes_together(self) -> bool:
        """Whether parts of embed are eight blocks each, as far as the mean number of nodes tells."""
        per_part = 8 * self.content.n_nodes.expected / self.n_blocks
        return self.n_blocks >= LEAST_TOGETHER and per_part <= self.config.cubes.part_nodes

    @property
    def n_pairs(self) -> int:
        """Pairs that are drawn; none where a finished encoder is given."""
        return self.config.pairs.n_pairs if self.config.trains else 0

    @property
    def n_steps_cubes(self) -> int:
        """Cubes that pass the encoder in training; none where a finished one is given."""
        if not self.config.trains:
            return 0
        return self.config.train.steps * 2 * self.config.train.batch_pairs

    @property
    def stored_size_vx(self) -> int:
        """Edge of a stored cube, margin included."""
        return self.config.cubes.size_vx + 2 * self.config.cubes.margin_vx

    @property
    def n_stored_cubes(self) -> Range:
        """Distinct nodes of the pairs: n of 2 p draws from N are ``N (1 - (1 - 1 / N)^(2 p))`` on average."""
        if not self.n_pairs:
            return Range.exact(0)
        draws = 2 * self.n_pairs

        def distinct(n: float) -> float:
            return -n * math.expm1(draws * math.log1p(-1 / n)) if n > 1 else n

        nodes = self.content.n_nodes
        # pairs are not drawn uniformly: long segments less often than by their nodes, twins more often
        return Range(distinct(nodes.low) * 0.5, distinct(nodes.expected), min(draws, nodes.high))
