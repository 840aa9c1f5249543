"""Positive pairs: two nodes of one tree, drawn over bins of path distance.

How a pair is drawn, exactly. Every segment has a whole number of pairs, its share of all by cable length to
a power (``allot_pairs``). For each of them an anchor is drawn uniformly among the segment's nodes that have a
partner, that is, another node of the same tree within a bin of positive weight; then a bin by its weight
among those that hold a partner of this anchor; then the partner uniformly within the bin. Bins are
half-open, ``[e, f)``, but the last, which holds its upper edge. A segment's draws depend on the seed, its id
and its own nodes: not on other segments, nor on who draws them and when.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.config import PairConfig
from segclr.data.nodes import NodeTable
from segclr.data.partners import PartnerIndex
from segclr.data.tree import TICKS_PER_NM, Forest
from segclr.errors import DataError

__all__ = ["PairTable", "allot_pairs", "draw_pairs"]

_ATTEMPTS = 8
"""Anchors drawn for a pair before the segment's nodes are searched for those that have a partner."""

_CHUNK = 1 << 16
"""Nodes asked for their partners at once."""


@dataclass(frozen=True, kw_only=True)
class PairTable:
    """Positive pairs, sorted by segment.

    Attributes:
        segment_ids: uint64 [n].
        nodes_a: uint32 [n], node_id of the first.
        nodes_b: uint32 [n], node_id of the second, of the same tree.
        distances_nm: float32 [n], path between them along straight edges between nodes.
        held_out: bool [n], the segment is kept from training.
    """

    segment_ids: NDArray[np.uint64]
    nodes_a: NDArray[np.uint32]
    nodes_b: NDArray[np.uint32]
    distances_nm: NDArray[np.float32]
    held_out: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.segment_ids)

    def take(self, rows: NDArray[Any]) -> PairTable:
        """The rows of an index or mask, in its order."""
        return PairTable(
            segment_ids=self.segment_ids[rows],
            nodes_a=self.nodes_a[rows],
            nodes_b=self.nodes_b[rows],
            distances_nm=self.distances_nm[rows],
            held_out=self.held_out[rows],
        )

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of ``pairs.parquet``; ``split`` is "train" or "validation"."""
        return {
            "segment_id": self.segment_ids,
            "node_a": self.nodes_a,
            "node_b": self.nodes_b,
            "distance_nm": self.distances_nm,
            "split": np.where(self.held_out, "validation", "train"),
        }

    @staticmethod
    def from_columns(columns: dict[str, NDArray[Any]]) -> PairTable:
        """The inverse of ``columns``."""
        return PairTable(
            segment_ids=columns["segment_id"],
            nodes_a=columns["node_a"],
            nodes_b=columns["node_b"],
            distances_nm=columns["distance_nm"],
            held_out=np.asarray(columns["split"] == "validation", dtype=bool),
        )

    @staticmethod
    def concatenate(tables: Iterable[PairTable]) -> PairTable:
        """All pairs by segment, in the order of each segment's draws; a segment is in one table only."""
        parts = [t.columns() for t in [_EMPTY, *tables]]
        merged = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
        order = np.argsort(merged["segment_id"], kind="stable")
        return PairTable.from_columns({k: v[order] for k, v in merged.items()})


_EMPTY = PairTable(
    segment_ids=np.zeros(0, np.uint64),
    nodes_a=np.zeros(0, np.uint32),
    nodes_b=np.zeros(0, np.uint32),
    distances_nm=np.zeros(0, np.float32),
    held_out=np.zeros(0, bool),
)


def allot_pairs(cables_nm: NDArray[np.float64], config: PairConfig) -> NDArray[np.int64]:
    """How many of ``config.n_pairs`` pairs fall to each segment, int64 [n]: by cable length to a power.

    The largest remainders are rounded up, equal ones in the order given: give segments by id.

    Args:
        cables_nm: float64 [n], cable length of each segment, 0 where it has a single node.
        config: number of pairs, power, shortest distance; a segment with less cable gets none.

    Raises:
        DataError: no segment has cable enough.
    """
    allowed = (cables_nm > 0) & (cables_nm >= config.min_distance_nm)
    weights = np.where(allowed, cables_nm, 0.0) ** config.length_power * allowed
    if not weights.sum() > 0:
        msg = (
            f"no pair can be drawn: of {len(cables_nm)} segments the longest cable between nodes is "
            f"{cables_nm.max(initial=0):.0f} nm, pairs.min_distance_nm is {config.min_distance_nm:g}; lower "
            "that, or nodes.spacing_nm, so that segments have more than one node"
        )
        raise DataError(msg)
    exact = weights / weights.sum() * config.n_pairs
    counts = np.floor(exact).astype(np.int64)
    rest = np.argsort(counts - exact, kind="stable")[: config.n_pairs - counts.sum()]
    counts[rest] += 1
    return counts


