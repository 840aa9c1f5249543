"""Stage ``skeletonize``: a skeleton for every segment, as one vertex table a part."""

from __future__ import annotations

import functools

import numpy as np

from pipelines.blocks import Stage
from pipelines.records import Outcome
from pipelines.run import Run
from segclr.config import digest
from segclr.data.nodes import NodeTable
from segclr.data.skeleton import Skeleton
from segclr.data.skeletonize import skeletonize_array
from segclr.errors import VolumeError
from segclr.store.parquet import write_columns

__all__ = ["skeletonize_stage", "vertex_table"]

LARGEST_VX = 1024**3
"""Voxels that are skeletonized in one piece: labels and distances of more do not fit into a worker."""


def skeletonize_stage(run: Run) -> Stage:
    """One part: the whole volume in one piece."""
    inputs = {"volume": run.volume_digest(), "skeletons": digest(run.config.skeletons)}
    return Stage("skeletonize", ("volume",), functools.partial(_skeletonize, run), inputs)


def _skeletonize(run: Run, part: str) -> Outcome:
    _, segmentation = run.open_volumes()
    if segmentation.bounds.n_voxels > LARGEST_VX:
        msg = (
            f"{segmentation.url} has {segmentation.bounds.n_voxels} voxels at this voxel size; up to "
            f"{LARGEST_VX} are skeletonized in one piece"
        )
        raise VolumeError(msg)
    labels = segmentation.read(segmentation.bounds)
    if not labels.any():
        msg = f"the segmentation {segmentation.url} is empty: every voxel is 0"
        raise VolumeError(msg)
    skeletons = skeletonize_array(
        labels,
        run.config.skeletons,
        voxel_size_nm=segmentation.voxel_size_nm,
        offset_vx=segmentation.bounds.start,
    )
    name = f"skeletons/{part}.parquet"
    vertices = vertex_table(skeletons)
    write_columns(run.path(name), vertices.columns())
    return Outcome((name,), rows=len(vertices), counts={"segments": len(skeletons)})


def vertex_table(skeletons: list[Skeleton]) -> NodeTable:
    """Skeletons as a table of vertices: the columns of nodes, before they are resampled."""
    return NodeTable.concatenate(
        NodeTable(
            segment_ids=np.full(len(s), s.segment_id, dtype=np.uint64),
            node_ids=np.arange(len(s), dtype=np.uint32),
            points_nm=s.points_nm,
            radii_nm=s.radii_nm,
            parents=s.parents,
        )
        for s in skeletons
    )
