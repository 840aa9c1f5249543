"""Stage ``nodes``: places along the skeletons, each inside its own segment, one part a skeleton file."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.records import Outcome, stage_digest
from pipelines.run import Run
from segclr import files
from segclr.config import digest
from segclr.data.cubes import block_of_voxels
from segclr.data.nodes import NodeTable, resample
from segclr.data.skeleton import Skeleton
from segclr.data.snap import snap_to_segments
from segclr.data.volume import Volume
from segclr.errors import DataError, MissingDataError
from segclr.geometry import voxels_of_points
from segclr.store.parquet import read_columns, write_columns

__all__ = ["block_names", "nodes_stage", "read_nodes"]


def nodes_stage(run: Run) -> Stage:
    """One part for each file of skeletons."""
    source = "tissue" if run.config.skeletons.source == "tissue" else "skeletonize"
    inputs = {
        "volume": run.volume_digest(),
        source: stage_digest(run.url, source),
        "nodes": digest(run.config.nodes),
        "skeletons": digest(run.config.skeletons),
    }
    parts = [
        u.rsplit("/", 1)[1].removesuffix(".parquet") for u in files.glob(run.skeletons_folder, "*.parquet")
    ]
    return Stage("nodes", parts, functools.partial(_place, run), inputs)


def _place(run: Run, part: str) -> Outcome:
    vertices = NodeTable.from_columns(read_columns(files.join(run.skeletons_folder, f"{part}.parquet")))
    _, segmentation = run.open_volumes()
    nodes = NodeTable.concatenate(
        resample(skeleton, spacing_nm=run.config.nodes.spacing_nm) for skeleton in _skeletons(vertices)
    )
    snapped = snap_to_segments(nodes, segmentation, reach_nm=run.config.nodes.snap_nm)
    name = f"nodes/{part}.parquet"
    write_columns(run.path(name), snapped.nodes.columns())
    counts = {"moved": snapped.n_moved, "dropped": snapped.n_dropped}
    return Outcome((name,), rows=len(snapped.nodes), counts=counts)


def _skeletons(vertices: NodeTable) -> Iterable[Skeleton]:
    for segment_id, rows in vertices.segments():
        yield Skeleton(segment_id, vertices.points_nm[rows], vertices.parents[rows], vertices.radii_nm[rows])


@functools.lru_cache(maxsize=2)
def _read(urls: tuple[str, ...]) -> NodeTable:
    return NodeTable.concatenate(NodeTable.from_columns(read_columns(u)) for u in urls)


def read_nodes(run: Run) -> NodeTable:
    """All nodes of a run, sorted by (segment_id, node_id).

    Raises:
        MissingDataError: the run has no nodes yet.
        DataError: there are node files, but no node in them.
    """
    urls = files.glob(run.path("nodes"), "*.parquet")
    if not urls:
        msg = f"{run.url} has no nodes yet: run `segclr nodes` first, or `segclr run` for all"
        raise MissingDataError(msg)
    nodes = _read(tuple(urls))
    if not len(nodes):
        msg = (
            "no segment is large enough to get a node: the segmentation is empty, or "
            f"skeletons.min_segment_vx ({run.config.skeletons.min_segment_vx}) is too large"
        )
        raise DataError(msg)
    return nodes


def block_names(run: Run, nodes: NodeTable, volume: Volume) -> NDArray[np.str_]:
    """Name of the block of work of each node, by the half-open rule; names sort in z, y, x order."""
    voxels = voxels_of_points(nodes.points_nm, volume.voxel_size_nm)
    blocks = block_of_voxels(voxels, origin=volume.bounds.start, block_vx=run.config.cubes.block_vx)
    unique, inverse = np.unique(blocks, axis=0, return_inverse=True)
    names = np.array([f"block-z{z:04d}-y{y:04d}-x{x:04d}" for x, y, z in unique])
    return names[inverse]