def draw_pairs(
    nodes: NodeTable,
    config: PairConfig,
    *,
    n_pairs: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    seed: int,
) -> PairTable:
    """Draw pairs as the module says; fewer than asked for only where a segment has no pair in range.

    Args:
        nodes: sorted by (segment_id, node_id), whole segments.
        config: distances, bins and their weights.
        n_pairs: int64 [s], pairs to draw in each segment of ``nodes``, in order.
        held_out: bool [s], segments kept from training.
        seed: of the draws.
    """
    drawn = _Draw(nodes, config, n_pairs=n_pairs, seed=seed)
    for attempt in range(_ATTEMPTS):
        drawn.attempt(attempt)
    drawn.restrict()
    drawn.attempt(_ATTEMPTS)
    found = np.flatnonzero(drawn.b >= 0)
    a, b, segment = drawn.a[found], drawn.b[found], drawn.segment[found]
    places = drawn.forest.places
    return PairTable(
        segment_ids=nodes.segment_ids[a],
        nodes_a=nodes.node_ids[a],
        nodes_b=nodes.node_ids[b],
        distances_nm=(drawn.forest.distances(places[a], places[b]) / TICKS_PER_NM).astype(np.float32),
        held_out=held_out[segment],
    )


class _Draw:
    """Pairs being drawn: ``a`` and ``b`` are their rows of nodes, ``b`` -1 as long as there is none."""

    def __init__(
        self, nodes: NodeTable, config: PairConfig, *, n_pairs: NDArray[np.int64], seed: int
    ) -> None:
        """Index the nodes; nothing is drawn yet."""
        rows = [r for _, r in nodes.segments()]
        self.forest = Forest.of(nodes.points_nm, nodes.parent_rows())
        self._index = PartnerIndex(self.forest)
        self._edges = _ticks(config.edges_nm)
        self._weights = np.asarray(config.weights)
        self._ids, self._seed = [s for s, _ in nodes.segments()], seed
        self._anchors = {i: np.arange(r.start, r.stop) for i, r in enumerate(rows) if n_pairs[i]}
        self.segment = np.repeat(np.arange(len(rows)), n_pairs)
        self.a = np.full(len(self.segment), -1, dtype=np.int64)
        self.b = self.a.copy()

    def attempt(self, attempt: int) -> None:
        """Draw an anchor for every pair that has none, and a partner where the anchor has one."""
        pairs = np.flatnonzero(self.b < 0)
        groups = np.split(pairs, np.flatnonzero(np.diff(self.segment[pairs])) + 1) if len(pairs) else []
        kept, uniform = [], []
        for group in groups:
            segment = int(self.segment[group[0]])
            anchors, number = self._anchors[segment], self._ids[segment]
            random = np.random.default_rng([self._seed, number & 0xFFFFFFFF, number >> 32, attempt])
            draws = random.random((len(group), 3))
            if len(anchors):
                self.a[group] = anchors[(draws[:, 0] * len(anchors)).astype(np.int64)]
                kept.append(group)
                uniform.append(draws[:, 1:])
        if kept:
            self._join(np.concatenate(kept), np.concatenate(uniform))

    def _join(self, pairs: NDArray[np.int64], uniform: NDArray[np.float64]) -> None:
        """Choose bin and partner of the pairs whose anchor has any, by two uniform numbers each."""
        places = self.forest.places[self.a[pairs]]
        counts = self._index.count(places, self._edges)
        reached = np.cumsum(np.where(counts > 0, self._weights, 0.0), axis=1)
        some = np.flatnonzero(reached[:, -1] > 0)
        pairs, places, counts, reached = pairs[some], places[some], counts[some], reached[some]
        chosen = (reached <= (uniform[some, 0] * reached[:, -1])[:, None]).sum(axis=1)
        nth = (uniform[some, 1] * counts[np.arange(len(pairs)), chosen]).astype(np.int64)
        partners = self._index.pick(places, self._edges[chosen], self._edges[chosen + 1], nth)
        self.b[pairs] = self.forest.vertices[partners]

    def restrict(self) -> None:
        """Keep only anchors that have a partner, in segments that still lack pairs."""
        for segment in np.unique(self.segment[self.b < 0]):
            anchors = self._anchors[segment]
            parts = [anchors[i : i + _CHUNK] for i in range(0, len(anchors), _CHUNK)]
            counts = [self._index.count(self.forest.places[p], self._edges) for p in parts]
            self._anchors[segment] = anchors[(np.concatenate(counts)[:, self._weights > 0] > 0).any(axis=1)]


def _ticks(edges_nm: tuple[float, ...]) -> NDArray[np.int64]:
    """Edges in ticks, so that whole ticks of ``edges[i] <= distance < edges[i + 1]`` are those of bin i."""
    edges = np.ceil(np.asarray(edges_nm) * TICKS_PER_NM).astype(np.int64)
    edges[-1] = np.floor(edges_nm[-1] * TICKS_PER_NM) + 1
    return edges
