"""Which segments are held out from training: decided once for a run, by segment, never by node."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segclr.errors import DataError

__all__ = ["hold_out_segments"]


def hold_out_segments(
    segment_ids: NDArray[np.uint64], *, share: float, seed: int, strata: NDArray[Any] | None = None
) -> NDArray[np.bool_]:
    """Draw a share of the segments at random, within each stratum where strata are given.

    Args:
        segment_ids: uint64 [n], each once, in any order: the answer is the same for each of them.
        share: of each stratum, rounded to whole segments, at least one where there are two.
        seed: of the draw.
        strata: text [n], class of each segment.

    Returns:
        bool [n], true for those held out.

    Raises:
        DataError: fewer than two segments, so that none could be on one side.
    """
    ids = np.asarray(segment_ids, dtype=np.uint64)
    if len(ids) < 2:
        msg = f"{len(ids)} segments cannot be split into training and held-out ones; at least 2 are needed"
        raise DataError(msg)
    random = np.random.default_rng([seed, 0x5117])
    order = np.argsort(ids)
    groups = np.zeros(len(ids), dtype="U1") if strata is None else np.asarray(strata, dtype=str)
    held_out = np.zeros(len(ids), dtype=bool)
    for group in np.unique(groups):
        members = order[groups[order] == group]
        n = min(max(round(share * len(members)), int(len(members) > 1)), len(members) - 1)
        held_out[random.permutation(members)[:n]] = True
    return held_out
