"""Dense packing: every voxel goes to the tube whose centreline is nearest, in units of the tube's radius.

A z-buffer holds the least distance so far. On its own centreline a tube's distance is 0, so no fatter
neighbour can cut it; between two tubes the border lies where both are equally far in their own units:

        tube A (thick)      |   tube B (thin)
      ------- d/r = 0 ------+------- d/r = 0 --
                      d_A/r_A = d_B/r_B
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segclr.data.neuropil.cells import Cell
from segclr.data.neuropil.classes import PROCESSES
from segclr.data.neuropil.frame import Frame, Window
from segclr.data.neuropil.grow import Arbors
from segclr.data.neuropil.noise import smooth_noise

__all__ = ["NOBODY", "capsule_distance", "ellipsoid_distance", "paint"]

NOBODY = -1
_REACH = 1.4  # tubes may swell to this many radii where nobody is nearer
_LUMP_VX = 4.0
_SHIFT_VX = 24  # each cell sees the noise shifted by up to this, so that surfaces differ


def capsule_distance(
    frame: Frame,
    window: Window,
    *,
    start_nm: NDArray[np.float64],
    stop_nm: NDArray[np.float64],
    radii_nm: tuple[float, float],
) -> NDArray[np.float32]:
    """Squared distance of a window's voxels from a line, over the squared radius there, float32 [z, y, x]."""
    dx, dy, dz = frame.offsets(window, start_nm)
    along = stop_nm - start_nm
    length2 = float(along @ along)
    square = dx * dx + dy * dy + dz * dz
    if length2 < 1.0:
        return np.asarray(square / np.float32(radii_nm[0] ** 2))
    ax, ay, az = (np.float32(v / length2) for v in along)
    share = dx * ax + dy * ay + dz * az
    np.clip(share, 0.0, 1.0, out=share)
    # |p - s|^2 with s the nearest point of the line: |p|^2 - 2 t (p . a) + t^2 |a|^2.
    dot = dx * np.float32(along[0]) + dy * np.float32(along[1]) + dz * np.float32(along[2])
    square -= share * (2.0 * dot - share * np.float32(length2))
    radius = np.float32(radii_nm[0]) + share * np.float32(radii_nm[1] - radii_nm[0])
    square /= radius * radius
    return np.asarray(square)


def ellipsoid_distance(
    frame: Frame, window: Window, *, center_nm: NDArray[np.float64], axes_nm: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Squared distance from a centre in units of an ellipsoid's half axes, float32 [z, y, x]."""
    x, y, z = (
        (d / np.float32(r)) ** 2 for d, r in zip(frame.offsets(window, center_nm), axes_nm, strict=True)
    )
    return np.asarray(x + y + z)


def paint(
    frame: Frame, arbors: Arbors, cells: tuple[Cell, ...], *, seed: int, block: int
) -> NDArray[np.int32]:
    """The vertex each voxel belongs to, int32 [z, y, x]; ``NOBODY`` in the gaps."""
    rng = np.random.default_rng([seed, block, 4])
    shape = frame.shape_zyx
    padded = (shape[0] + _SHIFT_VX, shape[1] + _SHIFT_VX, shape[2] + _SHIFT_VX)
    lumps = smooth_noise(rng, padded, sigma_vx=_LUMP_VX)
    np.clip(lumps, -2.2, 2.2, out=lumps)
    shifts = rng.integers(0, _SHIFT_VX + 1, (len(cells), 3))
    ragged = {kind: p.ragged for kind, p in PROCESSES.items()}
    nearest = np.full(shape, np.float32(_REACH**2), dtype=np.float32)
    owner = np.full(shape, NOBODY, dtype=np.int32)
    names = {1: "soma", 2: "dendrite", 3: "axon", 4: "glia"}
    starts = arbors.points_nm[np.maximum(arbors.parents, 0)]
    start_radii = arbors.radii_nm[np.maximum(arbors.parents, 0)]
    # The soma's own radius is no tube's radius: its stems start as thick as they leave it.
    from_soma = arbors.somata[np.maximum(arbors.parents, 0)] & (arbors.parents >= 0)
    start_radii = np.where(from_soma, arbors.radii_nm, start_radii)
    low = np.minimum(arbors.points_nm, starts)
    high = np.maximum(arbors.points_nm, starts)
    for vertex in range(len(arbors)):
        cell = cells[arbors.cells[vertex]]
        rough = ragged.get((cell.cell_type, names[int(arbors.kinds[vertex])]), 0.05)
        if arbors.somata[vertex]:
            reach = np.asarray(cell.soma_axes_nm * 1.2)
            window = frame.window(arbors.points_nm[vertex] - reach, arbors.points_nm[vertex] + reach)
            square = ellipsoid_distance(
                frame, window, center_nm=arbors.points_nm[vertex], axes_nm=cell.soma_axes_nm
            )
            square *= np.float32(_REACH**2)  # a soma ends at its surface and swells into no gap
        elif arbors.parents[vertex] < 0:
            continue
        else:
            radii = (float(start_radii[vertex]), float(arbors.radii_nm[vertex]))
            grown = max(radii) * _REACH * (1.0 + rough)
            window = frame.window(low[vertex] - grown, high[vertex] + grown)
            square = capsule_distance(
                frame, window, start_nm=starts[vertex], stop_nm=arbors.points_nm[vertex], radii_nm=radii
            )
        shift = shifts[arbors.cells[vertex]]
        lump = lumps[tuple(slice(s.start + d, s.stop + d) for s, d in zip(window, shift, strict=True))]
        square *= np.float32(1.0) + np.float32(rough) * lump
        closer = square < nearest[window]
        nearest[window][closer] = square[closer]
        owner[window][closer] = vertex
    return owner
