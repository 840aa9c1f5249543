"""Dendritic spines: a thin neck and a head, beside the arbor's own vertices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segclr.data.neuropil.cells import Cell
from segclr.data.neuropil.classes import COMPARTMENTS, PROCESSES
from segclr.data.neuropil.grow import STEP_NM, Arbors

__all__ = ["add_spines"]

_NECK_NM = 115.0  # radius; thinner would vanish at 64 nm voxels


def add_spines(
    arbors: Arbors, cells: tuple[Cell, ...], *, size_nm: NDArray[np.float64], seed: int, block: int
) -> Arbors:
    """The arbors with spines appended: for each a vertex at the neck's end and one at the head's middle."""
    rng = np.random.default_rng([seed, block, 3])
    rate = np.array(
        [
            PROCESSES.get((c.cell_type, "dendrite"), PROCESSES["astrocyte", "glia"]).spines_per_um
            for c in cells
        ]
    )
    rate = rate * np.exp(rng.normal(0.0, 0.45, len(cells)))
    dendrite = (arbors.kinds == COMPARTMENTS["dendrite"]) & (arbors.parents >= 0) & (arbors.path_nm > 900.0)
    chance = np.where(dendrite, rate[arbors.cells] * STEP_NM / 1000.0, 0.0)
    base = np.flatnonzero(rng.random(len(arbors)) < chance)
    n = len(base)
    along = arbors.points_nm[base] - arbors.points_nm[arbors.parents[base]]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    out = rng.normal(0.0, 1.0, (n, 3))
    out -= (out * along).sum(axis=1, keepdims=True) * along
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    radius = arbors.radii_nm[base]
    head = rng.uniform(190.0, 330.0, n)
    neck_end = arbors.points_nm[base] + out * (radius + rng.uniform(200.0, 550.0, n))[:, None]
    middle = neck_end + (out + rng.normal(0.0, 0.25, (n, 3))) * (0.7 * head)[:, None]
    inside = np.all((middle > 200.0) & (middle < size_nm - 200.0), axis=1)
    base, neck_end, middle, head = base[inside], neck_end[inside], middle[inside], head[inside]
    n = len(base)
    necks = len(arbors) + np.arange(n)
    return Arbors(
        points_nm=np.concatenate([arbors.points_nm, neck_end, middle]),
        parents=np.concatenate([arbors.parents, base, necks]),
        cells=np.concatenate([arbors.cells, arbors.cells[base], arbors.cells[base]]),
        kinds=np.concatenate([arbors.kinds, arbors.kinds[base], arbors.kinds[base]]),
        radii_nm=np.concatenate([arbors.radii_nm, np.full(n, _NECK_NM), head]),
        path_nm=np.concatenate([arbors.path_nm, arbors.path_nm[base], arbors.path_nm[base]]),
        beads=np.concatenate([arbors.beads, np.zeros(2 * n)]),
        somata=np.concatenate([arbors.somata, np.zeros(2 * n, dtype=bool)]),
        spines=np.concatenate([arbors.spines, np.full(n, 1, np.uint8), np.full(n, 2, np.uint8)]),
    )
