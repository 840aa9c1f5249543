"""How far a score may be off: a bootstrap over cells, for nodes of one cell are not independent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["N_DRAWS", "Interval", "bootstrap_interval"]

N_DRAWS = 200
_PERCENTILES = (2.5, 97.5)

Interval = tuple[float, float]


def bootstrap_interval(
    counts: NDArray[np.integer],
    score: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    seed: int,
) -> Interval | None:
    """The 95 % percentile interval of a score of summed counts (Efron 1979, 10.1214/aos/1176344552).

    Each of 200 draws takes g of the g cells with replacement, sums their counts and scores the sums; the
    interval runs from the 2.5th to the 97.5th percentile of the 200 scores. Scores that are NaN are left
    out: a draw may lack what the score compares.

    Args:
        counts: [g, ...], what each cell adds to the sums.
        score: from sums [200, ...] to scores [200], NaN where a draw has none.
        seed: of the draws.

    Returns:
        Lower and upper bound; None for fewer than two cells, which say nothing of other cells, and where no
        draw has a score.
    """
    n_cells = len(counts)
    if n_cells < 2:
        return None
    random = np.random.default_rng(seed)
    flat = counts.reshape(n_cells, -1).astype(np.float64)
    times = (np.bincount(random.integers(n_cells, size=n_cells), minlength=n_cells) for _ in range(N_DRAWS))
    sums = np.stack([drawn @ flat for drawn in times]).reshape(N_DRAWS, *counts.shape[1:])
    scores = score(sums)
    if np.isnan(scores).all():
        return None
    low, high = np.nanpercentile(scores, _PERCENTILES)
    return float(low), float(high)
