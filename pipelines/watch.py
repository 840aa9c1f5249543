"""What a run's training is watched by: pairs by path distance, and a linear probe where labels allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.classify import node_classes, tasks_of
from pipelines.cubes import INDEX, lost_rows
from pipelines.labels import labels_digest
from pipelines.nodes import read_nodes
from pipelines.pairs import held_out_segments
from pipelines.run import Run
from segclr.classify.probe import probe_macro_f1
from segclr.config import digest
from segclr.data.pairs import PairTable
from segclr.errors import ConfigError
from segclr.store.parquet import read_columns

if TYPE_CHECKING:  # torch is imported where training begins
    from segclr.train.watch import Probe, Watch

__all__ = ["watch_digest", "watch_of"]


def watch_digest(run: Run) -> str:
    """Of all that decides which numbers are recorded."""
    labels = labels_digest(run) if run.config.monitor.probe_every else ""
    return digest(run.config.monitor, list(run.config.pairs.edges_nm), labels)


def watch_of(run: Run, pairs: PairTable) -> Watch:
    """What to record of the training on these pairs.

    Raises:
        ConfigError: a probe is wanted and the run has no labels.
    """
    from segclr.train.watch import Distances, Watch

    held_out = pairs.distances_nm[pairs.held_out].astype(np.float64)
    return Watch(
        config=run.config.monitor,
        distances=Distances(held_out, run.config.pairs.edges_nm),
        probe=_probe(run) if run.config.monitor.probe_every else None,
    )


def _probe(run: Run) -> Probe:
    """Labelled cubes of held-out cells, spread over the cells; the first kind of label that the run has."""
    from segclr.train.history import balanced_rows
    from segclr.train.watch import Probe

    task = next((task for task in tasks_of(run) if task != "retrieval"), None)
    if task is None:
        msg = (
            f"monitor.probe_every is {run.config.monitor.probe_every}, but the run has no labels: give "
            "labels.compartments or labels.cell_types, or set it to 0"
        )
        raise ConfigError(msg)
    index = read_columns(run.path(INDEX), ["row", "block", "segment_id", "node_id"])
    nodes = read_nodes(run)
    at = np.searchsorted(nodes.segment_ids, index["segment_id"]) + index["node_id"]
    classes = node_classes(run, task, nodes)[at]
    held_out = np.array(sorted(held_out_segments(run)), dtype=np.uint64)
    whole = ~lost_rows(run, index["block"])
    usable = np.flatnonzero(np.isin(index["segment_id"], held_out) & (classes != "") & whole)
    groups = np.unique(index["segment_id"][usable], return_inverse=True)[1].astype(np.int64)
    chosen = balanced_rows(groups, run.config.monitor.probe_nodes, seed=run.config.seed)
    return Probe(
        rows=index["row"][usable][chosen],
        classes=classes[usable][chosen],
        groups=groups[chosen],
        score=probe_macro_f1,
    )
