"""A run's nodes as coloured points: classes, uncertainty, clusters, principal components, segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.node_results import read_node_result
from pipelines.nodes import nodes_left
from pipelines.run import Run
from segclr import files
from segclr.data.nodes import NodeTable
from segclr.errors import ConfigError, MissingDataError, SegmentNotFoundError
from segclr.explore.project import project
from segclr.store.embeddings import open_embeddings
from segclr.store.keys import find_keys, keys_of
from segclr.store.parquet import read_columns
from segclr.view.points import (
    Colouring,
    NodePoints,
    colour_by_class,
    colour_by_components,
    colour_by_number,
    colour_by_segment,
)

__all__ = ["ColourBy", "PointChoice", "read_points"]

ColourBy = Literal["class", "uncertainty", "cluster", "pca", "segment"]

_N_COMPONENTS = 3
_FITTED = 200_000  # nodes, evenly from all shards, that principal components are fitted to


@dataclass(frozen=True, kw_only=True)
class PointChoice:
    """Which nodes, and in which colours.

    Attributes:
        colour: what colours show; None: class where something was predicted, else principal components
            where nodes are embedded, else segments.
        table: name of the predictions or clusters; None: the first, and the others are told.
        segment_ids: nodes of these segments alone; none: of all.
        max_points: beyond so many, a random sample is taken.
    """

    colour: ColourBy | None = None
    table: str | None = None
    segment_ids: tuple[int, ...] = ()
    max_points: int = 1_000_000


def read_points(run: Run, choice: PointChoice) -> tuple[NodePoints, list[str]]:
    """The points, and what is to be told about those left out.

    Raises:
        MissingDataError: the run has no nodes yet, or not what colours shall show; the message says which
            command makes it.
        ConfigError: there is no table of the name, or none is needed.
        SegmentNotFoundError: a segment has no nodes.
    """
    colour = choice.colour or _best(run)
    if choice.table is not None and colour not in _FOLDERS:
        msg = f"--table is for {', '.join(_FOLDERS)}; nodes are coloured by {colour}"
        raise ConfigError(msg)
    nodes = _chosen(nodes_left(run), choice.segment_ids)
    if colour == "segment":
        nodes, told = _sample(run, nodes, choice.max_points)
        return _points(nodes, colour_by_segment(nodes.segment_ids)), told
    if colour == "pca":
        nodes, told = _sample(run, nodes, choice.max_points)
        return _with_components(run, nodes, told)
    columns, title, others = _table(run, colour, choice.table)
    nodes, rows, missing = _joined(nodes, columns, title)
    kept, told = _sample(run, nodes, choice.max_points)
    rows = rows[find_keys(_keys(nodes), _keys(kept))]
    colouring = _COLOURINGS[colour]({k: v[rows] for k, v in columns.items()}, title)
    return _points(kept, colouring), others + missing + told


def _best(run: Run) -> ColourBy:
    if files.glob(run.path("predictions"), "*.json"):
        return "class"
    return "pca" if files.glob(run.path("embeddings"), "shard-*.parquet") else "segment"


def _by_class(columns: Mapping[str, NDArray[Any]], title: str) -> Colouring:
    return colour_by_class(columns["class"].tolist(), title=title, grey=("unknown",))


def _by_uncertainty(columns: Mapping[str, NDArray[Any]], title: str) -> Colouring:
    return colour_by_number(columns["uncertainty"], name="uncertainty", title=title)


def _by_cluster(columns: Mapping[str, NDArray[Any]], title: str) -> Colouring:
    width = len(str(columns["cluster"].max()))
    names = [f"cluster {i:0{width}d}" if i >= 0 else "noise" for i in columns["cluster"].tolist()]
    return colour_by_class(names, title=title, grey=("noise",))


_COLOURINGS: dict[str, Callable[[Mapping[str, NDArray[Any]], str], Colouring]] = {
    "class": _by_class,
    "uncertainty": _by_uncertainty,
    "cluster": _by_cluster,
}
_FOLDERS = {"class": "predictions", "uncertainty": "predictions", "cluster": "clusters"}
_MAKERS = {
    "predictions": "`segclr classify fit`, then `segclr classify predict`",
    "clusters": "`segclr cluster`",
}


def _table(run: Run, colour: str, name: str | None) -> tuple[dict[str, NDArray[Any]], str, list[str]]:
    """Columns of the table to colour by, sorted by key, what it is called, and what else there was."""
    folder = _FOLDERS[colour]
    found = [u.rsplit("/", 1)[1].removesuffix(".json") for u in files.glob(run.path(folder), "*.json")]
    if not found:
        msg = (
            f"{run.url} has no {folder} yet, so nodes cannot be coloured by {colour}: {_MAKERS[folder]} first"
        )
        raise MissingDataError(msg)
    others = [other for other in found[1:] if name is None]
    name = name or found[0]
    if name not in found:
        msg = f"{run.url} has no {folder} {name!r}; it has {', '.join(found)}"
        raise ConfigError(msg)
    wanted = ("segment_id", "node_id", colour)
    columns, _ = read_node_result(run, f"{folder}/{name}")
    order = np.lexsort((columns["node_id"], columns["segment_id"]))
    told = [f"coloured by {folder} {name}; --table shows another: {', '.join(others)}"] if others else []
    return {k: columns[k][order] for k in wanted}, f"{colour} ({name})", told


def _chosen(nodes: NodeTable, segment_ids: tuple[int, ...]) -> NodeTable:
    """Nodes of some segments."""
    if not segment_ids:
        return nodes
    wanted = np.array(segment_ids, dtype=np.uint64)
    absent = np.setdiff1d(wanted, nodes.segment_ids)
    if len(absent):
        msg = f"no nodes of segment {', '.join(str(i) for i in absent.tolist())} in this run"
        raise SegmentNotFoundError(msg)
    return nodes.take(np.isin(nodes.segment_ids, wanted))


def _sample(run: Run, nodes: NodeTable, most: int) -> tuple[NodeTable, list[str]]:
    if len(nodes) <= most:
        return nodes, []
    random = np.random.default_rng([run.config.seed, 0x71E3])
    rows = np.sort(random.choice(len(nodes), most, replace=False))
    return nodes.take(rows), [
        f"{most:,} of {len(nodes):,} nodes are shown, a random sample: --max-points takes more"
    ]


def _joined(
    nodes: NodeTable, columns: Mapping[str, NDArray[Any]], title: str
) -> tuple[NodeTable, NDArray[np.int64], list[str]]:
    """Nodes that have a row in a table, and that row of each."""
    rows = find_keys(keys_of(columns), _keys(nodes))
    n_missing = int((rows < 0).sum())
    if n_missing == len(nodes):
        msg = f"none of {len(nodes):,} nodes has a {title}: the table is of other nodes"
        raise MissingDataError(msg)
    told = [f"{n_missing:,} of {len(nodes):,} nodes have no {title} and are not shown"] if n_missing else []
    return nodes.take(rows >= 0), rows[rows >= 0], told


def _with_components(run: Run, nodes: NodeTable, told: list[str]) -> tuple[NodePoints, list[str]]:
    try:
        store = open_embeddings(run.path("embeddings"))
    except MissingDataError as error:
        msg = f"{run.url} has no embeddings yet, so there are no principal components: `segclr embed` first"
        raise MissingDataError(msg) from error
    wanted, random = _keys(nodes), np.random.default_rng([run.config.seed, 0x9CA])
    rows, vectors, sample = [], [], []
    for url in store.shards:  # one at a time, so that all of a large run are never in memory
        columns = read_columns(url, ["segment_id", "node_id", "embedding"])
        at = find_keys(keys_of(columns), wanted)
        rows.append(np.flatnonzero(at >= 0))
        vectors.append(columns["embedding"][at[at >= 0]])
        some = random.permutation(len(columns["embedding"]))[: _FITTED // len(store.shards)]
        sample.append(columns["embedding"][np.sort(some)])
    row = np.concatenate(rows)
    order = np.argsort(row)
    # Axes of all nodes, not of those shown: a node has one colour, whatever is shown beside it.
    projection = project(np.concatenate(sample), n_components=_N_COMPONENTS, seed=run.config.seed)
    spread = projection.coordinates.std(axis=0)
    shown = projection.apply(np.concatenate(vectors)[order]) / np.where(spread > 0, spread, 1)
    colouring = colour_by_components(shown, shares=projection.explained_variance_ratio.tolist())
    if len(row) < len(nodes):
        told = [*told, f"{len(nodes) - len(row):,} of {len(nodes):,} nodes have no embedding"]
    return _points(nodes.take(row[order]), colouring), told


def _keys(nodes: NodeTable) -> NDArray[Any]:
    return keys_of({"segment_id": nodes.segment_ids, "node_id": nodes.node_ids})


def _points(nodes: NodeTable, colouring: Colouring) -> NodePoints:
    return NodePoints(
        segment_ids=nodes.segment_ids,
        node_ids=nodes.node_ids,
        points_nm=nodes.points_nm,
        colouring=colouring,
    )
