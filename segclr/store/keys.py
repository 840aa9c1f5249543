"""Nodes by their keys, (segment_id, node_id): which of them two tables have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KEY_COLUMNS", "Comparison", "compare_keys", "find_keys", "keys_of"]

KEY_COLUMNS = ("segment_id", "node_id")
_KEY = np.dtype([("segment", np.uint64), ("node", np.uint32)])


def keys_of(columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """One structured value a row, which sorts by segment, then node.

    >>> keys_of({"segment_id": np.array([2**63], np.uint64), "node_id": np.array([7], np.uint32)}).tolist()
    [(9223372036854775808, 7)]
    """
    keys = np.empty(len(columns["segment_id"]), dtype=_KEY)
    keys["segment"], keys["node"] = columns["segment_id"], columns["node_id"]
    return keys


def find_keys(keys: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """Row of each wanted key among sorted ones, int64 [n]; -1 where it is not there."""
    if not len(keys):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)


@dataclass(frozen=True)
class Comparison:
    """How the rows of a table fit those that were wanted; sums over parts of the tables.

    Attributes:
        n_wanted: keys wanted.
        n_found: rows of the table.
        n_missing: wanted keys without a row.
        n_doubled: rows beyond the first of a key.
        n_foreign: keys of the table that nobody wanted.
    """

    n_wanted: int = 0
    n_found: int = 0
    n_missing: int = 0
    n_doubled: int = 0
    n_foreign: int = 0

    def __add__(self, other: Comparison) -> Comparison:
        """Both together."""
        return Comparison(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def is_equal(self) -> bool:
        """Every wanted key has exactly one row."""
        return not (self.n_missing or self.n_doubled or self.n_foreign)


def compare_keys(wanted: NDArray[Any], found: NDArray[Any]) -> Comparison:
    """Compare keys in any order; those wanted come once each."""
    wanted, unique = np.sort(wanted), np.unique(found)
    return Comparison(
        n_wanted=len(wanted),
        n_found=len(found),
        n_missing=int((find_keys(unique, wanted) < 0).sum()),
        n_doubled=len(found) - len(unique),
        n_foreign=int((find_keys(wanted, unique) < 0).sum()),
    )
