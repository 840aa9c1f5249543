"""Split errors: which ends of segments continue each other, by how alike the embeddings near them are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from segclr.aggregate.part import parent_rows
from segclr.aggregate.pool import aggregate
from segclr.classify.merges import MergeFinder
from segclr.errors import DataError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["Continuations", "find_continuations"]


@dataclass(frozen=True, kw_only=True)
class Continuations:
    """Pairs of ends of different segments that lie near each other.

    Attributes:
        rows: int64 [m, 2], rows of the table, the two ends; the smaller segment id first.
        gap_nm: float64 [m], straight distance of the ends.
        score: float64 [m], -1 to 1, cosine of the whitened mean embeddings near the two ends.
    """

    rows: NDArray[np.int64]
    gap_nm: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.rows)


def find_continuations(finder: MergeFinder, table: EmbeddingTable, *, max_gap_um: float) -> Continuations:
    """Score all pairs of ends of different segments within a distance.

    An end is a node with one neighbour in its tree, or none. The mean near it takes in the nodes of its
    segment within the finder's radius by path, which all lie on its side of the gap.

    Args:
        finder: gives the radius and the whitening; types are not used.
        table: whole segments, with parents.
        max_gap_um: micrometres, 0 or more.

    Raises:
        DataError: the table has no parents, they are wrong, or its embeddings are of another length.
    """
    if table.embeddings.shape[1] != len(finder.center):
        length = table.embeddings.shape[1]
        msg = f"embeddings have {length} numbers, the finder was fitted on {len(finder.center)}"
        raise DataError(msg)
    means = aggregate(table, radius_um=finder.radius_um, metric="path").embeddings
    order = np.lexsort((table.node_ids, table.segment_ids))
    ends = order[_is_end(table.take(order))]
    points = table.points_nm[ends].astype(np.float64)
    pairs = KDTree(points).query_pairs(max_gap_um * 1000.0, output_type="ndarray")
    rows = ends[np.sort(pairs, axis=1)].reshape(-1, 2)
    rows = rows[table.segment_ids[rows[:, 0]] != table.segment_ids[rows[:, 1]]]
    rows = rows[np.lexsort(np.argsort(order)[rows].T[::-1])]
    white = (means.astype(np.float64) - finder.center) @ finder.whitening
    white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    places = table.points_nm.astype(np.float64)
    return Continuations(
        rows=rows,
        gap_nm=np.linalg.norm(places[rows[:, 0]] - places[rows[:, 1]], axis=1),
        score=(white[rows[:, 0]] * white[rows[:, 1]]).sum(axis=1),
    )


def _is_end(part: EmbeddingTable) -> NDArray[np.bool_]:
    """Whether a node of a table sorted by (segment_id, node_id) has one neighbour at most."""
    _, rank = np.unique(part.segment_ids, return_inverse=True)
    parents = parent_rows(part, rank)
    neighbours = np.bincount(parents[parents >= 0], minlength=len(part)) + (parents >= 0)
    return np.asarray(neighbours <= 1)
