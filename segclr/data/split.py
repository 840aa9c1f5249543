"""Which segments are held out from training: decided once for a run, by segment, never by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.errors import DataError

__all__ = ["hold_out_segments"]


def hold_out_segments(
    segment_ids: NDArray[np.uint64], *, share: float, seed: int, strata: Sequence[Any] | None = None
) -> set[int]:
    """Draw a share of the segments at random, within each stratum where strata are given.

    Args:
        segment_ids: uint64 [n], each once.
        share: of each stratum, rounded to whole segments, at least one where there are two.
        seed: of the draw.
        strata: class of each segment.

    Raises:
        DataError: fewer than two segments, so that none could be on one side.
    """
    ids = np.asarray(segment_ids, dtype=np.uint64)
    if len(ids) < 2:
        msg = f"{len(ids)} segments cannot be split into training and held-out ones; at least 2 are needed"
        raise DataError(msg)
    order = np.argsort(ids)
    random = np.random.default_rng([seed, 0x5117])
    groups = np.zeros(len(ids), dtype=object) if strata is None else np.asarray(strata, dtype=object)
    chosen: set[int] = set()
    for group in sorted(set(groups.tolist()), key=str):
        members = [int(ids[i]) for i in order if groups[i] == group]
        n = min(max(round(share * len(members)), int(len(members) > 1)), len(members) - 1)
        chosen |= {members[i] for i in random.permutation(len(members))[:n]}
    return chosen
