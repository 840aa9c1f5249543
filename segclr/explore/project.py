"""Embeddings in few dimensions, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from segclr.errors import ConfigError, DataError

__all__ = ["Projection", "project"]

_NO_VARIANCE = 1e-12  # share of an axis that only rounding fills: float32 carries 7 digits, squared 14


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Principal components of some embeddings.

    Attributes:
        coordinates: float32 [n, k], of the embeddings given, in their order.
        explained_variance_ratio: float64 [k], share of the variance along each axis.
        components: float64 [k, d], the axes, of length 1; the largest entry of each is positive. Zeros
            stand for the axes beyond the rank of the embeddings, along which nothing varies.
        mean: float64 [d], subtracted before.
    """

    coordinates: NDArray[np.float32]
    explained_variance_ratio: NDArray[np.float64]
    components: NDArray[np.float64]
    mean: NDArray[np.float64]

    def apply(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Coordinates of other embeddings on the same axes, float32 [m, k]."""
        shifted = np.asarray(embeddings, dtype=np.float64) - self.mean
        return np.asarray(shifted @ self.components.T, dtype=np.float32)


def project(embeddings: NDArray[np.floating], *, n_components: int = 2, seed: int) -> Projection:
    """Principal component analysis.

    Args:
        embeddings: [n, d], n >= 1, finite; they may all be equal.
        n_components: k, 1 or more.
        seed: of the randomised solver, which large inputs use.

    Raises:
        ConfigError: ``n_components`` is below 1.
        DataError: embeddings are not finite or not two-dimensional, or there is none.
    """
    values = np.asarray(embeddings, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        msg = f"embeddings must be finite and [n, d] with n, d above 0, got shape {values.shape}"
        raise DataError(msg)
    if n_components < 1:
        msg = f"n_components must be 1 or more, got {n_components}"
        raise ConfigError(msg)
    ratio, components = np.zeros(n_components), np.zeros((n_components, values.shape[1]))
    mean = values.mean(axis=0)
    if (values != values[:1]).any():
        model = PCA(min(n_components, *values.shape), random_state=seed).fit(values)
        used = np.flatnonzero(model.explained_variance_ratio_ > _NO_VARIANCE)
        axes = model.components_[used]
        signs = np.sign(axes[np.arange(len(used)), np.abs(axes).argmax(axis=1)])
        ratio[used], components[used] = model.explained_variance_ratio_[used], axes * signs[:, None]
    return Projection(
        coordinates=np.asarray((values - mean) @ components.T, dtype=np.float32),
        explained_variance_ratio=ratio,
        components=components,
        mean=mean,
    )
