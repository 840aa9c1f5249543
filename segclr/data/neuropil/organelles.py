"""Mitochondria, dense bodies and nuclei: what lies in the cytoplasm, as a change of grey and a mask."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from segclr.data.neuropil.cells import Cell
from segclr.data.neuropil.classes import COMPARTMENT_NAMES, COMPARTMENTS, PROCESSES, SOMATA, TEXTURES
from segclr.data.neuropil.frame import Frame, Window
from segclr.data.neuropil.grow import STEP_NM, Arbors
from segclr.data.neuropil.paint import capsule_distance, ellipsoid_distance

__all__ = ["draw_organelles"]


def draw_organelles(
    frame: Frame,
    arbors: Arbors,
    cells: tuple[Cell, ...],
    labels: NDArray[np.int32],
    *,
    blotches: NDArray[np.float32],
    seed: int,
    block: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Change of grey by organelles, float32 [z, y, x], and where they replace the cytoplasm, bool [z, y, x].

    Args:
        frame: the block's voxels.
        arbors: vertices, spines included.
        cells: the block's cells.
        labels: int32 [z, y, x], index of the cell of each voxel; an organelle never leaves its cell.
        blotches: noise of mean 0 and spread 1, for the chromatin.
        seed: of the tissue.
        block: index of the block.
    """
    rng = np.random.default_rng([seed, block, 5])
    shade = np.zeros(frame.shape_zyx, dtype=np.float32)
    taken = np.zeros(frame.shape_zyx, dtype=bool)
    for index, cell in enumerate(cells):
        if cell.soma_nm is not None:
            _nucleus(rng, frame, cell, labels, index=index, blotches=blotches, shade=shade, taken=taken)
    for run, side, width in _mitochondria(rng, arbors, cells):
        _mitochondrion(rng, frame, arbors, labels, run=run, side=side, width=width, shade=shade, taken=taken)
    _soma_mitochondria(rng, frame, cells, labels, shade=shade, taken=taken)
    _dense_bodies(rng, frame, arbors, cells, labels, shade=shade, taken=taken)
    return shade, taken


def _nucleus(
    rng: np.random.Generator,
    frame: Frame,
    cell: Cell,
    labels: NDArray[np.int32],
    *,
    index: int,
    blotches: NDArray[np.float32],
    shade: NDArray[np.float32],
    taken: NDArray[np.bool_],
) -> None:
    """Envelope, chromatin (more and at the rim where its type's is dense) and a nucleolus."""
    kind = SOMATA[cell.cell_type]
    assert cell.soma_nm is not None  # the caller's choice
    axes = cell.soma_axes_nm * kind.nucleus * rng.uniform(0.94, 1.04)
    center = cell.soma_nm + rng.normal(0.0, 120.0, 3)
    window = frame.window(center - axes * 1.1, center + axes * 1.1)
    distance = ellipsoid_distance(frame, window, center_nm=center, axes_nm=axes)
    distance *= 1.0 + 0.07 * blotches[window]
    inside = (distance < 1.0) & (labels[window] == index)
    chromatin = np.clip(kind.chromatin * np.exp(rng.normal(0.0, 0.25)), 0.1, 1.1)
    clumps = blotches[window] + 1.6 * chromatin * (distance - 0.45) - 1.2 + 1.1 * chromatin
    grey = 10.0 - 48.0 * (0.5 + 0.5 * chromatin) * np.clip(2.5 * clumps, 0.0, 1.0)
    grey = np.where(distance > 0.93, -42.0, grey)
    nucleolus = center + rng.normal(0.0, 0.25, 3) * axes
    size = np.full(3, rng.uniform(280.0, 420.0) * (1.3 - chromatin * 0.6))
    core = ellipsoid_distance(frame, window, center_nm=nucleolus, axes_nm=size) < 1.0
    grey = np.where(core & (distance < 0.9), -52.0, grey)
    shade[window][inside] = grey[inside]
    taken[window][inside] = True


def _mitochondria(
    rng: np.random.Generator, arbors: Arbors, cells: tuple[Cell, ...]
) -> list[tuple[NDArray[np.int64], NDArray[np.float64], float]]:
    """Runs of vertices (from tip to root), a sideways shift and a radius for each mitochondrion."""
    share = np.array(
        [
            PROCESSES[cells[c].cell_type, COMPARTMENT_NAMES[int(k)]].mitochondria
            if k != COMPARTMENTS["soma"]
            else 0.0
            for c, k in zip(arbors.cells, arbors.kinds, strict=True)
        ]
    )
    axon = arbors.kinds == COMPARTMENTS["axon"]
    # Those of axons are short and lie at boutons; those of dendrites are long.
    steps = np.where(axon, rng.integers(2, 5, len(arbors)), rng.integers(3, 10, len(arbors)))
    weight = np.where(axon, 0.4 + 2.2 * arbors.beads, 1.0)
    chance = np.where(arbors.spines == 0, share / np.maximum(steps, 1) * weight, 0.0)
    runs = []
    used = np.zeros(len(arbors), dtype=bool)
    for start in np.flatnonzero(rng.random(len(arbors)) < chance):
        run = [int(start)]
        while len(run) <= steps[start]:
            parent = int(arbors.parents[run[-1]])
            if parent < 0 or arbors.kinds[parent] != arbors.kinds[start] or used[parent]:
                break
            run.append(parent)
        if len(run) < 2:
            continue
        used[run] = True
        radius = float(np.median(arbors.radii_nm[run]))
        width = float(np.clip(radius * rng.uniform(0.42, 0.6), 95.0, 210.0))
        side = rng.normal(0.0, 1.0, 3)
        side *= 0.6 * max(radius - width, 0.0) / np.linalg.norm(side)
        runs.append((np.array(run), side, width))
    return runs


