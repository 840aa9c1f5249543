"""What a classifier is judged by: macro F1, figures per class, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.errors import LabelError

__all__ = ["UNKNOWN", "Evaluation", "evaluate"]

UNKNOWN = "unknown"


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
    """

    labels: tuple[str, ...]
    confusion: NDArray[np.int64]
    unknown: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    macro_f1: float
    n: int

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
        arrays = ("confusion", "unknown", "precision", "recall", "f1", "support")
        return {
            "n": self.n,
            "macro_f1": self.macro_f1,
            "labels": list(self.labels),
            "absent": list(self.absent),
        } | {name: getattr(self, name).tolist() for name in arrays}


def evaluate(y_true: ArrayLike, y_pred: ArrayLike, labels: Sequence[str] | None = None) -> Evaluation:
    """Compare predicted to true classes.

    Args:
        y_true: str [n].
        y_pred: str [n]; "unknown" is allowed and counts as a miss of the true class.
        labels: the classes and their order; those of ``y_true`` and ``y_pred``, sorted, if not given.

    Raises:
        LabelError: lengths differ, there is no row, or a class is not among ``labels``.
    """
    truth, guess = np.asarray(y_true, dtype=str), np.asarray(y_pred, dtype=str)
    if truth.shape != guess.shape or truth.ndim != 1 or len(truth) == 0:
        msg = f"y_true and y_pred must be of one length above 0, got shapes {truth.shape} and {guess.shape}"
        raise LabelError(msg)
    told = guess != UNKNOWN
    names = np.unique(np.concatenate([truth, guess[told]])) if labels is None else np.asarray(labels, str)
    strange = np.setdiff1d(np.concatenate([truth, guess[told]]), names)
    if len(strange) or len(np.unique(names)) < len(names) or UNKNOWN in names:
        msg = (
            f"labels must be unique, hold every class, and not be {UNKNOWN!r}; got {', '.join(names)}; "
            f"classes not among them: {', '.join(strange) or 'none'}"
        )
        raise LabelError(msg)
    k, order = len(names), np.argsort(names)
    row = order[np.searchsorted(names[order], truth)]
    column = order[np.searchsorted(names[order], guess[told])]
    confusion = np.bincount(row[told] * k + column, minlength=k * k).reshape(k, k)
    unknown = np.bincount(row[~told], minlength=k)
    right, support = np.diag(confusion), confusion.sum(axis=1) + unknown
    recall = right / np.maximum(support, 1)
    precision = right / np.maximum(confusion.sum(axis=0), 1)
    # 2 TP / (2 TP + FP + FN); 0 where a class neither occurs nor is predicted.
    f1 = 2.0 * right / np.maximum(support + confusion.sum(axis=0), 1)
    return Evaluation(
        labels=tuple(str(name) for name in names),
        confusion=confusion.astype(np.int64),
        unknown=unknown.astype(np.int64),
        precision=precision,
        recall=recall,
        f1=f1,
        macro_f1=float(f1[support > 0].mean()),
        n=len(truth),
    )
