"""Arbors: the centrelines of all cells of a block, grown together so that they keep clear of each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segclr.config import TissueConfig
from segclr.data.neuropil.cells import Cell, block_size_nm
from segclr.data.neuropil.classes import COMPARTMENTS, NEURONS, PROCESSES, SOMATA
from segclr.data.neuropil.occupancy import Occupancy

__all__ = ["STEP_NM", "Arbors", "grow"]

STEP_NM = 300.0
_CANDIDATES = 14
_FACE_NM = 150.0  # tips stop this close to a face of the block
_MIN_PIECE_UM = 3.0


@dataclass(frozen=True)
class Arbors:
    """Vertices of all trees of a block.

    Attributes:
        points_nm: float64 [n, 3], (x, y, z) in the block's own nanometres.
        parents: int64 [n], -1 for the root of a cell.
        cells: int64 [n], index of the cell.
        kinds: uint8 [n], value of ``COMPARTMENTS``.
        radii_nm: float64 [n].
        path_nm: float64 [n], length from the start of the process.
        beads: float64 [n], 0 between beads to 1 at the middle of a bouton or bead.
        somata: bool [n], the vertex at a soma's centre.
        spines: uint8 [n], 0 shaft, 1 neck, 2 head; spines are no part of the skeleton.
    """

    points_nm: NDArray[np.float64]
    parents: NDArray[np.int64]
    cells: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    radii_nm: NDArray[np.float64]
    path_nm: NDArray[np.float64]
    beads: NDArray[np.float64]
    somata: NDArray[np.bool_]
    spines: NDArray[np.uint8]

    def __len__(self) -> int:
        """Number of vertices."""
        return len(self.parents)


@dataclass
class _Tips:
    """Growing ends, one row each; the only mutable state of the growth."""

    point: NDArray[np.float64]
    heading: NDArray[np.float64]
    cell: NDArray[np.int64]
    role: NDArray[np.int64]
    vertex: NDArray[np.int64]
    radius: NDArray[np.float64]
    path: NDArray[np.float64]
    limit: NDArray[np.float64]
    phase: NDArray[np.float64]

    def take(self, rows: NDArray[np.generic]) -> _Tips:
        return _Tips(**{k: v[rows] for k, v in vars(self).items()})

    def join(self, other: _Tips) -> _Tips:
        return _Tips(**{k: np.concatenate([v, getattr(other, k)]) for k, v in vars(self).items()})


_ROLES = tuple(PROCESSES)


class _Forest:
    """Vertices as they are appended."""

    def __init__(self) -> None:
        self.columns: dict[str, list[NDArray[np.generic]]] = {
            k: []
            for k in ("points_nm", "parents", "cells", "kinds", "radii_nm", "path_nm", "beads", "somata")
        }
        self.n = 0

    def add(self, **columns: NDArray[np.generic]) -> NDArray[np.int64]:
        rows = np.arange(self.n, self.n + len(columns["parents"]))
        for name, value in columns.items():
            self.columns[name].append(value)
        self.n += len(rows)
        return rows

    def finish(self) -> Arbors:
        joined = {k: np.concatenate(v) for k, v in self.columns.items()}
        spines = np.zeros(self.n, dtype=np.uint8)
        return Arbors(**joined, spines=spines)


def grow(config: TissueConfig, cells: tuple[Cell, ...], *, seed: int, block: int) -> Arbors:
    """Grow somata's processes first, then pieces of dendrites and glia, then axons into what is left."""
    rng = np.random.default_rng([seed, block, 2])
    size = block_size_nm(config)
    space = Occupancy(size)
    forest = _Forest()
    for index, cell in enumerate(cells):
        if cell.soma_nm is not None:
            space.mark_ellipsoid(cell.soma_nm, cell.soma_axes_nm + 150.0, index + 1)
    first = [_stems(rng, forest, i, c) for i, c in enumerate(cells) if c.soma_nm is not None]
    if first:
        _wave(rng, forest, space, _stack(first))
    for kinds in (("dendrite", "glia"), ("axon",)):
        pieces = [i for i, c in enumerate(cells) if c.soma_nm is None and c.kind in kinds]
        starts = space.seeds(rng, len(pieces))
        order = rng.permutation(len(pieces))[: len(starts)]
        if len(starts):
            tips = [
                _piece(rng, forest, pieces[o], cells[pieces[o]], p)
                for o, p in zip(order, starts, strict=True)
            ]
            _wave(rng, forest, space, _stack(tips))
    return _without_stubs(forest.finish())


