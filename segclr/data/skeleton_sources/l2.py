"""Skeletons from the level-2 graph of a chunked graph, as CAVE serves it (extra ``cave``).

A level-2 node is the part of a segment within one chunk (about 2 um). Its vertex is the node's representative
point, the edges are the graph's. That graph has cycles, where a segment meets itself in neighbouring chunks:
they are broken by taking the minimum spanning forest by Euclidean length. A node that the cache has no point
for is left out and counted, and its neighbours are joined, so that one tree stays one tree; a segment of
which most nodes have none counts as absent.
Idea: pcg_skel, 10.5281/zenodo.7703278.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import requests
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from segclr.data.skeleton import Skeleton
from segclr.data.skeleton_sources.source import SkeletonBatch, Unit
from segclr.errors import ConfigError, MissingDataError, SkeletonError

__all__ = ["L2Skeletons", "join_around", "open_source", "spanning_forest"]

_BATCH = 10_000
"""Nodes asked for in one request to the cache."""

_NOWHERE = (np.nan, np.nan, np.nan)
"""Place of a node that the cache knows no point of."""


def open_source(path: str, unit: Unit) -> L2Skeletons:
    """A datastack: ``NAME``, ``NAME?version=1300``, ``NAME?server=https://...&version=...``.

    Raises:
        ConfigError: caveclient is not installed, a parameter is unknown, or a unit is given.
        MissingDataError: the server does not answer.
    """
    datastack, _, query = path.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = set(options) - {"server", "version"}
    version = options.get("version")
    if not datastack or unknown or (version is not None and not version.isdigit()):
        msg = (
            f"l2://{path}: a datastack's name is needed; allowed behind it are server=URL and version=NUMBER"
        )
        raise ConfigError(msg)
    if unit != Unit.of(1.0):
        msg = f"l2://{path}: points of the level-2 cache are in nm, leave out unit_nm {unit.nm}"
        raise ConfigError(msg)
    source = L2Skeletons(datastack, options.get("server"), None if version is None else int(version))
    _client.cache_clear()
    _client(source)
    return source


@dataclass(frozen=True)
class L2Skeletons:
    """Level-2 graphs of one datastack.

    Attributes:
        datastack: its name.
        server: global server; None for the one caveclient knows for the datastack.
        version: materialization version whose time stamp decides which root ids are current; None for now.
    """

    datastack: str
    server: str | None = None
    version: int | None = None

    @property
    def url(self) -> str:
        """The datastack, with its version."""
        return f"l2://{self.datastack}" + ("" if self.version is None else f"?version={self.version}")

    def segment_ids(self) -> NDArray[np.uint64]:
        """Refuse: a chunked graph has no list of its roots.

        Raises:
            SkeletonError: always.
        """
        msg = f"{self.url} cannot list its segments; give segment_ids"
        raise SkeletonError(msg)

    def read(self, segment_ids: NDArray[np.uint64]) -> SkeletonBatch:
        """Skeletons of root ids; radii are the largest distance to the surface within each chunk.

        Raises:
            SkeletonError: root ids are outdated; the message names them and their successors.
            MissingDataError: the server does not answer.
        """
        ids = np.asarray(segment_ids, dtype=np.uint64)
        with _answers(self.url):
            graph = _client(self).chunkedgraph
            latest = np.asarray(graph.is_latest_roots(ids), dtype=bool) if len(ids) else np.zeros(0, bool)
            successors = {i: _successors(graph, i) for i in ids[~latest].tolist()}
            outdated = {i: s for i, s in successors.items() if s is not None}
            if outdated:
                raise SkeletonError(_describe(self.url, outdated, len(ids)))
            read = {i: self._skeleton(i) for i in ids[latest].tolist()}
        found = [skeleton for skeleton, _ in read.values() if skeleton is not None]
        counts = {
            "chunks_without_point": sum(n for skeleton, n in read.values() if skeleton is not None),
            "segments_without_points": len(read) - len(found),
        }
        there = {skeleton.segment_id for skeleton in found}
        absent = np.array([i for i in ids.tolist() if i not in there], dtype=np.uint64)
        return SkeletonBatch(tuple(found), absent, counts)

    def _skeleton(self, root_id: int) -> tuple[Skeleton | None, int]:
        """The skeleton of one root, None where most nodes have no point; and how many have none."""
        client = _client(self)
        pairs = client.chunkedgraph.level2_chunk_graph(root_id)
        edges = np.array(pairs, dtype=np.uint64).reshape(-1, 2)
        nodes = np.unique(edges)
        if not len(nodes):  # a segment within one chunk has a node and no edge
            nodes = np.unique(
                np.array(client.chunkedgraph.get_leaves(root_id, stop_layer=2), dtype=np.uint64)
            )
        facts: dict[int, dict[str, Any]] = {}
        for batch in np.split(nodes, range(_BATCH, len(nodes), _BATCH)):
            answer = client.l2cache.get_l2data(batch.tolist(), attributes=["rep_coord_nm", "max_dt_nm"])
            facts |= {int(k): v or {} for k, v in answer.items()}
        rows = [facts.get(n, {}) for n in nodes.tolist()]
        points = np.array([f.get("rep_coord_nm") or _NOWHERE for f in rows], dtype=np.float64).reshape(-1, 3)
        radii = np.array([f.get("max_dt_nm") or np.nan for f in rows], dtype=np.float64)
        unknown: NDArray[np.bool_] = np.isnan(points[:, 0])
        if 2 * unknown.sum() > len(nodes) or not len(nodes):
            return None, int(unknown.sum())
        forest = spanning_forest(points, np.searchsorted(nodes, edges))
        made = Skeleton.from_edges(
            root_id,
            points_nm=points[~unknown],
            edges=join_around(forest, unknown),
            radii_nm=radii[~unknown],
        )
        return made, int(unknown.sum())


def spanning_forest(points: NDArray[np.float64], edges: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The edges of the minimum spanning forest by Euclidean length, int64 [k, 2]; equal input, equal answer.

    Args:
        points: [n, 3]; NaN where a node has no point: edges to it are taken last.
        edges: [m, 2], pairs of nodes.
    """
    edges = np.unique(np.sort(np.asarray(edges, dtype=np.int64).reshape(-1, 2), axis=1), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    # SciPy takes a length of 0 for no edge; one more on every edge leaves the same forests shortest.
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1) + 1.0
    lengths = np.where(np.isnan(lengths), np.nanmax(lengths, initial=1.0) + 1.0, lengths)
    graph = coo_matrix((lengths, (edges[:, 0], edges[:, 1])), shape=(len(points), len(points)))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    return np.stack([tree.row, tree.col], axis=1).astype(np.int64)


