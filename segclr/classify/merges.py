"""Where along a segment the predicted type and the embedding change: a score for every edge of its tree.

A merge error joins two cells, so the two sides of one edge differ in more than the places along one cell do.
Both sides are averaged by path, each over its own side only (:mod:`segclr.aggregate.sides`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.aggregate.pool import aggregate
from segclr.aggregate.sides import EdgeSides, Side, edge_sides
from segclr.classify.linear import LinearClassifier
from segclr.errors import DataError, LabelError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["MergeFinder", "MergeScores", "fit_merge_finder", "js_divergence"]

_MIN_NODES = 2
"""Nodes needed on either side for a score above 0: one node is too little to tell a change from noise."""

_SHRINKAGE = 0.1
"""Share of a multiple of the identity in the within-cell covariance; 0.5 did as well."""

_PRIOR_NODES = 2.0
"""Nodes of the training cells' own variance that are added to the spread of the two sides."""

_LEAST_TYPE_CHANGE = 0.5
"""Added to the type's change (0 to 1), so that cells of one type can be told apart by embedding alone."""


class TypeClassifier(Protocol):
    """What tells types: any fitted classifier with probabilities."""

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Probabilities [n, k] of embeddings [n, d]."""
        ...


@dataclass(frozen=True, kw_only=True)
class MergeScores:
    """Change across each of the m edges of a table.

    Attributes:
        rows: int64 [m], row of the edge's lower node (the child).
        parent_rows: int64 [m], row of its parent.
        type_change: float64 [m], 0 to 1, Jensen-Shannon divergence in bits between the class probabilities
            of the two sides' mean embeddings.
        embedding_change: float64 [m], 0 or more, distance of the two means in units of the spread within
            the sides.
        n_nodes: int64 [m], nodes on the smaller side.
        score: float64 [m], 0 or more; see :meth:`MergeFinder.score`.
    """

    rows: NDArray[np.int64]
    parent_rows: NDArray[np.int64]
    type_change: NDArray[np.float64]
    embedding_change: NDArray[np.float64]
    n_nodes: NDArray[np.int64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of edges."""
        return len(self.rows)


@dataclass(frozen=True, kw_only=True)
class MergeFinder:
    """Scores edges by what changes across them.

    Attributes:
        classifier: of types, on embeddings averaged by path within ``radius_um``.
        radius_um: of the average on each side.
        center: float64 [d], mean embedding of the cells it was fitted on.
        whitening: float64 [d, d]; embeddings minus center, times this, have unit covariance within cells.
        cells: uint64 [g], segment ids of those cells; no judgement may rest on them.
    """

    classifier: TypeClassifier
    radius_um: float
    center: NDArray[np.float64]
    whitening: NDArray[np.float64]
    cells: NDArray[np.uint64]

    def score(self, table: EmbeddingTable) -> MergeScores:
        """Score every edge of every segment.

        With n_1 and n_2 nodes on the sides, d the distance of their means and v_1, v_2 their variances, all
        in whitened coordinates of k dimensions, and D the divergence of their types:

            s^2   = (n_1 v_1 + n_2 v_2 + 2 k) / (n_1 + n_2)
            score = d / s * n_1 n_2 / (n_1 + n_2) * sqrt(D + 0.5)

        An edge with fewer than 2 nodes within the radius on one side scores 0: nothing can be said.

        Raises:
            DataError: the table has no parents, they are wrong, or its embeddings are of another length.
            SkeletonError: the parents make a cycle.
        """
        length = len(self.center)
        if table.embeddings.shape[1] != length:
            msg = f"embeddings have {table.embeddings.shape[1]} numbers, the finder was fitted on {length}"
            raise DataError(msg)
        sides = edge_sides(table, radius_um=self.radius_um)
        type_change = js_divergence(self._types(sides.below), self._types(sides.above))
        white = (table.embeddings.astype(np.float64) - self.center) @ self.whitening
        change = _standardised_distance(
            edge_sides(replace(table, embeddings=white.astype(np.float32)), radius_um=self.radius_um)
        )
        n_1, n_2 = sides.below.n_nodes, sides.above.n_nodes
        score = change * (n_1 * n_2 / (n_1 + n_2)) * np.sqrt(type_change + _LEAST_TYPE_CHANGE)
        n_nodes = np.minimum(n_1, n_2)
        return MergeScores(
            rows=sides.rows,
            parent_rows=sides.parent_rows,
            type_change=type_change,
            embedding_change=change,
            n_nodes=n_nodes,
            score=np.where(n_nodes >= _MIN_NODES, score, 0.0),
        )

    def _types(self, side: Side) -> NDArray[np.float64]:
        if not len(side.means):
            return np.zeros((0, 1))
        return np.asarray(self.classifier.predict_proba(side.means), dtype=np.float64)


