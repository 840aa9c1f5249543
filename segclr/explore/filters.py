"""Which rows may answer which query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.errors import ConfigError, DataError

__all__ = ["Filters", "check_ids", "check_places"]

_FURTHEST_NM = 1e18  # a million kilometres; its square is still a number


@dataclass(frozen=True, kw_only=True, eq=False)
class Filters:
    """What holds for a pair of query and row; a filter that is None lets all pass.

    Attributes:
        segment_ids: uint64 [n], of the rows.
        points_nm: float32 [n, 3], of the rows.
        other_than: uint64 [m], segment of each query on which no hit may lie.
        away_from_nm: float64 [m, 3], place of each query.
        min_distance_nm: from that place, Euclidean; this far is far enough.
        not_row: int64 [m], the row of each query itself.
    """

    segment_ids: NDArray[np.uint64]
    points_nm: NDArray[np.float32]
    other_than: NDArray[np.uint64] | None = None
    away_from_nm: NDArray[np.float64] | None = None
    min_distance_nm: float = 0.0
    not_row: NDArray[np.int64] | None = None

    def allow(self, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each row may answer, of the shape to which queries and rows broadcast."""
        allowed = np.ones(np.broadcast_shapes(queries.shape, rows.shape), dtype=bool)
        if self.not_row is not None:
            allowed &= self.not_row[queries] != rows
        if self.other_than is not None:
            allowed &= self.other_than[queries] != self.segment_ids[rows]
        if self.away_from_nm is not None:
            squared: Any = 0.0
            for axis in range(3):  # one axis at a time: three times less memory
                squared = squared + np.square(
                    self.points_nm[rows, axis].astype(np.float64) - self.away_from_nm[queries, axis]
                )
            allowed &= squared >= self.min_distance_nm**2
        return allowed


def check_ids(ids: NDArray[np.uint64], name: str, n: int | None = None) -> NDArray[np.uint64]:
    """Ids as they came, uint64 [n], or of any number.

    Raises:
        DataError: they are of another type or number.
    """
    given = np.asarray(ids)
    if given.dtype != np.uint64 or given.ndim != 1 or n not in (None, len(given)):
        shape = "[s]" if n is None else f"[{n}]"
        msg = f"{name} must be uint64 {shape}, got {given.dtype} {list(given.shape)}"
        raise DataError(msg)
    return given


def check_places(
    away_from_nm: ArrayLike | None, min_distance_nm: float, n: int
) -> NDArray[np.float64] | None:
    """Places of n queries, float64 [n, 3], where a distance from them is asked for.

    Raises:
        ConfigError: the distance is out of range, or one of the two stands without the other.
        DataError: places are not finite, or of another number.
    """
    if not 0 <= min_distance_nm <= _FURTHEST_NM:
        msg = f"min_distance_nm must be from 0 to {_FURTHEST_NM:g}, got {min_distance_nm}"
        raise ConfigError(msg)
    if (away_from_nm is None) != (min_distance_nm == 0):
        msg = "away_from_nm and a min_distance_nm above 0 go together"
        raise ConfigError(msg)
    if away_from_nm is None:
        return None
    places = np.asarray(away_from_nm, dtype=np.float64)
    if places.shape != (n, 3) or not np.isfinite(places).all():
        msg = f"away_from_nm must be finite and [{n}, 3], got {places.shape}"
        raise DataError(msg)
    return places
