"""Scatter of embeddings in a plane (principal components, UMAP), coloured by class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from segclr.errors import DataError
from segclr.explore.project import Projection
from segclr.explore.umap import UmapProjection
from segclr.view.style import BASELINE, class_colours, new_figure, tidy

__all__ = ["OTHER", "embedding_columns", "figure_embedding"]

OTHER = "other"
"""What a point without a class of its own is called."""

_TURNS = 20


def figure_embedding(
    panels: Mapping[str, Projection | UmapProjection], *, classes: NDArray[np.str_]
) -> Figure:
    """One panel for each projection of the same nodes, such as untrained beside trained.

    Points are drawn in a fixed mixed order, so that no class hides the others by being drawn last.

    Args:
        panels: title and projection to two or more components.
        classes: str [n], class of each node; :data:`OTHER` is drawn grey.
    """
    classes = np.asarray(classes, dtype=str)
    wrong = {t: p.coordinates.shape for t, p in panels.items() if len(p.coordinates) != len(classes)}
    if not panels or wrong or len(classes) == 0:
        msg = (
            f"every panel needs one point for each of {len(classes)} classes (above 0), got {wrong or 'none'}"
        )
        raise DataError(msg)
    styles = class_colours([name for name in np.unique(classes).tolist() if name != OTHER])
    if OTHER in classes:
        styles = {OTHER: (BASELINE, "."), **styles}
    figure = new_figure(width_in=3.4 * len(panels) + 1.4, height_in=3.3)
    order = np.random.default_rng(0).permutation(len(classes))
    size = float(np.clip(4000 / len(classes), 3, 16))
    for axes, (title, projection) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        # Classes differ in marker, so each is a call of its own: drawn in turns, none lies over the others.
        for part in np.array_split(order, _TURNS):
            for name, (colour, marker) in styles.items():
                points = projection.coordinates[part[classes[part] == name], :2]
                axes.scatter(*points.T, color=colour, marker=marker, s=size, linewidths=0, alpha=0.7)
        axes.set(title=title, xlabel=_axis(projection, 0), ylabel=_axis(projection, 1))
        if isinstance(projection, UmapProjection):
            axes.set(xticks=[], yticks=[])  # its numbers mean nothing
        tidy(axes)
        axes.grid(visible=False)
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", markersize=5, label=f"{name}")
        for name, (colour, marker) in styles.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _axis(projection: Projection | UmapProjection, number: int) -> str:
    """Name of an axis, with the share of the variance along it where there is such a thing."""
    if isinstance(projection, UmapProjection):
        return f"UMAP {number + 1}"
    share = 100 * projection.explained_variance_ratio[number]
    return f"PC {number + 1} " + (f"({share:.0f} % of variance)" if share else "(no variance)")


def embedding_columns(
    panels: Mapping[str, Projection], *, classes: NDArray[np.str_]
) -> dict[str, list[str | float]]:
    """The points as long columns: panel, class, pc1, pc2."""
    columns: dict[str, list[str | float]] = {"panel": [], "class": [], "pc1": [], "pc2": []}
    for title, projection in panels.items():
        columns["panel"] += [title] * len(classes)
        columns["class"] += [str(name) for name in classes]
        columns["pc1"] += [float(v) for v in projection.coordinates[:, 0]]
        columns["pc2"] += [float(v) for v in projection.coordinates[:, 1]]
    return columns
