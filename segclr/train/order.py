"""Which pairs make a batch: a pure function of the seed and of the samples' global numbers.

Samples are numbered without end, batch after batch. So nothing needs saving, nothing is lost or seen twice
when a run is stopped and resumed, and the order is the same whatever the number of readers.

By pairs: one permutation of all pairs after another. By segments: one permutation of all segments after
another, and a segment that comes up gives the next of its own pairs, which it goes through in one
permutation after another too. Each permutation is a function of the seed and its number.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairOrder", "PairsInTurn", "SegmentsInTurn", "sample_numbers"]

_OWN_PAIRS = 1  # keeps the permutations of a segment's pairs apart from those of all segments


def sample_numbers(step: int, *, batch_pairs: int) -> NDArray[np.int64]:
    """Numbers of the samples of a step's batch, int64 [batch_pairs]."""
    return np.arange(step * batch_pairs, (step + 1) * batch_pairs, dtype=np.int64)


class PairOrder(Protocol):
    """An endless sequence of pairs."""

    def take(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the pair that each sample is, int64 [n]."""
        ...


@dataclass(frozen=True)
class PairsInTurn:
    """Every pair equally often."""

    n_pairs: int
    seed: int

    def take(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the pair that each sample is."""
        return _in_turn(samples, self.n_pairs, self.seed)


@dataclass(frozen=True, eq=False)
class SegmentsInTurn:
    """Every segment equally often, and of a segment every pair.

    Attributes:
        groups: int64 [n], the segment of each pair.
        seed: of the order.
    """

    groups: NDArray[np.int64]
    seed: int

    def take(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the pair that each sample is."""
        by_segment, first, n_pairs = self._segments
        segments = _in_turn(samples, len(first), self.seed)
        turns = samples // len(first)
        rows = np.empty(len(samples), dtype=np.int64)
        for i, (segment, turn) in enumerate(zip(segments.tolist(), turns.tolist(), strict=True)):
            round_, position = divmod(turn, int(n_pairs[segment]))
            random = np.random.default_rng([self.seed, _OWN_PAIRS, segment, round_])
            rows[i] = by_segment[first[segment] + random.permutation(n_pairs[segment])[position]]
        return rows

    @functools.cached_property
    def _segments(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows of pairs segment by segment, and of each segment its first among them and how many."""
        _, first, n_pairs = np.unique(np.sort(self.groups), return_index=True, return_counts=True)
        return np.argsort(self.groups, kind="stable"), first, n_pairs


def _in_turn(numbers: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """The ``numbers``-th entries of one permutation of n after another."""
    rounds, positions = np.divmod(numbers, n)
    taken = np.empty(len(numbers), np.int64)
    for round_ in np.unique(rounds).tolist():
        inside = rounds == round_
        taken[inside] = _permutation(n, seed, round_)[positions[inside]]
    return taken


@functools.lru_cache(maxsize=2)  # a batch lies in one round or two; making one of 10 million takes 0.3 s
def _permutation(n: int, seed: int, round_: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, round_]).permutation(n)
