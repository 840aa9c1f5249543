"""The neighbourhood of every node: a mean of embeddings, plain, by distance or learned, and their spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from segclr.aggregate.attention import AttentionPooling
from segclr.aggregate.part import Part, check_reach, sorted_rows
from segclr.aggregate.sums import Sums, UseSums
from segclr.config import Metric, Weighting
from segclr.errors import ConfigError
from segclr.store.embeddings import EmbeddingTable

__all__ = ["aggregate"]

_SPAN_ROWS = 1_000_000  # rows whose float64 copy is held at once; a longer segment is one span


def aggregate(
    table: EmbeddingTable,
    *,
    radius_um: float,
    metric: Metric = "euclidean",
    weighting: Weighting | AttentionPooling = "uniform",
    spread: bool = False,
    threads: int = 1,
) -> EmbeddingTable:
    """Average embeddings over the nodes of the same segment within a radius.

    One row per input node, in input order: the mean over nodes at most ``radius_um`` away, itself
    included. Radius 0 averages nodes at the very same place. Sums run in float64 over nodes sorted by
    id, so the answer does not depend on the order of rows or on which segments stand in one table.

    Args:
        table: nodes of any number of whole segments; ``(segment_id, node_id)`` is unique.
        radius_um: micrometres, finite, 0 or more.
        metric: "euclidean", a straight line; "path", the sum of edge lengths along ``parents``, where
            nodes of another tree are infinitely far.
        weighting: of the nodes in the mean. "uniform"; "gaussian", exp(-d^2 / (2 sigma^2)) of the distance d
            with sigma = radius / 2, which is 0.14 at the radius; or a learned pooling.
        spread: also the standard deviation of the neighbours' embeddings, dimension by dimension (of the
            n_nodes themselves: divided by their number; 0 for one node alone), whatever the weighting.
        threads: that sum straight-line neighbourhoods without weights by distance; the answer is the same.

    Returns:
        The table with averaged ``embeddings`` and ``n_nodes``, int32 [n], the nodes in each mean; with
        ``spread``, float32 [n, d], if that was asked for.

    Raises:
        ConfigError: the radius, the metric, the weighting or the number of threads is not an allowed one.
        DataError: ids repeat, points or embeddings are not finite, a parent does not exist, parents
            make a cycle, or ``metric="path"`` without parents, or a pooling for another dimension.
    """
    check_reach(radius_um, metric)
    _check_options(weighting, threads)
    order = sorted_rows(table, metric)
    means = np.empty_like(table.embeddings)
    counts = np.empty(len(table), dtype=np.int32)
    deviations = np.empty_like(table.embeddings) if spread else None
    for rows in _spans(order, table.segment_ids):
        whole = len(rows) == len(table) and bool((rows[1:] > rows[:-1]).all())
        part = Part.of(table if whole else table.take(rows), radius_nm=radius_um * 1000.0, metric=metric)

        def use(found: Sums, rows: NDArray[np.intp] = rows) -> None:
            means[rows[found.rows]] = found.sums.astype(np.float32)
            counts[rows[found.rows]] = found.n_nodes

        _means(part, weighting, threads=threads, use=use)
        if deviations is not None:
            deviations[rows] = _deviations(part, threads=threads)
    return replace(table, embeddings=means, n_nodes=counts, spread=deviations)


def _means(part: Part, weighting: Weighting | AttentionPooling, *, threads: int, use: UseSums) -> None:
    """Call ``use`` with means in the place of sums."""
    embeddings = part.table.embeddings

    def values(nodes: NDArray[np.int64]) -> NDArray[np.float64]:
        return embeddings[nodes].astype(np.float64)

    def share(found: Sums) -> None:
        use(replace(found, sums=found.sums[:, :-1] / found.sums[:, -1:]))

    if isinstance(weighting, AttentionPooling):
        weights = weighting.weights  # by its score alone, so a plain sum of weighed values

        def weighed(nodes: NDArray[np.int64]) -> NDArray[np.float64]:
            each = weights(embeddings[nodes])[:, None]
            return np.hstack([values(nodes) * each, each])

        part.sums(weighed, threads=threads, use=share)
    elif weighting == "gaussian":
        for means in _gaussian_means(part, values(np.arange(len(embeddings)))):
            use(means)
    else:
        part.sums(values, threads=threads, use=lambda s: use(replace(s, sums=s.sums / s.n_nodes[:, None])))


def _gaussian_means(part: Part, values: NDArray[np.float64]) -> Iterator[Sums]:
    for block in part.neighbours():
        share = 2.0 * (block.distances_nm / part.radius_nm) if part.radius_nm else block.distances_nm
        matrix = block.matrix
        weights = csr_array((np.exp(-0.5 * share * share), matrix.indices, matrix.indptr), matrix.shape)
        means = (weights @ values) / np.add.reduceat(weights.data, weights.indptr[:-1])[:, None]
        n_nodes = np.diff(weights.indptr).astype(np.int32)
        yield Sums(np.arange(block.rows.start, block.rows.stop), means, n_nodes)


def _deviations(part: Part, *, threads: int) -> NDArray[np.float32]:
    """E[x^2] - E[x]^2 with x taken from the segment's mean, which keeps the difference from cancelling."""
    embeddings, rank, d = part.table.embeddings, part.rank, part.table.embeddings.shape[1]
    begins = np.flatnonzero(np.diff(rank, prepend=-1))
    number = np.diff(np.append(begins, len(rank)))[:, None]
    middle = np.add.reduceat(embeddings, begins, axis=0, dtype=np.float64) / number
    answer = np.empty_like(embeddings)

    def moments(nodes: NDArray[np.int64]) -> NDArray[np.float64]:
        centred = embeddings[nodes] - middle[rank[nodes]]
        return np.hstack([centred, centred * centred])

    def use(found: Sums) -> None:
        means = found.sums / found.n_nodes[:, None]
        variance = np.maximum(means[:, d:] - means[:, :d] ** 2, 0.0)
        variance[found.n_nodes == 1] = 0.0
        answer[found.rows] = np.sqrt(variance).astype(np.float32)

    part.sums(moments, threads=threads, use=use)
    return answer


def _check_options(weighting: str | AttentionPooling, threads: int) -> None:
    if not isinstance(weighting, AttentionPooling) and weighting not in get_args(Weighting):
        msg = f"weighting must be {', '.join(get_args(Weighting))} or an AttentionPooling, got {weighting!r}"
        raise ConfigError(msg)
    if threads < 1:
        msg = f"threads must be 1 or more, got {threads}"
        raise ConfigError(msg)


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
