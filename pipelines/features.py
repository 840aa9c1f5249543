"""Stage ``features``: ten simple measures of every node's cube, for the baseline that needs no network."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from pipelines.blocks import Stage
from pipelines.lost import is_lost, lost_outcome
from pipelines.records import Outcome, stage_digest
from pipelines.run import Run, missing_chunks
from pipelines.work_parts import part_nodes, work_parts
from segclr import files
from segclr.config import digest
from segclr.data.cube_features import FEATURE_NAMES, cube_features
from segclr.data.cubes import cut_by_window
from segclr.store.parquet import read_folder, write_columns

__all__ = ["features_stage", "read_features"]

_CUBES_AT_ONCE_BYTES = 64e6


def features_stage(run: Run) -> Stage:
    """The parts of ``embed``."""
    inputs = {
        "volume": run.volume_digest(),
        "nodes": stage_digest(run.url, "gather-nodes"),
        "cubes": digest(run.config.cubes),
    }
    work, without = (functools.partial(f, run) for f in (_measure, _measure_without))
    return Stage("features", work_parts(run), work, inputs, without=without)


def _measure(run: Run, part: str) -> Outcome:
    here, cubes = part_nodes(run, part), run.config.cubes
    em, segmentation = run.open_volumes()
    features = np.zeros((len(here), len(FEATURE_NAMES)), dtype=np.float32)
    pieces = cut_by_window(
        em,
        segmentation,
        here.points_nm,
        here.segment_ids,
        size_vx=cubes.size_vx,
        most=max(1, int(_CUBES_AT_ONCE_BYTES / cubes.size_vx**3)),
        content=cubes.content,
        rounding=cubes.rounding,
    )
    for rows, cut in pieces:
        features[rows] = cube_features(cut)
    name = f"features/{part}.parquet"
    columns = {k: v for k, v in here.columns().items() if k in ("segment_id", "node_id")}
    write_columns(run.path(name), {**columns, "features": features})
    return Outcome((name,), rows=len(here), counts=missing_chunks(em, segmentation))


def _measure_without(run: Run, part: str) -> Outcome:
    """What stands in for a part that is set aside: the list of its nodes."""
    files.remove(run.path(f"features/{part}.parquet"))
    return lost_outcome(run, "features", part, part_nodes(run, part))


def read_features(run: Run) -> NDArray[np.float32]:
    """Features of all nodes that no stage lost, sorted by (segment_id, node_id), float32 [n, 10]."""
    columns = read_folder(run.path("features"))
    order = np.lexsort((columns["node_id"], columns["segment_id"]))
    kept = ~is_lost(run, columns["segment_id"], columns["node_id"])
    return columns["features"][order[kept[order]]]
