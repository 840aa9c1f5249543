"""Embeddings in few dimensions, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from segclr.errors import ConfigError, DataError

__all__ = ["Projection", "project"]


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Principal components of some embeddings.

    Attributes:
        coordinates: float32 [n, k], of the embeddings given, in their order.
        explained_variance_ratio: float64 [k], share of the variance along each axis.
        components: float64 [k, d], the axes, of length 1; the largest entry of each is positive.
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
        embeddings: [n, d], finite.
        n_components: k, at most the lesser of n and d.
        seed: of the randomised solver, which large inputs use.

    Raises:
        ConfigError: ``n_components`` is not possible.
        DataError: embeddings are not finite or not two-dimensional.
    """
    values = np.asarray(embeddings, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        msg = f"embeddings must be finite and [n, d], got shape {values.shape}"
        raise DataError(msg)
    if not 1 <= n_components <= min(values.shape):
        msg = f"n_components must be 1 to {min(values.shape)} for shape {values.shape}, got {n_components}"
        raise ConfigError(msg)
    if (values == values[:1]).all():
        msg = f"all {len(values)} embeddings are equal: there is no variance to project (collapsed encoder?)"
        raise DataError(msg)
    model = PCA(n_components, random_state=seed).fit(values)
    signs = np.sign(model.components_[np.arange(n_components), np.abs(model.components_).argmax(axis=1)])
    components = model.components_ * signs[:, None]
    return Projection(
        coordinates=np.asarray((values - model.mean_) @ components.T, dtype=np.float32),
        explained_variance_ratio=model.explained_variance_ratio_,
        components=components,
        mean=model.mean_,
    )
