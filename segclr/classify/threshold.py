"""Above which uncertainty to answer "unknown": a wanted share of the known is called so by mistake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.classify.estimator import UncertainClassifier, fresh
from segclr.classify.split import split_by_segment
from segclr.errors import ConfigError, DataError, LabelError

__all__ = ["Threshold", "choose_threshold", "threshold_for_rate"]

_N_SPLITS = 5
_TEST_SHARE = 0.3


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A threshold and what it was chosen by.

    Attributes:
        unknown_above: what ``predict`` takes.
        wanted_rate: share of rows of known classes that may be called unknown.
        rate: share that was, among the held-out rows of all splits that it was chosen on.
        n_rows: held-out rows, over all splits.
        n_cells: different cells among them.
    """

    unknown_above: float
    wanted_rate: float
    rate: float
    n_rows: int
    n_cells: int


def threshold_for_rate(uncertainty: NDArray[np.floating], *, rate: float) -> float:
    """The lowest of these uncertainties with at most ``rate`` of them above it.

    Args:
        uncertainty: [n], of rows of known classes that the classifier was not fitted on.
        rate: 0 to below 1.

    Raises:
        ConfigError: the rate is out of its range.
        DataError: there is no row, or a value is not finite.

    Example:
        >>> threshold_for_rate(np.array([0.1, 0.4, 0.2, 0.3]), rate=0.25)
        0.3
    """
    if not 0.0 <= rate < 1.0:
        msg = f"the rate of known rows that are called unknown must be 0 to below 1, got {rate}"
        raise ConfigError(msg)
    values = np.sort(np.asarray(uncertainty, dtype=np.float64))
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        msg = f"a threshold takes finite uncertainties of one row or more, got shape {values.shape}"
        raise DataError(msg)
    allowed = int(np.floor(rate * len(values) + 1e-9))  # 0.29 * 100 is 28.999999999999996
    n_above = min(allowed, len(values) - 1)  # a rate of almost 1 rounds to all rows
    return float(values[len(values) - 1 - n_above])


def choose_threshold(
    classifier: UncertainClassifier,
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    rate: float,
    seed: int = 0,
) -> Threshold:
    """Choose a threshold on cells that were held out, in five splits by cell.

    In each, a classifier of the same parameters is fitted on 70 % of the cells and tells its uncertainty on
    the others, which gives a threshold; the one in the middle of the five is taken, for what an uncertainty
    of 0.1 means differs between fits, and among the rows of all splits the least sure fit's would decide.
    The classifier itself is neither fitted nor changed and may be fitted on all cells.

    Args:
        classifier: whose parameters to use.
        X: [n, d].
        y: [n].
        groups: [n], the cell of each row.
        rate: wanted share of rows of known classes that are called unknown.
        seed: of the splits.

    Raises:
        ConfigError: the rate is out of its range.
        LabelError: a class has fewer than three cells: two to fit on, for a fit holds out one, and one more.
    """
    values, classes, cells = np.asarray(X), np.asarray(y), np.asarray(groups)
    threshold_for_rate(np.zeros(1), rate=rate)  # a wrong rate is told before the fits
    _check_cells(classes, cells)
    found: list[NDArray[np.float64]] = []
    judged: set[Any] = set()
    for i in range(_N_SPLITS):
        split = split_by_segment(cells, classes.astype(str), test_share=_TEST_SHARE, seed=seed + i)
        model = fresh(classifier).fit(values[split.train], classes[split.train], cells[split.train])
        found.append(model.uncertainty(values[split.test]))
        judged.update(cells[split.test].tolist())
    above = float(np.median([threshold_for_rate(uncertainty, rate=rate) for uncertainty in found]))
    uncertainty = np.concatenate(found)
    return Threshold(
        unknown_above=above,
        wanted_rate=rate,
        rate=float((uncertainty > above).mean()),
        n_rows=len(uncertainty),
        n_cells=len(judged),
    )


def _check_cells(classes: NDArray[Any], cells: NDArray[Any]) -> None:
    if cells.shape != classes.shape:
        msg = f"groups must name the cell of each of {len(classes)} rows, got shape {cells.shape}"
        raise LabelError(msg)
    n_cells = {str(name): len(np.unique(cells[classes == name])) for name in np.unique(classes)}
    few = [f"{name} ({n})" for name, n in n_cells.items() if n < 3]
    if few:
        msg = (
            f"class {', '.join(few)} has rows of fewer than three cells; a threshold for unknown is chosen "
            "on held-out cells and takes three of every class: label more"
        )
        raise LabelError(msg)
