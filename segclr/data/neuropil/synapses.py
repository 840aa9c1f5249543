"""Synapses: a bouton, the neighbour it touches, and the densities between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segclr.data.neuropil.cells import Cell
from segclr.data.neuropil.classes import COMPARTMENTS, NEURONS
from segclr.data.neuropil.frame import Frame
from segclr.data.neuropil.grow import Arbors
from segclr.data.neuropil.paint import NOBODY

__all__ = ["Synapse", "boutons", "draw_synapses"]

_BOUTON = 0.7
_SHARE = 0.9  # of the boutons that make a synapse where they touch a partner
_MIN_CONTACT = 4  # voxel faces
# How gladly a bouton takes a partner, by its own type: spine heads first for excitatory ones.
_TASTE = {
    "excitatory": {"head": 8.0, "dendrite": 1.0, "soma": 0.05},
    "inhibitory": {"head": 0.4, "dendrite": 1.0, "soma": 2.5},
}
_PATCH_NM = {"excitatory": 300.0, "inhibitory": 260.0}


@dataclass(frozen=True)
class Synapse:
    """One synapse.

    Attributes:
        pre: index of the axon's cell.
        post: index of the cell it talks to.
        voxel_zyx: voxel of the axon that shares a face with the partner.
    """

    pre: int
    post: int
    voxel_zyx: tuple[int, int, int]


def boutons(arbors: Arbors) -> NDArray[np.int64]:
    """Vertices at the middle of an axon's boutons."""
    child = np.flatnonzero(arbors.parents >= 0)
    best_child = np.zeros(len(arbors))
    np.maximum.at(best_child, arbors.parents[child], arbors.beads[child])
    parent = np.where(arbors.parents >= 0, arbors.beads[np.maximum(arbors.parents, 0)], 0.0)
    peak = (arbors.beads >= best_child) & (arbors.beads > parent) & (arbors.beads > _BOUTON)
    return np.flatnonzero(peak & (arbors.kinds == COMPARTMENTS["axon"]))


def draw_synapses(
    frame: Frame,
    arbors: Arbors,
    cells: tuple[Cell, ...],
    owner: NDArray[np.int32],
    labels: NDArray[np.int32],
    *,
    shade: NDArray[np.float32],
    vesicles: NDArray[np.uint8],
    seed: int,
    block: int,
) -> list[Synapse]:
    """Find each bouton's partner; darken the contact in ``shade`` and set ``vesicles`` behind it.

    An excitatory contact has a thick density on the far side, an inhibitory one thin densities on both.
    """
    rng = np.random.default_rng([seed, block, 6])
    taste = _tastes(arbors, cells)
    found: list[Synapse] = []
    for vertex in boutons(arbors):
        pre = int(arbors.cells[vertex])
        kind = cells[pre].cell_type
        wanted = bool(rng.random() < _SHARE)
        dark = float(np.clip(rng.normal(1.0, 0.3), 0.4, 1.6))
        reach = arbors.radii_nm[vertex] * 1.35 + 250.0
        point = arbors.points_nm[vertex]
        window = frame.window(point - reach, point + reach)
        mine = labels[window] == pre
        if not mine.any():
            continue
        dx, dy, dz = frame.offsets(window, point)
        vesicles[window][mine & (dx * dx + dy * dy + dz * dz < (0.9 * arbors.radii_nm[vertex]) ** 2)] = 1
        contact = _contact(labels[window], owner[window], mine, taste[kind]) if wanted else None
        if contact is None:
            continue
        post, at = contact
        z, y, x = (s.start + int(i) for s, i in zip(window, at, strict=True))
        found.append(Synapse(pre, post, (z, y, x)))
        size = frame.voxel_size_nm
        center = (np.array([w.start for w in window]) + at + 0.5)[::-1] * size
        dx, dy, dz = frame.offsets(window, center)
        square = dx * dx + dy * dy + dz * dz
        patch = square < _PATCH_NM[kind] ** 2
        vesicles[window][mine & (square < (_PATCH_NM[kind] * 1.7) ** 2)] = 1
        far_side = (labels[window] == post) & patch
        if kind == "excitatory":
            near = ndimage.binary_dilation(mine, iterations=2)
            shade[window][far_side & near] -= 58.0 * dark
        else:
            rim = ndimage.binary_dilation(far_side)
            near = ndimage.binary_dilation(mine)
            shade[window][far_side & near] -= 30.0 * dark
            shade[window][mine & rim & patch] -= 26.0 * dark
    return found


def _tastes(arbors: Arbors, cells: tuple[Cell, ...]) -> dict[str, NDArray[np.float64]]:
    """Weight of each vertex as a partner, by the bouton's type; the last row is nobody's."""
    neuron = np.array([c.cell_type in NEURONS for c in cells])[arbors.cells]
    head = arbors.spines == 2
    dendrite = arbors.kinds == COMPARTMENTS["dendrite"]
    soma = arbors.kinds == COMPARTMENTS["soma"]
    weights = {}
    for kind, by_place in _TASTE.items():
        weight = np.where(soma, by_place["soma"], np.where(dendrite, by_place["dendrite"], 0.0))
        weight = np.where(head, by_place["head"], weight)
        weights[kind] = np.append(np.where(neuron, weight, 0.0), 0.0)
    return weights


def _contact(
    labels: NDArray[np.int32],
    owner: NDArray[np.int32],
    mine: NDArray[np.bool_],
    taste: NDArray[np.float64],
) -> tuple[int, NDArray[np.int64]] | None:
    """The best partner among the neighbours and the middle voxel of the contact on the bouton's side."""
    sides: list[NDArray[np.int64]] = []
    partners: list[NDArray[np.int32]] = []
    weights: list[NDArray[np.float64]] = []
    for axis in range(3):
        for a, b in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            here = tuple(a if i == axis else slice(None) for i in range(3))
            there = tuple(b if i == axis else slice(None) for i in range(3))
            touch = mine[here] & ~mine[there] & (labels[there] != NOBODY)
            at = np.argwhere(touch)
            at[:, axis] += a.start or 0
            sides.append(at)
            partners.append(labels[there][touch])
            weights.append(taste[owner[there][touch]])
    side, partner, weight = np.concatenate(sides), np.concatenate(partners), np.concatenate(weights)
    side, partner, weight = side[weight > 0], partner[weight > 0], weight[weight > 0]
    if not len(partner):
        return None
    names, inverse, counts = np.unique(partner, return_inverse=True, return_counts=True)
    score = np.bincount(inverse, weights=weight) * (counts >= _MIN_CONTACT)
    best = int(np.argmax(score))
    if score[best] <= 0:
        return None
    rows = side[inverse == best]
    middle = np.average(rows, axis=0, weights=weight[inverse == best])
    return int(names[best]), rows[np.argmin(((rows - middle) ** 2).sum(axis=1))]
