"""Positive pairs: two nodes of one tree, drawn with equal probability over bins of path distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.config import PairConfig
from segclr.data.nodes import NodeTable, path_from_root_nm
from segclr.data.skeleton import edge_lengths_nm
from segclr.errors import DataError

__all__ = ["PairTable", "distances_from_node_nm", "sample_pairs"]


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


def distances_from_node_nm(
    node: int, *, points_nm: NDArray[np.floating[Any]], parents: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Path from one node to every node of its segment, float64 [n]; infinite to other trees.

    ``d(a, b) = r(a) + r(b) - 2 r(lowest common ancestor)``, r being the path to the root. Nodes must be
    numbered with parents before children.
    """
    from_root = path_from_root_nm(points_nm, parents)
    meeting = np.full(len(parents), -np.inf)  # r of the lowest common ancestor with `node`
    ancestor = node
    while ancestor >= 0:
        meeting[ancestor] = from_root[ancestor]
        ancestor = int(parents[ancestor])
    for i, parent in enumerate(parents):
        if parent >= 0 and meeting[i] == -np.inf:
            meeting[i] = meeting[parent]
    return from_root[node] + from_root - 2 * meeting


def sample_pairs(nodes: NodeTable, config: PairConfig, *, held_out: set[int], seed: int) -> PairTable:
    """Draw ``config.n_pairs`` pairs over all segments of at least two nodes.

    A segment is drawn with probability proportional to its cable length to ``length_power``; then an
    anchor node uniformly among those with a partner, a bin of path distance uniformly among those that
    hold one, and the partner uniformly within it. A segment's draws depend on the seed and its id only.

    Args:
        nodes: sorted by (segment_id, node_id), whole segments.
        config: number, distances, bins.
        held_out: segment ids kept from training.
        seed: of the draws.

    Raises:
        DataError: no segment has two nodes within the distances.
    """
    segments = [(s, rows) for s, rows in nodes.segments() if rows.stop - rows.start > 1]
    lengths = np.array([edge_lengths_nm(nodes.points_nm[r], nodes.parents[r]).sum() for _, r in segments])
    long_enough = (lengths > 0) & (lengths >= config.min_distance_nm)
    weights = np.where(long_enough, lengths, 0.0) ** config.length_power * long_enough
    if not weights.sum() > 0:
        msg = (
            f"no pair can be drawn: {len(segments)} segments have two nodes or more, the longest cable is "
            f"{lengths.max(initial=0):.0f} nm, pairs.min_distance_nm is {config.min_distance_nm:g}"
        )
        raise DataError(msg)
    counts = _shares(weights, config.n_pairs)
    drawn = [
        _sample_in_segment(
            nodes.take(np.arange(rows.start, rows.stop)),
            config,
            n_pairs=int(n),
            held_out=s in held_out,
            seed=seed,
        )
        for (s, rows), n in zip(segments, counts, strict=True)
        if n
    ]
    if not any(len(d) for d in drawn):
        msg = (
            f"no pair can be drawn: no node has a partner from pairs.min_distance_nm "
            f"{config.min_distance_nm:g} to pairs.max_distance_nm {config.max_distance_nm:g} of path"
        )
        raise DataError(msg)
    names = ("segment_ids", "nodes_a", "nodes_b", "distances_nm", "held_out")
    return PairTable(**{k: np.concatenate([getattr(d, k) for d in drawn]) for k in names})


def _shares(weights: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Split n by weights into whole numbers, the largest remainders rounded up."""
    exact = weights / weights.sum() * n
    counts = np.floor(exact).astype(np.int64)
    rest = np.argsort(counts - exact, kind="stable")[: n - counts.sum()]
    counts[rest] += 1
    return counts


def _sample_in_segment(
    nodes: NodeTable, config: PairConfig, *, n_pairs: int, held_out: bool, seed: int
) -> PairTable:
    """Pairs of one segment, fewer than asked for only where no node has a partner in range."""
    segment_id = int(nodes.segment_ids[0])
    random = np.random.default_rng([seed, segment_id & 0xFFFFFFFF, segment_id >> 32])
    width = (config.max_distance_nm - config.min_distance_nm) / config.n_bins
    found: list[tuple[int, int, float]] = []
    memory: dict[int, NDArray[np.float64]] = {}
    anchors = np.arange(len(nodes))
    while len(found) < n_pairs and len(anchors):
        anchor = int(random.choice(anchors))
        if anchor not in memory:
            memory[anchor] = distances_from_node_nm(anchor, points_nm=nodes.points_nm, parents=nodes.parents)
        distance = memory[anchor]
        allowed = (distance >= config.min_distance_nm) & (distance <= config.max_distance_nm)
        allowed[anchor] = False
        partners = np.flatnonzero(allowed)
        if not len(partners):
            anchors = anchors[anchors != anchor]
            continue
        bins = np.minimum((distance[partners] - config.min_distance_nm) // width, config.n_bins - 1)
        partner = random.choice(partners[bins == random.choice(np.unique(bins))])
        found.append((anchor, int(partner), float(distance[partner])))
    return PairTable(
        segment_ids=np.full(len(found), segment_id, dtype=np.uint64),
        nodes_a=np.array([a for a, _, _ in found], dtype=np.uint32),
        nodes_b=np.array([b for _, b, _ in found], dtype=np.uint32),
        distances_nm=np.array([d for _, _, d in found], dtype=np.float32),
        held_out=np.full(len(found), held_out, dtype=bool),
    )
