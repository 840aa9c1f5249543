"""What a search answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Neighbours"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """The nodes most like each of m queries, the most like first; ties by (segment_id, node_id).

    A query with fewer than k hits has rows of -1 behind them, with ids of 0 and numbers that are NaN.

    Attributes:
        rows: int64 [m, k], rows of the index's table, -1 where there is no hit.
        segment_ids: uint64 [m, k].
        node_ids: uint32 [m, k].
        points_nm: float32 [m, k, 3], (x, y, z) in nanometres.
        similarity: float32 [m, k], cosine, -1 to 1; None where the index is Euclidean.
        distance: float32 [m, k], Euclidean, in the embeddings' own units; None where it is by cosine.
    """

    rows: NDArray[np.int64]
    segment_ids: NDArray[np.uint64]
    node_ids: NDArray[np.uint32]
    points_nm: NDArray[np.float32]
    similarity: NDArray[np.float32] | None = None
    distance: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.rows)

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which places hold a hit, bool [m, k]."""
        return self.rows >= 0

    @property
    def n_found(self) -> NDArray[np.int64]:
        """Hits of each query, int64 [m]: below k where there were no more."""
        return np.asarray(self.found.sum(axis=1), dtype=np.int64)

    def to_pandas(self) -> pd.DataFrame:
        """One row a hit: query, rank (from 1), segment_id, node_id, x_nm, y_nm, z_nm, and how near it is."""
        import pandas as pd

        query, place = np.nonzero(self.found)
        points = self.points_nm[query, place]
        columns: dict[str, NDArray[np.generic]] = {
            "query": query,
            "rank": place + 1,
            "segment_id": self.segment_ids[query, place],
            "node_id": self.node_ids[query, place],
            "x_nm": points[:, 0],
            "y_nm": points[:, 1],
            "z_nm": points[:, 2],
        }
        for name in ("similarity", "distance"):
            values = getattr(self, name)
            if values is not None:
                columns[name] = values[query, place]
        return pd.DataFrame(columns)
