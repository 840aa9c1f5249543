"""The neighbourhood of every node: a mean of embeddings, plain, by distance or learned, and their spread."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from segclr.aggregate.attention import AttentionPooling
from segclr.aggregate.grid import Grid
from segclr.aggregate.part import Part, check_reach, sorted_rows
from segclr.config import Metric, Weighting
from segclr.errors import ConfigError
from segclr.store.embeddings import EmbeddingTable

if TYPE_CHECKING:
    from segclr.aggregate.kernel import Averages

__all__ = ["aggregate"]

_BLOCK = 1 << 14  # nodes one thread takes at a time
_GAUSSIAN = 2.0  # weight exp(-2 (d / radius)^2), since sigma is half the radius


def aggregate(
    table: EmbeddingTable,
    *,
    radius_um: float,
    metric: Metric = "euclidean",
    weighting: Weighting | AttentionPooling = "uniform",
    spread: bool = False,
    threads: int = 1,
) -> EmbeddingTable:
    """Average embeddings over the nodes of the same segment within a radius.

    One row per input node, in input order: the mean over nodes at most ``radius_um`` away, itself
    included. Radius 0 averages nodes at the very same place. Sums run in float64 in an order that place and
    ids of a segment's nodes tell, so the answer depends neither on the order of rows nor on which segments
    stand in one table.

    Args:
        table: nodes of any number of whole segments; ``(segment_id, node_id)`` is unique.
        radius_um: micrometres, finite, 0 or more.
        metric: "euclidean", a straight line; "path", the sum of edge lengths along ``parents``, where
            nodes of another tree are infinitely far.
        weighting: of the nodes in the mean. "uniform"; "gaussian", exp(-d^2 / (2 sigma^2)) of the distance d
            with sigma = radius / 2, which is 0.14 at the radius; or a learned pooling.
        spread: also the standard deviation of the neighbours' embeddings, dimension by dimension (of the
            n_nodes themselves: divided by their number; 0 for one node alone), whatever the weighting.
        threads: that average straight-line neighbourhoods; the answer is the same.

    Returns:
        The table with averaged ``embeddings`` and ``n_nodes``, int32 [n], the nodes in each mean; with
        ``spread``, float32 [n, d], if that was asked for.

    Raises:
        ConfigError: the radius, the metric, the weighting or the number of threads is not an allowed one.
        DataError: ids repeat, points or embeddings are not finite, a parent does not exist, parents
            make a cycle, or ``metric="path"`` without parents, or a pooling for another dimension.
    """
    from segclr.aggregate.kernel import Averages  # numba takes a moment to load

    check_reach(radius_um, metric)
    _check_options(weighting, threads)
    rows = sorted_rows(table, metric)
    bare = replace(table, embeddings=table.embeddings[:, :0]).take(rows)
    part = Part.of(bare, radius_nm=radius_um * 1000.0, metric=metric)
    grid = Grid.of(bare.points_nm, part.rank, radius_nm=part.radius_nm) if metric == "euclidean" else None
    rows = rows if grid is None else rows[grid.order]
    values = table.embeddings[rows]
    work = Averages(
        values=values,
        weights=weighting.weights(values)
        if isinstance(weighting, AttentionPooling)
        else np.ones(len(values)),
        rows=rows,
        means=np.empty_like(values),
        n_nodes=np.empty(len(values), dtype=np.int32),
        spread=np.empty_like(values) if spread else values[:0],
    )
    falls = _GAUSSIAN if weighting == "gaussian" else 0.0
    if grid is None:
        _along_paths(part, work, falls=falls)
    else:
        _in_balls(part, grid, work, falls=falls, threads=threads)
    return replace(table, embeddings=work.means, n_nodes=work.n_nodes, spread=work.spread if spread else None)


def _in_balls(part: Part, grid: Grid, work: Averages, *, falls: float, threads: int) -> None:
    from segclr.aggregate.kernel import average_in_balls

    square = _largest_square(part.radius_nm)

    def average(begin: int) -> None:
        average_in_balls(begin, min(begin + _BLOCK, len(grid.order)), grid, square, falls, work)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(average, range(0, len(grid.order), _BLOCK)):
            pass


def _along_paths(part: Part, work: Averages, *, falls: float) -> None:
    from segclr.aggregate.kernel import average_in_lists

    for block in part.neighbours():
        near = block.matrix.indices.astype(np.int64)
        weights = work.weights[near]
        if falls > 0 and part.radius_nm > 0:
            weights *= np.exp(-falls * (block.distances_nm / part.radius_nm) ** 2)
        average_in_lists(block.rows.start, block.matrix.indptr.astype(np.int64), near, weights, work)


def _largest_square(radius: float) -> float:
    """The largest number whose rounded square root is at most ``radius``: it spares the roots."""
    square = radius * radius
    while math.sqrt(square) > radius:
        square = math.nextafter(square, 0.0)
    while math.sqrt(above := math.nextafter(square, math.inf)) <= radius:
        square = above
    return square


def _check_options(weighting: str | AttentionPooling, threads: int) -> None:
    if not isinstance(weighting, AttentionPooling) and weighting not in get_args(Weighting):
        msg = f"weighting must be {', '.join(get_args(Weighting))} or an AttentionPooling, got {weighting!r}"
        raise ConfigError(msg)
    if threads < 1:
        msg = f"threads must be 1 or more, got {threads}"
        raise ConfigError(msg)
