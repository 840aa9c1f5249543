"""Local contrast of EM, section by section: CLAHE or z-normalisation over fixed tiles.

Each section (z) is cut into tiles of 128 x 128 voxels, counted from the volume's first voxel. A tile gives a
map from grey to grey; a voxel's value is the bilinear mean of the maps of the four tiles whose centres lie
around it. Tiles are fixed to the volume, never to the box that is read, so any cut gives the same voxels.

    tile      0         1         2
          |----+----|----+----|----+----|      + centre: its own map alone
               '- - v - -'                     v: between tiles 0 and 1, by its distance to their centres

Value 0 means "no data" (beyond the volume, padding, masked): it stays 0 and enters no statistics, and data
never become 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from segclr.errors import VolumeError
from segclr.geometry import BoundingBox, Triple, VoxelSize

if TYPE_CHECKING:
    from segclr.data.volume import Source

__all__ = ["TILE_VX", "Normalization", "NormalizedSource", "tile_map"]

Normalization = Literal["clahe", "zscore"]

TILE_VX = 128
"""Edge of a tile in x and y."""

CLIP_LIMIT = 3.0
"""CLAHE: no grey counts more than this many times the mean count (Zuiderveld, Graphics Gems IV, 1994)."""

ZSCORE_MEAN, ZSCORE_SD = 128.0, 42.0
"""Grey that a tile's mean becomes, and grey values that its standard deviation becomes: 3 of them fit."""


def tile_map(histogram: NDArray[np.int64], method: Normalization) -> NDArray[np.float64]:
    """New grey, 1 to 255, of each grey 0 to 255 by a tile's histogram, float64 [256].

    Args:
        histogram: voxels of each grey [256], not all 0; grey 0 does not count.
        method: ``"clahe"`` or ``"zscore"``.
    """
    counts = histogram.astype(np.float64)
    counts[0] = 0.0
    n = counts.sum()
    grey = np.arange(256.0)
    if method == "zscore":
        mean = (grey * counts).sum() / n
        sd = np.sqrt((np.square(grey - mean) * counts).sum() / n)
        return np.clip(ZSCORE_MEAN + ZSCORE_SD * (grey - mean) / max(sd, 1.0), 1.0, 255.0)
    clipped = np.minimum(counts, CLIP_LIMIT * n / 255)
    clipped[1:] += (n - clipped.sum()) / 255
    return np.clip(1.0 + 254.0 * np.cumsum(clipped) / n, 1.0, 255.0)


def _neighbours(start: int, stop: int, origin: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Lower of the two tiles around each voxel of an axis, and the weight of the upper one."""
    place = (np.arange(start, stop) - origin + 0.5) / TILE_VX - 0.5
    lower = np.floor(place).astype(np.int64)
    return lower, place - lower


@dataclass(frozen=True)
class NormalizedSource:
    """A uint8 source whose local contrast is evened out while it is read."""

    grey: Source
    method: Normalization

    def __post_init__(self) -> None:
        """Refuse what cannot be normalised."""
        if self.method not in ("clahe", "zscore"):
            msg = f"normalize must be 'clahe' or 'zscore', got {self.method!r}"
            raise VolumeError(msg)
        if self.grey.dtype != np.uint8:
            msg = f"only uint8 can be normalised, {self.grey.url} is {self.grey.dtype}; give grey_range"
            raise VolumeError(msg)

    @property
    def url(self) -> str:
        """The grey volume's."""
        return self.grey.url

    @property
    def voxel_size_nm(self) -> VoxelSize:
        """The grey volume's."""
        return self.grey.voxel_size_nm

    @property
    def bounds(self) -> BoundingBox:
        """The grey volume's."""
        return self.grey.bounds

    @property
    def chunk_size_vx(self) -> Triple:
        """The grey volume's."""
        return self.grey.chunk_size_vx

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""
        return self.grey.dtype

    def read_inside(self, box: BoundingBox) -> NDArray[np.uint8]:
        """Read the tiles around a box and map its voxels."""
        x0, y0, _ = self.bounds.start
        (low_x, weight_x), (low_y, weight_y) = (
            _neighbours(a, b, o) for a, b, o in zip(box.start[:2], box.stop[:2], (x0, y0), strict=True)
        )
        first = (int(low_x[0]), int(low_y[0]))
        n_x, n_y = int(low_x[-1]) - first[0] + 2, int(low_y[-1]) - first[1] + 2
        start = (x0 + first[0] * TILE_VX, y0 + first[1] * TILE_VX, box.start[2])
        tiles = BoundingBox(start, (start[0] + n_x * TILE_VX, start[1] + n_y * TILE_VX, box.stop[2]))
        stored = tiles.intersect(self.bounds)
        values = self.grey.read_inside(stored)
        inside = box.slices_zyx(stored.start)[1:]
        mapped = np.zeros(box.shape_zyx, dtype=np.uint8)
        for section, target in zip(values, mapped, strict=True):
            maps, weights = self._maps(section, stored, (first, (n_x, n_y)))
            target[:] = _blended(
                section[inside], maps, weights, (low_y - first[1], weight_y), (low_x - first[0], weight_x)
            )
        return mapped

    def _maps(
        self, section: NDArray[np.uint8], stored: BoundingBox, grid: tuple[tuple[int, int], tuple[int, int]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Map [y, x, 256] of each tile, and whether it has data [y, x], 1 or 0."""
        (first_x, first_y), (n_x, n_y) = grid
        maps, weights = np.zeros((n_y, n_x, 256)), np.zeros((n_y, n_x))
        x0, y0 = (
            o + f * TILE_VX - s
            for o, f, s in zip(self.bounds.start[:2], (first_x, first_y), stored.start[:2], strict=True)
        )
        for j, i in np.ndindex(n_y, n_x):
            rows = slice(max(0, y0 + j * TILE_VX), max(0, y0 + (j + 1) * TILE_VX))
            columns = slice(max(0, x0 + i * TILE_VX), max(0, x0 + (i + 1) * TILE_VX))
            histogram = np.bincount(section[rows, columns].ravel(), minlength=256)
            if histogram[1:].any():
                maps[j, i], weights[j, i] = tile_map(histogram, self.method), 1.0
        return maps, weights


def _blended(
    grey: NDArray[np.uint8],
    maps: NDArray[np.float64],
    weights: NDArray[np.float64],
    along_y: tuple[NDArray[np.int64], NDArray[np.float64]],
    along_x: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> NDArray[np.uint8]:
    """Bilinear mean of the maps around each voxel of a section [y, x], of tiles that have data."""
    total, share = np.zeros(grey.shape), np.zeros(grey.shape)
    for dy, dx in np.ndindex(2, 2):
        y = (along_y[0] + dy)[:, None]
        x = (along_x[0] + dx)[None, :]
        weight = np.abs(1 - dy - along_y[1])[:, None] * np.abs(1 - dx - along_x[1])[None, :] * weights[y, x]
        total += weight * maps[y, x, grey]
        share += weight
    blended = np.floor(total / np.where(share > 0, share, 1.0) + 0.5)
    return np.where(grey > 0, blended, 0).astype(np.uint8)
