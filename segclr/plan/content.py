"""What a volume holds: cable, segments and nodes, from its size alone or from a sample of blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from segclr.config import PlanConfig, RunConfig
from segclr.errors import DataError
from segclr.plan.extent import Extent
from segclr.plan.range import Range

__all__ = ["BlockSample", "Content", "assumed_content", "sampled_content"]

_TWO_SIDED_95 = 0.975

_CORTEX_UM_PER_UM3 = 5.4
"""2.7 m of cable in 500,000 um^3 of mouse cortex (Motta et al., Science 2019, 10.1126/science.aay3134)."""

_MADE_TISSUE_UM_PER_UM3 = {"tissue": 1.1, "kimimaro": 2.3}
"""Made tissue, 4 blocks of 112x112x96 voxels, by where its skeletons come from: its own, or kimimaro's."""


@dataclass(frozen=True)
class Content:
    """What is in a volume.

    Attributes:
        cable_um: length of all skeletons.
        n_segments: trees, one for each connected segment that gets a skeleton.
        n_nodes: places that get an embedding.
        source: where the numbers come from, as a table shows it.
    """

    cable_um: Range
    n_segments: Range
    n_nodes: Range
    source: str


@dataclass(frozen=True)
class BlockSample:
    """What one block of work holds, by the half-open rule.

    Attributes:
        n_voxels: of the block.
        cable_um: length of the skeleton edges whose middle lies in the block.
        n_trees: sum over the block's skeleton vertices of 1 - degree / 2. Over a whole forest this is
            vertices minus edges, so the number of trees: blocks add up, though trees cross them.
        n_nodes: nodes in the block.
    """

    n_voxels: int
    cable_um: float
    n_trees: float
    n_nodes: int


def assumed_content(extent: Extent, config: RunConfig) -> Content:
    """What a box of dense neuropil holds, knowing nothing but its size and whether it is made.

    With a density of cable ``L`` (um per um^3), ``V`` the volume and ``S`` its surface:

        cable    = L V
        segments = L (S / 4 + V / length)
        nodes    = cable / spacing + segments

    A convex box has a mean chord of ``4 V / S`` (Cauchy), so straight neurites cross it in ``L S / 4``
    pieces; a draft segmentation also splits them, on average after ``length`` um. A piece has one node
    more than whole spacings: half a node is rounded up at its root and half at its far end.
    Low and high take the density divided and multiplied by ``plan.cable_factor``.
    """
    plan, f = config.plan, config.plan.cable_factor
    made = config.volume is None
    usual = (
        _MADE_TISSUE_UM_PER_UM3.get(config.skeletons.source, _CORTEX_UM_PER_UM3)
        if made
        else _CORTEX_UM_PER_UM3
    )
    assumed = plan.cable_um_per_um3 or usual
    density = Range(assumed / f, assumed, assumed * f)
    cable = density * extent.volume_um3
    segments = density * (extent.surface_um2 / 4 + extent.volume_um3 / plan.segment_um)
    nodes = cable / (config.nodes.spacing_nm / 1000) + segments
    return Content(cable, segments, nodes, f"metadata, {assumed:g} um/um^3 assumed")


def sampled_content(
    samples: Sequence[BlockSample], extent: Extent, config: PlanConfig, *, n_blocks: int
) -> Content:
    """What a volume holds, from blocks drawn with equal probability without replacement.

    Low and high are the 95 % interval by Student's t with one degree of freedom less than blocks: 12.7, 3.2
    and 2.3 standard errors to each side for 2, 4 and 10 blocks. From a single block, which tells none, they
    are the expectation divided and multiplied by ``config.cable_factor``.

    Raises:
        DataError: there are no blocks.
    """
    if not samples:
        msg = "a sample needs at least one block"
        raise DataError(msg)
    voxels = np.array([s.n_voxels for s in samples], dtype=np.float64)
    total = float(extent.box.n_voxels)
    columns = ([s.cable_um for s in samples], [s.n_trees for s in samples], [s.n_nodes for s in samples])
    cable, trees, nodes = (
        _ratio_total(np.array(c, dtype=np.float64), voxels, total=total, n_blocks=n_blocks) for c in columns
    )
    source = f"sample, {len(samples)} of {n_blocks} blocks"
    if math.isnan(nodes[1]):
        source = f"{source}: too few for a standard error"
    elif nodes[0]:
        source = f"{source}, standard error {nodes[1] / nodes[0]:.1%}"
    ranges = [
        _around(*estimate, n=len(samples), factor=config.cable_factor) for estimate in (cable, trees, nodes)
    ]
    return Content(ranges[0], ranges[1], ranges[2], source)


def _around(total: float, error: float, *, n: int, factor: float) -> Range:
    if math.isnan(error):
        return Range(total / factor, total, total * factor)
    reach = error * float(stdtrit(n - 1, _TWO_SIDED_95)) if error else 0.0
    return Range(max(0.0, total - reach), total, total + reach)


def _ratio_total(
    values: NDArray[np.float64], sizes: NDArray[np.float64], *, total: float, n_blocks: int
) -> tuple[float, float]:
    """Ratio estimate of a total and its standard error (Cochran, Sampling Techniques, 1977, 6.3 and 6.4).

    ``R = sum y / sum x``, total ``R X``; its variance is ``N^2 (1 - n / N) / n`` times the mean square of
    ``y - R x`` with ``n - 1`` degrees of freedom. Not a number from a single block of several.
    """
    n = len(values)
    ratio = values.sum() / sizes.sum()
    if n == n_blocks:
        return max(0.0, float(ratio * total)), 0.0
    if n == 1:
        return max(0.0, float(ratio * total)), math.nan
    spread = float(((values - ratio * sizes) ** 2).sum() / (n - 1))
    return max(0.0, float(ratio * total)), math.sqrt(n_blocks**2 * (1 - n / n_blocks) / n * spread)
