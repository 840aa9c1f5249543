"""What the protocols of this package ask of a classifier; the linear and the residual one both have it."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

__all__ = ["UncertainClassifier", "fresh"]


class UncertainClassifier(Protocol):
    """A scikit-learn classifier that is fitted with the cell of each row and tells how sure it is."""

    classes_: NDArray[Any]

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from embeddings [n, d], classes [n] and, if given, the cell of each row [n]."""

    def predict(self, X: ArrayLike, *, unknown_above: float | None = None) -> NDArray[Any]:
        """Classes [n]; "unknown" where the uncertainty is above the threshold."""

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities [n, k] of ``classes_``."""

    def uncertainty(self, X: ArrayLike) -> NDArray[np.float64]:
        """0 (sure) to 1 (no idea), [n]."""


def fresh(classifier: UncertainClassifier) -> UncertainClassifier:
    """One of the same parameters that has seen no data; the given one is left as it is."""
    unfitted: UncertainClassifier = clone(classifier)
    return unfitted
