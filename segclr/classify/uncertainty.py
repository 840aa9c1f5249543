"""How sure a classifier is: one number a row, and the answer "unknown" where it is too large."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segclr.classify.evaluate import UNKNOWN
from segclr.errors import ConfigError, LabelError

__all__ = ["call_unknown", "normalised_entropy"]


def normalised_entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shannon entropy of each row over that of the uniform distribution, 0 (sure) to 1 (no idea).

    Args:
        probabilities: [n, k], k >= 2, rows that sum to 1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)
    return np.clip(-terms.sum(axis=1) / np.log(p.shape[1]), 0.0, 1.0)


def call_unknown(
    classes: NDArray[np.generic], uncertainty: NDArray[np.floating], *, unknown_above: float
) -> NDArray[np.object_]:
    """Replace the class by "unknown" where the uncertainty is above a threshold.

    Raises:
        ConfigError: the threshold is not between 0 and 1.
        LabelError: "unknown" is a class already.
    """
    if not 0.0 <= unknown_above <= 1.0:
        msg = f"unknown_above must lie between 0 and 1, got {unknown_above}"
        raise ConfigError(msg)
    answer = np.asarray(classes, dtype=object)
    if (answer == UNKNOWN).any():
        msg = f"{UNKNOWN!r} is one of the classes; rename it before asking for a threshold"
        raise LabelError(msg)
    return np.where(uncertainty > unknown_above, UNKNOWN, answer)
