"""The inner loops of aggregation, compiled by numba.

Only what aggregates imports this module: numba takes a moment to load, and its compiler some seconds at the
first use, or at every start where no folder for compiled code can be written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from segclr.aggregate.grid import Grid

__all__ = ["Averages", "average_in_balls", "average_in_lists"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_Function = TypeVar("_Function", bound=Callable[..., object])


class Averages(NamedTuple):
    """What is averaged, node by node, and where the answers go.

    Attributes:
        values: float32 [n, d].
        weights: float64 [n], positive.
        rows: int64 [n], each node's row of the answers.
        means: float32 [n, d], is filled: the sum of weight times value over the sum of weights.
        n_nodes: int32 [n], is filled.
        spread: float32 [n, d], is filled: the standard deviation, without weights; [0, d] if not wanted.
    """

    values: NDArray[np.float32]
    weights: Floats
    rows: Integers
    means: NDArray[np.float32]
    n_nodes: NDArray[np.int32]
    spread: NDArray[np.float32]


def _compiled(function: _Function) -> _Function:
    """Machine code that leaves other threads the interpreter, kept on disk where that is possible."""
    try:
        return cast("_Function", njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # no folder can be written
        return cast("_Function", njit(nogil=True, error_model="numpy")(function))


@_compiled
def _average(node: int, near: Integers, weights: Floats, work: Averages, sums: Floats) -> None:
    """Answer for one node; sums run in float64, in the order of ``near``."""
    values, row, total = work.values, work.rows[node], 0.0
    sums[:] = 0.0
    whole = len(near) - len(near) % 4
    for k in range(0, whole, 4):  # four rows at a time, in the same order: sums are loaded a quarter as often
        a, b, c, d = values[near[k]], values[near[k + 1]], values[near[k + 2]], values[near[k + 3]]
        p, q, r, s = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        total = total + p + q + r + s
        for i in range(len(sums)):
            sums[i] = sums[i] + p * a[i] + q * b[i] + r * c[i] + s * d[i]
    for k in range(whole, len(near)):
        a, p = values[near[k]], weights[k]
        total += p
        for i in range(len(sums)):
            sums[i] += p * a[i]
    for i in range(len(sums)):
        sums[i] /= total
        work.means[row, i] = sums[i]
    work.n_nodes[row] = len(near)


@_compiled
def _deviate(node: int, near: Integers, work: Averages, mean: Floats) -> None:
    """E[(x - m)^2] - E[x - m]^2, which is true for every m; near the values next to nothing cancels."""
    row, squares, offset = work.rows[node], np.zeros(len(mean)), np.zeros(len(mean))
    for k in range(len(near)):
        value = work.values[near[k]]
        for i in range(len(mean)):
            gap = value[i] - mean[i]
            offset[i] += gap
            squares[i] += gap * gap
    for i in range(len(mean)):
        offset[i] /= len(near)
        work.spread[row, i] = math.sqrt(max(squares[i] / len(near) - offset[i] * offset[i], 0.0))


@_compiled
def _move(low: Integers, high: Integers, grid: Grid, node: int, last: int) -> None:
    """Take the runs of cells around the last node on to those around this one."""
    cells = grid.cells
    for k in range(len(low)):
        middle = cells[node] + grid.columns[k]
        while low[k] < last and cells[low[k]] < middle - 1:
            low[k] += 1
        high[k] = max(low[k], high[k])
        while high[k] < last and cells[high[k]] <= middle + 1:
            high[k] += 1


@_compiled
def _scan(
    low: Integers, high: Integers, grid: Grid, node: int, square: float, near: Integers, gaps: Floats
) -> int:
    """Fill in the nodes of these runs that are within reach, and their squared distances; their number."""
    x, y, z = grid.x, grid.y, grid.z
    n = 0
    for k in range(len(low)):
        for other in range(low[k], high[k]):
            gx, gy, gz = x[node] - x[other], y[node] - y[other], z[node] - z[other]
            near[n] = other
            gaps[n] = gx * gx + gy * gy + gz * gz
            n += gaps[n] <= square
    return n


@_compiled
def average_in_balls(begin: int, end: int, grid: Grid, square: float, falls: float, work: Averages) -> None:
    """Average over the nodes of the same segment within reach, for nodes in the grid's order.

    Args:
        begin: first of the nodes to answer for.
        end: one after the last.
        grid: of all nodes.
        square: the largest squared distance, nm^2, that is within reach.
        falls: a neighbour's weight is multiplied by exp(-falls d^2 / square).
        work: of the nodes in the grid's order.
    """
    first = last = begin
    sums = np.empty(work.values.shape[1])
    low, high = np.empty(len(grid.columns), np.int64), np.empty(len(grid.columns), np.int64)
    near, gaps, weights = np.empty(0, np.int64), np.empty(0), np.empty(0)
    for node in range(begin, end):
        if node == last:
            segment = np.searchsorted(grid.segments, node, side="right") - 1
            first, last = grid.segments[segment], grid.segments[segment + 1]
            if last - first > len(near):
                size = last - first
                near, gaps, weights = np.empty(size, np.int64), np.empty(size), np.empty(size)
            for k in range(len(low)):
                from_cell = grid.cells[node] + grid.columns[k] - 1
                low[k] = high[k] = first + np.searchsorted(grid.cells[first:last], from_cell)
            _move(low, high, grid, node, last)
        elif grid.cells[node] != grid.cells[node - 1]:
            _move(low, high, grid, node, last)
        n = _scan(low, high, grid, node, square, near, gaps)
        for k in range(n):
            weights[k] = work.weights[near[k]]
            if falls > 0 and square > 0:
                weights[k] *= math.exp(-falls * (gaps[k] / square))
        _average(node, near[:n], weights[:n], work, sums)
        if len(work.spread):
            _deviate(node, near[:n], work, sums)


@_compiled
def average_in_lists(
    start: int, first: NDArray[np.int32], near: Integers, weights: Floats, work: Averages
) -> None:
    """Average over given neighbours.

    Args:
        start: first of the nodes to answer for.
        first: where each one's neighbours begin, and where the last one's end.
        near: the neighbours.
        weights: of the neighbours.
        work: of all nodes.
    """
    sums = np.empty(work.values.shape[1])
    for k in range(len(first) - 1):
        run = slice(first[k], first[k + 1])
        _average(start + k, near[run], weights[run], work, sums)
        if len(work.spread):
            _deviate(start + k, near[run], work, sums)
