"""What a classifier is judged by: macro F1 and its interval, figures per class, the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.classify.bootstrap import Interval, bootstrap_interval
from segclr.errors import LabelError

__all__ = ["UNKNOWN", "Evaluation", "evaluate"]

UNKNOWN = "unknown"

_ARRAYS = ("confusion", "unknown", "precision", "recall", "f1")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How predictions compare to the truth.

    Attributes:
        labels: the k classes, in the order of all arrays below.
        confusion: int64 [k, k], rows are true classes, columns predicted ones.
        unknown: int64 [k], rows of each true class that were called "unknown"; they count as missed.
        precision: float64 [k], 0 where a class was never predicted.
        recall: float64 [k], 0 where a class does not occur.
        f1: float64 [k], harmonic mean of the two.
        macro_f1: mean of ``f1`` over the classes that occur in the truth.
        n: number of rows judged.
        macro_f1_interval: 95 % bootstrap interval of ``macro_f1`` over cells; None where it is not known.
        n_cells: cells judged, and int64 [k] ``cells_per_class``, those with a row of each true class; None
            where :func:`evaluate` was given no groups.
    """

    labels: tuple[str, ...]
    confusion: NDArray[np.int64]
    unknown: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    macro_f1: float
    n: int
    macro_f1_interval: Interval | None = None
    n_cells: int | None = None
    cells_per_class: NDArray[np.int64] | None = None

    @property
    def support(self) -> NDArray[np.int64]:
        """Rows of each true class, int64 [k]."""
        return self.confusion.sum(axis=1) + self.unknown

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without a true row: nothing can be said about them."""
        return tuple(label for label, n in zip(self.labels, self.support, strict=True) if n == 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "n": self.n,
            "macro_f1": self.macro_f1,
            "macro_f1_interval": None if self.macro_f1_interval is None else list(self.macro_f1_interval),
            "n_cells": self.n_cells,
            "cells_per_class": None if self.cells_per_class is None else self.cells_per_class.tolist(),
            "labels": list(self.labels),
            "absent": list(self.absent),
            "support": self.support.tolist(),
        } | {name: getattr(self, name).tolist() for name in _ARRAYS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What :meth:`to_dict` made plain; other keys are passed over."""
        interval, cells = values["macro_f1_interval"], values["cells_per_class"]
        return cls(
            labels=tuple(values["labels"]),
            macro_f1=values["macro_f1"],
            macro_f1_interval=None if interval is None else tuple(interval),
            n=values["n"],
            n_cells=values["n_cells"],
            cells_per_class=None if cells is None else np.array(cells, dtype=np.int64),
            **{name: np.array(values[name]) for name in _ARRAYS},
        )


def evaluate(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    labels: Sequence[str] | NDArray[np.str_] | None = None,
    *,
    groups: NDArray[np.generic] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare predicted to true classes.

    With ``groups``, the interval of macro F1 is a percentile bootstrap over cells: each draw takes as many
    cells as there are, with replacement and all their rows, and scores

        mean over the classes c that occur among its rows of ``y_true`` of 2 TP_c / (2 TP_c + FP_c + FN_c),

    which is what ``macro_f1`` is of all rows.

    Args:
        y_true: str [n].
        y_pred: str [n]; "unknown" is allowed and counts as a miss of the true class.
        labels: the classes and their order; those of ``y_true`` and ``y_pred``, sorted, if not given.
        groups: [n], the cell (segment id) of each row.
        seed: of the bootstrap.

    Raises:
        LabelError: lengths differ, there is no row, or a class is not among ``labels``.
    """
    truth, guess = np.asarray(y_true, dtype=str), np.asarray(y_pred, dtype=str)
    if truth.shape != guess.shape or truth.ndim != 1 or len(truth) == 0:
        msg = f"y_true and y_pred must be of one length above 0, got shapes {truth.shape} and {guess.shape}"
        raise LabelError(msg)
    told = guess != UNKNOWN
    occurring = np.unique(np.concatenate([truth, guess[told]]))
    names = occurring if labels is None else np.asarray(labels, str)
    strange = np.setdiff1d(occurring, names)
    if len(strange) or len(np.unique(names)) < len(names) or UNKNOWN in names:
        msg = (
            f"labels must be unique, hold every class, and not be {UNKNOWN!r}; got {', '.join(names)}; "
            f"classes not among them: {', '.join(strange) or 'none'}"
        )
        raise LabelError(msg)
    k, order = len(names), np.argsort(names)
    row = order[np.searchsorted(names[order], truth)]
    column = np.full(len(guess), k)
    column[told] = order[np.searchsorted(names[order], guess[told])]
    counts = np.bincount(row * (k + 1) + column, minlength=k * (k + 1)).reshape(k, k + 1)
    confusion, unknown = counts[:, :k], counts[:, k]
    right, support, predicted = np.diag(confusion), counts.sum(axis=1), confusion.sum(axis=0)
    f1 = _f1(right, support, predicted)
    return Evaluation(
        labels=tuple(str(name) for name in names),
        confusion=confusion,
        unknown=unknown,
        precision=right / np.maximum(predicted, 1),
        recall=right / np.maximum(support, 1),
        f1=f1,
        macro_f1=float(_macro_f1(right, support, predicted)),
        n=len(truth),
        **({} if groups is None else _over_cells(row, column, groups, k=k, seed=seed)),
    )


def _f1(
    right: NDArray[np.number], support: NDArray[np.number], predicted: NDArray[np.number]
) -> NDArray[np.float64]:
    """2 TP / (2 TP + FP + FN) of counts; 0 where a class neither occurs nor is predicted."""
    return np.asarray(2.0 * right / np.maximum(support + predicted, 1), dtype=np.float64)


def _macro_f1(
    right: NDArray[np.number], support: NDArray[np.number], predicted: NDArray[np.number]
) -> NDArray[np.float64]:
    """Mean F1 of the classes that occur, over the last axis."""
    occurs = support > 0
    return (_f1(right, support, predicted) * occurs).sum(axis=-1) / occurs.sum(axis=-1)


def _over_cells(
    row: NDArray[np.integer], column: NDArray[np.integer], groups: NDArray[np.generic], *, k: int, seed: int
) -> dict[str, Any]:
    """The fields of an Evaluation that need the cell of each row; column k is "unknown"."""
    if np.shape(groups) != row.shape:
        msg = f"groups must name the cell of each of {len(row)} rows, got shape {np.shape(groups)}"
        raise LabelError(msg)
    cells, cell = np.unique(groups, return_inverse=True)
    # Right, true and predicted rows of every class in every cell: all that F1 needs of a confusion matrix.
    size = len(cells) * (k + 1)
    right = (cell * (k + 1) + row)[row == column]
    rows_of_each = (right, cell * (k + 1) + row, cell * (k + 1) + column)
    counts = np.stack(
        [np.bincount(r, minlength=size).reshape(len(cells), k + 1) for r in rows_of_each], axis=1
    )
    return {
        "macro_f1_interval": bootstrap_interval(
            counts[:, :, :k], lambda sums: _macro_f1(*np.moveaxis(sums, 1, 0)), seed=seed
        ),
        "n_cells": len(cells),
        "cells_per_class": np.count_nonzero(counts[:, 1, :k], axis=0),
    }
