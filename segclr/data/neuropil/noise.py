"""Smooth random fields, cheap: filtered at half resolution and interpolated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["fine_noise", "smooth_noise"]

_FINE = (0.25, 0.5, 0.25)  # binomial: correlates neighbouring voxels only


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], *, sigma_vx: float
) -> NDArray[np.float32]:
    """Gaussian noise of mean 0 and spread 1, correlated over about ``sigma_vx`` voxels, float32 ``shape``."""
    half = tuple(n // 2 + 1 for n in shape)
    field = rng.standard_normal(half, dtype=np.float32)
    field = ndimage.gaussian_filter(field, sigma_vx / 2.0, mode="wrap", truncate=2.5)
    for axis, n in enumerate(shape):
        field = _double(field, axis, n)
    field -= field.mean()
    return np.asarray(field / field.std(), dtype=np.float32)


def fine_noise(rng: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Gaussian noise of mean 0 and spread 1, correlated over one or two voxels, float32 ``shape``."""
    field = rng.standard_normal(shape, dtype=np.float32)
    for axis in range(3):
        field = ndimage.correlate1d(field, _FINE, axis=axis, mode="wrap")
    field /= np.float32(sum(w * w for w in _FINE) ** 1.5)
    return np.asarray(field)


def _double(field: NDArray[np.float32], axis: int, n: int) -> NDArray[np.float32]:
    """Interpolate linearly to twice the samples along an axis, the first ``n`` of them."""
    field = np.moveaxis(field, axis, 0)
    out = np.empty((2 * len(field) - 1, *field.shape[1:]), dtype=np.float32)
    out[0::2] = field
    np.add(field[:-1], field[1:], out=out[1::2])
    out[1::2] *= 0.5
    return np.moveaxis(out[:n], 0, axis)