def fit_merge_finder(
    table: EmbeddingTable, classes: NDArray[np.str_], *, radius_um: float, penalty: float | None = None
) -> MergeFinder:
    """Learn types, and how much embeddings vary within a cell, from cells taken to be without merges.

    Args:
        table: whole cells, with parents.
        classes: str [n], type of each node's cell.
        radius_um: of the average on each side of an edge.
        penalty: inverse L2 strength of the classifier; None: chosen by cross-validation over cells.

    Raises:
        DataError: the table has no parents, they are wrong, or no cell has two nodes.
        LabelError: lengths differ, there is one type only, or one is on a single cell where C is chosen.
    """
    if len(classes) != len(table):
        msg = f"classes must name the type of each of {len(table)} nodes, got {len(classes)}"
        raise LabelError(msg)
    averaged = aggregate(table, radius_um=radius_um, metric="path")
    # not calibrated: the score was chosen with probabilities as they come (docs/merges.md)
    classifier = LinearClassifier(C=penalty, calibrate=False)
    classifier.fit(averaged.embeddings, classes, groups=table.segment_ids)
    cells, cell = np.unique(table.segment_ids, return_inverse=True)
    values = table.embeddings.astype(np.float64)
    center = values.mean(axis=0)
    return MergeFinder(
        classifier=classifier,
        radius_um=radius_um,
        center=center,
        whitening=_whitening(values - center, cell),
        cells=cells,
    )


def js_divergence(p: NDArray[np.floating], q: NDArray[np.floating]) -> NDArray[np.float64]:
    """Jensen-Shannon divergence of each two rows in bits, 0 (equal) to 1 (disjoint), float64 [n].

    Lin 1991, 10.1109/18.61115: mean divergence of the two from their mean.
    """
    one, two = (np.asarray(side, dtype=np.float64) for side in (p, q))
    middle = (one + two) / 2
    return np.clip((_relative_entropy(one, middle) + _relative_entropy(two, middle)) / 2, 0.0, 1.0)


def _relative_entropy(p: NDArray[np.float64], middle: NDArray[np.float64]) -> NDArray[np.float64]:
    there = (p > 0) & (middle > 0)  # half of the smallest number there is rounds to 0
    ratio = np.divide(p, middle, out=np.ones_like(p), where=there)
    terms: NDArray[np.float64] = (p * np.log2(ratio)).sum(axis=1)
    return terms


def _whitening(values: NDArray[np.float64], cell: NDArray[np.integer]) -> NDArray[np.float64]:
    """Lower triangular [d, d] that gives the variation about each cell's mean unit covariance."""
    n = np.bincount(cell)
    means = np.zeros((len(n), values.shape[1]))
    np.add.at(means, cell, values)
    rest = values - (means / n[:, None])[cell]
    covariance = rest.T @ rest / max(1, len(values) - len(n))
    level = float(np.trace(covariance)) / len(covariance)
    if not level > 0:
        msg = f"embeddings do not vary within any of {len(n)} cells, so no change can be measured against it"
        raise DataError(msg)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * level * np.eye(len(covariance))
    return np.asarray(np.linalg.cholesky(np.linalg.inv(shrunk)))


def _standardised_distance(sides: EdgeSides) -> NDArray[np.float64]:
    """Distance of the sides' means over their pooled spread, of whitened embeddings."""
    below, above = sides.below, sides.above
    n_nodes = below.n_nodes + above.n_nodes
    spread = below.n_nodes * below.variances + above.n_nodes * above.variances
    pooled = (spread + _PRIOR_NODES * below.means.shape[1]) / n_nodes
    return np.asarray(np.sqrt(((below.means - above.means) ** 2).sum(axis=1) / pooled))