def _stack(tips: list[_Tips]) -> _Tips:
    return _Tips(**{k: np.concatenate([getattr(t, k) for t in tips]) for k in vars(tips[0])})


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _tips(
    rng: np.random.Generator,
    roles: list[tuple[str, str]],
    *,
    cell: int,
    points: NDArray[np.float64],
    headings: NDArray[np.float64],
    vertices: NDArray[np.int64],
) -> _Tips:
    n = len(roles)
    process = [PROCESSES[role] for role in roles]
    spread = rng.normal(0.0, 1.0, n) * [p.radius_spread for p in process]
    return _Tips(
        point=points,
        heading=headings,
        cell=np.full(n, cell),
        role=np.array([_ROLES.index(role) for role in roles]),
        vertex=vertices,
        radius=np.array([p.radius_nm for p in process]) * np.exp(spread),
        path=np.zeros(n),
        limit=np.array([p.length_um for p in process]) * 1000.0 * rng.uniform(0.6, 1.0, n),
        phase=rng.uniform(0.0, 1.0, n),
    )


def _stems(rng: np.random.Generator, forest: _Forest, index: int, cell: Cell) -> _Tips:
    """The soma's vertex, one vertex under its surface for each process, and the tips there."""
    assert cell.soma_nm is not None  # the caller's choice
    low, high = SOMATA[cell.cell_type].stems
    n = int(rng.integers(low, high + 1))
    kinds = ["dendrite"] * (n - 1) + ["axon"] if cell.cell_type in NEURONS else ["glia"] * n
    # Directions spread over the sphere (Fibonacci lattice), turned and shaken.
    k = np.arange(n) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / n), np.pi * (1 + 5**0.5) * k + rng.uniform(0, 2 * np.pi)
    lattice = np.stack(
        [np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1
    )
    headings = _unit(lattice + rng.normal(0.0, 0.2, (n, 3)))
    reach = 1.0 / np.linalg.norm(headings / cell.soma_axes_nm, axis=1)
    points = cell.soma_nm + headings * (0.85 * reach)[:, None]
    soma = COMPARTMENTS["soma"]
    middle = forest.add(
        points_nm=cell.soma_nm[None],
        parents=np.array([-1]),
        cells=np.array([index]),
        kinds=np.array([soma], dtype=np.uint8),
        radii_nm=np.array([cell.soma_axes_nm.min()]),
        path_nm=np.zeros(1),
        beads=np.zeros(1),
        somata=np.ones(1, dtype=bool),
    )
    roles = [(cell.cell_type, kind) for kind in kinds]
    tips = _tips(
        rng, roles, cell=index, points=points, headings=headings, vertices=np.zeros(n, dtype=np.int64)
    )
    tips.vertex = forest.add(
        points_nm=points,
        parents=np.full(n, middle[0]),
        cells=np.full(n, index),
        kinds=np.full(n, soma, dtype=np.uint8),
        radii_nm=tips.radius,
        path_nm=np.zeros(n),
        beads=np.zeros(n),
        somata=np.zeros(n, dtype=bool),
    )
    return tips


def _piece(
    rng: np.random.Generator, forest: _Forest, index: int, cell: Cell, point: NDArray[np.float64]
) -> _Tips:
    """A vertex in free space and two tips that leave it in opposite directions."""
    heading = _unit(rng.normal(0.0, 1.0, 3))
    role = (cell.cell_type, cell.kind)
    tips = _tips(
        rng,
        [role, role],
        cell=index,
        points=np.stack([point, point]),
        headings=np.stack([heading, -heading]),
        vertices=np.zeros(2, dtype=np.int64),
    )
    tips.radius[1] = tips.radius[0]
    tips.phase[1] = tips.phase[0]
    row = forest.add(
        points_nm=point[None],
        parents=np.array([-1]),
        cells=np.array([index]),
        kinds=np.array([COMPARTMENTS[cell.kind]], dtype=np.uint8),
        radii_nm=tips.radius[:1],
        path_nm=np.zeros(1),
        beads=np.zeros(1),
        somata=np.zeros(1, dtype=bool),
    )
    tips.vertex[:] = row[0]
    return tips


def _wave(rng: np.random.Generator, forest: _Forest, space: Occupancy, tips: _Tips) -> None:
    """Grow all tips step by step, together, until every one is blocked or long enough."""
    wander = np.array([p.wander for p in PROCESSES.values()])
    branching = np.array([p.branches_per_um for p in PROCESSES.values()]) * STEP_NM / 1000.0
    taper = np.array([p.taper_um for p in PROCESSES.values()]) * 1000.0
    spacing, swelling = (np.array([p.beads[i] for p in PROCESSES.values()]) for i in (0, 1))
    kind_of = np.array([COMPARTMENTS[kind] for _, kind in PROCESSES], dtype=np.uint8)
    axon = kind_of == COMPARTMENTS["axon"]
    while len(tips.cell):
        n = len(tips.cell)
        # The last candidates bend harder: a way around an obstacle.
        bend = np.where(np.arange(_CANDIDATES) < _CANDIDATES // 2, 1.0, 4.0)
        noise = rng.normal(0.0, 1.0, (n, _CANDIDATES, 3)) * (wander[tips.role][:, None] * bend)[..., None]
        candidates = _unit(tips.heading[:, None] + noise)
        target = tips.point[:, None] + STEP_NM * candidates
        ahead = target + (STEP_NM * 0.6 + tips.radius[:, None, None] * 0.6) * candidates
        free = space.inside(target, _FACE_NM) & space.allows(target, tips.cell[:, None])
        score = np.einsum("nkd,nd->nk", candidates, tips.heading)
        score -= 0.7 * ~space.allows(ahead, tips.cell[:, None])
        score -= 0.5 * space.own(ahead, tips.cell[:, None])
        score = np.where(free, score, -np.inf)
        best = np.argmax(score, axis=1)
        rows = np.arange(n)
        alive = np.isfinite(score[rows, best]) & (tips.path < tips.limit)
        tips, best, rows = tips.take(alive), best[alive], rows[alive]
        if not len(rows):
            return
        tips.heading = candidates[rows, best]
        tips.point = target[rows, best]
        tips.path = tips.path + STEP_NM
        role = tips.role
        base = tips.radius * np.where(taper[role] > 0, np.exp(-tips.path / np.maximum(taper[role], 1.0)), 1.0)
        base = np.maximum(base, 150.0)
        # A bead: a bump around every multiple of its spacing; narrow for boutons, broad for dendrites.
        cycle = (tips.path / spacing[role] + tips.phase) % 1.0
        width = np.where(axon[role], 420.0, 600.0) / spacing[role]
        bead = np.exp(-(((cycle - 0.5) / width) ** 2))
        radius = base * (1.0 + swelling[role] * bead) * np.exp(rng.normal(0.0, 0.06, len(role)))
        # Two tips that took the same place in this step: the first keeps it.
        kept = space.mark_tubes(tips.point, radius, tips.cell + 1)
        tips, radius, bead, role = tips.take(kept), radius[kept], bead[kept], role[kept]
        tips.vertex = forest.add(
            points_nm=tips.point,
            parents=tips.vertex,
            cells=tips.cell,
            kinds=kind_of[role],
            radii_nm=radius,
            path_nm=tips.path,
            beads=bead,
            somata=np.zeros(len(role), dtype=bool),
        )
        split = tips.take(rng.random(len(role)) < branching[role])
        if len(split.cell):
            turn = rng.normal(0.0, 1.0, split.heading.shape)
            turn -= (turn * split.heading).sum(axis=1, keepdims=True) * split.heading
            split.heading = _unit(0.6 * split.heading + _unit(turn))
            split.radius = split.radius * rng.uniform(0.75, 1.0, len(split.cell))
            tips = tips.join(split)


def _without_stubs(arbors: Arbors) -> Arbors:
    """Drop pieces that found no room to grow: too short to be worth a segment."""
    length = np.bincount(arbors.cells, minlength=int(arbors.cells.max()) + 1) * STEP_NM / 1000.0
    has_soma = np.bincount(arbors.cells, arbors.somata, minlength=len(length)) > 0
    keep = (length >= _MIN_PIECE_UM)[arbors.cells] | has_soma[arbors.cells]
    renumber = np.cumsum(keep) - 1
    columns = {k: v[keep] for k, v in vars(arbors).items()}
    columns["parents"] = np.where(columns["parents"] < 0, -1, renumber[columns["parents"]])
    return Arbors(**columns)
