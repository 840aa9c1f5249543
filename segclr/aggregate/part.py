"""Whole segments in one order, and the two ways to be near."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from segclr.aggregate.neighbourhood import Neighbours, euclidean_neighbours, path_neighbours
from segclr.config import Metric
from segclr.errors import ConfigError, DataError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["Part", "check_finite", "check_reach", "check_unique", "parent_rows", "sorted_rows"]


@dataclass(frozen=True, eq=False)
class Part:
    """Nodes of whole segments and how far their neighbours may be.

    Attributes:
        table: sorted by (segment_id, node_id).
        rank: int64 [n], of each node's segment among the segments.
        radius_nm: finite, 0 or more.
        metric: how distance is measured; "path" needs parents.
    """

    table: EmbeddingTable
    rank: NDArray[np.int64]
    radius_nm: float
    metric: Metric

    @staticmethod
    def of(table: EmbeddingTable, *, radius_nm: float, metric: Metric) -> Part:
        """The part of a sorted table."""
        change = table.segment_ids[1:] != table.segment_ids[:-1]
        rank = np.concatenate([np.zeros(min(1, len(table)), dtype=np.int64), np.cumsum(change)])
        return Part(table, rank, radius_nm, metric)

    def neighbours(self) -> Iterator[Neighbours]:
        """Who is near whom, and how far; every node once.

        Raises:
            DataError: a parent does not exist, or the parents make a cycle.
        """
        points, radius_nm = self.table.points_nm, self.radius_nm
        if self.metric == "euclidean":
            return euclidean_neighbours(points, self.rank, radius_nm=radius_nm)
        return path_neighbours(points, parent_rows(self.table, self.rank), radius_nm=radius_nm)


def check_reach(radius_um: float, metric: str) -> None:
    """Refuse an impossible radius or metric.

    Raises:
        ConfigError: it is one.
    """
    if not (math.isfinite(radius_um) and radius_um >= 0):
        msg = f"radius_um must be finite and 0 or more, got {radius_um}"
        raise ConfigError(msg)
    if metric not in get_args(Metric):
        msg = f"metric must be one of {', '.join(get_args(Metric))}, got {metric!r}"
        raise ConfigError(msg)


def sorted_rows(table: EmbeddingTable, metric: Metric) -> NDArray[np.intp]:
    """Rows by (segment_id, node_id) of a table that can be aggregated.

    Raises:
        DataError: ids repeat, points or embeddings are not finite, or ``metric`` needs parents.
    """
    if metric == "path" and table.parents is None:
        msg = "metric='path' needs the parents of the nodes, and this table has none; use 'euclidean'"
        raise DataError(msg)
    check_finite(table, "points_nm")
    check_finite(table, "embeddings")
    segments, nodes = table.segment_ids, table.node_ids
    later = (segments[1:] > segments[:-1]) | ((segments[1:] == segments[:-1]) & (nodes[1:] > nodes[:-1]))
    if later.all():
        return np.arange(len(table))
    order = np.lexsort((nodes, segments))
    check_unique(table, order)
    return order


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


def check_finite(table: EmbeddingTable, name: str) -> None:
    """Refuse a column with values that are not finite."""
    values = getattr(table, name)
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        msg = f"{name} must be finite; {len(bad)} rows are not, such as {_name(table, bad[0])}"
        raise DataError(msg)


def check_unique(table: EmbeddingTable, order: NDArray[np.intp]) -> None:
    """Refuse a table, whose order by ids is given, with a node twice."""
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
