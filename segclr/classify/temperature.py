"""Temperature: one number that makes a classifier's probabilities as sure as they are right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

__all__ = ["fit_temperature"]

_LOG_RANGE = (-5.0, 5.0)  # exp: 0.007 to 150


def fit_temperature(scores: NDArray[np.floating], target: NDArray[np.integer]) -> float:
    """T > 0 of softmax(scores / T) with the lowest mean log loss (Guo 2017, 10.48550/arXiv.1706.04599).

    The class answered never changes, only how sure the answer is. T lies between 0.007 and 150. Of a class
    with n rows the target is (n + 1) / (n + 2), the rest shared by the others (Platt 1999, Probabilistic
    outputs for support vector machines): where every row is right, the plain loss would fall for ever and
    end at certainty of everything.

    Args:
        scores: [n, k], of rows the classifier was not fitted on.
        target: [n], number of each row's class.
    """
    n_of_class = np.bincount(target, minlength=scores.shape[1])[target][:, None]
    is_class = np.arange(scores.shape[1]) == np.asarray(target)[:, None]
    wanted = np.where(is_class, n_of_class + 1, 1 / max(scores.shape[1] - 1, 1)) / (n_of_class + 2)

    def log_loss(log_t: float) -> float:
        scaled = scores * np.exp(-log_t)
        return float((logsumexp(scaled, axis=1) - (wanted * scaled).sum(axis=1)).mean())

    # Convex in 1 / T, so with a single minimum in log T too.
    found = minimize_scalar(log_loss, bounds=_LOG_RANGE, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
