"""Whether probabilities are right: how often the answer is true where the classifier is so and so sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.classify.bootstrap import Interval, bootstrap_interval
from segclr.errors import ConfigError, DataError, LabelError

__all__ = ["Reliability", "reliability"]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """A reliability curve and its expected calibration error (Guo 2017, 10.48550/arXiv.1706.04599).

    Attributes:
        edges: float64 [b + 1], of equal bins of the probability of the class answered, 0 to 1; a value on an
            inner edge belongs to the bin above it.
        n: int64 [b], rows of each bin.
        confidence: float64 [b], their mean probability of the class answered; NaN in empty bins.
        accuracy: float64 [b], their share of right answers; NaN in empty bins.
        ece: mean of |accuracy - confidence| over bins, weighed by rows: 0 is calibrated.
        ece_interval: 95 % bootstrap interval of ``ece`` over cells; None where no groups were given.
    """

    edges: NDArray[np.float64]
    n: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    ece: float
    ece_interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; None in empty bins."""
        curve = {
            name: [None if np.isnan(v) else float(v) for v in getattr(self, name)]
            for name in ("confidence", "accuracy")
        }
        return {
            "ece": self.ece,
            "ece_interval": None if self.ece_interval is None else list(self.ece_interval),
            "edges": self.edges.tolist(),
            "n": self.n.tolist(),
        } | curve


def reliability(
    y_true: ArrayLike,
    probabilities: NDArray[np.floating],
    classes: NDArray[np.generic],
    *,
    groups: NDArray[np.generic] | None = None,
    n_bins: int = 15,
    seed: int = 0,
) -> Reliability:
    """Compare how sure a classifier is of the class it answers to how often that is the true one.

    Args:
        y_true: [n].
        probabilities: [n, k], rows that sum to 1, of rows the classifier was not fitted on.
        classes: [k], of the columns.
        groups: [n], the cell of each row.
        n_bins: of equal width.
        seed: of the bootstrap.

    Raises:
        ConfigError: no bin.
        DataError: probabilities are not finite, not 0 to 1, or do not sum to 1.
        LabelError: lengths differ, there is no row, or a true class is not among ``classes``: rows of unknown
            classes have no right answer.
    """
    truth, p = np.asarray(y_true), np.asarray(probabilities, dtype=np.float64)
    _check(truth, p, classes, groups=groups, n_bins=n_bins)
    sure = p.max(axis=1)
    right = np.asarray(classes)[p.argmax(axis=1)] == truth
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    which = np.clip(np.searchsorted(edges, sure, side="right") - 1, 0, n_bins - 1)
    n = np.bincount(which, minlength=n_bins)
    sums = [np.bincount(which, weights=w, minlength=n_bins) for w in (sure, right)]
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (total / n for total in sums)
    interval = None
    if groups is not None:
        _, cell = np.unique(groups, return_inverse=True)
        place, size = cell * n_bins + which, (int(cell.max()) + 1) * n_bins
        gaps = np.bincount(place, weights=right - sure, minlength=size).reshape(-1, n_bins)
        rows = np.bincount(place, minlength=size).reshape(-1, n_bins)
        interval = bootstrap_interval(np.stack([gaps, rows], axis=1), _ece_of_sums, seed=seed)
    return Reliability(
        edges=edges,
        n=n,
        confidence=confidence,
        accuracy=accuracy,
        ece=float(np.abs(sums[1] - sums[0]).sum() / len(truth)),
        ece_interval=interval,
    )


def _ece_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """[draws] from sums [draws, gap and rows, bins]: the weights n / N cancel the means' divisors."""
    ece: NDArray[np.float64] = np.abs(sums[:, 0]).sum(axis=1) / sums[:, 1].sum(axis=1)
    return ece


def _check(
    truth: NDArray[Any],
    p: NDArray[np.float64],
    classes: NDArray[np.generic],
    *,
    groups: NDArray[np.generic] | None,
    n_bins: int,
) -> None:
    if n_bins < 1:
        msg = f"n_bins must be 1 or more, got {n_bins}"
        raise ConfigError(msg)
    rows_of_groups = truth.shape if groups is None else np.shape(groups)
    if p.shape != (len(truth), len(classes)) or rows_of_groups != truth.shape or len(truth) == 0:
        msg = (
            f"probabilities must be [n, k] of n > 0 true classes and k = {len(classes)} columns, groups [n]; "
            f"got {p.shape}, {truth.shape} true classes, groups {rows_of_groups}"
        )
        raise LabelError(msg)
    strange = np.setdiff1d(truth, classes)
    if len(strange):
        msg = (
            f"true classes without a probability: {', '.join(str(c) for c in strange)}; leave their rows out"
        )
        raise LabelError(msg)
    if not (p >= 0).all() or not np.allclose(p.sum(axis=1), 1.0, atol=1e-4):
        msg = "probabilities must be finite, 0 to 1, and sum to 1 in every row"
        raise DataError(msg)