def join_around(forest: NDArray[np.int64], left_out: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Edges of a forest among the nodes that stay, numbered anew, int64 [k, 2].

    The neighbours of each connected group of nodes left out are joined to the first of them, so that what
    hung together still does.

    Args:
        forest: [m, 2], pairs of nodes.
        left_out: bool [n].
    """
    n_out = left_out[forest].sum(axis=1)
    within = forest[n_out == 2]
    graph = coo_matrix((np.ones(len(within)), (within[:, 0], within[:, 1])), shape=(len(left_out),) * 2)
    _, group = connected_components(graph, directed=False)
    first: dict[int, int] = {}
    bridges = []
    for a, b in forest[n_out == 1].tolist():
        out, stays = (a, b) if left_out[a] else (b, a)
        hub = first.setdefault(int(group[out]), stays)
        if hub != stays:
            bridges.append((hub, stays))
    kept = np.concatenate([forest[n_out == 0], np.array(bridges, dtype=np.int64).reshape(-1, 2)])
    return (np.cumsum(~left_out) - 1)[kept]


@functools.lru_cache(maxsize=2)
def _client(source: L2Skeletons) -> Any:
    """One client a process."""
    try:
        from caveclient import CAVEclient
    except ImportError as error:
        msg = "l2:// needs caveclient, which is not installed: pip install 'segclr[cave]'"
        raise ConfigError(msg) from error
    with _answers(source.url):
        return CAVEclient(
            source.datastack, server_address=source.server, version=source.version, write_server_cache=False
        )


def _successors(graph: Any, root_id: int) -> list[int] | None:
    """The roots that an outdated root has become; None where the graph knows no such root."""
    try:
        return sorted(int(r) for r in graph.get_latest_roots(root_id) if int(r) != root_id)
    except requests.HTTPError as error:
        if error.response is not None and error.response.status_code in (400, 404):
            return None
        raise


def _describe(url: str, outdated: dict[int, list[int]], n_ids: int) -> str:
    def line(root_id: int, now: list[int]) -> str:
        names = ", ".join(map(str, now[:5])) + (" ..." if len(now) > 5 else "")
        return f"{root_id} (now {names or 'unknown'})"

    shown = "; ".join(line(*item) for item in list(outdated.items())[:10])
    more = f"; and {len(outdated) - 10} more" if len(outdated) > 10 else ""
    return f"{len(outdated)} of {n_ids} root ids are not current in {url}: {shown}{more}"


@contextmanager
def _answers(url: str) -> Iterator[None]:
    """A server that does not answer, or refuses, as the project's error."""
    try:
        yield
    except requests.RequestException as error:
        msg = f"{url} does not answer as it should: {error}"
        raise MissingDataError(msg) from error
