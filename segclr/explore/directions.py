"""Embeddings made ready for methods that know straight-line distances only."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from segclr.errors import ConfigError, DataError
from segclr.explore.measures import SearchMetric
from segclr.explore.project import project

__all__ = ["comparable", "leading"]


def comparable(embeddings: NDArray[np.floating], metric: SearchMetric) -> NDArray[np.float64]:
    """Embeddings whose straight-line distances order pairs as the metric does, float64 [n, d].

    By cosine they are scaled to length 1, where the squared distance is 2 - 2 cosine; zeros stay zeros.

    Raises:
        ConfigError: there is no such metric.
        DataError: embeddings are not finite or not [n, d], or there is none.
    """
    if metric not in get_args(SearchMetric):
        msg = f"metric must be one of {', '.join(get_args(SearchMetric))}, got {metric!r}"
        raise ConfigError(msg)
    values = np.array(embeddings, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        msg = f"embeddings must be finite and [n, d] with n, d above 0, got shape {values.shape}"
        raise DataError(msg)
    if metric == "cosine":
        lengths = np.linalg.norm(values, axis=1)
        values /= np.where(lengths > 0, lengths, 1.0)[:, None]
    return values


def leading(values: NDArray[np.float64], n_components: int, *, seed: int) -> NDArray[np.float32]:
    """The principal components that vary most, float32 [n, k], k = n_components or all there are.

    Distances in the many directions that hold only noise grow alike, and hide which nodes are near.
    """
    n_components = min(n_components, *values.shape)
    return project(values, n_components=n_components, seed=seed).coordinates
