"""Embeddings in memory and in Parquet: one row a node, sharded by segment id."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segclr.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EmbeddingTable"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingTable:
    """Nodes with their embeddings, in any order.

    Attributes:
        segment_ids: uint64 [n], the node's segment.
        node_ids: uint32 [n], unique within a segment.
        points_nm: float32 [n, 3], (x, y, z) in nanometres.
        parents: int32 [n], node_id of the parent in the same segment, -1 for a root; None where the
            topology is unknown (the public release has none).
        embeddings: float32 [n, d].
        n_nodes: int32 [n], nodes that were averaged; None unless this is the result of ``aggregate``.

    Raises:
        DataError: lengths differ, or ids come in a type that cannot hold every uint64.
    """

    segment_ids: NDArray[np.uint64]
    node_ids: NDArray[np.uint32]
    points_nm: NDArray[np.float32]
    parents: NDArray[np.int32] | None
    embeddings: NDArray[np.float32]
    n_nodes: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        """Refuse ids of another type (they may be damaged already) and lengths that differ."""
        ids = np.asarray(self.segment_ids)
        if ids.dtype != np.uint64:
            msg = f"segment_ids must be uint64, got {ids.dtype}: ids above 2**53 do not survive other types"
            raise DataError(msg)
        kinds = {
            "node_ids": np.uint32,
            "points_nm": np.float32,
            "parents": np.int32,
            "embeddings": np.float32,
        }
        for name, dtype in kinds.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=dtype))
        n = len(ids)
        lengths = {f.name: len(v) for f in fields(self) if (v := getattr(self, f.name)) is not None}
        if set(lengths.values()) != {n} or self.embeddings.ndim != 2 or self.points_nm.shape != (n, 3):
            msg = f"columns must have one length and shapes [n, 3], [n, d]; got lengths {lengths}"
            raise DataError(msg)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.segment_ids)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> EmbeddingTable:
        """The rows of an index or mask, in its order."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return EmbeddingTable(**{k: None if v is None else v[rows] for k, v in columns.items()})

    def to_pandas(self) -> pd.DataFrame:
        """One row a node: ids, coordinates, parent, and columns ``e0`` to ``e{d-1}``."""
        import pandas as pd

        columns: dict[str, NDArray[np.generic]] = {"segment_id": self.segment_ids, "node_id": self.node_ids}
        columns |= {f"{axis}_nm": self.points_nm[:, i] for i, axis in enumerate("xyz")}
        if self.parents is not None:
            columns["parent"] = self.parents
        if self.n_nodes is not None:
            columns["n_nodes"] = self.n_nodes
        columns |= {f"e{i}": self.embeddings[:, i] for i in range(self.embeddings.shape[1])}
        return pd.DataFrame(columns)
