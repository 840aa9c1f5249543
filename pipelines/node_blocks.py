"""Nodes by the block of work they lie in, so that a part reads its own nodes and no others.

Nodes are kept by segment; embedding needs them by place. Two stages shuffle them, and hold a shard or a
region at a time:

scatter-nodes  a part a shard of nodes: rows go to their region, 8 x 8 x 8 blocks
gather-nodes   a part a region: rows go to their block, sorted by place
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.records import Outcome, made_by, stage_digest
from pipelines.run import Run
from segclr import files
from segclr.data.block_grid import BlockGrid, block_grid
from segclr.data.curve import hilbert_index
from segclr.data.nodes import NodeTable
from segclr.data.volume import Volume
from segclr.errors import MissingDataError
from segclr.geometry import voxels_of_points
from segclr.store.buckets import bucket_rows, read_bucket, write_buckets
from segclr.store.parquet import read_columns

__all__ = ["block_counts", "block_nodes", "gather_stage", "scatter_stage", "work_grid"]

BY_REGION, BY_BLOCK = "nodes-parts/by-region", "nodes-parts/by-block"

_REGION_BITS = 9
"""Bits of a place along the curve that tell the blocks of a region apart: 512 of them."""


def work_grid(run: Run, segmentation: Volume, *, size_vx: int) -> BlockGrid:
    """The run's blocks of work for cubes of an edge."""
    return block_grid(segmentation, block_vx=run.config.cubes.block_vx, size_vx=size_vx)


def scatter_stage(run: Run) -> Stage:
    """One part for each shard of nodes."""
    cubes = run.config.cubes
    inputs = {"nodes": stage_digest(run.url, "nodes"), "blocks": f"{cubes.block_vx} {cubes.size_vx}"}
    parts = [u.rsplit("/", 1)[1].removesuffix(".parquet") for u in files.glob(run.path("nodes"), "*.parquet")]
    return Stage("scatter-nodes", parts, functools.partial(_scatter, run), inputs)


def _scatter(run: Run, part: str) -> Outcome:
    nodes = NodeTable.from_columns(read_columns(run.path("nodes", f"{part}.parquet")))
    segmentation = run.open_segmentation()
    voxels = voxels_of_points(nodes.points_nm, segmentation.voxel_size_nm)
    grid = work_grid(run, segmentation, size_vx=run.config.cubes.size_vx)
    blocks = hilbert_index(grid.blocks_of(voxels))
    name = f"{BY_REGION}/{part}.parquet"
    write_buckets(run.path(name), {**nodes.columns(), "block": blocks}, blocks >> _REGION_BITS)
    return Outcome((name,), rows=len(nodes))


def gather_stage(run: Run) -> Stage:
    """One part for each region that holds a node."""
    inputs = {"scattered": stage_digest(run.url, "scatter-nodes")}
    regions = sorted({region for url in _scattered(run) for region in bucket_rows(url)})
    return Stage("gather-nodes", [_region_name(r) for r in regions], functools.partial(_gather, run), inputs)


def _gather(run: Run, part: str) -> Outcome:
    region = int(part.removeprefix("region-"))
    pieces = [read_bucket(u, region) for u in _scattered(run)]
    columns = {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]}
    points = np.stack([columns[f"{a}_nm"] for a in "xyz"], axis=1)
    x, y, z = voxels_of_points(points, run.open_segmentation().voxel_size_nm).T
    # by z first: a piece of a block's rows is a slab of the block
    order = np.lexsort((columns["node_id"], columns["segment_id"], x, y, z))
    columns = {k: v[order] for k, v in columns.items()}
    name = f"{BY_BLOCK}/{part}.parquet"
    write_buckets(run.path(name), columns, columns.pop("block"))
    return Outcome((name,), rows=len(order))


def _scattered(run: Run) -> list[str]:
    return made_by(run.url, "scatter-nodes", files.glob(run.path(BY_REGION), "*.parquet"))


def _region_name(region: int) -> str:
    return f"region-{region:09d}"


def block_counts(run: Run) -> dict[int, int]:
    """Nodes in each block that holds any, by its place along the curve, in that order.

    Raises:
        MissingDataError: the run's nodes are not ordered by block yet.
    """
    urls = made_by(run.url, "gather-nodes", files.glob(run.path(BY_BLOCK), "*.parquet"))
    if not urls:
        msg = f"{run.url} has no nodes by block yet: run `segclr nodes` first, or `segclr run` for all"
        raise MissingDataError(msg)
    counts: dict[int, int] = {}
    for url in urls:
        counts |= bucket_rows(url)
    return dict(sorted(counts.items()))


def block_nodes(run: Run, blocks: Iterable[int]) -> NodeTable:
    """The nodes of some blocks, those of a block by z, y, x."""
    tables: list[dict[str, NDArray[Any]]] = []
    for block in blocks:
        url = run.path(BY_BLOCK, f"{_region_name(block >> _REGION_BITS)}.parquet")
        tables.append(read_bucket(url, block))
    return NodeTable.from_columns({k: np.concatenate([t[k] for t in tables]) for k in tables[0]})
