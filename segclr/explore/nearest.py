"""The k nearest rows of each query, exactly, in bounded memory.

Tiles of the table of queries by rows are filled by a float32 matrix product with numbers that are never below
the exact ones (:mod:`segclr.explore.measures`). Only pairs whose quick number reaches the query's k-th
best exact number so far are computed exactly, in float64; all others cannot be among the k nearest. So
the answer is that of float64 brute force, whatever float32 rounds and however the table is cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.explore.filters import Filters
from segclr.explore.measures import Measure

__all__ = ["nearest"]

_QUERIES = 256
_CELLS = 1 << 21  # quick numbers held at once, 8 MB
_ROWS = 1 << 16  # however few queries: 17 MB at 64 dimensions where rows are picked
_PAIRS = 1 << 15  # pairs computed exactly at once: 17 MB at 64 dimensions
_MANY = (
    64  # promising pairs a query, beyond a few times k, that make it worth while to look for the k best first
)


def nearest(
    measure: Measure,
    queries: NDArray[np.float64],
    k: int,
    *,
    candidates: NDArray[np.int64],
    rank: NDArray[np.int64],
    filters: Filters,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows and exact numbers of the nearest, best first.

    Args:
        measure: with its rows [n].
        queries: [m, d], finite.
        k: how many.
        candidates: the rows that are searched, increasing.
        rank: of each of the n rows, among ties the lowest comes first.
        filters: which of the candidates may answer which query.

    Returns:
        int64 [m, k] rows, -1 where there is no hit, and float64 [m, k], -inf there.
    """
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    values = np.full((len(queries), k), -np.inf)
    buffer = np.empty(_CELLS, dtype=np.float32)
    for begin in range(0, len(queries), _QUERIES):
        asked = np.arange(begin, min(begin + _QUERIES, len(queries)))
        prepared = measure.prepare(queries[asked])
        quick = measure.quick_queries(prepared)
        best = _Best(rows[asked], values[asked])
        at_once = min(_ROWS, _CELLS // len(asked))
        for start in range(0, len(candidates), at_once):
            block = candidates[start : start + at_once]
            of_all = len(candidates) == len(rank)
            quick_rows = measure.quick_rows[slice(start, start + at_once) if of_all else block]
            upper = buffer[: len(asked) * len(block)].reshape(len(asked), len(block))
            with np.errstate(over="ignore", invalid="ignore"):
                np.matmul(quick, quick_rows.T, out=upper)
            tile = _Tile(measure, filters, asked, prepared, block, upper)
            for pairs in tile.promising(best.values[:, -1], k):
                best = best.merged(*pairs, rank=rank)
        rows[asked], values[asked] = best.rows, best.values
    return rows, values


@dataclass(frozen=True)
class _Tile:
    """Numbers of some queries [b] and their vectors [b, d], some rows [c], quick numbers [b, c]."""

    measure: Measure
    filters: Filters
    asked: NDArray[np.int64]
    prepared: NDArray[np.float64]
    block: NDArray[np.int64]
    upper: NDArray[np.float32]

    def promising(
        self, threshold: NDArray[np.float64], k: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        """Pairs that may be among the k best: query within the tile, row, exact number; some at a time."""
        reach = self._reach(threshold)
        if np.count_nonzero(reach) > len(self.asked) * (4 * k + _MANY):
            reach = self._reach(np.maximum(threshold, self._kth(k)))
        query, column = np.divmod(np.flatnonzero(reach), len(self.block))  # quicker than nonzero of two axes
        for begin in range(0, len(query), _PAIRS):
            q, row = query[begin : begin + _PAIRS], self.block[column[begin : begin + _PAIRS]]
            allowed = self.filters.allow(self.asked[q], row)
            q, row = q[allowed], row[allowed]
            yield q, row, self.measure.exact(self.prepared[q], row)

    def _reach(self, threshold: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whose quick number reaches a threshold, rounded down; NaN, where float32 overflows, does."""
        with np.errstate(over="ignore"):
            below = np.nextafter(threshold.astype(np.float32), np.float32(-np.inf))
        return ~(self.upper < below[:, None])

    def _kth(self, k: int) -> NDArray[np.float64]:
        """For each query a number that k allowed rows reach, float64 [b]; -inf where fewer are allowed."""
        kth = np.full(len(self.asked), -np.inf)
        if len(self.block) < k:
            return kth
        allowed = self.filters.allow(self.asked[:, None], self.block[None, :])
        upper = np.where(allowed, self.upper, -np.inf)
        columns = np.argpartition(upper, len(self.block) - k, axis=1)[:, len(self.block) - k :]
        enough = np.flatnonzero(allowed.sum(axis=1) >= k)
        at_once = max(1, _PAIRS // k)
        for begin in range(0, len(enough), at_once):
            q = enough[begin : begin + at_once]
            row = self.block[columns[q].ravel()]
            kth[q] = self.measure.exact(self.prepared[np.repeat(q, k)], row).reshape(len(q), k).min(axis=1)
        return kth


@dataclass(frozen=True)
class _Best:
    """The best so far: rows [b, k], -1 where there is none, and exact numbers [b, k], -inf there."""

    rows: NDArray[np.int64]
    values: NDArray[np.float64]

    def merged(
        self,
        query: NDArray[np.int64],
        row: NDArray[np.int64],
        value: NDArray[np.float64],
        *,
        rank: NDArray[np.int64],
    ) -> _Best:
        """The best of these and of some other pairs; ties by rank."""
        n_queries, k = self.rows.shape
        known = self.rows >= 0
        query = np.concatenate([np.nonzero(known)[0], query])
        row, value = np.concatenate([self.rows[known], row]), np.concatenate([self.values[known], value])
        order = np.lexsort((rank[row], -value, query))
        query, row, value = query[order], row[order], value[order]
        place = np.arange(len(query)) - np.searchsorted(query, query)
        kept = place < k
        query, place = query[kept], place[kept]
        rows, values = np.full((n_queries, k), -1, dtype=np.int64), np.full((n_queries, k), -np.inf)
        rows[query, place], values[query, place] = row[kept], value[kept]
        return _Best(rows, values)
