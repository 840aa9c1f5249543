"""How near two embeddings are: exactly, and quickly by a number that is never below the exact one.

The exact number is a sum of float64 products of one pair. The quick one is a float32 matrix product of two
longer vectors, whose additional entries add a bound of what float32 can be wrong by, so that

    quick(query, row) >= exact(query, row)

and whoever looks for the nearest rows needs the exact number of few. The bound is the usual one of a sum of
n products, whatever their order: n u sum |a_i b_i| with u = 2**-24 (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, equation 3.5), n large enough for the rounding of the entries themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cosine", "Euclidean", "Measure", "SearchMetric", "measure_of"]

SearchMetric = Literal["cosine", "euclidean"]

_UNIT = 2.0**-24  # of rounding to float32
_SPARE = 16  # roundings of a pair that are no additions of its sum: at most 6, counted generously
_BLOCK = 1 << 14
_TINY = 1e-30  # products that underflow: below 1e-36 all together


class Measure(Protocol):
    """One way to compare rows with queries; larger is nearer.

    Attributes:
        quick_rows: float32 [n, q], the rows for the matrix product.
    """

    quick_rows: NDArray[np.float32]

    def prepare(self, queries: NDArray[np.float64]) -> NDArray[np.float64]:
        """Queries [m, d] as ``exact`` takes them, float64 [m, d]."""

    def quick_queries(self, prepared: NDArray[np.float64]) -> NDArray[np.float32]:
        """Prepared queries for the matrix product, float32 [m, q]."""

    def exact(self, prepared: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The exact number of each pair: of a prepared query [p, d] with a row [p]. float64 [p]."""

    def answer(self, exact: NDArray[np.float64]) -> NDArray[np.float32]:
        """What users get to see, float32."""


class Cosine:
    """Cosine similarity; embeddings of zeros have no direction, and similarity 0 with all."""

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        """Of rows float32 [n, d], finite."""
        n, d = embeddings.shape
        self._embeddings, self._lengths = embeddings, np.empty(n)
        self.quick_rows = np.empty((n, d + 1), dtype=np.float32)
        self.quick_rows[:, d] = (d + _SPARE) * _UNIT + _TINY
        for block in _blocks(n):
            rows = embeddings[block].astype(np.float64)
            lengths = np.linalg.norm(rows, axis=1)
            self._lengths[block] = np.where(lengths > 0, lengths, 1.0)
            self.quick_rows[block, :d] = rows / self._lengths[block, None]

    def prepare(self, queries: NDArray[np.float64]) -> NDArray[np.float64]:
        """Directions; none of the queries is zero."""
        return queries / np.linalg.norm(queries, axis=1)[:, None]

    def quick_queries(self, prepared: NDArray[np.float64]) -> NDArray[np.float32]:
        """With an entry of 1 for the bound."""
        return np.column_stack([prepared, np.ones(len(prepared))]).astype(np.float32)

    def exact(self, prepared: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cosine, summed in an order that does not depend on the other pairs."""
        directions = self._embeddings[rows] / self._lengths[rows, None]
        return (prepared * directions).sum(axis=1)

    def answer(self, exact: NDArray[np.float64]) -> NDArray[np.float32]:
        """The cosine."""
        return np.clip(exact, -1, 1).astype(np.float32)


class Euclidean:
    """Minus the squared Euclidean distance, in units in which no entry of a row is over 1 from the mean."""

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        """Of rows float32 [n, d], finite."""
        n, d = embeddings.shape
        self._embeddings = embeddings
        self._mean = embeddings.mean(axis=0, dtype=np.float64)
        largest = max(np.abs(embeddings[block] - self._mean).max() for block in _blocks(n))
        # a power of two: it scales without rounding
        self._unit = float(2.0 ** np.ceil(np.log2(largest))) if largest > 0 else 1.0
        # |q - x|^2 = |q|^2 + |x|^2 - 2 q.x, wrong by at most c (|q| + |x|)^2
        c = self._bound = (d + _SPARE) * _UNIT
        self.quick_rows = np.empty((n, d + 3), dtype=np.float32)
        for block in _blocks(n):
            shifted = (embeddings[block] - self._mean) / self._unit
            squares = np.square(shifted).sum(axis=1)
            self.quick_rows[block, :d] = 2 * shifted
            self.quick_rows[block, d] = (c - 1) * squares + _TINY
            self.quick_rows[block, d + 1] = 2 * c * np.sqrt(squares)
            self.quick_rows[block, d + 2] = 1

    def prepare(self, queries: NDArray[np.float64]) -> NDArray[np.float64]:
        """As they are."""
        return queries

    def quick_queries(self, prepared: NDArray[np.float64]) -> NDArray[np.float32]:
        """Shifted and scaled as the rows; infinite, and so above all, where float32 holds no such numbers."""
        shifted = (prepared - self._mean) / self._unit
        squares = np.square(shifted).sum(axis=1)
        more = [np.ones(len(shifted)), np.sqrt(squares), (self._bound - 1) * squares]
        with np.errstate(over="ignore"):
            quick = np.column_stack([shifted, *more]).astype(np.float32)
        quick[~np.isfinite(quick).all(axis=1)] = np.inf
        return quick

    def exact(self, prepared: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Minus the squared distance, summed in an order that does not depend on the other pairs."""
        return -np.square((prepared - self._embeddings[rows]) / self._unit).sum(axis=1)

    def answer(self, exact: NDArray[np.float64]) -> NDArray[np.float32]:
        """The distance; infinite where float32 holds no such number."""
        with np.errstate(over="ignore"):
            return (np.sqrt(-exact) * self._unit).astype(np.float32)


def measure_of(metric: SearchMetric, embeddings: NDArray[np.float32]) -> Measure:
    """The measure of a name."""
    return Cosine(embeddings) if metric == "cosine" else Euclidean(embeddings)


def _blocks(n: int) -> Iterator[slice]:
    """So many rows at once that float64 copies of them stay small."""
    return (slice(begin, begin + _BLOCK) for begin in range(0, n, _BLOCK))
