"""Order of blocks along Hilbert's curve: neighbours in the order are neighbours in space.

Every aligned box of 2^k blocks a side is one unbroken piece of the curve, so consecutive blocks share most of
what is read around them, whatever the number that go together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["OCTET_BITS", "hilbert_index"]

_BITS = 20  # of each coordinate: 60 bits of an index, which int64 holds
OCTET_BITS = 3
"""Bits of an index that tell the eight blocks of an aligned 2 x 2 x 2 apart."""


def hilbert_index(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place along the curve of each block (x, y, z) of a grid, int64 [n].

    Source: J. Skilling, Programming the Hilbert curve, AIP Conf. Proc. 707 (2004), 10.1063/1.1751381.

    Args:
        places: int64 [n, 3], each from 0 to 2^20 - 1.

    Raises:
        ValueError: a place lies outside that range.

    >>> hilbert_index(np.array([[0, 0, 0], [2, 0, 0], [1, 1, 1]]))
    array([ 0, 60,  5])
    """
    if len(places) and not (places.min() >= 0 and places.max() < 1 << _BITS):
        msg = f"blocks lie from {places.min()} to {places.max()}; places on the curve are 0 to 2^{_BITS} - 1"
        raise ValueError(msg)
    x = places.astype(np.int64).T.copy()
    bit = 1 << (_BITS - 1)
    while bit > 1:  # undo the excess turns, from the largest cell to the smallest
        below = bit - 1
        for axis in range(3):
            turned = (x[axis] & bit) != 0
            swapped = (x[0] ^ x[axis]) & below
            x[0] ^= np.where(turned, below, swapped)
            x[axis] ^= np.where(turned, 0, swapped)
        bit >>= 1
    for axis in (1, 2):  # Gray code
        x[axis] ^= x[axis - 1]
    flips = np.zeros_like(x[0])
    bit = 1 << (_BITS - 1)
    while bit > 1:
        flips ^= np.where((x[2] & bit) != 0, bit - 1, 0)
        bit >>= 1
    x ^= flips
    index = np.zeros_like(x[0])
    for level in range(_BITS - 1, -1, -1):
        for axis in range(3):
            index = (index << 1) | ((x[axis] >> level) & 1)
    return index
