"""Stage ``features``: ten simple measures of every node's cube, for the baseline that needs no network."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.lost import is_lost, lost_outcome
from pipelines.nodes import block_names, read_nodes
from pipelines.records import Outcome, stage_digest
from pipelines.run import Run, missing_chunks
from segclr import files
from segclr.config import digest
from segclr.data.cube_features import cube_features
from segclr.data.cubes import cut_cubes
from segclr.store.parquet import read_folder, write_columns

__all__ = ["features_stage", "read_features"]

_CUBES_AT_ONCE = 256


def features_stage(run: Run) -> Stage:
    """One part for each block that holds a node."""
    inputs = {
        "volume": run.volume_digest(),
        "nodes": stage_digest(run.url, "nodes"),
        "cubes": digest(run.config.cubes),
    }
    nodes = read_nodes(run)
    _, segmentation = run.open_volumes()
    parts = np.unique(block_names(run, nodes, segmentation)).tolist()
    work, without = (functools.partial(f, run) for f in (_measure, _measure_without))
    return Stage("features", parts, work, inputs, without=without)


def _measure(run: Run, part: str) -> Outcome:
    nodes = read_nodes(run)
    em, segmentation = run.open_volumes()
    here = nodes.take(np.flatnonzero(block_names(run, nodes, segmentation) == part))
    measured = []
    for first in range(0, len(here), _CUBES_AT_ONCE):
        rows = here.take(np.arange(first, min(first + _CUBES_AT_ONCE, len(here))))
        cubes = cut_cubes(
            em, segmentation, rows.points_nm, rows.segment_ids, size_vx=run.config.cubes.size_vx
        )
        measured.append(cube_features(cubes))
    name = f"features/{part}.parquet"
    columns = {k: v for k, v in here.columns().items() if k in ("segment_id", "node_id")}
    write_columns(run.path(name), {**columns, "features": np.concatenate(measured)})
    return Outcome((name,), rows=len(here), counts=missing_chunks(em, segmentation))


def _measure_without(run: Run, part: str) -> Outcome:
    """What stands in for a part that is set aside: the list of its nodes."""
    nodes = read_nodes(run)
    here = nodes.take(np.flatnonzero(block_names(run, nodes, run.open_volumes()[1]) == part))
    files.remove(run.path(f"features/{part}.parquet"))
    return lost_outcome(run, "features", part, here)


def read_features(run: Run) -> NDArray[np.float32]:
    """Features of all nodes that no stage lost, sorted by (segment_id, node_id), float32 [n, 10]."""
    columns = read_folder(run.path("features"))
    order = np.lexsort((columns["node_id"], columns["segment_id"]))
    kept = ~is_lost(run, columns["segment_id"], columns["node_id"])
    return columns["features"][order[kept[order]]]
