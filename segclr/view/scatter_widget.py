"""Embeddings to turn, zoom into and hover over, in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segclr.errors import ConfigError, DataError
from segclr.store.embeddings import EmbeddingTable
from segclr.view.figures_embedding import OTHER
from segclr.view.style import BASELINE, class_colours

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["scatter_widget"]

_SYMBOLS = {"o": "circle", "s": "square", "^": "diamond", "D": "cross", "v": "x", "P": "circle-open",
            "X": "square-open", "*": "diamond-open", ".": "circle"}  # fmt: skip
"""Plotly's symbols for Matplotlib's markers, of those that it also has in three dimensions."""


def scatter_widget(
    coordinates: NDArray[np.floating], *, table: EmbeddingTable, classes: NDArray[np.str_], axes: str = "PC"
) -> Figure:
    """An interactive scatter of nodes; hovering tells class, segment, node and place.

    Classes are switched on and off in the legend. Ids are text, exact for every uint64.

    Args:
        coordinates: [n, 2] or [n, 3], such as those of a projection.
        table: the n nodes.
        classes: str [n]; :data:`OTHER` is drawn grey.
        axes: name of the axes, numbered from 1.

    Raises:
        ConfigError: Plotly is not installed.
        DataError: lengths differ, or coordinates are not two or three.
    """
    try:
        from plotly import graph_objects
    except ImportError as error:
        msg = "an interactive scatter needs Plotly, which is not installed: pip install 'segclr[viz]'"
        raise ConfigError(msg) from error
    points, names = np.asarray(coordinates), np.asarray(classes, dtype=str)
    if points.shape not in ((len(table), 2), (len(table), 3)) or len(names) != len(table):
        msg = (
            f"each of {len(table)} nodes needs two or three coordinates and a class, got {points.shape} and "
            f"{len(names)} classes"
        )
        raise DataError(msg)
    is_solid = points.shape[1] == 3
    trace = graph_objects.Scatter3d if is_solid else graph_objects.Scattergl
    styles = class_colours([name for name in np.unique(names).tolist() if name != OTHER])
    if OTHER in names:
        styles = {OTHER: (BASELINE, "."), **styles}
    figure = graph_objects.Figure()
    for name, (colour, marker) in styles.items():
        rows = np.flatnonzero(names == name)
        figure.add_trace(
            trace(
                **dict(zip("xyz", points[rows].T, strict=False)),
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": _SYMBOLS[marker], "size": 3 if is_solid else 6},
                opacity=0.8,
                text=_hover(table, rows),
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            )
        )
    titles = {axis: f"{axes} {number}" for number, axis in enumerate("xyz"[: points.shape[1]], start=1)}
    figure.update_layout(
        template="plotly_white",
        width=760,
        height=560,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        legend={"itemsizing": "constant"},
    )
    if is_solid:
        figure.update_scenes(
            {f"{axis}axis_title": title for axis, title in titles.items()},
            aspectmode="cube",
            camera_eye={"x": 1.4, "y": 1.4, "z": 0.9},
        )
    else:
        figure.update_xaxes(title=titles["x"], showgrid=False, zeroline=False)
        figure.update_yaxes(title=titles["y"], showgrid=False, zeroline=False)
    return figure


def _hover(table: EmbeddingTable, rows: NDArray[np.int64]) -> list[str]:
    """Segment, node and place of each row."""
    return [
        f"segment {table.segment_ids[row]}<br>node {table.node_ids[row]}<br>"
        + ", ".join(f"{v:,.0f}" for v in table.points_nm[row])
        + " nm (x, y, z)"
        for row in rows
    ]
