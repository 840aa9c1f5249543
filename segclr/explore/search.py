"""The places most like a place: exact search among the embeddings of nodes."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segclr.errors import ConfigError, CorruptDataError, DataError, EncoderError, SegmentNotFoundError
from segclr.explore.filters import Filters, check_ids, check_places
from segclr.explore.index_files import read_index, write_index
from segclr.explore.measures import Measure, SearchMetric, measure_of
from segclr.explore.nearest import nearest
from segclr.explore.neighbours import Neighbours
from segclr.store.embeddings import EmbeddingTable

__all__ = ["SearchIndex"]

_FACTS = ("metric", "encoder_digest", "encoder_name")
_MOST_HITS = 10**8  # 4.4 GB of answer


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchIndex:
    """Embeddings to search in, made by :meth:`build`. It holds them twice: 8 bytes a number.

    Attributes:
        table: the nodes, in the order given; ids, points and embeddings only.
        metric: "cosine" or "euclidean".
        encoder_digest: of the encoder that made the embeddings; None if not recorded.
        encoder_name: what to call it.
    """

    table: EmbeddingTable
    metric: SearchMetric
    encoder_digest: str | None
    encoder_name: str

    @staticmethod
    def build(
        table: EmbeddingTable,
        *,
        metric: SearchMetric = "cosine",
        encoder_digest: str | None = None,
        encoder_name: str = "",
    ) -> SearchIndex:
        """An index of all rows of a table.

        Args:
            table: in any order.
            metric: what "like" means. By cosine an embedding of zeros has similarity 0 with all.
            encoder_digest: as in the encoder's ``config.json``; queries of another encoder are then refused.
            encoder_name: what to call it.

        Raises:
            ConfigError: there is no such metric.
            DataError: there is no row, a row is not finite, or a node comes twice.
        """
        if metric not in get_args(SearchMetric):
            msg = f"metric must be one of {', '.join(get_args(SearchMetric))}, got {metric!r}"
            raise ConfigError(msg)
        table = replace(table, parents=None, n_nodes=None, spread=None)
        finite = np.isfinite(table.embeddings).all(axis=1) & np.isfinite(table.points_nm).all(axis=1)
        _refuse(table, np.flatnonzero(~finite), "an embedding or a point that is not finite")
        if table.embeddings.size == 0:
            msg = (
                f"there is nothing to search in: {len(table)} rows of {table.embeddings.shape[1]} dimensions"
            )
            raise DataError(msg)
        order = np.lexsort((table.node_ids, table.segment_ids))
        ids, nodes = table.segment_ids[order], table.node_ids[order]
        again = np.flatnonzero((ids[1:] == ids[:-1]) & (nodes[1:] == nodes[:-1]))
        _refuse(table, order[again], "a (segment_id, node_id) that another row has")
        return SearchIndex(
            table=table, metric=metric, encoder_digest=encoder_digest, encoder_name=encoder_name
        )

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self.table)

    @property
    def dim(self) -> int:
        """Numbers in an embedding."""
        return self.table.embeddings.shape[1]

    @functools.cached_property
    def _measure(self) -> Measure:
        return measure_of(self.metric, self.table.embeddings)

    @functools.cached_property
    def _rank(self) -> NDArray[np.int64]:
        """Place of each row in the order of (segment_id, node_id)."""
        rank = np.empty(len(self), dtype=np.int64)
        rank[np.lexsort((self.table.node_ids, self.table.segment_ids))] = np.arange(len(self))
        return rank

    def query(
        self,
        vectors: NDArray[np.floating],
        k: int = 10,
        *,
        other_than: NDArray[np.uint64] | None = None,
        away_from_nm: ArrayLike | None = None,
        min_distance_nm: float = 0.0,
        only_segments: NDArray[np.uint64] | None = None,
        encoder_digest: str | None = None,
    ) -> Neighbours:
        """The nodes nearest to some vectors, as float64 brute force finds them.

        Args:
            vectors: [m, d], or [d] for one; finite.
            k: how many; a query with fewer candidates has the rest marked (:class:`Neighbours`).
            other_than: uint64 [m], segment of each query; its hits lie on other segments.
            away_from_nm: [m, 3], (x, y, z) in nm, place of each query.
            min_distance_nm: its hits lie at least this far from that place, in a straight line.
            only_segments: uint64 [s]; hits lie on these segments. None: on any.
            encoder_digest: of the vectors' encoder; compared with the index's if both are known.

        Raises:
            ConfigError: ``k`` or ``min_distance_nm`` is out of range, or stands without its place.
            DataError: vectors are of another dimension or not finite, or zero where directions are
                compared; or filters do not fit them.
            EncoderError: the vectors are of another encoder.
        """
        self._check_encoder(encoder_digest)
        queries = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            msg = (
                f"the index holds {self.dim} dimensions: vectors must be [m, {self.dim}], got {queries.shape}"
            )
            raise DataError(msg)
        filters = Filters(
            segment_ids=self.table.segment_ids,
            points_nm=self.table.points_nm,
            other_than=None if other_than is None else check_ids(other_than, "other_than", len(queries)),
            away_from_nm=check_places(away_from_nm, min_distance_nm, len(queries)),
            min_distance_nm=min_distance_nm,
        )
        return self._search(queries, k, filters, only_segments)

    def query_rows(
        self,
        rows: ArrayLike,
        k: int = 10,
        *,
        other_segments: bool = False,
        min_distance_nm: float = 0.0,
        only_segments: NDArray[np.uint64] | None = None,
    ) -> Neighbours:
        """The nodes nearest to nodes of the index; none is among its own hits.

        Args:
            rows: int [m], rows of the table.
            k: how many.
            other_segments: leave out the segment of the asking node.
            min_distance_nm: hits lie at least this far from the asking node, in a straight line.
            only_segments: uint64 [s]; hits lie on these segments. None: on any.

        Raises:
            ConfigError: ``k`` or ``min_distance_nm`` is out of range.
            DataError: there is no such row, or its embedding is zero where directions are compared.
        """
        asked = np.atleast_1d(np.asarray(rows))
        whole = asked.ndim == 1 and (asked.dtype.kind in "iu" or asked.size == 0)
        if not whole or ((asked < 0) | (asked >= len(self))).any():
            msg = f"rows must be whole numbers from 0 to {len(self) - 1}, got {rows!r}"
            raise DataError(msg)
        asked = asked.astype(np.int64)
        places = self.table.points_nm[asked] if min_distance_nm else None
        filters = Filters(
            segment_ids=self.table.segment_ids,
            points_nm=self.table.points_nm,
            other_than=self.table.segment_ids[asked] if other_segments else None,
            away_from_nm=check_places(places, min_distance_nm, len(asked)),
            min_distance_nm=min_distance_nm,
            not_row=asked,
        )
        return self._search(self.table.embeddings[asked].astype(np.float64), k, filters, only_segments)

    def _search(
        self,
        queries: NDArray[np.float64],
        k: int,
        filters: Filters,
        only_segments: NDArray[np.uint64] | None,
    ) -> Neighbours:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            msg = f"k must be a whole number of 1 or more, got {k!r}"
            raise ConfigError(msg)
        if k * max(1, len(queries)) > _MOST_HITS:
            msg = f"{k} hits for each of {len(queries)} queries are too many: ask for fewer"
            raise ConfigError(msg)
        finite = (np.abs(queries) <= np.finfo(np.float32).max).all(axis=1)
        if not finite.all():
            msg = f"{np.sum(~finite)} of {len(queries)} vectors are not finite, such as {finite.argmin()}"
            raise DataError(msg)
        lengths = np.linalg.norm(queries, axis=1)
        if self.metric == "cosine" and not lengths.all():
            msg = f"vector number {lengths.argmin()} is zero: it has no direction, so nothing is like it"
            raise DataError(msg)
        candidates = np.arange(len(self))
        if only_segments is not None:
            candidates = np.flatnonzero(
                np.isin(self.table.segment_ids, check_ids(only_segments, "only_segments"))
            )
        rows, exact = nearest(
            self._measure, queries, int(k), candidates=candidates, rank=self._rank, filters=filters
        )
        found = rows >= 0
        answer = np.where(found, self._measure.answer(np.where(found, exact, 0)), np.float32(np.nan))
        return Neighbours(
            rows=rows,
            segment_ids=np.where(found, self.table.segment_ids[rows], np.uint64(0)),
            node_ids=np.where(found, self.table.node_ids[rows], np.uint32(0)),
            points_nm=np.where(found[..., None], self.table.points_nm[rows], np.float32(np.nan)),
            similarity=answer if self.metric == "cosine" else None,
            distance=answer if self.metric == "euclidean" else None,
        )

    def row_of(self, segment_id: int, node_id: int) -> int:
        """Row of a node.

        Raises:
            DataError: an id is no whole number: a float has lost digits above 2**53.
            SegmentNotFoundError: it is not in the index.
        """
        for name, value in (("segment_id", segment_id), ("node_id", node_id)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                msg = f"{name} must be a whole number, got {value!r} of type {type(value).__name__}"
                raise DataError(msg)
        rows = np.flatnonzero((self.table.segment_ids == segment_id) & (self.table.node_ids == node_id))
        if not len(rows):
            msg = f"the index has no node {node_id} of segment {segment_id}"
            raise SegmentNotFoundError(msg)
        return int(rows[0])

    def nearest_row(self, point_nm: ArrayLike) -> tuple[int, float]:
        """Row of the node nearest to a place (x, y, z) in nm, and how far it is from there, in nm.

        Raises:
            DataError: the place is no finite triple.
        """
        place = np.asarray(point_nm, dtype=np.float64)
        if place.shape != (3,) or not np.isfinite(place).all():
            msg = f"a place is three finite numbers (x, y, z) in nm, got {point_nm!r}"
            raise DataError(msg)
        distance = np.linalg.norm(self.table.points_nm - place, axis=1)
        tied = np.flatnonzero(distance == distance.min())
        row = int(tied[self._rank[tied].argmin()])
        return row, float(distance[row])

    def save(self, url: str) -> None:
        """Write the index into a folder: ``nodes.parquet`` and ``index.json``."""
        write_index(url, self.table, {name: getattr(self, name) for name in _FACTS})

    @staticmethod
    def load(url: str, *, encoder_digest: str | None = None) -> SearchIndex:
        """Read what :meth:`save` wrote.

        Args:
            url: the folder.
            encoder_digest: of the encoder that queries will come from; compared if both are known.

        Raises:
            MissingDataError: there is none.
            CorruptDataError: the files are damaged or of another kind.
            EncoderError: it holds embeddings of another encoder.
        """
        table, facts = read_index(url)
        if set(facts) != set(_FACTS):
            msg = f"{url} cannot be read: index.json must tell {', '.join(_FACTS)}, it tells {sorted(facts)}"
            raise CorruptDataError(msg)
        try:
            index = SearchIndex.build(table, **facts)
        except (TypeError, ConfigError, DataError) as error:
            msg = f"{url} cannot be read: {error}"
            raise CorruptDataError(msg) from error
        index._check_encoder(encoder_digest)
        return index

    def _check_encoder(self, encoder_digest: str | None) -> None:
        if None not in (encoder_digest, self.encoder_digest) and encoder_digest != self.encoder_digest:
            name = f"{self.encoder_name} " if self.encoder_name else ""
            msg = (
                f"the index holds embeddings of encoder {name}{self.encoder_digest}, the query "
                f"is of {encoder_digest}: embeddings of two encoders cannot be compared"
            )
            raise EncoderError(msg)


def _refuse(table: EmbeddingTable, rows: NDArray[np.integer], what: str) -> None:
    if len(rows):
        where = f"node {table.node_ids[rows[0]]} of segment {table.segment_ids[rows[0]]}"
        msg = f"{len(rows)} of {len(table)} rows have {what}, such as {where}"
        raise DataError(msg)
