"""Few labels out of many: what a lab that labels by hand would have."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.errors import LabelError

__all__ = ["draw_labelled"]


def draw_labelled(
    classes: ArrayLike, *, n: int, seed: int, groups: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Draw labelled rows at random, with at least one of every class.

    One row of each class is drawn first, then others from all that are left, so classes come about as often
    as they are. The rows of a larger ``n`` with the same seed hold those of a smaller one.

    With ``groups``, labels are spread over cells, not over the nodes of a few large ones: after one row of
    each class comes a second one of each from another cell, where there is one, and then the rest in rounds,
    each of one row of every cell that has some left.

    Args:
        classes: [m] the label of each row.
        n: how many to draw; all where there are not more.
        seed: of the draw.
        groups: [m] the cell of each row.

    Returns:
        int64 [min(n, m)], ascending rows.

    Raises:
        LabelError: there are more classes than rows to draw, or groups are of another length.
    """
    labels, rng = np.asarray(classes), np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    second = np.zeros(0, dtype=np.int64)
    if groups is not None:
        _, cell = np.unique(np.asarray(groups), return_inverse=True)
        if cell.shape != labels.shape:
            msg = f"groups must name the cell of each of {len(labels)} rows, got {len(cell)}"
            raise LabelError(msg)
        order = order[np.argsort(_rank_within(cell[order]), kind="stable")]
        second = rng.permutation(_of_another_cell(labels[order], cell[order]))
    names, first = np.unique(labels[order], return_index=True)
    if n < len(names):
        msg = f"{n} labels cannot show {len(names)} classes ({', '.join(map(str, names))}): draw more"
        raise LabelError(msg)
    leading = np.concatenate([first, second])
    drawn = np.concatenate([order[leading], np.delete(order, leading)])
    return np.sort(drawn[:n])


def _rank_within(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many earlier rows have the same cell, [m]."""
    by_cell = np.argsort(cell, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(cell))[:-1]])
    rank = np.empty(len(cell), dtype=np.int64)
    rank[by_cell] = np.arange(len(cell)) - starts[cell[by_cell]]
    return rank


def _of_another_cell(labels: NDArray[np.generic], cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """The earliest row of each class whose cell is not that of the class's first row."""
    _, first, kind = np.unique(labels, return_index=True, return_inverse=True)
    elsewhere = np.flatnonzero(cell != cell[first][kind])
    _, place = np.unique(kind[elsewhere], return_index=True)
    return elsewhere[place]
