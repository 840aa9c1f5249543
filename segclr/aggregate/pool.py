"""The mean embedding over the neighbourhood of every node."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segclr.aggregate.neighbourhood import Neighbours, euclidean_neighbours, path_neighbours
from segclr.errors import ConfigError, DataError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["Metric", "aggregate"]

Metric = Literal["euclidean", "path"]

_SPAN_ROWS = 1_000_000  # rows whose float64 copy is held at once; a longer segment is one span


def aggregate(table: EmbeddingTable, *, radius_um: float, metric: Metric = "euclidean") -> EmbeddingTable:
    """Average embeddings over the nodes of the same segment within a radius.

    One row per input node, in input order: the mean over nodes at most ``radius_um`` away, itself
    included. Radius 0 averages nodes at the very same place. Sums run in float64 over nodes sorted by
    id, so the answer does not depend on the order of rows or on which segments stand in one table.

    Args:
        table: nodes of any number of whole segments; ``(segment_id, node_id)`` is unique.
        radius_um: micrometres, finite, 0 or more.
        metric: "euclidean", a straight line; "path", the sum of edge lengths along ``parents``, where
            nodes of another tree are infinitely far.

    Returns:
        The table with averaged ``embeddings`` and ``n_nodes``, int32 [n], the nodes in each mean.

    Raises:
        ConfigError: the radius or the metric is not an allowed one.
        DataError: ids repeat, points or embeddings are not finite, a parent does not exist, parents
            make a cycle, or ``metric="path"`` without parents.
    """
    if not (math.isfinite(radius_um) and radius_um >= 0):
        msg = f"radius_um must be finite and 0 or more, got {radius_um}"
        raise ConfigError(msg)
    if metric not in get_args(Metric):
        msg = f"metric must be one of {', '.join(get_args(Metric))}, got {metric!r}"
        raise ConfigError(msg)
    if metric == "path" and table.parents is None:
        msg = "metric='path' needs the parents of the nodes, and this table has none; use 'euclidean'"
        raise DataError(msg)
    check_finite(table, "points_nm")
    check_finite(table, "embeddings")
    order = np.lexsort((table.node_ids, table.segment_ids))
    check_unique(table, order)
    means = np.empty_like(table.embeddings)
    counts = np.empty(len(table), dtype=np.int32)
    for rows in _spans(order, table.segment_ids):
        part = table.take(rows)
        values = part.embeddings.astype(np.float64)
        for block in _neighbours(part, radius_nm=radius_um * 1000.0, metric=metric):
            n_nodes = np.diff(block.matrix.indptr)
            means[rows[block.rows]] = (block.matrix @ values) / n_nodes[:, None]
            counts[rows[block.rows]] = n_nodes
    return replace(table, embeddings=means, n_nodes=counts)


def _neighbours(part: EmbeddingTable, *, radius_nm: float, metric: Metric) -> Iterator[Neighbours]:
    """Neighbours of a table sorted by (segment_id, node_id)."""
    _, rank = np.unique(part.segment_ids, return_inverse=True)
    if metric == "euclidean":
        return euclidean_neighbours(part.points_nm, rank, radius_nm=radius_nm)
    return path_neighbours(part.points_nm, parent_rows(part, rank), radius_nm=radius_nm)


def parent_rows(part: EmbeddingTable, rank: NDArray[np.integer]) -> NDArray[np.int64]:
    """Row of each node's parent, -1 for a root, of a table sorted by (segment_id, node_id)."""
    parents = np.asarray(part.parents, dtype=np.int64)
    keys = (rank.astype(np.int64) << 32) | part.node_ids.astype(np.int64)
    wanted = (rank.astype(np.int64) << 32) | np.maximum(parents, 0)
    found = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    bad = np.flatnonzero((parents < -1) | ((parents >= 0) & (keys[found] != wanted)))
    if len(bad):
        row = bad[0]
        msg = (
            f"{len(bad)} nodes name a parent that their segment does not have, such as node "
            f"{part.node_ids[row]} of segment {part.segment_ids[row]}: parent {parents[row]}; "
            "allowed are node ids of the same segment, and -1 for a root"
        )
        raise DataError(msg)
    return np.where(parents >= 0, found, -1)


def _spans(order: NDArray[np.intp], segment_ids: NDArray[np.uint64]) -> Iterator[NDArray[np.intp]]:
    """Rows of whole segments, together at least so many unless they are the last."""
    ids = segment_ids[order]
    ends = np.concatenate([np.flatnonzero(ids[1:] != ids[:-1]) + 1, [len(ids)]])
    start = 0
    while start < len(ids):
        last = min(int(np.searchsorted(ends, start + _SPAN_ROWS)), len(ends) - 1)
        stop = int(ends[last])
        yield order[start:stop]
        start = stop


def check_finite(table: EmbeddingTable, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(getattr(table, name)).all(axis=1))
    if len(bad):
        msg = f"{name} must be finite; {len(bad)} rows are not, such as {_name(table, bad[0])}"
        raise DataError(msg)


def check_unique(table: EmbeddingTable, order: NDArray[np.intp]) -> None:
    segments, nodes = table.segment_ids[order], table.node_ids[order]
    same = np.flatnonzero((segments[1:] == segments[:-1]) & (nodes[1:] == nodes[:-1]))
    if len(same):
        msg = (
            "(segment_id, node_id) must be unique; "
            f"{len(same)} rows repeat one, such as {_name(table, order[same[0]])}"
        )
        raise DataError(msg)


def _name(table: EmbeddingTable, row: np.intp) -> str:
    return f"node {table.node_ids[row]} of segment {table.segment_ids[row]}"
