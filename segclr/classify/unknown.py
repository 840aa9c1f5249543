"""How well an uncertainty finds rows of no known class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from segclr.classify.bootstrap import Interval, bootstrap_interval
from segclr.errors import DataError, LabelError

__all__ = ["Detection", "detection"]

_TRUE_POSITIVE_RATE = 0.95
_MOST_LEVELS = 1000  # of uncertainty in the bootstrap; more are joined to quantiles


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How unknown rows and rows of known classes differ in uncertainty; an unknown row is the positive.

    Attributes:
        auroc: chance that an unknown row has the higher uncertainty of a random pair; ties count half.
        aupr: average precision of calling the most uncertain rows unknown; chance is ``n_unknown`` over all.
        fpr_at_95_tpr: share of known rows called unknown by the highest threshold that finds 95 % of the
            unknown ones.
        n_unknown: rows.
        n_known: rows.
        auroc_interval: 95 % bootstrap interval over cells; None where no groups were given.
    """

    auroc: float
    aupr: float
    fpr_at_95_tpr: float
    n_unknown: int
    n_known: int
    auroc_interval: Interval | None = None


def detection(
    uncertainty: NDArray[np.floating],
    is_unknown: NDArray[np.bool_],
    *,
    groups: NDArray[np.generic] | None = None,
    seed: int = 0,
) -> Detection:
    """Compare the uncertainty of unknown rows to that of known ones.

    Args:
        uncertainty: [n], finite, higher means less sure.
        is_unknown: bool [n].
        groups: [n], the cell of each row.
        seed: of the bootstrap. Draws without a row of either kind are left out of the interval.

    Raises:
        DataError: an uncertainty is not finite.
        LabelError: lengths differ, or there are only unknown or only known rows.
    """
    values, positive = np.asarray(uncertainty, dtype=np.float64), np.asarray(is_unknown, dtype=bool)
    shapes = {values.shape, positive.shape} | (set() if groups is None else {np.shape(groups)})
    if len(shapes) > 1 or values.ndim != 1:
        msg = f"uncertainty, is_unknown and groups must have one length, got shapes {sorted(shapes)}"
        raise LabelError(msg)
    if positive.all() or not positive.any():
        msg = f"detection takes unknown and known rows, got {positive.sum()} and {(~positive).sum()}"
        raise LabelError(msg)
    if not np.isfinite(values).all():
        msg = f"{(~np.isfinite(values)).sum()} of {len(values)} uncertainties are not finite"
        raise DataError(msg)
    false_rate, true_rate, _ = roc_curve(positive, values, drop_intermediate=False)
    return Detection(
        auroc=float(roc_auc_score(positive, values)),
        aupr=float(average_precision_score(positive, values)),
        fpr_at_95_tpr=float(false_rate[true_rate >= _TRUE_POSITIVE_RATE].min()),
        n_unknown=int(positive.sum()),
        n_known=int((~positive).sum()),
        auroc_interval=None if groups is None else _interval(values, positive, groups, seed=seed),
    )


def _interval(
    values: NDArray[np.float64], positive: NDArray[np.bool_], groups: NDArray[np.generic], *, seed: int
) -> Interval | None:
    """Counts of each cell, kind and level of uncertainty are all that the AUROC of a draw needs."""
    levels, level = np.unique(values, return_inverse=True)
    n_levels = len(levels)
    if n_levels > _MOST_LEVELS:
        level = np.searchsorted(np.sort(values), values) * _MOST_LEVELS // len(values)  # ties have one level
        n_levels = _MOST_LEVELS
    cells, cell = np.unique(groups, return_inverse=True)
    place = (cell * 2 + positive) * n_levels + level
    counts = np.bincount(place, minlength=len(cells) * 2 * n_levels).reshape(len(cells), 2, n_levels)
    return bootstrap_interval(counts, _auroc_of_counts, seed=seed)


def _auroc_of_counts(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """[draws] from counts [draws, known and unknown, levels]; NaN where one kind has no row."""
    known, unknown = sums[:, 0], sums[:, 1]
    below = np.cumsum(known, axis=1) - known / 2  # known rows below each level, and half of those on it
    pairs = known.sum(axis=1) * unknown.sum(axis=1)
    found: NDArray[np.float64] = np.full(len(sums), np.nan)
    np.divide((unknown * below).sum(axis=1), pairs, out=found, where=pairs > 0)
    return found
