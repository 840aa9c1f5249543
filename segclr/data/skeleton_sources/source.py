"""What every source of skeletons offers, and the unit its numbers are in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.data.skeleton import Skeleton
from segclr.errors import ConfigError

__all__ = ["SkeletonBatch", "SkeletonSource", "Unit", "is_segment_id"]


@dataclass(frozen=True)
class SkeletonBatch:
    """What a source answers for a list of segments.

    Attributes:
        skeletons: those there are, in the order asked for.
        absent: uint64 [k], ids the source has no skeleton of, in the order asked for.
        counts: what the source left out of the skeletons on the way, by name.
    """

    skeletons: tuple[Skeleton, ...]
    absent: NDArray[np.uint64]
    counts: Mapping[str, int] = field(default_factory=dict)


class SkeletonSource(Protocol):
    """A place skeletons come from."""

    @property
    def url(self) -> str:
        """Where the source was opened."""
        ...

    def segment_ids(self) -> NDArray[np.uint64]:
        """Ids of all segments with a skeleton, sorted.

        Raises:
            SkeletonError: the source cannot list them.
        """
        ...

    def read(self, segment_ids: NDArray[np.uint64]) -> SkeletonBatch:
        """Skeletons of some segments.

        Raises:
            SkeletonError: a skeleton is not a forest, or its file is malformed.
            CorruptDataError: a file is damaged.
        """
        ...


@dataclass(frozen=True)
class Unit:
    """How many nm one unit of a source's coordinates is, (x, y, z).

    Raises:
        ConfigError: not one or three finite numbers above 0.
    """

    nm: tuple[float, float, float]

    @staticmethod
    def of(value: float | tuple[float, float, float]) -> Unit:
        """From one number for all axes, or one for each of (x, y, z)."""
        sizes = np.broadcast_to(np.asarray(value, dtype=np.float64), 3) if np.size(value) in (1, 3) else None
        if sizes is None or not (np.isfinite(sizes).all() and (sizes > 0).all()):
            msg = f"unit_nm must be one number above 0 or three (x, y, z), got {value}"
            raise ConfigError(msg)
        x, y, z = sizes.tolist()
        return Unit((x, y, z))

    def points_nm(self, points: ArrayLike) -> NDArray[np.float64]:
        """Coordinates [n, 3] in nm."""
        return np.asarray(points, dtype=np.float64).reshape(-1, 3) * np.asarray(self.nm)

    def radii_nm(self, radii: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Radii [n] in nm, by the geometric mean of the three axes; NaN where not above 0: unknown."""
        scaled = np.asarray(radii, dtype=np.float64) * float(np.cbrt(np.prod(self.nm)))
        return np.where(scaled > 0, scaled, np.nan)


def is_segment_id(name: str) -> bool:
    """Whether a file's name is a segment id: 1 to 2**64 - 1, without leading zeros."""
    return name.isascii() and name.isdigit() and name[0] != "0" and int(name) < 2**64
