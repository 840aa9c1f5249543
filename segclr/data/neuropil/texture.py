"""From labels to grey: cytoplasm, membranes, organelles, and the microscope's own marks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segclr.data.neuropil.cells import Cell
from segclr.data.neuropil.classes import COMPARTMENT_NAMES, TEXTURES
from segclr.data.neuropil.frame import Frame
from segclr.data.neuropil.grow import Arbors
from segclr.data.neuropil.paint import NOBODY

__all__ = ["cytoplasm", "membranes", "micrograph"]

_GAP_GREY = 190.0  # extracellular space is clear
_MEMBRANE = 52.0
_VESICLE = 40.0
_STREAK_NM = 330.0  # spacing of microtubule bundles; single ones are below the voxel
_BLUR = (0.1, 0.8, 0.1)  # point spread along each axis
_NOISE = 5.5
_MIDDLE, _CONTRAST = 138.0, 1.35  # stretched about the middle, as an operator would
_SLAB = 16  # planes worked on at once: bounds memory


def cytoplasm(
    frame: Frame,
    arbors: Arbors,
    cells: tuple[Cell, ...],
    owner: NDArray[np.int32],
    *,
    blotches: NDArray[np.float32],
    clouds: NDArray[np.float32],
    granules: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Grey of the cytoplasm alone, float32 [z, y, x].

    Args:
        frame: the block's voxels.
        arbors: vertices, spines included.
        cells: the block's cells.
        owner: int32 [z, y, x], vertex of each voxel.
        blotches: noise of mean 0 and spread 1 over about 150 nm.
        clouds: the same over about 400 nm; it bends the streaks, too, which else would be a crystal.
        granules: the same over about 80 nm; its highest values are granules.
        rng: of grain and streaks.
    """
    mean = [
        TEXTURES[cells[c].cell_type, COMPARTMENT_NAMES[int(k)]]
        for c, k in zip(arbors.cells, arbors.kinds, strict=True)
    ]
    factor = np.array([c.texture for c in cells])[arbors.cells]
    amplitude = np.array([m.amplitudes for m in mean]) * factor
    tone = np.array([c.tone for c in cells])[arbors.cells]
    # The last row is nobody's: NOBODY is -1.
    table = np.concatenate([np.column_stack([tone, amplitude]), [[_GAP_GREY, 0.0, 0.0, 0.0, 0.0, 0.0]]])
    table = table.astype(np.float32)
    first, second = _streak_waves(arbors, cells, rng)
    points = arbors.points_nm.astype(np.float32)
    grey = np.empty(frame.shape_zyx, dtype=np.float32)
    for z in range(0, len(grey), _SLAB):
        part = slice(z, z + _SLAB)
        at = owner[part]
        slab = table[:, 0][at]
        slab += table[:, 2][at] * blotches[part]
        slab += table[:, 3][at] * clouds[part]
        slab += table[:, 4][at] * rng.standard_normal(at.shape, dtype=np.float32)
        slab -= table[:, 5][at] * (np.clip(2.5 * granules[part] - 2.0, 0.0, 3.0) - 0.45)
        k, j, i = np.nonzero(table[:, 1][at] > 1.0)
        vertex = at[k, j, i]
        dx = frame.x_nm[i] - points[vertex, 0]
        dy = frame.y_nm[j] - points[vertex, 1]
        dz = frame.z_nm[part][k] - points[vertex, 2]
        bend = 1.3 * clouds[part][k, j, i]
        one = np.cos(dx * first[vertex, 0] + dy * first[vertex, 1] + dz * first[vertex, 2] + bend)
        two = np.cos(dx * second[vertex, 0] + dy * second[vertex, 1] + dz * second[vertex, 2] - bend)
        slab[k, j, i] += table[vertex, 1] * (one + two)
        grey[part] = slab
    return grey


def _streak_waves(
    arbors: Arbors, cells: tuple[Cell, ...], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two wave vectors across each vertex's edge, radians per nm, float32 [n, 3]: lines run along it."""
    start = arbors.points_nm[np.maximum(arbors.parents, 0)]
    along = arbors.points_nm - start
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    # Crossed with the axis the edge is farthest from, the frame turns little from edge to edge.
    helper = np.eye(3)[np.argmin(np.abs(along), axis=1)]
    first = np.cross(along, helper)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = np.cross(along, first)
    spacing_nm = _STREAK_NM * np.exp(rng.normal(0.0, 0.15, (len(cells), 2)))[arbors.cells]
    waves = 2.0 * np.pi / spacing_nm
    return (first * waves[:, :1]).astype(np.float32), (second * waves[:, 1:]).astype(np.float32)


def membranes(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Voxels that share a face with another label, bool [z, y, x]."""
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in range(3):
        a = tuple(slice(None, -1) if i == axis else slice(None) for i in range(3))
        b = tuple(slice(1, None) if i == axis else slice(None) for i in range(3))
        differs = labels[a] != labels[b]
        edge[a] |= differs
        edge[b] |= differs
    return edge


def micrograph(
    grey: NDArray[np.float32],
    labels: NDArray[np.int32],
    *,
    shade: NDArray[np.float32],
    vesicles: NDArray[np.uint8],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """The image: organelles and membranes on the cytoplasm, blur, sections' contrast, noise; uint8 [z, y, x].

    Nothing is 0: zero means "masked" in a cube.
    """
    image = grey + shade
    spots = np.flatnonzero(vesicles.ravel())
    image.ravel()[spots] += _VESICLE * (0.45 - (rng.random(len(spots), dtype=np.float32) < 0.45))
    edge = membranes(labels) & (labels != NOBODY)
    image[edge] -= _MEMBRANE
    for axis in range(3):
        image = ndimage.correlate1d(image, _BLUR, axis=axis, mode="nearest")
    n = len(image)
    gain = 1.0 + np.clip(
        ndimage.gaussian_filter1d(rng.normal(0.0, 0.12, n), 3.0) + rng.normal(0.0, 0.03, n), -0.2, 0.2
    )
    shift = ndimage.gaussian_filter1d(rng.normal(0.0, 8.0, n), 3.0) + rng.normal(0.0, 2.0, n)
    image -= _MIDDLE
    image *= (_CONTRAST * gain).astype(np.float32)[:, None, None]
    image += (_MIDDLE - 6.0 + shift).astype(np.float32)[:, None, None]
    image += np.float32(_NOISE) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(image), 1, 255), dtype=np.uint8)
