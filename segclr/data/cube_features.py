"""Ten simple numbers of a masked cube: what a classifier gets without looking at structure.

The baseline an encoder has to beat: how much of the cube is filled, how grey, how wide. Made tissue's
difficulty is stated as the score of a random forest on these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segclr.errors import CubeError

__all__ = ["FEATURE_NAMES", "cube_features"]

FEATURE_NAMES = (
    "occupancy",  # share of the cube's voxels inside the mask
    "grey_mean",  # over the mask, 0 to 255
    "grey_spread",  # standard deviation over the mask
    "grey_low",  # share of the mask darker than its mean less one spread
    "extent_z",  # share of the planes that the mask touches, by axis
    "extent_y",
    "extent_x",
    "surface",  # share of the mask's voxels with a face on the outside
    "faces",  # share of the cube's six faces that the mask covers
    "elongation",  # longest over shortest principal axis (standard deviations)
)
_BATCH_VX = 4_000_000  # voxels looked at at once: bounds memory


def cube_features(cubes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features of masked cubes, columns as in ``FEATURE_NAMES``, float32 [n, 10].

    Args:
        cubes: uint8 [n, z, y, x]; 0 is outside the mask. An empty cube gives zeros.

    Raises:
        CubeError: the cubes are not uint8 [n, z, y, x].

    >>> cube = np.zeros((1, 8, 8, 8), np.uint8)
    >>> cube[0, :, 2:6, 2:6] = 100
    >>> dict(zip(FEATURE_NAMES, cube_features(cube)[0].tolist()))["occupancy"]
    0.25
    """
    cubes = np.asarray(cubes)
    if cubes.ndim != 4 or cubes.dtype != np.uint8:
        msg = f"cubes must be uint8 [n, z, y, x], got {cubes.dtype} {list(cubes.shape)}"
        raise CubeError(msg)
    per_batch = max(1, _BATCH_VX // max(1, int(np.prod(cubes.shape[1:]))))
    parts = [_features(cubes[i : i + per_batch]) for i in range(0, len(cubes), per_batch)]
    return np.concatenate(parts) if parts else np.zeros((0, len(FEATURE_NAMES)), np.float32)


def _features(cubes: NDArray[np.uint8]) -> NDArray[np.float32]:
    n = len(cubes)
    mask = cubes > 0
    count = mask.reshape(n, -1).sum(axis=1)
    safe = np.maximum(count, 1)
    # Grey levels are few: their histogram gives every moment of them in one pass.
    levels = np.arange(256, dtype=np.float64)
    keys = cubes.reshape(n, -1).astype(np.int64) + 256 * np.arange(n)[:, None]
    histogram = np.bincount(keys.ravel(), minlength=256 * n).reshape(n, 256).astype(np.float64)
    histogram[:, 0] = 0.0
    mean = histogram @ levels / safe
    spread = np.sqrt(np.maximum(histogram @ levels**2 / safe - mean**2, 0.0))
    low = (histogram * (levels < (mean - spread)[:, None])).sum(axis=1) / safe
    out = np.stack(
        [
            count / mask[0].size,
            mean,
            spread,
            low,
            *_extents(mask),
            _surface(mask) / safe,
            _faces(mask),
            _elongation(mask, count),
        ],
        axis=1,
    )
    out[count == 0] = 0.0
    return out.astype(np.float32)


def _extents(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    planes = [mask.any(axis=(2, 3)), mask.any(axis=(1, 3)), mask.any(axis=(1, 2))]
    return [plane.mean(axis=1) for plane in planes]


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Voxels of the mask with a face neighbour in the cube that is outside the mask, int64 [n]."""
    inner = mask.copy()
    for axis in (1, 2, 3):
        here = tuple(slice(1, None) if i == axis else slice(None) for i in range(4))
        there = tuple(slice(None, -1) if i == axis else slice(None) for i in range(4))
        inner[here] &= mask[there]
        inner[there] &= mask[here]
    flat = (len(mask), -1)
    return np.asarray(mask.reshape(flat).sum(axis=1) - inner.reshape(flat).sum(axis=1))


def _faces(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    pairs = [mask[:, [0, -1]], mask[:, :, [0, -1]], mask[:, :, :, [0, -1]]]
    covered = sum(p.reshape(len(mask), -1).sum(axis=1) for p in pairs)
    return np.asarray(covered / sum(p[0].size for p in pairs))


def _elongation(mask: NDArray[np.bool_], count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Ratio of the mask's principal axes; voxels count as cubes of edge 1, so a plane's is finite."""
    n, *shape = mask.shape
    safe = np.maximum(count, 1)[:, None]
    grid = [np.arange(s, dtype=np.float64) - (s - 1) / 2 for s in shape]
    # Sums over one axis first: planes and lines are far fewer than voxels.
    zy, zx, yx = (mask.sum(axis=a, dtype=np.int32).astype(np.float64) for a in (3, 2, 1))
    ones = [zy.sum(axis=2), zy.sum(axis=1), zx.sum(axis=1)]
    mean = np.stack([o @ g for o, g in zip(ones, grid, strict=True)], axis=1) / safe
    second = np.stack([o @ g**2 for o, g in zip(ones, grid, strict=True)], axis=1) / safe
    covariance = np.zeros((n, 3, 3))
    for plane, (i, j) in ((zy, (0, 1)), (zx, (0, 2)), (yx, (1, 2))):
        product = np.einsum("nab,a,b->n", plane, grid[i], grid[j], optimize=True) / safe[:, 0]
        covariance[:, i, j] = covariance[:, j, i] = product - mean[:, i] * mean[:, j]
    for i in range(3):
        covariance[:, i, i] = second[:, i] - mean[:, i] ** 2 + 1.0 / 12.0
    axes = np.linalg.eigvalsh(covariance)
    return np.asarray(np.sqrt(np.maximum(axes[:, 2], 0.0) / np.maximum(axes[:, 0], 1.0 / 12.0)))
