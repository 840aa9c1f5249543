"""Embeddings in memory and in Parquet: one row a node, sharded by segment id.

A store is a folder of ``shard-0002-of-0004.parquet``: the name tells how many there must be, so that a lost
shard is an error and not a smaller store.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segclr import files
from segclr.errors import CorruptDataError, DataError, MissingDataError, SegmentNotFoundError
from segclr.store.parquet import read_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EmbeddingStore", "EmbeddingTable", "open_embeddings", "shard_name", "shard_of"]


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
        spread: float32 [n, d], standard deviation of what was averaged; None unless asked for.

    Raises:
        DataError: lengths differ, or ids come in a type that cannot hold every uint64.
    """

    segment_ids: NDArray[np.uint64]
    node_ids: NDArray[np.uint32]
    points_nm: NDArray[np.float32]
    parents: NDArray[np.int32] | None
    embeddings: NDArray[np.float32]
    n_nodes: NDArray[np.int32] | None = None
    spread: NDArray[np.float32] | None = None

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
            "n_nodes": np.int32,
            "spread": np.float32,
        }
        for name, dtype in kinds.items():
            value = getattr(self, name)
            if value is not None:
                converted = np.asarray(value).astype(dtype, copy=False)
                if np.issubdtype(dtype, np.integer) and not np.array_equal(converted, value):
                    msg = f"{name} hold values that do not fit {np.dtype(dtype)}"
                    raise DataError(msg)
                object.__setattr__(self, name, converted)
        n = len(ids)
        lengths = {f.name: len(v) for f in fields(self) if (v := getattr(self, f.name)) is not None}
        flat = all(c.ndim == 1 for c in (ids, self.node_ids, self.parents, self.n_nodes) if c is not None)
        shaped = flat and self.embeddings.ndim == 2 and self.points_nm.shape == (n, 3)
        shaped = shaped and (self.spread is None or self.spread.shape == self.embeddings.shape)
        if set(lengths.values()) != {n} or not shaped:
            msg = f"columns must have one length and shapes [n], [n, 3], [n, d]; got lengths {lengths}"
            raise DataError(msg)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.segment_ids)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> EmbeddingTable:
        """The rows of an index or mask, in its order."""
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {k: None if v is None else v[rows] for k, v in columns.items()}
        return EmbeddingTable(**taken)

    def to_pandas(self) -> pd.DataFrame:
        """One row a node: ids, coordinates, parent, columns ``e0`` to ``e{d-1}``, any ``spread0`` to ..."""
        import pandas as pd

        columns: dict[str, NDArray[np.generic]] = {"segment_id": self.segment_ids, "node_id": self.node_ids}
        columns |= {f"{axis}_nm": self.points_nm[:, i] for i, axis in enumerate("xyz")}
        if self.parents is not None:
            columns["parent"] = self.parents
        if self.n_nodes is not None:
            columns["n_nodes"] = self.n_nodes
        columns |= {f"e{i}": self.embeddings[:, i] for i in range(self.embeddings.shape[1])}
        if self.spread is not None:
            columns |= {f"spread{i}": self.spread[:, i] for i in range(self.spread.shape[1])}
        return pd.DataFrame(columns)

    @staticmethod
    def from_columns(columns: Mapping[str, NDArray[Any]]) -> EmbeddingTable:
        """A table from the columns of a shard."""
        return EmbeddingTable(
            segment_ids=columns["segment_id"],
            node_ids=columns["node_id"],
            points_nm=np.stack([columns[f"{a}_nm"] for a in "xyz"], axis=1),
            parents=columns["parent"],
            embeddings=columns["embedding"],
            n_nodes=columns.get("n_nodes"),
            spread=columns.get("spread"),
        )


def shard_of(segment_ids: NDArray[np.uint64], *, n_shards: int) -> NDArray[np.int64]:
    """Shard of each segment, int64 [n]: the splitmix64 finaliser of the id, modulo the number of shards.

    Ids of real segmentations share their low or high bits, so the id itself would fill shards unevenly.
    Source of the constants: Steele, Lea, Flood, OOPSLA 2014, 10.1145/2660193.2660195.
    """
    x = np.asarray(segment_ids, dtype=np.uint64).copy()
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x % np.uint64(n_shards)).astype(np.int64)


def shard_name(shard: int, n_shards: int) -> str:
    """File name of a shard."""
    return f"shard-{shard:04d}-of-{n_shards:04d}.parquet"


@dataclass(frozen=True)
class EmbeddingStore:
    """Embeddings on disk, looked up by segment.

    Attributes:
        shards: URLs of the shard files, in order.
    """

    shards: tuple[str, ...]

    def __getitem__(self, segment_id: int) -> EmbeddingTable:
        """All nodes of one segment, by node_id.

        Raises:
            SegmentNotFoundError: the segment has no embeddings.
        """
        wanted = np.uint64(segment_id)
        shard = int(shard_of(np.array([wanted]), n_shards=len(self.shards))[0])
        columns = self._read(shard)
        ids = columns["segment_id"]
        first, last = np.searchsorted(ids, wanted, "left"), np.searchsorted(ids, wanted, "right")
        if first == last:
            msg = f"no embeddings of segment {segment_id} in {self.shards[shard]}"
            raise SegmentNotFoundError(msg)
        return EmbeddingTable.from_columns({k: v[first:last] for k, v in columns.items()})

    def _read(self, shard: int) -> dict[str, NDArray[Any]]:
        return _read_shard(self.shards[shard])

    @property
    def segment_ids(self) -> NDArray[np.uint64]:
        """Ids of all segments that have embeddings, sorted, uint64."""
        ids = [np.unique(read_columns(u, ["segment_id"])["segment_id"]) for u in self.shards]
        return np.sort(np.concatenate(ids))

    def read_all(self) -> EmbeddingTable:
        """Everything in memory, sorted by (segment_id, node_id)."""
        parts = [read_columns(u) for u in self.shards]
        columns = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
        order = np.lexsort((columns["node_id"], columns["segment_id"]))
        return EmbeddingTable.from_columns({k: v[order] for k, v in columns.items()})


@functools.lru_cache(maxsize=4)
def _read_shard(url: str) -> dict[str, NDArray[Any]]:
    """A shard as read last: neighbouring look-ups often fall into one."""
    return read_columns(url)


def open_embeddings(url: str) -> EmbeddingStore:
    """Open ``<run>/embeddings`` or one of ``<run>/aggregated/...``.

    Raises:
        MissingDataError: there is no shard.
        CorruptDataError: the shards are not the complete set their names promise.
    """
    shards = files.glob(url, "shard-*.parquet")
    if not shards:
        msg = f"no embeddings at {url}: there is no shard-*.parquet"
        raise MissingDataError(msg)
    found = [re.fullmatch(r"shard-(\d+)-of-(\d+)\.parquet", s.rsplit("/", 1)[1]) for s in shards]
    numbered = sorted((int(m[1]), int(m[2]), s) for m, s in zip(found, shards, strict=True) if m)
    total = numbered[0][1] if numbered else 0
    if [n[:2] for n in numbered] != [(i, total) for i in range(total)]:
        msg = f"{url} holds {len(shards)} shards of {total}: some are missing or of another run"
        raise CorruptDataError(msg)
    _read_shard.cache_clear()  # a store opened anew is read anew: it may have been written again since
    return EmbeddingStore(tuple(url for _, _, url in numbered))
