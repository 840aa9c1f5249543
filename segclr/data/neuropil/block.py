"""One block of made tissue, with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segclr.config import TissueConfig
from segclr.data.neuropil.cells import Cell, block_size_nm, plan_cells
from segclr.data.neuropil.classes import COMPARTMENTS
from segclr.data.neuropil.fill import drop_crumbs, fill_gaps
from segclr.data.neuropil.frame import Frame
from segclr.data.neuropil.grow import Arbors, grow
from segclr.data.neuropil.noise import fine_noise, smooth_noise
from segclr.data.neuropil.organelles import draw_organelles
from segclr.data.neuropil.paint import NOBODY, paint
from segclr.data.neuropil.spines import add_spines
from segclr.data.neuropil.synapses import Synapse, draw_synapses
from segclr.data.neuropil.texture import cytoplasm, micrograph
from segclr.data.neuropil.trees import skeletons_of
from segclr.data.skeleton import Skeleton
from segclr.errors import ConfigError
from segclr.geometry import BoundingBox

__all__ = ["TissueBlock", "block_box", "make_block"]

_SMALLEST_VX = 1500  # a smaller segment is dust and gets no cell


@dataclass(frozen=True)
class TissueBlock:
    """Image and ground truth of one block.

    Attributes:
        index: which block of the volume.
        box: its voxels, absolute.
        voxel_size_nm: (x, y, z).
        em: uint8 [z, y, x], never 0.
        segmentation: uint64 [z, y, x], 0 between the cells.
        compartments: uint8 [z, y, x], values of ``COMPARTMENTS``.
        skeletons: one tree for each segment, in the order of ``cells``; points in absolute nanometres, each
            inside its own segment; radii are the drawn tubes', before neighbours press on them.
        cells: segment_id (uint64), cell_type, split, block; one row for each segment.
        synapses: pre_id, post_id (uint64), x_nm, y_nm, z_nm (a voxel of the axon that touches the
            partner), kind ("excitatory" or "inhibitory").
    """

    index: int
    box: BoundingBox
    voxel_size_nm: tuple[float, float, float]
    em: NDArray[np.uint8]
    segmentation: NDArray[np.uint64]
    compartments: NDArray[np.uint8]
    skeletons: tuple[Skeleton, ...]
    cells: pd.DataFrame
    synapses: pd.DataFrame


def block_box(config: TissueConfig, block: int) -> BoundingBox:
    """Where a block lies in the volume.

    Raises:
        ConfigError: there is no such block.
    """
    if not 0 <= block < config.n_blocks:
        msg = f"block must be 0 to {config.n_blocks - 1}, got {block}"
        raise ConfigError(msg)
    x, y, z = config.offset_vx
    width, height, depth = config.block_size_vx
    start = (x + block * width, y, z)
    return BoundingBox(start, (start[0] + width, y + height, z + depth))


def make_block(config: TissueConfig, *, seed: int, block: int) -> TissueBlock:
    """Draw a block: a pure function of its arguments, independent of all other blocks.

    Raises:
        ConfigError: there is no such block.
    """
    box = block_box(config, block)
    cells = plan_cells(config, seed=seed, block=block)
    arbors = grow(config, cells, seed=seed, block=block)
    arbors = add_spines(arbors, cells, size_nm=block_size_nm(config), seed=seed, block=block)
    frame = Frame.of(config)
    owner = paint(frame, arbors, cells, seed=seed, block=block)
    _pack(owner, arbors, cells, rng=np.random.default_rng([seed, block, 7]))
    labels = np.append(arbors.cells, NOBODY).astype(np.int32)[owner]

    rng = np.random.default_rng([seed, block, 8])
    blotches = smooth_noise(rng, frame.shape_zyx, sigma_vx=1.6)
    shade, taken = draw_organelles(frame, arbors, cells, labels, blotches=blotches, seed=seed, block=block)
    vesicles = np.zeros(frame.shape_zyx, dtype=np.uint8)
    synapses = draw_synapses(
        frame, arbors, cells, owner, labels, shade=shade, vesicles=vesicles, seed=seed, block=block
    )
    vesicles[taken] = 0
    clouds = smooth_noise(rng, frame.shape_zyx, sigma_vx=3.5)
    granules = fine_noise(rng, frame.shape_zyx)
    grey = cytoplasm(
        frame, arbors, cells, owner, blotches=blotches, clouds=clouds, granules=granules, rng=rng
    )
    del blotches, clouds, granules
    em = micrograph(grey, labels, shade=shade, vesicles=vesicles, rng=rng)

    ids = np.array([c.segment_id for c in cells] + [0], dtype=np.uint64)
    origin = np.array(box.start) * np.asarray(config.voxel_size_nm)
    skeletons = skeletons_of(frame, arbors, cells, labels, origin_nm=origin)
    return TissueBlock(
        index=block,
        box=box,
        voxel_size_nm=config.voxel_size_nm,
        em=em,
        segmentation=ids[labels],
        compartments=np.append(arbors.kinds, np.uint8(COMPARTMENTS["none"]))[owner],
        skeletons=skeletons,
        cells=_cell_table(cells, skeletons, block=block),
        synapses=_synapse_table(cells, synapses, frame=frame, origin_nm=origin),
    )


def _pack(
    owner: NDArray[np.int32], arbors: Arbors, cells: tuple[Cell, ...], *, rng: np.random.Generator
) -> None:
    """Make every segment one piece and close the gaps: astrocytes first, as they do, then all but axons."""
    drop_crumbs(owner, arbors.cells)
    counts = np.bincount(np.append(arbors.cells, len(cells))[owner].ravel(), minlength=len(cells) + 1)
    dust = np.append(counts[:-1] < _SMALLEST_VX, False)
    if dust.any():
        owner[np.append(dust[arbors.cells], False)[owner]] = NOBODY
    astrocyte = np.array([c.cell_type == "astrocyte" for c in cells])[arbors.cells]
    fill_gaps(owner, astrocyte & ~arbors.somata, rounds=3, rng=rng)
    fill_gaps(owner, ~arbors.somata, rounds=10, rng=rng)


def _cell_table(cells: tuple[Cell, ...], skeletons: tuple[Skeleton, ...], *, block: int) -> pd.DataFrame:
    drawn = {s.segment_id for s in skeletons}
    rows = [c for c in cells if c.segment_id in drawn]
    return pd.DataFrame(
        {
            "segment_id": np.array([c.segment_id for c in rows], dtype=np.uint64),
            "cell_type": [c.cell_type for c in rows],
            "split": [c.split for c in rows],
            "block": np.full(len(rows), block, dtype=np.int32),
        }
    )


def _synapse_table(
    cells: tuple[Cell, ...], synapses: list[Synapse], *, frame: Frame, origin_nm: NDArray[np.float64]
) -> pd.DataFrame:
    voxels = np.array([s.voxel_zyx for s in synapses], dtype=np.int64).reshape(-1, 3)
    points = (voxels[:, ::-1] + 0.5) * frame.voxel_size_nm + origin_nm
    return pd.DataFrame(
        {
            "pre_id": np.array([cells[s.pre].segment_id for s in synapses], dtype=np.uint64),
            "post_id": np.array([cells[s.post].segment_id for s in synapses], dtype=np.uint64),
            "x_nm": points[:, 0].astype(np.float32),
            "y_nm": points[:, 1].astype(np.float32),
            "z_nm": points[:, 2].astype(np.float32),
            "kind": [cells[s.pre].cell_type for s in synapses],
        }
    )
