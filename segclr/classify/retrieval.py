"""Retrieval: does the nearest embedding elsewhere lie on the same segment? It needs no labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from segclr.classify.bootstrap import Interval, bootstrap_interval
from segclr.errors import ConfigError, DataError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["RetrievalResult", "retrieval"]

_BLOCK_CELLS = 8_000_000  # similarities held at once, 64 MB
_TIE_DECIMALS = 12  # cosines closer than this are one value: matrix products differ in the last bits


@dataclass(frozen=True, kw_only=True)
class RetrievalResult:
    """How often the nearest embedding lies on the query's own segment.

    Attributes:
        share: share of the answered queries whose nearest candidate lies on the same segment.
        chance: share expected when each query picks one of its candidates at random.
        ceiling: share of the answered queries that have a candidate on their own segment at all.
        n_queries: answered queries.
        n_without_candidates: queries left out because no node is far enough away.
        n_segments: segments among all rows.
        n_query_segments: segments with an answered query.
        exclusion_nm: candidates closer than this were left out, in nanometres.
        share_interval: 95 % bootstrap interval of ``share`` over the segments of the queries, the candidates
            unchanged; None for fewer than two of them.
    """

    share: float
    chance: float
    ceiling: float
    n_queries: int
    n_without_candidates: int
    n_segments: int
    n_query_segments: int
    exclusion_nm: float
    share_interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        interval = None if self.share_interval is None else list(self.share_interval)
        return asdict(self) | {"share_interval": interval}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What :meth:`to_dict` made plain; other keys are passed over."""
        known = {name: values[name] for name in cls.__dataclass_fields__}
        interval = known["share_interval"]
        return cls(**known | {"share_interval": None if interval is None else tuple(interval)})


def retrieval(table: EmbeddingTable, *, exclusion_nm: float, seed: int = 0) -> RetrievalResult:
    """For every node, take the cosine-nearest other node at least ``exclusion_nm`` away in space.

    Exact, in blocks of bounded memory; equal similarities go to the lowest (segment_id, node_id), so
    the order of rows does not matter. An embedding of zeros has no direction: its cosine with all is 0.

    Args:
        table: all rows are queries and candidates, so pass held-out segments only.
        exclusion_nm: Euclidean distance, finite, 0 or more; a node is never its own candidate.
        seed: of the bootstrap.

    Raises:
        ConfigError: ``exclusion_nm`` is not finite or below 0.
        DataError: points or embeddings are not finite, or no query has a candidate.
    """
    if not (math.isfinite(exclusion_nm) and exclusion_nm >= 0):
        msg = f"exclusion_nm must be finite and 0 or more, got {exclusion_nm}"
        raise ConfigError(msg)
    table = table.take(np.lexsort((table.node_ids, table.segment_ids)))
    directions = _directions(table)
    points = table.points_nm.astype(np.float64)
    tree = KDTree(points) if len(table) else None
    _, segment, sizes = np.unique(table.segment_ids, return_inverse=True, return_counts=True)
    n = len(table)
    hit, n_candidates, n_own = np.zeros(n, bool), np.full(n, n), sizes[segment]
    block = max(1, _BLOCK_CELLS // max(n, 1))
    for start in range(0, n, block):
        rows = np.arange(start, min(start + block, n))
        query, left_out = _too_close(tree, points[rows], rows, exclusion_nm=exclusion_nm)
        n_candidates[rows] -= np.bincount(query, minlength=len(rows))
        own = segment[left_out] == segment[rows[query]]
        n_own[rows] -= np.bincount(query[own], minlength=len(rows))
        cosine = (directions[rows] @ directions.T).round(_TIE_DECIMALS)
        cosine[query, left_out] = -np.inf
        hit[rows] = segment[cosine.argmax(axis=1)] == segment[rows]
    answered = n_candidates > 0
    if not answered.any():
        msg = f"none of {n} nodes has another node at least {exclusion_nm} nm away; nothing to retrieve"
        raise DataError(msg)
    queries = np.column_stack([hit, np.ones(n, bool)])[answered]
    asked, of_segment = np.unique(segment[answered], return_inverse=True)
    counts = np.zeros((len(asked), 2), dtype=np.int64)
    np.add.at(counts, of_segment, queries)
    return RetrievalResult(
        share=float(hit[answered].mean()),
        chance=float((n_own[answered] / n_candidates[answered]).mean()),
        ceiling=float((n_own[answered] > 0).mean()),
        n_queries=int(answered.sum()),
        n_without_candidates=int((~answered).sum()),
        n_segments=len(sizes),
        n_query_segments=len(asked),
        exclusion_nm=float(exclusion_nm),
        share_interval=bootstrap_interval(counts, lambda sums: sums[:, 0] / sums[:, 1], seed=seed),
    )


def _directions(table: EmbeddingTable) -> NDArray[np.float64]:
    """Embeddings at length 1, or 0 where they are zero, float64 [n, d]."""
    vectors = table.embeddings.astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~(np.isfinite(norms) & np.isfinite(table.points_nm).all(axis=1)))
    if len(bad):
        msg = (
            f"{len(bad)} of {len(table)} rows have an embedding or point that is not finite, such as node "
            f"{table.node_ids[bad[0]]} of segment {table.segment_ids[bad[0]]}"
        )
        raise DataError(msg)
    return vectors / np.where(norms > 0, norms, 1.0)[:, None]


def _too_close(
    tree: KDTree, points: NDArray[np.float64], rows: NDArray[np.int64], *, exclusion_nm: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (query within the block, row) that are no candidates: too close, or the query itself."""
    reach = exclusion_nm * (1.0 + 1e-9)
    near = KDTree(points).sparse_distance_matrix(tree, reach, output_type="ndarray")
    itself = rows[near["i"]] == near["j"]
    near = near[(near["v"] < exclusion_nm) & ~itself]
    query = np.concatenate([np.arange(len(rows)), near["i"]])
    return query, np.concatenate([rows, near["j"]])
