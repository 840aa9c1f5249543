"""How sure a classifier is: one number a row, and the answer "unknown" where it is too large."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from segclr.classify.evaluate import UNKNOWN
from segclr.errors import ConfigError, LabelError

__all__ = ["MEAN_FIELD", "call_unknown", "dempster_shafer", "mean_field_logits", "normalised_entropy"]

MEAN_FIELD = math.pi / 8
"""The factor with which a logistic function is nearest to a probit one (MacKay 1992)."""


def normalised_entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shannon entropy of each row over that of the uniform distribution, 0 (sure) to 1 (no idea).

    Args:
        probabilities: [n, k], k >= 2, rows that sum to 1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)
    return np.clip(-terms.sum(axis=1) / np.log(p.shape[1]), 0.0, 1.0)


def dempster_shafer(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """K / (K + sum_k exp(logit_k)): the mass that no class claims, 0 (sure) to 1, and 1/2 at logits of 0.

    Sensoy 2018 (10.48550/arXiv.1806.01768). Unlike the entropy it depends on how large the logits are
    altogether: low for every class means "none of these", not "any of these".

    Args:
        logits: [n, k].
    """
    k = logits.shape[1]
    return np.asarray(expit(math.log(k) - logsumexp(logits, axis=1)), dtype=np.float64)


def mean_field_logits(
    logits: NDArray[np.floating], variance: NDArray[np.floating], *, factor: float = MEAN_FIELD
) -> NDArray[np.float64]:
    """The mean over sqrt(1 + factor * variance): its softmax is about the expected one of a Gaussian logit.

    MacKay 1992 (10.1162/neco.1992.4.5.720) for two classes, Lu 2020 (10.48550/arXiv.2006.07584) for more.

    Args:
        logits: [n, k], the means.
        variance: [n], of each row's logits.
        factor: pi / 8, or 3 / pi^2, which matches the logistic distribution's variance.
    """
    return np.asarray(logits / np.sqrt(1.0 + factor * variance)[:, None], dtype=np.float64)


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
