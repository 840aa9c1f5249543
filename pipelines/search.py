"""Search among a run's embeddings: which places are like this one?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.embedding_folders import folder_facts, read_folder_of
from pipelines.run import Run
from segclr.errors import ConfigError, SegmentNotFoundError
from segclr.explore import Neighbours, SearchIndex
from segclr.explore.measures import SearchMetric

__all__ = ["SearchRequest", "hit_lines", "search_index", "search_run"]


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """What to look for, and where.

    Attributes:
        at_nm: a place (x, y, z): the node nearest to it asks. This or ``segment_id``.
        segment_id: with ``node_id``, that node asks; alone, the mean of the segment's embeddings does.
        node_id: of the segment.
        k: how many hits.
        metric: of the embeddings.
        other_segments: leave out the asking segment.
        min_distance_um: hits lie at least this far from the asking node, in a straight line.
        only_segments: uint64 [s], hits lie on these; None: on any.
        folder: of the embeddings.
    """

    at_nm: tuple[float, float, float] | None = None
    segment_id: int | None = None
    node_id: int | None = None
    k: int = 10
    metric: SearchMetric = "cosine"
    other_segments: bool = False
    min_distance_um: float = 0.0
    only_segments: NDArray[np.uint64] | None = None
    folder: str = "embeddings"

    def __post_init__(self) -> None:
        """Refuse what does not say who asks."""
        if (self.at_nm is None) == (self.segment_id is None):
            msg = "say where to begin: --at x,y,z or --segment ID, one of the two"
            raise ConfigError(msg)
        if self.node_id is not None and self.segment_id is None:
            msg = f"--node {self.node_id} needs the --segment it is a node of"
            raise ConfigError(msg)
        if self.min_distance_um and self.at_nm is None and self.node_id is None:
            msg = "--min-distance-um is measured from one node: give --node with --segment, or --at"
            raise ConfigError(msg)


def search_index(run: Run, *, metric: SearchMetric = "cosine", folder: str = "embeddings") -> SearchIndex:
    """An index of all nodes of a run.

    Raises:
        ConfigError: the run's configuration has no such folder.
        MissingDataError: it is not made yet.
        DataError: embeddings are not finite.
    """
    return SearchIndex.build(
        read_folder_of(run, folder),
        metric=metric,
        encoder_digest=folder_facts(run, folder).encoder_digest,
        encoder_name=run.config.name,
    )


def search_run(run: Run, request: SearchRequest) -> dict[str, Any]:
    """The nodes most like a place, as plain values: ids as text, since JSON numbers lose digits.

    Keys: ``metric``, ``embeddings``, ``k``, ``n_found``; ``query`` with ``segment_id``, ``node_id``,
    ``point_nm`` and ``distance_from_place_nm``; ``hits``, a list with ``rank``, ``segment_id``,
    ``node_id``, ``point_nm`` and ``similarity`` or ``distance``.

    Raises:
        ConfigError: the run has no such embeddings, or a number is out of range.
        MissingDataError: they are not made yet.
        SegmentNotFoundError: there is no such segment or node.
        DataError: nothing can be like the query, whose embedding is zero.
    """
    index = search_index(run, metric=request.metric, folder=request.folder)
    if request.segment_id is not None and request.node_id is None:
        query, hits = _like_segment(index, request, request.segment_id)
    else:
        query, hits = _like_node(index, request)
    return {
        "metric": request.metric,
        "embeddings": request.folder,
        "k": request.k,
        "n_found": int(hits.n_found[0]),
        "only_segments_without_nodes": _without_nodes(index, request),
        "query": query,
        "hits": _plain(hits),
    }


def _without_nodes(index: SearchIndex, request: SearchRequest) -> list[str]:
    """Ids that hits should lie on, and cannot."""
    if request.only_segments is None:
        return []
    return [str(i) for i in np.setdiff1d(request.only_segments, index.table.segment_ids).tolist()]


def _like_node(index: SearchIndex, request: SearchRequest) -> tuple[dict[str, Any], Neighbours]:
    if request.at_nm is not None:
        row, distance_nm = index.nearest_row(request.at_nm)
    else:
        row, distance_nm = index.row_of(int(request.segment_id or 0), int(request.node_id or 0)), None
    hits = index.query_rows(
        [row],
        request.k,
        other_segments=request.other_segments,
        min_distance_nm=1000 * request.min_distance_um,
        only_segments=request.only_segments,
    )
    table = index.table
    query = {
        "segment_id": str(table.segment_ids[row]),
        "node_id": int(table.node_ids[row]),
        "point_nm": table.points_nm[row].tolist(),
        "distance_from_place_nm": distance_nm,
    }
    return query, hits


def _like_segment(
    index: SearchIndex, request: SearchRequest, segment_id: int
) -> tuple[dict[str, Any], Neighbours]:
    rows = np.flatnonzero(index.table.segment_ids == np.uint64(segment_id))
    if not len(rows):
        msg = f"{request.folder} has no node of segment {segment_id}"
        raise SegmentNotFoundError(msg)
    hits = index.query(
        index.table.embeddings[rows].mean(axis=0, dtype=np.float64),
        request.k,
        other_than=np.array([segment_id], dtype=np.uint64) if request.other_segments else None,
        only_segments=request.only_segments,
    )
    query = {"segment_id": str(segment_id), "node_id": None, "point_nm": None, "distance_from_place_nm": None}
    return query, hits


def _plain(hits: Neighbours) -> list[dict[str, Any]]:
    name = "distance" if hits.similarity is None else "similarity"
    values = getattr(hits, name)
    return [
        {
            "rank": rank + 1,
            "segment_id": str(hits.segment_ids[0, rank]),
            "node_id": int(hits.node_ids[0, rank]),
            "point_nm": hits.points_nm[0, rank].tolist(),
            name: float(values[0, rank]),
        }
        for rank in range(int(hits.n_found[0]))
    ]


def hit_lines(found: dict[str, Any]) -> list[str]:
    """A line about the query and a table of the hits; ids are never cut."""
    query, name = found["query"], "similarity" if found["metric"] == "cosine" else "distance"
    asks = f"the mean of segment {query['segment_id']}"
    if query["node_id"] is not None:
        asks = f"node {query['node_id']} of segment {query['segment_id']} at {_place(query['point_nm'])} nm"
    if query["distance_from_place_nm"] is not None:
        asks += f", {query['distance_from_place_nm']:.0f} nm from the place given"
    rows = [("rank", name, "segment_id", "node_id", "x,y,z (nm)")]
    rows += [
        (str(h["rank"]), f"{h[name]:.4f}", h["segment_id"], str(h["node_id"]), _place(h["point_nm"]))
        for h in found["hits"]
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = ["  ".join(v.rjust(w) for v, w in zip(row, widths, strict=True)) for row in rows]
    missing = found["k"] - found["n_found"]
    few = [f"{found['n_found']} of {found['k']}: no other node passes the filters"] if missing else []
    absent = found["only_segments_without_nodes"]
    if absent:
        listed = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        few.append(f"{len(absent)} of the segments asked for have no node: {listed}")
    return [f"most like {asks}:", *lines, *few]


def _place(point_nm: list[float]) -> str:
    return ",".join(f"{v:.0f}" for v in point_nm)
