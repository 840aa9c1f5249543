"""What a run goes on without: parts that were set aside, and the nodes that are lost with them.

A part that is set aside has a record like any other, with its error, and with files that stand in for it:
for a block of nodes, ``lost/<stage>/<part>.parquet`` lists them. So no node goes missing uncounted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Outcome, read_record
from pipelines.run import UNTRAINED, Run
from segclr import files
from segclr.data.clip import drop_nodes
from segclr.data.nodes import NodeTable
from segclr.store.keys import KEY_COLUMNS, keys_of
from segclr.store.parquet import read_columns, write_columns

__all__ = [
    "LOST_NODES",
    "LostPart",
    "bridged_parents",
    "forget_later",
    "is_lost",
    "is_used",
    "lost_keys",
    "lost_outcome",
    "lost_parts",
]

LOST_NODES = "lost_nodes"
"""Name of the count of nodes that are lost with a part."""

ORDER: tuple[str, ...] = (
    "tissue",
    "census",
    "sizes",
    "fragments",
    "skeletonize",
    "precomputed",
    "place-nodes",
    "snap-nodes",
    "nodes",
    "scatter-nodes",
    "gather-nodes",
    "segments",
    "draw-pairs",
    "pairs",
    "cubes-index",
    "cubes",
    "train",
    "batch-size",
    "embed",
    "compact",
    UNTRAINED.stage("encoder"),
    UNTRAINED.stage("batch-size"),
    UNTRAINED.stage("embed"),
    UNTRAINED.stage("compact"),
    "aggregate",
    UNTRAINED.stage("aggregate"),
    "features",
    "evaluate",
    "report",
)
"""All stages; each is made from some of those before it."""

_BY_NODE = ("embed", UNTRAINED.stage("embed"), "features")
"""Stages that answer a row a node, and whose lost nodes are therefore left out of comparisons."""


@dataclass(frozen=True)
class LostPart:
    """A part that was set aside.

    Attributes:
        stage: of the part.
        part: its name.
        error: name of the error.
        message: what it said.
        n_nodes: nodes that are lost with it.
    """

    stage: str
    part: str
    error: str
    message: str
    n_nodes: int

    def __str__(self) -> str:
        """One line."""
        nodes = f", {self.n_nodes} nodes lost" if self.n_nodes else ""
        return f"{self.part}: {self.error}: {self.message}{nodes}"


def lost_parts(run_url: str, stage: str | None = None) -> Iterator[LostPart]:
    """The parts of a stage, or of all, that were set aside and stood in for."""
    for url in files.glob(files.join(run_url, "records"), f"{stage or '*'}/*.json"):
        name, part = url.removesuffix(".json").rsplit("/", 2)[1:]
        record = read_record(run_url, name, part)
        if record is not None and record.failed is not None:
            n_nodes = record.counts.get(LOST_NODES, 0)
            yield LostPart(name, part, record.failed["error"], record.failed["message"], n_nodes)


def lost_outcome(run: Run, stage: str, part: str, nodes: NodeTable) -> Outcome:
    """What stands in for a part of nodes: their list."""
    name = f"lost/{stage}/{part}.parquet"
    columns = {
        k: v for k, v in nodes.columns().items() if k in ("segment_id", "node_id", "x_nm", "y_nm", "z_nm")
    }
    write_columns(run.path(name), columns)
    return Outcome((name,), counts={LOST_NODES: len(nodes)})


def lost_keys(run: Run, stages: Sequence[str]) -> NDArray[Any]:
    """Keys of the nodes that are lost in any of the stages, sorted."""
    keys = [keys_of({"segment_id": np.empty(0, np.uint64), "node_id": np.empty(0, np.uint32)})]
    for stage in stages:
        folder = run.path("lost", stage)
        if files.exists(folder):
            urls = [files.join(folder, f"{part.part}.parquet") for part in lost_parts(run.url, stage)]
            keys += [keys_of(read_columns(url, KEY_COLUMNS)) for url in urls]
    return np.unique(np.concatenate(keys))


def is_lost(
    run: Run, segment_ids: NDArray[Any], node_ids: NDArray[Any], *, stages: Sequence[str] = _BY_NODE
) -> NDArray[np.bool_]:
    """Which of some nodes are lost in any of the stages, bool [n]."""
    lost = lost_keys(run, stages)
    if not len(lost):
        return np.zeros(len(segment_ids), dtype=bool)
    return np.isin(keys_of({"segment_id": segment_ids, "node_id": node_ids}), lost)


def bridged_parents(nodes: NodeTable, lost: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Parents of the nodes that are left: of those whose parent is lost, the nearest ancestor that is left.

    Args:
        nodes: whole segments, sorted by (segment_id, node_id).
        lost: bool [n].

    Returns:
        int32 [n - lost]: node ids as they were, -1 for a root.
    """
    left = nodes.take(np.flatnonzero(~lost))
    rows = drop_nodes(nodes, lost).parent_rows()
    return np.where(rows < 0, -1, left.node_ids[rows].astype(np.int64)).astype(np.int32)


def is_used(run_url: str, stage: str) -> bool:
    """Whether a later stage has begun, which may have been made without a part that was set aside."""
    return any(files.glob(files.join(run_url, "records", later), "*.json") for later in _later(stage))


def forget_later(run_url: str, stage: str) -> None:
    """Let all later stages be made again, the training from its first step: a lost part has come back."""
    later = _later(stage)
    for name in later:
        files.remove(files.join(run_url, "records", name))
        files.remove(files.join(run_url, "lost", name))
    if "train" in later:
        files.remove(files.join(run_url, "training"))


def _later(stage: str) -> tuple[str, ...]:
    return ORDER[ORDER.index(stage) + 1 :] if stage in ORDER else ()
