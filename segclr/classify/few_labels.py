"""Few labels out of many: what a lab that labels by hand would have."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.errors import LabelError

__all__ = ["draw_labelled"]


def draw_labelled(classes: ArrayLike, *, n: int, seed: int) -> NDArray[np.int64]:
    """Draw labelled rows at random, with at least one of every class.

    One row of each class is drawn first, then others from all that are left, so classes come about as often
    as they are. The rows of a larger ``n`` with the same seed hold those of a smaller one.

    Args:
        classes: [m] the label of each row.
        n: how many to draw; all where there are not more.
        seed: of the draw.

    Returns:
        int64 [min(n, m)], ascending rows.

    Raises:
        LabelError: there are more classes than rows to draw.
    """
    labels = np.asarray(classes)
    order = np.random.default_rng(seed).permutation(len(labels))
    names, first = np.unique(labels[order], return_index=True)
    if n < len(names):
        msg = f"{n} labels cannot show {len(names)} classes ({', '.join(map(str, names))}): draw more"
        raise LabelError(msg)
    drawn = np.concatenate([order[first], np.delete(order, first)])
    return np.sort(drawn[:n])
