"""Cells as trees of nodes in space: what an embedding says along a cell, and where an edge stands out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from segclr.errors import DataError
from segclr.store.embeddings import EmbeddingTable
from segclr.view.figures_embedding import OTHER
from segclr.view.style import BASELINE, OKABE_ITO, class_colours, new_figure, tidy

__all__ = ["figure_edge_scores", "figure_skeletons"]

_PLANES = (("x", "y"), ("x", "z"))


def figure_skeletons(table: EmbeddingTable, *, classes: NDArray[np.str_]) -> Figure:
    """Cells in two projections (xy, xz), their nodes coloured by class.

    Args:
        table: whole segments, with parents.
        classes: str [n], of each node, such as its compartment or cluster; :data:`OTHER` is drawn grey.

    Raises:
        DataError: the table has no parents or a class too few or many.
    """
    names = np.asarray(classes, dtype=str)
    if len(names) != len(table) or len(table) == 0:
        msg = f"each of {len(table)} nodes (above 0) needs a class, got {len(names)}"
        raise DataError(msg)
    styles = class_colours([name for name in np.unique(names).tolist() if name != OTHER])
    if OTHER in names:
        styles = {OTHER: (BASELINE, "."), **styles}
    child, parent = _edges(table)
    points = table.points_nm / 1000
    figure = new_figure(width_in=8.6, height_in=3.9)
    for axes, plane in zip(figure.subplots(1, 2), _PLANES, strict=True):
        across, down = ("xyz".index(axis) for axis in plane)
        lines = np.stack([points[child][:, [across, down]], points[parent][:, [across, down]]], axis=1)
        axes.add_collection(LineCollection(lines.tolist(), colors=BASELINE, linewidths=0.8, zorder=1))
        for name, (colour, marker) in styles.items():
            these = points[names == name]
            axes.scatter(these[:, across], these[:, down], color=colour, marker=marker, s=16, linewidths=0)
        axes.set(xlabel=f"{plane[0]} (µm)", ylabel=f"{plane[1]} (µm)", aspect="equal")
        axes.invert_yaxis()  # as in an image: y and z grow downwards
        tidy(axes).grid(visible=False)
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", markersize=5, label=name)
        for name, (colour, marker) in styles.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False)
    return figure


def figure_edge_scores(
    table: EmbeddingTable,
    *,
    rows: NDArray[np.integer],
    scores: NDArray[np.floating],
    label: str,
    marked: Sequence[int] = (),
) -> Figure:
    """A cell in two projections (xy, xz), its edges coloured and widened by a score.

    Args:
        table: whole segments, with parents.
        rows: [m], of the lower node of each edge: the edge leads to its parent.
        scores: [m], 0 or more.
        label: of the colour bar.
        marked: rows of the lower nodes of edges that are circled, such as the place of a known merge.

    Raises:
        DataError: the table has no parents, lengths differ, or a row has no parent.
    """
    child, parent = _edges(table)
    places = np.full(len(table), -1)
    places[child] = parent
    above = places[np.asarray(rows, dtype=np.int64)]
    if len(rows) != len(scores) or len(rows) == 0 or (above < 0).any() or (places[list(marked)] < 0).any():
        msg = f"each of {len(rows)} edges (above 0) needs a score and a parent, got {len(scores)} scores"
        raise DataError(msg)
    points, highest = table.points_nm / 1000, max(float(np.max(scores)), 1e-9)
    order = np.argsort(scores, kind="stable")  # the highest are drawn last
    figure = new_figure(width_in=8.6, height_in=3.9)
    grid = figure.subplots(1, 2)
    for axes, plane in zip(grid, _PLANES, strict=True):
        across, down = ("xyz".index(axis) for axis in plane)
        flat = points[:, [across, down]]
        lines = LineCollection(
            np.stack([flat[rows], flat[above]], axis=1)[order].tolist(),
            cmap="cividis_r",
            linewidths=(1.2 + 3 * np.asarray(scores)[order] / highest).tolist(),
            capstyle="round",
        )
        lines.set_array(np.asarray(scores, dtype=np.float64)[order])
        lines.set_clim(0, highest)
        axes.add_collection(lines)
        for row in marked:
            middle = (flat[row] + flat[places[row]]) / 2
            axes.plot(*middle, "o", markersize=15, fillstyle="none", color=OKABE_ITO[1], markeredgewidth=1.5)
        axes.set(xlabel=f"{plane[0]} (µm)", ylabel=f"{plane[1]} (µm)", aspect="equal")
        axes.autoscale_view()
        axes.invert_yaxis()
        tidy(axes).grid(visible=False)
    bar = figure.colorbar(lines, ax=list(grid), shrink=0.8, pad=0.02)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _edges(table: EmbeddingTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the lower and upper node of every edge."""
    if table.parents is None:
        msg = "a tree is drawn by its parents, and this table has none"
        raise DataError(msg)
    keys = list(zip(table.segment_ids.tolist(), table.node_ids.tolist(), strict=True))
    row_of = {key: row for row, key in enumerate(keys)}
    child = np.flatnonzero(table.parents >= 0)
    wanted = [(keys[row][0], int(table.parents[row])) for row in child]
    missing = [key for key in wanted if key not in row_of]
    if missing:
        segment, node = missing[0]
        msg = f"{len(missing)} parents are not in the table, such as node {node} of segment {segment}"
        raise DataError(msg)
    return child, np.array([row_of[key] for key in wanted], dtype=np.int64)