def _mitochondrion(
    rng: np.random.Generator,
    frame: Frame,
    arbors: Arbors,
    labels: NDArray[np.int32],
    *,
    run: NDArray[np.int64],
    side: NDArray[np.float64],
    width: float,
    shade: NDArray[np.float32],
    taken: NDArray[np.bool_],
) -> None:
    matrix = rng.normal(-20.0, 6.0)
    points = arbors.points_nm[run] + side
    low, high = points.min(axis=0) - width, points.max(axis=0) + width
    window = frame.window(low, high)
    distance = np.full(labels[window].shape, np.inf, dtype=np.float32)
    for a, b in itertools.pairwise(points):
        np.minimum(
            distance,
            capsule_distance(frame, window, start_nm=a, stop_nm=b, radii_nm=(width, width)),
            out=distance,
        )
    inside = (distance < 1.0) & (labels[window] == arbors.cells[run[0]])
    _shade_mitochondrion(rng, frame, window, distance, inside=inside, matrix=matrix, shade=shade, taken=taken)


def _shade_mitochondrion(
    rng: np.random.Generator,
    frame: Frame,
    window: Window,
    distance: NDArray[np.float32],
    *,
    inside: NDArray[np.bool_],
    matrix: float,
    shade: NDArray[np.float32],
    taken: NDArray[np.bool_],
) -> None:
    """Dark outer membrane, matrix, and cristae: parallel sheets about 250 nm apart."""
    dx, dy, dz = frame.offsets(window, np.zeros(3))
    across = rng.normal(0.0, 1.0, 3)
    across *= 2.0 * np.pi / 250.0 / np.linalg.norm(across)
    wave = np.sin(dx * np.float32(across[0]) + dy * np.float32(across[1]) + dz * np.float32(across[2]))
    grey = np.where(distance > 0.62, matrix - 22.0, matrix + 14.0 * wave)
    shade[window][inside] = grey[inside]
    taken[window][inside] = True


def _soma_mitochondria(
    rng: np.random.Generator,
    frame: Frame,
    cells: tuple[Cell, ...],
    labels: NDArray[np.int32],
    *,
    shade: NDArray[np.float32],
    taken: NDArray[np.bool_],
) -> None:
    """Short ones in the shell between nucleus and surface."""
    for index, cell in enumerate(cells):
        if cell.soma_nm is None:
            continue
        nucleus = SOMATA[cell.cell_type].nucleus
        for _ in range(int(rng.integers(14, 34))):
            out = rng.normal(0.0, 1.0, 3)
            out /= np.linalg.norm(out)
            middle = cell.soma_nm + out * cell.soma_axes_nm * rng.uniform(nucleus + 0.1, 0.95)
            lean = np.cross(out, rng.normal(0.0, 1.0, 3))
            lean *= rng.uniform(80.0, 380.0) / max(float(np.linalg.norm(lean)), 1e-9)
            width = float(rng.uniform(110.0, 180.0))
            reach = np.abs(lean) + width
            window = frame.window(middle - reach, middle + reach)
            distance = capsule_distance(
                frame, window, start_nm=middle - lean, stop_nm=middle + lean, radii_nm=(width, width)
            )
            inside = (distance < 1.0) & (labels[window] == index) & ~taken[window]
            _shade_mitochondrion(
                rng,
                frame,
                window,
                distance,
                inside=inside,
                matrix=rng.normal(-20.0, 6.0),
                shade=shade,
                taken=taken,
            )


def _dense_bodies(
    rng: np.random.Generator,
    frame: Frame,
    arbors: Arbors,
    cells: tuple[Cell, ...],
    labels: NDArray[np.int32],
    *,
    shade: NDArray[np.float32],
    taken: NDArray[np.bool_],
) -> None:
    """Lysosomes and lipofuscin: dark balls, commonest in microglia."""
    rate = np.array(
        [
            TEXTURES[cells[c].cell_type, COMPARTMENT_NAMES[int(k)]].bodies
            for c, k in zip(arbors.cells, arbors.kinds, strict=True)
        ]
    )
    count = np.where(arbors.somata, rng.poisson(12.0 * rate), rng.random(len(rate)) < rate * STEP_NM / 1000.0)
    count = np.where(arbors.spines == 0, count, 0)
    for vertex in np.repeat(np.arange(len(arbors)), count):
        cell = cells[arbors.cells[vertex]]
        if arbors.somata[vertex]:
            out = rng.normal(0.0, 1.0, 3)
            out *= rng.uniform(SOMATA[cell.cell_type].nucleus + 0.08, 0.95) / np.linalg.norm(out)
            middle = arbors.points_nm[vertex] + out * cell.soma_axes_nm
            radius = rng.uniform(120.0, 230.0)
        else:
            room = arbors.radii_nm[vertex]
            radius = min(rng.uniform(110.0, 220.0), 0.8 * room)
            middle = arbors.points_nm[vertex] + rng.normal(0.0, 0.25, 3) * room
        window = frame.window(middle - radius, middle + radius)
        distance = ellipsoid_distance(frame, window, center_nm=middle, axes_nm=np.full(3, radius))
        inside = (distance < 1.0) & (labels[window] == arbors.cells[vertex]) & ~taken[window]
        shade[window][inside] = rng.normal(-62.0, 8.0)
        taken[window][inside] = True
