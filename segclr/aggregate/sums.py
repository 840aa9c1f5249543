"""What is summed over neighbourhoods, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sums", "UseSums", "Values"]


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the neighbours of some nodes, each node its own neighbour too.

    Attributes:
        rows: int64 [m], the nodes.
        sums: float64 [m, k], of the neighbours' values.
        n_nodes: int32 [m], neighbours.
    """

    rows: NDArray[np.int64]
    sums: NDArray[np.float64]
    n_nodes: NDArray[np.int32]


Values = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""The values [m, k] of some nodes, by row: made where they are needed, so that not all are held twice."""

UseSums = Callable[[Sums], None]
"""Takes the sums of some nodes at a time, every node once; may be called from several threads."""
